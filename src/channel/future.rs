//! A receive as a future, for any executor.
//!
//! The future has a seat in the channel's line, as a task that waits has, so it is served in its turn. What
//! the seat holds is a waker of our own, the *relay*: an executor's waker is anybody's code, and is cloned,
//! replaced, used and dropped outside of the latch that the line lies in.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::base::primitive::{Mutex, lock};
use crate::scheduler::park::Sleeper;
use crate::sync::wait_list::{Queue, Ticket};

use super::core::{Channel, Taker, ended, wake};
use super::error::{RecvError, TryRecvError};
use super::mpmc::Receiver;

/// A receive to be awaited; made by [`Receiver::recv_async`].
#[must_use = "it does nothing unless it is polled"]
pub struct Recv<'a, T> {
    receiver: &'a Receiver<T>,
    /// From the first poll that found nothing to the one that is ready.
    seat: Option<Seat>,
}

struct Seat {
    ticket: Ticket,
    relay: Arc<Relay>,
}

/// Wakes whoever has polled last.
struct Relay {
    waker: Mutex<Option<Waker>>,
}

impl Relay {
    fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Relay {
            waker: Mutex::new(Some(waker)),
        })
    }

    fn replace(&self, waker: Waker) {
        let before = mem::replace(&mut *lock(&self.waker), Some(waker));
        // Here, where nothing is locked.
        drop(before);
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        let waker = lock(&self.waker).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// As [`recv`](Self::recv), as a future: it may be awaited on any executor, in a task and outside of all.
    ///
    /// From its first poll on it stands in line with all others who receive. Once it has been woken a value
    /// is set aside for it, which nobody else gets: poll it or drop it.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the channel is empty, and every sender is gone or it was closed.
    ///
    /// # Cancellation
    ///
    /// Dropped at any time it loses nothing: a value that was set aside for it goes to the next receiver.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use greenloom::channel;
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// let mut sum = pin!(async {
    ///     let first = receiver.recv_async().await?;
    ///     Ok::<_, channel::RecvError>(first + receiver.recv_async().await?)
    /// });
    /// let mut context = Context::from_waker(Waker::noop());
    /// for n in [3, 4] {
    ///     assert!(sum.as_mut().poll(&mut context).is_pending());
    ///     sender.send(n).unwrap();
    /// }
    /// assert_eq!(sum.poll(&mut context), Poll::Ready(Ok(7)));
    /// # use std::future::Future;
    /// ```
    pub fn recv_async(&self) -> Recv<'_, T> {
        Recv {
            receiver: self,
            seat: None,
        }
    }
}

impl<T> Recv<'_, T> {
    /// Receives at once, or takes a seat.
    fn begin(&mut self, waker: Waker) -> Poll<Result<T, RecvError>> {
        let channel = &*self.receiver.channel;
        match channel.try_recv() {
            Ok(item) => return Poll::Ready(Ok(item)),
            Err(TryRecvError::Disconnected) => return Poll::Ready(Err(RecvError)),
            Err(TryRecvError::Empty) => {}
        }
        // Allocated outside of the latch; then once more, in one step with taking the seat.
        let relay = Relay::new(waker);
        let sleeper = Sleeper::relay(Waker::from(relay.clone()));
        match sit_or_take(channel, sleeper) {
            Ok(ticket) => {
                self.seat = Some(Seat { ticket, relay });
                Poll::Pending
            }
            Err(received) => Poll::Ready(received),
        }
    }
}

fn sit_or_take<T>(channel: &Channel<T>, sleeper: Sleeper) -> Result<Ticket, Result<T, RecvError>> {
    let mut state = channel.state.lock();
    match state.try_recv(None) {
        Err(TryRecvError::Empty) => Ok(state.takers.join_with(sleeper, false)),
        Err(TryRecvError::Disconnected) => Err(Err(RecvError)),
        Ok((item, sender)) => {
            drop(state);
            wake(sender);
            Err(Ok(item))
        }
    }
}

impl<T> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker().clone();
        let Some(seat) = &self.seat else {
            return self.begin(waker);
        };
        // Before the look: a call after it wakes this one.
        seat.relay.replace(waker);
        match Taker(&self.receiver.channel).settle(&seat.ticket, false) {
            None => Poll::Pending,
            Some(received) => {
                // Settled means that the seat is given up.
                self.seat = None;
                Poll::Ready(received.map_err(ended))
            }
        }
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            Taker(&self.receiver.channel).abandon(&seat.ticket);
        }
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv")
            .field("receiver", &self.receiver)
            .field("has_seat", &self.seat.is_some())
            .finish()
    }
}
