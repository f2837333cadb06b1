//! The event and the barrier as machines.

use super::object::{Answer, Answers, Call, ClientId, Object, Ticket};

/// A flag, and those who wait for it.
#[derive(Debug, Default)]
pub(in crate::ipc) struct EventMachine {
    is_set: bool,
    waiting: Vec<Ticket>,
}

impl EventMachine {
    /// Answered `DONE`.
    pub(in crate::ipc) const SET: u8 = 1;
    /// Answered `DONE`.
    pub(in crate::ipc) const CLEAR: u8 = 2;
    /// Answered `DONE` when it is set, or `LATE`.
    pub(in crate::ipc) const WAIT: u8 = 3;
    /// Answered `DONE` or `LATE` at once.
    pub(in crate::ipc) const LOOK: u8 = 4;

    pub(in crate::ipc) const DONE: u8 = 10;
    pub(in crate::ipc) const LATE: u8 = 11;
}

impl Object for EventMachine {
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers) {
        match call.what {
            Self::SET => {
                self.is_set = true;
                answers.say(from, Self::DONE);
                for ticket in self.waiting.drain(..) {
                    answers.say(ticket, Self::DONE);
                }
            }
            Self::CLEAR => {
                self.is_set = false;
                answers.say(from, Self::DONE);
            }
            Self::WAIT if !self.is_set => self.waiting.push(from),
            Self::WAIT | Self::LOOK if self.is_set => answers.say(from, Self::DONE),
            _ => answers.say(from, Self::LATE),
        }
    }

    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers) {
        if let Some(at) = self.waiting.iter().position(|other| *other == ticket) {
            self.waiting.remove(at);
            answers.say(ticket, Self::LATE);
        }
    }

    fn leave(&mut self, client: ClientId, _answers: &mut Answers) {
        self.waiting.retain(|ticket| ticket.client != client);
    }

    fn take_back(&mut self, _answer: Answer, _answers: &mut Answers) {}
}

/// A meeting of a number of parties. One that leaves before the others have come breaks it.
#[derive(Debug)]
pub(in crate::ipc) struct BarrierMachine {
    parties: usize,
    waiting: Vec<Ticket>,
    is_broken: bool,
}

impl BarrierMachine {
    /// Answered `TOGETHER`, by the number of those who came before, or `BROKEN`.
    pub(in crate::ipc) const WAIT: u8 = 1;
    /// Breaks it: answered `DONE`.
    pub(in crate::ipc) const ABORT: u8 = 2;
    /// Breaks it for those who wait, and makes it whole for others: answered `DONE`.
    pub(in crate::ipc) const RESET: u8 = 3;
    /// Answered `COUNT`: how many wait, or `BROKEN`.
    pub(in crate::ipc) const LOOK: u8 = 4;

    pub(in crate::ipc) const TOGETHER: u8 = 10;
    pub(in crate::ipc) const BROKEN: u8 = 11;
    pub(in crate::ipc) const DONE: u8 = 12;
    pub(in crate::ipc) const COUNT: u8 = 13;

    pub(in crate::ipc) fn new(parties: usize) -> Self {
        BarrierMachine {
            parties,
            waiting: Vec::new(),
            is_broken: false,
        }
    }

    fn break_up(&mut self, answers: &mut Answers) {
        for ticket in self.waiting.drain(..) {
            answers.say(ticket, Self::BROKEN);
        }
    }
}

impl Object for BarrierMachine {
    fn call(&mut self, from: Ticket, call: Call, answers: &mut Answers) {
        match call.what {
            Self::WAIT if !self.is_broken => {
                self.waiting.push(from);
                if self.waiting.len() >= self.parties {
                    for (place, ticket) in self.waiting.drain(..).enumerate() {
                        answers.say_number(ticket, Self::TOGETHER, place as u64);
                    }
                }
            }
            Self::ABORT => {
                self.is_broken = true;
                self.break_up(answers);
                answers.say(from, Self::DONE);
            }
            Self::RESET => {
                self.is_broken = false;
                self.break_up(answers);
                answers.say(from, Self::DONE);
            }
            Self::LOOK if !self.is_broken => {
                answers.say_number(from, Self::COUNT, self.waiting.len() as u64);
            }
            _ => answers.say(from, Self::BROKEN),
        }
    }

    fn give_up(&mut self, ticket: Ticket, answers: &mut Answers) {
        if self.waiting.contains(&ticket) {
            self.is_broken = true;
            self.break_up(answers);
        }
    }

    fn leave(&mut self, client: ClientId, answers: &mut Answers) {
        let before = self.waiting.len();
        self.waiting.retain(|ticket| ticket.client != client);
        if self.waiting.len() < before {
            self.is_broken = true;
            self.break_up(answers);
        }
    }

    fn take_back(&mut self, _answer: Answer, _answers: &mut Answers) {}
}
