//! Pushes of what is not there yet, each into a new store.

use std::fs;
use std::path::Path;

use super::contestants::Contestant::{
    self, Commit, Distribution, Process, Receiver, SyncingReceiver, Zuul,
};
use super::load;
use super::scenario::{Bench, Goal, LARGE, Scenario};
use super::support::Outcome;
use super::support::content::Content;
use super::support::image::Image;
use super::support::place::settle;

const MIB: u64 = 1024 * 1024;

/// Each durability beside a peer's best or a receiver that syncs as much.
const PUSH: &[&[Goal]] = &[
    &[Goal::Times(Process, 2.0, Distribution), Goal::Times(Process, 0.85, Receiver)],
    &[Goal::Times(Commit, 2.0, Distribution), Goal::Times(Commit, 0.85, SyncingReceiver)],
];
/// distribution syncs what it writes, so it stands beside `commit`.
const IMAGES: &[&[Goal]] = &[&[Goal::Times(Commit, 4.0, Distribution)]];
const FAST: &[Contestant] = &[Process, Commit, Distribution, Receiver, SyncingReceiver];
const ALL: &[Contestant] = &[Process, Commit, Distribution, Zuul, Receiver, SyncingReceiver];

pub fn scenarios() -> Vec<Scenario> {
    let push = |name, title, contestants, rounds, run| Scenario {
        name,
        title,
        unit: "MiB/s",
        contestants,
        goals: PUSH,
        rounds,
        run,
    };
    vec![
        push("push-512m-1", "push of 512 MiB, 1 client", ALL, 5, |b, c| blobs(b, c, 1, LARGE, 1)),
        push("push-512m-8", "push of 512 MiB by each of 8 clients", FAST, 2, |b, c| {
            blobs(b, c, 8, LARGE, 8)
        }),
        push("push-40x8m-1", "push of 40 × 8 MiB, 1 client", ALL, 5, |b, c| {
            blobs(b, c, 40, 8 * MIB, 1)
        }),
        push("push-40x8m-8", "push of 40 × 8 MiB, 8 clients", ALL, 5, |b, c| {
            blobs(b, c, 40, 8 * MIB, 8)
        }),
        Scenario {
            name: "images-300",
            title: "300 images of one 10 KiB layer, 8 connections",
            unit: "images/s",
            contestants: &[Process, Commit, Distribution, Zuul],
            goals: IMAGES,
            rounds: 5,
            run: images,
        },
    ]
}

fn blobs(
    bench: &mut Bench,
    contestant: Contestant,
    count: usize,
    size: u64,
    clients: usize,
) -> Outcome<f64> {
    let blobs: Vec<Content> = (0..count).map(|_| Content::new(size)).collect();
    let server = contestant.start(&bench.place, false)?;
    settle(&server.folder)?;
    load::push(&server.target, &blobs, clients)
}

fn images(bench: &mut Bench, contestant: Contestant) -> Outcome<f64> {
    let images: Vec<Image> =
        (0..300).map(|number| Image::new(&format!("t{number}"), &[10 * 1024])).collect();
    let server = contestant.start(&bench.place, false)?;
    settle(&server.folder)?;
    load::push_images(&server.target, &images, 8)
}

/// The files of an image under the paths at which it is asked for.
pub fn lay_out(image: &Image, www: &Path) -> Outcome<()> {
    let repository = www.join(load::REPOSITORY.trim_start_matches('/'));
    fs::create_dir_all(repository.join("blobs"))?;
    fs::create_dir_all(repository.join("manifests"))?;
    for blob in &image.blobs {
        blob.write_to(&repository.join("blobs").join(blob.digest.as_str()))?;
    }
    image.manifest.write_to(&repository.join("manifests").join(&image.tag))?;
    image.manifest.write_to(&repository.join("manifests").join(image.manifest.digest.as_str()))
}
