use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Authority, Error, Subject, server};

/// A certificate is made anew after so long, far before it ends.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// How many certificates are kept; more subjects than that push out all others.
const KEPT: usize = 256;

/// Certificates of an authority, made when they are first needed. They are in memory only.
pub struct Leaves {
    authority: Authority,
    made: Mutex<HashMap<Subject, (Instant, Arc<ServerConfig>)>>,
}

impl Leaves {
    /// Those of this authority.
    #[must_use]
    pub fn new(authority: Authority) -> Self {
        Self { authority, made: Mutex::default() }
    }

    /// What a server of `subject` shows.
    ///
    /// # Errors
    /// The authority may not vouch for it, or its key cannot be used.
    pub fn server_config(&self, subject: &Subject) -> Result<Arc<ServerConfig>, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, config)) = made.get(subject)
            && when.elapsed() < FRESH
        {
            return Ok(Arc::clone(config));
        }
        let config = self.make(subject)?;
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(subject.clone(), (Instant::now(), Arc::clone(&config)));
        Ok(config)
    }

    fn make(&self, subject: &Subject) -> Result<Arc<ServerConfig>, Error> {
        if !self.authority.permits(std::slice::from_ref(subject)) {
            return Err(Error::NotPermitted { name: subject.to_string() });
        }
        let issued = self.authority.issue(std::slice::from_ref(subject))?;
        let unusable = |error: rustls::pki_types::pem::Error| Error::File {
            file: format!("the certificate made for {subject}"),
            reason: error.to_string(),
        };
        let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(unusable)?;
        Ok(Arc::new(server::configured(vec![chain.map_err(unusable)?], key)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_the_authority_permits_is_vouched_for_and_once() {
        let subject = |name: &str| name.parse::<Subject>().unwrap();
        let leaves = Leaves::new(Authority::create(vec![subject("quay.io")]).unwrap());
        let refused = leaves.server_config(&subject("docker.io"));
        assert!(matches!(refused, Err(Error::NotPermitted { .. })));
        let first = leaves.server_config(&subject("quay.io")).unwrap();
        let second = leaves.server_config(&subject("quay.io")).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.alpn_protocols, [b"http/1.1"]);
    }
}
