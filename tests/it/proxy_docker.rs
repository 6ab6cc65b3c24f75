//! A real docker engine behind the forward proxy, set up by `configure-client --proxy`.

use serde_json::json;

use crate::support::docker_host::{Host, INTERMEDIATE};
use crate::support::wait::wait_until;

const BUILDSET: &str = "zuul-jobs.buildset-registry:5000";
const REAL: &str = "192.0.2.10";

/// Makes `quay.io/org/img:1` in the buildset registry, and another image of that name behind `quay.io`.
/// Returns the digest of the first.
fn two_images_of_one_name(host: &Host) -> String {
    host.login_at_real();
    host.import("quay.io/org/img:1", "released");
    let released = host.push("quay.io/org/img:1");
    let here = format!("{BUILDSET}/quay.io/org/img:1");
    host.import(&here, "speculative");
    let speculative = host.push(&here);
    assert_ne!(released, speculative);
    host.forget_images();
    speculative
}

/// The same for a change behind, whose registry has but a pointer.
fn point_to_one_of_two_images(host: &mut Host) -> String {
    let speculative = two_images_of_one_name(host);
    host.start_intermediate();
    let artifacts = host.share(&json!([{"repository": "quay.io/org/img", "tags": ["1"]}]));
    host.begin_lazily(&artifacts);
    speculative
}

#[test]
fn an_engine_pulls_and_builds_on_what_was_pushed_for_another_registry() {
    let mut host = Host::start(REAL);
    let speculative = two_images_of_one_name(&host);
    assert_eq!(host.pull("quay.io/org/img:1"), speculative);
    assert_eq!(host.pull(&format!("quay.io/org/img@{speculative}")), speculative);
    let layer =
        |image: &str| host.docker(&["inspect", "--format", "{{index .RootFS.Layers 0}}", image]);
    let expected = layer("quay.io/org/img:1");

    std::fs::create_dir(host.path("context")).unwrap();
    let dockerfile = "FROM quay.io/org/img:1\nCOPY Dockerfile /\n";
    std::fs::write(host.path("context/Dockerfile"), dockerfile).unwrap();
    for buildkit in ["0", "1"] {
        host.forget_images();
        let built = host
            .command("docker")
            .env("DOCKER_BUILDKIT", buildkit)
            .args(["build", "--quiet", "--tag", "built"])
            .arg(host.path("context"))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        assert_eq!(layer("built"), expected, "DOCKER_BUILDKIT={buildkit}");
    }

    host.forget_images();
    host.stop_real();
    assert_eq!(host.pull("quay.io/org/img:1"), speculative);
    let other = host.try_docker(&["pull", "quay.io/org/other:1"]);
    assert!(!other.status.success(), "{other:?}");
}

#[test]
fn an_engine_is_told_why_an_image_that_is_only_pointed_at_cannot_be_had() {
    let mut host = Host::start(REAL);
    point_to_one_of_two_images(&mut host);
    let refusal = |host: &Host| {
        let refused = host.try_docker(&["pull", "quay.io/org/img:1"]);
        assert!(!refused.status.success(), "{refused:?}");
        String::from_utf8(refused.stderr).unwrap()
    };
    host.stop_intermediate();
    let said = refusal(&host);
    assert!(said.contains(&format!("{INTERMEDIATE} did not deliver")), "{said}");
    host.empty_intermediate();
    // Who failed is left in peace for a moment.
    wait_until(|| {
        let said = refusal(&host);
        said.contains("not found") && said.contains(INTERMEDIATE)
    });
}

#[test]
fn an_engine_pulls_an_image_that_is_only_pointed_at() {
    let mut host = Host::start(REAL);
    let speculative = point_to_one_of_two_images(&mut host);
    let asked = |host: &Host| host.real_log().matches("/v2/org/img/").count();
    let before = asked(&host);
    assert_eq!(host.pull("quay.io/org/img:1"), speculative);
    assert_eq!(asked(&host), before);
    // It is here now.
    host.stop_intermediate();
    for name in [format!("quay.io/org/img@{speculative}"), "quay.io/org/img:1".to_owned()] {
        host.forget_images();
        assert_eq!(host.pull(&name), speculative);
    }
    assert_eq!(asked(&host), before);
}

#[test]
fn pushes_and_private_pulls_reach_the_real_host() {
    let host = Host::start(REAL);
    let refused = host.try_docker(&["pull", "quay.io/org/private:1"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    // That is the real host's own answer: ours knows no such login.
    assert!(!refused.status.success() && said.contains("no basic auth credentials"), "{said}");
    let speculative = two_images_of_one_name(&host);

    host.import("quay.io/org/private:1", "private");
    let private = host.push("quay.io/org/private:1");
    host.forget_images();
    assert_eq!(host.pull("quay.io/org/private:1"), private);
    let log = host.real_log();
    assert!(
        log.contains("/v2/org/private/manifests/1") && log.contains("auth.user.name=real"),
        "{log}"
    );

    // All of what was built on a speculative image goes there too.
    host.pull("quay.io/org/img:1");
    host.docker(&["tag", "quay.io/org/img:1", "quay.io/org/img:2"]);
    assert_eq!(host.push("quay.io/org/img:2"), speculative);
    host.forget_images();
    assert_eq!(host.pull("quay.io/org/img:2"), speculative);
    let found = host.real_log().matches("PUT").count();
    assert!(found > 0, "{}", host.real_log());
}

#[test]
fn an_engine_is_not_led_to_addresses_that_are_not_allowed() {
    let host = Host::start("192.0.2.1");
    host.import(&format!("{BUILDSET}/quay.io/org/img:1"), "speculative");
    let speculative = host.push(&format!("{BUILDSET}/quay.io/org/img:1"));
    host.forget_images();
    assert_eq!(host.pull("quay.io/org/img:1"), speculative);
    for (name, why) in [
        ("quay.io/org/other:1", "192.0.2.10 is for documentation"),
        ("169.254.169.254:443/org/img:1", "169.254.169.254 is link-local"),
        ("11.22.33.44:443/org/img:1", "11.22.33.44 is this host's own"),
        ("localhost.localdomain/a", "localhost.localdomain"),
    ] {
        let refused = host.try_docker(&["pull", name]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{name}: {said}");
    }
    assert!(!host.real_log().contains("/v2/"), "{}", host.real_log());
}
