use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;

/// What a server shows: the certificate (with its chain) and key in two PEM files. HTTP/1.1 only.
///
/// # Errors
/// Files that cannot be read, hold no certificate or key, or do not belong together.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let failed =
        |file: &Path, reason: String| Error::File { file: file.display().to_string(), reason };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|error| failed(certificate, format!("no certificate can be read: {error}")))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| failed(key, format!("no private key can be read: {error}")))?;
    let config = configured(chain, private).map_err(|error| {
        failed(key, format!("cannot be used with {}: {error}", certificate.display()))
    })?;
    Ok(Arc::new(config))
}

/// What a server of this certificate, with its chain, and key shows.
pub(super) fn configured(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
