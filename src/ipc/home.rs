//! A runtime of one worker for the tasks that look after other processes.
//!
//! They outlive whatever `run` they were begun in, and a stop of the default runtime: a child that has ended
//! is taken note of, and a broker serves, to the end of this process. No user's code runs here.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::runtime::{OnDeadlock, Runtime};
use crate::task::{Builder, JoinHandle};

/// Spawns a task at home.
///
/// # Errors
/// When the runtime cannot be started: no descriptors, no memory or no threads.
#[track_caller]
pub(crate) fn spawn<F, T>(name: &str, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    static HOME: Mutex<Option<Runtime>> = Mutex::new(None);
    let handle = {
        let mut home = HOME.lock().unwrap_or_else(PoisonError::into_inner);
        match &*home {
            Some(home) => home.handle(),
            None => home.insert(begin()?).handle(),
        }
    };
    let place = std::panic::Location::caller();
    Builder::new()
        .name(name)
        .spawn_on(handle.shared(), f, place)
}

fn begin() -> io::Result<Runtime> {
    Runtime::builder()
        .workers(1)
        .thread_name("greenloom-home")
        .on_deadlock(OnDeadlock::Ignore)
        .build()
}
