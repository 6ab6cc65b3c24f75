//! One tag of a destination that several places put different digests under.

use std::collections::{BTreeMap, HashSet};

use super::manifest::Listed;
use super::manifests::Manifests;
use super::problem::{At, Level};
use super::sha256::Sha256;

/// Says at each of these tags of destinations, `HOST/PATH/IMAGE` and tag, which other place puts another digest
/// there.
pub(super) fn tell(manifests: &mut Manifests, overlaps: &HashSet<(&str, &str)>) {
    let mut claims: BTreeMap<(String, String), Vec<Claim>> = BTreeMap::new();
    for manifest in &manifests.manifests {
        for registry in &manifest.destinations {
            for image in &manifest.images {
                let path = format!("{}/{}", registry.name, image.name);
                for Listed { digest, tags, .. } in &image.digests {
                    for (tag, at) in tags {
                        if overlaps.contains(&(path.as_str(), tag.as_str())) {
                            let claim =
                                Claim { file: manifest.images_file, at: *at, digest: *digest };
                            claims.entry((path.clone(), tag.to_string())).or_default().push(claim);
                        }
                    }
                }
            }
        }
    }
    tell_claims(manifests, claims);
}

fn tell_claims(manifests: &mut Manifests, claims: BTreeMap<(String, String), Vec<Claim>>) {
    let mut told: BTreeMap<[(usize, At); 2], (String, usize)> = BTreeMap::new();
    for ((path, tag), claims) in claims {
        let Some(first) = claims.first() else { continue };
        for other in claims.iter().filter(|claim| claim.digest != first.digest) {
            let key = [(other.file, other.at), (first.file, first.at)];
            told.entry(key).or_insert_with(|| (format!("{path}:{tag}"), 0)).1 += 1;
        }
    }
    let Manifests { files, problems, .. } = manifests;
    // Of two digests within one image it is said already.
    let said: HashSet<(String, u32, u32)> =
        problems.iter().map(|it| (it.file.clone(), it.line, it.column)).collect();
    for ([(file, at), (first_file, first_at)], (destination, count)) in told {
        let (Some(source), Some(first)) = (files.get(file), files.get(first_file)) else {
            continue;
        };
        if said.contains(&(source.path.clone(), at.line, at.column)) {
            continue;
        }
        let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let At { line, column } = first_at;
        let message = format!(
            "overlapping edges: {destination}{others} would be another digest than {}:{line}:{column} \
             puts there",
            first.path
        );
        problems.add(source.problem(at, Level::Error, message));
    }
}

/// One tag that a manifest puts somewhere.
struct Claim {
    file: usize,
    at: At,
    digest: Sha256,
}
