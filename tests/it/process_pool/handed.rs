//! What is handed to workers and comes from them: whose it is, and for how long.

use std::sync::OnceLock;
use std::time::Duration;

use greenloom::ipc::{self, Conn, Lock, Queue, RecvError};
use greenloom::process::{Process, ProcessPool, TaskError};

/// Only what hangs is stopped by it.
const PATIENCE: Duration = Duration::from_secs(60);

static SHARED: OnceLock<(Lock, Queue<u32>)> = OnceLock::new();

/// Says each number twice, under the lock.
fn say_twice(row: u32) {
    let (lock, queue) = SHARED.get().expect("the initializer has set it");
    for number in row * 100..row * 100 + 50 {
        let _guard = lock.acquire().unwrap();
        queue.put(&number).unwrap();
        queue.put(&number).unwrap();
    }
}

#[test]
fn each_worker_has_its_own_access_to_what_the_initializer_brings() {
    let (lock, queue) = (Lock::new(), Queue::new());
    let pool = ProcessPool::builder()
        .workers(3)
        .initializer(
            |shared| drop(SHARED.set(shared)),
            (lock.clone(), queue.clone()),
        )
        .build()
        .unwrap();
    let rows: Vec<_> = (0..3)
        .map(|row| pool.apply_async(say_twice, row).unwrap())
        .collect();
    for row in &rows {
        row.get_timeout(PATIENCE).expect("nobody hangs").unwrap();
    }
    for _ in 0..150 {
        let number = queue.try_get().unwrap();
        assert_eq!(queue.try_get(), Ok(number), "they come in pairs");
    }
}

#[test]
fn an_end_that_a_job_has_dropped_is_closed_while_the_job_runs() {
    fn drop_one((one, other): (Conn<u32>, Conn<u32>)) {
        drop(one);
        let _ = other.recv();
    }
    let pool = ProcessPool::new(1).unwrap();
    let pipes = || (ipc::pipe::<u32, u32>().unwrap(), ipc::pipe().unwrap());
    let ((one, its), (go, gos)) = pipes();
    let child = Process::spawn(drop_one, (its, gos)).unwrap();
    assert!(matches!(one.recv_timeout(PATIENCE), Err(RecvError::Closed)));
    drop(go);
    child.join().unwrap();
    let ((one, its), (go, gos)) = pipes();
    let job = pool.apply_async(drop_one, (its, gos)).unwrap();
    assert!(matches!(one.recv_timeout(PATIENCE), Err(RecvError::Closed)));
    drop(go);
    job.get().unwrap();
}

#[test]
fn an_end_in_a_result_is_there_once() {
    let pool = ProcessPool::new(1).unwrap();
    let (ours, theirs) = ipc::pipe::<u32, u32>().unwrap();
    let job = pool.apply_async(|end: Conn<u32>| end, theirs).unwrap();
    let end = job.get().unwrap();
    let error = job.get().unwrap_err();
    assert!(matches!(error, TaskError::Codec(_)), "{error}");
    assert!(error.to_string().contains("there once"), "{error}");
    ours.send(&1).unwrap();
    assert_eq!(end.recv().unwrap(), 1);
    drop(end);
    assert!(matches!(
        ours.recv_timeout(PATIENCE),
        Err(RecvError::Closed)
    ));
}
