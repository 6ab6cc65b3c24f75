//! Medians and spreads.

/// Median and, in brackets, how far the samples lie apart.
pub fn cell(samples: &[f64]) -> String {
    let spread = if samples.len() > 1 {
        format!(" ({}–{})", number(low(samples)), number(high(samples)))
    } else {
        String::new()
    };
    format!("{}{spread}", number(median(samples)))
}

pub fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

pub fn low(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

pub fn high(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
