use crate::oci::Tag;

/// The first rebuild number of a base that no tag has: tags are `<base>-<number>`, with `-amd64` or `-arm64`
/// behind it from times when there were no indexes.
#[must_use]
pub fn next_number<'a>(base: &str, tags: impl IntoIterator<Item = &'a Tag>) -> u64 {
    let numbers = tags.into_iter().filter_map(|tag| number(base, tag.as_str()));
    numbers.max().map_or(1, |highest| highest.saturating_add(1))
}

fn number(base: &str, tag: &str) -> Option<u64> {
    let rest = tag.strip_prefix(base)?.strip_prefix('-')?;
    let rest = rest.strip_suffix("-amd64").or(rest.strip_suffix("-arm64")).unwrap_or(rest);
    rest.bytes().all(|byte| byte.is_ascii_digit()).then(|| rest.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn next(base: &str, tags: &[&str]) -> u64 {
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        next_number(base, &tags)
    }

    #[test]
    fn a_base_does_not_see_the_numbers_of_another() {
        let tags = [
            "7.6.1-1",
            "7.6.1-2-arm64",
            "7.6.10-9",
            "7.6.1-rhcc",
            "7.6.1-",
            "7x6.1-8",
            "7.6.1-3-s390x",
        ];
        assert_eq!(next("7.6.1", &tags), 3);
        assert_eq!(next("7.6.10", &tags), 10);
        assert_eq!(next("7.6.0-MP1", &["7.6.0-MP1-4", "7.6.0-9"]), 5);
        assert_eq!(next("7.6.0", &["7.6.0-MP1-4", "7.6.0-99999999999999999999"]), 1);
        assert_eq!(next("8.0.0", &[]), 1);
    }
}
