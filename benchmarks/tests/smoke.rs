//! The program as its users start it: a quick case of each peer, the files that come out, wrong words.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, process};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = env::temp_dir().join(format!("benchmarks-{name}-{}", process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn benchmarks(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_benchmarks"))
        .args(args)
        .output();
    output.expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The shortest measurement there is, of what fits.
fn measure(file: &Path, only: &str, more: &[&str]) -> Output {
    let file = file.to_str().expect("UTF-8");
    let mut args = vec![
        "--span",
        "1",
        "--reps",
        "1",
        "--patience",
        "0",
        "--only",
        only,
    ];
    args.extend(more);
    if !more.contains(&"--append") {
        args.extend(["--to", file]);
    }
    benchmarks(&args)
}

fn outcomes(file: &Path) -> Vec<serde_json::Value> {
    let results = fs::read_to_string(file).expect("results were written");
    let results: serde_json::Value = serde_json::from_str(&results).expect("JSON");
    results["outcomes"].as_array().expect("a list").clone()
}

#[test]
fn each_peer_runs_and_a_report_comes_out() {
    let folder = Folder::new("each");
    let file = folder.0.join("results.json");
    // One of each kind: tasks, coroutines, a server, processes.
    let output = measure(&file, "^(yield_2|generator|http_64|pipe)/", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let outcomes = outcomes(&file);
    for outcome in &outcomes {
        assert!(outcome.get("cannot").is_none(), "{outcome}");
    }
    // These are part of this program; the others are skipped with a word where they are not installed.
    for peer in [
        "greenloom",
        "tokio-current",
        "tokio-multi",
        "hyper",
        "may",
        "smol",
        "threads",
        "corosensei",
        "generator",
        "bare",
    ] {
        assert!(
            outcomes.iter().any(|outcome| outcome["peer"] == peer),
            "{peer}"
        );
    }
    let page = fs::read_to_string(file.with_extension("html")).expect("a page was written");
    assert!(page.contains("Yield, 2") && page.ends_with("</html>\n"));
    assert!(
        !page.contains("<script") && !page.contains("src="),
        "it needs no other file"
    );
}

#[test]
fn two_runs_become_one_file() {
    let folder = Folder::new("two");
    let file = folder.0.join("results.json");
    let name = file.to_str().expect("UTF-8");
    assert!(
        measure(&file, "^generator/corosensei", &[])
            .status
            .success()
    );
    let more = ["--append", name];
    assert!(
        measure(&file, "^(generator|switch)/corosensei", &more)
            .status
            .success()
    );
    let outcomes = outcomes(&file);
    let samples = |case: &str| {
        let outcome = outcomes.iter().find(|outcome| outcome["case"] == case);
        outcome.expect("it was measured")["samples"]["time"]
            .as_array()
            .expect("a list")
            .len()
    };
    assert_eq!((samples("generator"), samples("switch")), (2, 1));
    let output = benchmarks(&["--report", name]);
    assert!(text(&output.stdout).contains("corosensei, bare"));
}

#[test]
fn wrong_words_end_with_2_and_a_message() {
    for (args, word) in [
        (&["--quik"][..], "--quik"),
        (&["--peers", "tokio"], "--list"),
        (&["--reps", "0"], "above 0"),
        (&["--only"], "--only"),
    ] {
        let output = benchmarks(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(word), "{args:?}");
    }
    let output = benchmarks(&["--only", "no such case"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--list"));
}

#[test]
fn the_list_names_cases_and_peers() {
    let output = benchmarks(&["--list"]);
    let said = text(&output.stdout);
    assert!(output.status.success());
    for word in [
        "* yield_2",
        "sleepers_1000000",
        "http_pipelined_64",
        "unbalanced_64_2w",
        "gevent",
    ] {
        assert!(said.contains(word), "{word}");
    }
}
