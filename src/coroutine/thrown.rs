//! What is thrown into a suspended body instead of a value, and how a body catches it.

use super::unwinding::{self, Payload};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a resumer asks of a suspended body.
pub(super) enum Order {
    /// End now: unwind with a payload that only the body's own root understands.
    Close,
    /// Unwind with this.
    Throw(Payload),
}

impl Order {
    pub(super) fn into_payload(self, identity: usize) -> Payload {
        match self {
            Order::Close => Box::new(Close(identity)),
            Order::Throw(payload) => payload,
        }
    }
}

/// The private payload of an order to close; it names the coroutine that it is meant for.
struct Close(usize);

/// Whether `payload` is the order to close of just this coroutine.
pub(super) fn is_own_close(payload: &Payload, identity: usize) -> bool {
    payload
        .downcast_ref::<Close>()
        .is_some_and(|close| close.0 == identity)
}

/// What [`Yielder::try_suspend`](super::Yielder::try_suspend) returns when the resumer threw an error
/// in, or closes the generator.
///
/// Dropping it means that the body has dealt with it. A body that drops a close should end soon: one
/// that yields again has ignored it, which the closer is told as an error.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::Generator;
///
/// let log = Generator::<String>::new(|y| {
///     let mut line = String::from("ready");
///     loop {
///         line = match y.try_suspend(line) {
///             Ok(()) => "next".into(),
///             Err(thrown) if thrown.is_close() => return,
///             Err(thrown) => format!("caught {}", thrown.downcast::<i32>().unwrap()),
///         };
///     }
/// });
/// assert_eq!(log.next().unwrap(), "ready");
/// assert_eq!(log.throw(7).unwrap().yielded().unwrap(), "caught 7");
/// log.close().unwrap();
/// ```
pub struct Thrown {
    payload: Payload,
    close: bool,
}

impl Thrown {
    pub(super) fn new(order: Order, identity: usize) -> Self {
        Thrown {
            close: matches!(order, Order::Close),
            payload: order.into_payload(identity),
        }
    }

    /// Whether the generator is being closed or dropped.
    pub fn is_close(&self) -> bool {
        self.close
    }

    /// Whether the error is an `E`.
    pub fn is<E: Any>(&self) -> bool {
        self.payload.is::<E>()
    }

    /// The error, if it is an `E`.
    ///
    /// # Errors
    ///
    /// Gives itself back if it is something else.
    pub fn downcast<E: Any>(self) -> Result<E, Thrown> {
        let close = self.close;
        match self.payload.downcast::<E>() {
            Ok(error) => Ok(*error),
            Err(payload) => Err(Thrown { payload, close }),
        }
    }

    /// Goes on unwinding, as [`suspend`](super::Yielder::suspend) would have done. No panic hook runs.
    pub fn rethrow(self) -> ! {
        unwinding::throw(self.payload)
    }

    /// The order again, to hand it on to an inner generator.
    pub(super) fn into_payload(self) -> Payload {
        self.payload
    }
}

impl fmt::Debug for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thrown")
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}

/// Thrown into a greenlet to end it: it arrives at the parent as a value and is not raised there.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::{Greenlet, GreenletExit};
///
/// let worker = Greenlet::new(|(): ()| { Greenlet::current().parent().unwrap().switch(()).unwrap(); });
/// worker.switch(()).unwrap();
/// assert!(worker.throw(GreenletExit).unwrap().is::<GreenletExit>());
/// assert!(worker.is_dead());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GreenletExit;

impl fmt::Display for GreenletExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("greenlet exit")
    }
}

/// Runs `f` and catches what was thrown into the coroutine meanwhile, if it is an `E`.
///
/// Everything else (panics, other errors, an order to close, the cancellation of a task) goes on
/// unwinding. It is `catch_unwind` with a type: the caller judges whether what `f` touched is still in
/// order.
///
/// # Errors
///
/// The error that came out of `f`.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::{catch, Generator};
///
/// let g = Generator::<u32>::new(|y| {
///     if let Err(n) = catch::<u32, _>(|| y.suspend(1)) {
///         y.suspend(n + 1);
///     }
/// });
/// assert_eq!(g.next(), Some(1));
/// assert_eq!(g.throw(41_u32).unwrap().yielded(), Some(42));
/// ```
pub fn catch<E: Any, R>(f: impl FnOnce() -> R) -> Result<R, E> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Ok(value),
        Err(payload) => match payload.downcast::<E>() {
            Ok(error) => Err(*error),
            Err(payload) => unwinding::throw(payload),
        },
    }
}
