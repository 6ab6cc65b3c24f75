//! Archives of images: what is read out of one is what its digest says, and nothing else ends well.
#![no_main]

use futures_util::TryStreamExt;
use libfuzzer_sys::fuzz_target;
use tar::{Builder, EntryType, Header};
use zuul_images::layout::{Image, Layout};
use zuul_images::oci::{Choice, Digest, Transport};

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    let transport =
        if kind & 1 == 0 { Transport::OciArchive } else { Transport::DockerArchive };
    // Any file; or one whose headers are right, which chance finds hardly ever.
    let archive = if kind & 2 == 0 { data.to_vec() } else { tar_of(data) };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), archive).expect("a file that is written");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let Ok(layout) = Layout::open(transport, file.path()).await else { return };
        let _ = layout.image(None).await;
        for position in 0..4 {
            if let Ok(image) = layout.image(Some(&Choice::At(position))).await {
                read(&image).await;
            }
        }
    });
});

async fn read(image: &Image) {
    let Ok(manifest) = image.manifest(image.digest()).await else { return };
    assert_eq!(manifest.digest(), image.digest());
    for child in manifest.children() {
        if let Ok(child) = image.manifest(&child.digest).await {
            assert!(child.bytes().len() <= 4 << 20);
        }
    }
    for blob in manifest.blobs() {
        if let Ok(chunks) = image.blob(blob).try_collect::<Vec<_>>().await {
            let bytes = chunks.concat();
            assert_eq!(bytes.len() as u64, blob.size);
            assert_eq!(Digest::of(blob.digest.algorithm(), &bytes), blob.digest);
        }
    }
}

/// Entries behind empty lines: a letter for the kind, the name up to the line's end, then the content or
/// what a link leads to.
fn tar_of(data: &[u8]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let mut rest = data;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
        let (entry, after) = rest.split_at(end);
        rest = after.get(2..).unwrap_or_default();
        let Some((kind, entry)) = entry.split_first() else { continue };
        let name_end = entry.iter().position(|byte| *byte == b'\n').unwrap_or(entry.len());
        let (name, content) = entry.split_at(name_end);
        let content = content.get(1..).unwrap_or_default();
        let kind = match kind {
            b's' => EntryType::Symlink,
            b'l' => EntryType::Link,
            b'L' => EntryType::GNULongName,
            b'x' => EntryType::XHeader,
            b'S' => EntryType::GNUSparse,
            _ => EntryType::Regular,
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        let fields = header.as_old_mut();
        fields.name.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        let content = match kind {
            EntryType::Symlink | EntryType::Link => {
                fields.linkname.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
                &[]
            }
            _ => content,
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).expect("a vector takes all");
    }
    tar.into_inner().expect("a vector takes all")
}
