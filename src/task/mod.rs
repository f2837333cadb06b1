//! Tasks as their users hold them: spawned, joined, cancelled, scoped.

mod cancel;
pub(crate) mod claim;
mod claims;
mod group;
mod join;
mod locals;
mod places;
mod race;
mod scope;
pub mod select;
mod spawn;
mod this;
mod token;
mod under;
mod wait;

pub use cancel::{checkpoint, is_cancelled, no_park, shield};
pub use group::{Failure, GroupError, GroupHandle, GroupTaskError, TaskGroup, TrySpawnError};
pub use join::{JoinError, JoinHandle, Panic};
pub use locals::{AccessError, LocalKey};
pub use race::{Finish, any, race};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub(crate) use scope::{Threads, scope_as};
pub use spawn::{Builder, spawn, spawn_after, spawn_local};
pub use this::{Task, current, park, park_timeout, try_current, yield_now};
pub use token::{CancelOnDrop, CancelToken, Reason};
pub use under::{CancelScope, ScopeCancelled, cancel_scope, with_token};
pub use wait::{
    AsCompleted, Joinable, Unfinished, Until, as_completed, join_all, try_join_all, wait,
    wait_timeout,
};

pub use crate::scheduler::header::TaskId;

pub(crate) use cancel::{Expired, until};
pub(crate) use spawn::home;
pub(crate) use this::{sleep_for, sleep_until as sleep_until_deadline};
