//! A store at `commit` and the loss of power, at every step of its work.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

use super::Filesystem;
use super::power::{Loss, Machine, Note, Op, Recorder};
use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::{
    Durability, Error, NewManifest, Part, Pruning, Storage, StoredManifest, Verifying,
};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A store, and what its users were told.
struct Story {
    store: Filesystem,
    disk: Arc<Recorder>,
}

impl Story {
    fn start(root: &Path, fail_at: Option<usize>) -> Result<Self, Error> {
        let disk = Arc::new(Recorder { fail_at, ..Recorder::default() });
        let store = Filesystem::open_on(Arc::clone(&disk) as _, root, Durability::Commit)?;
        Ok(Self { store, disk })
    }

    fn may(&self, what: &str, value: Option<&str>) {
        self.disk.note(Note::May(what.to_owned(), value.map(str::to_owned)));
    }

    fn is(&self, what: &str, value: Option<&str>) {
        self.disk.note(Note::Is(what.to_owned(), value.map(str::to_owned)));
    }

    async fn blob(&self, name: &str, content: &str) -> Result<Digest, Error> {
        let (digest, repository) = (Digest::sha256(content.as_bytes()), repository(name));
        let key = format!("blob {name} {digest}");
        self.may(&key, Some(content));
        let id = self.store.upload_create(&repository).await?;
        let (start, end) = content.split_at(content.len() / 2);
        for part in [start, end] {
            let bytes = stream::iter([Ok(Bytes::copy_from_slice(part.as_bytes()))]).boxed();
            self.store.upload_append(&repository, &id, None, bytes).await?;
        }
        self.store.upload_finish(&repository, &id, &digest).await?;
        self.is(&key, Some(content));
        Ok(digest)
    }

    async fn mount(&self, from: &str, to: &str, content: &str) -> Result<(), Error> {
        let digest = Digest::sha256(content.as_bytes());
        let key = format!("blob {to} {digest}");
        self.may(&key, Some(content));
        self.store.blob_link(&repository(from), &repository(to), &digest).await?;
        self.is(&key, Some(content));
        Ok(())
    }

    /// A manifest over blobs that are there.
    async fn image(
        &self,
        name: &str,
        tags: &[&str],
        blobs: &[&str],
        subject: Option<&Digest>,
    ) -> Result<Digest, Error> {
        let text = text(blobs, subject);
        let digest = Digest::sha256(text.as_bytes());
        let key = format!("manifest {name} {digest}");
        let tag_keys: Vec<String> = tags.iter().map(|tag| format!("tag {name} {tag}")).collect();
        self.may(&key, Some(&text));
        tag_keys.iter().for_each(|key| self.may(key, Some(digest.as_str())));
        let new = NewManifest {
            manifest: StoredManifest {
                digest: digest.clone(),
                media_type: IMAGE.to_owned(),
                bytes: text.clone().into(),
            },
            blobs: blobs.iter().map(|blob| described(blob)).collect(),
            referrer: subject.map(|subject| (subject.clone(), Bytes::from_static(b"{}"))),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            origin: None,
            keep_pushed: false,
        };
        self.store.manifest_put(&repository(name), new).await?;
        self.is(&key, Some(&text));
        tag_keys.iter().for_each(|key| self.is(key, Some(digest.as_str())));
        Ok(digest)
    }

    async fn push(&self, name: &str, tag: &str, blobs: &[&str]) -> Result<Digest, Error> {
        for blob in blobs {
            self.blob(name, blob).await?;
        }
        self.image(name, &[tag], blobs, None).await
    }

    /// Every kind of write, one after another and several at once.
    async fn tell(&self) -> Result<(), Error> {
        let old = self.push("a", "1", &["config 1", "layer 1"]).await?;
        self.push("a", "1", &["config 2", "layer 1"]).await?;
        self.mount("a", "b/c", "layer 1").await?;
        self.blob("b/c", "config 3").await?;
        let image = self.image("b/c", &["1", "2"], &["layer 1", "config 3"], None).await?;
        self.image("b/c", &[], &["config 3"], Some(&image)).await?;
        let both = [self.push("d", "1", &["same"]), self.push("d", "1", &["same"])];
        join_all(both).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let others = ["e", "f", "g"].map(|name| self.push(name, "1", &["config 1", "new"]));
        join_all(others).await.into_iter().collect::<Result<Vec<_>, _>>()?;

        let tag: Tag = "2".parse().unwrap();
        self.may("tag b/c 2", None);
        self.store.tag_delete(&repository("b/c"), &tag).await?;
        self.is("tag b/c 2", None);
        let key = format!("manifest a {old}");
        self.may(&key, None);
        self.store.manifest_delete(&repository("a"), &old).await?;
        self.is(&key, None);
        let key = format!("blob a {}", Digest::sha256(b"config 1"));
        self.may(&key, None);
        self.store.blob_unlink(&repository("a"), &Digest::sha256(b"config 1")).await?;
        self.is(&key, None);
        self.prune().await?;
        self.push("e", "1", &["config 1", "new"]).await?;
        Ok(())
    }

    /// Removes everything but the images of `g`.
    async fn prune(&self) -> Result<(), Error> {
        let stays = Digest::sha256(text(&["config 1", "new"], None).as_bytes());
        let mut keys: BTreeSet<String> = BTreeSet::new();
        for op in self.disk.ops.lock().unwrap().iter() {
            if let Op::Note(Note::May(key, _) | Note::Is(key, _)) = op {
                keys.insert(key.clone());
            }
        }
        let goes = |key: &&String| !["e", "f", "g"].contains(&key.split(' ').nth(1).unwrap_or(""));
        keys.iter().filter(goes).for_each(|key| self.may(key, None));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let pruning = Pruning {
            older_than: Duration::ZERO,
            grace: Duration::ZERO,
            keep: [stays].into(),
            dry_run: false,
        };
        self.store.prune(pruning).await?;
        keys.iter().filter(goes).for_each(|key| self.is(key, None));
        Ok(())
    }
}

fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

fn described(blob: &str) -> (Digest, u64) {
    (Digest::sha256(blob.as_bytes()), blob.len() as u64)
}

fn text(blobs: &[&str], subject: Option<&Digest>) -> String {
    let descriptor = |blob: &&str| {
        let (digest, size) = described(blob);
        format!(r#"{{"mediaType":"x","digest":"{digest}","size":{size}}}"#)
    };
    let subject = subject.map_or(String::new(), |subject| {
        format!(r#","subject":{{"mediaType":"x","digest":"{subject}","size":1}}"#)
    });
    let layers: Vec<String> = blobs[1..].iter().map(descriptor).collect();
    let (config, layers) = (descriptor(&blobs[0]), layers.join(","));
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]{subject}}}"#)
}

/// What a store has under a key.
async fn look(store: &Filesystem, key: &str) -> Result<Option<String>, Error> {
    let mut parts = key.split(' ');
    let (kind, name) = (parts.next().unwrap(), repository(parts.next().unwrap()));
    let what = parts.next().unwrap();
    let found = match kind {
        "blob" => match store.blob_open(&name, &what.parse().unwrap(), Part::Whole).await {
            Ok(blob) => Ok(blob.bytes.try_collect::<Vec<Bytes>>().await.unwrap().concat()),
            Err(error) => Err(error),
        },
        "manifest" => {
            let got = store.manifest_get(&name, &what.parse().unwrap()).await;
            got.map(|manifest| manifest.bytes.to_vec())
        }
        _ => {
            let got = store.tag_get(&name, &what.parse().unwrap()).await;
            got.map(|state| state.digest.to_string().into_bytes())
        }
    };
    match found {
        Ok(bytes) => Ok(Some(String::from_utf8(bytes).unwrap())),
        Err(Error::BlobUnknown { .. } | Error::ManifestUnknown { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Starts a store on what a loss of power left, and compares it with what users were told.
async fn survives(machine: &Machine, loss: Loss) -> Result<(), String> {
    let folder = in_memory();
    let root = folder.path().join("store");
    machine.rebuild(loss, &root);
    let store = Filesystem::open(&root, Durability::Process).map_err(|e| e.to_string())?;
    let verified = store.verify(Verifying::default(), &|_| {}).map_err(|e| e.to_string())?;
    if !verified.damage.is_empty() {
        return Err(format!("{:?}", verified.damage));
    }
    for (key, allowed) in machine.known.iter().filter(|(key, _)| key.contains(' ')) {
        match look(&store, key).await {
            Ok(found) if allowed.contains(&found) => {}
            other => return Err(format!("{key}: {other:?}, not one of {allowed:?}")),
        }
    }
    for place in ["uploads", "temporary"] {
        if root.join(place).read_dir().unwrap().count() > 0 {
            return Err(format!("something is left in {place}"));
        }
    }
    Ok(())
}

/// Hundreds of stores are made; none of them has to last.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).unwrap()
}

async fn told(root: &Path) -> Vec<Op> {
    let story = Story::start(root, None).unwrap();
    story.tell().await.unwrap();
    story.disk.ops.lock().unwrap().clone()
}

/// After every change in turn, the first loss that hurts.
async fn first_loss(root: &Path, ops: &[Op], seed: u64) -> Option<String> {
    let mut machine = Machine::new(root);
    for (step, op) in ops.iter().enumerate() {
        machine.apply(op);
        let some = Loss::Some(seed.wrapping_add(step as u64));
        // Only what can be another state, or is to hold more, than at the step before.
        let losses: &[Loss] = match op {
            Op::Note(Note::May(..)) | Op::Create(_) | Op::Open(_) | Op::Write(..) => &[],
            Op::Note(Note::Is(..)) => &[Loss::Everything, Loss::Bytes, Loss::Zeros, some],
            Op::SyncFile(_) | Op::SyncFolder(_) => &[Loss::Everything, some],
            _ => &[Loss::Bytes, Loss::Zeros, some],
        };
        for loss in losses.iter().copied() {
            if let Err(problem) = survives(&machine, loss).await {
                return Some(format!("after step {step} ({op:?}), losing {loss:?}: {problem}"));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_with_the_power_at_any_step() {
    let folder = in_memory();
    let root = folder.path().join("store");
    let ops = told(&root).await;
    assert!(ops.len() > 200, "only {} steps", ops.len());
    let seed = u64::from(std::process::id());
    let lost = first_loss(&root, &ops, seed).await;
    assert_eq!(lost, None, "seed {seed}");
}

/// The test above can fail: it does when the driver forgets to sync.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_sync_would_be_noticed() {
    let folder = in_memory();
    let root = folder.path().join("store");
    let ops = told(&root).await;
    let is_of = |op: &Op, place: &str| matches!(op, Op::SyncFile(path) | Op::SyncFolder(path) if path.to_str().unwrap().contains(place));
    type Forgets<'a> = (&'a str, &'a dyn Fn(&Op) -> bool);
    let forgets: [Forgets<'_>; 6] = [
        ("bytes of uploads", &|op| is_of(op, "/uploads/")),
        ("drafts", &|op| matches!(op, Op::SyncFile(_)) && is_of(op, "/temporary/")),
        ("names of new content", &|op| matches!(op, Op::SyncFolder(_)) && is_of(op, "/temporary/")),
        ("names of content", &|op| is_of(op, "/content/")),
        ("names of manifests", &|op| is_of(op, "/manifests")),
        ("names of tags", &|op| is_of(op, "/tags")),
    ];
    for (what, forgotten) in forgets {
        let rest: Vec<Op> = ops.iter().filter(|op| !forgotten(op)).cloned().collect();
        assert!(rest.len() < ops.len(), "{what} are not synced at all");
        assert!(first_loss(&root, &rest, 1).await.is_some(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_any_step_is_an_error_and_no_damage() {
    let steps = {
        let folder = in_memory();
        told(&folder.path().join("store")).await.len()
    };
    // A part of the steps each time, another one by each process.
    let first = usize::try_from(std::process::id()).unwrap() % 5;
    let mut failures = 0;
    for step in (first..steps).step_by(5) {
        let folder = in_memory();
        let root = folder.path().join("store");
        let Ok(story) = Story::start(&root, Some(step)) else { continue };
        let result = story.tell().await;
        let ops = story.disk.ops.lock().unwrap().clone();
        let failed =
            ops.iter().any(|op| matches!(op, Op::Note(Note::May(key, _)) if key == "failed"));
        if let Err(error) = &result {
            assert!(failed && matches!(error, Error::Io { .. }), "step {step}: {error:?}");
        }
        // What runs side by side may take a step less: then the disk is full only after the story.
        if !failed {
            continue;
        }
        failures += 1;
        // It goes on at once, and nothing of what failed is left.
        story.push("h", "1", &["config", "after"]).await.unwrap();
        for place in ["uploads", "temporary"] {
            let left = root.join(place).read_dir().unwrap().count();
            assert_eq!(left, 0, "step {step}: {:?} in {place}", ops.get(step));
        }
        let verified = story.store.verify(Verifying::default(), &|_| {}).unwrap();
        assert!(verified.damage.is_empty(), "step {step}: {:?}", verified.damage);
    }
    assert!(failures > steps / 10, "the disk was full only {failures} times in {steps} steps");
}

/// The system says only once that it could not write, and the sync at the end would hear nothing of it.
#[tokio::test]
async fn a_disk_that_breaks_while_an_upload_comes_is_not_overheard() {
    let folder = tempfile::tempdir().unwrap();
    let Story { store, disk } = Story::start(folder.path(), None).unwrap();
    let part = Bytes::from(vec![7; 256 * 1024]);
    let parts = || stream::iter(vec![part.clone(); 20]).map(Ok).boxed();
    let digest = Digest::sha256(&part.repeat(20));
    let name = repository("a");
    for breaks in [true, false] {
        disk.fail_at_sync.store(breaks, Ordering::Relaxed);
        let id = store.upload_create(&name).await.unwrap();
        let appended = store.upload_append(&name, &id, None, parts()).await;
        // It began before the end.
        assert!(!disk.fail_at_sync.load(Ordering::Relaxed));
        if breaks {
            assert!(matches!(appended, Err(Error::Io { .. })), "{appended:?}");
            let gone = store.upload_finish(&name, &id, &digest).await;
            assert!(matches!(gone, Err(Error::UploadUnknown { .. })), "{gone:?}");
        } else {
            store.upload_finish(&name, &id, &digest).await.unwrap();
        }
    }
    assert_eq!(store.blob_size(&name, &digest).await.unwrap(), 20 * 256 * 1024);
}
