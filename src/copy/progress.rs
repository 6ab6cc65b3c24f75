use crate::oci::Descriptor;

/// Is told how a copy goes on.
pub trait Progress: Sync {
    /// So many blobs with so many bytes more are to be looked for, and moved where they are missing.
    fn planned(&self, blobs: u64, bytes: u64) {
        let _ = (blobs, bytes);
    }

    /// So many bytes of those planned need not move.
    fn spared(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A blob is about to move. What is returned is told how far it is, and dropped when it is there, or
    /// was mounted, or failed.
    fn moving(&self, blob: &Descriptor) -> Box<dyn Moving> {
        let _ = blob;
        Box::new(())
    }

    /// A blob is in place, whether it was moved, mounted or there before.
    fn placed(&self, blob: &Descriptor) {
        let _ = blob;
    }
}

/// Is told how far a blob is.
pub trait Moving: Send + Sync {
    /// So many of its bytes have moved: fewer than before where it begins anew.
    fn at(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Nobody is told.
impl Progress for () {}
impl Moving for () {}
