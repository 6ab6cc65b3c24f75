//! What a dry run says, and what a run reports.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use zuul_images::copy::{self, Action, Options};
use zuul_images::oci::Digest;

use super::{item, open};
use crate::support::documents::documented;
use crate::support::faulty::Faulty;
use crate::support::programs::{json as printed, program};
use crate::support::sample;
use crate::support::upstream::Upstream;

const LARGE: usize = 300_000;
const OWN: usize = 100_000;

fn layers(server: &Faulty) -> [Bytes; 3] {
    let layers = [
        sample::bytes("shared", LARGE),
        sample::bytes("own", OWN),
        sample::bytes("there", 2 * LARGE),
    ];
    for (name, own) in [("one", &layers[1]), ("two", &layers[2])] {
        let image = sample::image(name, &[layers[0].clone(), own.clone()]);
        server.memory.hold(name, "t", &image);
    }
    layers
}

#[tokio::test]
async fn a_plan_says_of_each_image_what_moves_what_is_mounted_and_what_is_there() {
    let (from, to) = (Faulty::start().await, Faulty::start().await);
    let layers = layers(&from);
    to.memory.hold_blob("two", &layers[2]);
    let client = open(&[&from.registry(), &to.registry()]);
    let items = ["one:t", "two:t"].map(|name| item(&from, name, &to, name));
    let copy = async |dry_run| {
        let options = Options { dry_run, ..Options::default() };
        copy::run(&client, items.to_vec(), &options, &()).await.unwrap()
    };
    let planned = copy(true).await;
    assert!(planned.dry_run && planned.images.iter().all(|image| image.changed));
    assert_eq!(to.count(Method::HEAD, ""), to.requests().len(), "{:?}", to.requests());
    assert_eq!(from.count(Method::GET, "/blobs/"), 0);
    let about = |layer: &Bytes| {
        let digest = Digest::sha256(layer);
        let about = planned.plan.iter().filter(|blob| blob.digest == digest);
        let about = about.map(|blob| (blob.image.as_str(), blob.action, blob.from.clone()));
        about.collect::<Vec<_>>()
    };
    let place = |server: &Faulty, name: &str| Some(format!("{}/{name}", server.registry()));
    assert_eq!(
        about(&layers[0]),
        [
            ("one:t as one:t", Action::Move, place(&from, "one")),
            ("two:t as two:t", Action::Mount, place(&to, "one"))
        ]
    );
    assert_eq!(about(&layers[2]), [("two:t as two:t", Action::Present, None)]);
    let blobs = planned.images[1].blobs;
    assert_eq!((blobs.mounted.count, blobs.mounted.bytes), (1, LARGE as u64));
    assert_eq!((blobs.present.count, blobs.present.bytes), (1, 2 * LARGE as u64));

    let done = copy(false).await;
    assert!(!done.dry_run && done.plan.is_empty());
    for (planned, done) in planned.images.iter().zip(&done.images) {
        assert_eq!(planned.blobs, done.blobs, "{}", done.name);
    }
    let figures = |totals: &copy::Totals| {
        [
            (totals.blobs_moved, totals.bytes_moved),
            (totals.blobs_mounted, totals.bytes_mounted),
            (totals.blobs_present, totals.bytes_present),
        ]
    };
    assert_eq!(figures(&planned.totals), figures(&done.totals));
    assert_eq!(planned.totals.manifests_written, done.totals.manifests_written);
}

#[test]
fn the_figures_are_the_same_in_the_table_and_in_the_document() {
    let (from, to) = (Upstream::start(), Upstream::start());
    let layers = layers(&from.faulty);
    to.faulty.memory.hold_blob("two", &layers[0]);
    let run = |more: &[&str]| {
        let mut command = program("intermediate-registry-sync");
        command.args(["copy", "--no-ambient-config", "--referrers", "false"]);
        for server in [&from, &to] {
            command.args(["--plain-http", &server.faulty.registry().to_string()]);
        }
        let place = |server: &Upstream| format!("{}/two:t", server.faulty.registry());
        let output = command.args([place(&from), place(&to)]).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    };
    let text = |more: &[&str]| {
        let output = run(&[&["--output", "text"], more].concat());
        String::from_utf8(output.stdout).unwrap()
    };

    let document = printed(&run(&["--dry-run"]));
    documented(&document);
    assert_eq!(document["dry_run"], true);
    let blobs = &document["images"][0]["blobs"];
    assert_eq!(blobs["present"], json!({"count": 1, "bytes": LARGE}));
    assert_eq!(document["totals"]["bytes_present"], LARGE);
    let actions = document["plan"].as_array().unwrap().iter().map(|blob| &blob["action"]);
    assert_eq!(actions.filter(|action| *action == "move").count(), 2);
    let planned = text(&["--dry-run"]);
    assert!(planned.contains("to be written") && planned.contains("TO MOVE"), "{planned}");
    assert!(planned.contains("2 blobs to move (586.0 KiB)"), "{planned}");
    assert_eq!(to.faulty.count(Method::PUT, "") + to.faulty.count(Method::POST, ""), 0);

    let done = text(&[]);
    for figure in ["2 (586.0 KiB)", "1 (293.0 KiB)", "2 blobs moved (586.0 KiB), 0 mounted (0 B), "]
    {
        assert!(done.contains(figure), "{done}");
    }
    assert!(done.contains(" requests, 0 retries, "), "{done}");
    let again = printed(&run(&[]));
    documented(&again);
    assert_eq!((&again["dry_run"], &again["plan"]), (&json!(false), &Value::Null));
    assert_eq!(again["totals"]["requests"], 2);
}
