//! Lists all that is below a path of a registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};

use crate::client::{self, Client, Extended, ListedManifest, Repository};
use crate::oci::{Descriptor, Digest, Reference, Registry, RepositoryName, media_type};
use crate::promoter::Error;
use crate::promoter::listing::{Listing, below};
use crate::promoter::place::place;
use crate::promoter::sha256::Sha256;

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
        details: Details<'_>,
    ) -> Result<Self, Error> {
        let path = path.trim_end_matches('/');
        let parallel = parallel.max(1);
        let host = path.split('/').next().unwrap_or(path);
        let (registry, _) = place(&format!("{host}/x"))?;
        let mut listing = Self::default();
        let (mut indexes, mut bare) = (Vec::new(), Vec::new());
        for Seen { name, manifests, .. } in seen(client, path, &registry, parallel).await? {
            let full = format!("{host}/{name}");
            let Some(image) = below(&full, path) else { continue };
            for ListedManifest { digest, tags, media_type } in manifests {
                let Ok(digest) = digest.as_str().parse() else { continue };
                let held = listing.manifest(image, digest);
                held.tags.extend(tags);
                let is_index = media_type.is_some_and(|it| media_type::is_index(&it));
                if is_index || held.tags.is_empty() {
                    let repository = client.repository(&registry, &name);
                    let place = Place { image: image.to_owned(), repository, digest };
                    if is_index { indexes.push(place) } else { bare.push(place) }
                }
            }
        }
        if let Details::Children(read) | Details::All(read) = details {
            listing.look_into(indexes, parallel, read).await?;
        }
        if let Details::All(read) = details {
            // What is part of something is attached to nothing.
            let parts = listing.parts();
            bare.retain(|place| !parts.contains(&place.digest));
            listing.look_into(bare, parallel, read).await?;
        }
        Ok(listing.sorted())
    }

    async fn look_into(
        &mut self,
        places: Vec<Place>,
        parallel: usize,
        known: &Contents,
    ) -> Result<(), Error> {
        let read = places.into_iter().map(async |place: Place| {
            let content = known.of(&place).await?;
            Ok::<_, client::Error>((place, content))
        });
        let mut read = stream::iter(read).buffer_unordered(parallel);
        while let Some((place, content)) = read.try_next().await? {
            // It may have gone meanwhile.
            let Some(content) = content else { continue };
            let listed = self.manifest(&place.image, place.digest);
            listed.children.clone_from(&content.children);
            listed.subject = content.subject;
        }
        Ok(())
    }
}

/// One manifest in a repository.
struct Place {
    image: String,
    repository: Repository,
    digest: Sha256,
}

/// What manifests hold, by digest: the same is in many registries, and read once.
#[derive(Debug, Default)]
pub struct Contents(Mutex<HashMap<Sha256, Arc<Content>>>);

#[derive(Debug)]
struct Content {
    children: Vec<Sha256>,
    subject: Option<Sha256>,
}

impl Contents {
    async fn of(&self, place: &Place) -> Result<Option<Arc<Content>>, client::Error> {
        let known = self.lock().get(&place.digest).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let reference = Digest::from(place.digest).into();
        let Some(manifest) = place.repository.manifest(&reference).await? else { return Ok(None) };
        let sha256 = |descriptor: &Descriptor| descriptor.digest.as_str().parse().ok();
        let children = manifest.children().iter().filter_map(sha256).collect();
        let content = Arc::new(Content { children, subject: manifest.subject().and_then(sha256) });
        self.lock().insert(place.digest, Arc::clone(&content));
        Ok(Some(content))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sha256, Arc<Content>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is read beside the lists.
#[derive(Debug, Clone, Copy)]
pub enum Details<'r> {
    /// Nothing.
    None,
    /// What indexes list.
    Children(&'r Contents),
    /// Also what is attached to what.
    All(&'r Contents),
}

/// One repository as it was found.
struct Seen {
    name: RepositoryName,
    manifests: Vec<ListedManifest>,
    /// Repositories right below it.
    below: Vec<String>,
}

/// The repositories at and below a path.
async fn seen(
    client: &Client,
    path: &str,
    registry: &Registry,
    parallel: usize,
) -> Result<Vec<Seen>, Error> {
    if !path.contains('/') {
        return catalogued(client, registry, None, parallel).await;
    }
    let (_, name) = place(path)?;
    match client.repository(registry, &name).listing().await?.and_then(|it| it.extended) {
        Some(Extended { manifests, children: below }) => {
            walk(client, registry, Seen { name, manifests, below }, parallel).await
        }
        None => catalogued(client, registry, Some(&name), parallel).await,
    }
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
