//! Registries that delete no tags, but have a web API that does.

use http::Method;
use tempfile::TempDir;
use zuul_images::promote::{self, Options, PutBack};
use zuul_images::zuul::RegistryCredentials;

use super::{client, held, image, promote_with, promotion, recording, refusal, waiting};
use crate::support::clients;
use crate::support::faulty::Faulty;
use crate::support::programs::{file, json, program};
use crate::support::quay::Quay;

/// A registry where an image waits for `one` and `two`, and what its login says.
struct Site {
    server: Faulty,
    quay: Quay,
    folder: TempDir,
    login: std::path::PathBuf,
}

impl Site {
    async fn new() -> Self {
        let server = waiting(&["one", "two"]).await;
        server.fault(usize::MAX, Method::DELETE, "", refusal(405));
        let quay = Quay::start(&["one", "two"].map(|tag| (tag, jiff::Timestamp::now())));
        let folder = tempfile::tempdir().unwrap();
        let text = quay.credentials(&server.registry()).to_string();
        let login = file(folder.path(), "login.json", &text);
        Self { server, quay, folder, login }
    }

    fn credentials(&self) -> RegistryCredentials {
        RegistryCredentials::read(&self.login).unwrap()
    }

    fn client(&self) -> zuul_images::client::Client {
        let plain = [&self.server.registry(), &self.quay.web.place()];
        clients::client(&plain, zuul_images::auth::CredentialStore::empty())
    }
}

#[tokio::test]
async fn a_new_tag_is_taken_back_by_the_web_api_where_a_later_write_fails() {
    let site = Site::new().await;
    site.server.fault(usize::MAX, Method::PUT, "manifests/two", refusal(403));
    let credentials = site.credentials();
    let options = Options { parallel: 1, credentials: Some(&credentials), ..Options::default() };
    let promotions = ["one", "two"].map(|tag| promotion(&site.server, tag));
    let promoted = promote::promote(&site.client(), &promotions, &options).await;
    let error = promoted.unwrap_err().to_string();
    assert!(error.contains("put back (tags: 1)") && !error.contains("NOT"), "{error}");
    assert_eq!(site.quay.tags(), ["two"]);
}

#[tokio::test]
async fn new_tags_are_rolled_back_by_the_web_api() {
    let site = Site::new().await;
    site.server.memory.hold("org/a", "one", &image("old"));
    let record = site.folder.path().join("record.jsonl");
    let promotions = ["one", "two"].map(|tag| promotion(&site.server, tag));
    promote_with(&site.server, &promotions, &recording(&record)).await.unwrap();
    // Without the login the registry is asked, which deletes none.
    let options = Options { dry_run: true, ..Options::default() };
    let planned = promote::rollback(&client(&site.server), &record, &options).await.unwrap();
    assert!(planned.rolled_back.iter().all(|tag| tag.result == PutBack::Done));
    let (server, quay) = (site.server.registry().to_string(), site.quay.web.place().to_string());
    let mut command = program("promote-retag");
    command.args(["rollback", "--no-ambient-config", "--plain-http", &server]);
    command.args(["--plain-http", &quay]).arg("--record").arg(&record);
    command.arg("--credentials").arg(&site.login);
    let rolled_back = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let results = json(&rolled_back)["rolled_back"].clone();
    assert_eq!((&results[0]["result"], &results[1]["result"]), (&"done".into(), &"done".into()));
    assert_eq!(site.quay.tags(), ["one"]);
    assert_eq!(held(&site.server, "one"), Some(image("old").root.digest().to_string()));
}
