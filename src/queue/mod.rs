//! Queues of work, as Python's `queue` and `asyncio` have them: in three orders, with an account of what is done.
//!
//! [`Queue`] gives items in the order in which they came, [`LifoQueue`] the newest first, [`PriorityQueue`]
//! the smallest first. Each may be bounded; `put` waits for room and `get` for an item. They work in tasks
//! of any worker and in plain OS threads, in any mix. A queue is a handle: its clones are the same queue,
//! to be given to whoever puts or gets.
//!
//! What a [channel](crate::channel) has not: the items are counted as *unfinished* until somebody says
//! [`task_done`](Queue::task_done), or drops the guard of [`get_guard`](Queue::get_guard), and
//! [`join`](Queue::join) waits until all are done. Nor does a queue end by itself when its handles are dropped:
//! [`shutdown`](Queue::shutdown) ends it, and its iterators with it. An empty queue is no sign of the end:
//! whoever puts may just be slow.
//!
//! [`duplex`] makes a two-way pipe that keeps messages apart, as Python's `multiprocessing.Pipe`.
//!
//! # Examples
//!
//! ```
//! use greenloom::queue::Queue;
//!
//! # greenloom::run(|| {
//! let pages = Queue::bounded(10);
//! for _ in 0..3 {
//!     let pages = pages.clone();
//!     greenloom::spawn(move || {
//!         // Ends when the queue is shut down and empty.
//!         while let Ok(page) = pages.get_guard() {
//!             let _ = *page; // fetch it; the guard's drop says that it is done
//!         }
//!     });
//! }
//! for page in 0..100 {
//!     pages.put(page).unwrap();
//! }
//! pages.join(); // all hundred are done
//! pages.shutdown(false);
//! # });
//! ```

mod core;
mod duplex;
mod error;
mod heap;
mod joinable;
mod order;
mod queues;

pub use duplex::{End, duplex};
pub use error::{
    GetError, GetTimeoutError, PutError, PutTimeoutError, RecvError, RecvTimeoutError, SendError,
    SendTimeoutError, TryGetError, TryPutError, TryRecvError, TrySendError,
};
pub use joinable::{QueueGuard, TaskDoneError};
pub use queues::{IntoIter, Iter, LifoQueue, PriorityQueue, Queue, TryIter};
