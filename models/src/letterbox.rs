//! Wakes that come by letter: box, mark and sleep are the library's, the task is the model's.
//!
//! Two strangers each do what the task waits for, by bare relaxed stores, and wake it; the second may find that the
//! first one's letter lies there already. A wake that is lost, or that comes without the deed, is a deadlock.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::scheduler::letterbox::{Announced, Letterbox};
use crate::scheduler::phases::{AfterWake, Phases};
use crate::scheduler::sleep::{Commit, Hope, Risen, Sleepers};

const KEY: u32 = 0;

enum Letter {
    Wake,
    Question,
}

struct World {
    sleepers: Sleepers,
    /// Stands for the eventfd.
    bell: Notify,
    letters: Letterbox<Letter>,
    announced: Announced,
    /// What the task waits for: both.
    deeds: [AtomicUsize; 2],
    answered: Notify,
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            sleepers: Sleepers::new(1),
            bell: Notify::new(),
            letters: Letterbox::new(),
            announced: Announced::new(),
            deeds: [AtomicUsize::new(0), AtomicUsize::new(0)],
            answered: Notify::new(),
        })
    }

    fn do_and_wake(&self, deed: usize) {
        self.deeds[deed].store(1, Ordering::Relaxed);
        if self.announced.announce() {
            self.letters.put(Letter::Wake, true);
            if self.sleepers.wake(0) {
                self.bell.notify();
            }
        }
    }

    fn ask(&self) {
        self.letters.put(Letter::Question, false);
        if self.sleepers.ask(0) {
            self.bell.notify();
        }
    }

    fn all_done(&self) -> bool {
        self.deeds
            .iter()
            .all(|deed| deed.load(Ordering::Relaxed) == 1)
    }
}

/// The worker, with one task.
struct Worker<'a> {
    world: &'a World,
    phases: Phases,
    is_ready: bool,
    is_done: bool,
}

impl Worker<'_> {
    /// To the end of the task.
    fn work(mut self) {
        self.phases.begin(KEY);
        self.turn();
        while !self.is_done {
            self.read_letters();
            match self.is_ready {
                true => self.turn(),
                false => self.sleep(),
            }
        }
    }

    /// The task itself: looks, parks, looks again.
    fn turn(&mut self) {
        while self.is_ready && !self.is_done {
            self.phases.enter_if_ready(KEY);
            self.is_done = self.world.all_done();
            self.is_ready = !self.is_done && !self.phases.try_park(KEY);
        }
    }

    fn read_letters(&mut self) {
        if !self.world.letters.is_filled() {
            return;
        }
        let mut letters = Vec::new();
        self.world.letters.take(&mut letters);
        for letter in letters {
            match letter {
                Letter::Wake => {
                    // Seed: after the task's turn.
                    self.world.announced.receive();
                    self.is_ready |= self.phases.wake(KEY) == AfterWake::Enqueue;
                }
                Letter::Question => self.world.answered.notify(),
            }
        }
    }

    fn sleep(&mut self) {
        let sleepers = &self.world.sleepers;
        sleepers.prepare_sleep(0);
        if self.world.letters.is_filled() {
            return sleepers.cancel_sleep(0);
        }
        match sleepers.commit_sleep(0, Hope::Hopeful, || true) {
            Commit::Sleep => {}
            Commit::Woken => return,
            Commit::Quiescent(_) => panic!("not quiescent: it has hope"),
        }
        loop {
            self.world.bell.wait();
            match sleepers.rise(0) {
                Risen::Awake => return,
                Risen::Asked => self.read_letters(),
            }
            if self.is_ready {
                return sleepers.cancel_sleep(0);
            }
            if !sleepers.answered(0) {
                return;
            }
        }
    }
}

fn explore(preemptions: Option<usize>, strangers: &'static [fn(&World)]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions.or(model.preemption_bound);
    model.check(move || {
        let world = World::new();
        let threads: Vec<_> = strangers
            .iter()
            .map(|stranger| {
                let world = world.clone();
                thread::spawn(move || stranger(&world))
            })
            .collect();
        let worker = Worker {
            world: &world,
            phases: Phases::new(),
            is_ready: true,
            is_done: false,
        };
        worker.work();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_wake_is_in_a_letter_of_its_own_or_in_one_that_lies_there() {
    explore(
        None,
        &[|world| world.do_and_wake(0), |world| world.do_and_wake(1)],
    );
}

#[test]
fn one_stranger_may_wake_again_and_again() {
    explore(
        None,
        &[|world| {
            world.do_and_wake(0);
            world.do_and_wake(1);
        }],
    );
}

#[test]
fn a_question_hides_no_wake_and_a_wake_no_question() {
    // At three preemptions this alone takes minutes (it passes).
    explore(
        Some(2),
        &[
            |world| world.do_and_wake(0),
            |world| {
                world.ask();
                world.answered.wait();
                world.do_and_wake(1);
            },
        ],
    );
}
