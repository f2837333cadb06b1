//! What the user wants to be called at each switch of task.

use std::fmt;

use super::header::TaskId;

/// See `runtime::Builder::on_switch`.
pub(crate) struct SwitchHooks {
    pub(crate) leave: Box<dyn Fn(TaskId) + Send + Sync>,
    pub(crate) enter: Box<dyn Fn(TaskId) + Send + Sync>,
}

impl fmt::Debug for SwitchHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SwitchHooks")
    }
}
