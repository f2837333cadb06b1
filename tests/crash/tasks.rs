//! Tasks and runtimes in a process of their own: aborts, limits, what is left behind, what nobody may hang on.
#![allow(
    clippy::disallowed_methods,
    reason = "a process of its own may block its threads"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use greenloom::{
    OnStuck, Runtime, park, run, scope, shield, sleep, spawn, timeout, try_run, yield_now,
};

use crate::child::{self, Child};

const SIGABRT: i32 = libc::SIGABRT;

fn with_log() {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .init();
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder)
        .expect("a folder of /proc")
        .count()
}

/// Blocks the thread.
pub(crate) fn doze(duration: Duration) {
    std::thread::sleep(duration); // real sleep: what a plain thread, or a task that hogs its worker, does
}

pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

extern "C" fn callback(f: *mut libc::c_void) {
    // SAFETY: the two tests below pass a pointer to a live closure.
    let f = unsafe { &mut *f.cast::<Box<dyn FnMut()>>() };
    f();
}

fn through_c(f: impl FnMut() + 'static) {
    let mut f: Box<dyn FnMut()> = Box::new(f);
    let call: extern "C" fn(*mut libc::c_void) = std::hint::black_box(callback);
    call((&raw mut f).cast());
}

#[test]
fn a_cancellation_that_meets_a_c_frame_aborts() {
    let outcome = child::run(|| {
        run(|| {
            let task = spawn(|| through_c(park));
            yield_now();
            yield_now();
            sleep(Duration::from_millis(20));
            task.cancel();
            let _ = task.join();
        });
    });
    assert_eq!(outcome.signal, Some(SIGABRT), "{outcome:#?}");
    assert!(outcome.stderr.contains("cannot unwind"), "{outcome:#?}");
}

#[test]
fn a_shield_round_the_c_frame_keeps_the_cancellation_away() {
    child::run(|| {
        run(|| {
            let me = greenloom::current();
            let task = spawn(move || {
                shield(|| {
                    through_c({
                        let me = me.clone();
                        move || {
                            me.unpark();
                            park();
                        }
                    })
                });
                yield_now();
            });
            park();
            task.cancel();
            task.task().unpark();
            assert!(task.join().unwrap_err().is_cancelled());
        });
    })
    .assert_success();
}

fn swallow() -> ! {
    loop {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            loop {
                park();
            }
        }));
    }
}

/// It is not abandoned, for others may borrow from its frames; `run` waits for it and says why.
#[test]
fn run_waits_for_a_task_that_swallows_its_cancellation_and_says_so() {
    let outcome = child::run(|| {
        with_log();
        // SAFETY: a plain system call.
        unsafe { libc::alarm(3) };
        run(|| {
            let task = greenloom::Builder::new()
                .name("stubborn")
                .spawn(|| swallow());
            drop(task.unwrap());
            sleep(Duration::from_millis(20));
        });
        println!("run returned");
    });
    assert_eq!(outcome.signal, Some(libc::SIGALRM), "{outcome:#?}");
    assert!(
        outcome.stderr.contains("swallowed its cancellation"),
        "{outcome:#?}"
    );
    assert!(outcome.stderr.contains("stubborn"), "{outcome:#?}");
    // Told at once, and again while `run` waits: who, where, and where from.
    let again = outcome.stderr.lines().find(|line| line.contains("since"));
    let again = again.expect("a second report");
    for part in ["(stubborn), spawned at", "stays parked at", "tasks.rs"] {
        assert!(again.contains(part), "{again}");
    }
}

/// Also under a virtual clock, which stands still, and with other tasks that keep the worker busy.
#[test]
fn a_stuck_task_ends_the_process_if_that_is_asked_for() {
    for is_virtual in [true, false] {
        let outcome = child::run(|| {
            let builder = Runtime::builder().on_stuck(OnStuck::Abort);
            let builder = match is_virtual {
                true => builder.virtual_clock(),
                false => builder.workers(2),
            };
            let _ = builder.run(|| {
                for name in ["stubborn", "obstinate"] {
                    let task = greenloom::Builder::new().name(name).spawn(|| swallow());
                    let task = task.unwrap();
                    yield_now();
                    sleep(Duration::from_millis(5));
                    task.cancel();
                }
                if !is_virtual {
                    loop {
                        yield_now();
                    }
                }
            });
            println!("run returned");
        });
        assert_eq!(outcome.signal, Some(SIGABRT), "{outcome:#?}");
        for part in [
            "(stubborn)",
            "(obstinate)",
            "stays parked at",
            "OnStuck::Abort",
        ] {
            assert!(outcome.stderr.contains(part), "{outcome:#?}");
        }
        assert!(!outcome.stdout.contains("run returned"), "{outcome:#?}");
    }
}

#[test]
fn a_runtime_leaves_a_worker_with_such_a_task_behind() {
    let outcome = child::run(|| {
        with_log();
        let runtime = Runtime::builder().workers(2).build().unwrap();
        for _ in 0..3 {
            drop(runtime.handle().spawn(|| swallow()).unwrap());
        }
        let well_behaved = runtime.handle().spawn(park).unwrap();
        runtime.block_on(|| sleep(Duration::from_millis(20)));
        runtime.stop();
        assert!(well_behaved.join().unwrap_err().is_cancelled());
        // No processor time is spent on it.
        let before = cpu_time();
        doze(Duration::from_millis(200));
        assert!(cpu_time() - before < Duration::from_millis(20));
    });
    outcome.assert_success();
    assert!(outcome.stderr.contains("left behind"), "{outcome:#?}");
}

#[test]
fn a_scope_waits_for_such_a_child() {
    let outcome = child::run(|| {
        with_log();
        // SAFETY: a plain system call.
        unsafe { libc::alarm(3) };
        run(|| {
            let local = String::from("borrowed");
            let _ = timeout(Duration::from_millis(5), || {
                scope(|s| {
                    s.spawn(|| {
                        std::thread::scope(|threads| {
                            threads.spawn(|| {
                                doze(Duration::from_millis(50));
                                println!("{local} still");
                            });
                            swallow()
                        })
                    });
                });
            });
            println!("the scope returned");
        });
    });
    assert_eq!(outcome.signal, Some(libc::SIGALRM), "{outcome:#?}");
    assert!(outcome.stdout.contains("borrowed still"), "{outcome:#?}");
    assert!(
        !outcome.stdout.contains("the scope returned"),
        "{outcome:#?}"
    );
}

/// A shielded wait that nobody ends keeps `run` from returning; it must say so, also when the other workers
/// are gone by then.
#[test]
fn what_keeps_a_stop_from_ending_is_reported() {
    for workers in ["1", "3"] {
        let outcome = Child::default().env("GREENLOOM_WORKERS", workers).run(|| {
            with_log();
            // SAFETY: a plain system call.
            unsafe { libc::alarm(2) };
            Runtime::builder()
                .deadlock_grace(Duration::from_millis(50))
                .run(|| {
                    let task = greenloom::Builder::new().name("shielded");
                    drop(task.spawn(|| shield(park)).unwrap());
                    sleep(Duration::from_millis(20));
                })
                .unwrap();
        });
        assert_eq!(outcome.signal, Some(libc::SIGALRM), "{outcome:#?}");
        assert!(
            outcome.stderr.contains("(shielded): task.park"),
            "{outcome:#?}"
        );
    }
}

fn cpu_time() -> Duration {
    // SAFETY: `getrusage` fills the struct, for which zeroes are a value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let part = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    part(usage.ru_utime) + part(usage.ru_stime)
}

#[test]
fn an_idle_runtime_uses_no_processor() {
    if child::is_emulated() {
        return;
    }
    child::run(|| {
        let runtime = Runtime::builder()
            .workers(4)
            .deadlock_grace(Duration::from_millis(50))
            .build()
            .unwrap();
        let parked: Vec<_> = (0..100)
            .map(|_| runtime.handle().spawn(park).unwrap())
            .collect();
        let sleeping = runtime
            .handle()
            .spawn(|| sleep(Duration::from_secs(1000)))
            .unwrap();
        runtime.block_on(|| greenloom::unblock(|| doze(Duration::from_millis(5))));
        doze(Duration::from_millis(200));
        let before = cpu_time();
        doze(Duration::from_millis(500));
        let used = cpu_time() - before;
        assert!(used < Duration::from_millis(5), "{used:?}");
        drop((parked, sleeping));
    })
    .assert_success();
}

#[test]
#[cfg(target_os = "linux")]
fn threads_descriptors_and_stacks_are_back_at_zero_after_the_end() {
    child::run(|| {
        let round = |workers| {
            let sum: usize = Runtime::builder()
                .workers(workers)
                .run(|| {
                    for _ in 0..200 {
                        drop(spawn(park));
                        drop(spawn(|| sleep(Duration::from_secs(100))));
                    }
                    greenloom::unblock(|| ());
                    let tasks: Vec<_> = (0..200).map(|n| spawn(move || n)).collect();
                    tasks.into_iter().map(|task| task.join().unwrap()).sum()
                })
                .unwrap();
            assert_eq!(sum, 19900);
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            drop(runtime.handle().spawn(park).unwrap());
            runtime.block_on(yield_now);
            let handle = runtime.handle();
            drop(runtime);
            assert!(handle.spawn(|| ()).is_err());
        };
        let settle = || doze(Duration::from_millis(20));
        round(2);
        settle();
        let (threads, fds) = (count("/proc/self/task"), count("/proc/self/fd"));
        for workers in [1, 2, 4, 4, 4] {
            round(workers);
            assert_eq!(greenloom::stack::stats().live, 0);
        }
        settle();
        assert_eq!(count("/proc/self/task"), threads);
        assert_eq!(count("/proc/self/fd"), fds);
    })
    .assert_success();
}

/// Runs `f` in a fork of this process, which has no other thread; whether it came to its end.
fn forked(f: impl FnOnce()) -> bool {
    // SAFETY: the test's other threads hold no lock that `f` could need: the test harness waits.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: a plain system call.
        unsafe { libc::alarm(20) };
        let ended = catch_unwind(AssertUnwindSafe(f)).is_ok();
        // SAFETY: ends the process without the harness's exit handlers.
        unsafe { libc::_exit(i32::from(!ended)) };
    }
    let mut status = 0;
    // SAFETY: waits for the process that was just started.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    status == 0
}

#[test]
fn a_deadlock_is_raised_where_every_thread_is_ours() {
    if child::is_emulated() {
        return;
    }
    child::run(|| {
        for workers in [1, 2] {
            assert!(forked(|| {
                assert_eq!(count("/proc/self/task"), 1);
                let result = Runtime::builder()
                    .workers(workers)
                    .deadlock_grace(Duration::from_secs(60))
                    .run(|| {
                        let task = greenloom::Builder::new()
                            .name("holder")
                            .spawn(park)
                            .unwrap();
                        // Its thread stays in the pool, and that of the resolver in its own.
                        greenloom::unblock(|| ());
                        let nobody = greenloom::net::TcpStream::connect("localhost:1");
                        assert!(nobody.is_err());
                        let _ = task.join();
                    });
                let Err(greenloom::RunError::Panicked(payload)) = result else {
                    panic!("no deadlock");
                };
                let report = *payload.downcast::<String>().unwrap();
                assert!(report.contains("(holder): task.park"), "{report}");
            }));
        }
    })
    .assert_success();
}

#[test]
fn a_thread_that_may_still_send_keeps_the_deadlock_from_being_raised() {
    child::run(|| {
        run(|| {
            let me = greenloom::current();
            std::thread::spawn(move || {
                doze(Duration::from_millis(100));
                me.unpark();
            });
            park();
        });
    })
    .assert_success();
}

#[test]
fn bad_worker_counts_are_errors() {
    for bad in ["0", "-1", "many", "", "99999", "1.5"] {
        let outcome = Child::default().env("GREENLOOM_WORKERS", bad).run(|| {
            let Err(error) = try_run(|| ()) else {
                panic!("accepted");
            };
            println!("{error}");
            assert!(catch_unwind(|| spawn(|| ())).is_err());
        });
        outcome.assert_success();
        assert!(outcome.stdout.contains("1 to 4096"), "{outcome:#?}");
    }
}

#[test]
fn good_worker_counts_are_heeded() {
    Child::default()
        .env("GREENLOOM_WORKERS", " 3 ")
        .run(|| {
            let workers = run(|| greenloom::Handle::current().unwrap().workers());
            assert_eq!(workers, 3);
        })
        .assert_success();
}

#[test]
fn a_panic_while_stderr_is_closed_is_a_panic_and_no_abort() {
    Child::default()
        .limit("exec 2>&-")
        .run(|| {
            run(|| {
                let task = spawn(|| panic!("unheard"));
                assert!(task.join().unwrap_err().is_panic());
            });
        })
        .assert_success();
}

#[test]
fn a_panic_hook_that_waits_blocks_its_thread_and_no_more() {
    child::run(|| {
        std::panic::set_hook(Box::new(|_| {
            sleep(Duration::from_millis(2));
            greenloom::park_timeout(Duration::from_millis(2));
            yield_now();
            let task = spawn(|| 3);
            // Another worker may run it; on this one it starts when the hook has returned.
            let _ = task.join_timeout(Duration::from_millis(5));
        }));
        Runtime::builder()
            .workers(2)
            .run(|| {
                let tasks: Vec<_> = (0..10).map(|_| spawn(|| panic!("in hook"))).collect();
                for task in tasks {
                    assert!(task.join().unwrap_err().is_panic());
                }
            })
            .unwrap();
    })
    .assert_success();
}

#[test]
fn an_unjoined_panic_is_reported_once() {
    let outcome = child::run(|| {
        with_log();
        run(|| {
            drop(
                greenloom::Builder::new()
                    .name("lonely")
                    .spawn(|| panic!("nobody asks"))
                    .unwrap(),
            );
            sleep(Duration::from_millis(10));
        });
    });
    outcome.assert_success();
    assert_eq!(
        outcome
            .stderr
            .matches("panicked and nobody joined it")
            .count(),
        1,
        "{outcome:#?}"
    );
    assert!(outcome.stderr.contains("note: in task"), "{outcome:#?}");
    assert!(outcome.stderr.contains("(lonely)"), "{outcome:#?}");
}

#[test]
fn a_spawn_that_is_refused_names_the_line_of_its_caller() {
    let outcome = child::run(|| {
        std::panic::catch_unwind(|| greenloom::spawn_local(|| ())).unwrap_err();
    });
    outcome.assert_success();
    let said = &outcome.stderr;
    assert!(
        said.contains("spawn_local outside of a task"),
        "{outcome:#?}"
    );
    assert!(said.contains("tests/crash/tasks.rs:"), "{outcome:#?}");
    assert!(!said.contains("src/task/spawn.rs:"), "{outcome:#?}");
}

#[test]
fn actors_that_idle_are_reported_once_and_not_for_ever() {
    let outcome = child::run(|| {
        with_log();
        let runtime = Runtime::builder()
            .workers(2)
            .deadlock_grace(Duration::from_millis(5))
            .build()
            .unwrap();
        let actor = runtime.handle().spawn(|| {
            loop {
                park();
            }
        });
        let task = actor.unwrap().task();
        for _ in 0..10 {
            doze(Duration::from_millis(30));
            task.unpark();
        }
    });
    outcome.assert_success();
    let reports = outcome.stderr.matches("deadlock:").count();
    assert!(reports <= 1, "{outcome:#?}");
}

/// `run` in a program that was started with SIGPIPE at its default, as a C program that embeds us has it.
#[test]
fn a_broken_pipe_is_an_error_and_no_signal() {
    child::run(|| {
        // SAFETY: a plain system call; no handler is installed.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        run(|| {
            use std::io::Write;
            let listener = greenloom::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let peer = spawn(move || drop(listener.accept().unwrap()));
            let mut stream = greenloom::net::TcpStream::connect(address).unwrap();
            peer.join().unwrap();
            let error = (0..100).find_map(|_| {
                sleep(Duration::from_millis(1));
                stream.write_all(&[0; 1000]).err()
            });
            println!("{error:?}");
            assert!(error.is_some());
        });
    })
    .assert_success();
}

/// The first runtime of a process is built in a destructor that a panic runs: std's hook cannot be chained then.
#[test]
fn the_first_runtime_may_be_built_while_the_thread_unwinds() {
    let outcome = child::run(|| {
        let caught = catch_unwind(|| {
            let _runs = OnDrop(|| assert_eq!(run(|| spawn(|| 1).join().unwrap()), 1));
            panic!("on purpose");
        });
        assert!(caught.is_err());
    });
    outcome.assert_success();
}
