//! Bounding how long something may take.

use std::time::{Duration, Instant};
use std::{error, fmt, io};

use crate::base::clock::Deadline;
use crate::scheduler::park;
use crate::task::{Expired, shield, until};

/// The time was over before the work was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Debug for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elapsed")
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time-out expired")
    }
}

impl error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(error: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

impl From<Expired> for Elapsed {
    fn from(_: Expired) -> Elapsed {
        Elapsed(())
    }
}

/// Runs `f`, which is unwound from its first wait at or after `limit`; all its destructors have run when
/// this returns.
///
/// A zero `limit` never starts `f`. A value that `f` comes to wins over the expiry, whenever it comes; so
/// does `f`'s own panic. Of nested time-outs that expire together only the outermost reports. Code that
/// does not wait is not interrupted; [`checkpoint`](crate::task::checkpoint) lets it be.
///
/// On a plain thread `f` cannot be unwound: it runs to its end, and its value is returned. Use the
/// `_timeout` forms of the waits there.
///
/// The semantics are those of asyncio's `timeout()`, by unwinding instead of an exception.
///
/// # Errors
///
/// [`Elapsed`].
///
/// # Parks
///
/// As `f` does.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenloom::{sleep, timeout};
/// # greenloom::run(|| {
/// assert!(timeout(Duration::from_millis(1), || sleep(Duration::MAX)).is_err());
/// assert_eq!(timeout(Duration::from_secs(1), || 7), Ok(7));
/// # });
/// ```
#[track_caller]
pub fn timeout<T>(limit: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    if limit.is_zero() {
        return Err(Elapsed(()));
    }
    Ok(until(park::deadline(limit), f)?)
}

/// As [`timeout`], with the time at which it expires; one that has passed never starts `f`.
///
/// # Errors
///
/// [`Elapsed`].
#[track_caller]
pub fn deadline<T>(at: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let at = Deadline::from_instant(at);
    if at.is_due(park::now()) {
        return Err(Elapsed(()));
    }
    Ok(until(at, f)?)
}

/// Runs `f` where nothing from outside reaches it, as [`shield`] does, but no longer than `limit`: the budget of
/// a clean-up.
///
/// A cancelled task's destructors may wait as long as they like, and whoever joins the task waits for them. A
/// destructor that talks to somebody else says by this how long it is ready to: `f` is unwound from its
/// first wait at or after the limit, all within the destructor.
///
/// As Trio's `move_on_after(limit, shield=True)`.
///
/// # Errors
///
/// [`Elapsed`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenloom::time::shield_for;
///
/// /// Says goodbye, if that is to be had within a second.
/// struct Polite;
/// impl Drop for Polite {
///     fn drop(&mut self) {
///         let said = shield_for(Duration::from_secs(1), || greenloom::sleep(Duration::MAX));
///         assert!(said.is_err());
///     }
/// }
/// greenloom::Runtime::builder().virtual_clock().run(|| {
///     let task = greenloom::spawn(|| {
///         let _goodbye = Polite;
///         greenloom::park();
///     });
///     greenloom::yield_now();
///     let begun = greenloom::time::now();
///     assert!(task.cancel_and_join().unwrap_err().is_cancelled());
///     assert_eq!(greenloom::time::now() - begun, Duration::from_secs(1));
/// }).unwrap();
/// ```
#[track_caller]
pub fn shield_for<T>(limit: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    shield(|| timeout(limit, f))
}
