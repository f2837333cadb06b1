//! Programs that must die in a certain way, or need a process to themselves: each runs in a child.

mod child;
mod coroutine;
#[cfg(feature = "runtime")]
mod dns;
#[cfg(feature = "process")]
mod forks;
#[cfg(feature = "runtime")]
mod fs;
#[cfg(feature = "process")]
mod idle;
#[cfg(feature = "runtime")]
mod late;
#[cfg(feature = "runtime")]
mod logging;
#[cfg(feature = "process")]
mod managers;
#[cfg(feature = "process")]
mod marks;
#[cfg(feature = "runtime")]
mod net;
mod overflow;
#[cfg(feature = "runtime")]
mod panic_abort;
#[cfg(feature = "process")]
mod plugin;
#[cfg(feature = "runtime")]
mod process;
#[cfg(feature = "process")]
mod processes;
mod stack_limits;
#[cfg(feature = "runtime")]
mod stackless;
#[cfg(feature = "runtime")]
mod stdin;
#[cfg(feature = "process")]
mod stopped;
#[cfg(feature = "runtime")]
mod tasks;
#[cfg(feature = "runtime")]
mod unwinding;
