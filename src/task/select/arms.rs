//! The arms of a `select!`, as nested pairs, so that each keeps its own type.
#![allow(missing_docs)] // For the macro alone; hidden below.

use std::time::Duration;

use crate::scheduler::park;

use super::engine::{self, Arm, Arms, Operation, Stand};

/// One arm and the rest of them. `None` is an arm that is switched off.
#[doc(hidden)]
#[derive(Debug)]
pub struct Pair<A, R>(pub Option<A>, pub R);

/// No more arms.
#[doc(hidden)]
#[derive(Debug)]
pub struct End;

/// What came of which arm.
#[doc(hidden)]
#[derive(Debug)]
pub enum Chosen<T, R> {
    This(T),
    Later(R),
}

/// What comes of no arm.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Never {}

/// How long a select waits.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Always,
    AtOnce,
    For(Duration),
}

/// A list of typed arms.
#[expect(private_bounds, reason = "sealed")]
pub trait List: Arms {
    type Outcome;
    #[doc(hidden)]
    fn outcome(self, chosen: usize) -> Option<Self::Outcome>;
}

impl Arms for End {
    fn count(&self) -> usize {
        0
    }

    fn arm(&mut self, _: usize) -> Option<&mut dyn Stand> {
        None
    }

    fn look(&self, _: usize) -> Option<&dyn Stand> {
        None
    }
}

impl<A: Arm, R: Arms> Arms for Pair<A, R> {
    #[inline]
    fn count(&self) -> usize {
        1 + self.1.count()
    }

    #[inline]
    fn arm(&mut self, number: usize) -> Option<&mut dyn Stand> {
        match number.checked_sub(1) {
            None => self.0.as_mut().map(|arm| arm as &mut dyn Stand),
            Some(later) => self.1.arm(later),
        }
    }

    #[inline]
    fn look(&self, number: usize) -> Option<&dyn Stand> {
        match number.checked_sub(1) {
            None => self.0.as_ref().map(|arm| arm as &dyn Stand),
            Some(later) => self.1.look(later),
        }
    }
}

impl List for End {
    type Outcome = Never;

    fn outcome(self, _: usize) -> Option<Never> {
        None
    }
}

impl<A: Operation, R: List> List for Pair<A, R> {
    type Outcome = Chosen<A::Output, R::Outcome>;

    #[inline]
    fn outcome(self, chosen: usize) -> Option<Self::Outcome> {
        match chosen.checked_sub(1) {
            None => self.0?.take().map(Chosen::This),
            Some(later) => self.1.outcome(later).map(Chosen::Later),
        }
    }
}

/// Does one of the arms; `None` when none was ready in time.
#[doc(hidden)]
#[track_caller]
#[inline]
pub fn run<L: List>(mut list: L, until: Until) -> Option<L::Outcome> {
    // Before anything else: the yield may unwind.
    park::spend_budget();
    let chosen = match engine::attempt(&mut list) {
        Some(chosen) => chosen,
        None => engine::wait_until(&mut list, until)?,
    };
    let outcome = list.outcome(chosen);
    Some(outcome.expect("a chosen arm has an outcome"))
}
