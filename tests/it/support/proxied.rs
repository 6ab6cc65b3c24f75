//! A registry that is a forward proxy, a real registry behind it, and a client of both.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use tempfile::TempDir;
use zuul_images::proxy;
use zuul_images::registry::Config;
use zuul_images::registry::config::init::{Plan, init};
use zuul_images::tls::{Authority, Subject};

use super::faulty::Faulty;
use super::http::{Answer, read_answer};
use super::registry::{READER, Registry, basic};

/// A forward proxy for one registry, `localhost:PORT`, that is the [`Faulty`] one.
pub struct Proxied {
    pub registry: Registry,
    pub real: Faulty,
    /// `localhost:PORT` of the real registry.
    pub target: String,
    /// The certificate that clients of the proxy believe.
    pub authority: String,
    _folder: TempDir,
}

impl Proxied {
    /// It may reach loopback.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With a change to its configuration.
    pub async fn start_with(change: impl FnOnce(&mut proxy::Config)) -> Self {
        Self::start_as(change, |_| {}).await
    }

    /// With another to that of its registry.
    pub async fn start_as(
        change: impl FnOnce(&mut proxy::Config),
        settle: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let localhost = "localhost".parse::<Subject>().unwrap();
        let certificate = write_certificate(folder.path(), &[localhost]);
        let real = Faulty::start_tls(&certificate.0, &certificate.1).await;
        let target = format!("localhost:{}", real.address.port());
        let root = folder.path().join("root");
        let made = init(&Plan {
            root: root.clone(),
            host: "127.0.0.1".to_owned(),
            sans: Vec::new(),
            port: 5000,
            user: "zuul".to_owned(),
            site: false,
            proxied: vec![target.parse().unwrap()],
        });
        let mut config = proxy::Config {
            registries: vec![target.parse().unwrap()],
            ports: vec![443],
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            certificates: [(target.clone(), folder.path().join("ca.pem"))].into(),
            authority: root.join("tls"),
        };
        change(&mut config);
        let registry = Registry::start_with(|settings| {
            settings.forward_proxy = Some(config);
            settle(settings);
        });
        let authority = made.unwrap().connection.cert.unwrap();
        Self { registry, real, target, authority, _folder: folder }
    }

    /// The name of a repository of the real registry here.
    pub fn here(&self, repository: &str) -> String {
        format!("{}/{repository}", self.target.replace(':', "_"))
    }

    /// CONNECT as the reader.
    pub fn connect(&self, authority: &str) -> (Answer, TcpStream) {
        let login = basic(READER, "secret");
        connect(self.registry.address, authority, &[("Proxy-Authorization", &login)])
    }

    /// A tunnel to the real registry, with TLS that believes the proxy's authority.
    pub fn tunnel(&self) -> Tunnel {
        let (answer, stream) = self.connect(&self.target);
        assert_eq!(answer.status, 200, "{answer:?}");
        Tunnel::secure(stream, "localhost", client_config(&self.authority), &self.target)
    }
}

/// CONNECT with these headers.
pub fn connect(to: SocketAddr, authority: &str, headers: &[(&str, &str)]) -> (Answer, TcpStream) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all((head + "\r\n").as_bytes()).unwrap();
    let answer = read_answer(&mut stream, true);
    (answer, stream)
}

/// What a client says in a tunnel.
pub struct Tunnel {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    host: String,
}

impl Tunnel {
    /// With TLS for `name`, speaking to `host`.
    pub fn secure(stream: TcpStream, name: &str, config: ClientConfig, host: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Self { stream: StreamOwned::new(session, stream), host: host.to_owned() }
    }

    /// One request without a body.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(method, path, headers, b"")
    }

    /// One request with a body, whose framing the headers say.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(&[(head + "\r\n").as_bytes(), body].concat(), method != "HEAD")
    }

    /// Exactly these bytes.
    pub fn raw(&mut self, bytes: &[u8], has_body: bool) -> Answer {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
        read_answer(&mut self.stream, has_body)
    }
}

/// A client that believes one authority.
pub fn client_config(pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A client that believes everybody.
pub fn credulous_config() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth()
}

/// `server.pem` and `server.key` for these subjects in a folder, of an authority in its `ca.pem`.
pub fn write_certificate(
    folder: &Path,
    subjects: &[Subject],
) -> (std::path::PathBuf, std::path::PathBuf) {
    let authority = Authority::create(subjects.to_vec()).unwrap();
    let issued = authority.issue(subjects).unwrap();
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    std::fs::write(folder.join("ca.pem"), &authority.certificate).unwrap();
    std::fs::write(&certificate, issued.certificate).unwrap();
    std::fs::write(&key, issued.key).unwrap();
    (certificate, key)
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
