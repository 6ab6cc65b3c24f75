use crate::oci::Descriptor;

/// Is told how a copy goes on.
pub trait Progress: Sync {
    /// So many blobs with so many bytes are to be looked for, and moved where they are missing.
    fn planned(&self, blobs: u64, bytes: u64) {
        let _ = (blobs, bytes);
    }

    /// A blob begins to move.
    fn blob_started(&self, blob: &Descriptor) {
        let _ = blob;
    }

    /// So many more bytes have moved.
    fn bytes(&self, count: u64) {
        let _ = count;
    }

    /// A blob is in place, whether it was moved, mounted or there before.
    fn blob_done(&self, blob: &Descriptor) {
        let _ = blob;
    }
}

/// Nobody is told.
impl Progress for () {}
