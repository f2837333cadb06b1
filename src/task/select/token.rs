//! The cancellation of a token as an arm.

use std::fmt;
use std::ptr;

use crate::scheduler::park::{self, Describe};

use super::super::claim::Stake;
use super::super::token::{CancelToken, Watch};
use super::engine::{Arm, Operation, Sealed, Stood, Waitable};

/// A wait for a [`CancelToken`] that a select may do. Made by [`wait`](super::wait).
#[must_use = "it does nothing by itself"]
#[derive(Debug)]
pub struct TokenArm<'a> {
    token: &'a CancelToken,
    watch: Option<Watch<'a>>,
    is_chosen: bool,
}

impl TokenArm<'_> {
    /// Something when this arm was chosen; once.
    pub fn take(&mut self) -> Option<()> {
        std::mem::take(&mut self.is_chosen).then_some(())
    }
}

impl Sealed for CancelToken {}
impl Sealed for TokenArm<'_> {}

impl Waitable for CancelToken {
    type Passed = ();
    type WaitArm<'a> = TokenArm<'a>;

    fn wait_arm(&self) -> TokenArm<'_> {
        TokenArm {
            token: self,
            watch: None,
            is_chosen: false,
        }
    }
}

impl Operation for TokenArm<'_> {
    type Output = ();

    fn take(&mut self) -> Option<()> {
        TokenArm::take(self)
    }
}

impl Arm for TokenArm<'_> {
    fn place(&self) -> usize {
        // It has no latch.
        ptr::from_ref(self.token).addr()
    }

    fn attempt(&mut self) -> bool {
        self.is_chosen = self.token.is_cancelled();
        self.is_chosen
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        self.watch = self.token.watch(park::current_waker());
        if self.watch.is_some() {
            return Stood::Seated;
        }
        if !stake.close() {
            return Stood::Gone;
        }
        self.settle();
        Stood::Done
    }

    fn is_ready(&self) -> bool {
        self.token.is_cancelled()
    }

    fn settle(&mut self) {
        self.watch = None;
        self.is_chosen = true;
    }

    fn leave(&mut self) {
        self.watch = None;
    }

    fn abandon(&mut self) {
        self.watch = None;
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.describe(f)
    }
}
