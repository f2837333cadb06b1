//! The engine of select: tries, takes a seat at every arm, and lets one of them win.
//!
//! Protocol. First every enabled arm is tried, in random order, with ordinary operations that do not wait:
//! among those that are ready each is as likely as the others. If none was, the select takes a *claim*
//! (`task::claim`) and goes to its arms again, in the order of the addresses of what they are about; at each
//! it enters that object's latch and, inside, in one step
//!
//! ```text
//!   claim: OPEN -> BUSY        (fails: one of the seats already taken was called; go and settle that one)
//!   try the operation          (passing over its own seats)
//!     done:     BUSY -> CLOSED, leave the latch, give up all seats: chosen
//!     not done: take a seat with a stake in the claim, BUSY -> OPEN, leave the latch
//! ```
//!
//! With a seat at every arm it parks. Whoever could serve one of the seats (a sender that finds the select
//! among the waiting receivers) is inside that object's latch, and must win the claim by `OPEN -> WON`
//! before it hands anything over; if it loses, it drops the seat out of its line and serves the next. When the
//! select runs again it finds the winner in the claim, settles that arm inside its latch, and leaves its other
//! seats. A time-out or an unwinding closes the claim first, `OPEN -> CLOSED`; if it comes too late for that,
//! an arm has won after all: a time-out takes what it was given, an unwinding passes it on.
//!
//! 1. *One arm at most.* The claim leaves `OPEN` once for good, by one read-modify-write; every way to do an
//!    operation goes through it as soon as the first seat is taken. `BUSY` is the select's own.
//! 2. *No lost wake.* At each arm "not ready" and "seated" are one step inside the latch, so whoever makes it
//!    ready later finds the seat. He may find the claim `BUSY`: then he waits until it is not.
//! 3. *Two selects that face each other meet.* Let the later one to enter the latch of the channel be S. It is
//!    busy, finds the other's seat and wins that claim, or learns that the other has been won elsewhere.
//! 4. *Waiting for `BUSY` ends.* Who waits is inside the latch of some X and has found a seat there, of a select
//!    S1 that is busy inside the latch of Y. S1 has taken its seat at X before it came to Y, in order of
//!    addresses, and it is not at X now, as that latch is taken: X < Y. If S1 waits for a busy one in its
//!    turn, that one is inside some Z > Y, and so on: the chain climbs, so it is no circle and ends at one
//!    that does not wait. (Whoever is not a select waits in no chain: nobody waits for it to be less busy.) A
//!    latch is held meanwhile, but who is busy is inside its last latch already and wants no other.
//! 5. *"None is ready" is true of one moment.* Before it gives up without waiting a select takes its seats, too: from
//!    then until it has closed its claim, whoever made an arm ready would have won it.
//! 6. *A seat of a past select is never called.* Seats are left before the claim is given back, inside the same
//!    latches in which they would be called.
//!
//! Where a call would mean no more than "look again" (the end of a task, the clock, channels that tell everybody),
//! an arm leaves no stake but a waker or a plain seat, and the select looks at such arms each time it is woken. What
//! it finds there it does as in the protocol, busy or having closed the claim. That it published itself before it
//! looked is what loses no wake.

use std::fmt;

use crate::base::clock::Deadline;
use crate::scheduler::park::{self, Describe, Wait, Wake};

use super::super::claim::{Claim, Stake};
use super::super::claims::Held;
use super::arms::Until;

/// So many arms need no memory but the stack.
pub(super) const FEW: usize = 8;

/// Who may be selected on is decided here.
pub(crate) trait Sealed {}

/// How an arm came out of its taking a seat.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stood {
    /// It was ready: it is done, and the claim is closed.
    Done,
    /// It waits; or it will never be ready, and does nothing.
    Seated,
    /// The claim was won at another arm meanwhile.
    Gone,
}

/// Something that a select may do, whatever comes of it. Implemented by the arms of this library only.
#[expect(private_bounds, reason = "sealed")]
pub trait Arm: Stand {}

impl<A: Stand> Arm for A {}

/// An arm as the engine sees it.
pub(crate) trait Stand {
    /// Where the object lies, as a number: the order in which latches are taken.
    fn place(&self) -> usize;

    /// Does it if that is possible at once, while no seat is taken.
    fn attempt(&mut self) -> bool;

    /// Does it at once or takes a seat, as the engine's protocol says.
    fn stand(&mut self, stake: Stake) -> Stood;

    /// Asked after each wake, for arms that nobody calls: does it if it is ready now. As for
    /// [`stand`](Self::stand).
    fn look(&mut self, _stake: Stake) -> Stood {
        Stood::Seated
    }

    /// When it is to be asked even if nothing has happened; after `stand` and `look`.
    fn deadline(&self) -> Deadline {
        Deadline::NEVER
    }

    /// It was chosen: gives the seat up and takes what it was given.
    fn settle(&mut self);

    /// It was not chosen: gives the seat up.
    fn leave(&mut self);

    /// It was called, and the select unwinds: gives the seat up, and what it was given to the next.
    fn abandon(&mut self);

    /// One line for reports.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// An [`Arm`] with what comes of it.
pub trait Operation: Arm {
    /// What a chosen arm gives.
    type Output;

    /// What came of it when it was chosen; once.
    fn take(&mut self) -> Option<Self::Output>;
}

/// What `recv(..)` takes in a [`select!`](crate::select!): something that values come out of.
#[expect(private_bounds, reason = "sealed")]
pub trait Receive: Sealed {
    /// What a receive gives.
    type Received;
    #[doc(hidden)]
    type RecvArm<'a>: Operation<Output = Self::Received>
    where
        Self: 'a;
    #[doc(hidden)]
    fn recv_arm(&self) -> Self::RecvArm<'_>;
}

/// What `send(..)` takes in a [`select!`](crate::select!): something that values go into.
#[expect(private_bounds, reason = "sealed")]
pub trait Send<T>: Sealed {
    /// What a send gives.
    type Sent;
    #[doc(hidden)]
    type SendArm<'a>: Operation<Output = Self::Sent>
    where
        Self: 'a;
    #[doc(hidden)]
    fn send_arm(&self, value: T) -> Self::SendArm<'_>;
}

/// What `wait(..)` takes in a [`select!`](crate::select!): something that comes to pass.
#[expect(private_bounds, reason = "sealed")]
pub trait Waitable: Sealed {
    /// What it comes to pass with.
    type Passed;
    #[doc(hidden)]
    type WaitArm<'a>: Operation<Output = Self::Passed>
    where
        Self: 'a;
    #[doc(hidden)]
    fn wait_arm(&self) -> Self::WaitArm<'_>;
}

/// The arms of one select, by number.
pub(super) trait Arms {
    fn count(&self) -> usize;

    /// `None` if it is switched off.
    fn arm(&mut self, number: usize) -> Option<&mut dyn Stand>;

    /// As `arm`, to look at.
    fn look(&self, number: usize) -> Option<&dyn Stand>;
}

/// The numbers of a few arms.
const FIRST: [u32; FEW] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Numbers below `count`, in a list that the caller puts in order.
#[inline]
fn list<'a>(count: usize, few: &'a mut [u32; FEW], many: &'a mut Vec<u32>) -> &'a mut [u32] {
    if count <= FEW {
        return &mut few[..count];
    }
    many.extend(0..count as u32);
    many
}

/// Tries each arm, in an order in which all are equally likely to come first, second and so on.
#[inline]
pub(super) fn attempt(arms: &mut impl Arms) -> Option<usize> {
    let (mut few, mut many) = (FIRST, Vec::new());
    let numbers = list(arms.count(), &mut few, &mut many);
    let mut bits = park::random();
    for next in 0..numbers.len() {
        let left = (numbers.len() - next) as u128;
        // The high half is a number below `left`; the low half is as random as before. Some bits
        // are lost at each step: new ones in time.
        if next % 8 == 7 {
            bits = park::random();
        }
        let wide = u128::from(bits) * left;
        bits = wide as u64;
        numbers.swap(next, next + (wide >> 64) as usize);
        let number = numbers[next] as usize;
        if arms.arm(number).is_some_and(|arm| arm.attempt()) {
            return Some(number);
        }
    }
    None
}

/// As [`wait`], by what a select says of how long it waits.
#[track_caller]
pub(super) fn wait_until(arms: &mut dyn Arms, until: Until) -> Option<usize> {
    match until {
        Until::Always => wait(arms, Deadline::NEVER),
        Until::For(timeout) if !timeout.is_zero() => wait(arms, park::deadline(timeout)),
        // Of a single arm the attempt has told all. Of several it has asked one after the other, and each
        // may have been ready while another was asked. With a seat at each, and nobody calling, there is a
        // moment at which none was.
        Until::For(_) | Until::AtOnce if arms.count() < 2 => None,
        Until::For(_) | Until::AtOnce => wait(arms, Deadline::PASSED),
    }
}

/// Waits until one arm has been done; `None` when the deadline passed first.
#[cold]
#[track_caller]
pub(super) fn wait(arms: &mut dyn Arms, deadline: Deadline) -> Option<usize> {
    let count = arms.count();
    assert!(count <= Claim::MAX_ARMS, "too many arms");
    let (mut few, mut many) = (FIRST, Vec::new());
    // No closure round the wait: it would not know the caller's line.
    let order = list(count, &mut few, &mut many);
    // In place, as there may be no memory for it but the stack.
    order.sort_unstable_by_key(|&number| arms.look(number as usize).map_or(0, |arm| arm.place()));
    let held = Held::take();
    held.begin();
    let mut line = InLine {
        arms,
        claim: *held,
        order,
        seated: 0,
    };
    let chosen = match line.sit() {
        Some(chosen) => Some(chosen),
        None => line.wait(deadline),
    };
    // What `InLine` does when it is dropped, but for the arm that was chosen.
    line.leave_all(chosen, |_| ());
    std::mem::forget(line);
    chosen
}

/// A select with seats at the first of its arms, in order; they are given up on every way out.
struct InLine<'a> {
    arms: &'a mut dyn Arms,
    claim: &'static Claim,
    order: &'a [u32],
    seated: usize,
}

impl InLine<'_> {
    /// Takes a seat at each arm; the number of one that was ready.
    fn sit(&mut self) -> Option<usize> {
        while let Some(&number) = self.order.get(self.seated) {
            let stake = Stake::new(self.claim, number);
            let stood = match self.arms.arm(number as usize) {
                None => Stood::Seated,
                Some(arm) => arm.stand(stake),
            };
            match stood {
                Stood::Done => return Some(number as usize),
                Stood::Seated => self.seated += 1,
                Stood::Gone => break,
            }
        }
        None
    }

    #[track_caller]
    fn wait(&mut self, deadline: Deadline) -> Option<usize> {
        loop {
            if let Some(chosen) = self.winner() {
                return Some(chosen);
            }
            if deadline == Deadline::PASSED {
                match self.claim.close() {
                    true => return None,
                    // An arm was called in this moment.
                    false => continue,
                }
            }
            let soonest = self.soonest();
            let object = Objects(self.arms);
            let wait = Wait::new("select").on(&object).until(deadline.min(soonest));
            let is_late = park::park(&wait) == Wake::TimedOut && deadline <= soonest;
            if let Some(chosen) = self.winner() {
                return Some(chosen);
            }
            if is_late && self.claim.close() {
                return None;
            }
        }
    }

    /// The arm that was called, or one that is ready by itself; it is done.
    fn winner(&mut self) -> Option<usize> {
        if self.claim.winner().is_none()
            && let Some(ready) = self.look()
        {
            return Some(ready);
        }
        let winner = self.claim.winner()? as usize;
        if let Some(arm) = self.arms.arm(winner) {
            arm.settle();
        }
        Some(winner)
    }

    /// Looks at those arms that nobody calls.
    fn look(&mut self) -> Option<usize> {
        for &number in &self.order[..self.seated] {
            let stake = Stake::new(self.claim, number);
            if let Some(arm) = self.arms.arm(number as usize) {
                match arm.look(stake) {
                    Stood::Done => return Some(number as usize),
                    Stood::Seated => {}
                    Stood::Gone => return None,
                }
            }
        }
        None
    }

    fn soonest(&self) -> Deadline {
        let seated = self.order[..self.seated].iter();
        let deadline = |&number: &u32| {
            let arm = self.arms.look(number as usize);
            arm.map_or(Deadline::NEVER, |arm| arm.deadline())
        };
        seated.map(deadline).min().unwrap_or(Deadline::NEVER)
    }

    fn leave_all(&mut self, but: Option<usize>, special: impl Fn(&mut dyn Stand)) {
        for &number in &self.order[..self.seated] {
            let number = number as usize;
            if let Some(arm) = self.arms.arm(number) {
                match but {
                    Some(but) if but == number => special(arm),
                    _ => arm.leave(),
                }
            }
        }
    }
}

impl Drop for InLine<'_> {
    /// The wait unwinds.
    fn drop(&mut self) {
        let called = match self.claim.close() {
            true => None,
            false => self.claim.winner().map(|arm| arm as usize),
        };
        self.leave_all(called, |arm| arm.abandon());
    }
}

/// What a select waits for, for reports.
struct Objects<'a>(&'a dyn Arms);

impl Describe for Objects<'_> {
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for number in 0..self.0.count() {
            if let Some(arm) = self.0.look(number) {
                f.write_str(before)?;
                arm.describe(f)?;
                before = ", or ";
            }
        }
        Ok(())
    }
}
