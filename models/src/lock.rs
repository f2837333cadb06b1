//! The lock between processes: the word and the broker's line are the library's, the connection is the model's.
//!
//! A client is a thread. What a client tells the broker arrives at once, under one mutex, as do its deaths: the end of a
//! connection is read after all that was said on it. What differs from the library is only that nobody looks twice.

use crate::base::primitive::{Arc, AtomicU32, Mutex, lock};
use crate::ipc::broker::turns::{Told, Turns};
use crate::ipc::word::{Left, Word};

use loom::cell::UnsafeCell;
use loom::sync::Condvar;
use loom::thread;

/// Where a client's answer is left.
#[derive(Default)]
struct Slot {
    told: Mutex<Option<Told>>,
    filled: Condvar,
}

impl Slot {
    fn fill(&self, told: Told) {
        assert!(lock(&self.told).replace(told).is_none(), "told twice");
        self.filled.notify_one();
    }

    fn wait(&self) -> Told {
        let mut told = lock(&self.told);
        loop {
            match told.take() {
                Some(told) => return told,
                None => told = self.filled.wait(told).unwrap(),
            }
        }
    }
}

struct World {
    word: AtomicU32,
    turns: Mutex<Turns<Arc<Slot>>>,
    /// What the lock protects.
    count: UnsafeCell<u32>,
}

// SAFETY: `count` is accessed under the lock alone; loom checks exactly that.
unsafe impl Sync for World {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for World {}

/// Where a client dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dies {
    Never,
    /// With the lock.
    Holding,
    /// When it has let go, before it tells the broker what it owes.
    Owing,
    /// When it has been sent for.
    SentFor,
}

fn tell(slot: Arc<Slot>, told: Told) {
    slot.fill(told);
}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World {
            word: AtomicU32::new(0),
            turns: Mutex::new(Turns::default()),
            count: UnsafeCell::new(0),
        })
    }

    fn word(&self) -> Word<'_> {
        Word(&self.word)
    }

    /// `None` if it has died of being sent for; else whether the holder before had died.
    fn acquire(&self, me: u32, dies: Dies) -> Option<bool> {
        let mut held = self.word().take(me);
        let mut times = 0;
        loop {
            if let Some(is_abandoned) = held {
                return Some(is_abandoned);
            }
            let slot = Arc::new(Slot::default());
            lock(&self.turns).contend(self.word(), me, slot.clone(), times, &mut tell);
            match slot.wait() {
                Told::Held { is_abandoned } => return Some(is_abandoned),
                Told::Try if dies == Dies::SentFor => return None,
                Told::Try => {}
            }
            times += 1;
            held = self.word().take_soon(me, true);
        }
    }

    fn work(&self) {
        // SAFETY: the lock is held; loom checks exactly that.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }

    fn die(&self, me: u32) {
        lock(&self.turns).leave(self.word(), me, &mut tell);
    }

    /// A whole life; whether it had the lock, and found it abandoned.
    fn live(&self, me: u32, dies: Dies) -> Option<bool> {
        let Some(is_abandoned) = self.acquire(me, dies) else {
            self.die(me);
            return None;
        };
        self.work();
        if dies == Dies::Holding {
            self.die(me);
            return Some(is_abandoned);
        }
        let left = self.word().release(me);
        if dies == Dies::Owing {
            self.die(me);
            return Some(is_abandoned);
        }
        let mut turns = lock(&self.turns);
        match left {
            Left::Nothing => {}
            Left::Send => turns.send(self.word(), &mut tell),
            Left::HandOver => turns.release(self.word(), me, &mut tell),
        }
        Some(is_abandoned)
    }
}

/// Lives of several clients at once: how often the lock was had, and found abandoned.
fn explore(lives: &'static [Dies]) {
    loom::model(move || {
        let world = World::new();
        let others: Vec<_> = lives[1..]
            .iter()
            .zip(2..)
            .map(|(&dies, me)| {
                let world = world.clone();
                thread::spawn(move || world.live(me, dies))
            })
            .collect();
        let mut ends = vec![world.live(1, lives[0])];
        ends.extend(others.into_iter().map(|other| other.join().unwrap()));
        let had = ends.iter().flatten().count() as u32;
        // SAFETY: all others have ended.
        assert_eq!(world.count.with(|count| unsafe { *count }), had);
        for (dies, end) in lives.iter().zip(&ends) {
            assert!(end.is_some() || *dies == Dies::SentFor);
        }
        let told = ends.iter().flatten().filter(|told| **told).count();
        let died = lives.iter().filter(|dies| **dies == Dies::Holding).count();
        assert!(told <= died, "abandoned by nobody");
        // And the lock can be had, by one who has not died.
        assert!(world.acquire(9, Dies::Never).is_some());
    });
}

#[test]
fn one_has_it_at_a_time_and_each_in_the_end() {
    explore(&[Dies::Never, Dies::Never]);
}

#[test]
fn three_have_it_one_after_the_other() {
    explore(&[Dies::Never, Dies::Never, Dies::Never]);
}

#[test]
fn the_lock_of_a_dead_holder_is_free() {
    explore(&[Dies::Holding, Dies::Never, Dies::Never]);
}

#[test]
fn what_a_dead_one_owed_is_done_by_the_broker() {
    explore(&[Dies::Owing, Dies::Never, Dies::Never]);
}

#[test]
fn one_that_was_sent_for_and_died_keeps_nobody_waiting() {
    explore(&[Dies::Never, Dies::SentFor, Dies::Never]);
}

#[test]
fn one_that_is_handed_the_lock_is_no_less_its_holder() {
    loom::model(|| {
        let world = World::new();
        let theirs = world.clone();
        let other = thread::spawn(move || theirs.live(2, Dies::Never));
        // Without the word, and so strictly in its turn.
        let slot = Arc::new(Slot::default());
        lock(&world.turns).wait(world.word(), 1, slot.clone(), &mut tell);
        assert_eq!(
            slot.wait(),
            Told::Held {
                is_abandoned: false
            }
        );
        world.work();
        lock(&world.turns).release(world.word(), 1, &mut tell);
        other.join().unwrap();
        // SAFETY: the other has ended.
        assert_eq!(world.count.with(|count| unsafe { *count }), 2);
    });
}
