//! Receives as futures: in turn, on any executor, and without loss whenever they are dropped.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use greenloom::channel::{
    Receiver, Recv, RecvError, TryRecvError, bounded, broadcast, oneshot, rendezvous, unbounded,
    watch,
};
use greenloom::{Runtime, spawn, yield_now};
use proptest::prelude::*;

use super::executor::{Wakes, block_on};
use crate::util::green;

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_receive_is_awaited_on_a_plain_thread() {
    for (sender, receiver) in [rendezvous(), bounded(1), unbounded()] {
        let thread = thread::spawn(move || {
            block_on(async {
                let mut got = Vec::new();
                while let Ok(value) = receiver.recv_async().await {
                    got.push(value);
                }
                got
            })
        });
        greenloom::run(|| {
            spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()))
                .join()
                .unwrap();
        });
        assert_eq!(thread.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn futures_and_tasks_are_served_in_the_order_in_which_they_came() {
    green(|| {
        let (sender, receiver) = unbounded();
        let mut first = receiver.recv_async();
        assert!(poll(&mut first).is_pending());
        let theirs = receiver.clone();
        let second = spawn(move || theirs.recv());
        yield_now();
        let mut third = receiver.recv_async();
        assert!(poll(&mut third).is_pending());
        (1..=2).for_each(|n| sender.send(n).unwrap());
        assert!(poll(&mut third).is_pending());
        assert_eq!(poll(&mut first), Poll::Ready(Ok(1)));
        assert_eq!(second.join().unwrap(), Ok(2));
        sender.send(3).unwrap();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(poll(&mut third), Poll::Ready(Ok(3)));
    });
}

#[test]
fn a_future_dropped_after_its_wake_passes_its_turn_on() {
    green(|| {
        let (sender, receiver) = rendezvous();
        let mut first = receiver.recv_async();
        assert!(poll(&mut first).is_pending());
        let theirs = receiver.clone();
        let second = spawn(move || theirs.recv());
        yield_now();
        sender.try_send(7).unwrap();
        drop(first);
        assert_eq!(second.join().unwrap(), Ok(7));

        // With nobody in line it stays in the channel.
        let mut alone = receiver.recv_async();
        assert!(poll(&mut alone).is_pending());
        sender.try_send(8).unwrap();
        drop(sender);
        drop(alone);
        assert_eq!(receiver.recv(), Ok(8));
        assert_eq!(
            poll(&mut receiver.recv_async()),
            Poll::Ready(Err(RecvError))
        );
    });
}

#[test]
fn the_end_wakes_a_future() {
    let (sender, receiver) = unbounded::<()>();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(receiver.recv_async());
    assert!(future.as_mut().poll(&mut context).is_pending());
    drop(sender);
    assert_eq!(wakes.count(), 1);
    assert_eq!(future.poll(&mut context), Poll::Ready(Err(RecvError)));
    // It has let go of the waker.
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 1);
}

#[test]
fn the_waker_of_the_last_poll_is_woken_and_the_others_let_go_of() {
    let (sender, receiver) = unbounded();
    let wakes = [Arc::new(Wakes::default()), Arc::new(Wakes::default())];
    let mut future = receiver.recv_async();
    for wakes in &wakes {
        let waker = Waker::from(wakes.clone());
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut future).poll(&mut context).is_pending());
    }
    assert_eq!(Arc::strong_count(&wakes[0]), 1);
    sender.send(1).unwrap();
    assert_eq!((wakes[0].count(), wakes[1].count()), (0, 1));
    assert_eq!(poll(&mut future), Poll::Ready(Ok(1)));
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    TryRecv,
    Begin,
    Poll(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        1 => Just(Step::TryRecv),
        3 => Just(Step::Begin),
        4 => any::<usize>().prop_map(Step::Poll),
        3 => any::<usize>().prop_map(Step::Drop),
    ]
}

/// A future, its wakes, and how many there were when it was last polled.
struct Waiting<'a>(Recv<'a, u32>, Arc<Wakes>, usize);

impl Waiting<'_> {
    fn poll(&mut self) -> Poll<Result<u32, RecvError>> {
        self.2 = self.1.count();
        let waker = Waker::from(self.1.clone());
        Pin::new(&mut self.0).poll(&mut Context::from_waker(&waker))
    }
}

proptest! {
    #[test]
    fn whatever_is_polled_and_dropped_all_arrives_in_order_and_nobody_is_left_asleep(
        capacity in 0usize..4,
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let (sender, receiver) = bounded(capacity);
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        let (mut sent, mut received) = (0, Vec::new());
        for step in steps {
            let count = waiting.len();
            match step {
                Step::Send => sent += u32::from(sender.try_send(sent).is_ok()),
                Step::TryRecv => received.extend(receiver.try_recv()),
                Step::Begin => {
                    let mut future = Waiting(receiver.recv_async(), Arc::default(), 0);
                    match future.poll() {
                        Poll::Ready(value) => received.extend(value),
                        Poll::Pending => waiting.push(future),
                    }
                }
                Step::Poll(who) if count > 0 => {
                    if let Poll::Ready(value) = waiting[who % count].poll() {
                        received.extend(value);
                        waiting.remove(who % count);
                    }
                }
                Step::Drop(who) if count > 0 => drop(waiting.remove(who % count)),
                _ => {}
            }
            let is_asleep = waiting.iter().any(|one| one.1.count() == one.2);
            prop_assert!(!is_asleep || receiver.is_empty());
        }
        drop(waiting);
        received.extend(receiver.try_iter());
        if capacity == 0 {
            // Whose future was called has its value: they are polled, and dropped, in any order.
            received.sort_unstable();
        }
        prop_assert_eq!(received, (0..sent).collect::<Vec<_>>());
    }
}

#[test]
fn executors_tasks_and_threads_share_a_channel() {
    const EACH: u64 = 3000;
    let hear = |receiver: Receiver<u64>| {
        block_on(async {
            let mut sum = 0;
            loop {
                // Every other one is given up after a poll.
                let mut hasty = receiver.recv_async();
                if let Poll::Ready(Ok(value)) = poll(&mut hasty) {
                    sum += value;
                }
                drop(hasty);
                match receiver.recv_async().await {
                    Ok(value) => sum += value,
                    Err(RecvError) => return sum,
                }
            }
        })
    };
    for capacity in [0, 1, 100] {
        let (sender, receiver) = bounded(capacity);
        let sum: u64 = thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let receiver = receiver.clone();
                    scope.spawn(move || hear(receiver))
                })
                .collect();
            let run = move || {
                for _ in 0..3 {
                    let sender = sender.clone();
                    drop(spawn(move || {
                        (1..=EACH).for_each(|n| sender.send(n).unwrap())
                    }));
                }
                drop(sender);
                let tasks: Vec<_> = (0..3)
                    .map(|_| {
                        let receiver = receiver.clone();
                        spawn(move || receiver.iter().sum::<u64>())
                    })
                    .collect();
                drop(receiver);
                tasks
                    .into_iter()
                    .map(|task| task.join().unwrap())
                    .sum::<u64>()
            };
            let sum = Runtime::builder().workers(2).run(run).unwrap();
            let heard = threads.into_iter().map(|thread| thread.join().unwrap());
            sum + heard.sum::<u64>()
        });
        assert_eq!(sum, 3 * EACH * (EACH + 1) / 2);
    }
}

#[test]
fn broadcast_values_and_watched_changes_are_awaited() {
    let (sender, receiver) = broadcast(2);
    let mut future = receiver.recv_async();
    assert!(poll(&mut future).is_pending());
    sender.send(1).unwrap();
    // Dropped after its wake: nothing is received.
    drop(future);
    let mut future = receiver.recv_async();
    assert_eq!(poll(&mut future), Poll::Ready(Ok(1)));
    assert!(poll(&mut future).is_pending());
    (2..6).for_each(|n| assert_eq!(sender.send(n), Ok(1)));
    let lagged = broadcast::RecvError::Lagged(2);
    assert_eq!(poll(&mut future), Poll::Ready(Err(lagged)));
    assert_eq!(poll(&mut future), Poll::Ready(Ok(4)));

    let (sender, receiver) = watch(0);
    let mut future = receiver.changed_async();
    assert!(poll(&mut future).is_pending());
    sender.send(1).unwrap();
    drop(future);
    let mut future = receiver.changed_async();
    assert_eq!(poll(&mut future), Poll::Ready(Ok(())));
    assert!(poll(&mut future).is_pending());
    drop(sender);
    assert_eq!(poll(&mut future), Poll::Ready(Err(RecvError)));
}

#[test]
fn a_call_that_another_has_used_up_leaves_the_future_waiting() {
    let (sender, receiver) = broadcast(2);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = receiver.recv_async();
    for n in 0..3 {
        assert!(Pin::new(&mut future).poll(&mut context).is_pending());
        sender.send(n).unwrap();
        assert_eq!(wakes.count(), n + 1);
        // One who shares the receiver comes first.
        assert_eq!(receiver.try_recv(), Ok(n));
    }
    assert!(Pin::new(&mut future).poll(&mut context).is_pending());
    sender.send(9).unwrap();
    assert_eq!(poll(&mut future), Poll::Ready(Ok(9)));
    drop((future, waker));
    assert_eq!(Arc::strong_count(&wakes), 1);
}

#[test]
fn many_executors_hear_a_broadcast_and_see_the_last_of_a_watch() {
    const ITEMS: u64 = 2000;
    let (sender, receiver) = broadcast(100_000);
    let (dial, looker) = watch(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            let (receiver, looker) = (receiver.clone(), looker.clone());
            scope.spawn(move || {
                let mut next = 0;
                while let Ok(value) = block_on(receiver.recv_async()) {
                    assert_eq!(value, next);
                    next += 1;
                }
                assert_eq!(next, ITEMS);
            });
            scope.spawn(move || {
                while block_on(looker.changed_async()).is_ok() {}
                assert_eq!(*looker.borrow(), ITEMS);
            });
        }
        let run = move || {
            for n in 0..ITEMS {
                sender.send(n).unwrap();
                dial.send(n + 1).unwrap();
                if n % 16 == 0 {
                    yield_now();
                }
            }
        };
        Runtime::builder().workers(2).run(run).unwrap();
    });
}

/// An executor's waker that panics.
struct Fails;

impl Wake for Fails {
    fn wake(self: Arc<Self>) {
        panic!("a waker that fails");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_asleep_and_fails_no_sender() {
    green(|| {
        let fails = Waker::from(Arc::new(Fails));
        let mut context = Context::from_waker(&fails);
        // The first in line is the one that fails; behind it stands a task.
        let (sender, receiver) = unbounded::<u32>();
        let mut first = pin!(receiver.recv_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        let theirs = receiver.clone();
        let second = spawn(move || theirs.recv());
        yield_now();
        sender.send(1).unwrap();
        assert_eq!(first.poll(&mut context), Poll::Ready(Ok(1)));
        let mut first = pin!(receiver.recv_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        sender.send(2).unwrap();
        assert_eq!(second.join().unwrap(), Ok(2));
        // The end is told to all.
        let theirs = receiver.clone();
        let second = spawn(move || theirs.recv());
        yield_now();
        drop(sender);
        assert_eq!(second.join().unwrap(), Err(RecvError));

        let (sender, receiver) = watch(0);
        let mut first = pin!(receiver.changed_async());
        assert!(first.as_mut().poll(&mut context).is_pending());
        let theirs = receiver.clone();
        let second = spawn(move || theirs.changed());
        yield_now();
        sender.send(1).unwrap();
        assert_eq!(second.join().unwrap(), Ok(()));

        let (sender, mut receiver) = oneshot();
        assert!(Pin::new(&mut receiver).poll(&mut context).is_pending());
        sender.send(7).unwrap();
        assert_eq!(receiver.recv(), Ok(7));
    });
}
