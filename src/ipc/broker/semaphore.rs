//! The semaphore as a machine.

use std::collections::{HashMap, VecDeque};

use super::object::{Answer, Answers, Call, ClientId, Object, Ticket};

/// Permits, and who holds them, as far as they are held by guards: those of the dead are free again.
#[derive(Debug)]
pub(in crate::ipc) struct SemaphoreMachine {
    permits: u64,
    /// More there never are.
    limit: u64,
    held: HashMap<ClientId, u64>,
    /// The first never wants as little as there is.
    line: VecDeque<(Ticket, u64)>,
}

impl SemaphoreMachine {
    /// So many permits: answered `HELD` in turn, or `LATE`.
    pub(in crate::ipc) const ACQUIRE: u8 = 1;
    /// The same, answered at once.
    pub(in crate::ipc) const TRY: u8 = 2;
    /// Gives back permits that a guard has held. No answer.
    pub(in crate::ipc) const RELEASE: u8 = 3;
    /// Adds permits: answered `DONE`, or `LATE` when there would be too many.
    pub(in crate::ipc) const ADD: u8 = 4;
    /// A guard is forgotten: its permits are nobody's. No answer.
    pub(in crate::ipc) const FORGET: u8 = 5;
    /// How many there are: answered `COUNT`.
    pub(in crate::ipc) const LOOK: u8 = 6;

    pub(in crate::ipc) const HELD: u8 = 10;
    pub(in crate::ipc) const LATE: u8 = 11;
    pub(in crate::ipc) const DONE: u8 = 12;
    pub(in crate::ipc) const COUNT: u8 = 13;

    pub(in crate::ipc) fn new(permits: u64, limit: u64) -> Self {
        SemaphoreMachine {
            permits,
            limit,
            held: HashMap::new(),
            line: VecDeque::new(),
        }
    }

    fn add(&mut self, permits: u64, answers: &mut Answers) {
        self.permits = self.permits.saturating_add(permits).min(self.limit);
        self.serve(answers);
    }

    fn serve(&mut self, answers: &mut Answers) {
        while let Some(&(ticket, wanted)) = self.line.front()
            && wanted <= self.permits
        {
            self.line.pop_front();
            self.permits -= wanted;
            *self.held.entry(ticket.client).or_default() += wanted;
            answers.say_number(ticket, Self::HELD, wanted);
        }
    }

    /// No more than the client holds.
    fn drop_held(&mut self, client: ClientId, permits: u64) -> u64 {
        let Some(held) = self.held.get_mut(&client) else {
            return 0;
        };
        let dropped = permits.min(*held);
        *held -= dropped;
        if *held == 0 {
            self.held.remove(&client);
        }
        dropped
    }
}

impl Object for SemaphoreMachine {
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers) {
        let number = call.as_number();
        match call.what {
            Self::TRY if !self.line.is_empty() || self.permits < number => {
                answers.say(from, Self::LATE);
            }
            Self::ACQUIRE | Self::TRY => {
                self.line.push_back((from, number));
                self.serve(answers);
            }
            Self::RELEASE => {
                let released = self.drop_held(from.client, number);
                self.add(released, answers);
            }
            Self::ADD => {
                let is_possible = self
                    .permits
                    .checked_add(number)
                    .is_some_and(|sum| sum <= self.limit);
                answers.say(from, if is_possible { Self::DONE } else { Self::LATE });
                if is_possible {
                    self.add(number, answers);
                }
            }
            Self::FORGET => drop(self.drop_held(from.client, number)),
            Self::LOOK => answers.say_number(from, Self::COUNT, self.permits),
            _ => answers.say(from, Self::LATE),
        }
    }

    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers) {
        if let Some(at) = self.line.iter().position(|(other, _)| *other == ticket) {
            self.line.remove(at);
            answers.say(ticket, Self::LATE);
            // What was too little for this one may do for the next.
            self.serve(answers);
        }
    }

    fn leave(&mut self, client: ClientId, answers: &mut Answers) {
        self.line.retain(|(ticket, _)| ticket.client != client);
        let held = self.held.remove(&client).unwrap_or(0);
        self.add(held, answers);
    }

    fn take_back(&mut self, answer: Answer, answers: &mut Answers) {
        if answer.what == Self::HELD {
            let number = answer.as_number();
            let released = self.drop_held(answer.ticket.client, number);
            self.add(released, answers);
        }
    }
}
