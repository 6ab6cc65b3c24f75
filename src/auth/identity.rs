use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::helper::{PATIENCE, output_of};
use super::{CredentialStore, Credentials, Error};
use crate::oci::{Registry, RepositoryName};

/// Tokens of clouds are good for an hour, and their commands keep them.
const GOOD_FOR: Duration = Duration::from_secs(300);

/// Somebody with a name, who is known by an auth file or by what a command prints.
#[derive(Debug, Clone)]
pub struct Identity {
    /// How others call it.
    pub name: String,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    File(CredentialStore),
    Command(Vec<String>, Arc<Mutex<Option<(Credentials, Instant)>>>),
}

impl FromStr for Identity {
    type Err = String;

    /// `NAME=FILE` or `NAME=COMMAND WITH ARGUMENTS`: what names a file that is no program is an auth file.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected NAME=AUTHFILE or NAME=COMMAND".to_owned();
        // A command has `=` in its arguments.
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || words.is_empty() {
            return Err(wrong());
        }
        let path = PathBuf::from(value);
        let way = match path.is_file() && !is_program(&path) {
            true => {
                let store = CredentialStore::read_authfile(&path);
                Way::File(store.map_err(|error| error.to_string())?)
            }
            false => Way::Command(words, Arc::default()),
        };
        Ok(Self { name: name.to_owned(), way })
    }
}

fn is_program(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o111 != 0)
}

impl Identity {
    pub(super) async fn find(
        &self,
        registry: &Registry,
        name: Option<&RepositoryName>,
    ) -> Result<Option<Credentials>, Error> {
        match (&self.way, name) {
            (Way::File(store), Some(name)) => Box::pin(store.lookup(registry, name)).await,
            (Way::File(store), None) => Box::pin(store.lookup_registry(registry)).await,
            (Way::Command(words, known), _) => {
                let mut known = known.lock().await;
                if let Some((credentials, since)) = known.as_ref()
                    && since.elapsed() < GOOD_FOR
                {
                    return Ok(Some(credentials.clone()));
                }
                let credentials = self.ask(words.clone()).await?;
                *known = Some((credentials.clone(), Instant::now()));
                Ok(Some(credentials))
            }
        }
    }

    /// The command prints a token, or `USER:PASSWORD`.
    async fn ask(&self, words: Vec<String>) -> Result<Credentials, Error> {
        let fail = |reason: String| Error::Identity { name: self.name.clone(), reason };
        let run = move || {
            let (program, arguments) = words.split_first().ok_or("there is no command")?;
            output_of(Command::new(program).args(arguments), &[], PATIENCE)
        };
        let output = tokio::task::spawn_blocking(run).await;
        let (status, answer) = output.map_err(|error| fail(error.to_string()))?.map_err(fail)?;
        if !status.success() {
            return Err(fail(format!("the command ended with {status}")));
        }
        let answer = String::from_utf8(answer).unwrap_or_default();
        let answer = answer.trim();
        if answer.is_empty() || answer.contains(char::is_whitespace) {
            return Err(fail("the command did not print a token".to_owned()));
        }
        let (user, password) = answer.split_once(':').unwrap_or(("oauth2accesstoken", answer));
        Ok(Credentials::new(user, password))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn found(identity: &str) -> Result<Option<Credentials>, Error> {
        identity.parse::<Identity>().unwrap().find(&"r.example".parse().unwrap(), None).await
    }

    #[tokio::test]
    async fn a_command_that_fails_or_babbles_is_an_error_without_its_words() {
        for command in ["a=false", "a=echo hunter2 and more", "a=true", "a=/nonexistent/command"] {
            let error = found(command).await.unwrap_err().to_string();
            assert!(error.contains("`a`") && !error.contains("hunter2"), "{error}");
        }
        for text in ["", "a", "=b", "a=", "a= "] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_command_prints_a_token_and_a_file_is_an_auth_file() {
        let token = found("robot@x.example=echo ya29.t").await.unwrap().unwrap();
        assert_eq!(token, Credentials::new("oauth2accesstoken", "ya29.t"));
        let pair = found("robot=echo me:secret").await.unwrap().unwrap();
        assert_eq!(pair, Credentials::new("me", "secret"));
        let identity: Identity = "robot=echo --user=me:a=b".parse().unwrap();
        assert_eq!(identity.name, "robot");
        let pair = found("robot=echo --user=me:a=b").await.unwrap().unwrap();
        assert_eq!(pair, Credentials::new("--user=me", "a=b"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        std::fs::write(&path, r#"{"auths":{"r.example":{"auth":"bWU6c2VjcmV0"}}}"#).unwrap();
        let found = found(&format!("robot={}", path.display())).await.unwrap().unwrap();
        assert_eq!(found, Credentials::new("me", "secret"));
    }
}
