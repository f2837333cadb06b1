//! Jobs and workers that are ended in the very moment in which something else becomes of them.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greenloom::Runtime;
use greenloom::ipc::{self, Conn};
use greenloom::process::{Process, ProcessPool, TaskError};

use super::{nap, square};

/// Only what hangs is stopped by it.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_job_that_is_killed_as_it_ends_takes_no_other_with_it() {
    let pool = ProcessPool::new(1).unwrap();
    for round in 0..300 {
        let victim = pool.apply_async(square, round).unwrap();
        let next = pool.apply_async(square, round).unwrap();
        // Somewhere in its life: before, in the midst of it, after.
        (0..round % 64 * 40).for_each(|_| spin_loop());
        victim.kill();
        let value = next.get_timeout(PATIENCE).expect("it ends");
        assert_eq!(value.unwrap(), round * round, "in round {round}");
    }
}

#[test]
fn a_caller_who_is_cancelled_while_his_worker_ends_leaves_the_pool_whole() {
    /// The worker, when it ends, waits for a child of its own.
    fn last(go: Conn<u32>) {
        drop(Process::spawn(|go: Conn<u32>| drop(go.recv()), go).unwrap());
    }
    greenloom::run(|| {
        let pool = ProcessPool::builder().workers(1).max_tasks_per_worker(2);
        let pool = pool.build().unwrap();
        pool.submit(square, 1).unwrap().get().unwrap();
        while pool.is_empty() {
            greenloom::yield_now();
        }
        let (go, its) = ipc::pipe::<u32, u32>().unwrap();
        let called = greenloom::timeout(PATIENCE, || pool.apply(last, its));
        called
            .expect("the caller does not wait for the worker's end")
            .unwrap();
        let next = pool.submit(square, 3).unwrap();
        drop(go);
        assert_eq!(next.get_timeout(PATIENCE).expect("it ends").unwrap(), 9);
        pool.close();
        greenloom::timeout(PATIENCE, || pool.join())
            .unwrap()
            .unwrap();
    });
}

#[test]
fn a_virtual_clock_waits_for_lazy_results() {
    let done = Runtime::builder().virtual_clock().run(|| {
        let pool = ProcessPool::new(1).unwrap();
        let long = Duration::from_secs(3600);
        let lazily = || pool.imap_unordered([50], nap).count();
        assert_eq!(greenloom::timeout(long, lazily), Ok(1));
        let job = pool.submit(nap, 50).unwrap();
        let completed = || pool.as_completed([job]).count();
        assert_eq!(greenloom::timeout(long, completed), Ok(1));
    });
    done.unwrap();
}

#[test]
fn a_pool_may_have_as_many_workers_as_it_likes() {
    let pool = ProcessPool::new(usize::MAX).unwrap();
    assert_eq!(pool.map(0..3, square).len(), 3);
    assert_eq!(pool.starmap([(1, 2)], |a: u32, b: u32| a + b).len(), 1);
    assert_eq!(pool.imap(0..3, square).count(), 3);
}

#[test]
fn a_callback_that_comes_after_the_end_is_waited_for_as_well() {
    let pool = ProcessPool::new(1).unwrap();
    let job = pool.submit(square, 3).unwrap();
    pool.close();
    pool.join().unwrap();
    for _ in 0..3 {
        let has_run = Arc::new(AtomicBool::new(false));
        let its = has_run.clone();
        job.on_end(move |value| {
            // real sleep: whoever does not wait for this is to be found out.
            greenloom::sleep(Duration::from_millis(20));
            its.store(value.unwrap() == 9, Ordering::SeqCst);
        });
        pool.join().unwrap();
        assert!(has_run.load(Ordering::SeqCst));
    }
}

#[test]
fn cancelled_jobs_leave_nothing_in_the_queue() {
    let pool = ProcessPool::new(1).unwrap();
    let (go, its) = ipc::pipe::<u32, u32>().unwrap();
    let wait = |go: Conn<u32>| {
        go.send(&1).unwrap();
        drop(go.recv());
    };
    let first = pool.submit(wait, its).unwrap();
    // From here on it does not wait in the queue.
    go.recv().unwrap();
    let kept = pool.submit(square, 2).unwrap();
    for number in 0..1000 {
        let job = pool.submit(square, number).unwrap();
        assert!(job.cancel());
    }
    let state = format!("{pool:?}");
    let waiting = state
        .split("waiting: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let waiting: usize = waiting.expect("it says so").parse().unwrap();
    assert!(waiting < 10, "{state}");
    drop(go);
    first.get().unwrap();
    assert_eq!(kept.get().unwrap(), 4);
}

/// More than one message may have; its bytes are not touched before it is sent.
fn too_long(more: u32) -> String {
    String::from_utf8(vec![0; (1 << 30) + more as usize]).unwrap()
}

#[test]
fn what_is_too_long_for_a_message_is_an_error_and_the_worker_lives() {
    let pool = ProcessPool::new(1).unwrap();
    let worker = pool.apply(|()| std::process::id(), ()).unwrap();
    let result = pool.apply(|more: u32| too_long(more), 0);
    assert!(matches!(result, Err(TaskError::Codec(_))));
    let argument = pool.apply(|text: String| text.len(), too_long(0));
    assert!(matches!(argument, Err(TaskError::Codec(_))));
    assert_eq!(pool.apply(|()| std::process::id(), ()).unwrap(), worker);
}
