//! Users: files of them, and where each may write.

use std::fs;
use std::path::PathBuf;

use zuul_images::oci::Digest;
use zuul_images::registry::{Htpasswd, Level, Pattern, User};

use crate::support::http::{Answer, send};
use crate::support::process::{init, serve_in_vain};
use crate::support::registry::{READER, Registry, WRITER, basic};
use crate::support::wait::wait_until;

/// What `htpasswd -nbB apache 'pa:ss wörd'` printed.
const APACHE: &str = "apache:$2y$05$lOOq4ukG4Mokox2PQaobfumQrEO4LIq39/iHtl/mgIzPxM/yLgvve\n";

fn patterns(texts: &[&str]) -> Option<Vec<Pattern>> {
    Some(texts.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect())
}

fn producer(config: &mut zuul_images::registry::Config, repositories: &[&str]) {
    config.users.push(User {
        name: "producer".to_owned(),
        password: "secret".to_owned(),
        access: Level::Write,
        repositories: patterns(repositories),
    });
}

fn ask(registry: &Registry, login: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    send(registry.address, method, path, &[("Authorization", login)], body)
}

fn bearer(registry: &Registry, login: &str, query: &str) -> (String, String) {
    let answer = ask(registry, login, "GET", &format!("/auth/token?{query}"), b"").json();
    let text = |field: &str| answer[field].as_str().unwrap().to_owned();
    (format!("Bearer {}", text("token")), text("scope"))
}

#[test]
fn a_producer_writes_only_where_the_rules_let_it_however_it_spells_the_name() {
    let registry = Registry::start_with(|config| producer(config, &["quay.io/org/*", "x"]));
    let login = basic("producer", "secret");
    for repository in [
        "org/app",
        "docker.io/org/app",
        "quay.io/organ/app",
        "quay.io/org",
        "docker.io/docker.io/quay.io/organ/app",
        "y",
        "library/y",
        "docker.io/library/y",
        "x/y",
    ] {
        for query in ["", "?ns=docker.io", "?ns=ghcr.io"] {
            let path = format!("/v2/{repository}/blobs/uploads/{query}");
            let answer = ask(&registry, &login, "POST", &path, b"");
            let conflict = answer.status == 400 && answer.code() == "NAME_INVALID";
            assert!(conflict || answer.status == 403, "{path}: {answer:?}");
        }
    }
    for repository in
        ["quay.io/org/app", "quay.io/org/deep/er", "x", "library/x", "docker.io/library/x"]
    {
        let path = format!("/v2/{repository}/blobs/uploads/");
        assert_eq!(ask(&registry, &login, "POST", &path, b"").status, 202, "{repository}");
    }
    let mirrored = "/v2/org/app/blobs/uploads/?ns=quay.io";
    assert_eq!(ask(&registry, &login, "POST", mirrored, b"").status, 202);
}

#[test]
fn every_way_of_writing_obeys_the_rules() {
    let registry = Registry::start_with(|config| producer(config, &["mine/*"]));
    let login = basic("producer", "secret");
    let manifest = registry.push_image("theirs/app", "latest", "seed");
    let digest = Digest::sha256(&manifest);
    let layer = registry.push_blob("theirs/app", b"layer seed");
    let upload = registry.start_upload("theirs/app");
    let whole = Digest::sha256(b"evil");
    for (method, path, body) in [
        ("POST", "/v2/theirs/app/blobs/uploads/".to_owned(), &b""[..]),
        ("POST", format!("/v2/theirs/app/blobs/uploads/?digest={whole}"), b"evil"),
        ("POST", format!("/v2/theirs/app/blobs/uploads/?mount={layer}&from=theirs/app"), b""),
        ("GET", upload.clone(), b""),
        ("PATCH", upload.clone(), b"evil"),
        ("PUT", format!("{upload}?digest={whole}"), b"evil"),
        ("DELETE", upload, b""),
        ("PUT", "/v2/theirs/app/manifests/latest".to_owned(), &manifest),
        ("PUT", format!("/v2/theirs/app/manifests/{digest}?tag=evil"), &manifest),
        ("DELETE", "/v2/theirs/app/manifests/latest".to_owned(), b""),
        ("DELETE", format!("/v2/theirs/app/manifests/{digest}"), b""),
        ("DELETE", format!("/v2/theirs/app/blobs/{layer}"), b""),
    ] {
        let answer = ask(&registry, &login, method, &path, body);
        assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"), "{method} {path}");
    }
    // What others have may be read, and so be mounted into one's own.
    let mount = format!("/v2/mine/app/blobs/uploads/?mount={layer}&from=theirs/app");
    assert_eq!(ask(&registry, &login, "POST", &mount, b"").status, 201);
    assert_eq!(registry.anonymous("GET", "/v2/theirs/app/manifests/latest").body, manifest);
}

#[test]
fn a_token_holds_what_was_asked_for_and_is_allowed_and_no_more() {
    let registry = Registry::start_with(|config| {
        config.anonymous_pull = Some(false);
        producer(config, &["quay.io/org/*"]);
    });
    let login = basic("producer", "secret");
    let query =
        "scope=repository:quay.io/org/app:pull,push&scope=repository:other:pull,push,delete";
    let (token, scope) = bearer(&registry, &login, query);
    assert_eq!(scope, "repository:quay.io/org/app:pull,push repository:other:pull");
    let status =
        |token: &str, method: &str, path: &str| ask(&registry, token, method, path, b"").status;
    assert_eq!(status(&token, "POST", "/v2/quay.io/org/app/blobs/uploads/"), 202);
    assert_eq!(status(&token, "DELETE", "/v2/quay.io/org/app/manifests/1"), 401);
    assert_eq!(status(&token, "POST", "/v2/quay.io/org/b/blobs/uploads/"), 401);
    assert_eq!(status(&token, "POST", "/v2/other/blobs/uploads/"), 403);
    assert_eq!(status(&token, "GET", "/v2/other/manifests/1"), 404);
    // What the token says under one registry does not count under another.
    let (token, _) = bearer(&registry, &basic(WRITER, "secret"), "scope=repository:org/app:push");
    assert_eq!(status(&token, "POST", "/v2/org/app/blobs/uploads/?ns=quay.io"), 401);
}

#[test]
fn tokens_end_with_the_rights_they_were_given_for() {
    let registry = Registry::start();
    let query = "scope=repository:a:pull,push";
    let (token, _) = bearer(&registry, &basic(WRITER, "secret"), query);
    let push = |registry: &Registry| ask(registry, &token, "POST", "/v2/a/blobs/uploads/", b"");
    assert_eq!(push(&registry).status, 202);
    // The same key with other users, each time.
    let (mut folder, _) = registry.end();
    let mut with = |change: fn(&mut User)| {
        let old = std::mem::replace(&mut folder, tempfile::tempdir().unwrap());
        let registry = Registry::start_in(old, |config| change(&mut config.users[0]));
        let status = push(&registry).status;
        folder = registry.end().0;
        status
    };
    assert_eq!(with(|user| user.name = "other".to_owned()), 401);
    assert_eq!(with(|user| user.password = "changed".to_owned()), 401);
    assert_eq!(with(|user| user.access = Level::Read), 403);
    assert_eq!(with(|user| user.repositories = patterns(&["b"])), 403);
    assert_eq!(with(|_| {}), 202);
}

/// A closed registry with a file of readers and one of writers.
fn with_files() -> (Registry, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (readers, writers) = (folder.path().join("readers"), folder.path().join("writers"));
    fs::write(&readers, APACHE).unwrap();
    fs::write(&writers, line("pusher", "secret")).unwrap();
    let registry = Registry::start_in(folder, |config| {
        config.anonymous_pull = None;
        let file = |file, access| Htpasswd { file, access, repositories: None };
        config.users.retain(|user| user.name == WRITER);
        config.htpasswd = vec![file(readers.clone(), Level::Read), file(writers, Level::Write)];
        config.htpasswd[1].repositories = patterns(&["mine/*"]);
    });
    (registry, readers)
}

fn line(name: &str, password: &str) -> String {
    format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap())
}

#[test]
fn users_of_files_may_what_their_file_may() {
    let (registry, _) = with_files();
    registry.push_image("a", "latest", "seed");
    let status =
        |login: &str, method: &str, path: &str| ask(&registry, login, method, path, b"").status;
    let (reader, pusher) = (basic("apache", "pa:ss wörd"), basic("pusher", "secret"));
    // A file of readers closes the registry, as a user who only reads does.
    assert_eq!(registry.anonymous("GET", "/v2/a/manifests/latest").status, 401);
    for login in [basic("apache", "wrong"), basic("nobody", "pa:ss wörd"), basic(READER, "secret")]
    {
        assert_eq!(status(&login, "GET", "/v2/a/manifests/latest"), 401);
        assert_eq!(status(&login, "GET", "/auth/token?scope=repository:a:pull"), 401);
    }
    assert_eq!(status(&reader, "GET", "/v2/a/manifests/latest"), 200);
    assert_eq!(status(&reader, "GET", "/v2/_catalog"), 200);
    assert_eq!(status(&reader, "POST", "/v2/a/blobs/uploads/"), 403);
    assert_eq!(status(&pusher, "POST", "/v2/a/blobs/uploads/"), 403);
    assert_eq!(status(&pusher, "POST", "/v2/mine/a/blobs/uploads/"), 202);
    let (token, scope) =
        bearer(&registry, &pusher, "scope=repository:mine/a:pull,push+repository:a:push");
    assert_eq!(scope, "repository:mine/a:pull,push repository:a:");
    assert_eq!(status(&token, "POST", "/v2/mine/a/blobs/uploads/"), 202);
}

#[test]
fn a_file_is_read_again_when_it_changes() {
    let (registry, readers) = with_files();
    let status = |login: &str| ask(&registry, login, "GET", "/v2/", b"").status;
    let (old, new) = (basic("apache", "pa:ss wörd"), basic("new", "secret"));
    let (token, _) = bearer(&registry, &old, "scope=repository:a:pull");
    assert_eq!((status(&old), status(&token), status(&new)), (200, 200, 401));
    // One that is broken changes nothing; it is looked at, since the next change is.
    fs::write(&readers, "broken\n").unwrap();
    assert_eq!((status(&old), status(&token)), (200, 200));
    let before = line("new", "secret");
    fs::write(&readers, before).unwrap();
    wait_until(|| status(&new) == 200);
    assert_eq!((status(&old), status(&token)), (401, 401));
}

#[test]
fn a_file_of_users_that_cannot_be_used_is_exit_2_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--host", "127.0.0.1"]);
    let config = folder.path().join("config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "htpasswd: [{file: users, access: read}]\n").unwrap();
    for (content, said) in [
        (None, "cannot be read"),
        (Some("hunter2".to_owned()), "line 1"),
        (Some(line("a", "x") + "b:$apr1$x$y\n"), "line 2: user \"b\": Apache's MD5"),
        (Some(line("zuul", "x")), "\"zuul\" is also in"),
    ] {
        if let Some(content) = content {
            fs::write(folder.path().join("users"), content).unwrap();
        }
        for output in serve_in_vain(&["--root", folder.path().to_str().unwrap()], 2) {
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains("users: ") && stderr.contains(said), "{stderr}");
            assert!(!stderr.contains("hunter2"), "{stderr}");
        }
    }
}

#[test]
fn no_number_of_wrong_passwords_locks_the_right_one_out() {
    let registry = Registry::start();
    let (right, wrong) = (basic(WRITER, "secret"), basic(WRITER, "wrong"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(ask(&registry, &wrong, "GET", "/v2/", b"").status, 401);
                    assert_eq!(ask(&registry, &right, "GET", "/v2/", b"").status, 200);
                }
            });
        }
    });
}
