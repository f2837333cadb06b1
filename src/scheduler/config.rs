//! The plain settings of a runtime.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::stack::StackSize;

use super::switch_hooks::SwitchHooks;

/// What happens when every task waits and nothing can wake any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDeadlock {
    /// The main task's waiting call panics with the report, if no thread that the runtime does not know
    /// is there that might still wake a task; otherwise as [`Report`](OnDeadlock::Report). The default.
    #[default]
    Raise,
    /// The report is logged once, after a time of grace, and the runtime waits on.
    Report,
    /// Nothing happens; the runtime waits for ever, without using the processor.
    Ignore,
}

/// What happens when a task swallows its cancellation again and again, so that it will never end.
///
/// It is not abandoned, for others may borrow from its stack; so whoever waits for it, or for its scope or its
/// `run`, waits for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnStuck {
    /// It is logged at once, then after a moment and every ten seconds, until its runtime has been stopped and
    /// has left its worker behind. The default.
    #[default]
    Wait,
    /// After the same moment, or when nothing else is left of a worker that is being stopped, the process
    /// aborts, with the names of all such tasks on the standard error stream.
    Abort,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) workers: usize,
    pub(crate) stack_size: StackSize,
    pub(crate) clock: Clock,
    pub(crate) on_deadlock: OnDeadlock,
    pub(crate) on_stuck: OnStuck,
    /// The user vouches that no foreign thread holds anything that could wake a task.
    pub(crate) is_closed_world: bool,
    /// How long the program may stand still before a report is logged rather than raised.
    pub(crate) grace: Duration,
    /// The most tasks that may be alive at once; spawning more is an error.
    pub(crate) task_limit: Option<usize>,
    pub(crate) blocking_threads: usize,
    pub(crate) thread_name: String,
    pub(crate) has_panic_note: bool,
    pub(crate) switch_hooks: Option<Arc<SwitchHooks>>,
}
