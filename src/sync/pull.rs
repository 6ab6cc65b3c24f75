use std::collections::HashSet;
use std::time::Instant;

use serde::Serialize;

use super::ahead::ChangeAhead;
use super::lazy::{Lazy, Left};
use super::{Error, RegistryItem};
use crate::client::Client;
use crate::copy::{self, Builds, ImageOutcome, Item, Options, PlannedBlob, Progress, Totals};
use crate::oci::{ImageReference, Registry, printable};
use crate::zuul::{ImageArtifact, Label, Origin, Returned, path_below_registry};

/// How much of what an untrusted job wrote is shown, in characters.
const LONGEST_SHOWN: usize = 400;

/// What to pull.
#[derive(Debug)]
pub struct Pull<'a> {
    /// The images, as jobs returned them to Zuul.
    pub artifacts: &'a [ImageArtifact],
    /// The intermediate registry.
    pub from: &'a Registry,
    /// The buildset registry.
    pub to: &'a Registry,
    /// Whom it is for: our intermediate registry refuses the images of another tenant.
    pub tenant: Option<Label>,
    /// Whether to leave pointers instead of copying, where that can be done.
    pub lazy: bool,
    /// PEM of the intermediate registry's authority, for those who follow a pointer.
    pub cert: Option<&'a str>,
}

/// What was pulled.
#[derive(Debug, Serialize)]
pub struct Pulled {
    /// Whether it was only looked; all else says what would be done.
    pub dry_run: bool,
    /// The changes ahead that Zuul was asked about, the farthest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<ChangeAhead>,
    /// Every image, in the order of the artifacts.
    pub images: Vec<PulledImage>,
    /// Every blob that was looked for, if it was only looked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedBlob>,
    /// Sums over all.
    pub totals: Totals,
    /// What `zuul_return` takes: nothing.
    pub zuul: Returned<ImageArtifact>,
}

/// What became of one image.
#[derive(Debug, Serialize)]
pub struct PulledImage {
    /// The image.
    #[serde(flatten)]
    pub image: ImageOutcome,
    /// Whether a pointer was left, so that it is fetched when it is read for the first time.
    pub lazy: bool,
    /// Why it was copied at once although a pointer was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eager_because: Option<String>,
}

/// Copies images from the intermediate to the buildset registry, under their final names, or leaves
/// pointers to them. Zuul lists the
/// farthest change first, so of two artifacts for one image and tag the later one, of the nearer change,
/// is taken. What this buildset has pushed itself is left as it is.
///
/// # Errors
/// Untrusted jobs write artifacts: one that points anywhere but to `from` under the name and tag
/// that a push of it would have used is refused, and then nothing is pulled.
pub async fn pull(
    client: &Client,
    pull: &Pull<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Pulled, Error> {
    let started = Instant::now();
    let before = client.statistics();
    let items = pull.artifacts.iter().map(|artifact| pull.checked(artifact));
    let items = last_of_each(items.collect::<Result<_, _>>()?);
    let left = match pull.lazy {
        true => {
            let Pull { from, to, cert, .. } = *pull;
            Some(Lazy { client, from, to, cert, options }.leave(&items).await?)
        }
        false => None,
    };
    // `None` for an item whose pointer stands.
    let mut images: Vec<Option<PulledImage>> = Vec::new();
    let mut reasons = Vec::new();
    let mut copied = Vec::new();
    for (item, left) in items.into_iter().zip(spread(left)) {
        match left {
            Some(Left::Pointer(image)) => {
                images.push(Some(PulledImage { image: *image, lazy: true, eager_because: None }));
            }
            left => {
                let reason = left.and_then(Left::reason);
                if let Some(reason) = &reason {
                    tracing::warn!(image = item.name, reason, "copied at once");
                }
                images.push(None);
                reasons.push(reason);
                copied.push(item);
            }
        }
    }
    let (mut totals, mut plan, mut outcomes) = (Totals::default(), Vec::new(), Vec::new());
    if !copied.is_empty() {
        let copied = copied.into_iter().map(Item::from).collect();
        let outcome = copy::run(client, copied, options, progress).await.map_err(refused)?;
        (totals, plan, outcomes) = (outcome.totals, outcome.plan, outcome.images);
    }
    let mut outcomes = outcomes.into_iter().zip(reasons);
    let images = images.into_iter().filter_map(|image| {
        let copied = |(image, eager_because)| PulledImage { image, lazy: false, eager_because };
        image.or_else(|| outcomes.next().map(copied))
    });
    let images = images.collect();
    let after = client.statistics();
    totals.requests = after.requests - before.requests;
    totals.retries = after.retries - before.retries;
    totals.seconds = started.elapsed().as_secs_f64();
    Ok(Pulled {
        dry_run: options.dry_run,
        ahead: Vec::new(),
        images,
        plan,
        totals,
        zuul: Returned::default(),
    })
}

/// Of several for one image and tag the last, in their order.
fn last_of_each(mut items: Vec<RegistryItem>) -> Vec<RegistryItem> {
    let mut seen = HashSet::new();
    items.reverse();
    items.retain(|item| seen.insert(item.to.clone()));
    items.reverse();
    items
}

/// One for each item; nothing for each of an eager pull.
fn spread(left: Option<Vec<Left>>) -> impl Iterator<Item = Option<Left>> {
    let left = left.into_iter().flatten().map(Some);
    left.chain(std::iter::repeat_with(|| None))
}

/// An image of another tenant is refused, not failed.
fn refused(error: copy::Error) -> Error {
    match error {
        copy::Error::Client { item, source } if source.is_of_another_tenant() => {
            Error::Refused { name: item, reason: source.to_string() }
        }
        error => error.into(),
    }
}

impl Pull<'_> {
    fn checked(&self, artifact: &ImageArtifact) -> Result<RegistryItem, Error> {
        let name = || printable(&artifact.name, LONGEST_SHOWN);
        let refuse = |reason: String| Error::Refused { name: name(), reason };
        let metadata = &artifact.metadata;
        let name = path_below_registry(&metadata.repository).map_err(|e| refuse(e.to_string()))?;
        let (from, build) = artifact.source(self.from).map_err(refuse)?;
        let to = ImageReference {
            registry: self.to.clone(),
            repository: name.canonical(),
            reference: metadata.tag.clone().into(),
            tag: Some(metadata.tag.clone()),
        };
        let tenant = || self.tenant.clone();
        let origin = Origin {
            tenant: tenant(),
            project: artifact.project.clone(),
            change: artifact.change.clone(),
            build: Some(build),
        };
        Ok(Item {
            name: format!("{}:{}", metadata.repository, metadata.tag),
            from,
            to,
            expect: metadata.digest.clone(),
            builds: Builds {
                reader: tenant().map(|tenant| Origin { tenant: Some(tenant), ..Origin::default() }),
                origin: Some(origin),
                keep_pushed: true,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::oci::Digest;

    const BUILD: &str = "0123456789abcdef0123456789abcdef";

    fn check(repository: &str, tag: &str, url: &str) -> Result<RegistryItem, Error> {
        let artifact = ImageArtifact::new(
            repository,
            &tag.parse().unwrap(),
            url.to_owned(),
            Digest::sha256(b""),
        );
        let from: Registry = "inter.example:5000".parse().unwrap();
        let to = "127.0.0.1:1".parse().unwrap();
        Pull { artifacts: &[], from: &from, to: &to, tenant: None, lazy: false, cert: None }
            .checked(&artifact)
    }

    #[test]
    fn an_artifact_that_points_elsewhere_is_refused() {
        for url in [
            format!("docker://evil.example/quay.io/a/b:{BUILD}_1"),
            format!("docker://inter.example:5001/quay.io/a/b:{BUILD}_1"),
            format!("docker://inter.example:5000/quay.io/a/other:{BUILD}_1"),
            format!("docker://inter.example:5000/quay.io/a/b:{BUILD}_2"),
            "docker://inter.example:5000/quay.io/a/b:0123_1".to_owned(),
            "docker://inter.example:5000/quay.io/a/b:1".to_owned(),
            format!("https://inter.example:5000/quay.io/a/b:{BUILD}_1"),
            format!("docker://inter.example:5000/quay.io/a/b@{}", Digest::sha256(b"")),
            "oci:/etc/passwd".to_owned(),
            String::new(),
        ] {
            let error = check("quay.io/a/b", "1", &url).unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{url}");
        }
    }

    #[test]
    fn of_several_artifacts_for_one_image_the_nearest_changes_counts_however_many_there_are() {
        let of = |tag: &str, build: &str| {
            let url = format!("docker://inter.example:5000/quay.io/a/b:{build}_{tag}");
            check("quay.io/a/b", tag, &url).unwrap()
        };
        let nearer = BUILD.replace('0', "f");
        let mut items: Vec<_> = (0..30_000).map(|tag| of(&tag.to_string(), BUILD)).collect();
        items.extend([of("1", BUILD), of("0", &nearer)]);
        let items = last_of_each(items);
        assert_eq!(items.len(), 30_000);
        let last: Vec<String> = items[29_997..].iter().map(|it| it.from.to_string()).collect();
        let expected = [format!("{BUILD}_29999"), format!("{BUILD}_1"), format!("{nearer}_0")];
        assert_eq!(last, expected.map(|tag| format!("inter.example:5000/quay.io/a/b:{tag}")));
    }

    #[test]
    fn an_image_goes_to_the_one_name_the_buildset_knows_it_by() {
        let url = format!("docker://inter.example:5000/docker.io/org/img:{BUILD}_1.0_x");
        let item = check("docker.io/org/img", "1.0_x", &url).unwrap();
        assert_eq!(item.to.to_string(), "127.0.0.1:1/org/img:1.0_x");
        let url = format!("docker://inter.example:5000/host.example_1/x:{BUILD}_1");
        let item = check("host.example:1/x", "1", &url).unwrap();
        assert_eq!(item.to.to_string(), "127.0.0.1:1/host.example_1/x:1");
    }
}
