use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::oci;

/// A SHA-256 digest in 32 bytes, as manifests name images by the ten thousand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl FromStr for Sha256 {
    type Err = oci::Error;

    fn from_str(value: &str) -> Result<Self, oci::Error> {
        if let Some(digest) = value.strip_prefix("sha256:").and_then(decode) {
            return Ok(Self(digest));
        }
        let reason = match value.parse::<oci::Digest>() {
            Err(error) => return Err(error),
            Ok(_) => "a manifest names images by sha256",
        };
        Err(oci::Error::Digest { value: value.to_owned(), reason })
    }
}

/// Lower-case digits only: another spelling would be another key.
fn decode(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    hex::decode_to_slice(hex, &mut bytes).ok()?;
    Some(bytes)
}

impl From<Sha256> for oci::Digest {
    fn from(digest: Sha256) -> Self {
        Self::from_sha256(&digest.0)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 64];
        // Twice 32 bytes always have room.
        let _ = hex::encode_to_slice(self.0, &mut hex);
        f.write_str("sha256:")?;
        f.write_str(std::str::from_utf8(&hex).unwrap_or_default())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_sha256_in_lower_case_is_taken() {
        let hex = "0123456789abcdef".repeat(4);
        for value in [
            String::new(),
            hex.clone(),
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!("sha256:{hex}0"),
            format!(" sha256:{hex}"),
            format!("sha256:{hex}\n"),
            format!("sha512:{hex}{hex}"),
        ] {
            assert!(value.parse::<Sha256>().is_err(), "{value}");
        }
        let digest: Sha256 = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(digest.to_string(), format!("sha256:{hex}"));
        assert_eq!(oci::Digest::from(digest).as_str(), digest.to_string());
    }
}
