//! The house rules that a compiler does not check: floors, the unsafe register, small faces.
//!
//! Plain std and plain text: the sources are read with comments and strings blanked out. A rule that
//! is in the way is changed here, in the open, with its reason in docs/rationale.md.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Floor of each wing, the lowest first. A file imports from lower floors and from its own wing only;
/// two wings on one floor do not know each other. The longest prefix that fits decides.
///
/// Where the first drawing had it otherwise, and why it was changed:
///
/// * A task's closure and its outcome live in `scheduler::packet`, not in `task`: header, closure and
///   outcome are one allocation, which only the scheduler can lay out and take apart. `task` keeps what
///   its users hold (`JoinHandle`, `Scope`), and the scheduler still looks into no outcome.
/// * `runtime::launch` makes tasks, not `task::spawn`: `run` and `block_on` launch their main task as
///   well, and they stand below `task`.
const FLOORS: &[(&str, u8)] = &[
    ("sys", 1),
    ("base", 1),
    ("stack", 2),
    ("driver", 2),
    ("coroutine", 3),
    ("scheduler", 4),
    ("runtime", 5),
    ("task", 6),
    ("io", 6),
    ("io/copy", 7),
    ("io/stdin", 8),
    ("sync", 7),
    ("time", 7),
    ("signal", 7),
    ("future", 7),
    ("blocking", 7),
    ("logging", 7),
    ("channel", 8),
    ("queue", 8),
    ("net", 8),
    ("fs", 8),
    ("pool", 8),
    ("thread", 8),
    // Its workers stand between two queues.
    ("thread_pool", 9),
    ("net/server", 9),
    // std has them there; ours stand on `channel`.
    ("sync/mpsc", 9),
    ("ipc", 9),
    ("process", 10),
    // It runs a service of `ipc` in a process of its own.
    ("ipc/manager/start", 11),
    ("inspect", 10),
    ("testing", 10),
    ("macros", 12),
    ("lib", 12),
    ("compile_fail", 12),
];

/// The unsafe register: the only files in which the word may stand, and why. Kept exact, both ways.
const UNSAFE_REGISTER: &[(&str, &str)] = &[
    (
        "sys/memory.rs",
        "maps, guards and gives back memory, by libc",
    ),
    ("sys/pipe.rs", "asks what the process does with SIGPIPE"),
    (
        "sys/fault.rs",
        "signal actions, the alternate stack, the handler's arguments",
    ),
    (
        "sys/child.rs",
        "what a process does before its main: environment, signals, constructors",
    ),
    ("sys/cpu.rs", "the prefetch instruction"),
    ("base/table.rs", "a cell of values, borrowed by nobody"),
    ("sys/image.rs", "the loader's record of the program"),
    (
        "sys/shared.rs",
        "atomic accesses to memory that other processes have mapped",
    ),
    (
        "sys/unwind.rs",
        "walks frames by the unwinder and reads the compiler's tables of them",
    ),
    (
        "stack/region.rs",
        "raw slots, and corosensei's unsafe `Stack` trait",
    ),
    (
        "coroutine/ambient.rs",
        "pointers to headers on the stacks of the coroutines that run",
    ),
    ("coroutine/engine.rs", "runs what nobody else runs"),
    ("coroutine/slot.rs", "a cell that may be empty"),
    ("coroutine/value.rs", "a word of any type"),
    (
        "coroutine/scoped.rs",
        "lengthens the lifetime of a body that is ended before its borrows",
    ),
    (
        "scheduler/blocks.rs",
        "gives out and takes back the memory of tasks",
    ),
    (
        "scheduler/switch.rs",
        "suspends by the yielder at the base of the running task's stack",
    ),
    ("scheduler/waker.rs", "a raw waker that carries a count"),
    (
        "scheduler/task.rs",
        "counted references to one allocation of unknown length",
    ),
    (
        "scheduler/packet.rs",
        "a closure run once, an outcome stored once and taken once",
    ),
    (
        "scheduler/deque.rs",
        "a ring that thieves read while its owner writes",
    ),
    (
        "scheduler/current.rs",
        "types for the thread-wide pointers to the worker and the running task",
    ),
    (
        "runtime/launch.rs",
        "makes tasks whose borrows somebody else vouches for",
    ),
    (
        "runtime/owner.rs",
        "`run`: the main task borrows, and has ended before it returns",
    ),
    (
        "task/scope.rs",
        "scoped tasks borrow, and have ended before the scope returns",
    ),
    (
        "task/group.rs",
        "opens a scope on its own frame, whose tasks have ended before it goes",
    ),
    (
        "sync/latch.rs",
        "a cell of its own lock, for the other locks to stand on",
    ),
    ("sync/mutex.rs", "a cell and its guard"),
    (
        "process/remote/entry.rs",
        "an entry in the table of functions that are called before main",
    ),
    (
        "process/remote/function.rs",
        "functions of this build found by their distances",
    ),
    (
        "sync/rlock.rs",
        "shares what need not be Sync, with one thread at a time",
    ),
    ("sync/rwlock.rs", "a cell and its guards"),
];

/// What the wings above task and io may name of the scheduler.
const SCHEDULER_DOORS: &[&str] = &["park"];

/// Folders whose files keep the rules that are not about the floors.
const EVERYWHERE: [&str; 9] = [
    "src",
    "tests",
    "benches",
    "benchmarks/src",
    "benchmarks/tests",
    "examples",
    "models/src",
    "ecosystem/src",
    "ecosystem/examples",
];

const FACE_LINES: usize = 80;
const FILE_LINES: usize = 700;

struct Source {
    /// Path from the folder that was searched.
    path: String,
    text: String,
    /// `text` with comments and the insides of strings turned to blanks; lines stay where they are.
    code: String,
}

impl Source {
    /// First folder, or the name of a file that lies directly in `src`.
    fn wing(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or(&self.path);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn floor(&self) -> Option<u8> {
        floor(self.path.strip_suffix(".rs").unwrap_or(&self.path))
    }
}

fn floor(path: &str) -> Option<u8> {
    let fits = |wing: &str| {
        path.strip_prefix(wing)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    FLOORS
        .iter()
        .filter(|(wing, _)| fits(wing))
        .max_by_key(|(wing, _)| wing.len())
        .map(|&(_, floor)| floor)
}

fn sources(folder: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&top, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            let path = path.strip_prefix(&top).expect("found below the top");
            let code = blank(&text);
            Source {
                path: path.to_string_lossy().into_owned(),
                text,
                code,
            }
        })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    // Some folders come later than this test.
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Turns comments and the insides of string and character literals to blanks.
fn blank(text: &str) -> String {
    let b = text.as_bytes();
    let mut out = b.to_vec();
    let mut i = 0;
    while i < b.len() {
        let end = match b[i] {
            b'/' if b.get(i + 1) == Some(&b'/') => line_end(b, i),
            b'/' if b.get(i + 1) == Some(&b'*') => comment_end(b, i),
            b'"' => string_end(b, i),
            b'r' if !word(i.checked_sub(1).map(|p| b[p])) || b[i - 1] == b'b' => {
                match raw_end(b, i) {
                    Some(end) => end,
                    None => {
                        i += 1;
                        continue;
                    }
                }
            }
            b'\'' => match char_end(b, i) {
                Some(end) => end,
                None => {
                    i += 1;
                    continue;
                }
            },
            _ => {
                i += 1;
                continue;
            }
        };
        for byte in &mut out[i..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        i = end;
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

fn word(byte: Option<u8>) -> bool {
    byte.is_some_and(|b| b == b'_' || b.is_ascii_alphanumeric())
}

fn line_end(b: &[u8], from: usize) -> usize {
    b[from..]
        .iter()
        .position(|&c| c == b'\n')
        .map_or(b.len(), |n| from + n)
}

fn comment_end(b: &[u8], from: usize) -> usize {
    let (mut depth, mut i) = (0, from);
    while i < b.len() {
        match (b[i], b.get(i + 1)) {
            (b'/', Some(b'*')) => (depth, i) = (depth + 1, i + 2),
            (b'*', Some(b'/')) => {
                (depth, i) = (depth - 1, i + 2);
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    b.len()
}

fn string_end(b: &[u8], from: usize) -> usize {
    let mut i = from + 1;
    while i < b.len() {
        match b[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    b.len()
}

/// `r"..."`, `r#"..."#`; `None` for raw identifiers and plain words.
fn raw_end(b: &[u8], from: usize) -> Option<usize> {
    let hashes = b[from + 1..].iter().take_while(|&&c| c == b'#').count();
    let open = from + 1 + hashes;
    if b.get(open) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let rest = &b[open + 1..];
    let len = rest
        .windows(close.len())
        .position(|w| w == close.as_slice());
    Some(len.map_or(b.len(), |n| open + 1 + n + close.len()))
}

/// A character literal; `None` for a lifetime or a label.
fn char_end(b: &[u8], from: usize) -> Option<usize> {
    if b.get(from + 1) == Some(&b'\\') {
        let close = b[from + 3..].iter().position(|&c| c == b'\'')?;
        return Some(from + 3 + close + 1);
    }
    // One character of up to four bytes, then the quote.
    let width = match *b.get(from + 1)? {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    (b.get(from + 1 + width) == Some(&b'\'')).then_some(from + 2 + width)
}

/// Places where `needle` stands as whole words.
fn finds<'a>(code: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    let b = code.as_bytes();
    code.match_indices(needle)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let starts = !word(needle.bytes().next()) || !word(at.checked_sub(1).map(|p| b[p]));
            let ends = !word(needle.bytes().last()) || !word(b.get(at + needle.len()).copied());
            starts && ends
        })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Every path that begins at the crate's root, as `a::b::c` without the leading `crate::`, with its
/// line. Groups are taken apart: `crate::{a::b, c}` gives two.
fn crate_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for at in finds(code, "crate::") {
        // `$crate::` in a macro speaks to the macro's user, who stands above the face.
        if code[..at].ends_with('$') {
            continue;
        }
        let mut spelled = Vec::new();
        tree(&code[at + "crate::".len()..], "", &mut spelled);
        paths.extend(spelled.into_iter().map(|path| (line_of(code, at), path)));
    }
    paths
}

/// Reads one use tree from the start of `text`; gives back how much was read.
fn tree(text: &str, before: &str, out: &mut Vec<String>) -> usize {
    let mut path = before.to_string();
    let mut i = 0;
    loop {
        i += text[i..].len() - text[i..].trim_start().len();
        let rest = &text[i..];
        if rest.starts_with('{') {
            i += 1;
            while !text[i..].trim_start().starts_with('}') && i < text.len() {
                i += tree(&text[i..], &path, out);
                let skipped = text[i..].trim_start();
                i = text.len() - skipped.strip_prefix(',').unwrap_or(skipped).len();
            }
            return text.len() - text[i..].trim_start().len() + 1;
        }
        let len = rest
            .bytes()
            .take_while(|&c| word(Some(c)) || c == b'*')
            .count();
        path.push_str(&rest[..len]);
        i += len.max(usize::from(len == 0 && !rest.is_empty()));
        if len > 0 && text[i..].starts_with("::") {
            path.push_str("::");
            i += 2;
            continue;
        }
        out.push(path);
        // A name may go on with `as other`: skip to what ends this branch.
        let alias = text[i..].trim_start();
        if let Some(rest) = alias.strip_prefix("as ") {
            let len = rest.bytes().take_while(|&c| word(Some(c))).count();
            i = text.len() - rest.len() + len;
        }
        return i;
    }
}

#[track_caller]
fn report(faults: Vec<String>) {
    let mut text = String::new();
    for fault in &faults {
        let _ = writeln!(text, "  {fault}");
    }
    assert!(faults.is_empty(), "{} fault(s):\n{text}", faults.len());
}

#[test]
fn imports_only_run_down() {
    let mut faults = Vec::new();
    for file in sources("src") {
        let Some(own) = file.floor() else {
            faults.push(format!("src/{}: a wing without a floor", file.path));
            continue;
        };
        if file.wing() == "lib" {
            continue;
        }
        for (line, path) in crate_paths(&file.code) {
            let at = format!("src/{}:{line}", file.path);
            let wing = path.split("::").next().unwrap_or(&path);
            match floor(wing) {
                None => faults.push(format!(
                    "{at}: `crate::{path}` goes through lib.rs; import from the file that defines it"
                )),
                Some(_) if wing == file.wing() => {}
                // The lowest floor has no floor below it, and its two wings do not know each other.
                Some(its) if its < own => {}
                Some(its) => faults.push(format!(
                    "{at}: `crate::{path}` is on floor {its}, this file on floor {own}"
                )),
            }
        }
    }
    report(faults);
}

#[test]
fn above_task_and_io_only_the_doors_of_the_scheduler_are_seen() {
    let mut faults = Vec::new();
    for file in sources("src") {
        if file.wing() == "lib" || file.floor().is_none_or(|floor| floor <= 6) {
            continue;
        }
        for (line, path) in crate_paths(&file.code) {
            let mut parts = path.split("::");
            let wing = parts.next();
            let door = parts.next().unwrap_or("");
            if wing == Some("scheduler") && !SCHEDULER_DOORS.contains(&door) {
                faults.push(format!("src/{}:{line}: `crate::{path}`", file.path));
            }
        }
    }
    report(faults);
}

#[test]
fn unsafe_stands_only_in_the_register() {
    let mut faults = Vec::new();
    let files = sources("src");
    for (name, _) in UNSAFE_REGISTER {
        if !files.iter().any(|file| file.path == *name) {
            faults.push(format!(
                "src/{name}: in the register, but there is no such file"
            ));
        }
    }
    for file in &files {
        let listed = UNSAFE_REGISTER.iter().any(|(name, _)| file.path == *name);
        let used = finds(&file.code, "unsafe")
            .next()
            .map(|at| line_of(&file.code, at));
        let allowed = file.code.contains("#![allow(unsafe_code)]");
        match (listed, used) {
            (true, None) => faults.push(format!("src/{}: in the register without need", file.path)),
            (false, Some(line)) => {
                faults.push(format!(
                    "src/{}:{line}: unsafe outside the register",
                    file.path
                ));
            }
            _ => {}
        }
        if allowed != listed {
            let fault = if allowed {
                "allows unsafe code without being"
            } else {
                "must allow unsafe code: it is"
            };
            faults.push(format!("src/{}: {fault} in the register", file.path));
        }
        for (n, line) in file.code.lines().enumerate() {
            if line.trim_start().starts_with("pub ") && finds(line, "unsafe fn").next().is_some() {
                faults.push(format!(
                    "src/{}:{}: a public unsafe function",
                    file.path,
                    n + 1
                ));
            }
        }
    }
    let lib = files.iter().find(|file| file.path == "lib.rs");
    if !lib.is_some_and(|lib| lib.code.contains("#![deny(unsafe_code)]")) {
        faults.push("src/lib.rs: does not deny unsafe code".into());
    }
    report(faults);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let mut faults = Vec::new();
    for folder in EVERYWHERE {
        for file in sources(folder) {
            let first = file.text.lines().next().unwrap_or("");
            if first
                .strip_prefix("//! ")
                .is_none_or(|caption| caption.trim().is_empty())
            {
                faults.push(format!(
                    "{folder}/{}: the first line is not `//! ...`",
                    file.path
                ));
            }
        }
    }
    report(faults);
}

#[test]
fn no_file_is_too_long() {
    let mut faults = Vec::new();
    for folder in EVERYWHERE {
        for file in sources(folder) {
            let lines = file.text.lines().count();
            if lines > FILE_LINES {
                faults.push(format!(
                    "{folder}/{}: {lines} lines, over {FILE_LINES}",
                    file.path
                ));
            }
        }
    }
    report(faults);
}

/// What is wrong with a `mod.rs` as a face.
fn face_fault(file: &Source) -> Option<String> {
    let lines = file.text.lines().count();
    if lines >= FACE_LINES {
        return Some(format!("{lines} lines; a face has under {FACE_LINES}"));
    }
    let mut code = file.code.as_str();
    while !code.trim().is_empty() {
        code = code.trim_start();
        let mut item = code;
        if code.starts_with('#') {
            code = &code[bracket_end(code)..];
            continue;
        }
        for visible in ["pub(crate) ", "pub(super) ", "pub "] {
            item = item.strip_prefix(visible).unwrap_or(item);
        }
        let fits = ["mod ", "use ", "compile_error!"]
            .iter()
            .any(|word| item.starts_with(word));
        let end = code.find(';').map_or(code.len(), |at| at + 1);
        if !fits || item.starts_with("mod ") && code[..end].contains('{') {
            let line = line_of(&file.code, file.code.len() - code.len());
            return Some(format!(
                "line {line} is more than prose, `mod` lines and re-exports"
            ));
        }
        code = &code[end..];
    }
    None
}

/// Length of an attribute that starts here.
fn bracket_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return at + 1,
            ']' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn faces_hold_only_prose_and_names() {
    let mut faults = Vec::new();
    for file in sources("src") {
        if !file.path.ends_with("mod.rs") {
            continue;
        }
        if let Some(fault) = face_fault(&file) {
            faults.push(format!("src/{}: {fault}", file.path));
        }
    }
    report(faults);
}

#[test]
fn nothing_is_left_half_done() {
    let mut faults = Vec::new();
    for folder in EVERYWHERE {
        for file in sources(folder) {
            for name in ["todo!", "unimplemented!", "dbg!"] {
                for at in finds(&file.code, name) {
                    let line = line_of(&file.code, at);
                    faults.push(format!("{folder}/{}:{line}: {name}", file.path));
                }
            }
        }
    }
    report(faults);
}

#[test]
fn a_real_sleep_gives_its_reason() {
    let mut faults = Vec::new();
    for folder in ["tests", "examples", "ecosystem/examples"] {
        for file in sources(folder) {
            let lines: Vec<&str> = file.text.lines().collect();
            for at in finds(&file.code, "thread::sleep") {
                let n = line_of(&file.code, at) - 1;
                let beside = &lines[n.saturating_sub(1)..=n];
                let imported = lines[n].trim_start().starts_with("use ");
                if !imported && !beside.iter().any(|line| line.contains("// real sleep: ")) {
                    faults.push(format!(
                        "{folder}/{}:{}: thread::sleep without `// real sleep: reason` beside it",
                        file.path,
                        n + 1
                    ));
                }
            }
        }
    }
    report(faults);
}

#[test]
fn the_reader_of_sources_sees_code_only() {
    let text =
        "a // unsafe\n/* unsafe /* x */ */ b \"unsafe \\\" \" r#\"unsafe\"# 'u' '\\'' <'a> c";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(finds(&code, "unsafe").count(), 0);
    let left: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(left, ["a", "b", "<'a>", "c"]);
    assert_eq!(
        finds("unsafe_code; not_unsafe; unsafe {}", "unsafe").count(),
        1
    );

    let paths =
        |code: &str| -> Vec<String> { crate_paths(code).into_iter().map(|p| p.1).collect() };
    assert_eq!(
        paths("use crate::a::b as c; use crate::{d::{e, f as g}, h::*}; $crate::i; crate::j(k)"),
        ["a::b", "d::e", "d::f", "h::*", "j"]
    );
    assert_eq!(floor("net/tcp"), Some(8));
    assert_eq!(floor("net/server"), Some(9));
    assert_eq!(floor("nets"), None);
}
