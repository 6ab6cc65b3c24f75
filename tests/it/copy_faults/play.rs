//! Plays rows.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::scene::{SIGNATURE, Scene, TAG};
use super::standing::Standing;
use super::{End, Maker, Row, Side};
use crate::support::distribution::Distribution;
use crate::support::faulty::Faulty;
use crate::support::programs::{failure, file, json, program};
use crate::support::registry::{Registry, WRITER, basic};

/// How many turns are under way at once.
const AT_ONCE: usize = 4;

/// More than any turn may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// Plays all rows and tells which did not end as they should.
pub fn play(rows: &[Row]) {
    let stage = Stage::new();
    let turns: Vec<Turn> = rows.iter().flat_map(turns).collect();
    let (waiting, failed) = (Mutex::new(turns.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(turn) = waiting.lock().unwrap().next() else { break };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| stage.play(&turn))) {
                        let words = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        failed.lock().unwrap().push(format!("{turn}\n  {words}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "not as it should end:\n{}", failed.join("\n"));
}

/// A row on one side, from one maker's registry to the other's.
struct Turn {
    row: Row,
    side: Side,
    /// Who made the source.
    from: Maker,
    older: bool,
}

fn turns(row: &Row) -> Vec<Turn> {
    let sides: &[Side] = match row.side {
        Side::Either => &[Side::Source, Side::Destination],
        Side::Source => &[Side::Source],
        Side::Destination => &[Side::Destination],
    };
    let mut turns = Vec::new();
    for side in sides {
        for (from, to) in [(Maker::Us, Maker::Debian), (Maker::Debian, Maker::Us)] {
            let faulty = if *side == Side::Source { from } else { to };
            if row.only.is_none_or(|only| only == faulty) {
                let older = row.older.unwrap_or(from == Maker::Debian);
                turns.push(Turn { row: *row, side: *side, from, older });
            }
        }
    }
    assert!(!turns.is_empty(), "{}", row.name);
    turns
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, source by {:?})", self.row.name, self.side, self.from)
    }
}

/// The registries all turns are played over, each in a repository of its own.
struct Stage {
    runtime: Runtime,
    ours: Registry,
    debians: Distribution,
}

impl Stage {
    fn new() -> Self {
        Self {
            runtime: Runtime::new().unwrap(),
            ours: Registry::start_with(|config| config.anonymous_pull = Some(false)),
            debians: Distribution::start_for(WRITER, "secret"),
        }
    }

    fn play(&self, turn: &Turn) {
        let (from, to) = match turn.from {
            Maker::Us => (self.ours(), self.debians()),
            Maker::Debian => (self.debians(), self.ours()),
        };
        let repository = repository(turn);
        let scene = Scene::new(turn.side, from, to, repository.clone(), turn.row.size);
        let scene = self.runtime.block_on(scene);
        from.push(&repository, TAG, &scene.image);
        if turn.older {
            to.push(&repository, TAG, &scene.older);
        }
        (turn.row.script)(&scene);
        let copying = Copying::new(&scene);
        let output = copying.run(turn.row.options);
        nothing_is_told(&scene, &output);
        ended_as_said(turn, &scene, &output);
        assert_eq!(scene.to.hollow(&repository, &scene.image), [], "{turn}");
        let unmet = [&scene.source, &scene.destination, &scene.store].map(Faulty::unmet_faults);
        assert_eq!(unmet.concat(), [] as [String; 0], "{turn}: no request met a fault");
        if !output.status.success() {
            scene.source.forget_faults();
            scene.destination.forget_faults();
            json(&copying.run(&[]));
            is_in_place(turn, &scene);
        }
    }

    fn ours(&self) -> Standing {
        Standing(self.ours.address)
    }

    fn debians(&self) -> Standing {
        Standing(SocketAddr::from(([127, 0, 0, 1], self.debians.port)))
    }
}

fn repository(turn: &Turn) -> String {
    let mut name: String = turn.to_string().to_ascii_lowercase();
    name.retain(|character| character.is_ascii_alphanumeric() || character == ' ');
    name.split_whitespace().collect::<Vec<_>>().join("-")
}

/// The command of a turn.
struct Copying {
    arguments: Vec<String>,
    folder: TempDir,
}

impl Copying {
    fn new(scene: &Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (scene.source.address.to_string(), scene.destination.address.to_string());
        let login = json!({"username": WRITER, "password": "secret"});
        let logins = json!({&from: login, &to: login}).to_string();
        let logins = file(folder.path(), "logins.json", &logins).display().to_string();
        let image = |place: &str| format!("{place}/{}:{TAG}", scene.repository);
        let arguments = [
            &["copy".to_owned(), image(&from), image(&to), "-vv".to_owned()][..],
            &["--credentials".to_owned(), logins, "--no-ambient-config".to_owned()],
            &["--plain-http".to_owned(), from, "--plain-http".to_owned(), to],
        ];
        Self { arguments: arguments.concat(), folder }
    }

    /// Runs it; nothing it meets may keep it for ever.
    fn run(&self, options: &[&str]) -> Output {
        let mut command = program("intermediate-registry-sync");
        command.args(&self.arguments).args(options);
        until_the_deadline(&mut command, &self.folder)
    }
}

fn until_the_deadline(command: &mut Command, folder: &TempDir) -> Output {
    let paths = ["stdout", "stderr"].map(|name| folder.path().join(name));
    let [stdout, stderr] = paths.each_ref().map(|path| std::fs::File::create(path).unwrap());
    command.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    let mut process = command.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > DEADLINE {
            process.kill().unwrap();
            process.wait().unwrap();
            panic!("it does not end: {}", std::fs::read_to_string(&paths[1]).unwrap());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let [stdout, stderr] = paths.map(|path| std::fs::read(path).unwrap());
    Output { status, stdout, stderr }
}

fn ended_as_said(turn: &Turn, scene: &Scene, output: &Output) {
    let before = turn.older.then(|| scene.older.root.digest().clone());
    match turn.row.end {
        End::Done => {
            assert_eq!(json(output)["images"][0]["changed"], true, "{turn}");
            is_in_place(turn, scene);
        }
        End::DoneAnd(check) => {
            json(output);
            is_in_place(turn, scene);
            check(scene);
        }
        End::Fails(kind, words) => {
            says(turn, output, kind, words);
            assert_eq!(scene.to.tag(&scene.repository, TAG), before, "{turn}: the tag changed");
        }
        End::FailsInPlace(kind, words) => {
            says(turn, output, kind, words);
            is_in_place(turn, scene);
        }
    }
}

fn says(turn: &Turn, output: &Output, kind: &str, words: &[&str]) {
    let (document, said) = failure(output, 1);
    let error: &Value = &document["error"];
    let message = error["message"].as_str().unwrap();
    assert_eq!(error["kind"], kind, "{turn}: {message}");
    for word in words {
        assert!(message.contains(word), "{turn}: `{word}` is not in: {message}");
    }
    assert!(said.contains(message.lines().next().unwrap()), "{turn}: stderr lacks: {message}");
}

fn is_in_place(turn: &Turn, scene: &Scene) {
    let Scene { to, repository, image, .. } = scene;
    assert_eq!(to.tag(repository, TAG).as_ref(), Some(image.root.digest()), "{turn}");
    assert_eq!(to.lacks(repository, image), [], "{turn}");
}

/// No login has gone where it does not belong, and nothing secret is in what was said.
fn nothing_is_told(scene: &Scene, output: &Output) {
    for elsewhere in [&scene.store, &scene.beside] {
        for request in elsewhere.recorded() {
            for header in ["authorization", "cookie"] {
                assert!(!request.headers.contains_key(header), "{request:?}");
            }
        }
    }
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let mut secrets = vec!["secret".to_owned(), SIGNATURE.to_owned()];
    secrets.push(basic(WRITER, "secret"));
    for request in [scene.source.recorded(), scene.destination.recorded()].concat() {
        let shown = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        secrets.extend(shown.and_then(|value| Some(value.split_once(' ')?.1.to_owned())));
    }
    for secret in secrets {
        let at = said.find(&secret);
        assert_eq!(at, None, "{secret} is told: {said}");
    }
}
