//! One connection that many wait on: who waits, and who reads for all, is the library's; the connection is the model's,
//! and so is the loop in which one waits, which is that of `ipc/broker/connection.rs`.
//!
//! The pipes have room for one message each, and the server takes no call while answers are on their way, as a real one
//! does that has many. Nobody may wait for ever, whoever gives his call up.

use std::collections::VecDeque;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
use shuttle::{check_pct, check_random, thread};

use crate::ipc::broker::waiters::{Bell, Waiters};

/// With room for one.
struct Pipe<T>(Mutex<Option<T>>, Condvar);

impl<T> Pipe<T> {
    fn new() -> Self {
        Pipe(Mutex::new(None), Condvar::new())
    }

    fn send(&self, message: T) {
        let mut place = self.0.lock().unwrap();
        while place.is_some() {
            place = self.1.wait(place).unwrap();
        }
        *place = Some(message);
        self.1.notify_all();
    }

    /// The message back if there is no room.
    fn try_send(&self, message: T) -> Result<(), T> {
        let mut place = self.0.lock().unwrap();
        match &*place {
            Some(_) => Err(message),
            None => {
                *place = Some(message);
                self.1.notify_all();
                Ok(())
            }
        }
    }

    fn recv(&self) -> T {
        let mut place = self.0.lock().unwrap();
        loop {
            match place.take() {
                Some(message) => {
                    self.1.notify_all();
                    return message;
                }
                None => place = self.1.wait(place).unwrap(),
            }
        }
    }
}

#[derive(Default)]
struct Slot {
    /// Whether the answer is there, and whether it was rung.
    state: Mutex<(bool, bool)>,
    rung: Condvar,
}

impl Slot {
    fn fill(&self) {
        self.state.lock().unwrap().0 = true;
        self.ring();
    }

    fn take(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().0)
    }

    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.1 {
            state = self.rung.wait(state).unwrap();
        }
        state.1 = false;
    }
}

impl Bell for Slot {
    fn ring(&self) {
        self.state.lock().unwrap().1 = true;
        self.rung.notify_one();
    }
}

enum Said {
    Call(u64),
    GiveUp(u64),
    End,
}

struct Connection {
    calls: Pipe<Said>,
    answers: Pipe<u64>,
    /// Locked by who sends, and by who reads.
    sending: Mutex<()>,
    incoming: Mutex<()>,
    waiters: Waiters<Slot>,
    /// Tasks at home.
    home: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Connection {
    fn new() -> Arc<Connection> {
        Arc::new(Connection {
            calls: Pipe::new(),
            answers: Pipe::new(),
            sending: Mutex::new(()),
            incoming: Mutex::new(()),
            waiters: Waiters::new(),
            home: Mutex::default(),
        })
    }

    fn call(self: &Arc<Self>, number: u64, is_patient: bool) {
        let slot = Arc::new(Slot::default());
        assert!(self.waiters.enter(number, &slot));
        self.send(Said::Call(number));
        if !self.wait(number, &slot, is_patient) {
            self.give_up(number);
            assert!(self.wait(number, &slot, true));
        }
        let _ = self.waiters.leave(number);
    }

    fn send(&self, said: Said) {
        let _sending = self.sending.lock().unwrap();
        self.calls.send(said);
    }

    fn give_up(self: &Arc<Self>, number: u64) {
        let is_said = match self.sending.try_lock() {
            Ok(_sending) => self.calls.try_send(Said::GiveUp(number)).is_ok(),
            Err(_) => false,
        };
        if !is_said {
            let connection = self.clone();
            let say = move || connection.send(Said::GiveUp(number));
            self.home.lock().unwrap().push(thread::spawn(say));
        }
    }

    /// False when its time is over, which may be at any time.
    fn wait(&self, number: u64, slot: &Slot, is_patient: bool) -> bool {
        let is_over = || !is_patient && thread_rng().gen_bool(0.3);
        let _listening = self.waiters.listen(number);
        loop {
            if slot.take() {
                return true;
            }
            match self.incoming.try_lock() {
                Ok(incoming) => {
                    // Seed: without this look.
                    if slot.take() {
                        return true;
                    }
                    if is_over() || !self.lead(incoming, number, is_over) {
                        return false;
                    }
                }
                Err(_) if is_over() => return false,
                Err(_) => slot.wait(),
            }
        }
    }

    /// False when its time is over before its answer has come.
    fn lead(&self, _incoming: MutexGuard<'_, ()>, own: u64, is_over: impl Fn() -> bool) -> bool {
        loop {
            let number = self.answers.recv();
            if let Some(slot) = self.waiters.leave(number) {
                slot.fill();
            }
            if number == own {
                return true;
            }
            if is_over() {
                return false;
            }
        }
    }
}

/// Answers each call once: in its turn, when nothing else is to be done, or when it is given up.
#[derive(Default)]
struct Server {
    /// Calls that are not answered yet, and answers on their way.
    state: Mutex<(Vec<u64>, VecDeque<u64>, bool)>,
    changed: Condvar,
}

impl Server {
    fn listen(&self, connection: &Connection) {
        loop {
            let said = connection.calls.recv();
            let mut state = self.state.lock().unwrap();
            match said {
                Said::End => state.2 = true,
                Said::Call(number) if thread_rng().gen_bool(0.6) => state.1.push_back(number),
                Said::Call(number) => state.0.push(number),
                Said::GiveUp(number) => {
                    if let Some(at) = state.0.iter().position(|&other| other == number) {
                        state.0.remove(at);
                        state.1.push_back(number);
                    }
                }
            }
            self.changed.notify_all();
            if state.2 {
                return;
            }
            while !state.1.is_empty() {
                state = self.changed.wait(state).unwrap();
            }
        }
    }

    fn write(&self, connection: &Connection) {
        loop {
            let mut state = self.state.lock().unwrap();
            let number = loop {
                if state.1.is_empty() {
                    let next = state.0.pop();
                    state.1.extend(next);
                }
                match state.1.front() {
                    Some(&number) => break number,
                    None if state.2 => return,
                    None => state = self.changed.wait(state).unwrap(),
                }
            };
            drop(state);
            connection.answers.send(number);
            // No sooner: it is in line until it has left.
            self.state.lock().unwrap().1.pop_front();
            self.changed.notify_all();
        }
    }
}

/// Each caller's calls; one in three times impatient ones.
fn model(callers: &[u64]) {
    let (connection, server) = (Connection::new(), Arc::new(Server::default()));
    let threads: Vec<_> = callers
        .iter()
        .zip(0..)
        .map(|(&calls, caller)| {
            let connection = connection.clone();
            thread::spawn(move || {
                for call in 0..calls {
                    let is_patient = thread_rng().gen_bool(0.6);
                    connection.call(caller * 100 + call, is_patient);
                }
            })
        })
        .collect();
    let (theirs, end) = (connection.clone(), server.clone());
    let writer = thread::spawn(move || end.write(&theirs));
    let (theirs, end) = (connection.clone(), server.clone());
    let listener = thread::spawn(move || end.listen(&theirs));
    for thread in threads {
        thread.join().unwrap();
    }
    let home = std::mem::take(&mut *connection.home.lock().unwrap());
    for task in home {
        task.join().unwrap();
    }
    connection.send(Said::End);
    listener.join().unwrap();
    writer.join().unwrap();
}

#[test]
fn somebody_reads_while_anybody_waits() {
    check_random(|| model(&[3, 3, 2, 2, 2]), 10_000);
    check_pct(|| model(&[3, 3, 2, 2, 2]), 10_000, 4);
}
