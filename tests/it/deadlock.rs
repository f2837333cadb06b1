//! The deadlock report, as far as it can be seen in a process with foreign threads.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::io::{Duplex, Evented, copy, copy_bidirectional, copy_one_way};
use greenloom::pool::GreenPool;
use greenloom::select::{self, Select};
use greenloom::task::{CancelToken, any, join_all, race};
use greenloom::{Builder, JoinHandle, RunError, Runtime, park, sleep, spawn, unblock, yield_now};

use crate::watch::{OnDrop, eventually, hog, watched};

fn report_of<T>(result: Result<T, RunError>) -> String {
    match result {
        Err(RunError::Panicked(payload)) => *payload.downcast().expect("a report"),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("no deadlock"),
    }
}

#[test]
fn the_report_names_who_waits_for_what_and_where() {
    for workers in [1, 3] {
        let text = watched(move || {
            report_of(Runtime::builder().workers(workers).closed_world().run(|| {
                let stuck = Builder::new().name("stuck").spawn(park).unwrap();
                yield_now();
                let _ = stuck.join();
            }))
        });
        assert!(text.contains("2 tasks are blocked"), "{text}");
        assert!(text.contains("(main): task.join on task"), "{text}");
        assert!(text.contains("(stuck): task.park"), "{text}");
        assert!(text.contains(file!()), "{text}");
    }
}

#[test]
fn the_runtime_can_be_used_after_it() {
    watched(|| {
        let runtime = Runtime::builder()
            .workers(2)
            .closed_world()
            .build()
            .unwrap();
        for _ in 0..5 {
            assert!(report_of(runtime.try_block_on(park)).contains("task.park"));
            assert_eq!(runtime.block_on(|| spawn(|| 2).join().unwrap()), 2);
        }
    });
}

#[test]
fn main_may_catch_the_report_and_go_on() {
    watched(|| {
        Runtime::builder().workers(2).closed_world().run(|| {
            for _ in 0..3 {
                assert!(std::panic::catch_unwind(park).is_err());
                sleep(Duration::from_millis(1));
            }
        })
    })
    .unwrap();
}

#[test]
fn what_can_still_happen_is_waited_for() {
    watched(|| {
        Runtime::builder().workers(2).closed_world().run(|| {
            sleep(Duration::from_millis(3));
            unblock(|| hog(Duration::from_millis(3)));
            let me = greenloom::current();
            let waker = spawn(move || {
                sleep(Duration::from_millis(3));
                me.unpark();
            });
            park();
            waker.join().unwrap();
        })
    })
    .unwrap();
}

#[test]
fn a_foreign_thread_may_wake_us_so_nothing_is_raised() {
    watched(|| {
        Runtime::builder()
            .workers(2)
            .deadlock_grace(Duration::from_millis(1))
            .run(|| {
                let me = greenloom::current();
                let thread = std::thread::spawn(move || {
                    hog(Duration::from_millis(20));
                    me.unpark();
                });
                park();
                thread.join().unwrap();
            })
    })
    .unwrap();
}

/// A panic out of a destructor would abort.
#[test]
fn a_deadlock_in_a_destructor_is_not_thrown() {
    watched(|| {
        let runtime = Runtime::builder()
            .workers(1)
            .closed_world()
            .deadlock_grace(Duration::from_millis(1))
            .build()
            .unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let waker = std::thread::spawn(move || {
            let task: greenloom::task::Task = receiver.recv().unwrap();
            hog(Duration::from_millis(50));
            task.unpark();
        });
        let result = runtime.try_block_on(move || {
            let _guard = OnDrop(|| {
                sender.send(greenloom::current()).unwrap();
                park();
            });
            std::panic::panic_any(1_u8);
        });
        let Err(RunError::Panicked(payload)) = result else {
            panic!("another outcome");
        };
        assert_eq!(*payload.downcast::<u8>().unwrap(), 1);
        waker.join().unwrap();
    });
}

#[test]
fn two_mains_are_both_told() {
    watched(|| {
        let runtime = Arc::new(
            Runtime::builder()
                .workers(2)
                .closed_world()
                .build()
                .unwrap(),
        );
        let told = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (runtime, told) = (runtime.clone(), told.clone());
                std::thread::spawn(move || {
                    report_of(runtime.try_block_on(park));
                    told.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(told.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_virtual_clock_reports_as_well() {
    let text = watched(|| {
        report_of(Runtime::builder().virtual_clock().closed_world().run(|| {
            sleep(Duration::from_secs(5));
            park();
        }))
    });
    assert!(text.contains("task.park"), "{text}");
}

/// Its descriptor is registered at another worker's reactor, and that worker went to sleep before.
#[test]
fn a_wait_at_another_workers_reactor_is_no_deadlock() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let begun = Arc::new(AtomicBool::new(false));
    let answered = watched(move || {
        Runtime::builder().workers(2).closed_world().run(|| {
            let near = Evented::new(near).unwrap();
            let moment = Duration::from_millis(1);
            assert!(
                near.wait_readable_timeout(moment).is_err(),
                "only to register it"
            );
            let theirs = begun.clone();
            let reader = spawn(move || {
                theirs.store(true, Ordering::Release);
                hog(Duration::from_millis(50)); // the first worker falls asleep meanwhile
                std::thread::spawn(move || {
                    hog(Duration::from_millis(50));
                    far.write_all(b"x").unwrap();
                });
                (&near).read(&mut [0; 2]).unwrap()
            });
            assert!(eventually(|| begun.load(Ordering::Acquire)), "stolen");
            reader.join().unwrap()
        })
    });
    assert_eq!(answered.unwrap(), 1);
}

/// The worker at whose reactor another one's task has waited sleeps on when that wait is over.
#[test]
fn a_wait_that_is_over_hides_no_deadlock() {
    let (near, _far) = UnixStream::pair().unwrap();
    let begun = Arc::new(AtomicBool::new(false));
    let text = watched(move || {
        report_of(Runtime::builder().workers(2).closed_world().run(|| {
            let near = Evented::new(near).unwrap();
            let moment = Duration::from_millis(1);
            assert!(
                near.wait_readable_timeout(moment).is_err(),
                "only to register it"
            );
            let theirs = begun.clone();
            let _other = spawn(move || {
                theirs.store(true, Ordering::Release);
                assert!(
                    near.wait_readable_timeout(Duration::from_millis(50))
                        .is_err()
                );
                park();
            });
            assert!(eventually(|| begun.load(Ordering::Acquire)), "stolen");
            hog(Duration::from_millis(20));
            park();
        }))
    });
    assert!(text.contains("2 tasks are blocked"), "{text}");
}

/// Nobody waits for the job any more, but its value is yet to be dropped.
#[test]
fn a_destructor_in_the_blocking_pool_may_still_wake_somebody() {
    let received = watched(|| {
        Runtime::builder().workers(1).closed_world().run(|| {
            let (sender, receiver) = greenloom::channel::unbounded();
            let cut = greenloom::timeout(Duration::from_millis(1), || {
                unblock(move || {
                    hog(Duration::from_millis(20));
                    OnDrop(move || {
                        hog(Duration::from_millis(50));
                        sender.send(7).unwrap();
                    })
                })
            });
            assert!(cut.is_err());
            receiver.recv()
        })
    });
    assert_eq!(received.unwrap(), Ok(7));
}

/// Told of a standstill while it could not unwind, main is told again when it can.
#[test]
fn a_main_that_was_told_in_vain_is_told_of_the_next() {
    let text = watched(|| {
        report_of(Runtime::builder().workers(1).closed_world().run(|| {
            let me = greenloom::current();
            let helper = std::thread::spawn(move || {
                hog(Duration::from_millis(50));
                me.unpark();
            });
            let caught = std::panic::catch_unwind(|| {
                let _waits = OnDrop(park);
                panic!("on purpose");
            });
            assert!(caught.is_err());
            helper.join().unwrap();
            park();
        }))
    });
    assert!(text.contains("(main): task.park"), "{text}");
}

/// What comes to no result at all.
fn never() -> Result<(), ()> {
    park();
    Err(())
}

#[test]
fn the_report_names_the_caller_s_line_and_none_of_ours() {
    fn waits_at(line: u32, wait: fn()) {
        let text = watched(move || {
            let runtime = Runtime::builder().workers(1).closed_world();
            report_of(runtime.panic_note(false).run(wait))
        });
        let main = text.lines().find(|line| line.contains("(main)"));
        let main = main.unwrap_or_else(|| panic!("{text}"));
        assert!(main.contains(&format!("{}:{line}:", file!())), "{text}");
    }
    waits_at(
        line!() + 1,
        || greenloom::select!(recv(greenloom::channel::never::<()>()) => {}),
    );
    waits_at(line!() + 4, || {
        let token = CancelToken::new();
        let mut arm = select::wait(&token);
        let mut select = Select::new().with(&mut arm);
        select.wait();
    });
    waits_at(line!() + 2, || {
        let task = spawn(park);
        drop(join_all([task]));
    });
    waits_at(line!() + 2, || {
        let task = spawn(park);
        drop(task.wait_for(Duration::MAX));
    });
    // Where closures of ours wait, and spawn, too.
    waits_at(line!(), || drop(race([park])));
    waits_at(line!(), || drop(any([never])));
    waits_at(line!() + 1, || {
        drop(GreenPool::new(1).map([1, 2], |_| park()))
    });
    waits_at(line!(), || drop(GreenPool::new(0).map([1], |_| ())));
    waits_at(line!() + 2, || {
        let pool = GreenPool::new(1);
        drop(pool.imap([1], |_| park()).next());
    });
    waits_at(line!(), || drop(copy(&mut Silent, &mut std::io::sink())));
    waits_at(line!(), || drop(copy(&mut &[1][..], &mut Silent)));
    waits_at(line!(), || drop(copy_one_way(&Silent, &Silent)));
    waits_at(line!(), || drop(copy_bidirectional(&Silent, &Silent)));
}

/// A stream that waits for ever.
struct Silent;

impl Read for Silent {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        park();
        Ok(0)
    }
}

impl Write for Silent {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        park();
        Ok(0)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Duplex for Silent {
    fn both_ways(&self) -> impl Read + Write + '_ {
        Silent
    }

    fn close_write(&self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn both_directions_of_a_copy_wait_at_the_caller_s_line() {
    let line = line!() + 3;
    let text = watched(move || {
        let runtime = Runtime::builder().workers(1).closed_world();
        report_of(runtime.run(|| drop(copy_bidirectional(&Silent, &Silent))))
    });
    let waits: Vec<&str> = text.lines().filter(|l| l.contains("task.park")).collect();
    let place = format!("{}:{line}:", file!());
    assert_eq!(waits.len(), 2, "{text}");
    for wait in waits {
        assert!(wait.contains(&format!(" at {place}")), "{text}");
        assert!(wait.contains(&format!("spawned at {place}")), "{text}");
    }
}

#[test]
fn what_is_spawned_by_a_closure_of_ours_is_spawned_at_the_caller_s_line() {
    let spawns: [(u32, fn()); 3] = [
        (line!(), || drop(race([park]))),
        (line!(), || drop(any([never]))),
        (line!(), || drop(GreenPool::new(1).map([1], |_| park()))),
    ];
    for (line, spawn) in spawns {
        let text = watched(move || {
            let runtime = Runtime::builder().workers(1).closed_world();
            report_of(runtime.panic_note(false).run(spawn))
        });
        let child = text.lines().find(|line| line.contains("task.park"));
        let child = child.unwrap_or_else(|| panic!("{text}"));
        assert!(
            child.contains(&format!("spawned at {}:{line}:", file!())),
            "{text}"
        );
    }
}

#[test]
fn two_full_pools_whose_members_wait_for_each_other_are_told_by_their_members() {
    let text = watched(|| {
        report_of(Runtime::builder().workers(1).closed_world().run(|| {
            let pools = [GreenPool::new(1), GreenPool::new(1)];
            let tasks = [0, 1].map(|n| {
                let other = pools[1 - n].clone();
                pools[n].spawn(move || {
                    yield_now();
                    drop(other.spawn(|| ()));
                })
            });
            let [a, b] = tasks.each_ref().map(JoinHandle::id);
            println!("{a} waits for {b}, and {b} for {a}");
            tasks.into_iter().for_each(|task| task.join().unwrap());
        }))
    });
    let ids: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("pool.spawn on a GreenPool of 1 with 1 running: task "))
        .map(|line| {
            line.trim_start()
                .strip_prefix("task ")
                .expect("a task's row")
        })
        .map(|line| line.split(' ').next().expect("its number"))
        .collect();
    assert_eq!(ids.len(), 2, "{text}");
    for n in [0, 1] {
        let row = text
            .lines()
            .find(|line| line.contains(&format!("task {} (", ids[n])));
        assert!(
            row.is_some_and(|row| row.contains(&format!("running: task {}", ids[1 - n]))),
            "{text}"
        );
    }
}
