use std::collections::{BTreeMap, BTreeSet};

use crate::auth::{Action, Scope};
use crate::oci::RepositoryName;

/// What a request, and so its token, may do: actions by repository, and whether it may list all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scopes {
    repositories: BTreeMap<RepositoryName, BTreeSet<Action>>,
    catalog: bool,
}

impl Scopes {
    pub(super) fn read(name: &RepositoryName) -> Self {
        Self::of(name, [Action::Pull])
    }

    pub(super) fn write(name: &RepositoryName) -> Self {
        Self::of(name, [Action::Pull, Action::Push])
    }

    pub(super) fn delete(name: &RepositoryName) -> Self {
        Self::of(name, [Action::Pull, Action::Delete])
    }

    pub(super) fn catalog() -> Self {
        Self { repositories: BTreeMap::new(), catalog: true }
    }

    /// Also reading from another repository, to mount its blobs.
    pub(super) fn and_read(mut self, name: &RepositoryName) -> Self {
        self.repositories.entry(name.clone()).or_default().insert(Action::Pull);
        self
    }

    /// Whether a token for these does for `other` too.
    pub(super) fn cover(&self, other: &Self) -> bool {
        let covers = |(name, actions): (&RepositoryName, &BTreeSet<Action>)| {
            let own = self.repositories.get(name);
            own.is_some_and(|own| own.is_superset(actions))
        };
        self.catalog >= other.catalog && other.repositories.iter().all(covers)
    }

    /// As token servers want them, one `scope` parameter each.
    pub(super) fn parameters(&self) -> impl Iterator<Item = String> {
        let repositories = self.repositories.iter();
        let repositories =
            repositories.map(|(name, actions)| Scope::Repository(name.clone(), actions.clone()));
        repositories.chain(self.catalog.then_some(Scope::Catalog)).map(|scope| scope.to_string())
    }

    fn of<const N: usize>(name: &RepositoryName, actions: [Action; N]) -> Self {
        let repositories = BTreeMap::from([(name.clone(), BTreeSet::from(actions))]);
        Self { repositories, catalog: false }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_does_for_less_but_not_for_more() {
        let a = "a".parse().unwrap();
        let b = "b".parse().unwrap();
        let mount = Scopes::write(&a).and_read(&b);
        assert!(!Scopes::read(&a).cover(&Scopes::write(&a)));
        assert!(!Scopes::write(&a).cover(&Scopes::read(&b)));
        assert!(!Scopes::write(&a).cover(&Scopes::delete(&a)));
        assert!(!Scopes::write(&a).cover(&mount));
        assert!(!Scopes::write(&a).cover(&Scopes::catalog()));
        assert!(!Scopes::catalog().cover(&Scopes::read(&a)));
        assert_eq!(Scopes::catalog().parameters().collect::<Vec<_>>(), ["registry:catalog:*"]);
        assert!(mount.cover(&Scopes::write(&a)) && mount.cover(&Scopes::read(&b)));
        let parameters: Vec<_> = mount.parameters().collect();
        assert_eq!(parameters, ["repository:a:pull,push", "repository:b:pull"]);
    }
}
