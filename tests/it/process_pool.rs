//! Pools of processes: results, order, failures, ends.

mod ends;
mod handed;

use std::collections::HashSet;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenloom::process::{PoolError, ProcessPool, TaskError};

fn square(n: u64) -> u64 {
    n * n
}

/// Takes real time, in a worker.
fn nap(millis: u64) -> u64 {
    greenloom::sleep(Duration::from_millis(millis));
    millis
}

#[test]
fn apply_gives_values_one_at_a_time() {
    let pool = ProcessPool::new(2).unwrap();
    assert!(pool.is_empty());
    for n in 0..10 {
        assert_eq!(pool.apply(square, n).unwrap(), n * n);
    }
    assert_eq!(pool.len(), 1, "one worker was enough");
}

#[test]
fn results_come_in_the_order_of_submission() {
    let pool = ProcessPool::new(2).unwrap();
    let handles: Vec<_> = (0..10)
        .map(|n| pool.apply_async(square, n).unwrap())
        .collect();
    pool.close();
    pool.join().unwrap();
    let squares: Vec<u64> = handles.iter().map(|handle| handle.get().unwrap()).collect();
    assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
    assert_eq!(handles[3].get().unwrap(), 9, "as often as wanted");
    assert_eq!(handles[3].successful(), Ok(true));
    assert!(pool.is_empty(), "the workers are gone");
    assert!(matches!(
        pool.apply_async(square, 1),
        Err(PoolError::Closed)
    ));
}

#[test]
fn at_most_so_many_workers_are_ever_there() {
    let pool = ProcessPool::new(2).unwrap();
    let pids: HashSet<u32> = pool
        .map_chunked(0..20u32, 1, |_| process::id())
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(pids.len() <= 2, "{pids:?}");
    assert!(!pids.contains(&process::id()));
}

#[test]
fn join_before_close_is_an_error() {
    let pool = ProcessPool::new(1).unwrap();
    assert!(matches!(pool.join(), Err(PoolError::NotClosed)));
    assert!(matches!(ProcessPool::new(0), Err(PoolError::Invalid(_))));
    pool.close();
    pool.join().unwrap();
}

#[test]
fn maps_keep_each_result_at_its_place() {
    let pool = ProcessPool::new(2).unwrap();
    let inverse = |n: i64| 100 / n;
    let results = pool.map(-3..4, inverse);
    assert_eq!(results.len(), 7);
    assert_eq!(*results[0].as_ref().unwrap(), -33);
    let Err(TaskError::Panicked(panic)) = &results[3] else {
        panic!("it divides by zero");
    };
    assert!(panic.message().contains("divide by zero"));
    assert_eq!(*results[6].as_ref().unwrap(), 33);
    assert!(pool.map(std::iter::empty(), square).is_empty());
    let pairs = [(2u64, "ab".to_owned()), (0, "c".to_owned())];
    let repeat = |n: u64, text: String| text.repeat(n as usize);
    let texts: Vec<String> = pool
        .starmap(pairs, repeat)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(texts, ["abab", ""]);
}

#[test]
fn lazy_maps_take_endless_inputs() {
    let pool = ProcessPool::new(2).unwrap();
    let taken = AtomicU32::new(0);
    let items = (0..).inspect(|_| {
        taken.fetch_add(1, Ordering::Relaxed);
    });
    let first: Vec<u64> = pool
        .imap(items, square)
        .take(10)
        .map(Result::unwrap)
        .collect();
    assert_eq!(first, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
    assert!(taken.load(Ordering::Relaxed) <= 14, "{taken:?}");
    let mut all: Vec<(usize, u64)> = pool
        .imap_unordered(0..50, square)
        .chunk(3)
        .map(|(place, result)| (place, result.unwrap()))
        .collect();
    all.sort();
    assert_eq!(
        all,
        (0..50)
            .map(|n| (n as usize, square(n as u64)))
            .collect::<Vec<_>>()
    );
}

#[test]
fn completed_jobs_come_first() {
    let pool = ProcessPool::new(2).unwrap();
    let handles = [300, 1].map(|millis| pool.submit(nap, millis).unwrap());
    let order: Vec<usize> = pool.as_completed(handles).map(|(place, _)| place).collect();
    assert_eq!(order, [1, 0]);
}

#[test]
fn a_worker_that_dies_takes_one_job_with_it() {
    let pool = ProcessPool::new(1).unwrap();
    let fatal = |n: u64| match n {
        13 => process::exit(99),
        n => n,
    };
    let handles: Vec<_> = (11..16)
        .map(|n| pool.apply_async(fatal, n).unwrap())
        .collect();
    for (n, handle) in (11..16).zip(&handles) {
        match handle.get() {
            Ok(value) => assert_eq!(value, n),
            Err(TaskError::Died { status, .. }) => assert_eq!((n, status.code()), (13, Some(99))),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(handles[2].successful(), Ok(false));
    assert!(matches!(
        pool.apply(|(): ()| process::abort(), ()),
        Err::<(), _>(TaskError::Died { .. })
    ));
    assert_eq!(pool.apply(square, 5).unwrap(), 25);
}

#[test]
fn a_worker_killed_in_its_sleep_is_replaced_and_nobody_sees() {
    let pool = ProcessPool::new(1).unwrap();
    let pid = pool.apply(|(): ()| process::id(), ()).unwrap();
    let children = greenloom::process::active_children();
    let worker = children.iter().find(|child| child.id() == pid).unwrap();
    worker.kill().unwrap();
    worker.wait_timeout(Duration::from_secs(60)).unwrap();
    assert_ne!(pool.apply(|(): ()| process::id(), ()).unwrap(), pid);
}

#[test]
fn waiting_jobs_are_cancelled_and_running_ones_killed() {
    let pool = ProcessPool::new(1).unwrap();
    let running = pool.apply_async(nap, 100_000).unwrap();
    let waiting = pool.apply_async(square, 2).unwrap();
    while pool.is_empty() {
        greenloom::yield_now();
    }
    assert!(waiting.cancel());
    assert!(!waiting.cancel());
    assert!(matches!(waiting.get(), Err(TaskError::Cancelled)));
    assert!(running.get_timeout(Duration::from_millis(20)).is_none());
    running.kill();
    assert!(matches!(running.get(), Err(TaskError::Terminated)));
    assert_eq!(pool.apply(square, 3).unwrap(), 9);
}

#[test]
fn terminate_ends_every_job() {
    let pool = ProcessPool::new(2).unwrap();
    let handles: Vec<_> = (0..1000)
        .map(|_| pool.apply_async(nap, 100_000).unwrap())
        .collect();
    pool.terminate();
    for handle in &handles {
        assert!(matches!(handle.get(), Err(TaskError::Terminated)));
    }
    pool.join().unwrap();
    assert!(matches!(pool.apply(square, 1), Err(TaskError::Terminated)));
}

#[test]
fn state_stays_with_its_worker_and_the_initializer_comes_first() {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let see = |name: String| {
        let mut seen = SEEN.lock().unwrap();
        let before = seen.clone();
        seen.push(name);
        before
    };
    let pool = ProcessPool::builder()
        .workers(1)
        .initializer(
            |name: String| SEEN.lock().unwrap().push(name),
            "init".to_owned(),
        )
        .max_tasks_per_worker(2)
        .build()
        .unwrap();
    let seen: Vec<_> = ["a", "b", "c"]
        .map(|name| pool.apply(see, name.to_owned()).unwrap())
        .into();
    assert_eq!(seen, [vec!["init"], vec!["init", "a"], vec!["init"]]);
    assert!(SEEN.lock().unwrap().is_empty());
}

#[test]
fn an_initializer_that_fails_breaks_the_pool() {
    let pool = ProcessPool::builder()
        .workers(2)
        .initializer(|(): ()| panic!("not today"), ())
        .silent()
        .build()
        .unwrap();
    let handles: Vec<_> = (0..10)
        .filter_map(|n| pool.apply_async(square, n).ok())
        .collect();
    for handle in handles {
        let Err(TaskError::Broken(why)) = handle.get() else {
            panic!("it is broken");
        };
        assert!(why.contains("not today"), "{why}");
    }
    assert!(matches!(
        pool.apply_async(square, 1),
        Err(PoolError::Broken(_))
    ));
    let pool = ProcessPool::builder()
        .workers(2)
        .initializer(|(): ()| process::exit(3), ())
        .build()
        .unwrap();
    let mut broken = 0;
    for n in 0..10 {
        broken += i32::from(matches!(pool.apply(square, n), Err(TaskError::Broken(_))));
    }
    assert!((7..10).contains(&broken), "{broken}");
}

#[test]
fn callbacks_run_here_in_order_and_survive_each_other() {
    let pool = ProcessPool::new(1).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let late = pool.apply_async(square, 9).unwrap();
    late.wait();
    for n in 0..5 {
        let seen = seen.clone();
        let handle = pool.apply_async(square, n).unwrap();
        handle.on_done(move |value| {
            assert_ne!(value, 4, "this one panics");
            seen.lock().unwrap().push((process::id(), value));
        });
    }
    let theirs = seen.clone();
    late.on_error(|error| panic!("{error}"));
    late.on_done(move |value| theirs.lock().unwrap().push((process::id(), value)));
    pool.close();
    pool.join().unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, [0, 1, 9, 16, 81].map(|value| (process::id(), value)));
}

#[test]
fn a_cancelled_caller_leaves_the_pool_whole() {
    greenloom::run(|| {
        let pool = Arc::new(ProcessPool::new(1).unwrap());
        assert_eq!(pool.apply(square, 1).unwrap(), 1);
        for _ in 0..5 {
            let theirs = pool.clone();
            let caller = greenloom::spawn(move || theirs.apply(nap, 30).unwrap());
            greenloom::sleep(Duration::from_millis(5));
            caller.cancel();
            assert!(caller.join().unwrap_err().is_cancelled());
        }
        assert_eq!(pool.apply(square, 4).unwrap(), 16);
    });
}

#[test]
fn tasks_and_threads_share_a_pool() {
    let pool = ProcessPool::new(2).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..10u64 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..20 {
                    assert_eq!(pool.apply(square, thread * n).unwrap(), square(thread * n));
                }
            });
        }
        scope.spawn(|| {
            greenloom::run(|| {
                greenloom::scope(|scope| {
                    for n in 0..100u64 {
                        let pool = &pool;
                        scope.spawn(move || assert_eq!(pool.apply(square, n).unwrap(), n * n));
                    }
                });
            });
        });
    });
    pool.close();
    pool.join().unwrap();
}

#[test]
fn values_that_do_not_cross_are_errors_and_the_worker_lives() {
    #[derive(Debug, Default)]
    struct Stubborn;
    impl serde::Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it stays"))
        }
    }
    impl<'de> serde::Deserialize<'de> for Stubborn {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("nor do I come back")
        }
    }
    let pool = ProcessPool::new(1).unwrap();
    let first = pool.apply(|(): ()| process::id(), ()).unwrap();
    let error = pool.apply(|(): ()| Stubborn, ()).unwrap_err();
    assert!(error.to_string().contains("Stubborn"), "{error}");
    assert!(matches!(
        pool.apply(|_: Stubborn| (), Stubborn),
        Err(TaskError::Codec(_))
    ));
    assert_eq!(pool.apply(|(): ()| process::id(), ()).unwrap(), first);
}

#[test]
fn pools_have_pools() {
    let pool = ProcessPool::new(1).unwrap();
    let inner = |n: u64| ProcessPool::new(1).unwrap().apply(square, n).unwrap() + 1;
    assert_eq!(pool.apply(inner, 6).unwrap(), 37);
}
