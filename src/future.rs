//! Futures run by green threads, and by plain ones: the caller waits, its worker does not.

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::base::primitive::{AtomicBool, Ordering};
use crate::scheduler::park::{self, Wait};
use crate::task::{JoinHandle, spawn};

/// Runs a future to its end on the running task, or on this thread where no task runs, and returns its output.
///
/// Any future does that is not tied to the runtime of another library: an `async` block, a channel of another
/// crate, a [`JoinHandle`]. While it is pending only the caller waits; its wakers may be
/// used from any thread. The future stays on this task's stack, so it need not be `Send`. It may itself
/// call anything of this library that waits, `block_on` included: then this task waits, and so do all that
/// are joined within the future.
///
/// To bound it, use [`timeout`](crate::timeout): `timeout(limit, || block_on(future))`.
///
/// # Panics
///
/// As the future does.
///
/// # Cancellation
///
/// Unwinds where it is pending; the future is dropped on the way, in its task.
///
/// # Parks
///
/// While the future is pending (`future.block_on`).
///
/// # Examples
///
/// ```
/// use greenloom::future::block_on;
///
/// # greenloom::run(|| {
/// let squares = block_on(async {
///     let task = greenloom::spawn(|| 3 * 3);
///     task.await.unwrap() + 4 * 4
/// });
/// assert_eq!(squares, 25);
/// # });
/// ```
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let bell = Arc::new(Bell {
        has_rung: AtomicBool::new(false),
        sleeper: park::current_waker(),
    });
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    let wait = Wait::new("future.block_on");
    #[cfg(feature = "futures-io")]
    let polling = crate::io::Polling::begin();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        if bell.was_rung() {
            // A future that asks to be polled at once lets the neighbours go first.
            park::yield_now();
            continue;
        }
        #[cfg(feature = "futures-io")]
        let _hope = polling.hope();
        loop {
            let _ = park::park(&wait);
            if bell.was_rung() {
                break;
            }
        }
    }
}

/// Spawns a task that runs a future; as [`spawn`] for the rest.
///
/// # Panics
///
/// As `spawn`.
///
/// # Examples
///
/// ```
/// use greenloom::future::spawn_future;
///
/// # greenloom::run(|| {
/// let task = spawn_future(async { 6 * 7 });
/// assert_eq!(task.join().unwrap(), 42);
/// # });
/// ```
#[track_caller]
pub fn spawn_future<F>(future: F) -> JoinHandle<F::Output>
where
    F: IntoFuture + Send + 'static,
    F::Output: Send + 'static,
{
    spawn(move || block_on(future))
}

/// What a pending future rings: a waker that remembers.
///
/// The task's own waker would not do: if the future waits for something green while it is polled, that wait
/// takes the task's wakes for its own, and one that was meant for the future would be lost.
struct Bell {
    /// Set before the sleeper is woken; taken by the sleeper before it polls.
    has_rung: AtomicBool,
    sleeper: Waker,
}

impl Bell {
    fn was_rung(&self) -> bool {
        // Acquire: pairs with `wake_by_ref`; what was done before the wake is seen by the poll.
        self.has_rung.swap(false, Ordering::Acquire)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Once rung it is awake, or on its way.
        if !self.has_rung.swap(true, Ordering::AcqRel) {
            self.sleeper.wake_by_ref();
        }
    }
}
