//! The sleep protocol: nothing pushed between a look and a sleep is lost, and no work lies queued beside
//! a sleeper. A lost wake shows as a deadlock, which loom reports.
//!
//! Queues are bare counters with relaxed loads and stores, so that only the fences of the protocol can
//! put things in order.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Notify};
use loom::thread;

use crate::scheduler::sleep::{Commit, Hope, Sleepers};

struct World {
    sleepers: Sleepers,
    /// Stands for the eventfds.
    bells: Vec<Notify>,
    inbox: AtomicUsize,
    stealable: AtomicUsize,
    /// How many jobs have begun.
    begun: AtomicUsize,
    /// Rung when all have.
    all_begun: Vec<Notify>,
}

impl World {
    fn new(workers: usize) -> Arc<World> {
        Arc::new(World {
            sleepers: Sleepers::new(workers),
            bells: (0..workers).map(|_| Notify::new()).collect(),
            inbox: AtomicUsize::new(0),
            stealable: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            all_begun: (0..workers).map(|_| Notify::new()).collect(),
        })
    }

    fn ring(&self, worker: Option<usize>) {
        if let Some(worker) = worker {
            self.bells[worker].notify();
        }
    }

    fn push(&self) {
        self.stealable.fetch_add(1, Ordering::Relaxed);
    }

    fn more(&self) -> bool {
        self.stealable.load(Ordering::Relaxed) > 0
    }

    fn take(&self) -> bool {
        let less = |count: usize| count.checked_sub(1);
        self.stealable
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// One sleep, unless `look` finds something.
    fn sleep(&self, me: usize, hope: Hope, look: impl Fn() -> bool) {
        self.sleepers.prepare_sleep(me);
        if look() {
            return self.sleepers.cancel_sleep(me);
        }
        match self.sleepers.commit_sleep(me, hope, || !look()) {
            Commit::Woken => {}
            Commit::Sleep => {
                self.bells[me].wait();
                let _ = self.sleepers.rise(me);
            }
            Commit::Quiescent(_) => panic!("not quiescent: another thread is yet to push"),
        }
    }

    /// Searches and sleeps until it has one job, and stays in that until all jobs have begun: so a job
    /// left in the queue beside a sleeper is a deadlock.
    fn one_job(&self, me: usize, jobs: usize) {
        loop {
            self.sleepers.start_search(me);
            if self.take() {
                break;
            }
            self.sleep(me, Hope::Hopeful, || self.more());
        }
        self.ring(self.sleepers.stop_search(me, || self.more()));
        if self.begun.fetch_add(1, Ordering::AcqRel) + 1 == jobs {
            self.all_begun.iter().for_each(Notify::notify);
        } else {
            self.all_begun[me].wait();
        }
    }
}

#[test]
fn a_push_to_the_inbox_is_never_slept_through() {
    loom::model(|| {
        let world = World::new(1);
        let foreign = {
            let world = world.clone();
            thread::spawn(move || {
                world.inbox.store(1, Ordering::Relaxed);
                if world.sleepers.wake(0) {
                    world.bells[0].notify();
                }
            })
        };
        let look = || world.inbox.load(Ordering::Relaxed) > 0;
        while !look() {
            world.sleep(0, Hope::Hopeful, look);
        }
        foreign.join().unwrap();
    });
}

#[test]
fn a_wake_is_true_once_a_sleep() {
    loom::model(|| {
        let world = World::new(1);
        world.sleepers.prepare_sleep(0);
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || usize::from(world.sleepers.wake(0)))
            })
            .collect();
        let woken: usize = wakers.into_iter().map(|waker| waker.join().unwrap()).sum();
        assert_eq!(woken, 1);
    });
}

#[test]
fn a_foreign_push_reaches_one_of_two_workers() {
    loom::model(|| {
        let world = World::new(2);
        let worker = {
            let world = world.clone();
            thread::spawn(move || world.one_job(1, 1))
        };
        world.push();
        world.ring(world.sleepers.wake_any());
        worker.join().unwrap();
    });
}

#[test]
fn no_job_is_left_beside_a_sleeper() {
    loom::model(|| {
        let world = World::new(2);
        let workers: Vec<_> = (0..2)
            .map(|me| {
                let world = world.clone();
                thread::spawn(move || world.one_job(me, 2))
            })
            .collect();
        for _ in 0..2 {
            world.push();
            world.ring(world.sleepers.wake_any());
        }
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_searcher_called_away_by_its_inbox_passes_its_duty_on() {
    called_away(false);
}

#[test]
fn so_does_one_that_looks_out_for_letters_before_it_sleeps() {
    called_away(true);
}

fn called_away(looks_out: bool) {
    // Three threads that lock: at three preemptions this alone takes minutes (it passes).
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let world = World::new(2);
        let begun = || world.all_begun[0].notify();
        // Worker 1 sleeps, and begins what there is when it is woken. (A spurious return of `wait` ends
        // the model early, no more.)
        world.sleepers.prepare_sleep(1);
        assert_eq!(
            world.sleepers.commit_sleep(1, Hope::Hopeful, || true),
            Commit::Sleep
        );
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                world.bells[1].wait();
                let _ = world.sleepers.rise(1);
                world.take();
                world.all_begun[0].notify();
            })
        };
        let foreign = {
            let world = world.clone();
            thread::spawn(move || {
                world.push();
                world.ring(world.sleepers.wake_any());
                world.inbox.store(1, Ordering::Relaxed);
                if world.sleepers.wake(0) {
                    world.bells[0].notify();
                }
            })
        };
        // Worker 0 searches; in its inbox comes a job that ends only when the stealable one has begun.
        let called = || world.inbox.load(Ordering::Relaxed) > 0;
        while !called() {
            world.sleepers.start_search(0);
            if world.take() {
                world.ring(world.sleepers.stop_search(0, || world.more()));
                begun();
                continue;
            }
            if looks_out {
                world.ring(world.sleepers.stop_search(0, || world.more()));
                if called() {
                    break;
                }
            }
            world.sleep(0, Hope::Hopeful, || called() || world.more());
        }
        world.ring(world.sleepers.stop_search(0, || world.more()));
        world.all_begun[0].wait();
        if world.sleepers.wake(1) {
            world.bells[1].notify();
        }
        foreign.join().unwrap();
        other.join().unwrap();
    });
}
