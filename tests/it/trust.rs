//! Which certificates a client believes.

use std::path::Path;

use http::Method;
use tempfile::TempDir;
use zuul_images::auth::CredentialStore;
use zuul_images::client::{Client, Error};
use zuul_images::http::{Http, Settings};
use zuul_images::oci::Registry;
use zuul_images::tls::Trust;

use crate::support::certificates::self_signed;
use crate::support::clients::{settings, tag};
use crate::support::faulty::{Fault, Faulty};

async fn look(server: &Faulty, trust: Trust) -> Result<bool, Error> {
    let registry = server.registry();
    let settings = Settings { trust, ..settings(&[]) };
    let client = Client::new(Http::new(settings).unwrap(), CredentialStore::empty());
    let repository = client.repository(&registry, &"a".parse().unwrap());
    Ok(repository.head(&tag("t")).await?.is_some())
}

fn trusting(registry: &Registry, certificate: &Path) -> Trust {
    let mut trust = Trust::system();
    trust.add(registry, &std::fs::read(certificate).unwrap()).unwrap();
    trust
}

#[tokio::test]
async fn a_certificate_nobody_named_is_refused_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = self_signed(folder.path(), "IP:127.0.0.1");
    let server = Faulty::start_tls(&certificate, &key).await;
    let (other, _) = self_signed(folder.path(), "DNS:other");
    let elsewhere: Registry = "127.0.0.1:1".parse().unwrap();
    for trust in
        [Trust::system(), trusting(&server.registry(), &other), trusting(&elsewhere, &certificate)]
    {
        let error = look(&server, trust).await.unwrap_err();
        assert_eq!(error.kind(), "tls", "{error}");
        let wanted = format!("--ca-file {}=PEM", server.address);
        assert!(error.to_string().contains(&wanted), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_though_it_is_named() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = self_signed(folder.path(), "DNS:other");
    let server = Faulty::start_tls(&certificate, &key).await;
    let error = look(&server, trusting(&server.registry(), &certificate)).await.unwrap_err();
    assert_eq!(error.kind(), "tls");
    assert!(error.to_string().contains("is not for"), "{error}");
}

/// webpki happens to look at the validity before the CA mark; the exception for named certificates
/// rests on that.
#[tokio::test]
async fn a_named_certificate_that_has_expired_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let pair = rcgen::KeyPair::generate().unwrap();
    let (certificate, key) = (folder.path().join("expired.crt"), folder.path().join("expired.key"));
    std::fs::write(&certificate, parameters.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let server = Faulty::start_tls(&certificate, &key).await;
    let error = look(&server, trusting(&server.registry(), &certificate)).await.unwrap_err();
    assert!(error.to_string().contains("has expired"), "{error}");
}

#[tokio::test]
async fn a_named_certificate_that_is_its_own_ca_is_believed() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = self_signed(folder.path(), "IP:127.0.0.1");
    let server = Faulty::start_tls(&certificate, &key).await;
    assert!(!look(&server, trusting(&server.registry(), &certificate)).await.unwrap());
    // The same from a certs.d folder.
    let place = folder.path().join("certs.d").join(server.address.to_string());
    std::fs::create_dir_all(&place).unwrap();
    std::fs::copy(&certificate, place.join("ca.crt")).unwrap();
    let trust = Trust::system().with_certs_d_in(vec![folder.path().join("certs.d")]);
    assert!(!look(&server, trust).await.unwrap());
}

#[tokio::test]
async fn plain_http_where_tls_is_meant_is_said() {
    let server = Faulty::start().await;
    let error = look(&server, Trust::system()).await.unwrap_err();
    assert_eq!(error.kind(), "tls");
    assert!(error.to_string().contains("--plain-http"), "{error}");
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_at_once() {
    let registry: Registry = "h.example:5000".parse().unwrap();
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in [&b""[..], b"hello", broken] {
        let error = Trust::system().add(&registry, pem).unwrap_err();
        assert!(error.to_string().contains("h.example:5000"), "{error}");
    }
}

#[tokio::test]
async fn tls_is_never_left_by_a_redirect() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = self_signed(folder.path(), "IP:127.0.0.1");
    let server = Faulty::start_tls(&certificate, &key).await;
    let plain = Faulty::start().await;
    let to = vec![("location", format!("http://{}/v2/", plain.address))];
    server.fault(1, Method::HEAD, "", Fault::Answer(307, to, String::new()));
    let error = look(&server, trusting(&server.registry(), &certificate)).await.unwrap_err();
    assert_eq!(error.kind(), "redirect");
    assert_eq!(plain.requests().len(), 0);
}
