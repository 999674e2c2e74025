//! The page of real load tests in a real browser: its charts are drawn in both themes and on paper, it fetches nothing, and names of a
//! script do nothing in it.
//!
//! It needs `ARTILLERY_HOME` as the tests of `run --local` do, and `CHROMIUM`: what `hack/chromium` prints.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "shared with the tests of `run --local`, which use all of it")]
#[path = "../local/bed.rs"]
mod bed;
mod browser;
mod png;

use std::fs;
use std::path::{Path, PathBuf};

use bed::{Bed, descendants, signal, wait};
use browser::{Theme, open, printed, screenshot};
use miniz_oxide::inflate::decompress_to_vec_zlib;
use serde_json::json;

/// What would be seen in the page if one of these did something.
const HOSTILE: [&str; 3] = [
    "</script><script>document.body.dataset.broken='yes'</script>",
    "</td><img src=http://elsewhere.test/x.png onerror=document.body.dataset.broken='yes'>",
    "--><svg onload=document.body.dataset.broken='yes'>",
];
/// Colours of `report.css`, light and dark: the ground, and the first line of charts.
const GROUND: [[u8; 3]; 2] = [[0xff, 0xff, 0xff], [0x14, 0x18, 0x1c]];
const LINE: [[u8; 3]; 2] = [[0x25, 0x63, 0xc9], [0x7f, 0xb0, 0xff]];
/// Of a chart's line there are more pixels; of the tables no other thing has its colour.
const DRAWN: usize = 300;
const DESKTOP: (u32, u32) = (1280, 1400);
const PHONE: (u32, u32) = (400, 2800);

/// A script whose names are hostile, with a check that holds where there are at most so many requests.
fn script(seconds: u32, most: u32) -> String {
    let [script, cell, comment] = HOSTILE;
    let get = |name: &str| json!({ "get": { "url": "/", "name": name } });
    // JSON is YAML, and quotes what has to be quoted
    let script = json!({
        "config": {
            "target": "TARGET",
            "phases": [{ "name": cell, "duration": seconds, "arrivalRate": 3 }],
            "plugins": {
                "metrics-by-endpoint": { "useOnlyRequestNames": true },
                "ensure": { "conditions": [
                    { "expression": format!("http.requests <= {most}") },
                    { "expression": format!("\"{comment}\" == \"a\""), "strict": false },
                ] },
            },
        },
        "scenarios": [{ "name": script, "flow": [get(cell), get(script)] }],
    });
    script.to_string()
}

/// The page of a load test that was run, which ended with that exit code.
fn page(bed: &Bed, code: i32) -> PathBuf {
    let ended = bed.run(&["--count", "2", "--name", HOSTILE[0], "--report", "report.html"]);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    bed.folder.path().join("report.html")
}

/// That it shows what it should, and that nothing of a name did anything. Gives the document as the browser made it.
fn assert_sound(page: &Path, verdict: &str) -> String {
    let opened = open(page);
    assert_eq!((opened.console, opened.wanted), (Vec::new(), Vec::new()), "it says and fetches nothing");
    let dom = opened.dom;
    assert!(!dom.contains("data-broken") && !dom.contains("<img") && !dom.contains("<svg"), "{dom}");
    assert!(dom.contains(&format!(">{verdict}</p>")), "{verdict} is not in {dom}");
    assert!(
        dom.contains("&lt;/script&gt;&lt;script&gt;document.body"),
        "the names are there as texts: {dom}"
    );
    let charts = dom.matches("<canvas").count();
    assert!(charts >= 4, "{charts} charts");
    for (theme, [ground, line]) in [(Theme::Light, [GROUND[0], LINE[0]]), (Theme::Dark, [GROUND[1], LINE[1]])]
    {
        for size in [DESKTOP, PHONE] {
            let picture = screenshot(page, theme, size);
            assert_eq!(picture.ground(), ground, "{theme:?} {size:?}");
            assert!(picture.count(line) > DRAWN, "{theme:?} {size:?}: {} of a line", picture.count(line));
        }
    }
    dom
}

#[test]
fn a_passed_tests_page_has_charts_in_both_themes_and_hostile_names_do_nothing() {
    let bed = Bed::new(&script(3, 100));
    let page = page(&bed, 0);
    let dom = assert_sound(&page, "Passed");
    assert!(dom.contains("failed, optional") && dom.contains("<h2>Workers</h2>"), "{dom}");
    on_paper_it_is_light(&page);
}

/// Also where the screen is dark; the charts, too, which are drawn anew.
fn on_paper_it_is_light(page: &Path) {
    let pdf = printed(page, Theme::Dark);
    let text: String = streams(&pdf).iter().map(|stream| String::from_utf8_lossy(stream)).collect();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    // `RED GREEN BLUE RG`, of which each is a number up to 1, is a pen of that colour
    let pens = words.windows(4).filter(|words| words[3] == "RG");
    let pens: Vec<_> = pens.map(|words| [words[0], words[1], words[2]].map(part)).collect();
    assert!(pens.contains(&LINE[0]), "no chart's line: {pens:?}");
    assert!(!pens.contains(&LINE[1]), "a dark chart's line");
    let brushes = words.windows(4).filter(|words| words[3] == "rg");
    assert!(!brushes.map(|words| [words[0], words[1], words[2]].map(part)).any(|brush| brush == GROUND[1]));
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
fn part(word: &str) -> u8 {
    (word.parse::<f64>().unwrap_or(0.0) * 255.0).round() as u8
}

/// What is packed in a PDF: the drawing of its pages among it.
fn streams(pdf: &[u8]) -> Vec<Vec<u8>> {
    let word = b"stream\n";
    let begins = pdf.windows(word.len()).enumerate().filter(|(_, window)| window == word);
    begins.filter_map(|(at, _)| decompress_to_vec_zlib(&pdf[at + word.len()..]).ok()).collect()
}

#[test]
fn a_failed_tests_page_says_which_check_failed() {
    let bed = Bed::new(&script(3, 1));
    let dom = assert_sound(&page(&bed, 1), "Failed");
    assert!(dom.contains("<bdi>http.requests &lt;= 1</bdi>"), "{dom}");
}

#[test]
fn an_inconclusive_tests_page_says_what_is_missing() {
    let bed = Bed::new(&script(8, 100));
    let arguments = ["--count", "2", "--name", HOSTILE[0], "--report", "report.html"];
    let child = bed.command(&arguments).spawn().expect("it runs");
    bed.until_seen(10);
    signal(descendants(child.id())[0], "KILL");
    let ended = wait(child);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let dom = assert_sound(&bed.folder.path().join("report.html"), "Inconclusive");
    assert!(dom.contains("What is missing or doubtful") && dom.contains("exit code 137"), "{dom}");
}

#[test]
fn what_the_pages_are_watched_for_would_be_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let write = |body: &str| fs::write(&page, format!("<!doctype html><body>{body}")).expect("a page");
    for hostile in HOSTILE {
        write(&format!("<table><td>{}", hostile.replacen("</script>", "", 1)));
        assert!(open(&page).dom.contains("data-broken"), "{hostile}");
    }
    write("<img src=http://elsewhere.test/x.png>");
    let wanted = open(&page).wanted;
    assert!(wanted.iter().any(|line| line.contains("elsewhere.test")), "{wanted:?}");
    write("<script>console.error('said'); throw new Error('thrown')</script>");
    let console = open(&page).console;
    assert!(
        console.iter().any(|line| line.contains("said"))
            && console.iter().any(|line| line.contains("thrown")),
        "{console:?}"
    );
    write("nothing");
    let blank = screenshot(&page, Theme::Light, DESKTOP);
    assert_eq!((blank.ground(), blank.count(LINE[0])), (GROUND[0], 0));
}
