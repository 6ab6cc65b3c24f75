//! Images in layouts and archives as sources: which is meant, what is carried, what is refused.

mod choosing;
mod content;
mod docker_archives;
mod hostile;
mod memory;
mod producers;

use std::path::Path;

use zuul_images::copy::{self, Builds, Error, Item, Options, Outcome};
use zuul_images::layout::{self, Image, Layout};
use zuul_images::oci::LayoutReference;

use crate::support::faulty::Faulty;
use crate::support::sample::{self, Sample};

/// An image of a layout or archive, by a reference.
async fn open(reference: &str) -> Result<Image, layout::Error> {
    let reference: LayoutReference = reference.parse().unwrap();
    let layout = Layout::open(reference.transport, &reference.path).await?;
    layout.image(reference.choice.as_ref()).await
}

/// Copies an image to `a:t` of a registry.
async fn copy(image: Image, to: &Faulty) -> Result<Outcome, Error> {
    let item = Item {
        name: "image".to_owned(),
        from: image.into(),
        to: format!("{}/a:t", to.registry()).parse().unwrap(),
        expect: None,
        builds: Builds::default(),
    };
    let client = crate::support::clients::client(
        &[&to.registry()],
        zuul_images::auth::CredentialStore::empty(),
    );
    copy::run(&client, vec![item], &Options::default(), &()).await
}

fn shown(transport: &str, path: &Path) -> String {
    format!("{transport}:{}", path.display())
}

/// Of a layer that is read in several pieces, and one that is not.
fn image(name: &str) -> Sample {
    let layer = |number: usize, size| sample::bytes(&format!("{name}-{number}"), size);
    sample::image(name, &[layer(1, 700_000), layer(2, 500)])
}
