//! Wakers, handles and senders in the hands of threads that outlive the tasks and the runtime they stand for.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use greenloom::channel::{Sender, bounded};
use greenloom::future::block_on;
use greenloom::sync::Event;
use greenloom::{Handle, Runtime, Task, spawn};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read};

use crate::child;

/// All by which a stranger reaches a task.
struct Reach {
    waker: Waker,
    task: Task,
    event: Arc<Event>,
    sender: Sender<u32>,
    runtime: Handle,
}

impl Reach {
    /// Of a task that waits for all of it in turns, until it is cancelled.
    fn of_a_waiter() -> Reach {
        let (tell, told) = mpsc::channel();
        let event = Arc::new(Event::new());
        let (sender, receiver) = bounded(1);
        let theirs = event.clone();
        drop(spawn(move || {
            let mut polls = 0;
            block_on(poll_fn(|context| {
                polls += 1;
                let _ = tell.send((context.waker().clone(), greenloom::current()));
                if polls < 3 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            }));
            loop {
                theirs.wait();
                let _ = receiver.recv();
                greenloom::park();
            }
        }));
        let (waker, task) = loop {
            match told.try_recv() {
                Ok(told) => break told,
                Err(_) => greenloom::yield_now(),
            }
        };
        Reach {
            waker,
            task,
            event,
            sender,
            runtime: Handle::current().unwrap(),
        }
    }

    fn use_all(&self) {
        self.waker.wake_by_ref();
        self.task.unpark();
        self.event.set();
        let _ = self.sender.try_send(1);
        self.task.cancel();
        drop(self.runtime.spawn(|| ()));
    }
}

/// Descriptors that count what is written to them, whoever does.
fn counters() -> Vec<std::os::fd::OwnedFd> {
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    (0..40).map(|_| eventfd(0, flags).unwrap()).collect()
}

fn assert_untouched(counters: &[std::os::fd::OwnedFd]) {
    for counter in counters {
        assert_eq!(read(counter, &mut [0; 8]), Err(Errno::AGAIN), "{counter:?}");
    }
}

#[test]
fn a_late_wake_writes_to_no_descriptor_that_is_somebody_else_s_by_now() {
    let outcome = child::run(|| {
        for workers in [1, 2] {
            for _ in 0..100 {
                let runtime = Runtime::builder().workers(workers).build().unwrap();
                let reaches: Vec<_> =
                    runtime.block_on(|| (0..4).map(|_| Reach::of_a_waiter()).collect());
                let is_over = AtomicBool::new(false);
                thread::scope(|threads| {
                    for reach in &reaches {
                        threads.spawn(|| {
                            while !is_over.load(Ordering::Relaxed) {
                                reach.use_all();
                            }
                        });
                    }
                    drop(runtime);
                    // In the places of those that the runtime has closed.
                    let counters = counters();
                    thread::yield_now();
                    reaches.iter().for_each(Reach::use_all);
                    assert_untouched(&counters);
                    is_over.store(true, Ordering::Relaxed);
                });
                let counters = counters();
                reaches.iter().for_each(Reach::use_all);
                assert_untouched(&counters);
            }
        }
    });
    outcome.assert_success();
}

#[test]
fn what_reaches_a_task_holds_nothing_of_it() {
    let outcome = child::run(|| {
        greenloom::task_local! { static KEY: RefCell<Arc<()>> = RefCell::default(); }
        let (closure, local, kept, panic) =
            (Arc::new(()), Arc::new(()), Arc::new(()), Arc::new(()));
        let runtime = Runtime::builder()
            .workers(2)
            .panic_note(false)
            .build()
            .unwrap();
        let (reaches, leave) = mpsc::channel();
        let reach = |what: &Arc<()>| {
            let (what, reaches) = (what.clone(), reaches.clone());
            move || {
                let tell = |context: &mut std::task::Context<'_>| {
                    let reach = (context.waker().clone(), greenloom::current());
                    reaches.send(reach).unwrap();
                    Poll::Ready(())
                };
                block_on(poll_fn(tell));
                what
            }
        };
        let (unwanted, taken, thrown) = (reach(&closure), reach(&kept), reach(&panic));
        let theirs = local.clone();
        runtime.block_on(move || {
            drop(spawn(unwanted));
            let task = spawn(move || {
                KEY.set(theirs);
                taken()
            });
            drop(task.join().unwrap());
            let task = spawn(move || std::panic::panic_any(thrown()));
            drop(task.join().unwrap_err());
        });
        drop(runtime);
        drop(reaches);
        let late: Vec<(Waker, Task)> = leave.iter().collect();
        assert_eq!(late.len(), 3);
        for what in [&closure, &local, &kept, &panic] {
            assert_eq!(Arc::strong_count(what), 1);
        }
        thread::spawn(move || {
            for (waker, task) in &late {
                waker.wake_by_ref();
                task.unpark();
                task.cancel();
                assert!(task.is_finished());
            }
        })
        .join()
        .unwrap();
    });
    outcome.assert_success();
}
