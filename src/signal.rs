//! Signals of the system as things to wait for.
//!
//! A signal handler may do next to nothing; a task that waits for a signal may do anything. [`Signals`]
//! catches what it is asked to and hands it to whoever waits, a task or a plain thread; [`ctrl_c`] is the
//! short form for the commonest one.
//!
//! What to know about signals caught here:
//!
//! * **They coalesce.** A signal that comes ten times before it is received is received once, or more often,
//!   but not ten times: it says "look", not "count". So does the system with its own.
//! * **Every [`Signals`] gets its own.** Two that catch the same signal both receive it; two waiters of one
//!   do not, they take turns.
//! * **Handlers of others stay.** Whoever stood there before, in C or by another crate, is called first, as
//!   ever. SIGCHLD too is only noted, and no child is waited for because of it.
//! * **Nothing is restored.** From the first [`Signals`] that catches it, a signal no longer has its default
//!   effect, not even when that [`Signals`] is closed and dropped: a program that has once waited for
//!   SIGTERM must end by itself when it comes.
//! * **It is no deadlock to wait for one.** It may always come.
//! * A task is not interrupted by a signal, nor is its system call: only who receives learns of it.
//!
//! The handlers are those of the crate signal-hook, with which this shares the process in peace. They run
//! on the stack of whatever task is interrupted, and need about a kilobyte of it, beside what the processor
//! saves there (up to eleven, with the widest registers).

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::driver::registration::Direction;
use crate::driver::signals::{Catcher, is_forbidden};
use crate::io::line::Line;
use crate::io::{Evented, Limit, aim};

/// A signal, by its number.
///
/// # Examples
///
/// ```
/// use greenloom::signal::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_raw(15), Some(Signal::TERM));
/// assert_eq!(Signal::from_raw(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

macro_rules! signals {
    ($($name:ident = $number:ident, $what:literal;)*) => {
        impl Signal {
            $(#[doc = concat!("`", stringify!($number), "`: ", $what)]
            pub const $name: Signal = Signal(libc::$number);)*

            /// Its name, as in `SIGTERM`; `None` for one that has none here, such as a real-time signal.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Signal::$name => Some(stringify!($number)),)*
                    _ => None,
                }
            }
        }
    };
}

signals! {
    HUP = SIGHUP, "the terminal is gone; to a server by custom: read the settings again.";
    INT = SIGINT, "Ctrl-C.";
    QUIT = SIGQUIT, "Ctrl-\\, with a core dump.";
    ILL = SIGILL, "an instruction that is none. Cannot be caught here.";
    TRAP = SIGTRAP, "a breakpoint.";
    ABRT = SIGABRT, "the program gives up.";
    BUS = SIGBUS, "memory that is not there. Cannot be caught here.";
    FPE = SIGFPE, "arithmetic without a result. Cannot be caught here.";
    KILL = SIGKILL, "ends the process at once. Cannot be caught.";
    USR1 = SIGUSR1, "for the program's own use.";
    SEGV = SIGSEGV, "an access to memory that is not allowed. Cannot be caught here.";
    USR2 = SIGUSR2, "for the program's own use.";
    PIPE = SIGPIPE, "a write to a pipe that nobody reads. Rust programs ignore it from the start.";
    ALRM = SIGALRM, "an alarm clock.";
    TERM = SIGTERM, "the polite request to end.";
    CHLD = SIGCHLD, "a child has ended or stopped.";
    CONT = SIGCONT, "go on after a stop.";
    STOP = SIGSTOP, "stops the process. Cannot be caught.";
    TSTP = SIGTSTP, "Ctrl-Z.";
    TTIN = SIGTTIN, "a background process wants to read from the terminal.";
    TTOU = SIGTTOU, "a background process wants to write to the terminal.";
    URG = SIGURG, "urgent data at a socket.";
    XCPU = SIGXCPU, "the limit of processor time.";
    XFSZ = SIGXFSZ, "the limit of a file's size.";
    VTALRM = SIGVTALRM, "a timer of processor time.";
    PROF = SIGPROF, "a profiler's timer.";
    WINCH = SIGWINCH, "the window of the terminal has another size.";
    IO = SIGIO, "a descriptor is ready.";
    SYS = SIGSYS, "a system call that is none.";
}

impl Signal {
    /// The signal with this number, if there can be one.
    pub fn from_raw(number: i32) -> Option<Signal> {
        // What Linux has, real-time signals included; elsewhere there are fewer, and the system says so.
        (1..=64).contains(&number).then_some(Signal(number))
    }

    /// Its number, as in `libc`.
    pub fn as_raw(self) -> i32 {
        self.0
    }

    /// Whether [`Signals`] refuses it: the system does not let it be caught, or it tells of a fault of the
    /// program that a handler cannot go on from.
    pub fn is_forbidden(self) -> bool {
        is_forbidden(self.0)
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> i32 {
        signal.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why signals cannot be caught.
#[derive(Debug)]
#[non_exhaustive]
pub enum SignalError {
    /// This one is [never](Signal::is_forbidden) caught.
    Forbidden(Signal),
    /// The system's answer: no descriptor is left, or it knows no such signal.
    Io(io::Error),
}

impl fmt::Display for SignalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignalError::Forbidden(signal) => write!(f, "{signal} cannot be caught"),
            SignalError::Io(error) => write!(f, "cannot catch signals: {error}"),
        }
    }
}

impl std::error::Error for SignalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SignalError::Forbidden(_) => None,
            SignalError::Io(error) => Some(error),
        }
    }
}

impl From<SignalError> for io::Error {
    fn from(error: SignalError) -> io::Error {
        let kind = match &error {
            SignalError::Forbidden(_) => io::ErrorKind::InvalidInput,
            SignalError::Io(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// Some signals, caught from now on and received one after the other.
///
/// See the [module](self) for what catching means. It takes three descriptors. Several tasks and threads
/// may receive from one; each signal goes to one of them, in the order in which they came.
///
/// As Go's `signal.Notify` with a channel, except that a signal is never dropped because a buffer is full:
/// it is noted until somebody takes it.
///
/// # Examples
///
/// ```
/// use greenloom::signal::{Signal, Signals};
///
/// # greenloom::run(|| {
/// let signals = Signals::new([Signal::HUP, Signal::USR1])?;
/// # fn raise(_: Signal) { rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap() }
/// raise(Signal::HUP);
/// assert_eq!(signals.recv()?, Signal::HUP);
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Signals {
    io: Evented<Catcher>,
    line: Line,
}

impl Signals {
    /// Catches these signals from now on.
    ///
    /// # Errors
    ///
    /// [`SignalError::Forbidden`], before any is caught; [`SignalError::Io`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenloom::signal::{Signal, SignalError, Signals};
    ///
    /// let error = Signals::new([Signal::USR2, Signal::KILL]).unwrap_err();
    /// assert!(matches!(error, SignalError::Forbidden(Signal::KILL)));
    /// assert_eq!(error.to_string(), "SIGKILL cannot be caught");
    /// ```
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> Result<Signals, SignalError> {
        let signals: Vec<Signal> = signals.into_iter().collect();
        if let Some(&signal) = signals.iter().find(|signal| signal.is_forbidden()) {
            return Err(SignalError::Forbidden(signal));
        }
        let numbers: Vec<i32> = signals.into_iter().map(Signal::as_raw).collect();
        let catcher = Catcher::new(&numbers).map_err(SignalError::Io)?;
        Ok(Signals {
            io: Evented::from_nonblocking(catcher),
            line: Line::default(),
        })
    }

    /// Waits for the next signal.
    ///
    /// # Errors
    ///
    /// `NotConnected` after [`close`](Self::close); what the system's poller returns.
    ///
    /// # Cancellation
    ///
    /// Unwinds out of the wait; no signal is lost.
    ///
    /// # Parks
    ///
    /// When none has come (`signal.recv`), or others wait already (`signal.line`).
    #[track_caller]
    pub fn recv(&self) -> io::Result<Signal> {
        self.recv_within(Limit::Never)
    }

    /// As [`recv`](Self::recv), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As there, and `ErrorKind::TimedOut`.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> io::Result<Signal> {
        self.recv_within(Limit::Within(timeout))
    }

    #[track_caller]
    fn recv_within(&self, limit: Limit) -> io::Result<Signal> {
        let (_turn, limit) = self.line.enter("signal.line", self.io.as_fd(), limit)?;
        let aim = aim(Direction::Read, "signal.recv", limit);
        self.io.operate(aim, Catcher::take, |_| false).map(Signal)
    }

    /// The next signal if one has come; never waits. `None` also when it is closed.
    pub fn try_recv(&self) -> Option<Signal> {
        if self.is_closed() {
            return None;
        }
        let signal = self.io.get_ref().take().ok().map(Signal);
        if self.is_closed() {
            // The byte that `close` has left for a plain thread may have been taken just now.
            self.io.get_ref().nudge();
        }
        signal
    }

    /// The signals, one after the other, as [`recv`](Self::recv) gives them. It ends when this is
    /// [closed](Self::close), and at the first other error, which is logged.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use greenloom::signal::{Signal, Signals};
    ///
    /// let signals = Signals::new([Signal::HUP, Signal::TERM])?;
    /// for signal in &signals {
    ///     match signal {
    ///         Signal::HUP => println!("reads its settings again"),
    ///         _ => break,
    ///     }
    /// }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter { signals: self }
    }

    /// Ends all waits here, on tasks and on plain threads: they and all later ones get `NotConnected`.
    ///
    /// The signals stay caught until this is dropped, and keep their lost default effects for ever.
    pub fn close(&self) {
        self.io.close();
        // For plain threads, which wait for the descriptor alone.
        self.io.get_ref().nudge();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.io.is_closed()
    }
}

impl<'a> IntoIterator for &'a Signals {
    type Item = Signal;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The signals that come: see [`Signals::iter`].
#[derive(Debug)]
pub struct Iter<'a> {
    signals: &'a Signals,
}

impl Iterator for Iter<'_> {
    type Item = Signal;

    #[track_caller]
    fn next(&mut self) -> Option<Signal> {
        match self.signals.recv() {
            Ok(signal) => Some(signal),
            Err(error) => {
                if !self.signals.is_closed() {
                    log::error!("cannot wait for signals: {error}");
                }
                None
            }
        }
    }
}

/// Waits for the next Ctrl-C, more exactly for the next SIGINT that comes after the call.
///
/// Everybody who waits here is woken by it. From the first call on, Ctrl-C no longer ends the program by
/// itself. One that comes between two calls goes unnoticed: a program that wants each of them keeps a
/// [`Signals`].
///
/// # Errors
///
/// When there is no descriptor left.
///
/// # Cancellation
///
/// Unwinds.
///
/// # Parks
///
/// Always (`signal.recv`).
///
/// # Examples
///
/// ```no_run
/// greenloom::run(|| {
///     let server = greenloom::spawn(|| { /* serves */ });
///     greenloom::signal::ctrl_c()?;
///     server.cancel();
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([Signal::INT])?.recv().map(drop)
}
