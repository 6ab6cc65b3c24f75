use crate::copy::{Builds, Item, Source};
use crate::oci::{Digest, ImageReference, Reference, Tag};
use crate::promoter::Error;
use crate::promoter::edges::{Edge, Edges};
use crate::promoter::place::place;
use crate::promoter::plan::Copy;

/// How many edges are carried together: enough to keep all connections busy, few enough for memory.
pub(super) const BATCH: usize = 512;

/// Edges that are carried together, by the repositories they come from.
#[derive(Default)]
pub(super) struct Batch(Vec<(String, Vec<Item>)>);

impl Batch {
    /// Edges come in their order. One is carried within its destination where that has the digest.
    pub(super) fn push(&mut self, edges: &Edges, edge: Edge, within: bool) -> Result<(), Error> {
        let item = item(edges, edge, within)?;
        let path = edges.repository(edge.source);
        match self.0.last_mut().filter(|(last, _)| last == path) {
            Some((_, items)) => items.push(item),
            None => self.0.push((path.to_owned(), vec![item])),
        }
        Ok(())
    }

    pub(super) fn items(&self) -> Vec<Item> {
        self.0.iter().flat_map(|(_, items)| items).cloned().collect()
    }

    /// Each source repository for itself.
    pub(super) fn apart(self) -> impl Iterator<Item = (String, Vec<Item>)> {
        self.0.into_iter()
    }
}

/// All copies in their order. What one digest needs stays together, so that it is read once.
pub(super) fn batches(edges: &Edges, copies: &[Copy]) -> Result<Vec<Batch>, Error> {
    let mut batches = Vec::new();
    let mut batch = Batch::default();
    let mut size = 0;
    for group in copies.chunk_by(|left, right| key(left) == key(right)) {
        if size + group.len() > BATCH && size > 0 {
            batches.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += group.len();
        for copy in group {
            batch.push(edges, copy.edge, copy.has_digest)?;
        }
    }
    batches.push(batch);
    batches.retain(|batch| !batch.0.is_empty());
    Ok(batches)
}

fn key(copy: &Copy) -> (u32, u32) {
    (copy.edge.source, copy.edge.digest)
}

/// An edge as an image to carry.
fn item(edges: &Edges, edge: Edge, within: bool) -> Result<Item, Error> {
    let digest = edges.digest(edge.digest).map(Digest::from);
    let digest = digest.ok_or_else(|| Error::Argument("an edge without a digest".to_owned()))?;
    let from = if within { edge.destination } else { edge.source };
    let tag = edges.tag(edge.tag).and_then(|tag| tag.parse::<Tag>().ok());
    let to = tag.map_or_else(|| digest.clone().into(), Reference::from);
    Ok(Item {
        name: edges.show(edge).destination().to_string(),
        from: Source::Registry(image(edges.repository(from), digest.clone().into())?),
        to: image(edges.repository(edge.destination), to)?,
        expect: Some(digest),
        builds: Builds::default(),
    })
}

fn image(path: &str, reference: Reference) -> Result<ImageReference, Error> {
    let (registry, repository) = place(path)?;
    let tag = match &reference {
        Reference::Tag(tag) => Some(tag.clone()),
        Reference::Digest(_) => None,
    };
    Ok(ImageReference { registry, repository, reference, tag })
}
