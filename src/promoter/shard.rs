use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::edges::Edges;

/// One of several parts of a run, `I/N`. The same repository always falls into the same part, and all
/// that one source repository feeds into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u64,
    count: u64,
}

impl Shard {
    /// Leaves the edges of this part.
    pub fn apply(self, edges: &mut Edges) {
        let parts: Vec<bool> = edges.repositories().iter().map(|path| self.has(path)).collect();
        edges.retain(|edge| parts.get(edge.source as usize).copied().unwrap_or_default());
    }

    fn has(self, path: &str) -> bool {
        let hash = Sha256::digest(path.as_bytes());
        let start = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        start % self.count == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected I/N with I from 1 to N".to_owned();
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let (number, count) = number.parse().ok().zip(count.parse().ok()).ok_or_else(wrong)?;
        match (1..=count).contains(&number) {
            true => Ok(Self { number, count }),
            false => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "1", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/3/4"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_repository_is_in_exactly_one_part() {
        let mut parts = [0; 3];
        for number in 0..300 {
            let path = format!("r.example/p/{number}");
            let having: Vec<usize> = (1..=3)
                .filter(|part| format!("{part}/3").parse::<Shard>().unwrap().has(&path))
                .collect();
            assert_eq!(having.len(), 1, "{path}");
            parts[having[0] - 1] += 1;
        }
        assert!(parts.iter().all(|part| (60..140).contains(part)), "{parts:?}");
    }
}
