use std::fmt;

/// A password or token. It is never shown: not by `Debug`, not in errors, not in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Who one is to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user, or `<token>` where the password is an identity token, as docker's credential
    /// helpers have it.
    pub username: String,
    /// The user's password, or an identity token.
    pub password: Secret,
}

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Credentials {
    const TOKEN: &str = "<token>";

    /// A user and a password.
    #[must_use]
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: Secret::new(password) }
    }

    /// An identity token (OAuth2 refresh token), as `docker login` gets from some registries.
    #[must_use]
    pub fn from_identity_token(token: impl Into<String>) -> Self {
        Self::new(Self::TOKEN, token)
    }

    /// The identity token, if that is what this is.
    #[must_use]
    pub fn identity_token(&self) -> Option<&Secret> {
        (self.username == Self::TOKEN).then_some(&self.password)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let credentials = Credentials::new("zuul", "hunter2");
        assert!(!format!("{credentials:?} {}", credentials.password).contains("hunter2"));
        assert_eq!(credentials.password.reveal(), "hunter2");
    }
}
