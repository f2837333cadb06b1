//! What whoever submits jobs may rely on: they run, once, and the pool lives.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests block their own threads"
)]

use super::*;
use std::sync::Barrier;
use std::sync::mpsc::{Sender, channel};

const SOON: Duration = Duration::from_secs(20);

fn pool(max_threads: usize, idle: Duration) -> BlockingPool {
    BlockingPool::new(Config {
        max_threads,
        idle_timeout: idle,
        ..Config::default()
    })
}

/// Submits a job that announces itself and then waits to be let go.
fn hold(pool: &BlockingPool, started: &Sender<()>) -> Sender<()> {
    let (go, wait) = channel::<()>();
    let started = started.clone();
    pool.submit(Box::new(move || {
        started.send(()).unwrap();
        let _ = wait.recv();
    }))
    .unwrap();
    go
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        // real sleep: between two looks at threads of the operating system.
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn threads_come_with_the_jobs_and_are_used_again() {
    let pool = pool(8, SOON);
    assert_eq!((pool.threads(), pool.in_flight()), (0, 0));
    let (started, starts) = channel();
    let held: Vec<_> = (0..5).map(|_| hold(&pool, &started)).collect();
    for _ in &held {
        starts.recv_timeout(SOON).unwrap();
    }
    assert_eq!((pool.threads(), pool.in_flight()), (5, 5));
    drop(held);
    eventually("idle", || pool.in_flight() == 0 && pool.0.lock().idle == 5);
    let again = hold(&pool, &started);
    starts.recv_timeout(SOON).unwrap();
    assert_eq!(pool.threads(), 5);
    drop(again);
    pool.shutdown();
    assert_eq!((pool.threads(), pool.in_flight()), (0, 0));
}

#[test]
fn a_full_pool_queues_in_order_and_never_blocks_the_submitter() {
    let pool = pool(1, SOON);
    let (started, starts) = channel();
    let held = hold(&pool, &started);
    starts.recv_timeout(SOON).unwrap();
    let (send, receive) = channel();
    for number in 0..1_000 {
        let send = send.clone();
        pool.submit(Box::new(move || send.send(number).unwrap()))
            .unwrap();
    }
    assert_eq!((pool.threads(), pool.in_flight()), (1, 1_001));
    drop((held, send));
    assert_eq!(
        receive.iter().collect::<Vec<_>>(),
        (0..1_000).collect::<Vec<_>>()
    );
    pool.shutdown();
}

#[test]
fn a_limit_of_zero_is_one() {
    let pool = pool(0, SOON);
    let (started, starts) = channel();
    drop(hold(&pool, &started));
    starts.recv_timeout(SOON).unwrap();
    pool.shutdown();
}

#[test]
fn idle_threads_leave() {
    let pool = pool(4, Duration::from_millis(10));
    let (started, starts) = channel();
    for _ in 0..3 {
        let held: Vec<_> = (0..4).map(|_| hold(&pool, &started)).collect();
        for _ in &held {
            starts.recv_timeout(SOON).unwrap();
        }
        drop(held);
        eventually("threads leave", || pool.threads() == 0);
    }
    pool.shutdown();
}

#[test]
fn a_panic_costs_neither_the_thread_nor_the_count() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("from the payload"));
        }
    }
    let pool = pool(1, SOON);
    let (started, starts) = channel();
    drop(hold(&pool, &started));
    starts.recv_timeout(SOON).unwrap();
    pool.submit(Box::new(|| std::panic::resume_unwind(Box::new("job"))))
        .unwrap();
    pool.submit(Box::new(|| std::panic::resume_unwind(Box::new(Bomb))))
        .unwrap();
    drop(hold(&pool, &started));
    starts.recv_timeout(SOON).unwrap();
    assert_eq!((pool.threads(), pool.0.lock().next), (1, 1));
    pool.shutdown();
    assert_eq!(pool.in_flight(), 0);
}

#[test]
fn a_job_may_submit() {
    let pool = pool(1, SOON);
    let (send, receive) = channel();
    let twin = pool.clone();
    pool.submit(Box::new(move || {
        let name = thread::current().name().map(str::to_owned);
        // At the limit, from inside: queued, not blocked.
        twin.submit(Box::new(move || send.send(name).unwrap()))
            .unwrap();
    }))
    .unwrap();
    let name = receive.recv_timeout(SOON).unwrap();
    assert_eq!(name.as_deref(), Some("greenloom-blocking-0"));
    pool.shutdown();
}

#[test]
fn shutdown_runs_the_queue_and_gives_later_jobs_back() {
    let pool = pool(2, SOON);
    let (started, starts) = channel();
    let held = [hold(&pool, &started), hold(&pool, &started)];
    starts.recv_timeout(SOON).unwrap();
    starts.recv_timeout(SOON).unwrap();
    let (send, receive) = channel();
    for number in 0..10 {
        let send = send.clone();
        pool.submit(Box::new(move || send.send(number).unwrap()))
            .unwrap();
    }
    let twin = pool.clone();
    let closer = thread::spawn(move || twin.shutdown());
    eventually("closed", || pool.0.lock().closed);
    let refused = pool
        .submit(Box::new(move || send.send(99).unwrap()))
        .unwrap_err();
    assert!(matches!(refused.reason, Refusal::Closed));
    drop(held);
    closer.join().unwrap();
    assert_eq!((pool.threads(), pool.in_flight()), (0, 0));
    assert_eq!(receive.try_iter().count(), 10);
    (refused.job)();
    assert_eq!(receive.try_iter().collect::<Vec<_>>(), [99]);
    pool.shutdown();
}

#[test]
fn shutdown_from_a_job_does_not_wait_for_itself() {
    let pool = pool(2, SOON);
    let (send, receive) = channel();
    let twin = pool.clone();
    pool.submit(Box::new(move || {
        twin.shutdown();
        send.send(()).unwrap();
    }))
    .unwrap();
    receive.recv_timeout(SOON).unwrap();
}

#[test]
fn jobs_and_leaving_threads_do_not_miss_each_other() {
    // Idle times near zero: sleepers give up all the time while jobs arrive.
    for idle in [0, 1, 20, 200] {
        let pool = pool(3, Duration::from_micros(idle));
        let done = Arc::new(AtomicUsize::new(0));
        let start = Arc::new(Barrier::new(2));
        let submitters: Vec<_> = (0..2)
            .map(|_| {
                let (pool, done, start) = (pool.clone(), Arc::clone(&done), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    for job in 0..1_000 {
                        let done = Arc::clone(&done);
                        let job: Job = if job % 10 == 0 {
                            // real sleep: threads are to be caught on their way to their own end.
                            thread::sleep(Duration::from_micros(idle));
                            Box::new(move || {
                                thread::yield_now();
                                done.fetch_add(1, Ordering::Relaxed);
                            })
                        } else {
                            Box::new(move || {
                                done.fetch_add(1, Ordering::Relaxed);
                            })
                        };
                        pool.submit(job).unwrap();
                    }
                })
            })
            .collect();
        for submitter in submitters {
            submitter.join().unwrap();
        }
        eventually("all jobs run", || pool.in_flight() == 0);
        assert_eq!(done.load(Ordering::Relaxed), 2_000);
        pool.shutdown();
    }
}

#[test]
fn without_any_thread_the_job_comes_back() {
    // No system has addresses for a stack of this size.
    let config = Config {
        stack_size: Some(1 << 60),
        ..Config::default()
    };
    let pool = BlockingPool::new(config);
    let (send, receive) = channel();
    let refused = pool
        .submit(Box::new(move || send.send(7).unwrap()))
        .unwrap_err();
    assert!(
        matches!(refused.reason, Refusal::NoThread(_)),
        "{refused:?}"
    );
    assert_eq!((pool.threads(), pool.in_flight()), (0, 0));
    (refused.job)();
    assert_eq!(receive.recv(), Ok(7));
    pool.shutdown();
}
