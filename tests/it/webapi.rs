//! Zuul's builds, asked for over its web API, and logins of Docker Hub's.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use zuul_images::auth::Credentials;
use zuul_images::http::Http;
use zuul_images::webapi::{self, BuildFilter, BuildQuery, Error, TagApi, Zuul};
use zuul_images::zuul::image_artifacts;

use crate::support::clients::settings;
use crate::support::hub::{self, Hub};
use crate::support::web::{Web, document, nothing};

fn zuul(web: &Web) -> Zuul {
    let http = Http::new(settings(&[&web.place()])).unwrap();
    Zuul::new(&http, &format!("{}/api/tenant/example", web.url()).parse().unwrap()).unwrap()
}

async fn asked(answer: Response<Bytes>) -> Result<usize, Error> {
    let web = Web::start(move |_| answer.clone());
    zuul(&web).builds(&BuildQuery::new()).await.map(|builds| builds.len())
}

fn builds() -> Value {
    let artifact = json!({"name": "q.io/a:latest", "url": "docker://i:1/q.io/a:0_latest",
        "metadata": {"type": "container_image", "repository": "q.io/a", "tag": "latest"}});
    json!([{
        "_id": 7, "uuid": "aa", "job_name": "build-image", "result": "SUCCESS", "held": false,
        "end_time": "2026-01-02T03:05:05", "pipeline": "gate", "voting": true, "provides": [],
        "buildset": {"uuid": "bb"}, "artifacts": [{"name": "log", "url": "https://x"}, artifact],
        "ref": {"project": "org/p", "branch": "main", "change": 1001, "patchset": "2",
                "ref": "refs/changes/01/1001/2", "oldrev": null, "newrev": null, "ref_url": "https://r"}}])
}

#[tokio::test]
async fn an_answer_that_is_no_list_of_builds_names_who_gave_it() {
    let page = Response::new(Bytes::from_static(b"<!doctype html><title>Zuul</title>"));
    for answer in [page, document(200, &json!({"builds": []})), nothing(StatusCode::OK)] {
        let error = asked(answer).await.unwrap_err();
        assert_eq!(error.kind(), "protocol");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }
    let endless = json!([{"uuid": "x".repeat(17 * 1024 * 1024)}]);
    assert_eq!(asked(document(200, &endless)).await.unwrap_err().kind(), "too-large");
}

#[tokio::test]
async fn a_tenant_that_is_not_there_is_told_in_zuuls_words() {
    let unknown = document(404, &json!({"message": "Tenant example does not exist."}));
    let error = asked(unknown).await.unwrap_err();
    assert_eq!(error.kind(), "not-found");
    assert!(error.to_string().contains("Tenant example does not exist."), "{error}");
    assert!(error.to_string().contains("/api/tenant/example/builds"), "{error}");
}

#[tokio::test]
async fn builds_are_asked_for_by_what_they_were_run_for() {
    let web = Web::start(|_| document(200, &builds()));
    let query = BuildQuery::parse("change=1001&patchset=2")
        .by(BuildFilter::Pipeline, "gate")
        .by(BuildFilter::JobName, "build image&x")
        .limit(1)
        .skip(2);
    let found = zuul(&web).builds(&query).await.unwrap();
    assert_eq!(
        web.asked(),
        [
            "GET /api/tenant/example/builds?change=1001&patchset=2&pipeline=gate&job_name=build+image%26x&limit=1&skip=2"
        ]
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reference.project.as_deref(), Some("org/p"));
    let images = image_artifacts(&found[0].artifacts).unwrap();
    assert_eq!(images[0].metadata.repository, "q.io/a");
}

#[tokio::test]
async fn a_token_of_docker_hub_that_has_run_out_is_asked_for_again() {
    let hub = Hub::start(&[("change_1_latest", jiff::Timestamp::now())]);
    let http = Http::new(settings(&[&hub.web.place()])).unwrap();
    let url = hub.web.url().parse().unwrap();
    let login = Credentials::new(hub::USER, hub::PASSWORD);
    let api = TagApi::Hub(webapi::Hub::new(&http, &url, Some(login)).unwrap());
    let (repository, tag) = ("org/a".parse().unwrap(), "change_1_latest".parse().unwrap());
    api.tags(&repository).await.unwrap().unwrap();
    hub.forget_token();
    assert!(api.delete_tag(&repository, &tag).await.unwrap());
    assert!(hub.tags().is_empty());
    let logins = hub.web.asked().iter().filter(|asked| asked.starts_with("POST")).count();
    assert_eq!(logins, 2);
}
