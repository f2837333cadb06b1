//! Sleep and quiescence step by step, and with threads in earnest. The races are for `models/`.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread;

use super::*;

fn asleep(sleepers: &Sleepers, worker: usize, hope: Hope) -> Commit {
    sleepers.prepare_sleep(worker);
    sleepers.commit_sleep(worker, hope, || true)
}

#[test]
fn a_wake_is_true_once_a_sleep() {
    let sleepers = Sleepers::new(2);
    assert!(!sleepers.wake(0));
    assert_eq!(asleep(&sleepers, 0, Hope::Hopeful), Commit::Sleep);
    assert!(sleepers.wake(0));
    assert!(!sleepers.wake(0));
    assert_eq!(sleepers.rise(0), Risen::Awake);
    sleepers.prepare_sleep(0);
    assert!(sleepers.wake(0));
    assert_eq!(
        sleepers.commit_sleep(0, Hope::Hopeless, || true),
        Commit::Woken
    );
}

#[test]
fn nobody_more_is_called_while_one_searches() {
    let sleepers = Sleepers::new(3);
    assert_eq!(sleepers.wake_one(), None);
    let _ = asleep(&sleepers, 1, Hope::Hopeful);
    let _ = asleep(&sleepers, 2, Hope::Hopeful);
    assert_eq!(
        sleepers.wake_one(),
        Some(2),
        "the last to fall asleep is the warmest"
    );
    assert_eq!(sleepers.wake_one(), None);
    // It is a searcher though it has not risen yet, and its find is the next one's call.
    assert_eq!(sleepers.rise(2), Risen::Awake);
    assert_eq!(sleepers.stop_search(2, || true), Some(1));
    assert_eq!(
        sleepers.stop_search(2, || true),
        None,
        "it was not searching"
    );
    assert_eq!(sleepers.rise(1), Risen::Awake);
    assert_eq!(sleepers.stop_search(1, || true), None, "nobody sleeps");
}

#[test]
fn the_last_searcher_calls_nobody_if_nothing_is_left() {
    let sleepers = Sleepers::new(2);
    let _ = asleep(&sleepers, 1, Hope::Hopeful);
    sleepers.start_search(0);
    sleepers.start_search(0);
    assert_eq!(sleepers.stop_search(0, || false), None);
    assert_eq!(sleepers.wake_one(), Some(1), "the count is back at zero");
}

#[test]
fn a_lone_worker_is_called_by_foreign_threads_only() {
    let sleepers = Sleepers::new(1);
    let _ = asleep(&sleepers, 0, Hope::Hopeful);
    assert_eq!(sleepers.wake_one(), None);
    assert_eq!(sleepers.wake_any(), Some(0));
}

#[test]
fn quiescence_needs_all_of_its_conditions() {
    let sleepers = Sleepers::new(2);
    assert_eq!(asleep(&sleepers, 0, Hope::Hopeless), Commit::Sleep);
    assert_eq!(asleep(&sleepers, 1, Hope::Hopeful), Commit::Sleep);
    assert_eq!(sleepers.rise(1), Risen::Awake);
    sleepers.outside_began();
    assert_eq!(asleep(&sleepers, 1, Hope::Hopeless), Commit::Sleep);
    // The end of the job names one to judge anew.
    assert_eq!(sleepers.outside_ended(), Some(1));
    assert_eq!(sleepers.rise(1), Risen::Awake);
    sleepers.prepare_sleep(1);
    assert_eq!(
        sleepers.commit_sleep(1, Hope::Hopeless, || false),
        Commit::Sleep
    );
    assert!(sleepers.wake(1));
    assert!(matches!(
        asleep(&sleepers, 1, Hope::Hopeless),
        Commit::Quiescent(_)
    ));
}

#[test]
fn a_report_is_raised_unless_something_has_happened() {
    let sleepers = Sleepers::new(2);
    let _ = asleep(&sleepers, 0, Hope::Hopeless);
    let Commit::Quiescent(epoch) = asleep(&sleepers, 1, Hope::Hopeless) else {
        panic!()
    };
    // A question is no wake.
    assert!(sleepers.ask(0));
    assert_eq!(sleepers.rise(0), Risen::Asked);
    assert!(sleepers.is_still(epoch));
    assert!(sleepers.answered(0));
    // A wake is one, also of a worker that is up for a question.
    assert!(sleepers.ask(0));
    assert!(sleepers.wake(0));
    assert!(!sleepers.answered(0));
    assert!(!sleepers.raise(1, epoch));
    let Commit::Quiescent(later) = asleep(&sleepers, 0, Hope::Hopeless) else {
        panic!()
    };
    assert_ne!(epoch, later);
    assert!(!sleepers.raise(0, epoch));
    assert!(sleepers.raise(0, later));
    assert!(!sleepers.raise(0, later));
    assert!(!sleepers.ask(0), "it is awake");
}

/// Four workers, each asleep whenever it can be, and two foreign threads with work for any of them.
#[test]
fn work_from_foreign_threads_is_all_done() {
    const WORKERS: usize = 4;
    const EACH: usize = 20_000;
    let sleepers = Sleepers::new(WORKERS);
    let (queue, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (bells, sleeps): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| mpsc::channel()).unzip();
    let ring = |worker: Option<usize>| worker.into_iter().for_each(|w| bells[w].send(()).unwrap());
    let more = || queue.load(Ordering::Relaxed) > 0;
    let over = || done.load(Ordering::Relaxed) == 2 * EACH;
    thread::scope(|scope| {
        for (me, sleep) in sleeps.into_iter().enumerate() {
            let (sleepers, queue, done) = (&sleepers, &queue, &done);
            scope.spawn(move || {
                while !over() {
                    sleepers.start_search(me);
                    let less = |count: usize| count.checked_sub(1);
                    if queue
                        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, less)
                        .is_ok()
                    {
                        ring(sleepers.stop_search(me, more));
                        if done.fetch_add(1, Ordering::AcqRel) + 1 == 2 * EACH {
                            (0..WORKERS)
                                .filter(|&worker| sleepers.wake(worker))
                                .for_each(|worker| ring(Some(worker)));
                        }
                        continue;
                    }
                    sleepers.prepare_sleep(me);
                    if more() || over() {
                        sleepers.cancel_sleep(me);
                    } else if sleepers.commit_sleep(me, Hope::Hopeful, || true) == Commit::Sleep {
                        sleep.recv().unwrap();
                        let _ = sleepers.rise(me);
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    queue.fetch_add(1, Ordering::AcqRel);
                    ring(sleepers.wake_any());
                }
            });
        }
    });
    assert!(over() && !more());
}
