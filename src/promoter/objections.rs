use std::collections::{BTreeMap, HashMap};

use super::manifest::Listed;
use super::manifests::Manifests;
use super::plan::Planned;
use super::problem::{At, Level, Problems};
use super::sha256::Sha256;

/// A destination's path, a digest and its tag, if it has one.
type Way<'a> = (String, Sha256, Option<&'a str>);

impl Manifests {
    /// What speaks against a plan, each at the line that asks for it.
    #[must_use]
    pub fn objected(&self, planned: &Planned) -> Problems {
        let (objections, edges) = (planned.objections(), &planned.edges);
        let objections: HashMap<Way<'_>, String> = objections
            .into_iter()
            .filter_map(|(edge, reason)| {
                let way = (
                    edges.repository(edge.destination).to_owned(),
                    edges.digest(edge.digest)?,
                    edges.tag(edge.tag),
                );
                Some((way, format!("{}: {reason}", edges.show(edge).destination())))
            })
            .collect();
        let mut problems = Problems::default();
        if objections.is_empty() {
            return problems;
        }
        // The same line usually asks for the same in many destinations.
        let mut told: BTreeMap<(usize, At), (&str, usize)> = BTreeMap::new();
        for (place, way) in self.ways() {
            if let Some(reason) = objections.get(&way) {
                told.entry(place).or_insert((reason, 0)).1 += 1;
            }
        }
        for ((file, at), (reason, count)) in told {
            let Some(file) = self.files.get(file) else { continue };
            let others =
                if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
            problems.add(file.problem(at, Level::Error, format!("{reason}{others}")));
        }
        problems
    }

    /// All that is asked for, and where.
    fn ways(&self) -> impl Iterator<Item = ((usize, At), Way<'_>)> {
        self.manifests.iter().flat_map(|manifest| {
            let file = manifest.images_file;
            let images = manifest.images.iter();
            let listed = images.flat_map(|image| image.digests.iter().map(move |it| (image, it)));
            listed.flat_map(move |(image, Listed { digest, at, tags })| {
                let bare = tags.is_empty().then_some((None, *at));
                let tags = tags.iter().map(|(tag, at)| (Some(tag.as_str()), *at)).chain(bare);
                tags.flat_map(move |(tag, at)| {
                    manifest.destinations.iter().map(move |registry| {
                        ((file, at), (format!("{}/{}", registry.name, image.name), *digest, tag))
                    })
                })
            })
        })
    }
}
