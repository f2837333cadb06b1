//! Who may end a select: one word, won once, by a caller at one of its arms or by the select itself.
//!
//! A select waits in several lines at once. Whoever would call it out of one of them must first win its
//! claim; who loses passes the seat over and goes to the next in line. The word:
//!
//! | word | means | changed by |
//! |---|---|---|
//! | `OPEN` | the select waits | anybody |
//! | `BUSY` | the select itself tries an arm, inside that object's latch, while others can see it | the select |
//! | `CLOSED` | nobody wins any more: it has ended by itself, or nobody uses the claim | the select |
//! | `WON + arm` | this arm was called | the select, when it is over |
//!
//! ```text
//!           begin                 won by a caller at arm n
//!  CLOSED ---------> OPEN -------------------------------> WON + n --+
//!     ^              |  ^                                            |
//!     |   busy       v  | idle                                       |
//!     |             BUSY                                             |
//!     +-- close, or its own try succeeded --------- end -------------+
//! ```
//!
//! A caller that finds the word `BUSY` waits for the few nanoseconds that a try takes: the match with the
//! select may become possible again in a moment, and nobody else would make it. `task::select` shows why
//! such waits come to an end.
//!
//! What is handed over with a call is written and read inside the latch of the object at which the claim
//! was won; the word itself carries nothing but the number of the arm.

use crate::base::primitive::{AtomicU32, Ordering};

const OPEN: u32 = 0;
const BUSY: u32 = 1;
const CLOSED: u32 = 2;
/// Plus the number of the arm.
const WON: u32 = 3;

/// Rounds of spinning before the OS may run another thread: the one that is busy may have been scheduled
/// away.
const SPINS: u32 = 64;

/// The word of one select.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Claim {
    word: AtomicU32,
}

/// What trying to win gave.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Win {
    /// The caller, and nobody else, calls the select.
    Won,
    /// It is called elsewhere, or has ended.
    Lost,
}

/// What a seat of a select has to do with the select: who wins the claim for this arm may call the seat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stake {
    claim: &'static Claim,
    arm: u32,
}

impl Stake {
    pub(crate) fn new(claim: &'static Claim, arm: u32) -> Self {
        Stake { claim, arm }
    }

    pub(crate) fn claim(self) -> &'static Claim {
        self.claim
    }

    /// See [`Claim::win`].
    pub(crate) fn win(self) -> Win {
        self.claim.win(self.arm)
    }

    /// See [`Claim::busy`].
    #[must_use]
    pub(crate) fn busy(self) -> bool {
        self.claim.busy()
    }

    /// See [`Claim::idle`].
    pub(crate) fn idle(self) {
        self.claim.idle();
    }

    /// See [`Claim::end`].
    pub(crate) fn end(self) {
        self.claim.end();
    }

    /// See [`Claim::close`].
    #[must_use]
    pub(crate) fn close(self) -> bool {
        self.claim.close()
    }
}

impl Claim {
    /// As many arms as a select may have.
    pub(crate) const MAX_ARMS: usize = (u32::MAX - WON) as usize;

    /// A claim that nobody can win.
    pub(crate) fn new() -> Self {
        Claim {
            word: AtomicU32::new(CLOSED),
        }
    }

    /// The select begins to wait.
    pub(crate) fn begin(&self) {
        // Relaxed: others learn of the claim inside of latches.
        self.word.store(OPEN, Ordering::Relaxed);
    }

    /// For a caller that found a seat of the select, inside the latch in which it found it.
    pub(crate) fn win(&self, arm: u32) -> Win {
        let mut spins = 0;
        loop {
            // AcqRel: orders this select's ends, whoever brings them about. On failure Acquire, with no
            // more to it than that a later look shall not see less.
            let won =
                self.word
                    .compare_exchange(OPEN, WON + arm, Ordering::AcqRel, Ordering::Acquire);
            match won {
                Ok(_) => return Win::Won,
                Err(BUSY) => rest(&mut spins),
                Err(_) => return Win::Lost,
            }
        }
    }

    /// For the select, before it tries an arm while others can see it; false when it has been won.
    #[must_use]
    pub(crate) fn busy(&self) -> bool {
        self.change(OPEN, BUSY)
    }

    /// The try came to nothing: others may win again.
    pub(crate) fn idle(&self) {
        // Release: pairs with the winner's acquire. Nobody but the select leaves `BUSY`.
        self.word.store(OPEN, Ordering::Release);
    }

    /// For the select: nobody shall win any more. False when it has been won.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        self.change(OPEN, CLOSED)
    }

    /// The select is over, or its own try has succeeded.
    pub(crate) fn end(&self) {
        self.word.store(CLOSED, Ordering::Release);
    }

    /// The arm at which it was won.
    pub(crate) fn winner(&self) -> Option<u32> {
        // Acquire: pairs with `win`.
        self.word.load(Ordering::Acquire).checked_sub(WON)
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.word
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

#[cold]
fn rest(spins: &mut u32) {
    *spins += 1;
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(shuttle)]
    shuttle::thread::yield_now();
    #[cfg(not(any(loom, shuttle)))]
    if *spins < SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}
