use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Document, Error, Secrecy};
use crate::oci::Registry;

/// How to reach a registry: the shape of the `buildset_registry` and `intermediate_registry`
/// variables. Keys this project does not know are ignored, other sites may add some.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login name.
    pub username: String,
    /// Login password.
    pub password: String,
    /// PEM of the certificate authority, or of the server's own self-signed certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// The registries it is a forward proxy for, `HOST[:PORT]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxied: Vec<String>,
}

impl Connection {
    /// Reads a CONNECTION file.
    ///
    /// # Errors
    /// Names file, line and column, never the text, which holds a password.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let document = Document::read(path, Secrecy::Secret)?;
        let connection: Self = document.parse()?;
        connection.registry()?;
        Ok(connection)
    }

    /// The registry meant.
    ///
    /// # Errors
    /// A host that is neither a name nor an address.
    pub fn registry(&self) -> Result<Registry, Error> {
        Registry::new(&self.host, Some(self.port)).map_err(|error| Error::value("host", error))
    }

    /// The PEM, where there is a non-empty one.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.cert.as_deref().filter(|pem| !pem.trim().is_empty())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}@{}:{})", self.username, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_what_zuul_jobs_returns_and_never_shows_the_password() {
        let text = r#"{"host": "2001:db8::1", "port": 5000, "username": "zuul", "password": "a:b,c", "cert": "", "more": 1}"#;
        let connection: Connection = Document::new("c", text).parse().unwrap();
        assert_eq!(connection.registry().unwrap().to_string(), "[2001:db8::1]:5000");
        assert_eq!(connection.certificate(), None);
        assert!(!format!("{connection:?}").contains("a:b"));
    }
}
