//! How deep the running stack has been used: what a wise stack size is chosen by.

use std::ptr;

use crate::stack::region;
use crate::stack::size::StackSize;

/// How much of a stack has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackUse {
    /// Bytes from the top of the stack down to the deepest page that is in memory: the high-water mark,
    /// in whole pages. A stack that was used before keeps up to 16 KiB of its former use.
    pub high_water: usize,
    /// How large the stack is.
    pub size: StackSize,
}

/// How deep the stack that this is called on has been used; `None` on a thread's own stack.
///
/// Call it at the end of a task, coroutine or greenlet, and give the next ones a size that leaves room
/// above the mark. It asks the kernel which pages are in memory, so it is a call for tests and tuning.
///
/// # Examples
///
/// ```
/// use greenloom::coroutine::Coroutine;
/// use greenloom::stack;
///
/// let body = Coroutine::<(), (), _>::new(|_, ()| stack::usage());
/// let used = body.resume(()).unwrap().complete().unwrap().unwrap();
/// assert!(used.high_water > 0 && used.high_water < used.size.usable());
/// assert_eq!(stack::usage(), None);
/// ```
pub fn usage() -> Option<StackUse> {
    let here = 0_u8;
    let (high_water, size) = region::use_of(ptr::from_ref(&here).addr())?;
    Some(StackUse { high_water, size })
}
