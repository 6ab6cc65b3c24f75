//! Takes our own entries out of a file that somebody edited after we wrote it.

use std::path::Path;
use std::str;

use super::{Error, buildkit, containerd, hosts, json, plan, registries_undo};

/// The three versions of a file that tell our entries from everybody else's.
pub(super) struct Versions<'a> {
    /// As it was before our first write; `None` if it was not there.
    pub(super) before: Option<&'a [u8]>,
    /// As we wrote it.
    pub(super) written: &'a [u8],
    /// As it is.
    pub(super) now: &'a [u8],
}

impl Versions<'_> {
    /// What is left without our entries; `None` if that is nothing and the file was not there before.
    ///
    /// `path` is the one inside the sysroot, `real` is named in errors.
    pub(super) fn clean(&self, path: &Path, real: &Path) -> Result<Option<Vec<u8>>, Error> {
        let text =
            |bytes| str::from_utf8(bytes).map_err(|error| plan::not_text(real, bytes, error));
        let (before, written, now) =
            (text(self.before.unwrap_or_default())?, text(self.written)?, text(self.now)?);
        let clean = match Format::of(path) {
            Format::Hosts => hosts::without_ours(before, written, now),
            Format::Registries => registries_undo::without_ours(real, before, written, now)?,
            Format::Json => json::without_ours(real, before, written, now)?,
            Format::Buildkit => buildkit::without_ours(real, before, written, now)?,
            Format::ContainerdHosts => containerd::without_ours(now),
            Format::Whole => now.replacen(written, before, 1),
        };
        let is_nothing = matches!(clean.trim(), "" | "{}");
        Ok((self.before.is_some() || !is_nothing).then(|| clean.into_bytes()))
    }
}

/// How the entries of a file are told apart.
enum Format {
    Hosts,
    Registries,
    Json,
    Buildkit,
    ContainerdHosts,
    /// A certificate, or a file of a name of ours: all of it is ours.
    Whole,
}

impl Format {
    fn of(path: &Path) -> Self {
        let ends = |end: &str| path.extension().is_some_and(|found| found == end);
        if path == Path::new("/etc/hosts") {
            Self::Hosts
        } else if path.starts_with("/etc/systemd") {
            Self::Whole
        } else if ends("conf") {
            Self::Registries
        } else if path == Path::new(buildkit::FILE) {
            Self::Buildkit
        } else if path.ends_with(containerd::FILE) {
            Self::ContainerdHosts
        } else if ends("json") {
            Self::Json
        } else {
            Self::Whole
        }
    }
}
