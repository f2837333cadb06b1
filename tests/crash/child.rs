//! Runs a closure in a child process: this same test binary, asked for the same test again.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Set in a child, to the name of the test that it is a child of.
const MARK: &str = "GREENLOOM_CRASH_CHILD";

/// What stands before the program in a child's command line; `ci/arm` sets it.
const EMULATOR: &str = "GREENLOOM_TEST_EMULATOR";

/// How a child ended.
#[derive(Debug)]
#[allow(dead_code, reason = "a test looks at what matters to it")]
pub(crate) struct Outcome {
    /// The exit code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A child to be run.
#[derive(Debug, Default)]
pub(crate) struct Child {
    env: Vec<(&'static str, String)>,
    /// A line for the shell, run before the child.
    limit: Option<String>,
}

/// Whether an emulator runs this: its own threads, memory and time then count as the program's.
pub(crate) fn is_emulated() -> bool {
    std::env::var_os(EMULATOR).is_some()
}

/// Runs `body` in a child with nothing special about it.
pub(crate) fn run<F: FnOnce()>(body: F) -> Outcome {
    Child::default().run(body)
}

impl Child {
    pub(crate) fn env(mut self, key: &'static str, value: &str) -> Child {
        self.env.push((key, value.to_owned()));
        self
    }

    /// `line` is for the shell, as in `ulimit -v 500000`.
    pub(crate) fn limit(mut self, line: &str) -> Child {
        self.limit = Some(line.to_owned());
        self
    }

    /// Runs `body` in a child and tells how it ended: with code 0 if `body` returned.
    ///
    /// Call it from the test function itself, once: the child finds its way here by the test's name,
    /// which is taken from the name of the closure's type.
    pub(crate) fn run<F: FnOnce()>(self, body: F) -> Outcome {
        let test = test_name::<F>();
        if std::env::var(MARK).is_ok_and(|name| name == test) {
            // SAFETY: sets a timer, nothing else: a child that hangs ends by SIGALRM.
            unsafe { libc::alarm(100) };
            body();
            std::process::exit(0);
        }
        let exe = std::env::current_exe().expect("the path of this binary");
        // An emulator and its options, where this binary is not for the processor it runs on.
        let emulator = std::env::var(EMULATOR).unwrap_or_default();
        let limit = self.limit.map_or_else(String::new, |line| line + " && ");
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{limit}exec {emulator} \"$0\" \"$@\""))
            .arg(exe);
        let output = command
            .args(["--exact", &test, "--nocapture", "--test-threads=1"])
            .env(MARK, &test)
            .env_remove("RUST_BACKTRACE")
            .envs(self.env)
            .output()
            .expect("a child");
        Outcome {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// `crash::overflow::a_test::{{closure}}` is the closure of the test `overflow::a_test`.
fn test_name<F>() -> String {
    let path = std::any::type_name::<F>();
    let path = path.split("::{{closure}}").next().unwrap_or(path);
    path.split_once("::")
        .map_or(path, |(_crate, rest)| rest)
        .to_owned()
}

impl Outcome {
    /// The child came to its end without complaint.
    #[track_caller]
    pub(crate) fn assert_success(&self) {
        assert_eq!(self.code, Some(0), "{self:#?}");
    }
}
