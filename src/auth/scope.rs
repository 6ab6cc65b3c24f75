use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::oci::RepositoryName;

/// What a token is for: `repository:<name>:pull,push` or `registry:catalog:*`
/// (distribution, "Token Scope Documentation").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Actions on one repository.
    Repository(RepositoryName, BTreeSet<Action>),
    /// The list of repositories.
    Catalog,
}

/// What may be done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Delete tags, manifests and blobs.
    Delete,
}

/// A text that is not a scope this project knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a token scope")]
pub struct UnknownScope(String);

impl Scope {
    /// A scope over one repository.
    pub fn repository(name: RepositoryName, actions: impl IntoIterator<Item = Action>) -> Self {
        Self::Repository(name, actions.into_iter().collect())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(value: &str) -> Result<Self, UnknownScope> {
        let unknown =
            || UnknownScope(value.chars().take(80).flat_map(char::escape_debug).collect());
        if value == "registry:catalog:*" {
            return Ok(Self::Catalog);
        }
        let rest = value.strip_prefix("repository:").ok_or_else(unknown)?;
        let (name, actions) = rest.rsplit_once(':').ok_or_else(unknown)?;
        let name = name.parse().map_err(|_| unknown())?;
        let mut known = BTreeSet::new();
        for action in actions.split(',').filter(|action| !action.is_empty()) {
            match action {
                "pull" => drop(known.insert(Action::Pull)),
                "push" => drop(known.insert(Action::Push)),
                "delete" => drop(known.insert(Action::Delete)),
                "*" => known.extend([Action::Pull, Action::Push, Action::Delete]),
                _ => return Err(unknown()),
            }
        }
        Ok(Self::Repository(name, known))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog => f.write_str("registry:catalog:*"),
            Self::Repository(name, actions) => {
                write!(f, "repository:{name}:")?;
                for (position, action) in actions.iter().enumerate() {
                    let comma = if position == 0 { "" } else { "," };
                    write!(f, "{comma}{}", action.as_str())?;
                }
                Ok(())
            }
        }
    }
}

impl Action {
    /// The word for it in a scope.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_what_is_no_scope() {
        for text in
            ["", "repository", "repository:a", "repository:A:pull", "repository:a:fly", "x:y:z"]
        {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["repository:a/b:pull,push", "repository:a:pull", "registry:catalog:*"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        let all: Scope = "repository:a:*".parse().unwrap();
        assert_eq!(all.to_string(), "repository:a:pull,push,delete");
    }
}
