//! Receivers that the clock makes ready.

use std::time::Duration;

use greenloom::channel::{RecvTimeoutError, TryRecvError, after, at, never, tick};
use greenloom::time::{MissedTicks, interval, interval_at, now};
use greenloom::{RunError, Runtime, run, sleep, spawn, timeout, yield_now};

use crate::util::virtual_time;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn after_is_ready_once_at_its_time() {
    virtual_time(|| {
        let begun = now();
        let bell = after(3 * SECOND);
        assert_eq!(bell.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(bell.recv_timeout(SECOND), Err(RecvTimeoutError::Timeout));
        assert_eq!(now() - begun, SECOND);
        assert_eq!(bell.recv().unwrap() - begun, 3 * SECOND);
        assert_eq!(now() - begun, 3 * SECOND);
        // Never again.
        assert_eq!(bell.recv_timeout(SECOND), Err(RecvTimeoutError::Timeout));
        assert_eq!(bell.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(now() - begun, 4 * SECOND);
    });
}

#[test]
fn a_bell_at_the_very_deadline_is_heard() {
    virtual_time(|| {
        assert!(after(SECOND).recv_timeout(SECOND).is_ok());
        assert!(after(Duration::ZERO).recv_timeout(Duration::ZERO).is_ok());
        assert!(at(now()).try_recv().is_ok());
        assert!(at(now() + SECOND).recv_timeout(2 * SECOND).is_ok());
        assert!(after(Duration::MAX).recv_timeout(SECOND).is_err());
        assert!(tick(Duration::MAX).recv_timeout(SECOND).is_err());
    });
}

#[test]
fn of_many_who_wait_for_one_bell_one_hears_it() {
    virtual_time(|| {
        let bell = after(SECOND);
        assert!(bell.same_channel(&bell.clone()) && !bell.same_channel(&after(SECOND)));
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let bell = bell.clone();
                spawn(move || bell.recv_timeout(5 * SECOND))
            })
            .collect();
        let heard = tasks.into_iter().map(|task| task.join().unwrap());
        assert_eq!(heard.filter(Result::is_ok).count(), 1);
    });
}

#[test]
fn a_cancelled_waiter_leaves_the_bell_to_the_others() {
    virtual_time(|| {
        let bell = after(SECOND);
        let theirs = bell.clone();
        let task = spawn(move || theirs.recv());
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert!(timeout(SECOND / 2, || bell.recv()).is_err());
        assert!(bell.recv().is_ok());
    });
}

#[test]
fn ticks_keep_their_schedule_and_leave_out_the_missed() {
    virtual_time(|| {
        let begun = now();
        let ticks = tick(SECOND);
        let mut due = Vec::new();
        for work in [0, 1, 25, 0, 30, 5] {
            due.push((ticks.recv().unwrap() - begun).as_millis() / 100);
            sleep(work * SECOND / 10);
        }
        assert_eq!(due, [10, 20, 30, 40, 60, 70]);
        let five: Vec<_> = ticks.iter().take(2).map(|due| due - begun).collect();
        assert_eq!(five, [10 * SECOND, 11 * SECOND]);
    });
}

#[test]
fn ticks_are_shared_out_among_clones() {
    virtual_time(|| {
        let begun = now();
        let ticks = tick(SECOND);
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let ticks = ticks.clone();
                spawn(move || ticks.recv().unwrap())
            })
            .collect();
        let mut due: Vec<_> = tasks
            .into_iter()
            .map(|task| (task.join().unwrap() - begun).as_secs())
            .collect();
        due.sort_unstable();
        assert_eq!(due, (1..=100).collect::<Vec<_>>());
    });
}

#[test]
fn never_is_never_ready() {
    virtual_time(|| {
        let nothing = never::<String>();
        let begun = now();
        assert_eq!(nothing.try_recv(), Err(TryRecvError::Empty));
        let timed_out = nothing.recv_timeout(SECOND);
        assert_eq!(timed_out, Err(RecvTimeoutError::Timeout));
        assert_eq!(now() - begun, SECOND);
        assert!(timeout(SECOND, || nothing.recv()).is_err());
        let task = spawn(move || nothing.recv());
        yield_now();
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_wait_for_never_is_a_deadlock_that_is_reported() {
    let outcome = Runtime::builder()
        .virtual_clock()
        .closed_world()
        .run(|| never::<()>().recv());
    let Err(RunError::Panicked(report)) = outcome else {
        panic!("no deadlock");
    };
    let text = report.downcast::<String>().unwrap();
    assert!(text.contains("channel.never"), "{text}");
}

#[test]
fn timers_work_on_plain_threads_by_the_real_clock() {
    let begun = now();
    let bell = after(Duration::from_millis(3));
    assert!(bell.recv_timeout(Duration::from_millis(1)).is_err());
    let due = bell.recv().unwrap();
    assert!(due - begun >= Duration::from_millis(3) && now() >= due);
    let ticks = tick(Duration::from_millis(1));
    let first = ticks.recv().unwrap();
    assert!(ticks.recv().unwrap() > first);
}

#[test]
fn an_interval_does_with_missed_ticks_what_it_is_told() {
    let table = |policy| {
        virtual_time(move || {
            let begun = now();
            let mut interval = interval(SECOND / 10).missed(policy);
            assert_eq!(interval.period(), SECOND / 10);
            sleep(SECOND * 35 / 100);
            let tenths = |interval: &mut greenloom::time::Interval| {
                let due = interval.tick() - begun;
                (due.as_millis(), (now() - begun).as_millis())
            };
            (0..6).map(|_| tenths(&mut interval)).collect::<Vec<_>>()
        })
    };
    // The table in the documentation of `MissedTicks`.
    assert_eq!(
        table(MissedTicks::Skip),
        [
            (100, 350),
            (400, 400),
            (500, 500),
            (600, 600),
            (700, 700),
            (800, 800)
        ]
    );
    assert_eq!(
        table(MissedTicks::Burst),
        [
            (100, 350),
            (200, 350),
            (300, 350),
            (400, 400),
            (500, 500),
            (600, 600)
        ]
    );
    assert_eq!(
        table(MissedTicks::Delay),
        [
            (100, 350),
            (450, 450),
            (550, 550),
            (650, 650),
            (750, 750),
            (850, 850)
        ]
    );
}

#[test]
fn an_interval_is_asked_waited_for_and_reset() {
    virtual_time(|| {
        let begun = now();
        let mut ticks = interval_at(begun, SECOND);
        assert_eq!(ticks.try_tick(), Some(begun));
        assert_eq!(ticks.try_tick(), None);
        assert_eq!(ticks.tick_timeout(SECOND / 2), None);
        assert_eq!(ticks.tick_timeout(SECOND / 2), Some(begun + SECOND));
        ticks.reset();
        assert!(timeout(SECOND / 2, || ticks.tick()).is_err());
        ticks.reset();
        assert_eq!(ticks.next(), Some(begun + SECOND * 5 / 2));
        assert_eq!(ticks.tick_timeout(Duration::ZERO), None);
    });
}

#[test]
fn an_interval_that_is_always_late_lets_its_neighbours_run() {
    run(|| {
        let task = spawn(|| {
            let mut ticks = interval(Duration::from_nanos(1)).missed(MissedTicks::Burst);
            loop {
                ticks.tick();
            }
        });
        yield_now();
        // We run again, though the ticker has never had to wait.
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
    });
}

#[test]
#[should_panic(expected = "ticks without time between them")]
fn a_period_of_zero_is_refused() {
    tick(Duration::ZERO);
}
