use zuul_images::auth::{CredentialStore, Credentials};
use zuul_images::client::Client;
use zuul_images::copy::{self, Outcome};
use zuul_images::http::Http;
use zuul_images::oci::{Reference, Registry};

use super::{along, image, item, sbom, tag};
use crate::support::clients::settings;
use crate::support::distribution::Distribution;
use crate::support::faulty::Faulty;
use crate::support::programs::RegistryProcess;
use crate::support::sample;

/// Copies `org/a:t` and says what travelled.
async fn carry(client: &Client, from: &Registry, to: &Registry) -> Outcome {
    let items = vec![item(from, "org/a:t", to, "org/a:t")];
    copy::run(client, items, &along(), &()).await.unwrap()
}

/// Through a registry that lists no referrers to ours, which does, and back to another one that does not.
#[tokio::test]
async fn referrers_survive_registries_that_list_none() {
    let source = Faulty::start().await;
    let (first, ours, last) =
        (Distribution::start(), RegistryProcess::start(), Distribution::start());
    let login = ours.login();
    let middle = login.registry().unwrap();
    let mut settings = settings(&[&source.registry(), &first.registry(), &last.registry()]);
    settings.trust.add(&middle, login.certificate().unwrap().as_bytes()).unwrap();
    let mut logins = CredentialStore::empty();
    logins.add(&middle, None, Credentials::new(login.username.clone(), login.password.clone()));
    let client = Client::new(Http::new(settings).unwrap(), logins);

    *source.memory.lists_referrers.lock().unwrap() = true;
    let amd64 = image("amd64");
    let index = sample::index(&[("amd64", amd64.clone()), ("arm64", image("arm64"))]);
    let digest = index.root.digest();
    let parts = sbom(digest, "parts");
    source.memory.hold("org/a", "t", &index);
    source.memory.hold_untagged("org/a", &parts);
    source.memory.hold_untagged("org/a", &sbom(parts.root.digest(), "signed parts"));
    source.memory.hold("org/a", &tag(digest, ".sig"), &super::signature(&["index"]));
    source.memory.hold("org/a", &tag(amd64.root.digest(), ".att"), &super::signature(&["amd64"]));

    let hops = [source.registry(), first.registry(), middle.clone(), last.registry()];
    for hop in hops.windows(2) {
        let outcome = carry(&client, &hop[0], &hop[1]).await;
        assert_eq!(outcome.images[0].referrers.len(), 4, "{} to {}", hop[0], hop[1]);
        let again = carry(&client, &hop[0], &hop[1]).await;
        assert_eq!(again.totals.manifests_written, 0);
        let there = client.repository(&hop[1], &"org/a".parse().unwrap());
        for subject in [digest, parts.root.digest()] {
            let listed = there.referrers(subject).await.unwrap();
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0]["artifactType"], super::SBOM);
        }
        let by_digest = Reference::from(parts.root.digest().clone());
        let found = there.manifest(&by_digest).await.unwrap().unwrap();
        assert_eq!(found.bytes(), parts.root.bytes());
        let lists_itself = there.listed_referrers(digest).await.unwrap().is_some();
        assert_eq!(lists_itself, hop[1] == middle);
    }
}
