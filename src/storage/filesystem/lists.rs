use std::fs;

use super::Inner;
use super::{files, layout};
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
        let enough = paging.limit.map(|limit| limit.saturating_add(1));
        for repository in self.all_repositories()? {
            if enough.is_some_and(|enough| filled.len() >= enough) {
                break;
            }
            let later = paging.after.as_deref().is_none_or(|after| repository.as_str() > after);
            if later && self.holds_manifests(&repository)? {
                filled.push(repository);
            }
        }
        Ok(Page::cut(filled, paging))
    }

    fn holds_manifests(&self, repository: &RepositoryName) -> Result<bool, Error> {
        let folder = self.layout.manifests(repository);
        for algorithm in files::names(&folder)?.unwrap_or_default() {
            let entries = match fs::read_dir(folder.join(algorithm)) {
                Err(error) if files::is_absent(&error) => continue,
                entries => entries.map_err(|e| files::failed("list", &folder, e))?,
            };
            if entries.into_iter().next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything with a folder of its own, in byte order.
    pub(super) fn all_repositories(&self) -> Result<Vec<RepositoryName>, Error> {
        let names = files::names(&self.layout.images())?.unwrap_or_default();
        let mut found: Vec<_> = names.iter().filter_map(|name| layout::repository(name)).collect();
        found.sort_unstable();
        Ok(found)
    }
}
