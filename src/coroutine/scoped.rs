//! Generators that borrow: they live inside a closure's call, and are ended before it returns.
#![allow(unsafe_code)] // lengthens the lifetime of a body that is ended before the borrow is

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ambient::Link;
use super::engine::{Engine, Plan, Root, Shared};
use super::generator::{Generator, of_engine};
use super::signature::Signature;
use super::unwinding;
use super::yielder::Yielder;
use crate::stack::Kind;

/// Makes a generator whose body borrows from the caller, and lends it to `f`.
///
/// The body is ended when `f` has returned or unwound: closed, if it is still suspended. It suspends by
/// its [`Yielder`] only; the ambient [`suspend`](super::suspend) refuses, because borrowed types cannot
/// be compared at run time.
///
/// # Panics
///
/// With what `f` or the body panicked, and when there is no memory for the stack.
///
/// # Aborts
///
/// If the body ignores the close eight times, or is then suspended in the middle of an unwind: what it
/// borrows is about to go, and control must not return while it may come back. With the panic strategy
/// `abort` a body that is still suspended cannot be ended and aborts likewise.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine;
///
/// let mut log = Vec::new();
/// let words = ["warp", "weft"];
/// let total: usize = coroutine::scoped(
///     |y| for word in &words { log.push(word.len()); y.suspend(*word); },
///     |g| g.map(str::len).sum(),
/// );
/// assert_eq!(total, 8);
/// assert_eq!(log, [4, 4]);
/// ```
#[track_caller]
pub fn scoped<Yield, In, Out, B, F, R>(body: B, f: F) -> R
where
    B: FnOnce(&Yielder<'_, In, Yield>) -> Out,
    F: FnOnce(&Generator<Yield, In, Out>) -> R,
{
    let plan = Plan::plain(Kind::Generator);
    let shared = Shared::new(Signature::BORROWED);
    let root = shared.root(move |link: &Link<In, Yield>, _| body(&Yielder::new(link)));
    // SAFETY: only the lifetime of the borrow changes. The box is consumed or dropped before this
    // function returns or unwinds: between here and `end_or_abort`, which runs the body to its end on
    // every path, nothing unwinds. The generator is lent out by reference and cannot leave.
    let root = unsafe { std::mem::transmute::<Root<'_>, Root<'static>>(root) };
    let engine = match Engine::from_root(&plan, shared, root) {
        Ok(engine) => engine,
        Err(error) => panic!("{error}: {}", error.0),
    };
    let generator = of_engine(engine);
    // Caught, so that the body is ended outside of the unwind: its destructors may suspend.
    let result = catch_unwind(AssertUnwindSafe(|| f(&generator)));
    let ended = generator.engine().end_or_abort();
    match (result, ended) {
        (Ok(value), Ok(())) => value,
        (Ok(_), Err(payload)) | (Err(payload), _) => unwinding::throw(payload),
    }
}
