//! `Barrier`: rounds, leaders, actions, and all the ways in which it breaks and is made anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::sync::atomic::{AtomicUsize, Ordering};
use greenloom::sync::{Arc, Barrier, BrokenBarrier, Event, Mutex};
use greenloom::{JoinHandle, Runtime, sleep, spawn, yield_now};
use proptest::prelude::*;

use super::leave::{at_every_step, tick};
use super::{SECOND, settle};
use crate::util::{green, virtual_time};

type Passed = Result<usize, BrokenBarrier>;

fn comer(barrier: &Arc<Barrier>) -> JoinHandle<Passed> {
    let barrier = barrier.clone();
    let task = spawn(move || barrier.wait_checked().map(|result| result.index()));
    yield_now();
    task
}

fn all_pass<const N: usize>(tasks: [JoinHandle<Passed>; N]) {
    for task in tasks {
        task.join().unwrap().unwrap();
    }
}

#[test]
fn nobody_passes_until_all_have_come_and_then_all_do_round_after_round() {
    green(|| {
        const PARTIES: usize = 5;
        let barrier = Arc::new(Barrier::new(PARTIES));
        let rounds = Arc::new(Mutex::new(vec![0; PARTIES]));
        let leaders = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..PARTIES)
            .map(|n| {
                let (barrier, rounds, leaders) = (barrier.clone(), rounds.clone(), leaders.clone());
                spawn(move || {
                    for round in 0..100 {
                        (0..n).for_each(|_| yield_now());
                        rounds.lock().unwrap()[n] = round;
                        if barrier.wait().is_leader() {
                            leaders.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nobody is behind, and nobody more than a round ahead.
                        let rounds = rounds.lock().unwrap();
                        assert!(rounds.iter().all(|&r| r == round || r == round + 1));
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(leaders.load(Ordering::Relaxed), 100);
        assert_eq!((barrier.n_waiting(), barrier.parties()), (0, PARTIES));
    });
}

#[test]
fn each_gets_an_index_of_its_own_and_the_last_leads() {
    green(|| {
        let barrier = Arc::new(Barrier::new(3));
        let (first, second) = (comer(&barrier), comer(&barrier));
        assert_eq!(barrier.n_waiting(), 2);
        let last = barrier.wait();
        assert!(last.is_leader());
        assert_eq!(last.index(), 2);
        assert_eq!(first.join().unwrap(), Ok(0));
        assert_eq!(second.join().unwrap(), Ok(1));
    });
}

#[test]
fn a_barrier_for_one_or_none_lets_everybody_pass() {
    for parties in [0, 1] {
        let barrier = Barrier::new(parties);
        assert!(barrier.wait().is_leader());
        assert_eq!(barrier.wait().index(), 0);
    }
}

#[test]
fn an_abort_is_told_to_all_who_wait_and_all_who_come_until_a_reset() {
    green(|| {
        let barrier = Arc::new(Barrier::new(3));
        let waiters = [comer(&barrier), comer(&barrier)];
        barrier.abort();
        for waiter in waiters {
            assert!(!waiter.join().unwrap().unwrap_err().is_timed_out());
        }
        assert!(barrier.is_broken() && barrier.wait_checked().is_err());
        let result = catch_unwind(AssertUnwindSafe(|| barrier.wait()));
        let text = *result.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(text, "Barrier::wait: the barrier is broken");
        barrier.reset();
        let waiters = [comer(&barrier), comer(&barrier)];
        assert!(barrier.wait().is_leader());
        all_pass(waiters);
    });
}

#[test]
fn a_reset_sends_those_who_wait_away_and_leaves_it_whole() {
    green(|| {
        let barrier = Arc::new(Barrier::new(2));
        let waiter = comer(&barrier);
        barrier.reset();
        assert!(!barrier.is_broken() && barrier.n_waiting() == 0);
        assert!(waiter.join().unwrap().is_err());
        let waiter = comer(&barrier);
        assert!(barrier.wait().is_leader());
        assert_eq!(waiter.join().unwrap(), Ok(0));
    });
}

#[test]
fn a_wait_whose_time_is_over_breaks_it_for_all() {
    virtual_time(|| {
        let barrier = Arc::new(Barrier::new(3));
        let patient = comer(&barrier);
        let begun = greenloom::time::now();
        let error = barrier.wait_timeout(SECOND).unwrap_err();
        assert!(error.is_timed_out());
        assert_eq!(greenloom::time::now() - begun, SECOND);
        assert!(!patient.join().unwrap().unwrap_err().is_timed_out());
        assert!(barrier.is_broken());

        barrier.reset();
        let in_time = [comer(&barrier), comer(&barrier)];
        assert!(barrier.wait_timeout(Duration::ZERO).unwrap().is_leader());
        all_pass(in_time);
    });
}

#[test]
fn one_who_is_cancelled_is_waited_for_anew() {
    green(|| {
        let barrier = Arc::new(Barrier::new(3));
        let [first, second] = [comer(&barrier), comer(&barrier)];
        first.cancel();
        assert!(first.join().unwrap_err().is_cancelled());
        assert_eq!(barrier.n_waiting(), 1);
        let third = comer(&barrier);
        assert!(!third.is_finished());
        assert!(barrier.wait().is_leader());
        assert_eq!(second.join().unwrap(), Ok(0));
        assert_eq!(third.join().unwrap(), Ok(1));
    });
}

#[test]
fn the_last_one_acts_before_anybody_goes_on_and_may_wait_for_it() {
    virtual_time(|| {
        let acted = Arc::new(AtomicUsize::new(0));
        let theirs = acted.clone();
        let barrier = Arc::new(Barrier::with_action(2, move || {
            sleep(SECOND);
            theirs.fetch_add(1, Ordering::Relaxed);
        }));
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (barrier, acted) = (barrier.clone(), acted.clone());
                spawn(move || {
                    for round in 1..=5 {
                        // Comes back while the other may still be on its way.
                        barrier.wait();
                        assert_eq!(acted.load(Ordering::Relaxed), round);
                    }
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn whoever_comes_during_the_action_is_of_the_next_round() {
    green(|| {
        let go_on = Arc::new(Event::new());
        let theirs = go_on.clone();
        let barrier = Arc::new(Barrier::with_action(2, move || theirs.wait()));
        let round = [comer(&barrier), comer(&barrier)];
        let next: Vec<_> = (0..3).map(|_| comer(&barrier)).collect();
        settle();
        assert!(!round.iter().chain(&next).any(|task| task.is_finished()));
        go_on.set();
        all_pass(round);
        settle();
        assert_eq!(next.iter().filter(|task| task.is_finished()).count(), 2);
        barrier.wait();
        for task in next {
            task.join().unwrap().unwrap();
        }
    });
}

#[test]
fn an_action_that_panics_or_is_cancelled_breaks_it() {
    green(|| {
        let barrier = Arc::new(Barrier::with_action(2, || panic!("in the action")));
        let waiter = comer(&barrier);
        let result = catch_unwind(AssertUnwindSafe(|| barrier.wait()));
        assert_eq!(
            *result.unwrap_err().downcast::<&str>().unwrap(),
            "in the action"
        );
        assert!(waiter.join().unwrap().is_err() && barrier.is_broken());

        let barrier = Arc::new(Barrier::with_action(2, || sleep(Duration::MAX)));
        let (waiter, leader) = (comer(&barrier), comer(&barrier));
        let late = comer(&barrier);
        leader.cancel();
        assert!(leader.join().unwrap_err().is_cancelled());
        assert!(waiter.join().unwrap().is_err());
        assert!(late.join().unwrap().is_err());
    });
}

#[test]
fn an_abort_or_reset_during_the_action_is_not_undone_by_its_end() {
    green(|| {
        let go_on = Arc::new(Event::new());
        let theirs = go_on.clone();
        let barrier = Arc::new(Barrier::with_action(2, move || theirs.wait()));
        let round = [comer(&barrier), comer(&barrier)];
        barrier.abort();
        go_on.set();
        assert_eq!(round.map(|task| task.join().unwrap().is_err()), [true; 2]);
        assert!(barrier.is_broken());

        barrier.reset();
        go_on.clear();
        let round = [comer(&barrier), comer(&barrier)];
        barrier.reset();
        let first = comer(&barrier); // of a new round, while the old action still runs
        assert_eq!(barrier.n_waiting(), 1);
        go_on.set();
        assert_eq!(round.map(|task| task.join().unwrap().is_err()), [true; 2]);
        assert!(!first.is_finished());
        assert!(barrier.wait().is_leader());
        assert_eq!(first.join().unwrap(), Ok(0));
    });
}

#[test]
fn whoever_leaves_at_whatever_step_leaves_a_barrier_that_works() {
    for acts in [false, true] {
        at_every_step(25, move |exit| {
            let barrier = Arc::new(match acts {
                true => Barrier::with_action(3, tick),
                false => Barrier::new(3),
            });
            let tasks: Vec<_> = (0..2)
                .map(|_| {
                    let barrier = barrier.clone();
                    spawn(move || {
                        for _ in 0..3 {
                            tick();
                            if barrier.wait_checked().is_err() {
                                return;
                            }
                        }
                    })
                })
                .collect();
            let theirs = barrier.clone();
            let victim = exit.victim(move || {
                for _ in 0..3 {
                    tick();
                    if theirs.wait_checked().is_err() {
                        return;
                    }
                }
            });
            if exit.strike(victim).is_none() {
                // The others would wait for it.
                barrier.abort();
            }
            tasks.into_iter().for_each(|task| task.join().unwrap());
            assert_eq!(barrier.n_waiting(), 0);
            barrier.reset();
            let round = [comer(&barrier), comer(&barrier), comer(&barrier)];
            all_pass(round);
        });
    }
}

#[test]
fn tasks_and_threads_meet_at_it() {
    let barrier = Arc::new(Barrier::new(6));
    let count = Arc::new(AtomicUsize::new(0));
    let work = |barrier: Arc<Barrier>, count: Arc<AtomicUsize>| {
        for round in 0..200 {
            count.fetch_add(1, Ordering::Relaxed);
            barrier.wait();
            assert_eq!(count.load(Ordering::Relaxed), 6 * (round + 1));
            barrier.wait();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (barrier, count) = (barrier.clone(), count.clone());
            scope.spawn(move || work(barrier, count));
        }
        let (barrier, count) = (barrier.clone(), count.clone());
        Runtime::builder()
            .workers(2)
            .run(move || {
                let tasks: Vec<_> = (0..4)
                    .map(|_| {
                        let (barrier, count) = (barrier.clone(), count.clone());
                        spawn(move || work(barrier, count))
                    })
                    .collect();
                tasks.into_iter().for_each(|task| task.join().unwrap());
            })
            .unwrap();
    });
}

#[test]
fn a_deadlock_report_counts_who_has_come() {
    let text = Runtime::builder()
        .workers(1)
        .closed_world()
        .panic_note(false)
        .run(|| {
            let barrier = Arc::new(Barrier::new(3));
            let _other = comer(&barrier);
            let result = catch_unwind(AssertUnwindSafe(|| barrier.wait()));
            *result.unwrap_err().downcast::<String>().unwrap()
        })
        .unwrap();
    let expected = "sync.barrier on a Barrier to which 2 of 3 have come";
    assert!(text.contains(expected), "{text}");
}

#[derive(Clone, Debug)]
enum Step {
    Come,
    Cancel(usize),
    Abort,
    Reset,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// The naive one: a list of those who wait, and whether it is broken.
    #[test]
    fn it_agrees_with_a_naive_one(
        parties in 1..5usize,
        steps in proptest::collection::vec(
            prop_oneof![
                6 => Just(Step::Come),
                2 => any::<usize>().prop_map(Step::Cancel),
                1 => Just(Step::Abort),
                1 => Just(Step::Reset),
            ],
            0..40,
        ),
    ) {
        green(|| {
            let barrier = Arc::new(Barrier::new(parties));
            let mut tasks = Vec::new();
            // What each has come to: waiting, an index, broken, or cancelled.
            let mut outcomes: Vec<Option<Result<usize, bool>>> = Vec::new();
            let mut waiting: Vec<usize> = Vec::new();
            let mut is_broken = false;
            for step in &steps {
                match *step {
                    Step::Come => {
                        let id = tasks.len();
                        outcomes.push(is_broken.then_some(Err(false)));
                        if !is_broken {
                            waiting.push(id);
                        }
                        if waiting.len() == parties {
                            for (index, id) in waiting.drain(..).enumerate() {
                                outcomes[id] = Some(Ok(index));
                            }
                        }
                        tasks.push(comer(&barrier));
                    }
                    Step::Cancel(choice) if !waiting.is_empty() => {
                        let id = waiting.remove(choice % waiting.len());
                        outcomes[id] = Some(Err(true));
                        tasks[id].cancel();
                    }
                    Step::Cancel(_) => {}
                    Step::Abort | Step::Reset => {
                        is_broken = matches!(step, Step::Abort);
                        if is_broken { barrier.abort() } else { barrier.reset() }
                        for id in waiting.drain(..) {
                            outcomes[id] = Some(Err(false));
                        }
                    }
                }
                settle();
                assert_eq!(barrier.is_broken(), is_broken);
                assert_eq!(barrier.n_waiting(), waiting.len());
                for (task, outcome) in tasks.iter().zip(&outcomes) {
                    assert_eq!(task.is_finished(), outcome.is_some(), "after {step:?}");
                }
            }
            barrier.abort();
            for (task, outcome) in tasks.into_iter().zip(outcomes) {
                let actual = match task.join() {
                    Ok(passed) => passed.map_err(|_| false),
                    Err(error) => Err(error.is_cancelled()),
                };
                assert_eq!(actual, outcome.unwrap_or(Err(false)));
            }
        });
    }
}
