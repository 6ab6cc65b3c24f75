use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::gunzip::Gunzip;
use super::part::{Content, Part};

/// An archive for who reads its headers and passes over the rest. There is a limit to how much is read, as
/// the library takes the long names of an entry into memory, however long they are.
pub(super) struct Headers {
    input: RefCell<Input>,
    left: Cell<u64>,
    /// How much of a compressed archive is kept in memory.
    kept: Cell<usize>,
}

enum Input {
    Plain { file: Arc<File>, at: u64, length: u64 },
    Packed(Gunzip),
}

/// How much of an archive may be names and headers: some 30,000 files, where images have hundreds.
const MOST_HEADERS: u64 = 16 * 1024 * 1024;

/// How much of a compressed archive may be kept: some 500 files, as many as there are layers in the largest
/// images, and any number of small ones.
const MOST_KEPT: usize = 24 * 1024 * 1024;

impl Headers {
    pub(super) fn plain(file: &Arc<File>, length: u64) -> Self {
        Self::of(Input::Plain { file: Arc::clone(file), at: 0, length })
    }

    pub(super) fn packed(file: &Arc<File>, length: u64) -> Self {
        Self::of(Input::Packed(Gunzip::new(Arc::clone(file), 0..length)))
    }

    fn of(input: Input) -> Self {
        let (left, kept) = (Cell::new(MOST_HEADERS), Cell::new(0));
        Self { input: RefCell::new(input), left, kept }
    }

    /// The file that begins here. In a compressed archive its bytes are kept, or the state they are unpacked
    /// from, whichever is less.
    pub(super) fn part(&self, size: u64) -> io::Result<Part> {
        let content = match &*self.input.borrow() {
            Input::Plain { at, length, .. } if length.saturating_sub(*at) < size => {
                return Err(io::Error::other(format!(
                    "it ends at byte {length}, in the middle of a file"
                )));
            }
            Input::Plain { file, at, .. } => Content::At(Arc::clone(file), *at),
            Input::Packed(gunzip) => {
                let small = usize::try_from(size).ok().filter(|size| *size <= Gunzip::BYTES);
                self.keep(small.unwrap_or(Gunzip::BYTES))?;
                match small {
                    None => Content::Packed(Box::new(gunzip.clone())),
                    Some(0) => Content::Held(Bytes::new()),
                    Some(size) => {
                        let mut bytes = vec![0; size];
                        gunzip.clone().read_exact(&mut bytes)?;
                        Content::Held(Bytes::from(bytes))
                    }
                }
            }
        };
        Ok(Part::new(content, size))
    }

    fn keep(&self, bytes: usize) -> io::Result<()> {
        self.kept.set(self.kept.get().saturating_add(bytes));
        match self.kept.get() > MOST_KEPT {
            true => Err(io::Error::other("it has too many files to be read compressed; gunzip it")),
            false => Ok(()),
        }
    }
}

impl Read for &Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut *self.input.borrow_mut() {
            Input::Plain { file, at, .. } => {
                let count = file.read_at(buffer, *at)?;
                *at += count as u64;
                count
            }
            Input::Packed(gunzip) => gunzip.read(buffer)?,
        };
        let left = self.left.get().checked_sub(count as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("it has too many or too long names"))?);
        Ok(count)
    }
}

impl Seek for &Headers {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Current(count) = to else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let count = u64::try_from(count).map_err(io::Error::other)?;
        match &mut *self.input.borrow_mut() {
            Input::Plain { at, .. } => {
                *at = at.checked_add(count).ok_or(io::ErrorKind::InvalidInput)?;
                Ok(*at)
            }
            Input::Packed(gunzip) => {
                gunzip.skip(count)?;
                Ok(gunzip.position())
            }
        }
    }
}
