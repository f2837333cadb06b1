//! Programs that must die in a certain way, or need a process to themselves: each runs in a child.

mod child;
mod coroutine;
#[cfg(feature = "runtime")]
mod net;
mod overflow;
mod stack_limits;
