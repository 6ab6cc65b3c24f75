use std::fmt;
use std::io;
use std::ops::Range;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::oci::{Digester, RepositoryName, text_conversions};

/// Names an upload session: 128 random bits, so that nobody guesses another's.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(String);

/// How far an upload is: all that another process, or another replica on a shared store, needs to go
/// on with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadState {
    /// Which.
    pub id: UploadId,
    /// The repository it belongs to.
    pub repository: RepositoryName,
    /// How many bytes are there.
    pub offset: u64,
    /// SHA-256 of those bytes, still open.
    pub digester: Digester,
}

/// The bytes of an upload while it is written.
#[async_trait]
pub trait UploadBytes: Send + Sync {
    /// Those of a range of which all has come, perhaps fewer than asked for.
    async fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// A text that is not the name of an upload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an upload")]
pub struct InvalidUploadId;

impl UploadId {
    const HEX_DIGITS: usize = 32;

    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; Self::HEX_DIGITS / 2];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(value: &str) -> Result<Self, InvalidUploadId> {
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if value.len() == Self::HEX_DIGITS && value.bytes().all(hexadecimal) {
            Ok(Self(value.to_owned()))
        } else {
            Err(InvalidUploadId)
        }
    }
}

text_conversions!(UploadId);

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::oci::{Algorithm, Digest};

    #[test]
    fn refuses_what_could_be_a_path() {
        for text in [
            "",
            ".",
            "..",
            "../../../../etc/passwd/../../../..",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(text.parse::<UploadId>().is_err(), "{text}");
        }
        let id = UploadId::random().unwrap();
        assert_eq!(id.as_str().parse::<UploadId>().unwrap(), id);
        assert_ne!(id, UploadId::random().unwrap());
    }

    #[test]
    fn another_process_can_go_on_with_the_state() {
        let mut state = UploadState {
            id: UploadId::random().unwrap(),
            repository: "a/b".parse().unwrap(),
            offset: 3,
            digester: Digester::new(Algorithm::Sha256),
        };
        state.digester.update(b"abc");
        let text = serde_json::to_string(&state).unwrap();
        let mut state: UploadState = serde_json::from_str(&text).unwrap();
        state.digester.update(b"def");
        assert_eq!(state.digester.finish(), Digest::sha256(b"abcdef"));
        assert!(
            serde_json::from_str::<UploadState>(&text.replace("sha256:", "sha256:00")).is_err()
        );
    }
}
