use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;

use super::Error;
use crate::oci::Registry;

/// Who is believed when a registry shows its certificate: the roots of the system, and for single
/// registries the certificates named for exactly that host and port.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    extra: BTreeMap<Registry, Vec<CertificateDer<'static>>>,
    certs_d: bool,
}

impl Trust {
    /// The roots of the system, nothing else.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Also the `certs.d/HOST:PORT` folders of docker and podman.
    #[must_use]
    pub fn with_certs_d(mut self) -> Self {
        self.certs_d = true;
        self
    }

    /// Believes these certificates too, for this registry only.
    ///
    /// # Errors
    /// Text without a certificate, or with a broken one.
    pub fn add(&mut self, registry: &Registry, pem: &[u8]) -> Result<(), Error> {
        let _ = (&self.extra, registry, pem);
        todo!()
    }
}
