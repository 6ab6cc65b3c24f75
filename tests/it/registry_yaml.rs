//! zuul-registry's `registry.yaml`, unchanged.

use std::fs;
use std::path::Path;

use crate::support::http::send;
use crate::support::process::{Served, init, registry, serve_in_vain};
use crate::support::registry::basic;

/// What a site has today, in a folder.
fn yaml(folder: &Path, storage: &str) -> String {
    let folder = folder.display();
    format!(
        "registry:\n  address: '127.0.0.1'\n  port: 9000\n  public-url: https://registry.example:9000\n  \
         tls-cert: {folder}/tls/server.pem\n  tls-key: {folder}/tls/server.key\n  \
         secret: test_token_secret\n  users:\n    - name: writer\n      pass: right\n      access: write\n    \
         - name: reader\n      pass: \"%(ZUUL_READER)\"\n      access: read\n  storage:\n    {storage}\n"
    )
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--host", "127.0.0.1"]);
    let file = folder.path().join("registry.yaml");
    let root = folder.path().join("storage-of-theirs");
    let filesystem = format!("driver: filesystem\n    root: {}", root.display());
    for (text, said) in [
        (
            yaml(folder.path(), "driver: swift\n    cloud: c\n    container: i"),
            "\"swift\" is not built",
        ),
        (
            yaml(folder.path(), "driver: s3\n    bucket: b\n    access-key: a\n    secret-key: s"),
            "\"s3\" is not built",
        ),
        (yaml(folder.path(), &format!("{filesystem}\n    size: 3")), "line 18"),
        (yaml(folder.path(), &filesystem).replace("port:", "ports:"), "line 3"),
        (yaml(folder.path(), &filesystem), "ZUUL_READER is not set"),
    ] {
        fs::write(&file, text).unwrap();
        for output in serve_in_vain(&["--config", file.to_str().unwrap()], 2) {
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains("registry.yaml: ") && stderr.contains(said), "{stderr}");
            assert!(!stderr.contains("right"), "{stderr}");
            assert!(!root.exists());
        }
    }
}

#[test]
fn it_is_served_beside_what_zuul_registry_has() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--host", "127.0.0.1"]);
    let root = folder.path().join("theirs");
    let blob = root.join("_local/blobs/sha256:1/data");
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(&blob, "kept").unwrap();
    let file = folder.path().join("registry.yaml");
    let storage =
        format!("driver: filesystem\n    root: {}\n    expiration: 15552000", root.display());
    // Plain HTTP, as behind a proxy that speaks TLS.
    let text = yaml(folder.path(), &storage);
    let plain = text.lines().filter(|line| !line.contains("tls-"));
    let plain: String = plain.flat_map(|line| [line, "\n"]).collect();
    fs::write(&file, plain.replace("%(ZUUL_READER)", "read")).unwrap();
    let log = folder.path().join("log");
    let served = Served::start_logging(
        &["--config", file.to_str().unwrap()],
        fs::File::create(&log).unwrap(),
    );
    let ask = |login: &str, method: &str, path: &str| {
        send(served.address, method, path, &[("Authorization", login)], b"")
    };
    let nobody = send(served.address, "GET", "/v2/a/manifests/1", &[], b"");
    assert_eq!(nobody.status, 401);
    assert_eq!(
        nobody.header("www-authenticate"),
        "Bearer realm=\"https://registry.example:9000/auth/token\",service=\"registry.example:9000\",\
         scope=\"repository:a:pull\""
    );
    // What anybody can sign with `secret`, or with the word zuul-registry signs with, is nothing here:
    // {"alg":"HS256","typ":"JWT"}.{"level":"write"}
    for forged in [
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJsZXZlbCI6IndyaXRlIn0.a5XssD4fL-vv3Y97gvi_EAzEz2eqziNz8MsedNRoc-s",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJsZXZlbCI6IndyaXRlIn0.uvllzb2Lp9YeNqgEp65GsFxN0pbGaIe67gOEA2UUpWU",
    ] {
        let answer = ask(&format!("Bearer {forged}"), "POST", "/v2/a/blobs/uploads/");
        assert_eq!(answer.status, 401);
    }
    assert_eq!(ask(&basic("reader", "read"), "POST", "/v2/a/blobs/uploads/").status, 403);
    assert_eq!(ask(&basic("reader", "read"), "GET", "/v2/a/manifests/1").status, 404);
    assert_eq!(ask(&basic("writer", "right"), "POST", "/v2/a/blobs/uploads/").status, 202);
    assert!(root.join("buildset-registry/serve.pid").exists());
    assert_eq!(served.terminate().0, Some(0));

    assert_eq!(fs::read_to_string(&blob).unwrap(), "kept");
    let kept: Vec<_> =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(fs::read(root.join("buildset-registry/token.key")).unwrap().len(), 32);
    let log = fs::read_to_string(&log).unwrap();
    for said in ["`secret` is not used", "`expiration` is not used", "_local are not read"] {
        assert!(log.contains(said), "{log}");
    }
    assert!(!log.contains("test_token_secret"));
}

#[test]
fn it_is_served_over_tls_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--host", "127.0.0.1"]);
    let file = folder.path().join("registry.yaml");
    let storage = format!("driver: filesystem\n    root: {}/theirs", folder.path().display());
    fs::write(&file, yaml(folder.path(), &storage)).unwrap();
    let output = registry(&["serve", "--detach", "--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .env("ZUUL_READER", "read")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let ready: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let home = folder.path().join("theirs/buildset-registry");
    assert!(home.join("serve.log").exists());
    crate::support::process::terminate(ready["pid"].as_u64().unwrap().try_into().unwrap());
    crate::support::wait::wait_until(|| !home.join("serve.pid").exists());
}
