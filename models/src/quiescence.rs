//! Three workers, a foreign thread and a job outside: no deadlock is reported while anything is on its
//! way, work never lies beside sleepers for good, and in the end the quiescence is always found.
//!
//! Shuttle runs one thread at a time and switches only at its own primitives; so a plain ledger beside
//! them (std atomics) is exact: it counts an item from the moment it can be seen until it is done.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::SeqCst;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::{check_pct, check_random, thread};

use crate::scheduler::sleep::{Commit, Epoch, Hope, Risen, Sleepers};

const WORKERS: usize = 3;

/// An item that makes `n` more when it is run.
#[derive(Clone, Copy)]
struct Item(usize);

/// Stands for an eventfd.
#[derive(Default)]
struct Bell(Mutex<bool>, Condvar);

impl Bell {
    fn ring(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.0.lock().unwrap();
        while !*rung {
            rung = self.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

#[derive(Default)]
struct Worker {
    bell: Bell,
    inbox: Mutex<VecDeque<Item>>,
    /// Questions of the report (who asks, of which epoch), apart from the inbox, which `look` sees.
    questions: Mutex<Vec<(usize, Epoch)>>,
    answers: Mutex<Vec<Epoch>>,
}

struct World {
    sleepers: Sleepers,
    workers: Vec<Worker>,
    injector: Mutex<VecDeque<Item>>,
    stop: Mutex<bool>,
    /// Items that were ever to be seen.
    pushed: Plain,
    /// Those of them that are done.
    done: Plain,
    /// Jobs outside that have not been counted out.
    outside: Plain,
    /// Items sent by the foreign thread.
    foreign_sent: Plain,
    /// How many it is going to send; at least one, so that somebody judges after the last.
    foreign_plan: usize,
    reports: Plain,
    told: std::sync::Mutex<Vec<Epoch>>,
}

impl World {
    fn live(&self) -> usize {
        self.pushed.load(SeqCst) - self.done.load(SeqCst)
    }

    fn ring(&self, worker: Option<usize>) {
        if let Some(worker) = worker {
            self.workers[worker].bell.ring();
        }
    }

    fn send(&self, worker: usize, item: Item, foreign: bool) {
        let mut inbox = self.workers[worker].inbox.lock().unwrap();
        self.pushed.fetch_add(1, SeqCst);
        self.foreign_sent.fetch_add(usize::from(foreign), SeqCst);
        inbox.push_back(item);
        drop(inbox);
        if self.sleepers.wake(worker) {
            self.workers[worker].bell.ring();
        }
    }

    fn inject(&self, item: Item, foreign: bool) {
        let mut injector = self.injector.lock().unwrap();
        self.pushed.fetch_add(1, SeqCst);
        self.foreign_sent.fetch_add(usize::from(foreign), SeqCst);
        injector.push_back(item);
        drop(injector);
        self.ring(if foreign {
            self.sleepers.wake_any()
        } else {
            self.sleepers.wake_one()
        });
    }

    fn run(&self, item: Item) {
        for _ in 0..item.0 {
            if thread_rng().gen_bool(0.5) {
                self.send(thread_rng().gen_range(0..WORKERS), Item(item.0 - 1), false);
            } else {
                self.inject(Item(item.0 - 1), false);
            }
        }
        self.done.fetch_add(1, SeqCst);
    }

    fn more(&self) -> bool {
        !self.injector.lock().unwrap().is_empty()
    }

    fn work(&self, me: usize) {
        let own = &self.workers[me];
        while !*self.stop.lock().unwrap() {
            // Whoever is awake has moved the epoch, so every question is out of date.
            for (_, epoch) in own.questions.lock().unwrap().drain(..) {
                assert!(!self.sleepers.is_still(epoch), "asked while awake");
            }
            let mut item = own.inbox.lock().unwrap().pop_front();
            if item.is_none() {
                self.sleepers.start_search(me);
                item = self.injector.lock().unwrap().pop_front();
            }
            match item {
                Some(item) => {
                    self.ring(self.sleepers.stop_search(me, || self.more()));
                    self.run(item);
                }
                None => self.sleep(me),
            }
        }
    }

    fn sleep(&self, me: usize) {
        let own = &self.workers[me];
        self.sleepers.prepare_sleep(me);
        // Seed: leave this look out.
        if !own.inbox.lock().unwrap().is_empty() || self.more() || *self.stop.lock().unwrap() {
            return self.sleepers.cancel_sleep(me);
        }
        let mut gathering = None;
        let pushed = self.pushed.load(SeqCst);
        match self
            .sleepers
            .commit_sleep(me, Hope::Hopeless, || self.look())
        {
            Commit::Woken => return,
            Commit::Sleep => {}
            Commit::Quiescent(epoch) => {
                // However the look went: what was pushed before it is done.
                assert!(
                    self.done.load(SeqCst) >= pushed,
                    "quiescent with a wake in flight"
                );
                let mut told = self.told.lock().unwrap();
                assert!(!told.contains(&epoch), "told twice of one epoch");
                told.push(epoch);
                drop(told);
                gathering = Some(epoch);
                for other in (0..WORKERS).filter(|other| *other != me) {
                    self.workers[other]
                        .questions
                        .lock()
                        .unwrap()
                        .push((me, epoch));
                    if self.sleepers.ask(other) {
                        self.workers[other].bell.ring();
                    }
                }
            }
        }
        loop {
            own.bell.wait();
            match self.sleepers.rise(me) {
                Risen::Awake => return,
                Risen::Asked => {}
            }
            let questions = std::mem::take(&mut *own.questions.lock().unwrap());
            for (who, epoch) in questions {
                self.workers[who].answers.lock().unwrap().push(epoch);
                if self.sleepers.ask(who) {
                    self.workers[who].bell.ring();
                }
            }
            if let Some(epoch) = gathering {
                let answers = own
                    .answers
                    .lock()
                    .unwrap()
                    .iter()
                    .filter(|e| **e == epoch)
                    .count();
                if answers == WORKERS - 1 {
                    if self.sleepers.raise(me, epoch) {
                        return self.report();
                    }
                    gathering = None;
                }
            }
            if !self.sleepers.answered(me) {
                return;
            }
        }
    }

    /// Whether all queues are empty, as the last sleeper sees them; and if so, whether that is the truth.
    fn look(&self) -> bool {
        let before = self.foreign_sent.load(SeqCst);
        let quiet = self
            .workers
            .iter()
            .all(|worker| worker.inbox.lock().unwrap().is_empty())
            && !self.more();
        // What a foreign thread sends during the look comes to a program that was quiescent.
        if quiet && before == self.foreign_sent.load(SeqCst) {
            assert_eq!(self.live(), 0, "quiescent with work on its way");
            assert_eq!(self.outside.load(SeqCst), 0, "quiescent with a job outside");
        }
        quiet
    }

    fn report(&self) {
        self.reports.fetch_add(1, SeqCst);
        let sent = self.foreign_sent.load(SeqCst);
        if sent == self.foreign_plan && self.live() == 0 {
            *self.stop.lock().unwrap() = true;
            for (number, worker) in self.workers.iter().enumerate() {
                if self.sleepers.wake(number) {
                    worker.bell.ring();
                }
            }
        } else {
            // True, but not the end: the foreign thread is about to send more.
            thread::yield_now();
        }
    }
}

fn run() {
    let world = Arc::new(World {
        sleepers: Sleepers::new(WORKERS),
        workers: (0..WORKERS).map(|_| Worker::default()).collect(),
        injector: Mutex::default(),
        stop: Mutex::new(false),
        pushed: Plain::new(0),
        done: Plain::new(0),
        outside: Plain::new(0),
        foreign_sent: Plain::new(0),
        foreign_plan: thread_rng().gen_range(1..5),
        reports: Plain::new(0),
        told: std::sync::Mutex::default(),
    });
    // Before the workers run, as a job is counted in by somebody awake: a look that is under way does not
    // see it come.
    world.sleepers.outside_began();
    world.outside.fetch_add(1, SeqCst);
    let workers: Vec<_> = (0..WORKERS)
        .map(|me| {
            let world = world.clone();
            thread::spawn(move || world.work(me))
        })
        .collect();
    // A job outside: its item first, then it is counted out, and then whoever must judge is woken.
    let job = {
        let world = world.clone();
        thread::spawn(move || {
            if thread_rng().gen_bool(0.5) {
                world.send(thread_rng().gen_range(0..WORKERS), Item(1), false);
            }
            world.outside.fetch_sub(1, SeqCst);
            world.ring(world.sleepers.outside_ended());
        })
    };
    for _ in 0..world.foreign_plan {
        if thread_rng().gen_bool(0.5) {
            world.send(thread_rng().gen_range(0..WORKERS), Item(2), true);
        } else {
            world.inject(Item(2), true);
        }
    }
    job.join().unwrap();
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
    assert!(world.reports.load(SeqCst) >= 1);
    assert_eq!(world.live(), 0);
}

#[test]
fn quiescence_is_found_and_never_too_early() {
    check_random(run, 50_000);
}

#[test]
fn quiescence_under_few_but_nasty_preemptions() {
    check_pct(run, 10_000, 3);
}
