//! The cancellation of a token as an arm.

use std::fmt;
use std::ptr;

use crate::scheduler::park::{self, Describe};

use super::super::claim::Stake;
use super::super::token::{CancelToken, Watch};
use super::engine::{Operation, Sealed, Stand, Stood, Waitable};

/// A wait for the cancellation of a token. Made by [`wait`](super::wait).
#[must_use = "it does nothing by itself"]
#[derive(Debug)]
pub struct TokenArm<'a> {
    token: &'a CancelToken,
    watch: Option<Watch<'a>>,
    is_done: bool,
}

impl TokenArm<'_> {
    /// Something when this arm was chosen; once.
    pub fn take(&mut self) -> Option<()> {
        std::mem::take(&mut self.is_done).then_some(())
    }

    fn end(&mut self, stake: Stake) -> Stood {
        if !stake.close() {
            return Stood::Gone;
        }
        self.settle();
        Stood::Done
    }
}

impl Sealed for CancelToken {}

impl Waitable for CancelToken {
    type Passed = ();
    type WaitArm<'a> = TokenArm<'a>;

    fn wait_arm(&self) -> TokenArm<'_> {
        TokenArm {
            token: self,
            watch: None,
            is_done: false,
        }
    }
}

impl Operation for TokenArm<'_> {
    type Output = ();

    fn take(&mut self) -> Option<()> {
        TokenArm::take(self)
    }
}

impl Stand for TokenArm<'_> {
    fn place(&self) -> usize {
        // Its lock is never held together with a latch.
        ptr::from_ref(self.token).addr()
    }

    fn attempt(&mut self) -> bool {
        self.is_done = self.token.is_cancelled();
        self.is_done
    }

    fn stand(&mut self, stake: Stake) -> Stood {
        self.watch = self.token.watch(park::current_waker());
        match self.watch {
            Some(_) => Stood::Seated,
            None => self.end(stake),
        }
    }

    fn look(&mut self, stake: Stake) -> Stood {
        match self.token.is_cancelled() {
            true => self.end(stake),
            false => Stood::Seated,
        }
    }

    fn settle(&mut self) {
        self.watch = None;
        self.is_done = true;
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
