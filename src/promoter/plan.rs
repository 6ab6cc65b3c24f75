use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::each::Each;
use super::edges::{DestinationText, Edge, Edges, SourceText, TAGLESS};
use super::inventory::Inventory;
use super::sha256::Sha256;

/// What is to be done for all edges, and what speaks against it.
#[derive(Debug)]
pub struct Plan {
    pub(super) copies: Vec<Copy>,
    pub(super) lost: Vec<Lost>,
    pub(super) tag_moves: Vec<TagMove>,
    /// How many edges are as they are to be.
    pub(super) in_place: usize,
}

/// An edge that is not in place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy {
    pub(super) edge: Edge,
    /// The destination has the digest, so that a tag is all that it lacks.
    pub(super) has_digest: bool,
}

/// An edge whose source does not have the digest any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) edge: Edge,
    pub(super) in_destination: bool,
}

/// An edge whose tag is another digest at the destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct TagMove {
    pub(super) edge: Edge,
    /// The number of the digest in the inventory.
    pub(super) from: u32,
}

impl Plan {
    /// Compares what is to be with what is. A lost source hides no tag move.
    #[must_use]
    pub fn new(edges: &Edges, inventory: &Inventory) -> Self {
        let mut plan =
            Self { copies: Vec::new(), lost: Vec::new(), tag_moves: Vec::new(), in_place: 0 };
        for edge in edges.list() {
            plan.judge(*edge, inventory);
        }
        plan
    }

    fn judge(&mut self, edge: Edge, inventory: &Inventory) {
        let Edge { source, digest, destination, tag } = edge;
        let has_digest = inventory.has(destination, digest);
        let held = if tag == TAGLESS { None } else { inventory.tag(destination, tag) };
        let is_lost = !inventory.has(source, digest);
        match held {
            Some(held) if held == digest => self.in_place += 1,
            Some(from) => {
                self.tag_moves.push(TagMove { edge, from });
                if is_lost {
                    self.lost.push(Lost { edge, in_destination: has_digest });
                }
            }
            None if tag == TAGLESS && has_digest => {
                self.in_place += 1;
                // Nobody else would tell that it cannot be promoted anywhere else any more.
                if is_lost {
                    self.lost.push(Lost { edge, in_destination: true });
                }
            }
            None if is_lost => self.lost.push(Lost { edge, in_destination: has_digest }),
            None => self.copies.push(Copy { edge, has_digest }),
        }
    }

    /// Whether nothing speaks against promoting: no tag would move, and nothing is lost that is needed,
    /// unless that is allowed.
    #[must_use]
    pub fn is_clean(&self, allow_lost: bool) -> bool {
        self.tag_moves.is_empty() && (allow_lost || self.needed_lost() == 0)
    }

    /// How many edges cannot be made because their source is lost.
    #[must_use]
    pub fn needed_lost(&self) -> usize {
        self.lost.iter().filter(|lost| lost.is_needed()).count()
    }
}

/// Whether it has to be known if the source still has the digest.
pub(super) fn needs_source(edge: Edge, inventory: &Inventory) -> bool {
    let Edge { digest, destination, tag, .. } = edge;
    tag == TAGLESS || inventory.tag(destination, tag) != Some(digest)
}

impl Lost {
    /// Whether something cannot be done for it.
    fn is_needed(&self) -> bool {
        !(self.in_destination && self.edge.tag == TAGLESS)
    }
}

/// A plan with what its numbers stand for, to be shown.
#[derive(Debug)]
pub struct Planned {
    /// What was to be.
    pub edges: Edges,
    /// What is.
    pub inventory: Inventory,
    /// What is to be done.
    pub plan: Plan,
    /// Whether lost images are passed over.
    pub allow_lost: bool,
}

#[derive(Serialize)]
struct CopyEntry<'a> {
    source: SourceText<'a>,
    destination: DestinationText<'a>,
    action: &'static str,
}

#[derive(Serialize)]
struct LostEntry<'a> {
    source: SourceText<'a>,
    destination: DestinationText<'a>,
    in_destination: bool,
}

#[derive(Serialize)]
struct MoveEntry<'a> {
    destination: DestinationText<'a>,
    from: Option<Sha256>,
    to: Option<Sha256>,
}

impl Planned {
    /// Whether it may be carried out.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.plan.is_clean(self.allow_lost)
    }

    /// The edges that are as they are to be.
    pub(super) fn in_place(&self) -> impl Iterator<Item = Edge> + '_ {
        let inventory = &self.inventory;
        self.edges.list().iter().copied().filter(|edge| match edge.tag {
            TAGLESS => inventory.has(edge.destination, edge.digest),
            tag => inventory.tag(edge.destination, tag) == Some(edge.digest),
        })
    }

    /// The edges that a rule forbids, with the reason.
    pub(super) fn objections(&self) -> Vec<(Edge, String)> {
        let moves = self.plan.tag_moves.iter().map(|TagMove { edge, from }| {
            let from = self.inventory.digest(&self.edges, *from).map(|it| it.to_string());
            let to = self.edges.digest(edge.digest).map(|it| it.to_string());
            let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
            (*edge, format!("the tag would move from {from} to {to}"))
        });
        let lost = self.plan.lost.iter().filter(|lost| lost.is_needed() && !self.allow_lost);
        let lost = lost.map(|lost| {
            let source = self.edges.show(lost.edge).source();
            (lost.edge, format!("{source} is not there any more"))
        });
        moves.chain(lost).collect()
    }

    /// What speaks against carrying it out, and what to do.
    #[must_use]
    pub fn objection(&self) -> String {
        let (moves, lost) = (self.plan.tag_moves.len(), self.plan.needed_lost());
        let mut reasons = Vec::new();
        if let Some(first) = self.tag_moves().next() {
            reasons.push(format!(
                "{moves} tags would move to another digest, first {}; give the new digest another tag",
                first.destination
            ));
        }
        if let Some(first) = self.lost().find(|_| lost > 0 && !self.allow_lost) {
            reasons.push(format!(
                "{lost} images are not at their source any more, first {} for {}; bring them back, or \
                 pass over them with --allow-lost",
                first.source, first.destination
            ));
        }
        reasons.join("; ")
    }

    /// A line for each thing to do and each that speaks against it, and the sums.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for CopyEntry { source, destination, action } in self.copies() {
            writeln!(out, "{action} {source} -> {destination}")?;
        }
        for LostEntry { source, destination, in_destination } in self.lost() {
            let there = if in_destination { " (which has it)" } else { "" };
            writeln!(out, "LOST {source} -> {destination}{there}")?;
        }
        for MoveEntry { destination, from, to } in self.tag_moves() {
            let text = |digest: Option<Sha256>| digest.map(|digest| digest.to_string());
            let (from, to) = (text(from).unwrap_or_default(), text(to).unwrap_or_default());
            writeln!(out, "TAG MOVE {destination} from {from} to {to}")?;
        }
        let Plan { copies, lost, tag_moves, in_place } = &self.plan;
        let tags = copies.iter().filter(|copy| copy.has_digest).count();
        writeln!(
            out,
            "{} edges: {in_place} in place, {} to copy, {tags} tags to add, {} lost, {} tag moves",
            self.edges.len(),
            copies.len() - tags,
            lost.len(),
            tag_moves.len()
        )
    }

    /// All fields of it, into the mapping of something larger.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize_entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("clean", &self.is_clean())?;
        map.serialize_entry("edge_count", &self.edges.len())?;
        map.serialize_entry("in_place", &self.plan.in_place)?;
        map.serialize_entry("copies", &Each(|| self.copies()))?;
        map.serialize_entry("lost", &Each(|| self.lost()))?;
        map.serialize_entry("tag_moves", &Each(|| self.tag_moves()))
    }

    fn copies(&self) -> impl Iterator<Item = CopyEntry<'_>> {
        self.plan.copies.iter().map(|copy| {
            let edge = self.edges.show(copy.edge);
            let action = if copy.has_digest { "tag" } else { "copy" };
            CopyEntry { source: edge.source(), destination: edge.destination(), action }
        })
    }

    fn lost(&self) -> impl Iterator<Item = LostEntry<'_>> {
        self.plan.lost.iter().map(|lost| {
            let edge = self.edges.show(lost.edge);
            let (source, destination) = (edge.source(), edge.destination());
            LostEntry { source, destination, in_destination: lost.in_destination }
        })
    }

    fn tag_moves(&self) -> impl Iterator<Item = MoveEntry<'_>> {
        self.plan.tag_moves.iter().map(|TagMove { edge, from }| MoveEntry {
            destination: self.edges.show(*edge).destination(),
            from: self.inventory.digest(&self.edges, *from),
            to: self.edges.digest(edge.digest),
        })
    }
}

impl Serialize for Planned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_entries(&mut map)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::promoter::Manifests;

    /// Registry, image, digest, tags.
    type Held = BTreeMap<String, BTreeMap<String, BTreeMap<String, BTreeSet<String>>>>;
    /// Image, digest and tag by number; 0 is no tag.
    type Entry = (u8, u8, u8);

    proptest! {
        #[test]
        fn after_a_plan_was_carried_out_there_is_nothing_to_do(
            wanted in proptest::collection::vec((0..3_u8, 0..4_u8, 0..5_u8), 0..12),
            source in proptest::collection::vec((0..3_u8, 0..4_u8, 0..5_u8), 0..20),
            there in proptest::collection::vec((0..3_u8, 0..4_u8, 0..5_u8), 0..8),
        ) {
            let mut held = Held::new();
            hold(&mut held, "gcr.io/s", &source);
            hold(&mut held, "gcr.io/d", &there);
            let first = plan(&wanted, &held);
            for copy in first["copies"].as_array().unwrap() {
                let (path, digest, tag) = split(copy);
                let (registry, image) = path.rsplit_once('/').unwrap();
                let images = held.entry(registry.to_owned()).or_default();
                let digests = images.entry(image.to_owned()).or_default();
                digests.entry(digest).or_default().extend(tag);
            }
            let second = plan(&wanted, &held);
            prop_assert_eq!(second["copies"].as_array().unwrap().len(), 0);
            prop_assert_eq!(&second["tag_moves"], &first["tag_moves"]);
            let done = first["copies"].as_array().unwrap().len();
            prop_assert_eq!(
                second["in_place"].as_u64().unwrap(),
                first["in_place"].as_u64().unwrap() + done as u64
            );
            let mut turned = wanted.clone();
            turned.reverse();
            prop_assert_eq!(plan(&turned, &held), second);
        }
    }

    fn digest(number: u8) -> String {
        format!("sha256:{}", number.to_string().repeat(64))
    }

    fn hold(held: &mut Held, registry: &str, entries: &[Entry]) {
        let images = held.entry(registry.to_owned()).or_default();
        let mut taken = BTreeSet::new();
        for (image, number, tag) in entries {
            let digests = images.entry(format!("i{image}")).or_default();
            let tags = digests.entry(digest(*number)).or_default();
            // A tag is one digest.
            if *tag > 0 && taken.insert((*image, *tag)) {
                tags.insert(format!("t{tag}"));
            }
        }
    }

    /// Each entry as a manifest of its own; no tag is wanted on two digests.
    fn plan(wanted: &[Entry], held: &Held) -> Value {
        let mut tags: BTreeMap<(u8, u8), u8> = BTreeMap::new();
        let smallest = wanted.iter().filter(|(.., tag)| *tag > 0);
        for (image, digest, tag) in smallest {
            let number = tags.entry((*image, *tag)).or_insert(*digest);
            *number = (*number).min(*digest);
        }
        let texts = wanted.iter().filter(|(image, digest, tag)| {
            tags.get(&(*image, *tag)).is_none_or(|number| number == digest)
        });
        let texts = texts.enumerate().map(|(number, (image, digest_number, tag))| {
            let tags = if *tag > 0 { format!("t{tag}") } else { String::new() };
            let text = format!(
                "registries: [{{name: gcr.io/s, src: true}}, {{name: gcr.io/d}}]\n\
                 images: [{{name: i{image}, dmap: {{{}: [{tags}]}}}}]\n",
                digest(*digest_number)
            );
            (format!("{number}.yaml"), text.into_bytes())
        });
        let mut manifests = Manifests::of_plain_contents(texts.collect());
        let edges = Edges::of(&mut manifests);
        assert!(!manifests.problems().has_errors());
        let file = tempfile::NamedTempFile::new().unwrap();
        serde_json::to_writer(&file, held).unwrap();
        let inventory = Inventory::read(file.path(), &edges).unwrap();
        let plan = Plan::new(&edges, &inventory);
        serde_json::to_value(Planned { edges, inventory, plan, allow_lost: true }).unwrap()
    }

    /// Repository, digest and tag that a copy writes.
    fn split(copy: &Value) -> (String, String, Option<String>) {
        let (_, digest) = copy["source"].as_str().unwrap().split_once('@').unwrap();
        let destination = copy["destination"].as_str().unwrap();
        let (path, tag) = match destination.split_once('@') {
            Some((path, _)) => (path, None),
            None => destination
                .rsplit_once(':')
                .map(|(path, tag)| (path, Some(tag.to_owned())))
                .unwrap(),
        };
        (path.to_owned(), digest.to_owned(), tag)
    }
}
