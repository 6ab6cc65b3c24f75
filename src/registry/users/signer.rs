use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::caller::Account;
use crate::auth::{Action, Scope};
use crate::oci::{Digest, RepositoryName};
use crate::registry::service::StartError;

/// How long a token is good for.
pub(super) const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How far the clocks of those who share a key may be apart.
const CLOCKS: Duration = Duration::from_secs(60);

/// The head of our tokens, a JWT's (RFC 7515). Others are refused without a look, whatever algorithm
/// they name.
const HEAD: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// A keyed hash that stands for a text nobody wants to keep.
pub(super) type Seal = [u8; 32];

/// Makes and checks tokens.
pub(in crate::registry) struct Signer {
    /// The key, filled up with zeros to the block of SHA-256 (RFC 2104, section 2).
    block: [u8; 64],
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::registry) struct Claims {
    /// Who asked for it; empty for nobody.
    #[serde(rename = "sub")]
    pub(in crate::registry) user: String,
    /// The mark of the password it was given for; empty for nobody's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) mark: String,
    #[serde(rename = "iat")]
    pub(in crate::registry) issued: u64,
    #[serde(rename = "exp")]
    expires: u64,
    pub(super) scopes: Vec<String>,
    /// The one image it is for: it reads this digest and what is below it, by digest, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::registry) image: Option<Digest>,
}

impl Signer {
    pub(in crate::registry) fn new(key: [u8; 32]) -> Self {
        let mut block = [0; 64];
        for (to, from) in block.iter_mut().zip(key) {
            *to = from;
        }
        Self { block }
    }

    /// With a key that only this process has.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn random() -> Result<Self, StartError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| StartError::Io {
            doing: "make a random key".to_owned(),
            source: std::io::Error::other(error),
        })?;
        Ok(Self::new(key))
    }

    /// A token for a user, or for anybody, good from `now` on.
    pub(in crate::registry) fn sign(
        &self,
        user: Option<&Account>,
        scopes: &[Scope],
        now: SystemTime,
    ) -> (String, Claims) {
        let issued = seconds(now);
        let claims = Claims {
            user: user.map(|user| user.name.clone()).unwrap_or_default(),
            mark: user.map(|user| user.mark.clone()).unwrap_or_default(),
            issued,
            expires: issued.saturating_add(LIFETIME.as_secs()),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            image: None,
        };
        (self.encode(&claims), claims)
    }

    /// A token that pulls one image, and when it expires in seconds since 1970.
    pub(in crate::registry) fn sign_image(
        &self,
        user: &Account,
        repository: &RepositoryName,
        image: &Digest,
        lifetime: Duration,
        now: SystemTime,
    ) -> (String, u64) {
        let issued = seconds(now);
        let claims = Claims {
            user: user.name.clone(),
            mark: user.mark.clone(),
            issued,
            expires: issued.saturating_add(lifetime.as_secs()),
            scopes: vec![Scope::repository(repository.clone(), [Action::Pull]).to_string()],
            image: Some(image.clone()),
        };
        (self.encode(&claims), claims.expires)
    }

    fn encode(&self, claims: &Claims) -> String {
        let body = serde_json::to_vec(claims).unwrap_or_default();
        let text = format!(
            "{}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(HEAD),
            BASE64_URL_SAFE_NO_PAD.encode(body)
        );
        let seal = self.mac(&text).finalize().into_bytes();
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(seal))
    }

    /// What stands for a user's password in tokens.
    pub(super) fn mark(&self, name: &str, credential: &str) -> String {
        let seal = self.seal(&["mark", name, credential]);
        hex::encode(seal.get(..8).unwrap_or_default())
    }

    /// A keyed hash of texts, none of which runs into the next.
    pub(super) fn seal(&self, texts: &[&str]) -> Seal {
        let mut mac = Hmac::<Sha256>::new(&self.block.into());
        for text in texts {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// What a token of ours that has not expired says.
    pub(in crate::registry) fn verify(&self, token: &str, now: SystemTime) -> Option<Claims> {
        let (text, seal) = token.rsplit_once('.')?;
        let (head, body) = text.split_once('.')?;
        let seal = BASE64_URL_SAFE_NO_PAD.decode(seal).ok()?;
        // Compares in constant time.
        self.mac(text).verify_slice(&seal).ok()?;
        if BASE64_URL_SAFE_NO_PAD.decode(head).ok()? != HEAD.as_bytes() {
            return None;
        }
        let claims: Claims =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        let now = seconds(now);
        let begun = claims.issued <= now.saturating_add(CLOCKS.as_secs());
        (begun && now < claims.expires).then_some(claims)
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.block.into());
        mac.update(text.as_bytes());
        mac
    }
}

impl Claims {
    /// What it is for.
    pub(super) fn scopes(&self) -> impl Iterator<Item = Scope> {
        self.scopes.iter().filter_map(|scope| scope.parse().ok())
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::registry::users::caller::{Level, Rights};

    fn scopes() -> Vec<Scope> {
        vec!["repository:a/b:pull,push".parse().unwrap(), Scope::Catalog]
    }

    fn reseal(token: &str, head: &str, key: [u8; 32]) -> String {
        let body = token.split('.').nth(1).unwrap();
        let text = format!("{}.{body}", BASE64_URL_SAFE_NO_PAD.encode(head));
        let seal = Signer::new(key).mac(&text).finalize().into_bytes();
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(seal))
    }

    fn zuul() -> Account {
        let rights = Rights::new(Level::Write, None);
        Account { name: "zuul".to_owned(), rights, mark: "mark".to_owned() }
    }

    #[test]
    fn refuses_forged_expired_and_odd_tokens() {
        let now = SystemTime::now();
        let signer = Signer::new([7; 32]);
        let (token, _) = signer.sign(Some(&zuul()), &scopes(), now);
        let (text, _) = token.rsplit_once('.').unwrap();
        let mut constant = [0; 32];
        constant[..6].copy_from_slice(b"secret");
        for forged in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            text.to_owned(),
            format!("{text}."),
            format!("{token}A"),
            format!("{token}.{token}"),
            reseal(&token, HEAD, constant),
            reseal(&token, HEAD, [0; 32]),
            reseal(&token, r#"{"alg":"none"}"#, [7; 32]),
            reseal(&token, r#"{"alg":"HS512","typ":"JWT"}"#, [7; 32]),
            reseal(&token, r#"{"alg":"HS256","typ":"JWT","kid":"x"}"#, [7; 32]),
            reseal(&token, r#"{"typ":"JWT","alg":"HS256"}"#, [7; 32]),
            format!("{}.{}.", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), "e30"),
        ] {
            assert_eq!(signer.verify(&forged, now), None, "{forged}");
        }
        assert_eq!(signer.verify(&token, now + LIFETIME), None);
        assert_eq!(signer.verify(&token, now - 2 * CLOCKS), None);
        assert!(signer.verify(&token, now - CLOCKS / 2).is_some());
        assert_eq!(Signer::new([8; 32]).verify(&token, now), None);
        assert_eq!(signer.verify(&reseal(&token, HEAD, [7; 32]), now).unwrap().user, "zuul");
    }

    #[test]
    fn a_token_says_what_it_was_given() {
        let now = SystemTime::now();
        let signer = Signer::new([7; 32]);
        let (token, claims) = signer.sign(Some(&zuul()), &scopes(), now);
        assert_eq!(signer.verify(&token, now + LIFETIME / 2), Some(claims.clone()));
        assert_eq!(claims.scopes().collect::<Vec<_>>(), scopes());
    }
}
