use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

use super::Error;

/// A content digest, `sha256:<64 hex>` or `sha512:<128 hex>` in lower case
/// (image-spec, descriptor.md, "Digests").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    text: Arc<str>,
}

/// The registered digest algorithms of the image-spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, what every registry and client speaks.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// The digest of `bytes` in memory.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut digester = Digester::new(algorithm);
        digester.update(bytes);
        digester.finish()
    }

    /// The SHA-256 digest of `bytes` in memory.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The SHA-256 digest that is these bytes.
    #[must_use]
    pub fn from_sha256(bytes: &[u8; 32]) -> Self {
        let text = format!("sha256:{}", hex::encode(bytes)).into();
        Self { algorithm: Algorithm::Sha256, text }
    }

    /// Which algorithm made it.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal part.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The whole text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first twelve hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_default()
    }
}

/// Computes a digest over bytes as they pass. Its state can be written down half way
/// (`algorithm:<hex of the state>`) and another process goes on with it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digester(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Digester {
    /// Starts with no bytes.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything taken.
    #[must_use]
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            State::Sha256(state) => (Algorithm::Sha256, hex::encode(state.finalize())),
            State::Sha512(state) => (Algorithm::Sha512, hex::encode(state.finalize())),
        };
        Digest { algorithm, text: format!("{}:{hex}", algorithm.as_str()).into() }
    }
}

impl From<Digester> for String {
    fn from(digester: Digester) -> Self {
        let (algorithm, state) = match &digester.0 {
            State::Sha256(state) => (Algorithm::Sha256, hex::encode(state.serialize())),
            State::Sha512(state) => (Algorithm::Sha512, hex::encode(state.serialize())),
        };
        format!("{}:{state}", algorithm.as_str())
    }
}

impl TryFrom<String> for Digester {
    type Error = Error;

    fn try_from(value: String) -> Result<Self, Error> {
        let fail = || Error::Digest {
            value: super::name::excerpt(&value),
            reason: "it is not the state of a digest half way",
        };
        let (algorithm, state) = value.split_once(':').ok_or_else(fail)?;
        let state = hex::decode(state).map_err(|_| fail())?;
        let state = match algorithm {
            "sha256" => restore(&state).map(State::Sha256),
            "sha512" => restore(&state).map(State::Sha512),
            _ => None,
        };
        state.map(Self).ok_or_else(fail)
    }
}

fn restore<H: SerializableState>(state: &[u8]) -> Option<H> {
    let state = SerializedState::<H>::try_from(state).ok()?;
    H::deserialize(&state).ok()
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester")
    }
}

impl Algorithm {
    /// The name used in digests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let fail = |reason| Error::Digest { value: super::name::excerpt(value), reason };
        let (name, hex) = value.split_once(':').ok_or_else(|| fail("there is no `:`"))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(fail("the algorithm is neither sha256 nor sha512")),
        };
        if hex.len() != algorithm.hex_digits() {
            return Err(fail("the number of hexadecimal digits is wrong"));
        }
        if !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(fail("only the digits 0-9 and a-f are allowed"));
        }
        Ok(Self { algorithm, text: value.into() })
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(value: String) -> Result<Self, Error> {
        value.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.text.as_ref().to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn refuses_what_is_not_a_digest() {
        for value in [
            "",
            "sha256",
            "sha256:",
            "sha256:e3b0",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85/",
            "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd00",
        ] {
            assert!(value.parse::<Digest>().is_err(), "{value}");
        }
    }

    #[test]
    fn of_no_bytes_is_the_well_known_digest() {
        let digest = Digest::sha256(b"");
        assert_eq!(digest.as_str(), EMPTY);
        assert_eq!(digest, EMPTY.parse().unwrap());
        assert_eq!(digest.short(), "e3b0c44298fc");
        assert_eq!(Digest::of(Algorithm::Sha512, b"").hex().len(), 128);
    }
}
