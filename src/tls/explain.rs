use rustls::{AlertDescription, CertificateError, Error};

/// What a failed handshake with `host` means, and what to do about it.
#[must_use]
pub fn explain(error: &Error, host: &str) -> String {
    match error {
        Error::InvalidCertificate(reason) => certificate(reason, host),
        Error::InvalidMessage(_) => format!(
            "it does not speak TLS ({error}); if it is meant to speak plain HTTP, \
             name it with --plain-http {host} (in a configuration: as `http://`)"
        ),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("it does not know the name {host} ({error})")
        }
        Error::General(reason) if reason.contains("No CA certificates") => format!(
            "this machine has no CA certificates; install them, \
             or name the registry's with --ca-file {host}=PEM (in a configuration: `ca`)"
        ),
        other => other.to_string(),
    }
}

fn certificate(reason: &CertificateError, host: &str) -> String {
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "its certificate is from a CA that is not trusted here; \
             name the right one with --ca-file {host}=PEM (in a configuration: `ca`)"
        ),
        CertificateError::Other(other)
            if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
        {
            format!(
                "its certificate is its own CA and not one that is trusted here; \
                 name that very certificate with --ca-file {host}=PEM (in a configuration: `ca`)"
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {host} ({reason}); use a name it was issued for")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({reason}); it needs a new one")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({reason}); check the clocks of both sides")
        }
        other => format!("its certificate is refused: {other}"),
    }
}
