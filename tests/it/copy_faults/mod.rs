//! What goes wrong between registries while an image is copied: one table, a row a fault.
//!
//! Each row is played by the program over real registries: from one of ours to Debian's distribution, where
//! nothing stands under the tag yet, and the other way round, where an older image does. Before each
//! registry is a proxy; the one on the row's side does what the row's script says. However that ends,
//! the destination shows no part of an image that looks whole and is not, no login has gone elsewhere and
//! no secret is told, and the same command without the fault brings the image there.

mod access;
mod manifests;
mod places;
mod play;
mod reading;
mod redirects;
mod scene;
mod secure;
mod silence;
mod standing;
mod waits;
mod writing;

use self::play::play;
use self::scene::Scene;

/// A row of the table.
#[derive(Clone, Copy)]
struct Row {
    side: Side,
    name: &'static str,
    /// Lays faults over requests to that side.
    script: fn(&Scene),
    end: End,
    options: &'static [&'static str],
    /// Whose registry has the fault, if it matters.
    only: Option<Maker>,
    /// Whether the destination has an older image under the tag, if it matters.
    older: Option<bool>,
    /// Bytes of the large layer.
    size: usize,
}

/// Whose requests go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Source,
    Destination,
    /// One, and in another turn the other.
    Either,
}

/// How it ends.
#[derive(Clone, Copy)]
enum End {
    /// With the image in place.
    Done,
    /// With the image in place, and this is so as well.
    DoneAnd(fn(&Scene)),
    /// With exit code 1, this kind of error and these words, and the tag as it was.
    Fails(&'static str, &'static [&'static str]),
    /// With an error although the image is in place.
    FailsInPlace(&'static str, &'static [&'static str]),
}

/// Who made a registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Maker {
    Us,
    Debian,
}

const fn row(side: Side, name: &'static str, script: fn(&Scene), end: End) -> Row {
    let options = &["--retries", "3", "--idle-timeout", "20s"];
    Row { side, name, script, end, options, only: None, older: None, size: 300_000 }
}

impl Row {
    /// Where the registry with the fault is from there.
    const fn only(self, maker: Maker) -> Self {
        Self { only: Some(maker), ..self }
    }

    /// Where an older image is under the tag.
    const fn over_an_older_image(self) -> Self {
        Self { older: Some(true), ..self }
    }

    /// Where nothing is under the tag.
    const fn over_nothing(self) -> Self {
        Self { older: Some(false), ..self }
    }

    /// By who does not wait long.
    const fn impatient(self) -> Self {
        Self { options: &["--retries", "1", "--idle-timeout", "2s"], ..self }
    }

    /// Of a layer that does not fit into the buffers of a connection.
    const fn heavy(self) -> Self {
        Self { size: 24 << 20, ..self }
    }
}
