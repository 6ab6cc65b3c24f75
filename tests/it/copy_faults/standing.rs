//! What a registry really has, asked without a proxy and without the code under test.

use std::net::SocketAddr;

use zuul_images::oci::{Digest, Manifest};

use crate::support::http::{Answer, send};
use crate::support::registry::{WRITER, basic};
use crate::support::sample::Sample;

/// A registry where `zuul` may do everything.
#[derive(Clone, Copy)]
pub struct Standing(pub SocketAddr);

impl Standing {
    /// Puts an image there.
    pub fn push(self, repository: &str, tag: &str, image: &Sample) {
        for blob in &image.blobs {
            self.push_blob(repository, blob);
        }
        for manifest in &image.below {
            self.put_manifest(repository, manifest.digest().as_str(), manifest);
        }
        self.put_manifest(repository, tag, &image.root);
    }

    /// Puts a blob there.
    pub fn push_blob(self, repository: &str, blob: &[u8]) {
        let begun = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(begun.status, 202, "{begun:?}");
        let place = format!("http://{}", self.0);
        let session = begun.header("location").trim_start_matches(&place).to_owned();
        let mark = if session.contains('?') { '&' } else { '?' };
        let path = format!("{session}{mark}digest={}", Digest::sha256(blob));
        assert_eq!(self.ask("PUT", &path, &[], blob).status, 201);
    }

    /// What a tag stands for.
    pub fn tag(self, repository: &str, tag: &str) -> Option<Digest> {
        self.get(&format!("/v2/{repository}/manifests/{tag}")).map(|bytes| Digest::sha256(&bytes))
    }

    /// What is missing of an image.
    pub fn lacks(self, repository: &str, image: &Sample) -> Vec<Digest> {
        let manifests = image.below.iter().chain([&image.root]);
        let manifests =
            manifests.filter(|manifest| !self.has_manifest(repository, manifest.digest()));
        let blobs = image.blobs.iter().map(|blob| Digest::sha256(blob));
        let blobs = blobs.filter(|blob| !self.has_blob(repository, blob));
        manifests.map(|manifest| manifest.digest().clone()).chain(blobs).collect()
    }

    /// Manifests of an image that are there although something they name is not.
    pub fn hollow(self, repository: &str, image: &Sample) -> Vec<Digest> {
        let complete = |manifest: &Manifest| {
            let mut children = manifest.children().iter();
            manifest.blobs().all(|blob| self.has_blob(repository, &blob.digest))
                && children.all(|child| self.has_manifest(repository, &child.digest))
        };
        let there = image.below.iter().chain([&image.root]);
        let there = there.filter(|manifest| self.has_manifest(repository, manifest.digest()));
        there.filter(|it| !complete(it)).map(|it| it.digest().clone()).collect()
    }

    fn has_manifest(self, repository: &str, digest: &Digest) -> bool {
        let found = self.get(&format!("/v2/{repository}/manifests/{digest}"));
        found.is_some_and(|bytes| Digest::sha256(&bytes) == *digest)
    }

    fn has_blob(self, repository: &str, digest: &Digest) -> bool {
        let found = self.get(&format!("/v2/{repository}/blobs/{digest}"));
        found.is_some_and(|bytes| Digest::sha256(&bytes) == *digest)
    }

    fn put_manifest(self, repository: &str, reference: &str, manifest: &Manifest) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let kind = [("Content-Type", manifest.media_type())];
        let answer = self.ask("PUT", &path, &kind, manifest.bytes());
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    fn get(self, path: &str) -> Option<Vec<u8>> {
        let accept = zuul_images::oci::media_type::MANIFESTS.join(", ");
        let answer = self.ask("GET", path, &[("Accept", &accept)], b"");
        match answer.status {
            200 => Some(answer.body),
            404 => None,
            _ => panic!("{path}: {answer:?}"),
        }
    }

    fn ask(self, method: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let login = basic(WRITER, "secret");
        let headers = [&[("Authorization", login.as_str())], more].concat();
        send(self.0, method, path, &headers, body)
    }
}
