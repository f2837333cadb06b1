//! Sections that stand under a token: one from outside, or one of their own, with a deadline that can be moved.

use std::error::Error;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use crate::base::clock::Deadline;
use crate::scheduler::current;
use crate::scheduler::park;

use super::cancel::within;
use super::token::{CancelToken, Reason};

/// A section was unwound because its token was cancelled or its deadline passed.
#[derive(Clone, Debug)]
pub struct ScopeCancelled {
    is_elapsed: bool,
    reason: Option<Reason>,
}

impl ScopeCancelled {
    fn of(token: &CancelToken) -> Self {
        ScopeCancelled {
            is_elapsed: !token.is_cancelled(),
            reason: token.reason(),
        }
    }

    /// Whether it was the scope's deadline, and nobody cancelled it.
    pub fn is_elapsed(&self) -> bool {
        self.is_elapsed
    }

    /// Why it was cancelled, if it was and somebody said why.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }
}

impl fmt::Display for ScopeCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "the scope was cancelled: {reason}"),
            None if self.is_elapsed => f.write_str("the scope's deadline passed"),
            None => f.write_str("the scope was cancelled"),
        }
    }
}

impl Error for ScopeCancelled {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.as_ref().map(|reason| reason as _)
    }
}

impl From<ScopeCancelled> for io::Error {
    fn from(error: ScopeCancelled) -> io::Error {
        let kind = if error.is_elapsed {
            io::ErrorKind::TimedOut
        } else {
            io::ErrorKind::Other
        };
        io::Error::new(kind, error)
    }
}

/// Runs `f`, which is unwound from its present or next wait when the token is cancelled; all its
/// destructors have run when this returns.
///
/// A token that is cancelled already never starts `f`. A value that `f` comes to wins over the
/// cancellation, whenever it comes; so does `f`'s own panic. Inside a cancelled scope every wait unwinds,
/// not only the first, until the scope is left; [`shield`](super::shield) keeps it out. Of nested scopes and
/// time-outs that are due together only the outermost reports.
///
/// On a plain thread `f` cannot be unwound: it runs to its end, and its value is returned.
///
/// # Errors
///
/// [`ScopeCancelled`], with the token's reason.
///
/// # Panics
///
/// A [`suspend`](crate::coroutine::suspend) inside `f`, of a generator or coroutine that has entered the
/// scope, panics: the scope would be left in another order than it was entered.
///
/// # Parks
///
/// As `f` does.
///
/// # Examples
///
/// ```
/// use greenloom::task::{CancelToken, with_token};
/// # greenloom::run(|| {
/// let token = CancelToken::new();
/// assert_eq!(with_token(&token, || 7).unwrap(), 7);
/// token.cancel();
/// assert!(with_token(&token, || 7).is_err());
/// # });
/// ```
#[track_caller]
pub fn with_token<T>(token: &CancelToken, f: impl FnOnce() -> T) -> Result<T, ScopeCancelled> {
    if token.is_cancelled() {
        return Err(ScopeCancelled::of(token));
    }
    under("with_token", token, |_| f())
}

fn under<T>(
    what: &'static str,
    token: &CancelToken,
    f: impl FnOnce(u64) -> T,
) -> Result<T, ScopeCancelled> {
    // Without one it has just been cancelled: `f` runs to its first wait.
    let _watch = token.watch(park::current_waker());
    within(what, Deadline::NEVER, Some(token.flag()), f).map_err(|_| ScopeCancelled::of(token))
}

/// A section that can be cancelled, and given a deadline, while it runs: see [`cancel_scope`].
#[derive(Debug)]
pub struct CancelScope {
    token: CancelToken,
    id: u64,
    /// The deadline stands in the record of the task that has entered the scope: not for other threads.
    stays: PhantomData<*const ()>,
}

impl CancelScope {
    /// Cancels the scope: its next wait unwinds, and every one after it. True if it was not before.
    pub fn cancel(&self) -> bool {
        self.token.cancel()
    }

    /// As [`cancel`](Self::cancel), and says why.
    pub fn cancel_with(&self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> bool {
        self.token.cancel_with(reason)
    }

    /// Whether it was cancelled; says nothing of the deadline.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The token that cancels this scope, to be cloned for other tasks and threads.
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Unwinds the scope from its first wait at or after this time, instead of the one said before.
    pub fn set_deadline(&self, at: Instant) {
        self.move_to(Deadline::from_instant(at));
    }

    /// As [`set_deadline`](Self::set_deadline), for a time that lies so far ahead; `Duration::MAX` is never.
    pub fn set_timeout(&self, limit: Duration) {
        self.move_to(park::deadline(limit));
    }

    fn move_to(&self, at: Deadline) {
        current::with_local(|local| {
            if let Some(local) = local {
                local.set_deadline(self.id, at);
            }
        });
    }
}

/// Runs `f` in a scope that it may itself cancel or give a deadline to, or let others cancel by
/// [`CancelScope::token`].
///
/// For the rest as [`with_token`]. As Trio's `CancelScope`, and asyncio's `timeout()` with `reschedule`.
///
/// # Errors
///
/// [`ScopeCancelled`]: the scope was cancelled, or its deadline passed, before `f` came to a value.
///
/// # Examples
///
/// A limit that begins anew with each sign of life:
///
/// ```
/// use greenloom::task::cancel_scope;
/// use std::time::Duration;
/// let idle = Duration::from_secs(60);
/// let result = greenloom::Runtime::builder().virtual_clock().run(|| {
///     cancel_scope(|scope| {
///         for pause in [50, 50, 50, 90] {
///             scope.set_timeout(idle);
///             greenloom::sleep(Duration::from_secs(pause));
///         }
///     })
/// });
/// assert!(result.unwrap().unwrap_err().is_elapsed());
/// ```
#[track_caller]
pub fn cancel_scope<T>(f: impl FnOnce(&CancelScope) -> T) -> Result<T, ScopeCancelled> {
    let token = CancelToken::new();
    under("cancel_scope", &token, |id| {
        f(&CancelScope {
            token: token.clone(),
            id,
            stays: PhantomData,
        })
    })
}
