//! The default runtime, for tasks spawned where no worker runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::scheduler::shared::Shared;

use super::builder::Builder;
use super::owner::Runtime;

enum Default {
    /// Not started; with the settings that were asked for.
    Settings(Option<Builder>),
    Running(Runtime),
}

static DEFAULT: Mutex<Default> = Mutex::new(Default::Settings(None));

fn default() -> MutexGuard<'static, Default> {
    DEFAULT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The default runtime's shared part; started at first use.
pub(crate) fn global() -> std::io::Result<Arc<Shared>> {
    let mut default = default();
    if let Default::Settings(settings) = &*default {
        let builder = settings.clone().unwrap_or_default();
        *default = Default::Running(builder.build()?);
    }
    match &*default {
        Default::Running(runtime) => Ok(runtime.handle().shared().clone()),
        Default::Settings(_) => unreachable!("it was started above"),
    }
}

/// Sets what the default runtime is built from when it is next started.
///
/// The default runtime is started by the first [`spawn`](crate::spawn) outside of any runtime.
///
/// # Errors
///
/// Gives the builder back when the default runtime is running already; [`stop_default`] stops it.
///
/// # Examples
///
/// ```
/// greenloom::runtime::set_default(greenloom::Runtime::builder().workers(1)).unwrap();
/// assert_eq!(greenloom::spawn(|| 1).join().unwrap(), 1);
/// greenloom::runtime::stop_default();
/// ```
pub fn set_default(builder: Builder) -> Result<(), Builder> {
    let mut default = default();
    match &mut *default {
        Default::Running(_) => Err(builder),
        Default::Settings(settings) => {
            *settings = Some(builder);
            Ok(())
        }
    }
}

/// Stops the default runtime if it runs: cancels and joins its tasks, ends its threads. The next `spawn`
/// outside of any runtime starts a new one, with default settings unless [`set_default`] is called again.
pub fn stop_default() {
    let running = std::mem::replace(&mut *default(), Default::Settings(None));
    // Outside the lock: a task that is being cancelled may spawn.
    drop(running);
}
