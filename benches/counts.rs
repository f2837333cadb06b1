//! Hot paths for an instruction counter: `counts CASE N` does one operation N times and nothing else.
//!
//! `ci/counts` runs each case twice under callgrind, with a small and a large N, and divides the
//! difference. `counts --list` names the cases with the two numbers. Cases of the runtime take their
//! single worker from `GREENLOOM_WORKERS=1`, which the script sets.

use std::hint::black_box;
use std::process::ExitCode;

use greenloom::coroutine::{Coroutine, Generator, Greenlet};

struct Case {
    name: &'static str,
    run: fn(usize),
}

const CASES: &[Case] = &[
    Case {
        name: "generator_item",
        run: generator_item,
    },
    Case {
        name: "coroutine_create_finish",
        run: coroutine_create_finish,
    },
    Case {
        name: "greenlet_switch_pair",
        run: greenlet_switch_pair,
    },
    #[cfg(feature = "runtime")]
    Case {
        name: "yield_of_two_tasks",
        run: runtime::yield_of_two_tasks,
    },
    #[cfg(feature = "runtime")]
    Case {
        name: "spawn_join",
        run: runtime::spawn_join,
    },
    #[cfg(feature = "runtime")]
    Case {
        name: "timer_arm_cancel",
        run: runtime::timer_arm_cancel,
    },
    #[cfg(feature = "runtime")]
    Case {
        name: "mutex_lock",
        run: runtime::mutex_lock,
    },
    #[cfg(feature = "runtime")]
    Case {
        name: "channel_round_trip",
        run: runtime::channel_round_trip,
    },
    #[cfg(feature = "runtime")]
    Case {
        name: "select_4_ready",
        run: runtime::select_4_ready,
    },
];

/// Both even, for the case that shares its operations among two tasks.
const SHORT: usize = 1_000;
const LONG: usize = 11_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["--list"] => CASES
            .iter()
            .for_each(|case| println!("{} {SHORT} {LONG}", case.name)),
        // A plain `cargo bench` only sees that every case works.
        [] => CASES.iter().for_each(|case| (case.run)(SHORT)),
        [name, times] => {
            let case = CASES.iter().find(|case| case.name == *name);
            let (Some(case), Ok(times)) = (case, times.parse()) else {
                eprintln!("counts: no case `{name}` or no number `{times}`");
                return ExitCode::from(2);
            };
            (case.run)(times);
        }
        _ => {
            eprintln!("usage: counts [--list | CASE N]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn generator_item(times: usize) {
    let numbers = Generator::<usize>::new(move |y| {
        for n in 0..times {
            y.suspend(n);
        }
    });
    for n in numbers {
        black_box(n);
    }
}

fn coroutine_create_finish(times: usize) {
    for n in 0..times {
        let body = Coroutine::<(), (), usize>::new(move |_, ()| black_box(n));
        black_box(body.resume(()).is_ok());
    }
}

fn greenlet_switch_pair(times: usize) {
    let main = Greenlet::current();
    let echo = Greenlet::new(move |first: usize| {
        let mut n = first;
        while n < times {
            n = main.switch(n + 1).expect("main lives").get();
        }
        n
    });
    for n in 0..times {
        black_box(echo.switch(n).expect("the other one lives").get::<usize>());
    }
}

#[cfg(feature = "runtime")]
mod runtime {
    //! Cases that need a worker: all in the main thread, which `run` makes one.

    use std::hint::black_box;
    use std::time::Duration;

    use greenloom::channel::bounded;
    use greenloom::sync::Mutex;
    use greenloom::{current, park_timeout, run, select, spawn, yield_now};

    pub(super) fn yield_of_two_tasks(times: usize) {
        run(move || {
            let tasks = [(); 2].map(|()| spawn(move || (0..times / 2).for_each(|_| yield_now())));
            for task in tasks {
                task.join().expect("a task that only yields");
            }
        });
    }

    pub(super) fn spawn_join(times: usize) {
        run(move || {
            for n in 0..times {
                black_box(spawn(move || n).join().expect("a number"));
            }
        });
    }

    /// Two tasks that wake each other; each of their waits arms a timer that is cancelled by the wake.
    pub(super) fn timer_arm_cancel(times: usize) {
        run(move || {
            let main = current();
            let other = spawn(move || {
                for _ in 0..times / 2 {
                    main.unpark();
                    assert!(park_timeout(Duration::from_secs(60)));
                }
            });
            for _ in 0..times / 2 {
                assert!(park_timeout(Duration::from_secs(60)));
                other.task().unpark();
            }
            other.join().expect("a task that only parks");
        });
    }

    pub(super) fn mutex_lock(times: usize) {
        run(move || {
            let sum = Mutex::new(0);
            for n in 0..times {
                *sum.lock().expect("nobody panics") += n;
            }
            black_box(sum);
        });
    }

    /// To and fro over two channels with room for one.
    pub(super) fn channel_round_trip(times: usize) {
        run(move || {
            let (there, their_end) = bounded(1);
            let (back, our_end) = bounded(1);
            let echo = spawn(move || {
                for item in their_end {
                    back.send(item).expect("it is waited for");
                }
            });
            for n in 0..times {
                there.send(n).expect("the other one lives");
                assert_eq!(our_end.recv(), Ok(n));
            }
            drop(there);
            echo.join().expect("it only echoes");
        });
    }

    /// A send, and a select that receives it from one of four channels.
    pub(super) fn select_4_ready(times: usize) {
        run(move || {
            let ends: [_; 4] = std::array::from_fn(|_| bounded(1));
            let [(_, a), (_, b), (sender, c), (_, d)] = &ends;
            for n in 0..times {
                sender.send(n).expect("its receiver lives");
                let item = select! {
                    recv(a) -> item => item,
                    recv(b) -> item => item,
                    recv(c) -> item => item,
                    recv(d) -> item => item,
                };
                assert_eq!(item, Ok(n));
            }
        });
    }
}
