//! The list of tags as Google's registries answer it: with every manifest, and the repositories below.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::{Memory, error, reply};

impl Memory {
    pub(super) fn extended(&self, name: &str) -> Response<Bytes> {
        let state = self.state.lock().unwrap();
        let tags = state.tags.get(name).cloned().unwrap_or_default();
        let mut manifests = BTreeMap::new();
        for (digest, (kind, bytes)) in state.manifests.get(name).into_iter().flatten() {
            let held: Vec<&String> =
                tags.iter().filter(|(_, of)| *of == digest).map(|(tag, _)| tag).collect();
            let about = json!({
                "imageSizeBytes": bytes.len().to_string(), "layerId": "", "mediaType": kind, "tag": held,
                "timeCreatedMs": "1501774217070", "timeUploadedMs": "1552917295327"});
            manifests.insert(digest, about);
        }
        let below = format!("{name}/");
        let children: BTreeSet<&str> = state
            .manifests
            .keys()
            .filter_map(|other| other.strip_prefix(&below)?.split('/').next())
            .collect();
        if manifests.is_empty() && children.is_empty() {
            return error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such repository");
        }
        let tags: Vec<&String> = tags.keys().collect();
        let body = json!({"child": children, "manifest": manifests, "name": name, "tags": tags});
        reply(StatusCode::OK, &body.to_string())
    }
}
