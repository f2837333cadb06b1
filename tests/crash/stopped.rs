//! The process that serves an object is stopped, not dead, while users of the object are cancelled.

use std::time::Duration;

use greenloom::ipc::{self, Conn, Queue, Semaphore};
use greenloom::process::{Builder, Process};

use crate::child;

/// Only what hangs is stopped by it.
const PATIENCE: Duration = Duration::from_secs(60);

type Served = (Queue<Vec<u8>>, Semaphore);

const PERMITS: u64 = 4000;

/// Serves to its end, which is its parent's.
fn serve(parent: Conn<Served, ()>) {
    let served = (Queue::new(), Semaphore::new(PERMITS));
    parent.send(&served).unwrap();
    let _ = parent.recv();
}

struct Server(Process<()>);

impl Server {
    fn signal(&self, signal: i32) {
        // SAFETY: a signal, to a child that lives.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }
}

/// Runs `body` with a server, what it serves, and the pipe that keeps it.
fn with_server(body: impl FnOnce(&Server, Served)) {
    let (parent, its) = ipc::pipe::<(), Served>().unwrap();
    let server = Builder::new().daemon(true).spawn(serve, its).unwrap();
    let served = parent.recv().unwrap();
    greenloom::run(|| body(&Server(server), served));
}

#[test]
fn a_call_that_is_cancelled_before_it_has_left_waits_for_no_answer() {
    let outcome = child::run(|| {
        with_server(|server, (queue, _)| {
            queue.put(&Vec::new()).unwrap();
            server.signal(libc::SIGSTOP);
            let theirs = queue.clone();
            let big = greenloom::spawn(move || theirs.put(&vec![1; 4 << 20]));
            greenloom::yield_now();
            // Its turn comes after the big one, which the socket has no room for.
            let theirs = queue.clone();
            let small = greenloom::spawn(move || theirs.len());
            greenloom::yield_now();
            small.cancel();
            greenloom::yield_now();
            server.signal(libc::SIGCONT);
            let ended = small.join_timeout(PATIENCE).expect("it does not hang");
            assert!(ended.unwrap_err().is_cancelled());
            big.join().unwrap().unwrap();
            assert_eq!(queue.len(), Ok(2));
        });
    });
    outcome.assert_success();
}

#[test]
fn what_a_cancelled_task_lets_go_of_is_free() {
    let outcome = child::run(|| {
        with_server(|server, (_, semaphore)| {
            let acquire = |_| semaphore.acquire().unwrap();
            let permits: Vec<_> = (0..PERMITS).map(acquire).collect();
            server.signal(libc::SIGSTOP);
            // More than the socket has room for: it waits in the drop of one of them.
            let task = greenloom::spawn(move || permits.into_iter().for_each(drop));
            greenloom::yield_now();
            assert!(!task.is_finished());
            task.cancel();
            greenloom::yield_now();
            server.signal(libc::SIGCONT);
            let _ = task.join_timeout(PATIENCE).expect("it does not hang");
            assert_eq!(semaphore.available_permits(), Ok(PERMITS));
        });
    });
    outcome.assert_success();
}
