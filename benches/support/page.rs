//! The page of figures, of which a run rewrites its part, and the document with every sample.

use std::fs;
use std::path::Path;

use super::Outcome;

pub const PAGE: &str = "docs/benchmarks.md";

/// Puts a text between `<!-- NAME -->` and `<!-- end of NAME -->`.
pub fn update(name: &str, text: &str) -> Outcome<()> {
    let page = fs::read_to_string(PAGE)?;
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&begin).ok_or("the page has no place for the figures")?;
    let (_, after) = rest.split_once(&end).ok_or("the page has no end of the figures")?;
    Ok(fs::write(PAGE, format!("{before}{begin}\n{}\n{end}{after}", text.trim_end()))?)
}

/// Writes a file, and the folder it is in.
pub fn write(path: &Path, text: &str) -> Outcome<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, text)?)
}
