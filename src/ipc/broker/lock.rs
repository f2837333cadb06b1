//! The lock as a machine, with conditions: who waits for a notification stands in a line of his own, without it.

use std::collections::VecDeque;

use super::object::{Answer, Answers, Call, ClientId, Object, Ticket};

/// A lock. Its holder is a process: which of its tasks, the process knows.
#[derive(Debug, Default)]
pub(in crate::ipc) struct LockMachine {
    holder: Option<ClientId>,
    /// A holder has died, and nobody has been told yet.
    is_abandoned: bool,
    /// With what each is to be answered when he has the lock.
    line: VecDeque<(Ticket, u8)>,
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

    // With all that say that the lock is held: the number 1 if a holder before has died.
    pub(in crate::ipc) const HELD: u8 = 10;
    pub(in crate::ipc) const NOTIFIED: u8 = 11;
    pub(in crate::ipc) const UNNOTIFIED: u8 = 12;
    pub(in crate::ipc) const LATE: u8 = 13;
    pub(in crate::ipc) const COUNT: u8 = 14;

    fn join(&mut self, ticket: Ticket, what: u8, answers: &mut Answers) {
        self.line.push_back((ticket, what));
        if self.holder.is_none() {
            self.pass_on(answers);
        }
    }

    /// The lock is free: the next in line has it.
    fn pass_on(&mut self, answers: &mut Answers) {
        self.holder = None;
        if let Some((ticket, what)) = self.line.pop_front() {
            self.holder = Some(ticket.client);
            let is_abandoned = std::mem::take(&mut self.is_abandoned);
            answers.say_number(ticket, what, u64::from(is_abandoned));
        }
    }

    /// Of somebody who does not hold it, which is nothing that a handle sends, it is not heard.
    fn release(&mut self, client: ClientId, answers: &mut Answers) {
        if self.holder == Some(client) {
            self.pass_on(answers);
        }
    }
}

impl Object for LockMachine {
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers) {
        match call.what {
            Self::ACQUIRE => self.join(from, Self::HELD, answers),
            Self::TRY if self.holder.is_none() => self.join(from, Self::HELD, answers),
            Self::RELEASE => self.release(from.client, answers),
            Self::SLEEP => {
                self.sleepers.push_back(from);
                self.release(from.client, answers);
            }
            Self::NOTIFY => {
                let asked = usize::try_from(call.as_number()).unwrap_or(usize::MAX);
                let count = asked.min(self.sleepers.len());
                answers.say_number(from, Self::COUNT, count as u64);
                let woken: Vec<Ticket> = self.sleepers.drain(..count).collect();
                for sleeper in woken {
                    self.join(sleeper, Self::NOTIFIED, answers);
                }
            }
            _ => answers.say(from, Self::LATE),
        }
    }

    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers) {
        if let Some(at) = self.sleepers.iter().position(|other| *other == ticket) {
            self.sleepers.remove(at);
            return self.join(ticket, Self::UNNOTIFIED, answers);
        }
        // One that slept waits for the lock whatever happens: its guard is to be whole.
        let plain = (ticket, Self::HELD);
        if let Some(at) = self.line.iter().position(|other| *other == plain) {
            self.line.remove(at);
            answers.say(ticket, Self::LATE);
        }
    }

    fn leave(&mut self, client: ClientId, answers: &mut Answers) {
        self.line.retain(|(ticket, _)| ticket.client != client);
        self.sleepers.retain(|ticket| ticket.client != client);
        if self.holder == Some(client) {
            self.is_abandoned = true;
            self.pass_on(answers);
        }
    }

    fn take_back(&mut self, answer: Answer, answers: &mut Answers) {
        if matches!(answer.what, Self::HELD | Self::NOTIFIED | Self::UNNOTIFIED) {
            self.is_abandoned |= answer.as_number() != 0;
            self.release(answer.ticket.client, answers);
        }
    }
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
