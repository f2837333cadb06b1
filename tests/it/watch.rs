//! A limit of time for tests of what might hang.
#![allow(
    clippy::disallowed_methods,
    reason = "the tests' own threads may block"
)]

use std::sync::mpsc;
use std::time::Duration;

/// Long enough for a loaded machine under a sanitizer.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Runs `f` on a thread of its own; panics if it has not come to its end in good time.
#[track_caller]
pub(crate) fn watched<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let value = f();
        let _ = sender.send(());
        value
    });
    match receiver.recv_timeout(LONG) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Ok(value) => value,
            Err(payload) => std::panic::resume_unwind(payload),
        },
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
    }
}

/// Blocks the thread: what a task that hogs its worker does.
pub(crate) fn hog(duration: Duration) {
    // real sleep: to hold the thread is what it is for
    std::thread::sleep(duration);
}

/// Blocks the thread until the condition holds; false if it does not in good time.
pub(crate) fn eventually(condition: impl Fn() -> bool) -> bool {
    let begun = std::time::Instant::now();
    while !condition() {
        if begun.elapsed() > LONG / 2 {
            return false;
        }
        hog(Duration::from_millis(1));
    }
    true
}

/// Calls its function when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
