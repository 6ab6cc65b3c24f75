use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Run;
use crate::client::{self, Client, Repository};
use crate::oci::{
    Content, Descriptor, Digest, ImageConfig, Manifest, Platform, Reference, media_type,
};
use crate::promoter::Error;
use crate::promoter::edges::Edges;
use crate::promoter::place::{Failed, place};
use crate::promoter::plan::{Copy, Planned};

/// The largest configuration of an image that is read.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;
/// How deep indexes may be nested, and how many manifests of an image are read.
const MAX_DEPTH: usize = 8;
const MAX_MANIFESTS: usize = 100;

impl Run<'_> {
    /// Leaves out images that lack a platform, or fails for them.
    pub(super) async fn demand_platforms(
        &mut self,
        planned: &Planned,
        copies: &mut Vec<Copy>,
    ) -> Result<(), Error> {
        let (client, edges, options) = (self.client, &planned.edges, self.options);
        if options.require_platforms.is_empty() {
            return Ok(());
        }
        let images: BTreeSet<(u32, u32)> =
            copies.iter().map(|copy| (copy.edge.source, copy.edge.digest)).collect();
        let mut looks = stream::iter(images)
            .map(async |key| (key, lack(client, edges, key, options.require_platforms).await))
            .buffer_unordered(options.copying.parallel.max(1));
        while let Some(((source, digest), lack)) = looks.next().await {
            let digest_text = edges.digest(digest).map(|it| it.to_string()).unwrap_or_default();
            let item = format!("{}@{digest_text}", edges.repository(source));
            let reason = match lack {
                Ok(None) => continue,
                Ok(Some(reason)) if options.keep_going => reason,
                Ok(Some(reason)) => {
                    return Err(Error::Refused(format!("{item}: {reason}; build them all")));
                }
                Err(error) if options.keep_going => error.to_string(),
                Err(error) => return Err(error),
            };
            self.failures.push(Failed::new(item, &reason));
            copies.retain(|copy| (copy.edge.source, copy.edge.digest) != (source, digest));
        }
        Ok(())
    }
}

/// Why an image, by its source and digest, does not have all platforms that are wanted.
async fn lack(
    client: &Client,
    edges: &Edges,
    (source, digest): (u32, u32),
    wanted: &[Platform],
) -> Result<Option<String>, Error> {
    let Some(digest) = edges.digest(digest).map(Digest::from) else { return Ok(None) };
    let (registry, name) = place(edges.repository(source))?;
    let repository = client.repository(&registry, &name);
    let Found { platforms, is_image, untold } = Found::of(&repository, digest).await?;
    let lacking = wanted.iter().filter(|it| !platforms.contains(&(*it).clone().usual()));
    let lacking: Vec<String> = lacking.map(ToString::to_string).collect();
    if !is_image || lacking.is_empty() {
        return Ok(None);
    }
    let lacking = lacking.join(", ");
    Ok(Some(match untold {
        true => format!("whether it has the platforms {lacking} cannot be told"),
        false => format!("it lacks the platforms {lacking}"),
    }))
}

/// What was found out about an image.
#[derive(Default)]
struct Found {
    platforms: BTreeSet<Platform>,
    /// Artifacts have no platform to lack.
    is_image: bool,
    /// Whether it has parts of which the platform is not known.
    untold: bool,
}

impl Found {
    /// Reads what it takes of what is below a digest; entries of indexes that name their platform are taken
    /// at their word.
    async fn of(repository: &Repository, root: Digest) -> Result<Self, client::Error> {
        let mut found = Self::default();
        let mut has_artifacts = false;
        let mut seen = BTreeSet::from([root.clone()]);
        let mut level = vec![root];
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for digest in std::mem::take(&mut level) {
                let manifest = repository.manifest(&Reference::Digest(digest)).await?;
                match manifest.as_ref().map(Manifest::content) {
                    None => found.untold = true,
                    Some(Content::Index(index)) => below.extend(found.entries(&index.manifests)),
                    Some(Content::Image(image)) if is_artifact(&image.config) => {
                        has_artifacts = true;
                    }
                    Some(Content::Image(image)) => {
                        found.note(configured(repository, &image.config).await?);
                    }
                }
            }
            for digest in below {
                if seen.len() < MAX_MANIFESTS {
                    if seen.insert(digest.clone()) {
                        level.push(digest);
                    }
                } else {
                    found.untold |= !seen.contains(&digest);
                }
            }
        }
        found.untold |= !level.is_empty();
        found.is_image = !has_artifacts || found.untold || !found.platforms.is_empty();
        Ok(found)
    }

    /// Takes what entries of an index say, and gives those that have to be read.
    fn entries(&mut self, entries: &[Descriptor]) -> Vec<Digest> {
        let mut silent = Vec::new();
        for entry in entries.iter().filter(|entry| entry.is_manifest()) {
            match &entry.platform {
                // Attestations.
                Some(platform) if platform.os == "unknown" => {}
                Some(platform) => self.note(Some(platform.clone())),
                None => silent.push(entry.digest.clone()),
            }
        }
        silent
    }

    fn note(&mut self, platform: Option<Platform>) {
        match platform.filter(|it| !it.os.is_empty() && !it.architecture.is_empty()) {
            Some(platform) => drop(self.platforms.insert(platform.usual())),
            None => self.untold = true,
        }
    }
}

fn is_artifact(config: &Descriptor) -> bool {
    !media_type::is_image_config(&config.media_type)
}

/// What the configuration of a single image says.
async fn configured(
    repository: &Repository,
    config: &Descriptor,
) -> Result<Option<Platform>, client::Error> {
    if config.size > MAX_CONFIG_BYTES {
        return Ok(None);
    }
    let bytes: Vec<bytes::Bytes> = repository.blob(config).try_collect().await?;
    Ok(ImageConfig::parse(&bytes.concat()).map(|config| config.platform))
}
