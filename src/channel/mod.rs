//! Channels: values handed from green threads and plain threads to others.
//!
//! | channel | for |
//! |---|---|
//! | [`bounded`], [`unbounded`], [`rendezvous`] | values of which each goes to one receiver |
//! | [`oneshot()`] | one value, once |
//! | [`broadcast()`] | values of which each goes to every receiver |
//! | [`watch()`] | the latest value of something |
//! | [`after`], [`tick`], [`never()`] | the time, as something to receive |
//!
//! [`bounded`] makes senders wait for room, [`unbounded`] never does, and [`rendezvous`] has no room at
//! all: each send meets a receive. These three have any number of senders and receivers, each value goes to
//! exactly one receiver, and values arrive in the order in which they were sent. Both ends work in tasks
//! of any worker and in plain OS threads, in any mix.
//!
//! A channel ends when all of one side is gone, or by `close`. Receivers first get what is still inside;
//! senders get back what they could not send. No value is lost or doubled when a task that waits is
//! cancelled or times out: a value that was on its way to a receiver goes to the next one instead.
//!
//! # Examples
//!
//! ```
//! use greenloom::channel;
//!
//! # greenloom::run(|| {
//! let (sender, receiver) = channel::bounded(10);
//! for n in 1..=3 {
//!     let sender = sender.clone();
//!     greenloom::spawn(move || sender.send(n * n));
//! }
//! drop(sender);
//! // The iterator ends when the last sender is gone.
//! assert_eq!(receiver.iter().sum::<i32>(), 14);
//! # });
//! ```

mod arms;
mod audience;
pub mod broadcast;
mod core;
mod crowd;
mod error;
mod future;
mod look_arm;
mod mpmc;
pub mod oneshot;
mod ticker;
pub mod watch;

pub use arms::{RecvArm, SendArm};
pub use broadcast::broadcast;
pub use error::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
pub use future::{LookFuture, Recv};
pub use look_arm::LookArm;
pub use mpmc::{IntoIter, Iter, Receiver, Sender, TryIter, bounded, rendezvous, unbounded};
pub use oneshot::oneshot;
pub use ticker::{Never, NeverArm, Timer, TimerArm, TimerIter, after, at, never, tick};
pub use watch::watch;
