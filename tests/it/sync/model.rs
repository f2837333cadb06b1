//! The real ones beside naive ones: whoever is inside according to the one is inside according to the other.

use std::collections::VecDeque;

use greenloom::sync::{Arc, Event, Mutex, RwLock, Semaphore};
use greenloom::{JoinHandle, spawn, yield_now};
use proptest::prelude::*;

use crate::util::green;

/// What happens next; numbers choose among those who are there.
#[derive(Clone, Debug)]
enum Step {
    /// One more comes, and wants so much.
    Come(usize),
    /// One who is inside goes out.
    Go(usize),
    /// One who waits or is inside is cancelled.
    Cancel(usize),
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..most).prop_map(Step::Come),
        2 => any::<usize>().prop_map(Step::Go),
        1 => any::<usize>().prop_map(Step::Cancel),
    ];
    proptest::collection::vec(step, 0..60)
}

/// So much room, and a line: whoever is first gets in when there is room for it.
#[derive(Debug)]
struct Naive {
    room: usize,
    line: VecDeque<(usize, usize)>,
    inside: Vec<(usize, usize)>,
}

impl Naive {
    fn serve(&mut self) {
        while let Some(&(id, size)) = self.line.front()
            && size <= self.room
        {
            self.room -= size;
            self.line.pop_front();
            self.inside.push((id, size));
        }
    }

    fn remove(&mut self, id: usize) {
        self.line.retain(|&(other, _)| other != id);
        if let Some(at) = self.inside.iter().position(|&(other, _)| other == id) {
            self.room += self.inside.remove(at).1;
        }
        self.serve();
    }

    fn ids(&self) -> Vec<usize> {
        self.inside.iter().map(|&(id, _)| id).collect()
    }

    fn present(&self) -> Vec<usize> {
        let waiting = self.line.iter().map(|&(id, _)| id);
        self.ids().into_iter().chain(waiting).collect()
    }
}

struct Actor {
    task: JoinHandle<()>,
    may_go: Arc<Event>,
}

/// Leaves the list of those inside.
struct Inside(usize, Arc<Mutex<Vec<usize>>>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.1.lock().unwrap().retain(|&id| id != self.0);
    }
}

fn settle() {
    (0..8).for_each(|_| yield_now());
}

/// `enter` gets in with so much, calls what it is given, and goes out.
fn agrees(
    steps: &[Step],
    room: usize,
    size: impl Fn(usize) -> usize,
    enter: impl Fn(usize, &mut dyn FnMut()) + Clone + Send + 'static,
) {
    let mut naive = Naive {
        room,
        line: VecDeque::new(),
        inside: Vec::new(),
    };
    let inside = Arc::new(Mutex::new(Vec::new()));
    let mut actors = Vec::new();
    for step in steps {
        match *step {
            Step::Come(choice) => {
                let (id, size) = (actors.len(), size(choice));
                naive.line.push_back((id, size));
                naive.serve();
                let may_go = Arc::new(Event::new());
                let (gate, inside, enter) = (may_go.clone(), inside.clone(), enter.clone());
                let task = spawn(move || {
                    enter(size, &mut || {
                        inside.lock().unwrap().push(id);
                        let _inside = Inside(id, inside.clone());
                        gate.wait();
                    });
                });
                actors.push(Actor { task, may_go });
            }
            Step::Go(choice) => {
                let ids = naive.ids();
                if ids.is_empty() {
                    continue;
                }
                let id = ids[choice % ids.len()];
                naive.remove(id);
                actors[id].may_go.set();
            }
            Step::Cancel(choice) => {
                let ids = naive.present();
                if ids.is_empty() {
                    continue;
                }
                let id = ids[choice % ids.len()];
                naive.remove(id);
                actors[id].task.cancel();
            }
        }
        settle();
        assert_eq!(*inside.lock().unwrap(), naive.ids(), "after {step:?}");
    }
    for actor in &actors {
        actor.may_go.set();
    }
    for actor in actors {
        let _ = actor
            .task
            .join()
            .map_err(|error| assert!(error.is_cancelled()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// An `RwLock` is a room in which a writer takes all the place.
    #[test]
    fn an_rwlock_lets_in_whom_a_naive_one_lets_in(steps in steps(3)) {
        const ROOM: usize = 1000;
        green(|| {
            let lock = Arc::new(RwLock::new(()));
            let enter = {
                let lock = lock.clone();
                move |size: usize, inside: &mut dyn FnMut()| {
                    if size == ROOM {
                        let _guard = lock.write().unwrap();
                        inside();
                    } else {
                        let _guard = lock.read().unwrap();
                        inside();
                    }
                }
            };
            agrees(&steps, ROOM, |choice| if choice == 0 { ROOM } else { 1 }, enter);
            assert!(lock.try_write().is_ok(), "free at the end");
        });
    }

    #[test]
    fn a_semaphore_lets_in_whom_a_naive_one_lets_in(steps in steps(5)) {
        green(|| {
            let semaphore = Arc::new(Semaphore::new(6));
            let enter = {
                let semaphore = semaphore.clone();
                move |size: usize, inside: &mut dyn FnMut()| {
                    let _permits = semaphore.acquire_many(size);
                    inside();
                }
            };
            agrees(&steps, 6, |choice| choice + 1, enter);
            assert_eq!(semaphore.available_permits(), 6);
        });
    }
}
