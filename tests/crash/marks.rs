//! Which programs take themselves for children that are to run functions: only those whose parent has said so.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The mark in the environment.
fn name() -> String {
    format!("GREENLOOM_PROCESS_{}", env!("CARGO_PKG_VERSION"))
}

/// What this program, asked for its list of tests, says when it is marked as a child, with that standard input.
fn list_with(mark: &str, stdin: Stdio, through_a_shell: bool) -> String {
    let own = std::env::current_exe().unwrap();
    let mut command = match through_a_shell {
        false => Command::new(&own),
        true => {
            // The program is the shell's child, and no longer ours.
            let mut shell = Command::new("sh");
            shell.args(["-c", "\"$0\" \"$@\"; true"]).arg(&own);
            shell
        }
    };
    let output = command
        .args(["--list", "--exact", "no_such_test"])
        .env(name(), mark)
        .stdin(stdin);
    String::from_utf8_lossy(&output.output().unwrap().stdout).into_owned()
}

#[test]
fn a_mark_that_no_parent_of_ours_has_set_is_ignored() {
    let is_main = |said: String| assert!(said.contains("0 tests"), "{said}");
    for mark in ["", "1", "-1", "99999999999", "one", "1 1"] {
        is_main(list_with(mark, Stdio::null(), false));
        is_main(list_with(mark, Stdio::piped(), false));
        is_main(list_with(
            mark,
            fs::File::open("/etc/passwd").unwrap().into(),
            false,
        ));
        // A socket of somebody who is not its parent.
        let (_ours, theirs) = UnixStream::pair().unwrap();
        is_main(list_with(mark, OwnedFd::from(theirs).into(), true));
        // An internet socket.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        is_main(list_with(mark, OwnedFd::from(listener).into(), false));
    }
    for mark in ["", "-1", "99999999999", "one"] {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        is_main(list_with(mark, OwnedFd::from(theirs).into(), false));
    }
    // By its parent, who then has nothing to say: it ends, and main is not run.
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(list_with("1", OwnedFd::from(theirs).into(), false), "");
}

/// Somebody who has no rights worth speaking of.
const NOBODY: u32 = 65534;

/// A copy of this program that belongs to somebody else, removed in the end.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Copy {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(format!("set-id-{}", std::process::id()));
        fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        Copy(path)
    }

    /// Runs it, marked as a child by its parent, from a user's shell so to speak; what it said on the socket on which
    /// a child would speak first, and what on its output.
    fn run(&self, mode: u32) -> (Vec<u8>, String) {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let child = Command::new(&self.0)
            .args(["--list", "--exact", "no_such_test"])
            .env(name(), "1")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut hello = Vec::new();
        ours.read_to_end(&mut hello).unwrap();
        let output = child.wait_with_output().unwrap();
        (hello, String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether a program may be given rights that its caller has not.
fn may_give_rights(copy: &Copy) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mount = rustix::fs::statvfs(&copy.0).unwrap();
    status.contains("NoNewPrivs:\t0")
        && !mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID)
        && chown(&copy.0, Some(NOBODY), Some(NOBODY)).is_ok()
}

#[test]
#[cfg_attr(gl_tsan, ignore = "the sanitizer begins such a program anew")]
fn a_program_with_more_rights_than_its_caller_trusts_no_mark() {
    let copy = Copy::new();
    if crate::child::is_emulated() || !may_give_rights(&copy) {
        return println!("no rights to make a program with rights: left out");
    }
    // The same mark and the same socket, of the same parent, who is the user.
    let (hello, said) = copy.run(0o755);
    assert!(!hello.is_empty() && said.is_empty(), "{hello:?} {said}");
    for set_id in [0o4755, 0o2755] {
        let (hello, said) = copy.run(set_id);
        assert!(hello.is_empty(), "it spoke: {hello:?}");
        assert!(said.contains("0 tests"), "main was run: {said}");
    }
}
