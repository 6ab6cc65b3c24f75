use std::collections::HashMap;
use std::path::Path;

use super::file::{Sink, read_file};
use crate::oci::Tag;
use crate::promoter::Error;
use crate::promoter::edges::Edges;
use crate::promoter::sha256::Sha256;

/// What is in the repositories of all edges. Of other repositories, digests and tags nothing is kept.
#[derive(Debug)]
pub struct Inventory {
    /// By the numbers of the edges' repositories.
    repositories: Vec<Held>,
    /// Digests that no edge has but a tag of one: their numbers go on behind those of the edges.
    others: Vec<Sha256>,
    known: usize,
}

#[derive(Debug, Clone, Default)]
struct Held {
    digests: Vec<u32>,
    /// Tag and digest.
    tags: Vec<(u32, u32)>,
}

impl Inventory {
    /// From a file: registry → image → digest → tags, as YAML or JSON.
    ///
    /// # Errors
    /// A file that cannot be read or is something else.
    pub fn read(path: &Path, edges: &Edges) -> Result<Self, Error> {
        let mut builder = Builder::new(edges);
        let mut filler = Filler { builder: &mut builder, repository: None, digest: None };
        read_file(path, &mut filler)?;
        Ok(builder.finish())
    }

    /// Whether a repository has a digest.
    pub(crate) fn has(&self, repository: u32, digest: u32) -> bool {
        let held = self.repositories.get(repository as usize);
        held.is_some_and(|held| held.digests.binary_search(&digest).is_ok())
    }

    /// The number of the digest that a tag is.
    pub(crate) fn tag(&self, repository: u32, tag: u32) -> Option<u32> {
        let held = self.repositories.get(repository as usize)?;
        let place = held.tags.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        held.tags.get(place).map(|(_, digest)| *digest)
    }

    /// A digest by its number.
    pub(crate) fn digest(&self, edges: &Edges, number: u32) -> Option<Sha256> {
        let number = number as usize;
        edges
            .digests()
            .get(number)
            .or_else(|| self.others.get(number.checked_sub(self.known)?))
            .copied()
    }
}

/// An inventory that is being made.
pub(crate) struct Builder<'a> {
    repository_numbers: HashMap<&'a str, u32>,
    digest_numbers: HashMap<Sha256, u32>,
    tag_numbers: HashMap<&'a str, u32>,
    inventory: Inventory,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(edges: &'a Edges) -> Self {
        let inventory = Inventory {
            repositories: vec![Held::default(); edges.repositories().len()],
            others: Vec::new(),
            known: edges.digests().len(),
        };
        Self::again(edges, inventory)
    }

    /// Goes on with an inventory.
    pub(crate) fn again(edges: &'a Edges, inventory: Inventory) -> Self {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let texts = |texts: &'a [Box<str>]| -> HashMap<&'a str, u32> {
            texts.iter().enumerate().map(|(place, text)| (&**text, number(place))).collect()
        };
        let digests = edges.digests().iter().chain(&inventory.others);
        Self {
            repository_numbers: texts(edges.repositories()),
            digest_numbers: digests.enumerate().map(|(place, it)| (*it, number(place))).collect(),
            tag_numbers: texts(edges.tags()),
            inventory,
        }
    }

    pub(crate) fn repository(&self, path: &str) -> Option<u32> {
        self.repository_numbers.get(path).copied()
    }

    pub(crate) fn holds(&mut self, repository: u32, digest: Sha256) {
        if let Some(digest) = self.digest_numbers.get(&digest).copied()
            && let Some(held) = self.inventory.repositories.get_mut(repository as usize)
            && held.digests.last() != Some(&digest)
        {
            held.digests.push(digest);
        }
    }

    pub(crate) fn tagged(&mut self, repository: u32, tag: &str, digest: Sha256) {
        let Some(tag) = self.tag_numbers.get(tag).copied() else { return };
        let Inventory { repositories, others, known } = &mut self.inventory;
        let digest = *self.digest_numbers.entry(digest).or_insert_with(|| {
            others.push(digest);
            u32::try_from(*known + others.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(held) = repositories.get_mut(repository as usize) {
            held.tags.push((tag, digest));
        }
    }

    pub(crate) fn finish(mut self) -> Inventory {
        for held in &mut self.inventory.repositories {
            held.digests.sort_unstable();
            held.digests.dedup();
            held.tags.sort_unstable();
            held.tags.dedup();
        }
        self.inventory
    }
}

/// Takes a file.
struct Filler<'f, 'a> {
    builder: &'f mut Builder<'a>,
    repository: Option<u32>,
    digest: Option<Sha256>,
}

impl Sink for Filler<'_, '_> {
    fn repository(&mut self, registry: &str, image: &str) -> bool {
        self.repository = self.builder.repository(&format!("{registry}/{image}"));
        self.repository.is_some()
    }

    fn digest(&mut self, digest: Sha256) {
        self.digest = Some(digest);
        if let Some(repository) = self.repository {
            self.builder.holds(repository, digest);
        }
    }

    fn tag(&mut self, tag: &str) -> Result<(), String> {
        if !self.builder.tag_numbers.contains_key(tag) {
            return tag.parse::<Tag>().map(drop).map_err(|error| error.to_string());
        }
        if let (Some(repository), Some(digest)) = (self.repository, self.digest) {
            self.builder.tagged(repository, tag, digest);
        }
        Ok(())
    }
}
