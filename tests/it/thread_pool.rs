//! Pools of OS threads: jobs, their ends, and lists of work.

use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use greenloom::queue::Queue;
use greenloom::thread_pool::{
    JobError, SubmitError, ThreadPool, ThreadedWorker, WorkError, threaded_work,
};
use greenloom::{Runtime, sleep, spawn, timeout, yield_now};

use crate::util::green;
use crate::watch::{LONG, eventually, watched};

/// Jobs of a pool that wait until they are let go.
struct Gate(mpsc::SyncSender<()>, Arc<Mutex<mpsc::Receiver<()>>>);

impl Gate {
    fn new() -> Self {
        let (sender, receiver) = mpsc::sync_channel(1_000);
        Gate(sender, Arc::new(Mutex::new(receiver)))
    }

    fn pass(&self) -> impl FnOnce() + Send + 'static {
        let receiver = self.1.clone();
        move || receiver.lock().unwrap().recv().unwrap()
    }

    fn open(&self, times: usize) {
        (0..times).for_each(|_| self.0.send(()).unwrap());
    }
}

#[test]
fn jobs_run_on_threads_of_the_pool_and_only_the_task_waits() {
    green(|| {
        let (pool, gate) = (ThreadPool::new(2), Gate::new());
        let pass = gate.pass();
        let job = pool
            .submit(move || {
                pass();
                thread::current().id()
            })
            .unwrap();
        let joiner = spawn(move || job.join().unwrap());
        yield_now();
        assert!(!joiner.is_finished());
        gate.open(1);
        assert_ne!(joiner.join().unwrap(), thread::current().id());
        // The thread counts its job out a moment after it has given the value.
        while !pool.is_empty() {
            yield_now();
        }
    });
}

#[test]
fn no_more_threads_than_asked_for_and_each_is_used_again() {
    let pool = ThreadPool::new(3);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (running.clone(), most.clone());
    let threads: HashSet<ThreadId> = pool
        .map(0..200, move |_| {
            let running = now.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(running, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            thread::current().id()
        })
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(threads.len() <= 3 && most.load(Ordering::SeqCst) <= 3);
}

#[test]
fn a_second_thread_comes_while_the_first_one_waits() {
    let (pool, gate) = (ThreadPool::new(2), Gate::new());
    let first = pool.submit(gate.pass()).unwrap();
    let second = pool.submit(|| 2).unwrap();
    assert_eq!(second.join().unwrap(), 2);
    gate.open(1);
    first.join().unwrap();
}

#[test]
fn a_panic_is_the_job_s_own() {
    let pool = ThreadPool::new(1);
    let job = pool.submit(|| panic!("bad job")).unwrap();
    let Err(JobError::Panicked(panic)) = job.join() else {
        panic!("it did not")
    };
    assert_eq!(panic.message(), "bad job");
    assert_eq!(pool.submit(|| 1).unwrap().join().unwrap(), 1);
}

#[test]
fn only_a_job_in_line_is_cancelled() {
    let (pool, gate) = (ThreadPool::new(1), Gate::new());
    let (begun, has_begun) = mpsc::channel();
    let pass = gate.pass();
    let first = pool
        .submit(move || {
            begun.send(()).unwrap();
            pass();
        })
        .unwrap();
    has_begun.recv().unwrap();
    let second = pool.submit(|| panic!("it was cancelled")).unwrap();
    assert!(!first.cancel() && second.cancel() && !second.cancel());
    assert!(second.is_finished() && second.join().unwrap_err().is_cancelled());
    gate.open(1);
    first.join().unwrap();
    pool.join();
}

#[test]
fn a_join_that_times_out_or_is_cancelled_leaves_the_job_to_itself() {
    green(|| {
        let (pool, gate) = (ThreadPool::new(1), Gate::new());
        let pass = gate.pass();
        let job = pool
            .submit(move || {
                pass();
                7
            })
            .unwrap();
        let job = job.join_timeout(Duration::ZERO).unwrap_err();
        let job = job.join_timeout(Duration::from_millis(2)).unwrap_err();
        let detached = pool.submit(gate.pass()).unwrap();
        assert!(timeout(Duration::from_millis(2), move || detached.join()).is_err());
        gate.open(2);
        assert_eq!(job.join().unwrap(), 7);
        pool.join();
    });
}

#[test]
fn callbacks_run_in_order_before_the_join_and_one_that_panics_stops_none() {
    let (pool, gate) = (ThreadPool::new(1), Gate::new());
    let pass = gate.pass();
    let mut job = pool
        .submit(move || {
            pass();
            5
        })
        .unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    for n in 0..3 {
        let log = log.clone();
        job.on_done(move |outcome| {
            log.lock().unwrap().push((n, *outcome.as_ref().unwrap()));
        });
        job.on_done(|_| panic!("a bad callback"));
    }
    gate.open(1);
    while !job.is_finished() {
        thread::yield_now();
    }
    // On a job that has ended: at once.
    let late = log.clone();
    job.on_done(move |_| late.lock().unwrap().push((9, 9)));
    assert_eq!(*log.lock().unwrap(), [(0, 5), (1, 5), (2, 5), (9, 9)]);
    assert_eq!(job.join().unwrap(), 5);
    // And on one that is cancelled.
    let (first, mut second) = (
        pool.submit(gate.pass()).unwrap(),
        pool.submit(|| ()).unwrap(),
    );
    let (sender, receiver) = mpsc::channel();
    second.on_done(move |outcome| sender.send(outcome.is_err()).unwrap());
    assert!(second.cancel() && receiver.recv().unwrap());
    gate.open(1);
    first.join().unwrap();
}

#[test]
fn results_come_in_order_or_as_they_are_ready() {
    green(|| {
        let (pool, gate) = (ThreadPool::new(2), Gate::new());
        let pass = Arc::new(Mutex::new(Some(gate.pass())));
        // The first item waits until another's result was seen.
        let slow_first = move |n: u32| {
            if n == 0 {
                (pass.lock().unwrap().take().unwrap())();
            }
            assert_ne!(n, 3, "an item of its own");
            n
        };
        let mut unordered = pool.imap_unordered(0..6, slow_first);
        let first = unordered.next().unwrap().unwrap();
        assert_ne!(first, 0);
        gate.open(1);
        let (mut rest, failed): (Vec<_>, Vec<_>) = unordered.partition(Result::is_ok);
        assert_eq!((rest.len(), failed.len()), (4, 1));
        rest.push(Ok(first));
        let unique: HashSet<u32> = rest.into_iter().map(Result::unwrap).collect();
        assert_eq!(unique, HashSet::from([0, 1, 2, 4, 5]));

        let ordered: Vec<_> = pool.imap(0..100, |n| n * 2).map(Result::unwrap).collect();
        assert!(ordered.into_iter().eq((0..100).map(|n| n * 2)));
        assert!(pool.map(Vec::<u8>::new(), |n| n).is_empty());
        let jobs: Vec<_> = (0..50).map(|n| pool.submit(move || n).unwrap()).collect();
        let done = pool.as_completed(jobs);
        assert_eq!(done.len(), 50);
        assert_eq!(done.map(Result::unwrap).sum::<i32>(), 49 * 50 / 2);
    });
}

#[test]
fn an_endless_imap_fetches_no_further_than_asked_and_its_drop_cancels_the_rest() {
    let pool = ThreadPool::new(1);
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = fetched.clone();
    let items = std::iter::from_fn(move || Some(count.fetch_add(1, Ordering::Relaxed)));
    let mut squares = pool.imap(items, |n| n * n).look_ahead(3);
    assert_eq!(squares.next().unwrap().unwrap(), 0);
    assert_eq!(squares.next().unwrap().unwrap(), 1);
    assert_eq!(fetched.load(Ordering::Relaxed), 4);
    drop(squares);
    pool.join();
}

#[test]
fn a_closed_pool_runs_what_is_in_line_and_takes_no_more() {
    green(|| {
        let (pool, gate) = (ThreadPool::new(1), Gate::new());
        let jobs = [0, 1].map(|_| pool.submit(gate.pass()).unwrap());
        assert!(pool.close() && !pool.close() && pool.is_closed());
        assert!(matches!(pool.submit(|| ()), Err(SubmitError::Closed)));
        assert!(pool.map([1], |n| n)[0].as_ref().unwrap_err().is_cancelled());
        assert!(!pool.join_timeout(Duration::from_millis(2)));
        gate.open(2);
        pool.join();
        assert!(jobs.into_iter().all(|job| job.join().is_ok()));
    });
}

#[test]
fn a_terminated_pool_cancels_what_is_in_line() {
    let (pool, gate) = (ThreadPool::new(1), Gate::new());
    let (begun, has_begun) = mpsc::channel();
    let pass = gate.pass();
    let first = pool
        .submit(move || {
            begun.send(()).unwrap();
            pass();
        })
        .unwrap();
    has_begun.recv().unwrap();
    let second = pool.submit(|| ()).unwrap();
    pool.terminate();
    assert!(second.join().unwrap_err().is_cancelled());
    gate.open(1);
    first.join().unwrap();
    pool.join();
}

#[test]
fn a_dropped_pool_finishes_its_line() {
    let (pool, gate) = (ThreadPool::new(1), Gate::new());
    let jobs: Vec<_> = (0..5)
        .map(|n| {
            let pass = gate.pass();
            pool.submit(move || {
                pass();
                n
            })
            .unwrap()
        })
        .collect();
    drop(pool);
    gate.open(5);
    let sum: i32 = jobs.into_iter().map(|job| job.join().unwrap()).sum();
    assert_eq!(sum, 10);
}

#[test]
fn a_job_cannot_wait_for_its_own_pool() {
    let pool = Arc::new(ThreadPool::new(1));
    let own = pool.clone();
    let job = pool.submit(move || own.join()).unwrap();
    assert!(job.join().unwrap_err().is_panic());
    pool.join();
}

#[test]
fn an_initialiser_runs_in_each_thread_and_a_failing_one_breaks_the_pool() {
    let ready = Arc::new(AtomicUsize::new(0));
    let count = ready.clone();
    let pool = ThreadPool::builder()
        .threads(2)
        .name("ready")
        .stack_size(256 * 1024)
        .initializer(move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let names = pool.map(0..4, |_| thread::current().name().map(str::to_owned));
    assert!(
        names
            .into_iter()
            .all(|name| name.unwrap().unwrap().starts_with("ready-"))
    );
    assert!((1..=2).contains(&ready.load(Ordering::SeqCst)));

    let pool = ThreadPool::builder()
        .threads(2)
        .initializer(|| panic!("not ready"))
        .build()
        .unwrap();
    let jobs: Vec<_> = (0..20).map_while(|_| pool.submit(|| ()).ok()).collect();
    assert!(!jobs.is_empty());
    assert!(
        jobs.into_iter()
            .all(|job| matches!(job.join(), Err(JobError::Broken)))
    );
    assert!(matches!(pool.submit(|| ()), Err(SubmitError::Broken)));
    pool.join();
}

#[test]
fn a_pool_without_threads_is_refused() {
    let error = ThreadPool::builder().threads(0).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(catch_unwind(|| ThreadPool::new(0)).is_err());
}

#[test]
fn a_destructor_that_panics_ends_no_thread_and_hangs_nobody() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("bad destructor");
        }
    }
    let (pool, gate) = (ThreadPool::new(1), Gate::new());
    let first = pool.submit(gate.pass()).unwrap();
    let bad = Bad;
    let second = pool
        .submit(move || {
            let _ = &bad;
        })
        .unwrap();
    let third = pool.submit(|| 3).unwrap();
    pool.close();
    gate.open(1);
    first.join().unwrap();
    assert!(second.join().unwrap_err().is_panic());
    assert_eq!(third.join().unwrap(), 3);
    pool.join();
}

#[test]
fn thousands_of_tasks_and_threads_share_a_pool() {
    let pool = Arc::new(ThreadPool::new(4));
    let theirs = pool.clone();
    let from_thread = thread::spawn(move || theirs.map(0..500, |n| n).len());
    let sum: u64 = Runtime::builder()
        .workers(2)
        .run(|| {
            let tasks: Vec<_> = (0..2_000_u64)
                .map(|n| {
                    let pool = pool.clone();
                    spawn(move || pool.submit(move || n).unwrap().join().unwrap())
                })
                .collect();
            tasks.into_iter().map(|task| task.join().unwrap()).sum()
        })
        .unwrap();
    assert_eq!((sum, from_thread.join().unwrap()), (1_999 * 1_000, 500));
    pool.join();
}

#[test]
fn threaded_work_gives_one_result_for_each_item() {
    green(|| {
        let f = |n: i32| {
            assert_ne!(n, 1, "a bad item");
            n * 10
        };
        let results = threaded_work([3, 1, 2], f).run();
        assert_eq!(*results[0].as_ref().unwrap(), 30);
        assert!(
            matches!(&results[1], Err(WorkError::Panicked(panic)) if panic.message().contains("a bad item"))
        );
        assert_eq!(*results[2].as_ref().unwrap(), 20);
        // Falsy results are results.
        let mut results: Vec<_> = threaded_work([0, 1, 2], |n| n)
            .threads(2)
            .ordered(false)
            .run()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        results.sort_unstable();
        assert_eq!(results, [0, 1, 2]);
        assert!(threaded_work(Vec::<u8>::new(), |n| n).run().is_empty());
    });
}

#[test]
fn threaded_work_ends_in_time_with_a_result_for_each_item() {
    for is_ordered in [true, false] {
        let gate = Gate::new();
        let receiver = gate.1.clone();
        let results = threaded_work([0, 1, 2], move |n| {
            // Until the gate is gone: the first one is late, and the others are never begun.
            assert!(receiver.lock().unwrap().recv().is_err() && n == 0);
        })
        .threads(1)
        .timeout(Duration::from_millis(20))
        .ordered(is_ordered)
        .run();
        assert_eq!(results.len(), 3);
        let late = |result: &Result<(), WorkError>| matches!(result, Err(WorkError::TimedOut));
        assert!(results.iter().all(late));
        drop(gate);
    }
}

#[test]
fn workers_started_before_the_work_wait_for_it_and_join_tells_the_end() {
    green(|| {
        let (work, results) = (Queue::unbounded(), Queue::unbounded());
        let workers: Vec<_> = (0..5)
            .map(|_| {
                ThreadedWorker::spawn(&work, &results, |n: u32| {
                    assert_ne!(n, 13, "bad luck");
                    n
                })
                .unwrap()
            })
            .collect();
        yield_now();
        assert!(workers.iter().all(|worker| !worker.is_finished()));
        (0..100).for_each(|n| work.put(n).unwrap());
        work.join();
        // All results are there, though nobody has been told of the end.
        assert_eq!(results.len(), 100);
        work.shutdown(false);
        workers.into_iter().for_each(ThreadedWorker::join);
        let (good, bad): (Vec<_>, Vec<_>) = results.try_iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (99, 1));
    });
}

#[test]
fn a_worker_whose_results_nobody_takes_ends() {
    let (work, results) = (Queue::from_iter([1, 2]), Queue::bounded(1));
    let worker = ThreadedWorker::spawn(&work, &results, |n| n).unwrap();
    while results.is_empty() {
        thread::yield_now();
    }
    results.shutdown(true);
    worker.join();
}

#[test]
fn a_next_that_is_cancelled_leaves_its_result_to_the_one_after_it() {
    let gate = Gate::new();
    green(move || {
        let pool = ThreadPool::new(1);
        let (pass, short) = (gate.pass(), Duration::from_millis(1));
        let pass = std::sync::Mutex::new(Some(pass));
        let mut results = pool.imap(0..3, move |n| {
            if let Some(pass) = pass.lock().unwrap().take() {
                pass();
            }
            n
        });
        assert!(timeout(short, || results.next()).is_err());
        assert!(timeout(short, || results.next()).is_err());
        gate.open(1);
        let all: Vec<_> = results.map(Result::unwrap).collect();
        assert_eq!(all, [0, 1, 2]);
    });
}

#[test]
fn a_callback_that_waits_is_cancelled_with_its_task() {
    let ran = Runtime::builder().workers(1).run(|| {
        let pool = ThreadPool::new(1);
        let has_gone_on = Arc::new(AtomicBool::new(false));
        let (job, goes_on) = (pool.submit(|| 5).unwrap(), has_gone_on.clone());
        assert!(eventually(|| job.is_finished()));
        let kept = Arc::new(std::sync::Mutex::new(job));
        let theirs = kept.clone();
        let task = spawn(move || {
            let mut job = theirs
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            job.on_done(|_| sleep(Duration::from_secs(1000)));
            goes_on.store(true, Ordering::Relaxed);
        });
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(!has_gone_on.load(Ordering::Relaxed));
        let job = Arc::into_inner(kept).unwrap().into_inner();
        let job = job.unwrap_or_else(|poisoned| poisoned.into_inner());
        assert_eq!(job.join().unwrap(), 5, "the outcome is still there");
    });
    ran.unwrap();
}

/// Panics when it is dropped, unless that would abort.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("a bomb");
        }
    }
}

/// Panics when it is dropped, with what panics when it is dropped.
struct TwoStages;

impl Drop for TwoStages {
    fn drop(&mut self) {
        if !thread::panicking() {
            std::panic::panic_any(Bomb);
        }
    }
}

#[test]
fn what_panics_with_a_payload_that_panics_ends_no_thread_and_loses_no_end() {
    watched(|| {
        let pool = ThreadPool::new(1);
        let gate = Gate::new();
        let first = pool.submit(gate.pass()).unwrap();
        let stages = TwoStages;
        let cancelled = pool.submit(move || drop(stages)).unwrap();
        assert!(cancelled.cancel());
        drop(pool.submit(|| TwoStages).unwrap());
        drop(pool.submit(|| std::panic::panic_any(Bomb)).unwrap());
        let mut told = pool.submit(|| 1).unwrap();
        told.on_done(|_| std::panic::panic_any(Bomb));
        gate.open(1);
        first.join().unwrap();
        assert_eq!(told.join().unwrap(), 1);
        pool.join();

        let broken = ThreadPool::builder().threads(1);
        let broken = broken.initializer(|| std::panic::panic_any(Bomb));
        let broken = broken.build().unwrap();
        if let Ok(job) = broken.submit(|| ()) {
            assert!(matches!(job.join(), Err(JobError::Broken)));
        }
        broken.join();
        assert!(matches!(broken.submit(|| ()), Err(SubmitError::Broken)));
    });
}

/// Panics in its drop, as often as there are layers.
struct Peel(u32);

impl Drop for Peel {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::resume_unwind(Box::new(Peel(self.0 - 1)));
        }
    }
}

#[test]
fn a_panic_whose_payload_panics_hangs_nobody() {
    let pool = ThreadPool::new(1);
    let mut job = pool.submit(|| 1).unwrap();
    job.on_done(|_| std::panic::resume_unwind(Box::new(Peel(2))));
    let (sender, receiver) = mpsc::channel();
    job.on_done(move |_| sender.send(()).unwrap());
    assert_eq!(job.join().unwrap(), 1);
    receiver.recv().unwrap();
    // Values that nobody wants by the time that they are there: later the handle would drop them, and panic here.
    for _ in 0..3 {
        let (unwanted, wait) = mpsc::channel::<()>();
        let job = pool.submit(move || {
            let _ = wait.recv();
            Peel(3)
        });
        drop(job.unwrap());
        drop(unwanted);
    }
    assert_eq!(pool.submit(|| 2).unwrap().join().unwrap(), 2);
    pool.close();
    assert!(pool.join_timeout(LONG), "every job was counted out");

    let broken = ThreadPool::builder()
        .threads(1)
        .initializer(|| std::panic::resume_unwind(Box::new(Peel(2))))
        .build()
        .unwrap();
    // By the thread that broke, if it was slower than we are; else at the door.
    match broken.submit(|| 3) {
        Ok(job) => assert!(matches!(job.join(), Err(JobError::Broken))),
        Err(refused) => assert!(matches!(refused, SubmitError::Broken)),
    }
}
