use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::name::excerpt;
use super::{Error, ImageReference};

/// Where an image is, spelt as in containers-transports(5): in a registry, `[docker://]HOST[:PORT]/…`, or
/// in a layout or archive of this host, `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]` or
/// `docker-archive:FILE[:NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a registry.
    Registry(ImageReference),
    /// In a layout or archive.
    Layout(LayoutReference),
}

/// A layout or archive, and which image of it: `TRANSPORT:PATH[:NAME|:@POSITION]`. The path ends at the
/// first colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutReference {
    /// What is there.
    pub transport: Transport,
    /// The folder or file.
    pub path: PathBuf,
    /// Which image; needed only where there are several.
    pub choice: Option<Choice>,
}

/// How images lie on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// An OCI image layout (image-spec, image-layout.md).
    Oci,
    /// The same as a tar archive.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

/// One image among several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// By its name there: a tag, or a whole reference.
    Named(String),
    /// By its position, from 0.
    At(usize),
}

/// What containers-transports(5) has beside that, as far as it cannot be taken for an image of Docker Hub.
const NOT_READ: [&str; 6] =
    ["dir:/", "dir:.", "docker-daemon:", "containers-storage:", "ostree:", "sif:"];

impl Location {
    /// Whether a text names a transport and so is no file.
    #[must_use]
    pub fn is_named_by(value: &str) -> bool {
        value.starts_with("docker://") || LayoutReference::is_named_by(value)
    }
}

impl LayoutReference {
    fn is_named_by(value: &str) -> bool {
        Transport::of(value).is_some() || NOT_READ.iter().any(|it| value.starts_with(it))
    }
}

impl Transport {
    const ALL: [Self; 3] = [Self::Oci, Self::OciArchive, Self::DockerArchive];

    /// As it stands before the colon.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
        }
    }

    /// The transport a text begins with, and what follows.
    fn of(value: &str) -> Option<(Self, &str)> {
        let (name, rest) = value.split_once(':')?;
        let transport = Self::ALL.into_iter().find(|transport| transport.as_str() == name)?;
        Some((transport, rest))
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        match LayoutReference::is_named_by(value) {
            true => value.parse().map(Self::Layout),
            false => value.parse().map(Self::Registry),
        }
    }
}

impl FromStr for LayoutReference {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let (transport, rest) = Transport::of(value).ok_or_else(|| {
            fail(
                value,
                "its transport is none of oci, oci-archive and docker-archive; `podman save \
                --format oci-archive` and `docker save` make archives",
            )
        })?;
        let (path, choice) = match rest.split_once(':') {
            Some((path, choice)) => (path, Some(Choice::parse(value, choice)?)),
            None => (rest, None),
        };
        if path.is_empty() || path.contains('\0') {
            return Err(fail(value, "there is no path behind the transport"));
        }
        Ok(Self { transport, path: path.into(), choice })
    }
}

impl Choice {
    fn parse(value: &str, choice: &str) -> Result<Self, Error> {
        match choice.strip_prefix('@') {
            Some(position) if position.bytes().all(|byte| byte.is_ascii_digit()) => position
                .parse()
                .map(Self::At)
                .map_err(|_| fail(value, "`@` needs the position of an image, 0 for the first")),
            Some(_) => Err(fail(value, "`@` needs the position of an image, 0 for the first")),
            None if choice.is_empty() => {
                Err(fail(value, "there is no name behind the path; leave the colon away"))
            }
            None => Ok(Self::Named(choice.to_owned())),
        }
    }
}

fn fail(value: &str, reason: &'static str) -> Error {
    Error::Location { value: excerpt(value), reason }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(image) => image.fmt(f),
            Self::Layout(layout) => layout.fmt(f),
        }
    }
}

impl fmt::Display for LayoutReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.as_str(), self.path.display())?;
        self.choice.as_ref().map_or(Ok(()), |choice| write!(f, ":{choice}"))
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::At(position) => write!(f, "@{position}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_what_names_no_place() {
        for text in [
            "oci:",
            "oci::tag",
            "oci:folder:",
            "docker-archive:file:@",
            "docker-archive:file:@x",
            "docker-archive:file:@-1",
            "oci-archive:file:@99999999999999999999999",
            "dir:/somewhere",
            "docker-daemon:busybox:latest",
            "docker://",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
        assert!("quay.io/org/img".parse::<LayoutReference>().is_err());
    }

    #[test]
    fn reads_every_transport_and_shows_it_again() {
        for (text, transport, path, choice) in [
            ("oci:a/b", Transport::Oci, "a/b", None),
            ("oci:a:1.0", Transport::Oci, "a", Some(Choice::Named("1.0".to_owned()))),
            ("oci-archive:/x.tar:@2", Transport::OciArchive, "/x.tar", Some(Choice::At(2))),
            (
                "docker-archive:x.tar:quay.io/org/img:1",
                Transport::DockerArchive,
                "x.tar",
                Some(Choice::Named("quay.io/org/img:1".to_owned())),
            ),
        ] {
            let expected = LayoutReference { transport, path: path.into(), choice };
            assert_eq!(text.parse::<Location>().unwrap(), Location::Layout(expected), "{text}");
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
            assert!(Location::is_named_by(text));
        }
        assert!(matches!("quay.io/org/img:1".parse().unwrap(), Location::Registry(_)));
        assert!(Location::is_named_by("docker://quay.io"));
        assert!(!Location::is_named_by("images.yaml") && !Location::is_named_by("./oci"));
    }
}
