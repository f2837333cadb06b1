//! Other programs, and functions of this program in processes of their own, while only the task waits.
//!
//! Porting a program from [`std::process`] is changing its `use` lines; [`Command`], [`Child`] and the pipes
//! have std's names and shapes. What is different, and why:
//!
//! * Waiting for a child, and reading and writing its pipes, suspends the task and nothing else. On a plain
//!   thread the same calls block it.
//! * There is a time limit where std has none: [`Child::wait_timeout`], [`Child::communicate_timeout`].
//! * A child that is dropped without having been waited for becomes no zombie: it is waited for in the
//!   background. It goes on running, as with std, unless [`Command::kill_on_drop`] says otherwise.
//! * [`Child::communicate`] feeds and reads all pipes at once, as Python's does; [`pipeline`] connects
//!   programs as a shell does, and [`split`] takes a command line apart.
//! * The error of a program that cannot be started names it.
//!
//! Only the child that is meant is ever waited for, never "any child": other libraries' children and their
//! SIGCHLD handlers are left alone. All descriptors are closed in children, unless given to them by name.
//!
//! **Virtual time.** A child runs in real time. So a virtual clock stands still while somebody waits for a
//! child: its end comes first, and a time limit beside it does not expire.

mod child;
mod command;
mod communicate;
mod inner;
mod pipeline;
mod pipes;
mod reaper;
#[cfg(feature = "process")]
mod remote;
mod split;
mod status;

pub use child::{Child, ChildHandle};
pub use command::Command;
pub use pipeline::{Pipeline, PipelineOutput, pipeline};
pub use pipes::{ChildStderr, ChildStdin, ChildStdout};
#[cfg(feature = "process")]
pub(crate) use remote::Service;
#[cfg(feature = "process")]
pub use remote::{
    ActiveChild, Builder, IMap, IMapUnordered, NotReady, PoolBuilder, PoolError, Process,
    ProcessPanic, ProcessPool, TaskError, TaskHandle, active_children, current_name, init,
};
pub use split::{SplitError, split};
pub use status::{ExitStatusError, check, exit_signal, send_signal, send_signal_to_group};
pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};
