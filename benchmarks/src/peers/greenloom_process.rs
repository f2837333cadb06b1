//! greenloom's processes: pipes, queues, pools.

use greenloom::ipc::{self, Conn, Queue};
use greenloom::process::{Process, ProcessPool};

use crate::cases::What;
use crate::child::measure::{Round, Task};

const TRIPS: u64 = 2_000;

pub(super) fn run(task: &Task) {
    match task.what {
        What::Pipe => pipe(task),
        What::Queue => queue(task),
        What::Apply => apply(task),
        What::MapSingle => map_single(task),
        What::MapChunked => map_chunked(task),
        _ => pool_start(task),
    }
}

fn square(n: u64) -> u64 {
    n.wrapping_mul(n)
}

fn answer(parent: Conn<u64>) {
    while let Ok(n) = parent.recv() {
        if parent.send(&n).is_err() {
            return;
        }
    }
}

fn pipe(task: &Task) {
    let (ours, theirs) = ipc::pipe::<u64, u64>().expect("a pipe");
    let child = Process::spawn(answer, theirs).expect("a process");
    task.rounds(|| {
        Round::timed(TRIPS as usize, || {
            for n in 0..TRIPS {
                ours.send(&n).expect("a reader");
                assert_eq!(ours.recv().expect("an answer"), n);
            }
        })
    });
    drop(ours);
    child.join().expect("its end");
}

fn give_back((to, from): (Queue<u64>, Queue<u64>)) {
    while let Ok(n) = to.get() {
        if from.put(&n).is_err() {
            return;
        }
    }
}

fn queue(task: &Task) {
    let (to, from) = (Queue::new(), Queue::new());
    let child = Process::spawn(give_back, (to.clone(), from.clone())).expect("a process");
    task.rounds(|| {
        Round::timed(TRIPS as usize, || {
            for n in 0..TRIPS {
                to.put(&n).expect("room");
                assert_eq!(from.get().expect("an answer"), n);
            }
        })
    });
    to.shutdown(true).expect("a broker");
    child.join().expect("its end");
}

fn apply(task: &Task) {
    let pool = ProcessPool::new(1).expect("a pool");
    task.rounds(|| {
        Round::timed(TRIPS as usize, || {
            for n in 0..TRIPS {
                assert_eq!(pool.apply(square, n).expect("a value"), n * n);
            }
        })
    });
}

fn map_single(task: &Task) {
    const JOBS: u64 = 10_000;
    let pool = ProcessPool::new(task.workers).expect("a pool");
    task.rounds(|| {
        Round::timed(JOBS as usize, || {
            let done = pool.map_chunked(0..JOBS, 1, square);
            assert_eq!(done.len(), JOBS as usize);
        })
    });
}

fn map_chunked(task: &Task) {
    const JOBS: u64 = 500_000;
    let pool = ProcessPool::new(task.workers).expect("a pool");
    task.rounds(|| {
        Round::timed(JOBS as usize, || {
            assert_eq!(pool.map(0..JOBS, square).len(), JOBS as usize);
        })
    });
}

fn pool_start(task: &Task) {
    const POOLS: usize = 10;
    task.rounds(|| {
        Round::timed(POOLS, || {
            for _ in 0..POOLS {
                let pool = ProcessPool::new(1).expect("a pool");
                assert_eq!(pool.apply(square, 7).expect("a value"), 49);
            }
        })
    });
}
