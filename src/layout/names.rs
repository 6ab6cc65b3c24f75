use std::fmt::Write as _;

use crate::oci::{ImageReference, Tag, printable};

/// Where an OCI layout says how an image is called: image-spec, annotations.md; and with its whole name
/// what containerd, buildkit and docker write.
pub(super) const ANNOTATIONS: [&str; 2] =
    ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

/// How many images a message names.
const MOST_SHOWN: usize = 20;

/// An image in a list, by its names.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) names: Vec<String>,
    pub(super) root: T,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// The only image there is.
    Only,
    /// The one with this name, or this tag.
    Named(&'a str),
    /// The one at this position.
    At(usize),
    /// The one of this repository and tag.
    Image {
        repository: &'a str,
        tag: &'a Tag,
        /// Whether images of no other repository are looked for here.
        is_only_repository: bool,
    },
}

/// The image that is wanted, and how it is called in its layout.
///
/// # Errors
/// Why there is not just one, and what can be chosen.
pub(super) fn find<'a, T: PartialEq>(
    images: &'a [Listed<T>],
    wanted: Wanted<'_>,
) -> Result<(String, &'a T), String> {
    let found: Vec<usize> = match wanted {
        Wanted::Only => (0..images.len()).collect(),
        Wanted::At(position) => (0..images.len()).filter(|at| *at == position).collect(),
        Wanted::Named(name) => first_of(images, &[&is(name), &is_same(name), &has_tag(name)]),
        Wanted::Image { repository, tag, is_only_repository } => {
            let whole = format!("{repository}:{tag}");
            let (exact, same, tagged) = (is(&whole), is_same(&whole), has_tag(tag.as_str()));
            match is_only_repository {
                true => first_of(images, &[&exact, &same, &tagged, &|_| true]),
                false => first_of(images, &[&exact, &same]),
            }
        }
    };
    let mut found = found.into_iter().filter_map(|at| Some((at, images.get(at)?)));
    match (found.next(), found.collect::<Vec<_>>()) {
        // Several names of one image are one.
        (Some((at, image)), others) if others.iter().all(|(_, it)| it.root == image.root) => {
            let name = image.names.first().cloned().unwrap_or_else(|| format!("@{at}"));
            Ok((name, &image.root))
        }
        (first, _) => Err(reason(images, wanted, first.is_some())),
    }
}

type Fits<'a> = &'a dyn Fn(&str) -> bool;

/// The images that fit the first of these that any image fits.
fn first_of<T>(images: &[Listed<T>], kinds: &[Fits<'_>]) -> Vec<usize> {
    let fitting = |fits: &Fits<'_>| -> Vec<usize> {
        let fits = |at: &usize| {
            images.get(*at).is_some_and(|it| match it.names.is_empty() {
                true => fits(""),
                false => it.names.iter().any(|name| fits(name)),
            })
        };
        (0..images.len()).filter(fits).collect()
    };
    kinds.iter().map(fitting).find(|found| !found.is_empty()).unwrap_or_default()
}

fn is(wanted: &str) -> impl Fn(&str) -> bool + '_ {
    move |name| name == wanted
}

/// Whether both mean one image, `docker.io/library/x:latest` and `x` for example.
fn is_same(wanted: &str) -> impl Fn(&str) -> bool {
    let whole = |name: &str| name.parse::<ImageReference>().ok().map(|image| image.to_string());
    let wanted = whole(wanted);
    move |name| wanted.is_some() && whole(name) == wanted
}

fn has_tag(wanted: &str) -> impl Fn(&str) -> bool + '_ {
    move |name| name == wanted || name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted)
}

fn reason<T>(images: &[Listed<T>], wanted: Wanted<'_>, several: bool) -> String {
    let what = match wanted {
        Wanted::Only => String::new(),
        Wanted::Named(name) => format!(" called `{}`", printable(name, 100)),
        Wanted::At(position) => format!(" at position {position}"),
        Wanted::Image { repository, tag, .. } => format!(" for {repository}:{tag}"),
    };
    let mut text = match (images.len(), several) {
        (0, _) => return "it holds no image".to_owned(),
        (_, true) => format!("several images fit{what}; name one behind the path:"),
        (1, false) => format!("no image{what}; it holds"),
        (_, false) => format!("no image{what}; it holds:"),
    };
    for (at, image) in images.iter().enumerate().take(MOST_SHOWN) {
        let _ = write!(text, " `:@{at}`");
        for name in &image.names {
            let _ = write!(text, " `:{}`", printable(name, 200));
        }
        text.push(',');
    }
    match images.len().checked_sub(MOST_SHOWN) {
        Some(more) if more > 0 => {
            let _ = write!(text, " and {more} more");
        }
        _ => drop(text.pop()),
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn images(names: &[&[&str]]) -> Vec<Listed<usize>> {
        let names = names.iter().map(|names| names.iter().map(|&name| name.to_owned()).collect());
        names.enumerate().map(|(root, names)| Listed { names, root }).collect()
    }

    fn of(repository: &'static str, tag: &Tag, is_only_repository: bool) -> Wanted<'static> {
        let tag: &'static Tag = Box::leak(Box::new(tag.clone()));
        Wanted::Image { repository, tag, is_only_repository }
    }

    #[test]
    fn who_does_not_choose_among_several_is_told_what_there_is() {
        let several = images(&[&["latest"], &[], &["quay.io/a/b:1", "1"]]);
        let reason = find(&several, Wanted::Only).unwrap_err();
        assert!(reason.contains("`:@0` `:latest`, `:@1`, `:@2` `:quay.io/a/b:1` `:1`"), "{reason}");
        for wanted in [Wanted::Named("2"), Wanted::Named("a/b:1"), Wanted::At(3)] {
            assert!(find(&several, wanted).is_err(), "{wanted:?}");
        }
        assert!(find(&images(&[]), Wanted::Only).is_err());
        let twice = images(&[&["quay.io/a/b:1"], &["quay.io/a/c:1"]]);
        assert!(find(&twice, Wanted::Named("1")).unwrap_err().contains("several images fit"));
        let many: Vec<&[&str]> = vec![&["x"]; 1000];
        assert!(find(&images(&many), Wanted::Only).unwrap_err().contains("and 980 more"));
    }

    #[test]
    fn an_image_is_found_by_its_name_its_reference_its_tag_or_its_position() {
        let several = images(&[&["latest"], &["busybox:latest"], &["quay.io/a/b:1"]]);
        for (wanted, at) in [
            (Wanted::Named("latest"), 0),
            (Wanted::Named("docker.io/library/busybox"), 1),
            (Wanted::Named("quay.io/a/b:1"), 2),
            (Wanted::Named("1"), 2),
            (Wanted::At(0), 0),
        ] {
            assert_eq!(*find(&several, wanted).unwrap().1, at, "{wanted:?}");
        }
        assert_eq!(find(&images(&[&[]]), Wanted::Only).unwrap().0, "@0");
    }

    #[test]
    fn names_of_one_image_are_no_choice() {
        let mut same = images(&[&["one"], &["two"]]);
        same[1].root = 0;
        assert_eq!(find(&same, Wanted::Only), Ok(("one".to_owned(), &0)));
    }

    #[test]
    fn among_images_of_several_repositories_only_the_whole_name_counts() {
        let tag: Tag = "1".parse().unwrap();
        let several = images(&[&["1"], &["quay.io/a/b:1"]]);
        assert_eq!(*find(&several, of("quay.io/a/b", &tag, false)).unwrap().1, 1);
        assert!(find(&several, of("quay.io/a/c", &tag, false)).is_err());
        assert_eq!(*find(&several[..1], of("quay.io/a/c", &tag, true)).unwrap().1, 0);
        // The only one is it, however it is called.
        assert_eq!(*find(&images(&[&["build"]]), of("quay.io/a/c", &tag, true)).unwrap().1, 0);
        assert!(find(&images(&[&["build"]]), of("quay.io/a/c", &tag, false)).is_err());
    }
}
