use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BuildId, Document, Error, Label, Provenance, Secrecy, path_below_registry, provenance,
};
use crate::oci::{Digest, ImageReference, Platform, Reference, Registry, Tag, printable};

/// The part of a report that `zuul_return` takes as `data.zuul`.
#[derive(Debug, Serialize)]
pub struct Returned<Artifact> {
    /// What dependent changes and later pipelines are told.
    pub artifacts: Vec<Artifact>,
}

impl<Artifact> Default for Returned<Artifact> {
    fn default() -> Self {
        Self { artifacts: Vec::new() }
    }
}

/// The artifact `push-to-intermediate-registry` returns for every image and tag. Name, url and the
/// first three metadata fields are byte for byte those of `zuul-jobs`; `digest` is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageArtifact {
    /// `<repository>:<tag>`.
    pub name: String,
    /// `docker://<intermediate>/<repository>:<build>_<tag>`.
    pub url: String,
    /// What is behind the url.
    pub metadata: ImageMetadata,
    /// The project it is of; Zuul says so when it hands artifacts to a job.
    #[serde(default, skip_serializing, deserialize_with = "provenance::lenient")]
    pub project: Option<Label>,
    /// The change it is of, likewise.
    #[serde(default, skip_serializing, deserialize_with = "provenance::lenient")]
    pub change: Option<Label>,
    /// The job whose build returned it, likewise.
    #[serde(default, skip_serializing, deserialize_with = "provenance::lenient")]
    pub job: Option<Label>,
}

/// `metadata` of an [`ImageArtifact`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMetadata {
    #[serde(rename = "type")]
    kind: String,
    /// The repository as the job spells it.
    pub repository: String,
    /// The final tag.
    pub tag: Tag,
    /// The digest pushed; absent in artifacts of other tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// The artifact an upload returns for every image and tag, so that promotion can demand the very
/// digest the gate tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadArtifact {
    /// `<repository>:<temporary tag>`.
    pub name: String,
    /// `docker://<repository>:<temporary tag>`.
    pub url: String,
    /// What was uploaded.
    pub metadata: UploadMetadata,
    /// What it was built for, as far as Zuul says it.
    #[serde(flatten, skip_serializing)]
    pub built_for: Provenance,
}

/// `metadata` of an [`UploadArtifact`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadMetadata {
    #[serde(rename = "type")]
    kind: String,
    /// The repository as the job spells it.
    pub repository: String,
    /// The final tag.
    pub tag: Tag,
    /// The tag it waits under; the final tag itself after `--final-tags`.
    pub temporary_tag: Tag,
    /// The digest uploaded.
    pub digest: Digest,
    /// `os/architecture[/variant]` of every platform in the index; empty for a single image.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// The patch set, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patchset: Option<String>,
}

const IMAGE: &str = "container_image";
const UPLOAD: &str = "container_image_upload";

/// How much of what an untrusted job wrote is shown, in characters.
const LONGEST_SHOWN: usize = 400;

impl ImageArtifact {
    /// The artifact of `repository:tag` at `url`.
    #[must_use]
    pub fn new(repository: &str, tag: &Tag, url: String, digest: Digest) -> Self {
        Self {
            name: format!("{repository}:{tag}"),
            url,
            metadata: ImageMetadata {
                kind: IMAGE.to_owned(),
                repository: repository.to_owned(),
                tag: tag.clone(),
                digest: Some(digest),
            },
            project: None,
            change: None,
            job: None,
        }
    }

    /// The image that the url means and the build that pushed it, which is one that a push of it to
    /// `intermediate` would have returned: untrusted jobs write artifacts.
    ///
    /// # Errors
    /// Says what the url should have been.
    pub fn source(&self, intermediate: &Registry) -> Result<(ImageReference, Label), String> {
        let ImageMetadata { repository, tag, .. } = &self.metadata;
        let name = path_below_registry(repository).map_err(|error| error.to_string())?;
        let source = self.url.starts_with("docker://").then(|| self.url.parse().ok()).flatten();
        let pushed = |source: ImageReference| {
            let Reference::Tag(found) = &source.reference else { return None };
            let (build, rest) = found.as_str().split_once('_')?;
            let fits = source.registry == *intermediate
                && source.repository == name
                && BuildId::is_valid(build)
                && rest == tag.as_str();
            let build = build.parse().ok()?;
            fits.then_some((source, build))
        };
        source.and_then(pushed).ok_or_else(|| {
            let url = printable(&self.url, LONGEST_SHOWN);
            let form = "<32 hexadecimal digits>";
            format!("its url `{url}` is not docker://{intermediate}/{name}:{form}_{tag}")
        })
    }
}

impl UploadArtifact {
    /// The artifact of `repository:tag`, which waits as `temporary_tag`.
    #[must_use]
    pub fn new(repository: &str, tag: &Tag, temporary_tag: &Tag, digest: Digest) -> Self {
        Self {
            name: format!("{repository}:{temporary_tag}"),
            url: format!("docker://{repository}:{temporary_tag}"),
            metadata: UploadMetadata {
                kind: UPLOAD.to_owned(),
                repository: repository.to_owned(),
                tag: tag.clone(),
                temporary_tag: temporary_tag.clone(),
                digest,
                platforms: Vec::new(),
                patchset: None,
            },
            built_for: Provenance::default(),
        }
    }

    /// Names the platforms and the patch set.
    #[must_use]
    pub fn with(mut self, platforms: &[Platform], patchset: Option<String>) -> Self {
        self.metadata.platforms = platforms.iter().map(ToString::to_string).collect();
        self.metadata.patchset = patchset;
        self
    }
}

/// Reads an ARTIFACTS file: a list, `{zuul: {artifacts: […]}}`, or the answer of Zuul's builds API.
/// A blank file holds none. The artifacts are of any type.
///
/// # Errors
/// Names file, line and column of a text that is none of these.
pub fn read_artifacts(path: &Path) -> Result<Vec<Value>, Error> {
    let document = Document::read(path, Secrecy::Public)?;
    if document.is_blank() {
        return Ok(Vec::new());
    }
    flatten(document.parse()?).ok_or_else(|| {
        Error::value(
            document.file(),
            "expected a list of artifacts, {zuul: {artifacts: […]}}, or the builds API's answer",
        )
    })
}

fn flatten(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(entries) if entries.iter().any(|entry| entry.get("artifacts").is_some()) => {
            of_builds(entries)
        }
        Value::Array(entries) => entries.iter().all(Value::is_object).then_some(entries),
        Value::Object(mut object) => match object.remove("zuul") {
            Some(Value::Object(mut zuul)) => {
                zuul.remove("artifacts").map_or(Some(Vec::new()), flatten)
            }
            _ => flatten(object.remove("artifacts")?),
        },
        _ => None,
    }
}

/// The artifacts of the builds API's answer, oldest build first as everywhere else: the API names the
/// newest first. Builds that did not succeed have nothing to offer. What the answer says of a build stands
/// in its artifacts then, as Zuul has it when it hands artifacts to a job.
fn of_builds(builds: Vec<Value>) -> Option<Vec<Value>> {
    let mut artifacts = Vec::new();
    for build in builds.into_iter().rev() {
        let Value::Object(mut build) = build else { return None };
        let succeeded = build.get("result").and_then(Value::as_str).is_none_or(|r| r == "SUCCESS");
        let said = provenance::of_build(&build);
        if let Some(found) = build.remove("artifacts").filter(|_| succeeded) {
            artifacts.extend(flatten(found)?.into_iter().map(|mut artifact| {
                artifact.as_object_mut().into_iter().for_each(|it| it.extend(said.clone()));
                artifact
            }));
        }
    }
    Some(artifacts)
}

/// The `container_image` artifacts among `artifacts`, in their order.
///
/// # Errors
/// Names the artifact whose fields are not what `zuul-jobs` writes.
pub fn image_artifacts(artifacts: &[Value]) -> Result<Vec<ImageArtifact>, Error> {
    of_type(artifacts, IMAGE)
}

impl UploadArtifact {
    /// The `container_image_upload` artifacts among `artifacts`, in their order.
    ///
    /// # Errors
    /// Names the artifact whose fields are not ours.
    pub fn all(artifacts: &[Value]) -> Result<Vec<Self>, Error> {
        of_type(artifacts, UPLOAD)
    }
}

fn of_type<T: serde::de::DeserializeOwned>(
    artifacts: &[Value],
    kind: &str,
) -> Result<Vec<T>, Error> {
    let wanted = artifacts.iter().filter(|artifact| {
        artifact.pointer("/metadata/type").and_then(Value::as_str) == Some(kind)
    });
    wanted
        .map(|artifact| {
            T::deserialize(artifact).map_err(|error| {
                let name = artifact.get("name").and_then(Value::as_str).unwrap_or("without a name");
                Error::value(format!("artifact {name}"), error)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn artifact(kind: &str) -> Value {
        json!({"name": "q.io/a:b", "url": "docker://i:1/q.io/a:0_b", "project": "p", "change": "1",
               "metadata": {"type": kind, "repository": "q.io/a", "tag": "b"}})
    }

    #[test]
    fn what_is_no_artifact_list_is_refused() {
        for value in [json!(3), json!({"builds": []}), json!(["text"]), json!([{"artifacts": 3}])] {
            assert_eq!(flatten(value), None);
        }
        let bad = json!([{"name": "x", "url": "y", "metadata": {"type": "container_image"}}]);
        assert!(image_artifacts(bad.as_array().unwrap()).is_err());
    }

    #[test]
    fn every_place_zuul_keeps_artifacts_is_read() {
        let list = json!([artifact("container_image"), artifact("log"), {"name": "n", "url": "u"}]);
        for value in [
            list.clone(),
            json!({"zuul": {"artifacts": list}}),
            json!([{"uuid": "1", "artifacts": list}, {"uuid": "2", "artifacts": []}]),
        ] {
            assert_eq!(image_artifacts(&flatten(value).unwrap()).unwrap().len(), 1);
        }
        assert_eq!(flatten(json!({"zuul": {}})).unwrap().len(), 0);
    }

    #[test]
    fn the_newest_successful_build_of_the_api_comes_last() {
        let of = |name: &str, result: &str| json!({"result": result, "artifacts": [{"name": name, "url": "u"}]});
        let answer = json!([of("failed", "FAILURE"), of("new", "SUCCESS"), of("old", "SUCCESS")]);
        let names = flatten(answer).unwrap().into_iter().map(|artifact| artifact["name"].clone());
        assert_eq!(names.collect::<Vec<_>>(), ["old", "new"]);
    }

    #[test]
    fn what_the_api_says_of_a_build_stands_in_its_artifacts() {
        let artifact = json!({"name": "q.io/a:change_2_b", "url": "u", "change": "forged", "metadata": {
            "type": "container_image_upload", "repository": "q.io/a", "tag": "b",
            "temporary_tag": "change_2_b", "digest": Digest::sha256(b"")}});
        let of = json!({"project": "p", "branch": "master", "change": 2});
        let end = "2026-01-02T03:04:05";
        let mut flat =
            json!({"result": "SUCCESS", "end_time": end, "ref": "refs/x", "artifacts": [artifact]});
        flat.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
        let nested =
            json!({"result": "SUCCESS", "end_time": end, "ref": of, "artifacts": [artifact]});
        for build in [flat, nested] {
            let uploads = UploadArtifact::all(&flatten(json!([build])).unwrap()).unwrap();
            let built_for = &uploads[0].built_for;
            let text = |label: &Option<Label>| label.as_ref().map(ToString::to_string).unwrap();
            let said = [&built_for.project, &built_for.branch, &built_for.change].map(text);
            assert_eq!(said, ["p", "master", "2"]);
            assert_eq!(built_for.ended.unwrap().to_string(), "2026-01-02T03:04:05Z");
            // It is what others say of it, not a part of it.
            assert!(serde_json::to_value(&uploads[0]).unwrap().get("branch").is_none());
        }
    }

    #[test]
    fn the_artifact_has_the_shape_of_zuul_jobs() {
        let digest = Digest::sha256(b"");
        let tag = "latest".parse().unwrap();
        let made = ImageArtifact::new(
            "docker.io/org/img",
            &tag,
            "docker://h:1/x".to_owned(),
            digest.clone(),
        );
        assert_eq!(
            serde_json::to_value(made).unwrap(),
            json!({"name": "docker.io/org/img:latest", "url": "docker://h:1/x", "metadata": {
                "type": "container_image", "repository": "docker.io/org/img", "tag": "latest",
                "digest": digest}})
        );
    }
}
