//! Cancellation from outside: tokens that many may hold, and the scopes that stand under them.
//!
//! A token is a flag, a line of wakers and a list of children, behind one lock that is never held over a
//! wake. A scope under a token leaves its task's waker in that line for as long as it lasts; the flag is
//! what the task's record looks at before and after each wait (`scheduler/cancel.rs`), so nothing is lost
//! between the two: the flag is raised first, and then the waker is used.
//!
//! A child holds its parent; the parent knows the child by a weak reference under a number that the child
//! takes out when it is dropped. Both ways, down at a cancellation and up at a drop, go in a loop: a chain
//! of tokens may be long and stacks are small.

use std::error::Error;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::base::clock::Deadline;
use crate::base::primitive::{Mutex, MutexGuard, lock};
use crate::scheduler::cancel::Flag;
use crate::scheduler::current;
use crate::scheduler::park::{self, Describe, Wait, Wake};

use super::cancel::within;

/// Why something was cancelled: any error, or a text.
#[derive(Clone)]
pub struct Reason {
    error: Arc<dyn Error + Send + Sync>,
}

impl Reason {
    fn new(error: Box<dyn Error + Send + Sync>) -> Self {
        Reason {
            error: error.into(),
        }
    }

    /// The error that was given, if it is of this type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io;
    /// let token = greenloom::task::CancelToken::new();
    /// token.cancel_with(io::Error::other("disk full"));
    /// let reason = token.reason().unwrap();
    /// assert_eq!(reason.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::Other);
    /// assert_eq!(reason.to_string(), "disk full");
    /// ```
    pub fn downcast_ref<T: Error + 'static>(&self) -> Option<&T> {
        self.error.downcast_ref()
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reason").field(&self.error).finish()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// What lies in order of arrival and may leave in any order.
#[derive(Debug)]
struct Line<T> {
    places: Slab<(u64, T)>,
    /// How many have come.
    came: u64,
}

impl<T> Line<T> {
    const fn new() -> Self {
        Line {
            places: Slab::new(),
            came: 0,
        }
    }

    fn join(&mut self, value: T) -> Place {
        self.came += 1;
        let number = self.came;
        Place {
            key: self.places.insert((number, value)),
            number,
        }
    }

    /// `None` when it was taken meanwhile.
    fn leave(&mut self, place: Place) -> Option<T> {
        let is_there =
            matches!(self.places.get(place.key), Some((number, _)) if *number == place.number);
        is_there.then(|| self.places.remove(place.key).1)
    }

    /// All, first come first.
    fn take(&mut self) -> Vec<T> {
        let mut all: Vec<(u64, T)> = std::mem::take(&mut self.places)
            .into_iter()
            .map(|(_, entry)| entry)
            .collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, value)| value).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    key: usize,
    number: u64,
}

#[derive(Debug)]
struct Book {
    reason: Option<Reason>,
    watchers: Line<Waker>,
    children: Line<Weak<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// Raised inside the lock of `book`, so that whoever joins a line there has seen it lowered.
    flag: Arc<Flag>,
    book: Mutex<Book>,
    /// Set before the token is shared, taken at its end.
    parent: OnceLock<(Arc<Inner>, Place)>,
}

impl Inner {
    fn new() -> Inner {
        Inner {
            flag: Arc::default(),
            book: Mutex::new(Book {
                reason: None,
                watchers: Line::new(),
                children: Line::new(),
            }),
            parent: OnceLock::new(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// Cancels this one alone: the children are left to the caller. False if it was before.
    fn cancel(&self, reason: Option<Reason>, children: &mut Vec<Arc<Inner>>) -> bool {
        let (watchers, born) = {
            let mut book = self.book();
            if self.flag.is_raised() {
                return false;
            }
            book.reason = reason;
            self.flag.raise();
            (book.watchers.take(), book.children.take())
        };
        for watcher in watchers {
            watcher.wake();
        }
        // The first born is taken out first.
        children.extend(born.iter().rev().filter_map(Weak::upgrade));
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some((parent, place)) = next {
            let child = parent.book().children.leave(place);
            drop(child);
            // With its own parent taken out, its drop goes no further up.
            next = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

/// Something that can be cancelled once, and told to many: tasks, threads, and scopes that it unwinds.
///
/// Clones are the same token. A [`child`](Self::child) is cancelled with its parent, and alone without it.
/// What is done under a token is up to whoever holds it: [`with_token`] unwinds a section of code from its
/// waits, [`wait`](Self::wait) waits for the cancellation, [`is_cancelled`](Self::is_cancelled) asks.
///
/// As Go's `Context` with its cause, without values; for deadlines there are
/// [`timeout`](crate::timeout) and [`cancel_scope`]. In a [`select!`](macro@crate::select) it stands as `wait(token)`.
///
/// # Examples
///
/// ```
/// use greenloom::task::{CancelToken, with_token};
/// use std::time::Duration;
///
/// # greenloom::run(|| {
/// let stop = CancelToken::new();
/// let theirs = stop.child();
/// let task = greenloom::spawn(move || with_token(&theirs, || greenloom::sleep(Duration::MAX)));
/// stop.cancel_with("the shop closes");
/// let error = task.join().unwrap().unwrap_err();
/// assert_eq!(error.reason().unwrap().to_string(), "the shop closes");
/// # });
/// ```
#[derive(Clone)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

impl CancelToken {
    /// A token that stands alone and is not cancelled.
    pub fn new() -> Self {
        CancelToken {
            inner: Arc::new(Inner::new()),
        }
    }

    /// A token that is cancelled with this one, for the same reason, or before it.
    pub fn child(&self) -> CancelToken {
        let child = CancelToken::new();
        let reason = {
            let mut book = self.inner.book();
            if !self.is_cancelled() {
                let place = book.children.join(Arc::downgrade(&child.inner));
                let link = (self.inner.clone(), place);
                // The child was made here, and nobody else can have set its parent.
                let _ = child.inner.parent.set(link);
                drop(book);
                return child;
            }
            book.reason.clone()
        };
        child.cancel_all(reason);
        child
    }

    /// Cancels it and its children; true if it was not before.
    ///
    /// Never parks. Who waits is woken in the order of coming, the children's after their parent's.
    pub fn cancel(&self) -> bool {
        self.cancel_all(None)
    }

    /// As [`cancel`](Self::cancel), and says why. The reason of the first cancellation stays.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = greenloom::task::CancelToken::new();
    /// assert!(token.cancel_with("first"));
    /// assert!(!token.cancel_with("second"));
    /// assert_eq!(token.reason().unwrap().to_string(), "first");
    /// ```
    pub fn cancel_with(&self, reason: impl Into<Box<dyn Error + Send + Sync>>) -> bool {
        self.cancel_all(Some(Reason::new(reason.into())))
    }

    fn cancel_all(&self, reason: Option<Reason>) -> bool {
        let mut children = Vec::new();
        let is_first = self.inner.cancel(reason.clone(), &mut children);
        while let Some(child) = children.pop() {
            child.cancel(reason.clone(), &mut children);
        }
        is_first
    }

    /// Whether it was cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.inner.flag.is_raised()
    }

    /// Why it was cancelled, if it was and somebody said why.
    pub fn reason(&self) -> Option<Reason> {
        self.inner.book().reason.clone()
    }

    /// Waits until it is cancelled; returns at once if it is.
    ///
    /// # Cancellation
    ///
    /// Unwinds.
    ///
    /// # Parks
    ///
    /// While it is not cancelled (`task.token`).
    #[track_caller]
    pub fn wait(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// As [`wait`](Self::wait), but false when it was not cancelled within `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let token = greenloom::task::CancelToken::new();
    /// assert!(!token.wait_timeout(Duration::from_millis(1)));
    /// token.cancel();
    /// assert!(token.wait_timeout(Duration::ZERO));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_cancelled() || (!timeout.is_zero() && self.wait_until(park::deadline(timeout)))
    }

    #[track_caller]
    fn wait_until(&self, deadline: Deadline) -> bool {
        let Some(_watch) = self.watch(park::current_waker()) else {
            return true;
        };
        let wait = Wait::new("task.token").on(self).until(deadline);
        loop {
            if self.is_cancelled() {
                return true;
            }
            if park::park(&wait) == Wake::TimedOut {
                return self.is_cancelled();
            }
        }
    }

    /// A guard that cancels this token when it is dropped, unless it is disarmed before.
    ///
    /// # Examples
    ///
    /// ```
    /// let token = greenloom::task::CancelToken::new();
    /// drop(token.drop_guard().disarm());
    /// assert!(!token.is_cancelled());
    /// drop(token.drop_guard());
    /// assert!(token.is_cancelled());
    /// ```
    pub fn drop_guard(&self) -> CancelOnDrop {
        CancelOnDrop {
            token: Some(self.clone()),
        }
    }

    /// Has the waker used at the cancellation, unless the result is dropped before; `None` if there was one.
    pub(super) fn watch(&self, waker: Waker) -> Option<Watch<'_>> {
        let mut book = self.inner.book();
        if self.is_cancelled() {
            drop(book);
            return None;
        }
        let place = book.watchers.join(waker);
        Some(Watch {
            inner: &self.inner,
            place,
        })
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken::new()
    }
}

/// Whether both are the same token.
impl PartialEq for CancelToken {
    fn eq(&self, other: &CancelToken) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for CancelToken {}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.is_cancelled())
            .field("reason", &self.reason())
            .finish()
    }
}

impl Describe for CancelToken {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CancelToken that nobody has cancelled")
    }
}

/// A waker in a token's line.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    inner: &'a Inner,
    place: Place,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // The waker is dropped outside of the lock.
        let _waker = self.inner.book().watchers.leave(self.place);
    }
}

/// Cancels its token when it is dropped: see [`CancelToken::drop_guard`].
#[derive(Debug)]
#[must_use = "the token is cancelled when this is dropped"]
pub struct CancelOnDrop {
    /// `None` once disarmed.
    token: Option<CancelToken>,
}

impl CancelOnDrop {
    /// Leaves the token as it is, and gives it back.
    pub fn disarm(mut self) -> CancelToken {
        self.token.take().expect("only `disarm` takes it")
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

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
    let flag = token.inner.flag.clone();
    within(what, Deadline::NEVER, Some(flag), f).map_err(|_| ScopeCancelled::of(token))
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
