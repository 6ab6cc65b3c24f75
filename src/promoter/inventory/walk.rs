//! Lists all that is below a path of a registry.

use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};

use crate::client::{self, Client, ListedManifest, Repository};
use crate::oci::{Descriptor, Digest, Reference, Registry, RepositoryName, media_type};
use crate::promoter::Error;
use crate::promoter::listing::{Listing, below};
use crate::promoter::place::place;

/// No registry has more; one that goes on naming others is not followed without end.
const MOST_REPOSITORIES: usize = 100_000;

impl Listing {
    /// What a registry holds below `path`, `HOST[:PORT][/PATH]`, and of each manifest as much as
    /// `details` says. Google's registries tell repositories and digests without tags with their lists; others are
    /// asked for their catalog, and tell only what has a tag.
    ///
    /// # Errors
    /// Any answer that does not tell it: what is not known is not taken for absent.
    pub async fn ask(
        client: &Client,
        path: &str,
        parallel: usize,
        details: Details,
    ) -> Result<Self, Error> {
        let path = path.trim_end_matches('/');
        let parallel = parallel.max(1);
        let seen = match path.contains('/') {
            true => {
                let (registry, name) = place(path)?;
                let root = client.repository(&registry, &name);
                match root.listing().await?.and_then(|listing| listing.extended) {
                    Some(extended) => {
                        let root =
                            Seen { name, manifests: extended.manifests, below: extended.children };
                        walk(client, &registry, root, parallel).await?
                    }
                    None => catalogued(client, &registry, Some(&name), parallel).await?,
                }
            }
            false => {
                let registry = path
                    .parse()
                    .map_err(|error: crate::oci::Error| Error::Argument(error.to_string()))?;
                catalogued(client, &registry, None, parallel).await?
            }
        };
        let host = path.split('/').next().unwrap_or(path);
        let (registry, _) = place(&format!("{host}/x"))?;
        let mut listing = Self::default();
        let mut indexes = Vec::new();
        for Seen { name, manifests, .. } in seen {
            let full = format!("{host}/{name}");
            let Some(image) = below(&full, path) else { continue };
            for ListedManifest { digest, tags, media_type } in manifests {
                let Ok(sha256) = digest.as_str().parse() else { continue };
                listing.manifest(image, sha256).tags.extend(tags);
                let is_index = media_type.is_some_and(|it| media_type::is_index(&it));
                // Only what has no tag is asked what it is attached to.
                let is_attached =
                    details == Details::All && listing.manifest(image, sha256).tags.is_empty();
                if details != Details::None && (is_index || is_attached) {
                    indexes.push((image.to_owned(), client.repository(&registry, &name), sha256));
                }
            }
        }
        let read = indexes.into_iter().map(async |(image, repository, digest)| {
            let manifest = repository.manifest(&Digest::from(digest).into()).await?;
            Ok::<_, client::Error>((image, digest, manifest))
        });
        let mut read = stream::iter(read).buffer_unordered(parallel);
        while let Some((image, digest, manifest)) = read.try_next().await? {
            // It may have gone meanwhile.
            let Some(manifest) = manifest else { continue };
            let sha256 = |descriptor: &Descriptor| descriptor.digest.as_str().parse().ok();
            let listed = listing.manifest(&image, digest);
            listed.children = manifest.children().iter().filter_map(sha256).collect();
            listed.subject = manifest.subject().and_then(sha256);
        }
        Ok(listing.sorted())
    }
}

/// What is read beside the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Details {
    /// Nothing.
    None,
    /// What indexes list.
    Children,
    /// Also what is attached to what.
    All,
}

/// One repository as it was found.
struct Seen {
    name: RepositoryName,
    manifests: Vec<ListedManifest>,
    /// Repositories right below it.
    below: Vec<String>,
}

/// All repositories below one of a registry that tells of its children.
async fn walk(
    client: &Client,
    registry: &Registry,
    root: Seen,
    parallel: usize,
) -> Result<Vec<Seen>, Error> {
    let list = async |name: RepositoryName| {
        let listing = client.repository(registry, &name).listing().await?;
        let extended = listing.and_then(|listing| listing.extended).unwrap_or_default();
        Ok::<_, Error>(Seen { name, manifests: extended.manifests, below: extended.children })
    };
    let mut waiting = root.children()?;
    let mut all = vec![root];
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < parallel
            && let Some(name) = waiting.pop()
        {
            running.push(list(name));
        }
        let Some(seen) = running.next().await.transpose()? else { return Ok(all) };
        waiting.extend(seen.children()?);
        all.push(seen);
        if all.len() + waiting.len() > MOST_REPOSITORIES {
            return Err(Error::Argument(format!("{registry} names repositories without end")));
        }
    }
}

impl Seen {
    fn children(&self) -> Result<Vec<RepositoryName>, Error> {
        let name = |child: &String| format!("{}/{child}", self.name).parse();
        let children = self.below.iter().map(name).collect::<Result<_, crate::oci::Error>>();
        children.map_err(|error| Error::Argument(format!("{} names a child: {error}", self.name)))
    }
}

/// The tags of all repositories of a registry at and below a name.
async fn catalogued(
    client: &Client,
    registry: &Registry,
    root: Option<&RepositoryName>,
    parallel: usize,
) -> Result<Vec<Seen>, Error> {
    let any =
        "catalog".parse().map_err(|error: crate::oci::Error| Error::Argument(error.to_string()))?;
    let names = client.repository(registry, root.unwrap_or(&any)).catalog().await?;
    let names = names
        .into_iter()
        .filter(|name| root.is_none_or(|root| below(name.as_str(), root.as_str()).is_some()));
    let seen = stream::iter(names)
        .map(async |name| {
            let manifests = tagged(&client.repository(registry, &name), parallel).await?;
            Ok::<_, client::Error>(Seen { name, manifests, below: Vec::new() })
        })
        .buffer_unordered(parallel)
        .try_collect()
        .await;
    Ok(seen?)
}

/// What has a tag in a repository.
async fn tagged(
    repository: &Repository,
    parallel: usize,
) -> Result<Vec<ListedManifest>, client::Error> {
    let tags = repository.listing().await?.unwrap_or_default().tags;
    let heads = stream::iter(tags)
        .map(async |tag| Ok((repository.head(&Reference::from(tag.clone())).await?, tag)))
        .buffer_unordered(parallel)
        .try_collect::<Vec<_>>()
        .await?;
    // A tag that went meanwhile is not there.
    let manifests = heads.into_iter().filter_map(|(head, tag)| {
        let head = head?;
        Some(ListedManifest { digest: head.digest, tags: vec![tag], media_type: head.media_type })
    });
    Ok(manifests.collect())
}
