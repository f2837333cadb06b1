//! The broker's half of a lock: who waits for it, and who has it next. The word of the lock says the rest.
//!
//! See `ipc::word` for the protocol. Whatever is done here ends in `settle`, which leaves the word so that the first
//! in line will be heard of.

use std::collections::VecDeque;

use crate::ipc::word::{Found, Word};

/// So often a waiter is sent for and comes too late; then it is handed the lock.
const PATIENCE: u64 = 3;

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has the lock; its last holder died with it, or not.
    Held { is_abandoned: bool },
    /// It may try.
    Try,
}

#[derive(Debug)]
struct Waiter<T> {
    client: u32,
    ticket: T,
    insists: bool,
}

/// The line. `T` is whatever tells one waiter from another.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    line: VecDeque<Waiter<T>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Turns {
            line: VecDeque::new(),
        }
    }
}

impl<T> Turns<T> {
    /// For one that can try by itself, and has been sent for so often already.
    pub(crate) fn contend(
        &mut self,
        word: Word<'_>,
        client: u32,
        ticket: T,
        times: u64,
        tell: &mut impl FnMut(T, Told),
    ) {
        if times > 0 {
            word.clear_sent();
        }
        let is_first = times > 0 || self.line.is_empty();
        if is_first && let Found::Given { is_abandoned } = word.give(client) {
            tell(ticket, Told::Held { is_abandoned });
        } else {
            let waiter = Waiter {
                client,
                ticket,
                insists: times >= PATIENCE,
            };
            match is_first {
                true => self.line.push_front(waiter),
                false => self.line.push_back(waiter),
            }
        }
        self.settle(word, tell);
    }

    /// For one that cannot try by itself, and so is handed the lock in its turn.
    pub(crate) fn wait(
        &mut self,
        word: Word<'_>,
        client: u32,
        ticket: T,
        tell: &mut impl FnMut(T, Told),
    ) {
        self.line.push_back(Waiter {
            client,
            ticket,
            insists: true,
        });
        self.settle(word, tell);
    }

    /// The lock at once, for one that cannot try by itself.
    pub(crate) fn take(&mut self, word: Word<'_>, client: u32) -> Found {
        match self.line.is_empty() {
            true => word.give(client),
            false => Found::Held,
        }
    }

    /// A client has let go of the lock, and wants the next one to have it.
    pub(crate) fn release(&mut self, word: Word<'_>, client: u32, tell: &mut impl FnMut(T, Told)) {
        word.free(client, false);
        self.settle(word, tell);
    }

    /// Somebody is to be sent for; or the one who was sent for does not come.
    pub(crate) fn send(&mut self, word: Word<'_>, tell: &mut impl FnMut(T, Told)) {
        word.clear_sent();
        self.settle(word, tell);
    }

    /// A client is gone, whatever it had and owed.
    pub(crate) fn leave(&mut self, word: Word<'_>, client: u32, tell: &mut impl FnMut(T, Told)) {
        self.line.retain(|waiter| waiter.client != client);
        word.free(client, true);
        self.send(word, tell);
    }

    /// A lock that was given has not reached its taker, who cannot be told either whether it was abandoned.
    pub(crate) fn take_back(
        &mut self,
        word: Word<'_>,
        client: u32,
        was_abandoned: bool,
        tell: &mut impl FnMut(T, Told),
    ) {
        word.free(client, was_abandoned);
        self.settle(word, tell);
    }

    /// Takes out of the line whom `is_it` knows.
    pub(crate) fn give_up(
        &mut self,
        word: Word<'_>,
        is_it: impl Fn(&T) -> bool,
        tell: &mut impl FnMut(T, Told),
    ) -> Option<T> {
        let at = self.line.iter().position(|waiter| is_it(&waiter.ticket))?;
        let waiter = self.line.remove(at)?;
        self.settle(word, tell);
        Some(waiter.ticket)
    }

    fn settle(&mut self, word: Word<'_>, tell: &mut impl FnMut(T, Told)) {
        while let Some(first) = self.line.front() {
            let told = if !first.insists {
                match word.send_for_first(self.line.len() > 1) {
                    true => Told::Try,
                    false => return,
                }
            } else if word.mark_strict() {
                return;
            } else {
                match word.give(first.client) {
                    Found::Given { is_abandoned } => Told::Held { is_abandoned },
                    // Taken in this very moment.
                    Found::Held => continue,
                }
            };
            if let Some(first) = self.line.pop_front() {
                tell(first.ticket, told);
            }
            if told == Told::Try {
                return;
            }
        }
        word.clear_line();
    }
}
