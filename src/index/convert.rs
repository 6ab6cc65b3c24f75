use serde_json::json;

use crate::oci::{Content, Descriptor, Manifest, media_type, printable};

/// OCI's types of layers, and docker's for the same bytes (Docker's image manifest v2.2, "Media Types").
const LAYERS: [(&str, &str); 3] = [
    (
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
    ("application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ),
];

const CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// An image in docker's format, over the very same blobs; one that is in it stays as it is. Annotations have no
/// place there. The reason where there is none.
pub(super) fn to_docker(image: &Manifest) -> Result<Manifest, String> {
    if image.media_type() == media_type::DOCKER_MANIFEST {
        return Ok(image.clone());
    }
    let Content::Image(content) = image.content() else {
        return Err("it is no image".to_owned());
    };
    if !media_type::is_image_config(&content.config.media_type) {
        let found = printable(&content.config.media_type, 100);
        return Err(format!("its configuration is `{found}`"));
    }
    let layers = content.layers.iter().map(|layer| {
        let kind = docker_layer(&layer.media_type)?;
        Ok(json!({"mediaType": kind, "size": layer.size, "digest": layer.digest}))
    });
    let layers: Vec<_> = layers.collect::<Result<_, String>>()?;
    let Descriptor { size, digest, .. } = &content.config;
    let document = json!({
        "schemaVersion": 2,
        "mediaType": media_type::DOCKER_MANIFEST,
        "config": {"mediaType": CONFIG, "size": size, "digest": digest},
        "layers": layers,
    });
    let made = Manifest::parse(document.to_string().into(), Some(media_type::DOCKER_MANIFEST));
    made.map_err(|error| error.to_string())
}

fn docker_layer(kind: &str) -> Result<&'static str, String> {
    let known = LAYERS.iter().find(|(oci, docker)| kind == *oci || kind == *docker);
    let known = known.map(|(_, docker)| *docker);
    known.ok_or_else(|| {
        format!("docker's format has no layers of the type `{}`", printable(kind, 100))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::oci::Digest;

    fn image(config: &str, layer: &str) -> Manifest {
        let blob = |kind: &str| json!({"mediaType": kind, "size": 7, "digest": Digest::sha256(kind.as_bytes())});
        let text = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": blob(config),
            "layers": [blob(layer)], "annotations": {"a": "b"}});
        Manifest::parse(text.to_string().into(), None).unwrap()
    }

    #[test]
    fn what_docker_has_no_word_for_is_not_taken_for_something_else() {
        let config = "application/vnd.oci.image.config.v1+json";
        let zstd = image(config, "application/vnd.oci.image.layer.v1.tar+zstd");
        assert!(to_docker(&zstd).unwrap_err().contains("tar+zstd"));
        let artifact = image("application/vnd.oci.empty.v1+json", LAYERS[0].0);
        assert!(to_docker(&artifact).unwrap_err().contains("oci.empty"));
    }

    #[test]
    fn the_same_blobs_have_dockers_types() {
        for (oci, docker) in LAYERS {
            let source = image("application/vnd.oci.image.config.v1+json", oci);
            let made = to_docker(&source).unwrap();
            assert_eq!(made.media_type(), media_type::DOCKER_MANIFEST);
            let digests = |image: &Manifest| -> Vec<Digest> {
                let Content::Image(content) = image.content() else { return Vec::new() };
                let layers = content.layers.iter().map(|layer| layer.digest.clone());
                layers.chain([content.config.digest.clone()]).collect()
            };
            assert_eq!(digests(&made), digests(&source));
            let text = String::from_utf8(made.bytes().to_vec()).unwrap();
            assert!(
                text.contains(docker) && !text.contains("oci") && !text.contains("annotations"),
                "{text}"
            );
            assert_eq!(to_docker(&made).unwrap().digest(), made.digest());
        }
    }
}
