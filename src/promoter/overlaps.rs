//! One tag of a destination that several places put different digests under: none of them is to be promoted.

use std::collections::{BTreeMap, HashSet};

use super::manifest::{Listed, Manifest};
use super::manifests::Manifests;
use super::problem::{At, Level};
use super::sha256::Sha256;

/// Says at each place that puts something under these tags of destinations, `HOST/PATH/IMAGE` and tag, which other
/// place puts another digest there.
pub(super) fn tell(manifests: &mut Manifests, overlaps: &HashSet<(&str, &str)>) {
    let Manifests { files, manifests, problems } = manifests;
    let mut told: BTreeMap<[(usize, At); 2], (String, usize)> = BTreeMap::new();
    for ((path, tag), claims) in claims(manifests, overlaps) {
        let Some(first) = claims.first() else { continue };
        let Some(second) = claims.iter().find(|it| it.digest != first.digest) else { continue };
        for claim in &claims {
            let other = if claim.digest == first.digest { second } else { first };
            if claim.is_of_the_image_of(other) {
                continue;
            }
            let key = [(claim.file, claim.at), (other.file, other.at)];
            told.entry(key).or_insert_with(|| (format!("{path}:{tag}"), 0)).1 += 1;
        }
    }
    for ([(file, at), (other_file, other_at)], (destination, count)) in told {
        let (Some(source), Some(other)) = (files.get(file), files.get(other_file)) else {
            continue;
        };
        let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let At { line, column } = other_at;
        let message = format!(
            "overlapping edges: {destination}{others} would be another digest than {}:{line}:{column} \
             puts there",
            other.path
        );
        problems.add(source.problem(at, Level::Error, message));
    }
}

fn claims<'m>(
    manifests: &'m [Manifest],
    overlaps: &HashSet<(&str, &str)>,
) -> BTreeMap<(String, &'m str), Vec<Claim<'m>>> {
    let mut claims: BTreeMap<(String, &str), Vec<Claim<'_>>> = BTreeMap::new();
    for manifest in manifests {
        for registry in &manifest.destinations {
            for image in &manifest.images {
                let path = format!("{}/{}", registry.name, image.name);
                for Listed { digest, tags, .. } in &image.digests {
                    for (tag, at) in tags {
                        if overlaps.contains(&(path.as_str(), tag.as_str())) {
                            let (file, image) = (manifest.images_file, &*image.name);
                            let claim = Claim { file, image, at: *at, digest: *digest };
                            claims.entry((path.clone(), tag.as_str())).or_default().push(claim);
                        }
                    }
                }
            }
        }
    }
    claims
}

/// One tag that a manifest puts somewhere.
struct Claim<'m> {
    file: usize,
    image: &'m str,
    at: At,
    digest: Sha256,
}

impl Claim<'_> {
    /// Of two digests within one image it is said already, as an error of its file.
    fn is_of_the_image_of(&self, other: &Self) -> bool {
        self.file == other.file && self.image == other.image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promoter::edges::Edges;

    #[test]
    fn a_warning_at_the_place_of_an_alias_hides_no_overlap() {
        let [one, two, three] = ["1", "2", "3"].map(|it| format!("sha256:{}", it.repeat(64)));
        let (_, problems) = read(&[
            ("a.yaml", format!("{{name: y, dmap: {{{three}: ['1.0']}}}}")),
            (
                "b.yaml",
                format!(
                    "{{name: x, dmap: {{{one}: ['1.0']}}}}, {{name: x, dmap: {{{one}: &t ['1.0']}}}}, \
                     {{name: y, dmap: {{{two}: *t}}}}"
                ),
            ),
        ]);
        assert!(problems.iter().any(|it| it.starts_with("b.yaml:2:")), "{problems:?}");
    }

    #[test]
    fn of_an_overlap_neither_side_is_left_in_whatever_order_files_are() {
        let [one, two] = ["1", "2"].map(|it| format!("sha256:{}", it.repeat(64)));
        let image = |digest: &str| format!("{{name: x, dmap: {{{digest}: ['1.0']}}}}");
        let (a, b) = (("a.yaml", image(&one)), ("b.yaml", image(&two)));
        let good = ("c.yaml", image(&one).replace("1.0", "2.0"));
        for images in [[a.clone(), b.clone(), good.clone()], [b, a, good]] {
            let (mut manifests, problems) = read(&images);
            let told = |file: &str, other: &str| {
                problems.iter().any(|it| it.starts_with(file) && it.contains(other))
            };
            assert!(told("a.yaml:2", "than b.yaml:2:"), "{problems:?}");
            assert!(told("b.yaml:2", "than a.yaml:2:"), "{problems:?}");
            assert_eq!(problems.len(), 2, "{problems:?}");
            let edges = Edges::of_good(&mut manifests);
            let edges: Vec<String> = edges.iter().map(|it| it.destination().to_string()).collect();
            assert_eq!(edges, ["d.example/x:2.0"]);
        }
    }

    /// What reading these images of one destination comes to: edges, and errors with their places.
    fn read(images: &[(&str, String)]) -> (Manifests, Vec<String>) {
        let texts = images.iter().map(|(name, images)| {
            let registries = "registries: [{name: s.example, src: true}, {name: d.example}]";
            ((*name).to_owned(), format!("{registries}\nimages: [{images}]\n").into_bytes())
        });
        let mut manifests = Manifests::of_plain_contents(texts.collect());
        Edges::of(&mut manifests);
        let problems = manifests.problems.errors();
        let problems =
            problems.map(|it| format!("{}:{}: {}", it.file, it.line, it.message)).collect();
        (manifests, problems)
    }
}
