//! The lock as a machine, with conditions: who waits for a notification stands in a line of his own, without it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ipc::place::Place;
use crate::ipc::word::{Found, LAST_CLIENT};

use super::object::{Answer, Answers, Call, ClientId, Object, Ticket};
use super::turns::{Told, Turns};

/// A lock. Its holder is a process: which of its tasks, the process knows.
///
/// Who has the word of the lock mapped takes it and lets go by himself, and calls only to wait and to hand over:
/// see `ipc::word`. Others can do everything by calls.
#[derive(Debug)]
pub(in crate::ipc) struct LockMachine {
    place: Arc<Place>,
    /// With what each is to be answered when he has the lock.
    turns: Turns<(Ticket, u8)>,
    sleepers: VecDeque<Ticket>,
}

impl LockMachine {
    /// Answered `HELD` in turn, or `LATE`.
    pub(in crate::ipc) const ACQUIRE: u8 = 1;
    /// Answered `HELD` or `LATE` at once.
    pub(in crate::ipc) const TRY: u8 = 2;
    /// No answer.
    pub(in crate::ipc) const RELEASE: u8 = 3;
    /// Lets go of the lock, and has it again when notified, `NOTIFIED`, or given up, `UNNOTIFIED`.
    pub(in crate::ipc) const SLEEP: u8 = 4;
    /// Wakes so many sleepers: answered `COUNT`, by how many there were.
    pub(in crate::ipc) const NOTIFY: u8 = 5;
    /// As `ACQUIRE`, for the so manieth time: answered `SENT_FOR` as well, of one who has the word.
    pub(in crate::ipc) const CONTEND: u8 = 6;
    /// The lock is free, and one is to be sent for. No answer.
    pub(in crate::ipc) const SEND: u8 = 7;

    // With all that say that the lock is held: the number 1 if a holder before has died.
    pub(in crate::ipc) const HELD: u8 = 10;
    pub(in crate::ipc) const NOTIFIED: u8 = 11;
    pub(in crate::ipc) const UNNOTIFIED: u8 = 12;
    pub(in crate::ipc) const LATE: u8 = 13;
    pub(in crate::ipc) const COUNT: u8 = 14;
    pub(in crate::ipc) const SENT_FOR: u8 = 15;

    pub(in crate::ipc) fn new(place: Arc<Place>) -> Self {
        LockMachine {
            place,
            turns: Turns::default(),
            sleepers: VecDeque::new(),
        }
    }
}

/// With a word that no other process has.
impl Default for LockMachine {
    fn default() -> Self {
        LockMachine::new(Arc::new(Place::Own(0.into())))
    }
}

fn tell(answers: &mut Answers) -> impl FnMut((Ticket, u8), Told) + '_ {
    |(ticket, what), told| match told {
        Told::Held { is_abandoned } => answers.say_number(ticket, what, u64::from(is_abandoned)),
        Told::Try => answers.say(ticket, LockMachine::SENT_FOR),
    }
}

impl Object for LockMachine {
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers) {
        let word = self.place.word();
        let number = call.as_number();
        // After so many clients as nobody will ever see.
        let Some(client) = in_word(from.client) else {
            return answers.say(from, Self::LATE);
        };
        let held = (from, Self::HELD);
        match call.what {
            Self::CONTEND => {
                let tell = &mut tell(answers);
                self.turns.contend(word, client, held, number, tell);
            }
            Self::ACQUIRE => self.turns.wait(word, client, held, &mut tell(answers)),
            Self::TRY => match self.turns.take(word, client) {
                Found::Given { is_abandoned } => {
                    answers.say_number(from, Self::HELD, u64::from(is_abandoned));
                }
                Found::Held => answers.say(from, Self::LATE),
            },
            // Of somebody who does not hold it, which is nothing that a handle sends, it is not heard.
            Self::RELEASE => self.turns.release(word, client, &mut tell(answers)),
            Self::SEND => self.turns.send(word, &mut tell(answers)),
            Self::SLEEP => {
                self.sleepers.push_back(from);
                self.turns.release(word, client, &mut tell(answers));
            }
            Self::NOTIFY => {
                let asked = usize::try_from(number).unwrap_or(usize::MAX);
                let count = asked.min(self.sleepers.len());
                answers.say_number(from, Self::COUNT, count as u64);
                for sleeper in self.sleepers.drain(..count) {
                    let client = in_word(sleeper.client).unwrap_or(LAST_CLIENT);
                    let notified = (sleeper, Self::NOTIFIED);
                    self.turns.wait(word, client, notified, &mut tell(answers));
                }
            }
            _ => answers.say(from, Self::LATE),
        }
    }

    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers) {
        let word = self.place.word();
        if let Some(at) = self.sleepers.iter().position(|other| *other == ticket) {
            self.sleepers.remove(at);
            let client = in_word(ticket.client).unwrap_or(LAST_CLIENT);
            let unnotified = (ticket, Self::UNNOTIFIED);
            return self
                .turns
                .wait(word, client, unnotified, &mut tell(answers));
        }
        // One that slept waits for the lock whatever happens: its guard is to be whole.
        let is_it = |other: &(Ticket, u8)| *other == (ticket, Self::HELD);
        let found = self.turns.give_up(word, is_it, &mut tell(answers));
        if found.is_some() {
            answers.say(ticket, Self::LATE);
        }
    }

    fn leave(&mut self, client: ClientId, answers: &mut Answers) {
        self.sleepers.retain(|ticket| ticket.client != client);
        if let Some(client) = in_word(client) {
            let word = self.place.word();
            self.turns.leave(word, client, &mut tell(answers));
        }
    }

    fn take_back(&mut self, answer: Answer, answers: &mut Answers) {
        let word = self.place.word();
        match (answer.what, in_word(answer.ticket.client)) {
            (Self::HELD | Self::NOTIFIED | Self::UNNOTIFIED, Some(client)) => {
                let was_abandoned = answer.as_number() != 0;
                let tell = &mut tell(answers);
                self.turns.take_back(word, client, was_abandoned, tell);
            }
            (Self::SENT_FOR, _) => self.turns.send(word, &mut tell(answers)),
            _ => {}
        }
    }
}

/// A client's number, if it fits into the word.
fn in_word(client: ClientId) -> Option<u32> {
    let number = u32::try_from(client).ok()?;
    (1..=LAST_CLIENT).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ticket(client: ClientId, number: u64) -> Ticket {
        Ticket { client, number }
    }

    fn call(lock: &mut LockMachine, from: Ticket, what: u8) -> Vec<(Ticket, u8, u64)> {
        let mut answers = Answers::default();
        lock.call(from, Call::number(what, 1), &mut answers);
        said(answers)
    }

    fn said(answers: Answers) -> Vec<(Ticket, u8, u64)> {
        let said = |answer: Answer| (answer.ticket, answer.what, answer.as_number());
        answers.said.into_iter().map(said).collect()
    }

    const A: Ticket = ticket(1, 1);
    const B: Ticket = ticket(2, 1);
    const C: Ticket = ticket(3, 1);

    #[test]
    fn the_first_to_come_is_the_first_to_have_it() {
        let mut lock = LockMachine::default();
        assert_eq!(
            call(&mut lock, A, LockMachine::ACQUIRE),
            [(A, LockMachine::HELD, 0)]
        );
        assert!(call(&mut lock, B, LockMachine::ACQUIRE).is_empty());
        assert!(call(&mut lock, C, LockMachine::ACQUIRE).is_empty());
        assert_eq!(
            call(&mut lock, ticket(4, 1), LockMachine::TRY)[0].1,
            LockMachine::LATE
        );
        // Not its to release.
        assert!(call(&mut lock, C, LockMachine::RELEASE).is_empty());
        assert_eq!(
            call(&mut lock, A, LockMachine::RELEASE),
            [(B, LockMachine::HELD, 0)]
        );
    }

    #[test]
    fn a_dead_holder_is_told_to_the_next_and_to_nobody_after() {
        let mut lock = LockMachine::default();
        call(&mut lock, A, LockMachine::ACQUIRE);
        call(&mut lock, B, LockMachine::ACQUIRE);
        call(&mut lock, C, LockMachine::ACQUIRE);
        let mut answers = Answers::default();
        lock.leave(1, &mut answers);
        assert_eq!(said(answers), [(B, LockMachine::HELD, 1)]);
        assert_eq!(
            call(&mut lock, B, LockMachine::RELEASE),
            [(C, LockMachine::HELD, 0)]
        );
        let mut answers = Answers::default();
        lock.leave(3, &mut answers);
        assert!(said(answers).is_empty());
        assert_eq!(
            call(&mut lock, A, LockMachine::TRY),
            [(A, LockMachine::HELD, 1)]
        );
    }

    #[test]
    fn sleepers_come_back_with_the_lock_notified_or_not() {
        let mut lock = LockMachine::default();
        call(&mut lock, A, LockMachine::ACQUIRE);
        let (a, b) = (ticket(1, 2), ticket(2, 2));
        assert!(call(&mut lock, a, LockMachine::SLEEP).is_empty());
        assert_eq!(
            call(&mut lock, B, LockMachine::ACQUIRE),
            [(B, LockMachine::HELD, 0)]
        );
        assert_eq!(call(&mut lock, ticket(2, 9), LockMachine::NOTIFY)[0].2, 1);
        // Notified; to give up now changes nothing.
        let mut answers = Answers::default();
        lock.give_up(a, &mut answers);
        assert!(said(answers).is_empty());
        assert_eq!(
            call(&mut lock, b, LockMachine::SLEEP),
            [(a, LockMachine::NOTIFIED, 0)]
        );
        let mut answers = Answers::default();
        lock.give_up(b, &mut answers);
        assert!(said(answers).is_empty(), "it waits for the lock");
        assert_eq!(
            call(&mut lock, a, LockMachine::RELEASE),
            [(b, LockMachine::UNNOTIFIED, 0)]
        );
    }
}
