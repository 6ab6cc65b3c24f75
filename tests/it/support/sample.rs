//! Small images made up for tests.

use bytes::Bytes;
use zuul_images::oci::{Descriptor, Digest, Manifest, media_type};

pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// An image or index with everything below it.
#[derive(Debug, Clone)]
pub struct Sample {
    pub root: Manifest,
    /// Manifests below the root, children first.
    pub below: Vec<Manifest>,
    pub blobs: Vec<Bytes>,
}

/// Bytes that no two names share, the same in every run.
pub fn bytes(name: &str, size: usize) -> Bytes {
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

pub fn blob(name: &str, size: usize) -> (Bytes, Descriptor) {
    let bytes = bytes(name, size);
    let descriptor = describe(&bytes, LAYER);
    (bytes, descriptor)
}

pub fn describe(bytes: &Bytes, media_type: &str) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::sha256(bytes),
        size: bytes.len() as u64,
        platform: None,
        artifact_type: None,
        annotations: Default::default(),
    }
}

/// An image of these layers; its configuration holds its name.
pub fn image(name: &str, layers: &[Bytes]) -> Sample {
    let config = Bytes::from(format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"name":"{name}"}}"#
    ));
    let json = |bytes: &Bytes, kind: &str| {
        format!(
            r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#,
            Digest::sha256(bytes),
            bytes.len()
        )
    };
    let listed: Vec<String> = layers.iter().map(|layer| json(layer, LAYER)).collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        json(&config, CONFIG),
        listed.join(",")
    );
    let root = Manifest::parse(text.into(), None).unwrap();
    let blobs = std::iter::once(config).chain(layers.iter().cloned()).collect();
    Sample { root, below: Vec::new(), blobs }
}

/// What a signer attaches to `subject`: a document of this kind.
pub fn referrer(subject: &Digest, kind: &str, document: &Bytes) -> Sample {
    let config = Bytes::from_static(b"{}");
    let text = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json",
            "digest": Digest::sha256(&config), "size": config.len()},
        "layers": [{"mediaType": kind, "digest": Digest::sha256(document), "size": document.len()}],
        "subject": {"mediaType": media_type::OCI_MANIFEST, "digest": subject, "size": 7},
        "annotations": {"org.example.kind": kind},
    });
    let root = Manifest::parse(text.to_string().into(), None).unwrap();
    Sample { root, below: Vec::new(), blobs: vec![config, document.clone()] }
}

/// An index of these images, for the architectures named.
pub fn index(children: &[(&str, Sample)]) -> Sample {
    let listed: Vec<String> = children
        .iter()
        .map(|(architecture, child)| {
            format!(
                r#"{{"mediaType":"{}","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
                child.root.media_type(),
                child.root.digest(),
                child.root.bytes().len()
            )
        })
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        media_type::OCI_INDEX,
        listed.join(",")
    );
    let mut sample = Sample {
        root: Manifest::parse(text.into(), None).unwrap(),
        below: Vec::new(),
        blobs: Vec::new(),
    };
    for (_, child) in children {
        sample.below.extend(child.below.iter().cloned());
        sample.below.push(child.root.clone());
        sample.blobs.extend(child.blobs.iter().cloned());
    }
    sample
}
