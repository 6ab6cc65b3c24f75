use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::gunzip::Gunzip;

/// A file of a layout, to be read once.
#[derive(Clone)]
pub(super) struct Part {
    content: Content,
    left: u64,
}

/// Where a file's bytes are.
#[derive(Clone)]
pub(super) enum Content {
    /// In a file of the host, from this offset on.
    At(Arc<File>, u64),
    /// In a compressed archive, from where it is unpacked on.
    Packed(Box<Gunzip>),
    /// In memory.
    Held(Bytes),
}

impl Part {
    pub(super) fn new(content: Content, size: u64) -> Self {
        Self { content, left: size }
    }

    /// How many bytes are to come.
    pub(super) fn size(&self) -> u64 {
        self.left
    }

    /// What it is when unpacked; `None` where it is in something compressed itself.
    pub(super) fn gunzip(&self) -> Option<Gunzip> {
        match &self.content {
            Content::At(file, at) => {
                Some(Gunzip::new(Arc::clone(file), *at..at.saturating_add(self.left)))
            }
            Content::Packed(_) | Content::Held(_) => None,
        }
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let count = match &mut self.content {
            Content::At(file, at) => {
                let count = file.read_at(buffer, *at)?;
                *at += count as u64;
                count
            }
            Content::Packed(gunzip) => gunzip.read(buffer)?,
            Content::Held(bytes) => {
                let next = bytes.split_to(bytes.len().min(buffer.len()));
                next.as_ref().read(buffer)?
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}
