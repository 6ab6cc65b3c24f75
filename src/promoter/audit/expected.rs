use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::promoter::edges::Edges;
use crate::promoter::sha256::Sha256;

/// What manifests say that is in each repository.
#[derive(Debug, Default)]
pub struct Expected {
    repositories: HashMap<String, Repository>,
}

/// What belongs in one repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    /// With their tags.
    pub(super) digests: BTreeMap<Sha256, BTreeSet<String>>,
    /// The repositories it is filled from, and with which digests.
    pub(super) sources: BTreeMap<String, BTreeSet<Sha256>>,
}

impl Expected {
    /// What these edges put where.
    #[must_use]
    pub fn of(edges: &Edges) -> Self {
        let mut expected = Self::default();
        for edge in edges.list() {
            let Some(digest) = edges.digest(edge.digest) else { continue };
            let path = edges.repository(edge.destination);
            let repository = expected.repositories.entry(path.to_owned()).or_default();
            let tags = repository.digests.entry(digest).or_default();
            tags.extend(edges.tag(edge.tag).map(str::to_owned));
            let source = edges.repository(edge.source).to_owned();
            repository.sources.entry(source).or_default().insert(digest);
        }
        expected
    }

    /// What belongs in the repository at this path; the path is never cut, so it does not matter how
    /// registries nest.
    pub(super) fn repository(&self, path: &str) -> Option<&Repository> {
        self.repositories.get(path)
    }

    /// The repositories that all are filled from.
    pub(super) fn sources(&self) -> BTreeSet<&str> {
        let repositories = self.repositories.values();
        repositories.flat_map(|it| it.sources.keys().map(String::as_str)).collect()
    }

    /// All repositories.
    pub(super) fn paths(&self) -> HashSet<&str> {
        self.repositories.keys().map(String::as_str).collect()
    }
}
