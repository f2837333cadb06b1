//! A select over a list of arms, and the functions that make arms.

use std::fmt;
use std::time::Duration;

use crate::scheduler::park;

use super::arms::Until;
use super::engine::{self, Arm, Arms, FEW, Receive, Send, Stand, Waitable};

/// An arm that receives from `receiver`; also from an [`after`](crate::channel) or any other that
/// [`Receive`] is implemented for.
///
/// # Examples
///
/// ```
/// use greenloom::select::{self, Select};
///
/// let (sender, receiver) = greenloom::channel::bounded(1);
/// sender.send(7).unwrap();
/// let mut arm = select::recv(&receiver);
/// assert_eq!(Select::new().with(&mut arm).wait(), 0);
/// assert_eq!(arm.take(), Some(Ok(7)));
/// ```
pub fn recv<R: Receive + ?Sized>(receiver: &R) -> R::RecvArm<'_> {
    receiver.recv_arm()
}

/// An arm that sends `value`.
///
/// # Examples
///
/// ```
/// use greenloom::select::{self, Select};
///
/// let (sender, _receiver) = greenloom::channel::rendezvous();
/// let mut arm = select::send(&sender, "nobody wants me");
/// assert_eq!(Select::new().with(&mut arm).try_wait(), None);
/// assert_eq!(arm.into_value(), Some("nobody wants me"));
/// ```
pub fn send<S: Send<T> + ?Sized, T>(sender: &S, value: T) -> S::SendArm<'_> {
    sender.send_arm(value)
}

/// An arm that waits until something has come to pass, such as an [`Event`](crate::sync::Event).
pub fn wait<W: Waitable + ?Sized>(event: &W) -> W::WaitArm<'_> {
    event.wait_arm()
}

/// A select over a list of arms.
///
/// Each wait does exactly one of them, chosen fairly among those that are ready, and tells which. The
/// result is in the arm. Up to eight arms take no memory from the heap.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenloom::select::{self, Select};
/// use greenloom::{channel, sync::Event};
///
/// # greenloom::run(|| {
/// let (sender, receiver) = channel::bounded(1);
/// let stop = Event::new();
/// let mut task = greenloom::spawn(|| "done");
///
/// let mut room = select::send(&sender, 1);
/// let mut end = select::join(&mut task);
/// let mut stopped = select::wait(&stop);
/// let chosen = Select::new()
///     .with(&mut room)
///     .with(&mut end)
///     .with(&mut stopped)
///     .wait_timeout(Duration::from_secs(1));
/// match chosen {
///     Some(0) => assert_eq!(room.take(), Some(Ok(()))),
///     Some(1) => assert_eq!(end.take().unwrap().unwrap(), "done"),
///     other => unreachable!("{other:?}"),
/// }
/// # drop(receiver);
/// # });
/// ```
#[derive(Default)]
pub struct Select<'a> {
    few: [Option<&'a mut dyn Arm>; FEW],
    more: Vec<&'a mut dyn Arm>,
    count: usize,
}

impl<'a> Select<'a> {
    /// A select over nothing yet. One that is over nothing is never ready.
    pub fn new() -> Self {
        Select::default()
    }

    /// A select over all the arms of a list, numbered as they stand there.
    pub fn over<A: Arm + 'a>(arms: impl IntoIterator<Item = &'a mut A>) -> Self {
        let mut select = Select::new();
        for arm in arms {
            select.add(arm);
        }
        select
    }

    /// Adds an arm; returns its number: the first has 0.
    pub fn add(&mut self, arm: &'a mut dyn Arm) -> usize {
        match self.few.get_mut(self.count) {
            Some(place) => *place = Some(arm),
            None => self.more.push(arm),
        }
        self.count += 1;
        self.count - 1
    }

    /// Adds an arm, numbered in the order of the calls.
    #[must_use]
    pub fn with(mut self, arm: &'a mut dyn Arm) -> Self {
        self.add(arm);
        self
    }

    /// Does one of the arms, waiting as long as it takes; returns its number.
    ///
    /// # Cancellation
    ///
    /// Unwinds while it waits. No arm has been done then: what was handed to one meanwhile goes to the
    /// next who waits for it.
    ///
    /// # Parks
    ///
    /// While no arm is ready (`select`).
    #[track_caller]
    pub fn wait(&mut self) -> usize {
        let chosen = self.choose(Until::Always);
        chosen.expect("a wait without a deadline is not late")
    }

    /// As [`wait`](Self::wait), but `None` when no arm was ready within `timeout`. One that is at the
    /// very deadline is done.
    #[track_caller]
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<usize> {
        self.choose(Until::For(timeout))
    }

    /// Does one of the arms that are ready now, if there is one. Never parks.
    pub fn try_wait(&mut self) -> Option<usize> {
        engine::attempt(self).or_else(|| engine::wait_until(self, Until::AtOnce))
    }

    #[track_caller]
    fn choose(&mut self, until: Until) -> Option<usize> {
        // Before anything else: the yield may unwind.
        park::spend_budget();
        // No closure round the wait: it would not know the caller's line.
        match engine::attempt(self) {
            None => engine::wait_until(self, until),
            chosen => chosen,
        }
    }
}

impl Arms for Select<'_> {
    fn count(&self) -> usize {
        self.count
    }

    fn arm(&mut self, number: usize) -> Option<&mut dyn Stand> {
        match number.checked_sub(FEW) {
            None => self.few[number]
                .as_mut()
                .map(|arm| &mut **arm as &mut dyn Stand),
            Some(later) => self
                .more
                .get_mut(later)
                .map(|arm| &mut **arm as &mut dyn Stand),
        }
    }

    fn look(&self, number: usize) -> Option<&dyn Stand> {
        match number.checked_sub(FEW) {
            None => self.few[number].as_ref().map(|arm| &**arm as &dyn Stand),
            Some(later) => self.more.get(later).map(|arm| &**arm as &dyn Stand),
        }
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("arms", &self.count)
            .finish_non_exhaustive()
    }
}
