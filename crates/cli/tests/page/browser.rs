//! A Chromium without a window that opens one page, and is watched: what it made of the page, said, fetched, painted and printed.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::png::Picture;

/// No page takes so many seconds on a busy machine.
const SECONDS: &str = "120";
/// So that Chromium does nothing but show the page; `--no-sandbox` because root has none.
const QUIET: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--enable-logging=stderr",
];
/// Hosts that Chromium itself looks for, whatever it shows; no page names them.
const OWN: [&str; 3] = [".google.com", ".googleapis.com", ".gvt1.com"];
/// Timers of the page run ahead, so that nothing has to be waited for.
const TIME: &str = "--virtual-time-budget=3000";

/// What a person prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Dark,
    Light,
}

impl Theme {
    fn flag(self) -> String {
        format!("--blink-settings=preferredColorScheme={}", u8::from(self == Self::Light))
    }
}

/// What became of a page.
#[derive(Debug)]
pub struct Opened {
    /// The document after its scripts ran, as HTML.
    pub dom: String,
    /// What came on its console.
    pub console: Vec<String>,
    /// What it wanted from elsewhere.
    pub wanted: Vec<String>,
}

/// Opens a page and lets its scripts run.
pub fn open(page: &Path) -> Opened {
    // whatever it wants from any host goes to a proxy, which is this listener, and gets nothing there
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = proxy.local_addr().expect("its address");
    let wanted: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&wanted);
    std::thread::spawn(move || {
        for stream in proxy.incoming().flatten() {
            let mut line = String::new();
            // one that says nothing wants nothing
            let _ = BufReader::new(&stream).read_line(&mut line);
            heard.lock().expect("nobody panics").push(line);
            let _ = (&stream).write_all(b"HTTP/1.1 502 Nothing here\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let (stdout, stderr) = run(
        page,
        Theme::Light,
        &["--dump-dom", &format!("--proxy-server=http://{address}"), "--proxy-bypass-list=<-loopback>"],
    );
    let console = stderr.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let is_of_the_page = |line: &&String| !OWN.iter().any(|host| line.contains(host));
    let wanted = wanted.lock().expect("nobody panics").iter().filter(is_of_the_page).cloned().collect();
    Opened { dom: stdout, console, wanted }
}

/// How a page of that width and height looks.
pub fn screenshot(page: &Path, theme: Theme, (width, height): (u32, u32)) -> Picture {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("page.png");
    let (to, size) = (format!("--screenshot={}", file.display()), format!("--window-size={width},{height}"));
    let (_, stderr) = run(page, theme, &[&to, &size]);
    let picture = Picture::read(&fs::read(&file).unwrap_or_else(|error| panic!("{error}: {stderr}")));
    assert_eq!((picture.width, picture.height), (width as usize, height as usize));
    picture
}

/// The page on paper, as a PDF.
pub fn printed(page: &Path, theme: Theme) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("page.pdf");
    let (_, stderr) = run(page, theme, &[&format!("--print-to-pdf={}", file.display())]);
    fs::read(&file).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

/// Runs it; the program `timeout` ends all of its processes where it takes too long.
fn run(page: &Path, theme: Theme, arguments: &[&str]) -> (String, String) {
    let chromium = std::env::var("CHROMIUM").expect("CHROMIUM: what `hack/chromium` prints");
    let profile: TempDir = tempfile::tempdir().expect("a folder");
    let output = Command::new("timeout")
        .args(["--kill-after=5", SECONDS, &chromium])
        .args(QUIET)
        .args([TIME, &theme.flag()])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("timeout runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {stderr}", output.status);
    (stdout, stderr)
}
