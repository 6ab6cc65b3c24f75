use std::collections::HashMap;

/// Texts by number. Numbers are given in the order of their coming; [`Names::ranked`] makes it that of the
/// texts.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Box<str>, u32>,
}

impl Names {
    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.into(), number);
        number
    }

    /// All texts in the order of `key`, and the place in it of each number.
    pub(super) fn ranked<K: Ord>(self, key: impl Fn(&str) -> K) -> (Vec<Box<str>>, Vec<u32>) {
        rank(self.numbers, |text| key(text))
    }
}

/// Things in the order of `key`, and the place in it of each number.
pub(super) fn rank<T, K: Ord>(
    numbers: HashMap<T, u32>,
    key: impl Fn(&T) -> K,
) -> (Vec<T>, Vec<u32>) {
    let mut all: Vec<(T, u32)> = numbers.into_iter().collect();
    all.sort_by_cached_key(|(thing, _)| key(thing));
    let mut places = vec![0; all.len()];
    for (place, (_, number)) in all.iter().enumerate() {
        if let Some(entry) = places.get_mut(*number as usize) {
            *entry = u32::try_from(place).unwrap_or(u32::MAX);
        }
    }
    (all.into_iter().map(|(thing, _)| thing).collect(), places)
}
