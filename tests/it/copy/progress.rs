//! What people and logs see of a copy on its way.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use zuul_images::oci::Digest;

use crate::support::process::tool;
use crate::support::programs::program;
use crate::support::upstream::{Gate, Upstream};

const MIB: usize = 1024 * 1024;

/// The command that copies an image of one layer of 4 MiB, of which the last one waits at the gate.
fn copying(from: &Upstream, to: &Upstream) -> (Command, Gate) {
    let image = from.hold("a", "t", "one", 4 * MIB);
    let gate = from.pause(Digest::sha256(&image.blobs[1]).as_str(), 3 * MIB);
    let mut command = program("intermediate-registry-sync");
    command.args(["copy", "--no-ambient-config"]);
    for server in [from, to] {
        command.args(["--plain-http", &server.faulty.registry().to_string()]);
    }
    command.args([from, to].map(|server| format!("{}/a:t", server.faulty.registry())));
    (command, gate)
}

/// Reads until `enough` of it has been said.
fn read_until(stream: &mut impl Read, enough: impl Fn(&str) -> bool) -> String {
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    while !enough(&String::from_utf8_lossy(&said)) {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn end(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_log_gets_a_plain_line_every_few_seconds() {
    let (from, to) = (Upstream::start(), Upstream::start());
    let (mut command, gate) = copying(&from, &to);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let said = read_until(&mut stderr, |said| said.contains(" moved, ") && said.ends_with('\n'));
    gate.open();
    assert!(said.contains("1 of 2 blobs are in place; "), "{said}");
    assert!(said.contains(" MiB of 4.0 MiB moved, ") && !said.contains('\u{1b}'), "{said}");
    end(child);
}

#[test]
fn a_terminal_gets_a_bar_for_each_blob_and_one_for_all() {
    let (from, to) = (Upstream::start(), Upstream::start());
    let (copy, gate) = copying(&from, &to);
    let mut words = vec![copy.get_program().to_str().unwrap()];
    words.extend(copy.get_args().map(|word| word.to_str().unwrap()));
    let command = format!("stty cols 100; {}", words.join(" "));
    let mut child = tool("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let is_bar = |line: &str| line.contains("of 4.00 MiB") && line.ends_with(" left");
    let of_blob = |line: &str| is_bar(line) && !line.contains("blobs");
    let of_all = |line: &str| is_bar(line) && line.contains("1/2 blobs");
    read_until(child.stdout.as_mut().unwrap(), |shown| {
        let lines = || shown.split(['\r', '\n', '\u{1b}']).map(str::trim_end);
        lines().any(of_blob) && lines().any(of_all)
    });
    gate.open();
    // The result stands below.
    let shown = end(child);
    assert!(shown.contains("IMAGE") && shown.contains("written"), "{shown}");
}
