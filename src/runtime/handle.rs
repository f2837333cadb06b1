//! A cheap reference to a runtime, to give tasks to it from anywhere.

use std::sync::Arc;

use crate::scheduler::current;
use crate::scheduler::shared::Shared;

/// A reference to a runtime that any thread may hold; it does not keep the runtime from being stopped.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("workers", &self.shared.config.workers)
            .field("is_stopping", &self.shared.is_stopping())
            .finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Handle { shared }
    }

    /// The runtime whose worker runs on this thread, or `None` on a plain thread.
    pub fn current() -> Option<Handle> {
        current::with_processor(|processor| {
            processor.map(|processor| Handle::new(processor.shared.clone()))
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The number of its workers.
    pub fn workers(&self) -> usize {
        self.shared.config.workers
    }
}

/// Something that runs outside of the workers and will wake tasks: while this lives, a runtime that waits is at
/// no standstill, and a virtual clock does not jump.
pub(crate) struct Outside(Handle);

impl Outside {
    pub(crate) fn of(here: Handle) -> Self {
        here.shared().outside_began();
        Outside(here)
    }

    /// For a wait of the running task; nothing on a plain thread.
    pub(crate) fn here() -> Option<Self> {
        Handle::current().map(Outside::of)
    }
}

impl Drop for Outside {
    /// Its wake was sent before.
    fn drop(&mut self) {
        self.0.shared().outside_ended();
    }
}
