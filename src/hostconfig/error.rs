//! What can go wrong while a host is configured.

use std::io;
use std::path::PathBuf;

use super::{Action, FileReport};

/// Failures of this room, named by meaning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection's host is neither an address nor a host name.
    #[error("the registry's host {0:?} is neither an IP address nor a host name")]
    Host(String),
    /// A user name that basic authentication cannot carry.
    #[error(
        "the registry's user name {0:?} holds a colon, which basic authentication cannot carry"
    )]
    Username(String),
    /// A namespace that is not `NAME=URL`.
    #[error(
        "namespace {0:?} is not NAME=URL, such as quay.io=https://quay.io; a name is HOST[:PORT], a \
         URL is http or https and has no empty, \".\" or \"..\" segment"
    )]
    Namespace(String),
    /// A namespace named twice: only one of the two could win.
    #[error("namespace {0:?} is given more than once; give every name one URL")]
    Duplicate(String),
    /// A search entry with a path, a scheme or something else that is no registry.
    #[error(
        "{0:?} cannot be searched for names without a registry; give HOST[:PORT] without a path"
    )]
    Unqualified(String),
    /// A registry behind the proxy that is no `HOST[:PORT]`.
    #[error("the connection names {0:?} as a registry behind the proxy; that is no HOST[:PORT]")]
    Proxied(String),
    /// A tool this version does not configure.
    #[error(
        "{0:?} cannot be configured; this version knows podman, buildah, skopeo, cri-o, docker, buildkit, containerd and microk8s"
    )]
    Target(String),
    /// The user is not in the host's `/etc/passwd`.
    #[error("no user {name:?} in {}", passwd.display())]
    NoUser {
        /// Name or number looked for.
        name: String,
        /// Where it was looked for.
        passwd: PathBuf,
    },
    /// A file that is there but cannot be understood; it was left alone.
    #[error("{}:{line}: {message}; left alone, mend or remove it and run again", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// Undo could not finish with one file; what it was is still remembered.
    #[error("cannot undo one file, it is kept: {cause} (--undo); {undone} other files were undone")]
    Unfinished {
        /// The first such file.
        path: PathBuf,
        /// How many files are as they were.
        undone: usize,
        /// What is wrong with it.
        cause: Box<Self>,
    },
    /// A link where a file of our own should be; following it could write anywhere.
    #[error("{} is a symbolic link and is not followed; replace it by a real one", .0.display())]
    Symlink(PathBuf),
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb: read, write, create …
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The system's CA tool failed, so other programs do not trust the registry yet.
    #[error("{program} failed ({outcome}): {stderr}")]
    TrustTool {
        /// The tool.
        program: &'static str,
        /// Exit status or why it did not start.
        outcome: String,
        /// What it said.
        stderr: String,
    },
}

impl Error {
    /// The first failure of an undo that went on with the other files.
    pub(super) fn unfinished((path, cause): (PathBuf, Self), files: &[FileReport]) -> Self {
        let undone = files.iter().filter(|file| file.action != Action::Kept).count();
        Self::Unfinished { path, undone, cause: Box::new(cause) }
    }

    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
