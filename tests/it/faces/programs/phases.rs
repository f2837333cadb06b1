//! Threads that go through the phases of a computation in step, by a barrier.

use super::facade::sync::atomic::{AtomicUsize, Ordering};
use super::facade::sync::{Arc, Barrier};
use super::facade::thread;

const THREADS: usize = 4;
const PHASES: usize = 3;

pub(crate) fn main() -> String {
    let barrier = Arc::new(Barrier::new(THREADS));
    let arrived: Arc<Vec<AtomicUsize>> =
        Arc::new((0..PHASES).map(|_| AtomicUsize::new(0)).collect());
    let leaders = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            let arrived = Arc::clone(&arrived);
            let leaders = Arc::clone(&leaders);
            thread::spawn(move || {
                for phase in arrived.iter() {
                    phase.fetch_add(1, Ordering::SeqCst);
                    if barrier.wait().is_leader() {
                        leaders.fetch_add(1, Ordering::SeqCst);
                    }
                    // Nobody is behind.
                    assert_eq!(phase.load(Ordering::SeqCst), THREADS);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(leaders.load(Ordering::SeqCst), PHASES);
    format!("{PHASES} phases of {THREADS} in step, one leader each")
}
