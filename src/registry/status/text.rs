//! Figures, times and text from outside as people read them.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use crate::oci::is_invisible;

/// How much of a text from outside is shown.
const MOST_CHARACTERS: usize = 80;

/// A size for people, exact on asking.
pub(super) fn bytes(bytes: u64) -> Markup {
    html! { span title=(format!("{} bytes", grouped(&bytes.to_string()))) { (human(bytes)) } }
}

pub(super) fn number(number: impl ToString) -> String {
    grouped(&number.to_string())
}

pub(super) fn period(period: Duration) -> String {
    let seconds = period.as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

pub(super) fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..10 => "just now".to_owned(),
        10..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    }
}

pub(super) fn clock(moment: SystemTime) -> String {
    jiff::Timestamp::try_from(moment)
        .map(|moment| moment.strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// A text from outside: not endless, and nothing in it that cannot be seen or turns the rest around.
/// (Escaping is maud's.)
pub(super) fn shown(text: &str) -> String {
    let visible = |c: char| if is_invisible(c) { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(MOST_CHARACTERS).map(visible).collect();
    if text.chars().nth(MOST_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 999.5 {
        value /= 1024.0;
        unit = units.next().or(unit);
    }
    let digits = if value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", unit.copied().unwrap_or_default())
}

/// `1234567` as `1,234,567`.
fn grouped(digits: &str) -> String {
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown_as_such() {
        assert_eq!(shown("a\u{202e}b\u{0}c\nd"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(shown(&"x".repeat(81)).chars().count(), 81);
        assert!(shown(&"x".repeat(81)).ends_with('…'));
        assert_eq!(shown("linux/arm64"), "linux/arm64");
    }

    #[test]
    fn sizes_numbers_and_times_are_for_people() {
        for (size, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (10_239, "10 KiB"),
            (1_048_576, "1.0 MiB"),
            (5_368_709_120, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(human(size), expected);
        }
        assert_eq!(
            (number(0), number(999), number(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(
            (number(-1), number(-123), number(-1234)),
            ("-1".into(), "-123".into(), "-1,234".into())
        );
        assert_eq!(period(Duration::from_secs(93_784)), "1 d 2 h");
        assert_eq!(ago(Duration::from_secs(7300)), "2 h ago");
    }
}
