use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// A gzip file (RFC 1952) as it is unpacked. A copy goes on from the same place: that is how a file in the
/// middle of a compressed archive is found again, without all that is before it and without a disk.
///
/// The checksum at the end is not looked at: what counts has a digest.
pub(super) struct Gunzip {
    file: Arc<File>,
    /// What of the file has not been read.
    rest: Range<u64>,
    /// What has been read, and how much of it was taken.
    input: Vec<u8>,
    taken: usize,
    stage: Stage,
    inflater: Box<DecompressorOxide>,
    /// The newest bytes unpacked, in a circle: those to come may repeat them.
    window: Vec<u8>,
    /// Those of them that nobody has had yet.
    ready: Range<usize>,
    /// How many bytes somebody has had.
    position: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Before a member, the first of the file or another one.
    Member {
        is_first: bool,
    },
    Data,
    End,
}

/// How far back a deflated stream may refer (RFC 1951, section 2).
const WINDOW: usize = 32 * 1024;

/// How much of the file is read at once.
const INPUT: usize = 64 * 1024;

impl Gunzip {
    /// What a copy of one takes in memory.
    pub(super) const BYTES: usize = WINDOW + size_of::<DecompressorOxide>();

    /// Unpacks these bytes of a file.
    pub(super) fn new(file: Arc<File>, bytes: Range<u64>) -> Self {
        Self {
            file,
            rest: bytes,
            input: Vec::new(),
            taken: 0,
            stage: Stage::Member { is_first: true },
            inflater: Box::default(),
            window: vec![0; WINDOW],
            ready: 0..0,
            position: 0,
        }
    }

    /// How many unpacked bytes were read or passed over.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Passes over the next bytes.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            match self.unpack()?.min(most) {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    self.pass(count);
                    left -= count as u64;
                }
            }
        }
        Ok(())
    }

    fn pass(&mut self, count: usize) {
        self.ready.start += count;
        self.position += count as u64;
    }

    /// How many bytes are ready; at least one, but at the end.
    fn unpack(&mut self) -> io::Result<usize> {
        while self.ready.is_empty() {
            match self.stage {
                Stage::End => break,
                Stage::Member { is_first } => self.stage = self.begin(is_first)?,
                Stage::Data => self.inflate()?,
            }
        }
        Ok(self.ready.len())
    }

    /// RFC 1952, section 2.3. What follows the last member, and is none, is no concern of this one.
    fn begin(&mut self, is_first: bool) -> io::Result<Stage> {
        const CHECKSUM: u8 = 1 << 1;
        const EXTRA: u8 = 1 << 2;
        const NAME: u8 = 1 << 3;
        const COMMENT: u8 = 1 << 4;
        let mut head = [0; 10];
        for byte in &mut head {
            match self.byte()? {
                Some(read) => *byte = read,
                None if is_first => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => return Ok(Stage::End),
            }
        }
        let [0x1f, 0x8b, 8, flags, ..] = head else {
            return match is_first {
                true => Err(io::Error::other("it is not compressed by gzip")),
                false => Ok(Stage::End),
            };
        };
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes([self.needed()?, self.needed()?]);
            for _ in 0..length {
                self.needed()?;
            }
        }
        for text in [NAME, COMMENT] {
            while flags & text != 0 && self.needed()? != 0 {}
        }
        if flags & CHECKSUM != 0 {
            self.needed()?;
            self.needed()?;
        }
        self.inflater.init();
        Ok(Stage::Data)
    }

    fn inflate(&mut self) -> io::Result<()> {
        self.fill()?;
        let input = self.input.get(self.taken..).unwrap_or_default();
        let at_end = self.rest.is_empty();
        let flags = if at_end { 0 } else { TINFL_FLAG_HAS_MORE_INPUT };
        let at = self.ready.end % WINDOW;
        let (status, taken, made) =
            decompress(&mut self.inflater, input, &mut self.window, at, flags);
        self.taken += taken;
        self.ready = at..at + made;
        match status {
            Status::Done => {
                self.stage = Stage::Member { is_first: false };
                // Checksum and length. A file that ends here has all its data.
                for _ in 0..8 {
                    self.byte()?;
                }
                Ok(())
            }
            Status::HasMoreOutput | Status::NeedsMoreInput if made + taken > 0 => Ok(()),
            Status::HasMoreOutput | Status::NeedsMoreInput | Status::FailedCannotMakeProgress => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            _ => Err(io::Error::other("it is not what gzip makes")),
        }
    }

    /// Reads on where all that was read is taken.
    fn fill(&mut self) -> io::Result<()> {
        if self.taken < self.input.len() || self.rest.is_empty() {
            return Ok(());
        }
        let left = self.rest.end - self.rest.start;
        let most = usize::try_from(left).unwrap_or(INPUT).min(INPUT);
        self.input.resize(most, 0);
        self.taken = 0;
        let count = self.file.read_at(&mut self.input, self.rest.start)?;
        self.input.truncate(count);
        match count {
            // The file has become shorter.
            0 => self.rest = 0..0,
            count => self.rest.start += count as u64,
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        self.fill()?;
        let byte = self.input.get(self.taken).copied();
        self.taken += usize::from(byte.is_some());
        Ok(byte)
    }

    fn needed(&mut self) -> io::Result<u8> {
        self.byte()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Read for Gunzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.unpack()?.min(buffer.len());
        let ready = self.ready.start..self.ready.start + count;
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), self.window.get(ready)) {
            to.copy_from_slice(from);
        }
        self.pass(count);
        Ok(count)
    }
}

impl Clone for Gunzip {
    /// Without what was read ahead of it.
    fn clone(&self) -> Self {
        let unread = self.input.len().saturating_sub(self.taken) as u64;
        Self {
            file: Arc::clone(&self.file),
            rest: self.rest.start - unread.min(self.rest.start)..self.rest.end,
            input: Vec::new(),
            taken: 0,
            stage: self.stage,
            inflater: self.inflater.clone(),
            window: self.window.clone(),
            ready: self.ready.clone(),
            position: self.position,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::*;

    use super::*;

    /// What a text is packed into, with every field that a header may have.
    fn packed(bytes: &[u8], flags: u8) -> Vec<u8> {
        let mut packed = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        let fields: [(u8, &[u8]); 4] =
            [(4, b"\x03\0abc"), (8, b"name\0"), (16, b"comment\0"), (2, b"\x12\x34")];
        for (_, field) in fields.iter().filter(|(flag, _)| flags & flag != 0) {
            packed.extend_from_slice(field);
        }
        packed.extend(compress_to_vec(bytes, 6));
        packed.extend([0; 8]);
        packed
    }

    fn open(bytes: &[u8]) -> Gunzip {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Gunzip::new(Arc::new(file), 0..bytes.len() as u64)
    }

    fn read(gunzip: &mut Gunzip) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        gunzip.read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn what_is_cut_off_or_no_gzip_is_an_error() {
        let whole = packed(&b"text".repeat(1000), 0x1e);
        for length in 0..whole.len() - 8 {
            assert!(read(&mut open(&whole[..length])).is_err(), "{length}");
        }
        assert!(read(&mut open(b"no gzip at all")).is_err());
        let mut wrong = packed(b"text", 0);
        wrong[10] = 0xff;
        assert!(read(&mut open(&wrong)).is_err());
        assert!(open(&packed(b"text", 0)).skip(5).is_err());
        // It was longer when it was looked at.
        let mut shrunk = open(&whole[..30]);
        shrunk.rest.end = whole.len() as u64;
        assert!(read(&mut shrunk).is_err());
    }

    #[test]
    fn members_follow_one_another_and_what_is_behind_them_is_left() {
        let mut all = [packed(b"one ", 0x1e), packed(b"", 0), packed(b"two", 8)].concat();
        assert_eq!(read(&mut open(&all)).unwrap(), b"one two");
        all.extend([0; 512]);
        assert_eq!(read(&mut open(&all)).unwrap(), b"one two");
    }

    proptest! {
        #[test]
        fn a_copy_goes_on_from_any_place(
            seeds in prop::collection::vec((any::<u8>(), 1_usize..20_000), 1..12),
            at in 0.0..1.0,
        ) {
            let bytes: Vec<u8> = seeds
                .iter()
                .flat_map(|(seed, length)| (0..*length).map(move |n| (n % (*seed as usize + 1)) as u8))
                .collect();
            let mut gunzip = open(&packed(&bytes, 0));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (bytes.len() as f64 * at) as usize;
            gunzip.skip(at as u64).unwrap();
            let mut copy = gunzip.clone();
            prop_assert!(read(&mut gunzip).unwrap() == bytes[at..]);
            prop_assert!(read(&mut copy).unwrap() == bytes[at..]);
        }
    }
}
