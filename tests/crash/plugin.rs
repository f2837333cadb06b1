//! Greenloom where a linker has been at work: in a library that a program loads, and in a lean program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the library and the programs are.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/plugin");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin");
        // The lock file of the library serves, so nothing is fetched.
        let lock = folder.join("Cargo.lock");
        std::fs::copy(folder.join("../../../Cargo.lock"), &lock).expect("a copy of the lock file");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--offline", "--jobs", "2"])
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .output()
            .expect("cargo");
        std::fs::remove_file(&lock).expect("the copy");
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        target.join("release")
    })
}

#[test]
#[cfg_attr(
    any(gl_asan, not(target_os = "linux")),
    ignore = "it builds a library and a program of its own"
)]
fn in_a_loaded_library_processes_are_refused_and_all_else_works() {
    // Also with a mark that nobody's parent has set.
    for mark in [None, Some("1")] {
        let mut host = Command::new(built().join("host"));
        let name = concat!("GREENLOOM_PROCESS_", env!("CARGO_PKG_VERSION"));
        host.arg(built().join("libgreenloom_plugin.so"))
            .stdin(Stdio::null())
            .envs(mark.map(|mark| (name, mark)));
        let output = host.output().expect("the program");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        let lines: Vec<&str> = stdout.lines().collect();
        let [main, init, spawn, pool, tasks, end] = lines[..] else {
            panic!("{stdout}");
        };
        assert_eq!((main, end), ("main", "end of main"));
        assert!(init.contains("library that was loaded"), "{init}");
        assert_eq!(spawn, "spawn: Unsupported");
        assert_eq!(pool, "pool: Unsupported");
        assert_eq!(tasks, "tasks: 42");
    }
}

#[test]
#[cfg_attr(
    any(gl_asan, not(target_os = "linux")),
    ignore = "it builds a library and a program of its own"
)]
fn a_stripped_program_that_uses_its_input_has_children_and_its_constructors_run_in_them() {
    let mut lean = Command::new(built().join("lean"));
    lean.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut lean = lean.spawn().expect("the program");
    let mut input = lean.stdin.take().expect("its input");
    input.write_all(b"what was typed\n").expect("a reader");
    drop(input);
    let output = lean.wait_with_output().expect("its output");
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout, "what was typed and true\na word\n");
}
