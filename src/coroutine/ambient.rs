//! The thread's innermost coroutine (stand-in until the coroutine wing lands).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain(());
impl Chain {
    pub(crate) const EMPTY: Chain = Chain(());
}
#[inline]
pub(crate) fn exchange(_new: Chain) -> Chain {
    Chain(())
}

pub(crate) struct Pin;
pub(crate) fn forbid_suspend(_what: &'static str) -> Pin {
    Pin
}
