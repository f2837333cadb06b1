//! Programs that nobody should write, and that must harm nobody else: things kept too long, forgotten, or used
//! in the midst of something.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use greenloom::channel::{self, bounded, unbounded};
use greenloom::coroutine::{Coroutine, Generator};
use greenloom::pool::GreenPool;
use greenloom::queue::Queue;
use greenloom::select::{self, Select};
use greenloom::sync::{Mutex, Semaphore};
use greenloom::task::{self, CancelToken};
use greenloom::{Runtime, park, scope, sleep, spawn, task_local, timeout, yield_now};

use crate::util::green;
use crate::watch::{LONG, OnDrop, watched};

/// Does on this thread all that a thread without a runtime may do.
fn do_it_all() {
    assert_eq!(spawn(|| 3).join().unwrap(), 3);
    assert_eq!(greenloom::run(|| spawn(|| 4).join().unwrap()), 4);
    scope(|s| drop(s.spawn(yield_now)));
    let semaphore = Semaphore::new(0);
    assert!(
        semaphore
            .acquire_timeout(Duration::from_millis(1))
            .is_none()
    );
    let (sender, receiver) = unbounded();
    let task = spawn(move || sender.send(1).unwrap());
    greenloom::select! { recv(receiver) -> value => assert_eq!(value, Ok(1)) }
    task.join().unwrap();
}

thread_local! {
    /// What is dropped when the thread ends.
    static BAG: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

fn keep(thing: impl Any) {
    BAG.with(|bag| bag.borrow_mut().push(Box::new(thing)));
}

#[test]
fn whatever_a_thread_has_kept_is_dropped_in_its_last_moments() {
    static LOCK: Mutex<u32> = Mutex::new(1);
    let done = Arc::new(AtomicUsize::new(0));
    for bag_first in [false, true] {
        let done = done.clone();
        let thread = move || {
            if bag_first {
                // Its destructor is registered before any of ours, and runs after them.
                keep(1);
            }
            keep(spawn(|| sleep(LONG)));
            let mut map = GreenPool::new(2).imap(0.., |n: u32| n);
            map.next();
            keep(map);
            let (sender, receiver) = bounded::<u32>(1);
            keep((sender.clone(), receiver, sender));
            keep(LOCK.lock().unwrap());
            keep(OnDrop(move || {
                do_it_all();
                done.fetch_add(1, SeqCst);
            }));
        };
        watched(|| thread::spawn(thread).join().unwrap());
        assert_eq!(*LOCK.lock().unwrap(), 1);
    }
    assert_eq!(done.load(SeqCst), 2);
}

#[test]
fn whatever_a_worker_s_thread_has_kept_is_dropped_when_the_runtime_has_stopped() {
    let done = Arc::new(AtomicUsize::new(0));
    let theirs = done.clone();
    watched(move || {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let tasks = [0; 4].map(|_| {
            let done = theirs.clone();
            let task = move || {
                keep(spawn(|| sleep(LONG)));
                let suspended = Generator::<u32>::new(|y| {
                    let _waits = OnDrop(yield_now);
                    y.suspend(1);
                });
                assert_eq!(suspended.by_ref().next(), Some(1));
                keep(suspended);
                keep(OnDrop(move || {
                    do_it_all();
                    done.fetch_add(1, SeqCst);
                }));
            };
            runtime.handle().spawn(task).unwrap()
        });
        tasks.into_iter().for_each(|task| task.join().unwrap());
        runtime.stop();
    });
    assert_eq!(done.load(SeqCst), 4);
}

#[test]
fn hooks_may_do_what_they_like() {
    let (calls, runtimes) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(StdMutex::new(Vec::new())),
    );
    for _ in 0..4 {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtimes.lock().unwrap().push(runtime);
    }
    let (pool, lock) = (GreenPool::new(1), Arc::new(Mutex::new(0)));
    let (sender, receiver) = unbounded();
    let hook = {
        let lock = lock.clone();
        move |_| {
            let call = calls.fetch_add(1, SeqCst);
            if call > 2_000 {
                return;
            }
            match call % 12 {
                0 => drop(spawn(yield_now)),
                1 => drop(lock.try_lock()),
                // A wait in a hook is a panic, if it has to wait.
                2 => drop(lock.lock()),
                3 => assert!(greenloom::try_run(|| 1).is_err()),
                4 => sender.send(call).unwrap(),
                5 => task::current().unpark(),
                6 => assert_eq!(Generator::<u32>::new(|y| y.suspend(1)).next(), Some(1)),
                7 => drop(pool.try_spawn(|| ())),
                8 => drop(runtimes.lock().unwrap().pop()),
                9 => scope(|s| drop(s.spawn(|| ()))),
                10 => drop(timeout(Duration::from_millis(1), || 1)),
                _ => drop(Coroutine::<(), (), ()>::new(|y, ()| y.suspend(())).resume(())),
            }
        }
    };
    watched(move || {
        let runtime = Runtime::builder().workers(2).panic_note(false);
        let main = move || {
            let tasks: Vec<_> = (0..40)
                .map(|_| {
                    let lock = lock.clone();
                    spawn(move || {
                        for _ in 0..20 {
                            // A hook that is cut short with the lock in its hand poisons it.
                            let guard = lock.lock();
                            yield_now();
                            drop(guard);
                        }
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert!(receiver.try_recv().is_ok());
        };
        runtime.on_switch(hook.clone(), hook).run(main).unwrap();
    });
}

#[test]
fn the_destructor_of_a_task_s_value_may_do_what_it_likes() {
    type Things = RefCell<Vec<Box<dyn Any>>>;
    task_local! {
        static FIRST: Things = RefCell::default();
        static SECOND: Things = RefCell::default();
    }
    fn act(way: usize) {
        match way {
            0 => assert_eq!(spawn(|| 1).join().unwrap(), 1),
            1 => scope(|s| drop(s.spawn(yield_now))),
            2 => task::current().cancel(),
            3 => panic!("in the destructor of a value"),
            4 => {
                assert!(SECOND.try_with(|_| ()).is_err());
                FIRST.with(|things| things.borrow_mut().push(Box::new(OnDrop(yield_now))));
            }
            5 => assert!(timeout(Duration::from_millis(1), park).is_err()),
            6 => assert!(spawn(park).cancel_and_join().is_err()),
            7 => std::mem::forget(spawn(|| sleep(LONG))),
            _ => sleep(Duration::from_millis(1)),
        }
    }
    let ended = Arc::new(AtomicUsize::new(0));
    for (round, workers) in [(0, 1), (1, 1), (2, 2), (3, 2)] {
        let ended = ended.clone();
        let main = move || {
            let tasks: Vec<_> = (0..9)
                .map(|way| {
                    let ended = ended.clone();
                    spawn(move || {
                        let last = OnDrop(move || {
                            ended.fetch_add(1, SeqCst);
                            act(way);
                        });
                        SECOND.with(|things| things.borrow_mut().push(Box::new(last)));
                        // Ends by itself, by a cancellation, or by the runtime's end.
                        match round % 2 {
                            0 => yield_now(),
                            _ => park(),
                        }
                    })
                })
                .collect();
            yield_now();
            if round == 0 {
                tasks.into_iter().for_each(|task| drop(task.join()));
            } else if round == 1 {
                tasks
                    .into_iter()
                    .for_each(|task| drop(task.cancel_and_join()));
            } else {
                // Some may not have begun yet, and then never do.
                while tasks.iter().any(|task| task.name().is_some()) {
                    yield_now();
                }
                sleep(Duration::from_millis(5));
            }
        };
        watched(move || {
            let runtime = Runtime::builder().workers(workers).panic_note(false);
            runtime.run(main).unwrap();
        });
    }
    assert!(ended.load(SeqCst) >= 18);
}

#[test]
fn forgotten_things_are_no_harm() {
    watched(|| {
        green(|| {
            let lock: &'static Mutex<u32> = Box::leak(Box::new(Mutex::new(1)));
            std::mem::forget(lock.lock());
            assert!(lock.try_lock().is_err());
            let semaphore: &'static Semaphore = Box::leak(Box::new(Semaphore::new(1)));
            std::mem::forget(semaphore.acquire());
            assert!(semaphore.try_acquire().is_none());

            let mut ended = task::as_completed([0; 4].map(|_| spawn(yield_now)));
            std::mem::forget(ended.next());
            std::mem::forget(ended);
            let pool = GreenPool::new(2);
            let mut map = pool.imap(0..9, |n: u32| n);
            assert_eq!(map.next().unwrap().unwrap(), 0);
            std::mem::forget(map);
            let mut map = pool.imap_unordered(0..9, |n: u32| n);
            assert!(map.next().unwrap().is_ok());
            std::mem::forget(map);

            let mut context = Context::from_waker(Waker::noop());
            let (sender, receiver) = bounded::<u32>(1);
            let mut receive = Box::pin(receiver.recv_async());
            assert!(receive.as_mut().poll(&mut context).is_pending());
            std::mem::forget(receive);
            sender.send(1).unwrap();
            let (_sender, watched) = channel::watch(1);
            let mut change = Box::pin(watched.changed_async());
            assert!(change.as_mut().poll(&mut context).is_pending());
            std::mem::forget(change);

            let borrowed = AtomicUsize::new(0);
            scope(|s| {
                std::mem::forget(s.spawn(|| {
                    yield_now();
                    borrowed.fetch_add(1, SeqCst);
                }));
            });
            assert_eq!(borrowed.into_inner(), 1);
            std::mem::forget(CancelToken::new().drop_guard());
            let (_idle, nothing) = bounded::<u32>(1);
            let mut arm = select::recv(&nothing);
            let mut selected = Select::new().with(&mut arm);
            assert_eq!(selected.try_wait(), None);
            std::mem::forget(selected);
            let queue = Queue::unbounded();
            queue.put(1).unwrap();
            std::mem::forget(queue.get_guard());
        });
    });
}

#[test]
fn handles_of_a_scope_may_be_joined_by_its_other_tasks() {
    watched(|| {
        let data = [1, 2, 3];
        let length = Runtime::builder().workers(2).run(|| {
            scope(|s| {
                let (sender, receiver) = unbounded();
                let first = s.spawn(|| data.len());
                sender.send(s.spawn(move || first.join().unwrap())).unwrap();
                let last = s.spawn(move || receiver.recv().unwrap().join().unwrap());
                last.join().unwrap()
            })
        });
        assert_eq!(length.unwrap(), 3);
    });
}

#[test]
fn tasks_that_spawn_their_siblings_while_they_unwind_are_waited_for() {
    let born = Arc::new(AtomicUsize::new(0));
    let theirs = born.clone();
    watched(move || {
        let runtime = Runtime::builder().workers(2).panic_note(false);
        let main = move || {
            let count = AtomicUsize::new(0);
            let body = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    let count = &count;
                    for _ in 0..10 {
                        drop(s.spawn(move || {
                            let _sibling = OnDrop(move || {
                                let _ = s.spawn(|| count.fetch_add(1, SeqCst));
                                yield_now();
                                count.fetch_add(1, SeqCst);
                            });
                            park();
                        }));
                    }
                    yield_now();
                    panic!("the body ends");
                });
            }));
            assert!(body.is_err());
            theirs.store(count.into_inner(), SeqCst);
        };
        runtime.run(main).unwrap();
    });
    // As many as had begun, and those of their siblings that another worker began before they were cancelled.
    assert!(born.load(SeqCst) <= 20);
}

/// A waker whose use, or whose drop, waits.
struct Slow;

impl Wake for Slow {
    fn wake(self: Arc<Self>) {
        sleep(Duration::from_millis(1));
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn wakers_that_wait_keep_only_those_who_use_them() {
    for workers in [1, 2] {
        watched(move || {
            let runtime = Runtime::builder().workers(workers);
            let main = || {
                let slow = Waker::from(Arc::new(Slow));
                let mut context = Context::from_waker(&slow);
                let (sender, receiver) = channel::oneshot();
                let mut receive = pin!(receiver);
                assert!(receive.as_mut().poll(&mut context).is_pending());
                sender.send(1).unwrap();
                assert_eq!(receive.poll(&mut context), Poll::Ready(Ok(1)));

                let (go, gate) = channel::oneshot();
                let mut task = spawn(move || gate.recv());
                assert!(pin!(&mut task).poll(&mut context).is_pending());
                go.send(2).unwrap();
                while !task.is_finished() {
                    yield_now();
                }
                assert!(pin!(&mut task).poll(&mut context).is_ready());

                // Left at a handle, and dropped in the midst of a select.
                let mut task = spawn(park);
                assert!(pin!(&mut task).poll(&mut context).is_pending());
                drop(slow);
                let (sender, receiver) = bounded(1);
                let feeder = spawn(move || sender.send(7));
                greenloom::select! {
                    recv(receiver) -> value => assert_eq!(value, Ok(7)),
                    join(task) -> _ => unreachable!("it is parked"),
                }
                feeder.join().unwrap().unwrap();
            };
            runtime.run(main).unwrap();
        });
    }
}
