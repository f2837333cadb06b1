//! The mpmc channel beside a naive model: several tasks that send, receive, time out and are cancelled.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use greenloom::channel::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded,
};
use greenloom::{JoinHandle, sleep, spawn, yield_now};
use proptest::prelude::*;

use crate::util::virtual_time;

/// How what a task did has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    Refused(u32),
    SendTimedOut(u32),
    Received(u32),
    Ended,
    RecvTimedOut,
    Cancelled,
}

#[derive(Clone, Debug)]
enum Step {
    /// By a task that waits as long as that, in seconds.
    Send(u64),
    Recv(u64),
    /// By the main task, without letting the others run.
    TrySend,
    TryRecv,
    Cancel(usize),
    Close,
    /// Lets the others run.
    Settle,
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u64..20).prop_map(Step::Send),
        6 => (1u64..20).prop_map(Step::Recv),
        4 => Just(Step::TrySend),
        4 => Just(Step::TryRecv),
        4 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::Settle),
        2 => (1u64..8).prop_map(Step::Advance),
    ]
}

/// Plain lists. A receiver that was called has not come yet: it gets whatever is first when it does, but at a
/// rendezvous what it was called for.
struct Model {
    capacity: usize,
    items: VecDeque<u32>,
    called: VecDeque<(usize, Option<u32>)>,
    takers: VecDeque<(usize, u64)>,
    givers: VecDeque<(usize, u32, u64)>,
    is_closed: bool,
    now: u64,
    done: BTreeMap<usize, Outcome>,
}

impl Model {
    fn new(capacity: usize) -> Self {
        Model {
            capacity,
            items: VecDeque::new(),
            called: VecDeque::new(),
            takers: VecDeque::new(),
            givers: VecDeque::new(),
            is_closed: false,
            now: 0,
            done: BTreeMap::new(),
        }
    }

    fn len(&self) -> usize {
        match self.capacity {
            0 => self.items.len(),
            _ => self.items.len() - self.called.len(),
        }
    }

    fn is_ended(&self) -> bool {
        self.is_closed && self.items.is_empty() && self.called.is_empty()
    }

    fn try_send(&mut self, value: u32) -> Result<(), TrySendError<u32>> {
        if self.is_closed {
            return Err(TrySendError::Disconnected(value));
        }
        match self.takers.pop_front() {
            Some((id, _)) if self.capacity == 0 => {
                self.called.push_back((id, Some(value)));
                return Ok(());
            }
            Some((id, _)) => self.called.push_back((id, None)),
            None if self.len() >= self.capacity => return Err(TrySendError::Full(value)),
            None => {}
        }
        self.items.push_back(value);
        Ok(())
    }

    fn try_recv(&mut self) -> Result<u32, TryRecvError> {
        if self.len() == 0 {
            // A rendezvous, if somebody waits with a value.
            return match self.givers.pop_front() {
                Some((id, value, _)) => {
                    self.done.insert(id, Outcome::Sent);
                    self.items.push_back(value);
                    Ok(self.items.pop_front().unwrap())
                }
                None if self.is_ended() => Err(TryRecvError::Disconnected),
                None => Err(TryRecvError::Empty),
            };
        }
        let value = self.items.pop_front().unwrap();
        if self.len() < self.capacity
            && let Some((id, value, _)) = self.givers.pop_front()
        {
            self.items.push_back(value);
            self.done.insert(id, Outcome::Sent);
        }
        Ok(value)
    }

    fn send(&mut self, id: usize, value: u32, patience: u64) {
        match self.try_send(value) {
            Ok(()) => _ = self.done.insert(id, Outcome::Sent),
            Err(TrySendError::Disconnected(value)) => {
                self.done.insert(id, Outcome::Refused(value));
            }
            Err(TrySendError::Full(value)) => {
                self.givers.push_back((id, value, self.now + patience));
            }
        }
    }

    fn recv(&mut self, id: usize, patience: u64) {
        match self.try_recv() {
            Ok(value) => _ = self.done.insert(id, Outcome::Received(value)),
            Err(TryRecvError::Disconnected) => _ = self.done.insert(id, Outcome::Ended),
            Err(TryRecvError::Empty) => self.takers.push_back((id, self.now + patience)),
        }
    }

    fn cancel(&mut self, id: usize) {
        if let Some(place) = self.called.iter().position(|(other, _)| *other == id) {
            // What was meant for it goes to the next in line, if there is one.
            let (_, value) = self.called.remove(place).unwrap();
            match (self.takers.pop_front(), value) {
                (Some((next, _)), value) => self.called.push_back((next, value)),
                (None, Some(value)) => {
                    let place = self.items.partition_point(|other| *other < value);
                    self.items.insert(place, value);
                }
                (None, None) => {}
            }
        }
        self.takers.retain(|(other, _)| *other != id);
        self.givers.retain(|(other, ..)| *other != id);
        self.done.insert(id, Outcome::Cancelled);
    }

    fn close(&mut self) {
        self.is_closed = true;
        for (id, value, _) in std::mem::take(&mut self.givers) {
            self.done.insert(id, Outcome::Refused(value));
        }
    }

    fn settle(&mut self) {
        while let Some((id, value)) = self.called.pop_front() {
            let value = value.unwrap_or_else(|| self.items.pop_front().unwrap());
            self.done.insert(id, Outcome::Received(value));
        }
        if self.is_ended() {
            for (id, _) in std::mem::take(&mut self.takers) {
                self.done.insert(id, Outcome::Ended);
            }
        }
    }

    fn advance(&mut self, seconds: u64) {
        self.now += seconds;
        for (id, deadline) in std::mem::take(&mut self.takers) {
            match deadline <= self.now {
                true => _ = self.done.insert(id, Outcome::RecvTimedOut),
                false => self.takers.push_back((id, deadline)),
            }
        }
        for (id, value, deadline) in std::mem::take(&mut self.givers) {
            match deadline <= self.now {
                true => _ = self.done.insert(id, Outcome::SendTimedOut(value)),
                false => self.givers.push_back((id, value, deadline)),
            }
        }
    }
}

/// The channel, and the tasks that are at it.
struct Real {
    sender: Sender<u32>,
    receiver: Receiver<u32>,
    tasks: BTreeMap<usize, JoinHandle<Outcome>>,
}

impl Real {
    fn send(&mut self, id: usize, value: u32, patience: u64) {
        let sender = self.sender.clone();
        let work = move || match sender.send_timeout(value, Duration::from_secs(patience)) {
            Ok(()) => Outcome::Sent,
            Err(SendTimeoutError::Timeout(value)) => Outcome::SendTimedOut(value),
            Err(SendTimeoutError::Disconnected(value)) => Outcome::Refused(value),
        };
        self.tasks.insert(id, spawn(work));
    }

    fn recv(&mut self, id: usize, patience: u64) {
        let receiver = self.receiver.clone();
        let work = move || match receiver.recv_timeout(Duration::from_secs(patience)) {
            Ok(value) => Outcome::Received(value),
            Err(RecvTimeoutError::Timeout) => Outcome::RecvTimedOut,
            Err(RecvTimeoutError::Disconnected) => Outcome::Ended,
        };
        self.tasks.insert(id, spawn(work));
    }

    /// Takes the outcomes of those who have ended.
    fn outcomes(&mut self) -> BTreeMap<usize, Outcome> {
        let ended: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.is_finished())
            .map(|(id, _)| *id)
            .collect();
        let join = |id| {
            let outcome = self.tasks.remove(&id).unwrap().join();
            (id, outcome.unwrap_or(Outcome::Cancelled))
        };
        ended.into_iter().map(join).collect()
    }
}

fn everybody_runs() {
    // A call, a pass to the next, and the end, one after the other.
    (0..8).for_each(|_| yield_now());
}

fn compare(
    capacity: usize,
    steps: Vec<Step>,
    closes_at: Option<usize>,
) -> Result<(), TestCaseError> {
    let (sender, receiver) = bounded(capacity);
    let mut real = Real {
        sender,
        receiver,
        tasks: BTreeMap::new(),
    };
    let mut model = Model::new(capacity.min(usize::MAX - 1));
    for (number, step) in steps.into_iter().enumerate() {
        let value = number as u32;
        let step = match closes_at {
            Some(at) if at == number => Step::Close,
            _ => step,
        };
        if matches!(step, Step::Send(_) | Step::Recv(_) | Step::Advance(_)) {
            everybody_runs();
            model.settle();
        }
        match step {
            Step::Send(patience) => {
                real.send(number, value, patience);
                model.send(number, value, patience);
            }
            Step::Recv(patience) => {
                real.recv(number, patience);
                model.recv(number, patience);
            }
            Step::TrySend => {
                prop_assert_eq!(real.sender.try_send(value), model.try_send(value));
            }
            Step::TryRecv => {
                prop_assert_eq!(real.receiver.try_recv(), model.try_recv());
            }
            Step::Cancel(who) => {
                let count = real.tasks.len();
                if count > 0 {
                    let (&id, task) = real.tasks.iter().nth(who % count).unwrap();
                    task.cancel();
                    model.cancel(id);
                }
                // A cancelled receiver passes its turn on when it unwinds.
                everybody_runs();
                model.settle();
            }
            Step::Close => {
                real.sender.close();
                model.close();
            }
            Step::Settle => {}
            Step::Advance(seconds) => {
                sleep(Duration::from_secs(seconds));
                model.advance(seconds);
            }
        }
        if matches!(
            step,
            Step::Send(_) | Step::Recv(_) | Step::Settle | Step::Advance(_) | Step::Cancel(_)
        ) {
            everybody_runs();
            model.settle();
            prop_assert_eq!(
                real.outcomes(),
                std::mem::take(&mut model.done),
                "step {}",
                number
            );
        }
        prop_assert_eq!(real.sender.len(), model.len(), "step {}", number);
    }
    Ok(())
}

proptest! {
    #[test]
    fn it_agrees_with_plain_lists_of_items_and_of_those_who_wait(
        capacity in prop_oneof![3 => 0usize..5, 1 => Just(usize::MAX)],
        steps in proptest::collection::vec(step(), 1..150),
        closes_at in proptest::option::of(0usize..150),
    ) {
        virtual_time(|| compare(capacity, steps, closes_at))?;
    }
}
