//! Selects over lists of arms.

use std::time::Duration;

use greenloom::channel::{bounded, rendezvous, unbounded};
use greenloom::select::{self, Select};
use greenloom::{sleep, spawn, yield_now};

use crate::util::{green, virtual_time};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_hundred_arms_take_turns() {
    green(|| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..100).map(|_| bounded(1)).unzip();
        let task = spawn(move || {
            for n in 0..1_000 {
                senders[n * 37 % 100].send(n).unwrap();
            }
            // Kept to the end, which would make their arms ready.
            senders
        });
        let mut seen = vec![false; 1_000];
        let mut arms: Vec<_> = receivers.iter().map(select::recv).collect();
        for _ in 0..1_000 {
            let chosen = Select::over(&mut arms).wait();
            let n = arms[chosen].take().unwrap().unwrap();
            assert_eq!(n * 37 % 100, chosen);
            assert!(!std::mem::replace(&mut seen[n], true));
        }
        drop(task.join().unwrap());
        assert_eq!(
            arms.iter_mut().filter_map(|arm| arm.take()).count(),
            0,
            "an arm that was not chosen has a result"
        );
    });
}

#[test]
fn a_hundred_arms_are_served_as_they_wait() {
    virtual_time(|| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..100).map(|_| rendezvous()).unzip();
        let task = spawn(move || {
            for n in (0..100).rev() {
                sleep(SECOND);
                senders[n].send(n).unwrap();
            }
        });
        let mut arms: Vec<_> = receivers.iter().map(select::recv).collect();
        for n in (0..100).rev() {
            assert_eq!(Select::over(&mut arms).wait_timeout(2 * SECOND), Some(n));
            assert_eq!(arms[n].take(), Some(Ok(n)));
        }
        task.join().unwrap();
        // All the senders are gone now.
        let chosen = Select::over(&mut arms).wait();
        assert!(arms[chosen].take().unwrap().is_err());
    });
}

#[test]
fn a_send_that_was_not_chosen_has_its_value_still() {
    virtual_time(|| {
        let (full, free) = (bounded(1), bounded(1));
        full.0.send(String::from("first")).unwrap();
        let mut blocked = select::send(&full.0, String::from("kept"));
        let mut done = select::send(&free.0, String::from("sent"));
        let mut select = Select::new().with(&mut blocked).with(&mut done);
        assert_eq!(select.wait(), 1);
        // One that was chosen has nothing more to send.
        assert_eq!(select.wait_timeout(SECOND), None);
        assert_eq!(select.try_wait(), None);
        assert_eq!(done.take(), Some(Ok(())));
        assert_eq!(done.into_value(), None);
        assert_eq!(blocked.take(), None);
        assert_eq!(blocked.into_value().as_deref(), Some("kept"));
        assert_eq!(free.1.recv().as_deref(), Ok("sent"));
    });
}

#[test]
fn a_result_that_nobody_has_taken_is_not_overwritten() {
    green(|| {
        let (sender, receiver) = unbounded();
        (0..3).for_each(|n| sender.send(n).unwrap());
        let mut arm = select::recv(&receiver);
        assert_eq!(Select::new().with(&mut arm).try_wait(), Some(0));
        assert_eq!(Select::new().with(&mut arm).try_wait(), None);
        assert_eq!(arm.take(), Some(Ok(0)));
        assert_eq!(Select::new().with(&mut arm).wait(), 0);
        assert_eq!((arm.take(), arm.take()), (Some(Ok(1)), None));
        assert_eq!(receiver.len(), 1);
    });
}

#[test]
fn a_select_over_nothing_is_never_ready() {
    virtual_time(|| {
        assert_eq!(Select::new().try_wait(), None);
        assert_eq!(Select::new().wait_timeout(SECOND), None);
    });
}

#[test]
fn arms_of_different_kinds_stand_in_one_list() {
    virtual_time(|| {
        let (sender, receiver) = rendezvous::<u8>();
        let stop = greenloom::task::CancelToken::new();
        let mut task = spawn({
            let stop = stop.clone();
            move || {
                sleep(SECOND);
                stop.cancel();
                sleep(SECOND);
            }
        });
        let mut receive = select::recv(&receiver);
        let mut join = select::join(&mut task);
        let mut stopped = select::wait(&stop);
        let mut select = Select::new();
        assert_eq!(select.add(&mut receive), 0);
        assert_eq!(select.add(&mut join), 1);
        assert_eq!(select.add(&mut stopped), 2);
        assert_eq!(select.wait(), 2);
        assert_eq!(stopped.take(), Some(()));
        let mut select = Select::new().with(&mut receive).with(&mut join);
        assert_eq!(select.wait(), 1);
        assert!(join.take().unwrap().is_ok());
        drop(spawn(move || sender.send(1)));
        yield_now();
        assert_eq!(Select::new().with(&mut receive).try_wait(), Some(0));
        assert_eq!(receive.take(), Some(Ok(1)));
    });
}
