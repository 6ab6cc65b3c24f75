use super::Inner;
use super::files;
use crate::oci::{RepositoryName, Tag};
use crate::storage::{Error, Page, Paging};

impl Inner {
    pub(super) fn tags(
        &self,
        repository: &RepositoryName,
        paging: &Paging,
    ) -> Result<Page<Tag>, Error> {
        match self.all_tags(repository)? {
            Some(tags) => Ok(Page::cut(tags, paging)),
            None if self.layout.manifests(repository).is_dir() => Ok(Page::cut([], paging)),
            None => Err(Error::RepositoryUnknown(repository.clone())),
        }
    }

    /// In byte order; `None` if there never was one.
    pub(super) fn all_tags(&self, repository: &RepositoryName) -> Result<Option<Vec<Tag>>, Error> {
        let names = files::names(&self.layout.tags(repository))?;
        Ok(names.map(|names| names.iter().filter_map(|name| name.parse().ok()).collect()))
    }

    pub(super) fn repositories(&self, paging: &Paging) -> Result<Page<RepositoryName>, Error> {
        let mut filled = Vec::new();
        for repository in self.all_repositories()? {
            if self.holds_manifests(&repository)? {
                filled.push(repository);
            }
        }
        Ok(Page::cut(filled, paging))
    }

    fn holds_manifests(&self, repository: &RepositoryName) -> Result<bool, Error> {
        let folder = self.layout.manifests(repository);
        for algorithm in files::names(&folder)?.unwrap_or_default() {
            let names = files::names(&folder.join(algorithm))?;
            if names.is_some_and(|names| !names.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything with a folder of its own, in byte order.
    pub(super) fn all_repositories(&self) -> Result<Vec<RepositoryName>, Error> {
        let top = self.layout.repositories();
        let mut found = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let mut used = false;
            for name in files::names(&top.join(&folder))?.unwrap_or_default() {
                if name.starts_with('_') {
                    used = true;
                } else if folder.is_empty() {
                    folders.push(name);
                } else {
                    folders.push(format!("{folder}/{name}"));
                }
            }
            if used {
                found.extend(folder.parse::<RepositoryName>().ok());
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}
