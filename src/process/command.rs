//! What to run and how: std's builder, with green children.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use std::{error, fmt};

use super::child::Child;

/// A program to be run, with its arguments, environment and standard streams.
///
/// As [`std::process::Command`], and what [`CommandExt`] adds to it, but for what is `unsafe`. The calls
/// that wait for the program suspend the task alone.
///
/// Starting a program takes a tenth of a millisecond, for which the worker stands still: handing the job to
/// another thread and back would take about as long. With [`uid`](Self::uid) or [`gid`](Self::gid) std has to fork
/// the whole process, which takes tens of milliseconds for each gigabyte in use; a program of that kind calls
/// [`spawn`](Self::spawn) inside [`unblock`](crate::unblock).
///
/// # Examples
///
/// ```
/// use greenloom::process::Command;
///
/// # greenloom::run(|| {
/// let output = Command::new("echo").arg("hello").output()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"hello\n");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub struct Command {
    inner: std::process::Command,
    /// Which of the three standard streams the user has set; std has other defaults for each way to run it.
    is_set: [bool; 3],
    kill_on_drop: bool,
}

/// What std's error does not say: which program could not be started, and where.
#[derive(Debug)]
struct StartError {
    what: String,
    source: io::Error,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start {}: {}", self.what, self.source)
    }
}

impl error::Error for StartError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}

const STDIN: usize = 0;
const STDOUT: usize = 1;
const STDERR: usize = 2;

impl Command {
    /// A program, by its path or by a name that is looked for in `PATH`; without arguments, with our
    /// environment and in our directory.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command {
            inner: std::process::Command::new(program),
            is_set: [false; 3],
            kill_on_drop: false,
        }
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(args);
        self
    }

    /// The name that the program finds as its argument zero, instead of its own.
    pub fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.inner.arg0(arg);
        self
    }

    /// Sets a variable of its environment.
    pub fn env<K, V>(&mut self, key: K, value: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.env(key, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(vars);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Gives it an empty environment, but for what is set later.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// The directory that it starts in.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.inner.current_dir(dir);
        self
    }

    /// Its standard input: ours by default; nothing with [`output`](Self::output).
    pub fn stdin<T: Into<Stdio>>(&mut self, stdin: T) -> &mut Command {
        self.is_set[STDIN] = true;
        self.inner.stdin(stdin);
        self
    }

    /// Its standard output: ours by default; captured with [`output`](Self::output).
    pub fn stdout<T: Into<Stdio>>(&mut self, stdout: T) -> &mut Command {
        self.is_set[STDOUT] = true;
        self.inner.stdout(stdout);
        self
    }

    /// Its standard error: ours by default; captured with [`output`](Self::output).
    pub fn stderr<T: Into<Stdio>>(&mut self, stderr: T) -> &mut Command {
        self.is_set[STDERR] = true;
        self.inner.stderr(stderr);
        self
    }

    /// The user that it runs as.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.inner.uid(id);
        self
    }

    /// The group that it runs as.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.inner.gid(id);
        self
    }

    /// The process group that it joins; 0 for a new one of its own, to which Ctrl-C at the terminal does not
    /// go.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.inner.process_group(group);
        self
    }

    /// Whether the program is killed (SIGKILL) when its [`Child`] is dropped before it has ended; its
    /// children are not. Off by default, as in std.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the program. Its streams are ours, but for what was set.
    ///
    /// # Errors
    ///
    /// When it cannot be started: `NotFound` when there is no such program. The text names it, and
    /// [`source`](std::error::Error::source) is the system's own error.
    ///
    /// # Parks
    ///
    /// Never; see [`Command`] for how long it takes.
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.spawn_with([Stdio::inherit, Stdio::inherit, Stdio::inherit])
    }

    /// Starts the program with its streams ours, and waits for its end.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # Cancellation
    ///
    /// Unwinds; the program goes on, unless [`kill_on_drop`](Self::kill_on_drop) is set.
    ///
    /// # Parks
    ///
    /// Until it has ended (`process.wait`).
    #[track_caller]
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Runs the program to its end and captures what it writes, without input.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    ///
    /// # Cancellation
    ///
    /// Unwinds; the program goes on, unless [`kill_on_drop`](Self::kill_on_drop) is set.
    ///
    /// # Parks
    ///
    /// Until its output has ended (`process.communicate`), and it has (`process.wait`).
    #[track_caller]
    pub fn output(&mut self) -> io::Result<Output> {
        self.spawn_with([Stdio::null, Stdio::piped, Stdio::piped])?
            .wait_with_output()
    }

    /// Starts it with these streams where the user has set none.
    fn spawn_with(&mut self, defaults: [fn() -> Stdio; 3]) -> io::Result<Child> {
        let [stdin, stdout, stderr] = defaults;
        if !self.is_set[STDIN] {
            self.inner.stdin(stdin());
        }
        if !self.is_set[STDOUT] {
            self.inner.stdout(stdout());
        }
        if !self.is_set[STDERR] {
            self.inner.stderr(stderr());
        }
        let child = self.inner.spawn().map_err(|error| self.explain(error))?;
        Child::new(child, self.kill_on_drop)
    }

    /// For a pipeline: these streams for one start, and none set afterwards, so that our copies of the
    /// pipes between the programs are closed.
    pub(super) fn spawn_between(
        &mut self,
        stdin: Option<Stdio>,
        stdout: Option<Stdio>,
    ) -> io::Result<Child> {
        let (has_stdin, has_stdout) = (stdin.is_some(), stdout.is_some());
        if let Some(stdin) = stdin {
            self.stdin(stdin);
        }
        if let Some(stdout) = stdout {
            self.stdout(stdout);
        }
        let child = self.spawn();
        if has_stdin {
            self.stdin(Stdio::inherit());
            self.is_set[STDIN] = false;
        }
        if has_stdout {
            self.stdout(Stdio::inherit());
            self.is_set[STDOUT] = false;
        }
        child
    }

    #[cold]
    fn explain(&self, source: io::Error) -> io::Error {
        let mut what = format!("{:?}", self.get_program());
        if let Some(dir) = self.get_current_dir() {
            what += &format!(" in {dir:?}");
        }
        io::Error::new(source.kind(), StartError { what, source })
    }

    /// Becomes the program, in place of this one: it returns only if that fails. As std's, it ends all
    /// threads and runs no destructors.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    #[must_use = "it returns only when it has failed"]
    pub fn exec(&mut self) -> io::Error {
        let error = self.inner.exec();
        self.explain(error)
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// Its arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// The variables that were set or removed.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The directory that it starts in, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }
}

impl fmt::Debug for Command {
    /// The command line, as std's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
