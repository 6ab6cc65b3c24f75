use std::ops::AddAssign;

use super::queue::Placed;
use super::{Action, Amount, Blobs, Item, PlannedBlob, Totals};

/// What became of all blobs.
#[derive(Debug)]
pub(super) struct Tally {
    /// By the first image that needs them.
    images: Vec<Blobs>,
}

impl Tally {
    /// Counts for so many images.
    pub(super) fn new(images: usize) -> Self {
        Self { images: vec![Blobs::default(); images] }
    }

    pub(super) fn add(&mut self, placed: &Placed<'_>) {
        let Some(blobs) = self.images.get_mut(placed.target.image) else {
            return;
        };
        let amount = match placed.action {
            Action::Move => &mut blobs.moved,
            Action::Mount => &mut blobs.mounted,
            Action::Present => &mut blobs.present,
        };
        *amount += Amount { count: 1, bytes: placed.job.blob.size };
    }

    pub(super) fn totals(&self) -> Totals {
        let mut sum = Blobs::default();
        for blobs in &self.images {
            sum.moved += blobs.moved;
            sum.mounted += blobs.mounted;
            sum.present += blobs.present;
        }
        Totals {
            blobs_moved: sum.moved.count,
            blobs_mounted: sum.mounted.count,
            blobs_present: sum.present.count,
            bytes_moved: sum.moved.bytes,
            bytes_mounted: sum.mounted.bytes,
            bytes_present: sum.present.bytes,
            ..Totals::default()
        }
    }

    /// In the order of the images.
    pub(super) fn into_images(self) -> impl Iterator<Item = Blobs> {
        self.images.into_iter()
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        // A manifest may say any size.
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// All of a plan, image by image.
pub(super) fn listed(placed: &[Placed<'_>], items: &[Item]) -> Vec<PlannedBlob> {
    let mut order: Vec<&Placed<'_>> = placed.iter().collect();
    order.sort_by_key(|placed| (placed.target.image, &placed.job.blob.digest));
    let blobs = order.into_iter().filter_map(|placed| {
        let Placed { job, target, action, has_it, .. } = placed;
        let from = match action {
            Action::Move => Some(job.from.to_string()),
            Action::Mount => has_it.as_ref().map(|name| format!("{}/{name}", target.to.registry())),
            Action::Present => None,
        };
        Some(PlannedBlob {
            image: items.get(target.image)?.name.clone(),
            digest: job.blob.digest.clone(),
            size: job.blob.size,
            to: format!("{}/{}", target.to.registry(), target.to.name()),
            action: *action,
            from,
        })
    });
    blobs.collect()
}
