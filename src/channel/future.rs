//! Receives as futures, for any executor.
//!
//! The future has a seat in the channel's line, as a task that waits has, so it is served in its turn. What
//! the seat holds is a waker of our own, the *relay*: an executor's waker is anybody's code, and is cloned,
//! replaced, used and dropped outside of the latch that the line lies in.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::base::primitive::{Mutex, lock};
use crate::scheduler::park::{self, Sleeper};
use crate::sync::wait_list::{Queue, Ticket};

use super::broadcast;
use super::core::{Channel, Share, Taker, ended, wake};
use super::error::{RecvError, TryRecvError};
use super::look_arm::Looked;
use super::mpmc::Receiver;
use super::watch;

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
        let before = lock(&self.waker).replace(waker);
        // Here, where nothing is locked.
        drop(before);
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        let waker = lock(&self.waker).take();
        // Others may be woken after this one.
        if let Some(waker) = waker {
            park::wake_foreign(waker);
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
        Err(TryRecvError::Empty) => Ok(state.takers.join_with(sleeper, Share::Nothing)),
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

/// A receive to be awaited, of the channels that tell everybody: a `T`. Made by
/// [`broadcast::Receiver::recv_async`] and [`watch::Receiver::changed_async`].
#[must_use = "it does nothing unless it is polled"]
#[expect(private_bounds, reason = "sealed")]
pub struct LookFuture<'a, R: Looked<Outcome = T>, T> {
    receiver: &'a R,
    /// Called, it says no more than "look again".
    seat: Option<Seat>,
}

impl<T: Clone> broadcast::Receiver<T> {
    /// As [`recv`](Self::recv), as a future: it may be awaited on any executor, in a task and outside of all.
    ///
    /// # Errors
    ///
    /// [`RecvError`](broadcast::RecvError): it has missed values, or nothing will ever come.
    ///
    /// # Cancellation
    ///
    /// Dropped before it was ready it has received nothing.
    pub fn recv_async(&self) -> LookFuture<'_, Self, Result<T, broadcast::RecvError>> {
        LookFuture::new(self)
    }
}

impl<T> watch::Receiver<T> {
    /// As [`changed`](Self::changed), as a future: it may be awaited on any executor, in a task and outside of all.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when there is no change that this receiver has not seen, and every sender is gone.
    ///
    /// # Cancellation
    ///
    /// Dropped before it was ready it has seen nothing.
    pub fn changed_async(&self) -> LookFuture<'_, Self, Result<(), RecvError>> {
        LookFuture::new(self)
    }
}

#[expect(private_bounds, reason = "sealed")]
impl<'a, R: Looked<Outcome = T>, T> LookFuture<'a, R, T> {
    fn new(receiver: &'a R) -> Self {
        LookFuture {
            receiver,
            seat: None,
        }
    }

    fn is_called(&self) -> bool {
        let is_called = |seat: &Seat| {
            self.receiver
                .in_line(|crowd, _| crowd.is_called(&seat.ticket))
        };
        self.seat.as_ref().is_some_and(is_called)
    }

    fn stand_up(&mut self) {
        if let Some(Seat { ticket, .. }) = &self.seat {
            self.receiver.in_line(|crowd, _| crowd.stand_up(ticket));
        }
        // The relay goes here, outside of the latch.
        self.seat = None;
    }

    /// Takes a seat, and then looks: what comes later calls the seat.
    fn look(&mut self, relay: Arc<Relay>) -> Poll<T> {
        let sleeper = Sleeper::relay(Waker::from(relay.clone()));
        let ticket = self
            .receiver
            .in_line(|crowd, seen| crowd.join_with(sleeper, seen));
        self.seat = Some(Seat { ticket, relay });
        let Some(found) = self.receiver.find() else {
            return Poll::Pending;
        };
        self.stand_up();
        Poll::Ready(R::give(found))
    }
}

impl<R: Looked<Outcome = T>, T> Future for LookFuture<'_, R, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let waker = context.waker().clone();
        if let Some(seat) = &self.seat {
            // Before the look: a call after it wakes this one.
            seat.relay.replace(waker);
            if !self.is_called() {
                return Poll::Pending;
            }
            let relay = self.seat.as_ref().map(|seat| seat.relay.clone());
            self.stand_up();
            return self.look(relay.expect("it was just there"));
        }
        match self.receiver.find() {
            Some(found) => Poll::Ready(R::give(found)),
            None => self.look(Relay::new(waker)),
        }
    }
}

impl<R: Looked<Outcome = T>, T> Drop for LookFuture<'_, R, T> {
    fn drop(&mut self) {
        self.stand_up();
    }
}

impl<R: Looked<Outcome = T>, T> fmt::Debug for LookFuture<'_, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookFuture")
            .field("has_seat", &self.seat.is_some())
            .finish_non_exhaustive()
    }
}
