use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use super::Error;
use crate::oci::Registry;

/// Who is believed when a registry shows its certificate: the roots of the system, and for single
/// registries also the certificates named for exactly that host and port.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    everywhere: Vec<CertificateDer<'static>>,
    named: BTreeMap<Registry, Vec<CertificateDer<'static>>>,
    folders: Vec<PathBuf>,
}

impl Trust {
    /// The roots of the system, nothing else.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Also the `certs.d/HOST[:PORT]/*.crt` of podman (containers-certs.d(5)) and docker, both the
    /// machine's and the user's. Client certificates kept there are not used.
    #[must_use]
    pub fn with_certs_d(self) -> Self {
        let mut folders =
            vec![PathBuf::from("/etc/containers/certs.d"), PathBuf::from("/etc/docker/certs.d")];
        if let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) {
            let config = Path::new(&home).join(".config");
            folders.push(config.join("containers/certs.d"));
            folders.push(config.join("docker/certs.d"));
        }
        self.with_certs_d_in(folders)
    }

    /// Also `FOLDER/HOST[:PORT]/*.crt` of these folders.
    #[must_use]
    pub fn with_certs_d_in(mut self, folders: Vec<PathBuf>) -> Self {
        self.folders = folders;
        self
    }

    /// Believes these certificates too, for this registry only: as CAs, and each as a server's own
    /// certificate.
    ///
    /// # Errors
    /// Text without a certificate, or with a broken one.
    pub fn add(&mut self, registry: &Registry, pem: &[u8]) -> Result<(), Error> {
        let certificates = read_pem(registry, pem)?;
        self.named.entry(key(registry)).or_default().extend(certificates);
        Ok(())
    }

    /// Believes these certificates of `registry` wherever connections lead: for who speaks to that registry
    /// alone, and goes to its token server and its store of blobs for it.
    ///
    /// # Errors
    /// Text without a certificate, or with a broken one.
    pub fn add_everywhere(&mut self, registry: &Registry, pem: &[u8]) -> Result<(), Error> {
        self.everywhere.extend(read_pem(registry, pem)?);
        Ok(())
    }

    /// What is believed for `registry` beyond the roots of the system.
    ///
    /// # Errors
    /// A file below `certs.d` that cannot be read.
    pub fn extra(&self, registry: &Registry) -> Result<Extra, Error> {
        let registry = key(registry);
        let mut certificates = self.everywhere.clone();
        certificates.extend(self.named.get(&registry).into_iter().flatten().cloned());
        for folder in &self.folders {
            for name in folder_names(&registry) {
                certificates.extend(read_folder(&registry, &folder.join(name))?);
            }
        }
        Ok(Extra(certificates))
    }
}

/// Certificates believed for one registry only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Extra(Vec<CertificateDer<'static>>);

impl Extra {
    /// Whether there are none, so that the registry can share connections' settings with others.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings for connections to registries with this trust. The system's roots are read when
    /// the first certificate is to be judged: a machine without any still reaches registries by
    /// plain HTTP or by their named certificates.
    ///
    /// # Errors
    /// A TLS library without common protocol versions.
    pub fn client_config(self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = RegistryVerifier {
            extra: self.0,
            provider: Arc::clone(&provider),
            roots: OnceLock::new(),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(config)
    }
}

/// The rules of the platform, and one more: a certificate that was itself named is believed when
/// the server shows it, byte for byte, though it is marked as a CA. The registries of `zuul-jobs`
/// are set up by `openssl req -x509`, whose certificates are their own CA, and webpki refuses such
/// (`CaUsedAsEndEntity`) where OpenSSL and Go do not. Name and validity are checked as ever.
#[derive(Debug)]
struct RegistryVerifier {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    roots: OnceLock<Result<Verifier, rustls::Error>>,
}

impl RegistryVerifier {
    fn roots(&self) -> Result<&Verifier, rustls::Error> {
        self.roots
            .get_or_init(|| {
                Verifier::new_with_extra_roots(self.extra.clone(), Arc::clone(&self.provider))
            })
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl ServerCertVerifier for RegistryVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = self.roots()?;
        match roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(error) if is_ca_as_server(&error) && self.extra.contains(end_entity) => {
                // webpki looks at the validity before it looks at the CA mark, so that is in order.
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_ca_as_server(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// One spelling for each host and port: all names of Docker Hub are one, no port is 443.
fn key(registry: &Registry) -> Registry {
    if registry.is_docker_hub() {
        return Registry::docker_hub();
    }
    let port = registry.port().unwrap_or(443);
    Registry::new(registry.host(), Some(port)).unwrap_or_else(|_| registry.clone())
}

fn folder_names(registry: &Registry) -> Vec<String> {
    let mut names = vec![registry.to_string()];
    if let Some(name) = names.first().and_then(|name| name.strip_suffix(":443")) {
        names.push(name.to_owned());
    }
    names
}

fn read_folder(registry: &Registry, folder: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "crt"));
    paths.sort();
    let mut certificates = Vec::new();
    for path in paths {
        let unusable = |reason: String| Error::Pem {
            registry: registry.to_string(),
            reason: format!("{}: {reason}", path.display()),
        };
        let pem = std::fs::read(&path).map_err(|error| unusable(error.to_string()))?;
        let read = read_pem(registry, &pem).map_err(|error| match error {
            Error::Pem { reason, .. } => unusable(reason),
            other => other,
        })?;
        certificates.extend(read);
    }
    Ok(certificates)
}

fn read_pem(registry: &Registry, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable = |reason: String| Error::Pem { registry: registry.to_string(), reason };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("there is no `-----BEGIN CERTIFICATE-----` in it".to_owned()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(certificates)
}
