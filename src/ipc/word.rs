//! The word in which processes keep a lock: who has it, and what he must do when he lets go of it.
//!
//! A lock that nobody waits for is taken and given back by one exchange each, on a word in memory that all its
//! processes have mapped. All that takes longer is the business of the *broker*: the process that serves the lock,
//! to which every *client* has a connection, and which alone knows who waits (`broker::turns`).
//!
//! ```text
//!    31     30     29       28          27 .. 0
//!   | LINE | SENT | STRICT | ABANDONED | client |
//! ```
//!
//! | part | set by | cleared by | says |
//! |---|---|---|---|
//! | client | who takes it; the broker, for one | its holder; the broker, for one that asks or has died | who has the lock; 0: nobody |
//! | `LINE` | broker | broker | somebody waits in line |
//! | `SENT` | broker, and a holder that lets go | broker, and the one who was sent for, when he takes it | one is on his way, or on his way to be sent for |
//! | `STRICT` | broker | broker | the first in line has waited enough: nobody but the broker gives the lock away |
//! | `ABANDONED` | broker | who takes it | its last holder has died with it |
//!
//! *To take it*: exchange a word without client and `STRICT` for one with one's number; look again for a while; then
//! ask the broker, and wait. The broker answers in one of two ways. *Held*: it has put the number there itself.
//! *Try*: the lock was free a moment ago; the one who is told so has been *sent for*, tries again, and asks again if
//! he fails, now before all others. The third time he does not ask but *insists*, and gets `STRICT`.
//!
//! *To let go*: exchange one's number for none. With `STRICT` it stays, and the broker is told: it gives the lock to
//! the first in line. With `LINE` and without `SENT` that exchange sets `SENT`, and the broker is told to send for one.
//!
//! So a lock between busy processes goes to whoever is awake, since to wake another takes a thousand times as long as
//! to have the lock; and whoever waits has it after three disappointments.
//!
//! # Nobody is forgotten
//!
//! While somebody is in line, and the broker has nothing to do, the word has `LINE`, and either a client or `SENT`:
//! the broker leaves it so after each deed (`Turns::settle`). From there,
//!
//! * a holder's exchange sees `LINE`, for all changes of one word have one order. It sets `SENT` and tells the broker,
//!   or finds `SENT`, or finds `STRICT` and tells the broker;
//! * `SENT` is a debt of somebody: of a holder who will tell the broker, or of one who was sent for. The latter takes
//!   the lock, which clears `SENT`, and is a holder; or asks again, or passes on, which tells the broker;
//! * whoever owes something and dies closes his connection by that, and the broker takes the death of any client for
//!   that news: it frees the lock if it was his, clears `SENT`, and sends for the first in line. All that he had said
//!   before is read before the end of his connection.
//!
//! Twice sent for is no harm: the broker acts on what it finds. A process that is stopped, and not dead, in the midst of
//! the two steps holds up the line, as it would if it was stopped with the lock.
//!
//! # What a broken or hostile process can do
//!
//! It has the word mapped and may write what it likes, at any time. Each value of the word means something, no memory
//! depends on it, and nobody tries an exchange for ever. So that lock is held by two, or by nobody, or too long; the
//! other locks, and the broker, go on.

use crate::base::primitive::{AtomicU32, Ordering};

const LINE: u32 = 1 << 31;
const SENT: u32 = 1 << 30;
const STRICT: u32 = 1 << 29;
const ABANDONED: u32 = 1 << 28;
const CLIENT: u32 = ABANDONED - 1;

/// The last number that a client may have.
pub(crate) const LAST_CLIENT: u32 = CLIENT;

/// More exchanges in a row do not fail among honest processes.
const TRIES: usize = 10_000;

/// So often one looks again before he asks; each look comes after some pauses, some microseconds in all. That is
/// what it takes to be woken: to wait longer by oneself never costs more than twice what would have been best.
const LOOKS: u32 = 24;
const MOST_PAUSES: u32 = 16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a>(pub(crate) &'a AtomicU32);

/// What is left to be done by one who lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the broker is to be told"]
pub(crate) enum Left {
    Nothing,
    /// Tell the broker to send for one: the lock is free.
    Send,
    /// Tell the broker to give it to the next: it is held until then.
    HandOver,
}

/// What the broker finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It was free, and has been given; whether its last holder died with it.
    Given {
        is_abandoned: bool,
    },
    Held,
}

impl<'a> Word<'a> {
    /// Takes it if it is free; then says whether its last holder died with it.
    #[inline]
    pub(crate) fn take(self, me: u32) -> Option<bool> {
        // Acquire: pairs with the release of whoever let go.
        match self
            .0
            .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => Some(false),
            Err(seen) if is_free(seen) => self.take_and_clear(me, 0),
            Err(_) => None,
        }
    }

    #[cold]
    fn take_and_clear(self, me: u32, flags: u32) -> Option<bool> {
        self.change(Ordering::Acquire, |seen| {
            let next = (seen & !flags & !ABANDONED) | me;
            is_free(seen).then_some((next, seen & ABANDONED != 0))
        })
    }

    /// As `take`, and looks again for a while. `was_sent_for`: by the broker.
    #[cold]
    pub(crate) fn take_soon(self, me: u32, was_sent_for: bool) -> Option<bool> {
        let flags = if was_sent_for { SENT } else { 0 };
        let looks = if can_spin() { LOOKS } else { 1 };
        for look in 0..looks {
            let seen = self.0.load(Ordering::Relaxed);
            if seen & STRICT != 0 {
                return None;
            }
            if is_free(seen)
                && let Some(is_abandoned) = self.take_and_clear(me, flags)
            {
                return Some(is_abandoned);
            }
            for _ in 0..(1u32 << look.min(31)).min(MOST_PAUSES) {
                std::hint::spin_loop();
            }
        }
        None
    }

    /// Lets go of it.
    #[inline]
    pub(crate) fn release(self, me: u32) -> Left {
        // Release: pairs with the acquire of whoever takes it.
        match self
            .0
            .compare_exchange(me, 0, Ordering::Release, Ordering::Relaxed)
        {
            Ok(_) => Left::Nothing,
            Err(_) => self.release_to_line(me),
        }
    }

    #[cold]
    fn release_to_line(self, me: u32) -> Left {
        let left = self.change(Ordering::Release, |seen| {
            let free = seen & !CLIENT;
            match seen & CLIENT == me {
                // Somebody has scribbled.
                false => None,
                true if seen & STRICT != 0 => None,
                true if seen & (LINE | SENT) == LINE => Some((free | SENT, Left::Send)),
                true => Some((free, Left::Nothing)),
            }
        });
        left.unwrap_or(Left::HandOver)
    }

    // What follows is for the broker alone, which does one thing at a time.

    /// Gives it to a client if it is free.
    pub(crate) fn give(self, client: u32) -> Found {
        // Acquire and release: it stands between two holders, as each of them would.
        let given = self.change(Ordering::AcqRel, |seen| {
            let is_abandoned = seen & ABANDONED != 0;
            let next = (seen & !ABANDONED) | client;
            (seen & CLIENT == 0).then_some((next, Found::Given { is_abandoned }))
        });
        given.unwrap_or(Found::Held)
    }

    /// Takes it from a client, if that has it.
    pub(crate) fn free(self, client: u32, is_abandoned: bool) {
        let mark = if is_abandoned { ABANDONED } else { 0 };
        let _ = self.change(Ordering::AcqRel, |seen| {
            (seen & CLIENT == client).then_some(((seen & !CLIENT) | mark, ()))
        });
    }

    /// Nobody is on his way any more.
    pub(crate) fn clear_sent(self) {
        self.0.fetch_and(!SENT, Ordering::Relaxed);
    }

    /// Nobody is in line.
    pub(crate) fn clear_line(self) {
        self.0.fetch_and(!(LINE | STRICT), Ordering::Relaxed);
    }

    /// The first in line insists: false if it is free, and nothing has changed.
    pub(crate) fn mark_strict(self) -> bool {
        let marked = self.change(Ordering::Relaxed, |seen| {
            (seen & CLIENT != 0).then_some((seen | LINE | STRICT, ()))
        });
        marked.is_some()
    }

    /// The first in line waits. True if he is to be told to try: it is free, and nobody else is on his way; then he
    /// is no more in the line, which has others or not.
    pub(crate) fn send_for_first(self, has_others: bool) -> bool {
        let line = if has_others { LINE } else { 0 };
        let sent = self.change(Ordering::Relaxed, |seen| {
            let rest = seen & !(LINE | STRICT);
            Some(match seen & (CLIENT | SENT) == 0 {
                true => (rest | line | SENT, true),
                false => (rest | LINE, false),
            })
        });
        sent.unwrap_or(true)
    }

    /// Changes the word, unless `f` does not want to.
    fn change<R>(self, order: Ordering, f: impl Fn(u32) -> Option<(u32, R)>) -> Option<R> {
        let mut seen = self.0.load(Ordering::Relaxed);
        for _ in 0..TRIES {
            let (next, result) = f(seen)?;
            // Also when nothing changes: what has been found is then the newest value.
            match self
                .0
                .compare_exchange(seen, next, order, Ordering::Relaxed)
            {
                Ok(_) => return Some(result),
                Err(newer) => seen = newer,
            }
        }
        None
    }
}

const fn is_free(word: u32) -> bool {
    word & (CLIENT | STRICT) == 0
}

/// Whether another one can let go while this one looks.
#[cfg(not(any(loom, shuttle)))]
fn can_spin() -> bool {
    use std::num::NonZeroUsize;
    use std::sync::OnceLock;
    use std::thread::available_parallelism;
    static CAN_SPIN: OnceLock<bool> = OnceLock::new();
    *CAN_SPIN.get_or_init(|| available_parallelism().map_or(1, NonZeroUsize::get) > 1)
}

#[cfg(any(loom, shuttle))]
fn can_spin() -> bool {
    false
}
