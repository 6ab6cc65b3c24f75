//! Manifests and indexes: the bytes are kept, the digest is theirs, their own type fits them, and as lists of
//! referrers they lose nothing when one is added.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use zuul_images::oci::{Content, Digest, Manifest, referrers_index};

fuzz_target!(|data: &[u8]| {
    // The first line is the Content-Type, as in a request.
    let (content_type, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (std::str::from_utf8(&data[..end]).ok(), &data[end + 1..]),
        None => (None, data),
    };
    let bytes = Bytes::copy_from_slice(body);
    let Ok(manifest) = Manifest::parse(bytes.clone(), content_type) else { return };
    assert_eq!(manifest.bytes(), &bytes);
    assert_eq!(manifest.digest(), &Digest::sha256(&bytes));
    let again = Manifest::parse(bytes, Some(manifest.media_type())).expect("it is what it says");
    assert_eq!(again.media_type(), manifest.media_type());
    match manifest.content() {
        Content::Image(image) => {
            assert!(manifest.children().is_empty());
            assert!(manifest.blobs().count() <= image.layers.len() + 1);
        }
        Content::Index(index) => {
            assert_eq!(manifest.blobs().count(), 0);
            assert!(manifest.platforms().len() <= index.manifests.len());
        }
    }
    for described in manifest.blobs().chain(manifest.children()).chain(manifest.subject()) {
        assert_eq!(described.digest.as_str().parse(), Ok(described.digest.clone()));
    }
    let signature = signature();
    if let Ok(Some(list)) = referrers_index(Some(&manifest), std::slice::from_ref(&signature)) {
        let (last, first) = list.children().split_last().expect("something was added");
        assert_eq!((first, &last.digest), (manifest.children(), signature.digest()));
    }
    if let Ok(Some(list)) = referrers_index(None, std::slice::from_ref(&manifest)) {
        assert!(manifest.subject().is_some());
        assert_eq!(list.children().first().map(|it| &it.digest), Some(manifest.digest()));
    }
});

/// Something that refers to something.
fn signature() -> Manifest {
    let digest = Digest::sha256(b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{digest}","size":2}},"layers":[],
            "subject":{{"mediaType":"a/b","digest":"{digest}","size":2}}}}"#
    );
    Manifest::parse(text.into(), None).expect("it is right")
}
