use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{Architecture, Error, Input, MetadataFile};
use crate::layout::Layout;
use crate::oci::{Algorithm, Digest, Digester, Transport, printable};

/// A tree of builds as coreos-assembler makes it: `builds/ID/ARCH/meta.json`, beside it the archives.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The folder that holds `builds`.
    pub root: PathBuf,
    /// Which build; the latest where none is named.
    pub build: Option<String>,
    /// Which of `images` in each `meta.json`.
    pub artifact: String,
    /// Which architectures; those of the build that have the artifact where none is named.
    pub architectures: Vec<Architecture>,
}

/// What was found there.
#[derive(Debug)]
pub struct Found {
    /// The archives, each checked.
    pub images: Vec<Input>,
    /// Where it is told what was published.
    pub metadata: Vec<MetadataFile>,
    /// The architectures of the build that lack the artifact.
    pub skipped: Vec<String>,
    /// Which build it is.
    pub build: String,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    images: BTreeMap<String, Artifact>,
}

#[derive(Deserialize)]
struct Artifact {
    path: String,
    sha256: String,
}

impl Tree {
    /// Reads the metadata and checks every archive against it.
    ///
    /// # Errors
    /// No such build, architecture or artifact; an archive that is not what the metadata says.
    pub async fn read(&self) -> Result<Found, Error> {
        let tree = self.clone();
        let looked = tokio::task::spawn_blocking(move || tree.look()).await;
        let (build, archives, skipped) =
            looked.map_err(|error| wrong(&self.root, &error)).flatten()?;
        let mut found = Found { images: Vec::new(), metadata: Vec::new(), skipped, build };
        for (architecture, meta, archive) in archives {
            let failed = |source| Error::Layout { item: shown(&archive), source };
            let layout = Layout::open(Transport::OciArchive, &archive).await.map_err(failed)?;
            let image = layout.image(None).await.map_err(failed)?;
            found.images.push(Input { architecture: architecture.clone(), source: image.into() });
            found.metadata.push(MetadataFile { path: meta, architecture: Some(architecture) });
        }
        Ok(found)
    }

    /// Blocking. The archives with their architectures and metadata files, and who has none.
    #[allow(clippy::type_complexity, reason = "it is taken apart at once")]
    fn look(&self) -> Result<(String, Vec<(Architecture, PathBuf, PathBuf)>, Vec<String>), Error> {
        let builds = self.root.join("builds");
        let build = match &self.build {
            Some(build) => build.clone(),
            None => latest(&builds)?,
        };
        let folder = builds.join(plain(&build).ok_or_else(|| wrong(&builds, &"no such build"))?);
        let wanted = match self.architectures.as_slice() {
            [] => architectures(&folder)?,
            named => named.to_vec(),
        };
        let (mut archives, mut skipped) = (Vec::new(), Vec::new());
        for architecture in wanted {
            let folder = folder.join(architecture.fedora());
            let meta = folder.join("meta.json");
            let text = fs::read(&meta).map_err(|error| wrong(&meta, &error))?;
            let Meta { mut images } =
                serde_json::from_slice(&text).map_err(|error| wrong(&meta, &error))?;
            let Some(artifact) = images.remove(&self.artifact) else {
                if self.architectures.is_empty() {
                    skipped.push(architecture.to_string());
                    continue;
                }
                let reason =
                    format!("the build has no artifact `{}` for {architecture}", self.artifact);
                return Err(wrong(&meta, &reason));
            };
            let archive = artifact.check(&folder, &meta)?;
            archives.push((architecture, meta, archive));
        }
        Ok((build, archives, skipped))
    }
}

impl Artifact {
    /// Its archive, if that is what the metadata says.
    fn check(&self, folder: &Path, meta: &Path) -> Result<PathBuf, Error> {
        let name = plain(&self.path)
            .ok_or_else(|| wrong(meta, &"the path of an artifact leads elsewhere"))?;
        let archive = folder.join(name);
        let expected: Digest = format!("sha256:{}", self.sha256.to_ascii_lowercase())
            .parse()
            .map_err(|error| wrong(meta, &error))?;
        let found = digest_of(&archive).map_err(|error| wrong(&archive, &error))?;
        match found == expected {
            true => Ok(archive),
            false => {
                let reason = format!("it is {found}, but {} says {expected}", shown(meta));
                Err(wrong(&archive, &reason))
            }
        }
    }
}

fn digest_of(path: &Path) -> std::io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let mut digester = Digester::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(digester.finish()),
            Some(bytes) => digester.update(bytes),
        }
    }
}

/// The newest build, which `builds.json` lists first.
fn latest(builds: &Path) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Builds {
        builds: Vec<Build>,
    }
    #[derive(Deserialize)]
    struct Build {
        id: String,
    }
    let list = builds.join("builds.json");
    let text = fs::read(&list).map_err(|error| wrong(&list, &error))?;
    let Builds { builds } = serde_json::from_slice(&text).map_err(|error| wrong(&list, &error))?;
    let first = builds.into_iter().next().ok_or_else(|| wrong(&list, &"it lists no build"))?;
    Ok(first.id)
}

/// The architectures of a build; a folder with a `meta.json` that is named after none is an error.
fn architectures(folder: &Path) -> Result<Vec<Architecture>, Error> {
    let mut found: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| wrong(folder, &error))? {
        let entry = entry.map_err(|error| wrong(folder, &error))?;
        if entry.path().join("meta.json").is_file() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found.iter().map(|name| name.parse()).collect()
}

/// One name of a folder or file, which leads nowhere else.
fn plain(name: &str) -> Option<&Path> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) => Some(Path::new(only)),
        _ => None,
    }
}

fn wrong(file: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::Tree { file: shown(file), reason: printable(&reason.to_string(), 300) }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
