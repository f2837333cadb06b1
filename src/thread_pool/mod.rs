//! OS threads for work that blocks or computes, of which only so many run at a time.
//!
//! [`unblock`](crate::unblock) is for a call now and then. A [`ThreadPool`] has threads of its own, as Python's
//! `ThreadPoolExecutor`: so many and no more, made ready by an initialiser, with jobs that wait in line and can
//! be cancelled there. Whoever waits for a job waits green; a plain thread blocks.
//!
//! [`threaded_work`] does a list of items on threads of its own, and [`ThreadedWorker`] is one thread between
//! two queues.
//!
//! # Examples
//!
//! ```
//! use greenloom::thread_pool::ThreadPool;
//!
//! # greenloom::run(|| {
//! let pool = ThreadPool::new(4);
//! let sum = pool.submit(|| (1..=1_000_000_u64).sum::<u64>()).unwrap();
//! let lengths = pool.map(["some", "words"], str::len);
//! assert_eq!(lengths.into_iter().map(Result::unwrap).sum::<usize>(), 9);
//! assert_eq!(sum.join().unwrap(), 500_000_500_000);
//! # });
//! ```

mod iter;
mod job;
mod pool;
mod work;

pub use iter::{AsCompleted, IMap, IMapUnordered};
pub use job::{JobError, JobHandle};
pub use pool::{Builder, SubmitError, ThreadPool};
pub use work::{ThreadedWork, ThreadedWorker, WorkError, threaded_work};
