//! What is copied.

use serde_json::json;

use super::support::Outcome;
use super::support::client::{Connection, Target};
use super::support::clients::at_once;
use super::support::content::Content;
use super::support::image::{Image, MANIFEST_TYPE, expect};

const MIB: u64 = 1024 * 1024;
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// The tag of what is copied, and the one promotion writes.
pub const FINAL: &str = "latest";
/// The tag of what waits for promotion.
pub const TEMPORARY: &str = "change_1_latest";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetName {
    /// One layer of 512 MiB.
    Large,
    /// 40 layers of 8 MiB.
    Forty,
    /// 30 images that share 4 layers of 32 MiB and have 2 of 2 MiB each.
    Shared,
    /// 300 images of one layer of 10 KiB.
    Many,
    /// An index of 4 platforms, each of 2 layers of 8 MiB.
    Platforms,
}

/// Images, each in a repository of its own.
pub struct Set {
    pub images: Vec<Carried>,
}

/// What one tag stands for.
pub struct Carried {
    /// `bench/image7`
    pub repository: String,
    images: Vec<Image>,
    index: Option<Content>,
}

/// A manifest by the name it has in its repository.
struct Named<'a> {
    repository: &'a str,
    reference: &'a str,
    content: &'a Content,
}

impl Set {
    pub fn new(name: SetName) -> Self {
        Self::tagged(name, FINAL)
    }

    fn tagged(name: SetName, tag: &str) -> Self {
        let one = |layers: &[u64]| vec![Carried::new(0, Image::new(tag, layers))];
        let images = match name {
            SetName::Large => one(&[512 * MIB]),
            SetName::Forty => one(&[8 * MIB; 40]),
            SetName::Shared => shared(tag),
            SetName::Many => {
                (0..300).map(|number| Carried::new(number, Image::new(tag, &[10 * 1024]))).collect()
            }
            SetName::Platforms => vec![platforms()],
        };
        Self { images }
    }

    /// Puts everything into a registry.
    pub fn push(&self, target: &Target) -> Outcome<()> {
        self.each(target, Carried::push)
    }

    /// Gives all images another tag.
    pub fn tag(&self, target: &Target, tag: &str) -> Outcome<()> {
        self.each(target, async |image, connection| {
            let path = format!("/v2/{}/manifests/{tag}", image.repository);
            let (media_type, manifest) = image.top();
            let answer = connection.send("PUT", &path, media_type, manifest).await?;
            expect(answer.status, 201, &path)
        })
    }

    /// Whether a registry has every manifest, byte for byte.
    pub fn verify(&self, target: &Target) -> Outcome<()> {
        self.each(target, async |image, connection| {
            for Named { repository, reference, content } in image.manifests() {
                let path = format!("/v2/{repository}/manifests/{reference}");
                let (answer, bytes) = connection.fetch(&path).await?;
                expect(answer.status, 200, &path)?;
                if !bytes.iter().eq(content.slices().flatten()) {
                    return Err(format!("{path} is not what was copied").into());
                }
            }
            Ok(())
        })
    }

    fn each(
        &self,
        target: &Target,
        work: impl AsyncFn(&Carried, &mut Connection) -> Outcome<()> + Sync,
    ) -> Outcome<()> {
        let work = &work;
        at_once(1, |_| async move {
            let mut connection = Connection::open(target).await?;
            for image in &self.images {
                work(image, &mut connection).await?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

impl Carried {
    fn new(number: usize, image: Image) -> Self {
        Self { repository: format!("bench/image{number}"), images: vec![image], index: None }
    }

    async fn push(&self, connection: &mut Connection) -> Outcome<()> {
        let repository = format!("/v2/{}", self.repository);
        for image in &self.images {
            image.push(connection, &repository).await?;
        }
        let Some(index) = &self.index else { return Ok(()) };
        let path = format!("{repository}/manifests/{FINAL}");
        let answer = connection.send("PUT", &path, INDEX_TYPE, index).await?;
        expect(answer.status, 201, &path)
    }

    fn top(&self) -> (&str, &Content) {
        match &self.index {
            Some(index) => (INDEX_TYPE, index),
            None => (MANIFEST_TYPE, &self.images[0].manifest),
        }
    }

    fn manifests(&self) -> impl Iterator<Item = Named<'_>> {
        let images = self.images.iter().map(|image| Named {
            repository: &self.repository,
            reference: &image.tag,
            content: &image.manifest,
        });
        let index = self.index.iter().map(|index| Named {
            repository: &self.repository,
            reference: FINAL,
            content: index,
        });
        images.chain(index)
    }

    /// Every blob, without those of images before.
    pub fn blobs(&self) -> impl Iterator<Item = &Content> {
        self.images.iter().flat_map(|image| &image.blobs)
    }
}

fn shared(tag: &str) -> Vec<Carried> {
    let base: Vec<Content> = (0..4).map(|_| Content::new(32 * MIB)).collect();
    let image = |number| {
        let own = (0..2).map(|_| Content::new(2 * MIB));
        let layers = base.iter().cloned().chain(own).collect();
        Carried::new(number, Image::of(tag, "amd64", layers))
    };
    (0..30).map(image).collect()
}

fn platforms() -> Carried {
    let mut images = Vec::new();
    let mut listed = Vec::new();
    for architecture in ["amd64", "arm64", "ppc64le", "s390x"] {
        let layers = (0..2).map(|_| Content::new(8 * MIB)).collect();
        let mut image = Image::of("", architecture, layers);
        image.tag = image.manifest.digest.to_string();
        listed.push(json!({
            "mediaType": MANIFEST_TYPE, "digest": image.tag, "size": image.manifest.size,
            "platform": {"architecture": architecture, "os": "linux"},
        }));
        images.push(image);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed});
    let index = Content::of(index.to_string().into_bytes());
    Carried { repository: "bench/image0".to_owned(), images, index: Some(index) }
}
