//! A program built with `panic = "abort"`: it runs, ends, and aborts only at a panic of its own.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

#[test]
#[cfg_attr(
    any(gl_asan, not(target_os = "linux")),
    ignore = "it builds a program of its own"
)]
fn a_program_that_aborts_on_panic_works() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/abort");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abort");
    // Others may run this test at the same time, in the same folders: let go of at the end.
    let turn = File::create(target.with_extension("turn")).expect("a file to lock");
    turn.lock().expect("a turn");
    // The lock file of the library serves, so nothing is fetched.
    let lock = folder.join("Cargo.lock");
    std::fs::copy(folder.join("../../../Cargo.lock"), &lock).expect("a copy of the lock file");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--jobs", "2"])
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
    let program = target.join("debug/greenloom-abort");
    let output = Command::new(&program).output().expect("the program");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"all is well\n");
    let output = Command::new(&program)
        .arg("panic")
        .output()
        .expect("the program");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("note: in task"), "{stderr}");
}
