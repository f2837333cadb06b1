//! Waiting for a time to come.

use std::time::{Duration, Instant};

use crate::base::clock::Deadline;
use crate::scheduler::park;
use crate::task::{sleep_for, sleep_until_deadline};

/// Waits for `duration`, by the runtime's clock; the real one on a plain thread.
///
/// Never less than `duration`; on Linux, not by whole milliseconds more when it is shorter than one. Zero
/// is one [`yield_now`](crate::yield_now), and a duration beyond the end of time waits for ever. Tasks
/// with equal deadlines wake in the order in which they went to sleep.
///
/// # Cancellation
///
/// Unwinds at once.
///
/// # Parks
///
/// Always (`time.sleep`).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// greenloom::Runtime::builder().virtual_clock().run(|| {
///     let begun = greenloom::time::now();
///     let tasks: Vec<_> = (1..=3)
///         .map(|hours| greenloom::spawn(move || greenloom::sleep(Duration::from_secs(3600 * hours))))
///         .collect();
///     tasks.into_iter().for_each(|task| task.join().unwrap());
///     assert_eq!(greenloom::time::now() - begun, Duration::from_secs(3 * 3600));
/// }).unwrap();
/// ```
#[track_caller]
pub fn sleep(duration: Duration) {
    sleep_for(duration);
}

/// Waits until `instant`, which is by the runtime's clock (see [`now`]); one that has passed is one yield.
///
/// For the rest as [`sleep`].
#[track_caller]
pub fn sleep_until(instant: Instant) {
    sleep_until_deadline(Deadline::from_instant(instant));
}

/// The time by the clock that [`sleep`] goes by here: the runtime's, which may be virtual, or the real
/// one on a plain thread.
pub fn now() -> Instant {
    // `None` only where the platform's `Instant` cannot express it, some centuries from now.
    Deadline::at(park::now())
        .to_instant()
        .unwrap_or_else(Instant::now)
}
