use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;

use super::Run;
use crate::client::{self, Repository};
use crate::oci::{Content, Digest, Manifest, Platform};
use crate::promoter::Error;
use crate::promoter::place::{Failed, place};
use crate::promoter::plan::{Copy, Planned};

/// The largest configuration of an image that is read.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

impl Run<'_> {
    /// Leaves out images that lack a platform, or fails for them.
    pub(super) async fn demand_platforms(
        &mut self,
        planned: &Planned,
        copies: &mut Vec<Copy>,
    ) -> Result<(), Error> {
        if self.options.require_platforms.is_empty() {
            return Ok(());
        }
        let images: BTreeMap<(u32, u32), ()> =
            copies.iter().map(|copy| ((copy.edge.source, copy.edge.digest), ())).collect();
        let (client, edges) = (self.client, &planned.edges);
        let looked: Vec<((u32, u32), Vec<Platform>)> = stream::iter(images.into_keys())
            .map(async |key: (u32, u32)| {
                let (registry, name) = place(edges.repository(key.0))?;
                let digest = edges.digest(key.1).map(Digest::from);
                let repository = client.repository(&registry, &name);
                let missing = match digest {
                    Some(digest) => {
                        missing(&repository, &digest, self.options.require_platforms).await?
                    }
                    None => Vec::new(),
                };
                Ok::<_, Error>((key, missing))
            })
            .buffer_unordered(self.options.copying.parallel.max(1))
            .try_filter(|(_, missing)| std::future::ready(!missing.is_empty()))
            .try_collect()
            .await?;
        for ((source, digest), missing) in looked {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let digest_text = edges.digest(digest).map(|it| it.to_string()).unwrap_or_default();
            let item = format!("{}@{digest_text}", edges.repository(source));
            let reason = format!("it lacks the platforms {}", missing.join(", "));
            if !self.options.keep_going {
                return Err(Error::Refused(format!("{item}: {reason}; build them all")));
            }
            self.failures.push(Failed::new(item, &reason));
            copies.retain(|copy| (copy.edge.source, copy.edge.digest) != (source, digest));
        }
        Ok(())
    }
}

/// Which of the platforms an image does not have; what is no image has none to lack.
async fn missing(
    repository: &Repository,
    digest: &Digest,
    wanted: &[Platform],
) -> Result<Vec<Platform>, client::Error> {
    let Some(manifest) = repository.manifest(&digest.clone().into()).await? else {
        return Ok(Vec::new());
    };
    let has = match manifest.platforms() {
        platforms if !platforms.is_empty() => platforms,
        _ => match of_config(repository, &manifest).await? {
            Some(platform) => vec![platform],
            None => return Ok(Vec::new()),
        },
    };
    Ok(wanted.iter().filter(|platform| !has.contains(platform)).cloned().collect())
}

#[derive(Deserialize)]
struct Config {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

/// What the configuration of a single image says.
async fn of_config(
    repository: &Repository,
    manifest: &Manifest,
) -> Result<Option<Platform>, client::Error> {
    let Content::Image(image) = manifest.content() else { return Ok(None) };
    if image.config.size > MAX_CONFIG_BYTES {
        return Ok(None);
    }
    let bytes: Vec<bytes::Bytes> = repository.blob(&image.config).try_collect().await?;
    let config: Option<Config> = serde_json::from_slice(&bytes.concat()).ok();
    Ok(config.and_then(|Config { os, architecture, variant }| {
        let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        format!("{os}/{architecture}{variant}").parse().ok()
    }))
}
