//! A host of its own for a test: a network and host names that nobody else has, so that servers can be at
//! the names and ports they have in the world. Other names are looked up at its own port 53.

use std::fmt::Write as _;
use std::process::Command;

const MARK: &str = "ZUUL_IMAGES_TEST_ALONE";

/// Runs one test of this binary, `MODULE::NAME`, once more on a host where these names have these addresses.
/// True there, where the test goes on; false where it came from, once it has passed there.
pub fn on_a_host_of_its_own(test: &str, names: &[(&str, &str)]) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let mut text = "127.0.0.1 localhost\n".to_owned();
    for (name, address) in names {
        writeln!(text, "{address} {name}").unwrap();
    }
    std::fs::write(&hosts, text).unwrap();
    let resolv = folder.path().join("resolv.conf");
    std::fs::write(&resolv, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let script = "ip link set lo up; mount --bind \"$0\" /etc/hosts; \
                  mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "sh", "-ec", script])
        .args([&hosts, &resolv])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let passed = output.status.success() && said.contains("test result: ok. 1 passed");
    assert!(passed, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    false
}
