//! Functions in other processes where something goes wrong: who dies, when, and what is left of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::time::{Duration, Instant};

use greenloom::ipc::{self, Conn, Event, RecvError};
use greenloom::process::{Builder, Process, ProcessPool, TaskError, TaskHandle, active_children};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::child::{self, Child};

/// Longer than anything takes on the slowest machine; only what hangs is stopped by it.
const PATIENCE: Duration = Duration::from_secs(60);

fn increment(n: u32) -> u32 {
    n + 1
}

#[track_caller]
fn assert_usable(pool: &ProcessPool) {
    assert_eq!(pool.apply(increment, 1).unwrap(), 2);
}

/// Every handle resolves; how many with a value.
#[track_caller]
fn resolve<R: serde::de::DeserializeOwned>(handles: &[TaskHandle<R>]) -> usize {
    let outcome = |handle: &TaskHandle<R>| handle.get_timeout(PATIENCE).expect("it resolves");
    handles
        .iter()
        .filter(|handle| outcome(handle).is_ok())
        .count()
}

/// Waits until no child is left, zombies included.
fn wait_for_the_last() {
    while !active_children().is_empty() {
        greenloom::sleep(Duration::from_millis(1));
    }
}

#[test]
fn each_way_to_die_in_a_job_is_the_error_of_that_job() {
    let outcome = child::run(|| {
        let pool = ProcessPool::builder().workers(1).silent().build().unwrap();
        let died = |outcome: Result<u32, TaskError>| match outcome {
            Err(TaskError::Died { status, .. }) => status,
            other => panic!("{other:?}"),
        };
        let status = died(pool.apply(|code: i32| process::exit(code), 99));
        assert_eq!(status.code(), Some(99));
        assert_usable(&pool);
        let status = died(pool.apply(|(): ()| process::abort(), ()));
        assert_eq!(status.signal(), Some(libc::SIGABRT));
        assert_usable(&pool);
        #[allow(unconditional_recursion)]
        fn dive(n: u32) -> u32 {
            let room = std::hint::black_box([n; 100]);
            dive(n + 1) + room[0]
        }
        let status = died(pool.apply(dive, 0));
        // A sanitizer tells of an overflow itself, and exits.
        let is_sanitized = cfg!(any(gl_asan, gl_tsan));
        assert!(status.signal().is_some() || is_sanitized, "{status}");
        assert_usable(&pool);
        let greedy = |(): ()| {
            let limit = libc::rlimit {
                rlim_cur: 1 << 30,
                rlim_max: 1 << 30,
            };
            // SAFETY: reads the structure, for this process alone.
            unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
            std::hint::black_box(vec![1_u8; 2 << 30]).len() as u32
        };
        // A sanitizer has mapped more than that by now.
        if !is_sanitized {
            assert_eq!(died(pool.apply(greedy, ())).signal(), Some(libc::SIGABRT));
            assert_usable(&pool);
        }
    });
    outcome.assert_success();
}

#[test]
fn a_worker_killed_in_the_midst_of_big_values_takes_one_job_with_it() {
    const BIG: usize = 4 << 20;
    let outcome = child::run(|| {
        let pool = ProcessPool::new(1).unwrap();
        for round in 0..16_u32 {
            let handle = match round % 2 {
                0 => pool
                    .apply_async(|big: Vec<u8>| big.len(), vec![7; BIG])
                    .unwrap(),
                // Its result is lost, or has come in whole.
                _ => {
                    let handle = pool.apply_async(|n: usize| vec![7_u8; n], BIG).unwrap();
                    kill_workers(&pool, round);
                    match handle.get_timeout(PATIENCE).expect("it resolves") {
                        Ok(value) => assert_eq!(value.len(), BIG),
                        Err(error) => assert!(error.is_died(), "{error}"),
                    }
                    assert_usable(&pool);
                    continue;
                }
            };
            kill_workers(&pool, round);
            match handle.get_timeout(PATIENCE).expect("it resolves") {
                Ok(length) => assert_eq!(length, BIG),
                Err(error) => assert!(error.is_died(), "{error}"),
            }
            assert_usable(&pool);
        }
    });
    outcome.assert_success();
}

/// A little later in each round.
fn kill_workers(pool: &ProcessPool, round: u32) {
    let begun = Instant::now();
    while pool.is_empty() && begun.elapsed() < PATIENCE {
        greenloom::sleep(Duration::from_millis(1));
    }
    greenloom::sleep(Duration::from_micros(500) * round);
    for worker in active_children() {
        worker.kill().unwrap();
    }
}

/// Panics where it is told to: `S`erialize, `D`eserialize, drop `X`; and only in a worker, or only here.
#[derive(Debug)]
struct Bomb(char, u32);

impl Bomb {
    fn check(&self, place: char) {
        assert!(self.0 != place || self.1 != process::id(), "boom {place}");
    }
}

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.check('S');
        (self.0, self.1).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (place, pid) = Deserialize::deserialize(deserializer)?;
        // Not dropped as a bomb when it goes off here.
        std::mem::ManuallyDrop::new(Bomb(place, pid)).check('D');
        Ok(Bomb(place, pid))
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check('X');
        }
    }
}

#[test]
fn panics_in_serde_and_in_destructors_leave_worker_and_pool_whole() {
    let outcome = child::run(|| {
        let pool = ProcessPool::builder().workers(1).silent().build().unwrap();
        let worker = pool.apply(|(): ()| process::id(), ()).unwrap();
        // In the worker: at its argument, at its result.
        for place in ['D', 'X'] {
            let error = pool
                .apply(|bomb: Bomb| bomb.1, Bomb(place, worker))
                .unwrap_err();
            assert!(
                error.is_panic() && error.to_string().contains("boom"),
                "{error}"
            );
        }
        for place in ['S', 'X'] {
            let error = pool
                .apply(|place: char| Bomb(place, process::id()), place)
                .unwrap_err();
            assert!(
                error.is_panic() && error.to_string().contains("boom"),
                "{error}"
            );
        }
        // Here: the panic is the caller's.
        for place in ['S', 'X'] {
            let thrown = catch_unwind(AssertUnwindSafe(|| {
                pool.apply(|bomb: Bomb| bomb.1, Bomb(place, process::id()))
            }));
            assert!(thrown.is_err(), "{place}");
        }
        let here = process::id();
        let thrown = catch_unwind(AssertUnwindSafe(|| {
            pool.apply(|pid: u32| Bomb('D', pid), here)
        }));
        assert!(thrown.is_err());
        assert_eq!(
            pool.apply(|(): ()| process::id(), ()).unwrap(),
            worker,
            "it lives"
        );
        pool.close();
        pool.join().unwrap();
    });
    outcome.assert_success();
}

/// A line for each process that begins, in a file.
fn count_starts(file: &str) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .unwrap();
    file.write_all(b"x").unwrap();
}

fn dies(file: String) {
    count_starts(&file);
    process::exit(3)
}

fn loops(file: String) {
    count_starts(&file);
    greenloom::sleep(Duration::from_secs(1000));
}

#[test]
fn an_initializer_that_dies_or_loops_makes_no_storm_of_processes() {
    let outcome = child::run(|| {
        let place = std::env::temp_dir().join(format!("greenloom-storm-{}", process::id()));
        fs::create_dir_all(&place).unwrap();
        for (name, initializer) in [("dies", dies as fn(String)), ("loops", loops)] {
            let file = place.join(name).to_str().unwrap().to_owned();
            let pool = ProcessPool::builder()
                .workers(2)
                .initializer(initializer, file.clone())
                .silent()
                .build()
                .unwrap();
            let jobs = (0..100).filter_map(|n| pool.apply_async(increment, n).ok());
            let jobs: Vec<_> = jobs.collect();
            if name == "loops" {
                while fs::read(&file).map_or(0, |starts| starts.len()) < 2 {
                    greenloom::sleep(Duration::from_millis(1));
                }
                assert!(jobs[0].get_timeout(Duration::from_millis(50)).is_none());
                pool.terminate();
            }
            assert_eq!(resolve(&jobs), 0);
            pool.close();
            pool.join().unwrap();
            let starts = fs::read(&file).unwrap().len();
            assert!(starts <= 5, "{name}: {starts} processes");
        }
        fs::remove_dir_all(&place).unwrap();
    });
    outcome.assert_success();
}

#[test]
fn terminate_resolves_ten_thousand_waiting_jobs() {
    let outcome = child::run(|| {
        let pool = ProcessPool::new(2).unwrap();
        let nap = |(): ()| greenloom::sleep(Duration::from_secs(1000));
        let jobs: Vec<_> = (0..10_000)
            .map(|_| pool.apply_async(nap, ()).unwrap())
            .collect();
        pool.terminate();
        assert_eq!(resolve(&jobs), 0);
        pool.join().unwrap();
        wait_for_the_last();
    });
    outcome.assert_success();
}

/// The other end learns when all who have it are gone.
type Sign = Conn<u32>;

fn spin(sign: Sign) -> u32 {
    let _ = sign.send(&process::id());
    loop {
        std::hint::spin_loop();
    }
}

fn work_to_the_end((sign, go): (Sign, Sign)) {
    let _ = sign.send(&process::id());
    let _ = go.recv();
    let _ = sign.send(&0);
}

/// Has daemons, a busy pool and a son, and waits to be killed.
fn doomed((daemons, sons, go): (Sign, Sign, Sign)) {
    let pool = ProcessPool::new(2).unwrap();
    for _ in 0..2 {
        drop(
            Builder::new()
                .daemon(true)
                .spawn(spin, daemons.clone())
                .unwrap(),
        );
        drop(pool.apply_async(spin, daemons.clone()).unwrap());
    }
    drop(Process::spawn(work_to_the_end, (sons, go)).unwrap());
    drop(daemons);
    greenloom::sleep(Duration::from_secs(1000));
}

#[test]
fn a_killed_parent_takes_daemons_and_workers_along_and_no_sons() {
    let outcome = child::run(|| {
        let (daemons, of_daemons) = ipc::pipe().unwrap();
        let (sons, of_sons) = ipc::pipe().unwrap();
        let (go, of_go) = ipc::pipe::<u32, u32>().unwrap();
        let parent = Process::spawn(doomed, (of_daemons, of_sons, of_go)).unwrap();
        for _ in 0..4 {
            let _: u32 = daemons.recv_timeout(PATIENCE).unwrap();
        }
        let _: u32 = sons.recv_timeout(PATIENCE).unwrap();
        parent.kill().unwrap();
        assert!(parent.join().unwrap_err().is_died());
        assert!(matches!(
            daemons.recv_timeout(PATIENCE),
            Err(RecvError::Closed)
        ));
        assert!(
            matches!(sons.try_recv(), Err(RecvError::TimedOut)),
            "the son lives"
        );
        go.send(&1).unwrap();
        assert_eq!(sons.recv_timeout(PATIENCE).unwrap(), 0);
        assert!(matches!(
            sons.recv_timeout(PATIENCE),
            Err(RecvError::Closed)
        ));
    });
    outcome.assert_success();
}

/// This process's open descriptors and what they are, but for the one that reads them.
fn descriptors() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    let open = names.filter_map(|path| {
        let what = fs::read_link(&path).ok()?;
        Some(format!("{}: {}", path.display(), what.display()))
    });
    open.collect()
}

/// A hundred, if there may be the descriptors for so many children: each takes three.
fn a_hundred_or_as_many_as_may_be() -> u32 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let most = maximum.unwrap_or(u64::MAX).min(400);
    let current = Some(most);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    ((most - 60) / 3).min(100) as u32
}

#[test]
fn a_hundred_children_at_once_leave_no_descriptor_and_no_zombie() {
    let outcome = child::run(|| {
        // What the first child has opened for good is open; and what this thread needs to wait for a descriptor,
        // which it has not needed if the child was quicker.
        let (ours, theirs) = greenloom::ipc::pipe::<(), ()>().unwrap();
        ours.recv_timeout(Duration::from_millis(1)).unwrap_err();
        drop((ours, theirs));
        let event = Event::new();
        event.set().unwrap();
        Process::spawn(|event: Event| event.wait().is_ok(), event.clone())
            .unwrap()
            .join()
            .unwrap();
        event.clear().unwrap();
        let settled = descriptors().len();
        let wait = |(event, n): (Event, u32)| {
            let _ = event.wait();
            n
        };
        let count = a_hundred_or_as_many_as_may_be();
        let children = (0..count).map(|n| Process::spawn(wait, (event.clone(), n)).unwrap());
        let children: Vec<_> = children.collect();
        assert_eq!(active_children().len(), count as usize);
        event.set().unwrap();
        for (n, child) in (0..).zip(children) {
            match n % 3 {
                0 => drop(child),
                1 => drop(child.kill()),
                _ => assert_eq!(child.join().unwrap(), n),
            }
        }
        wait_for_the_last();
        let begun = Instant::now();
        while descriptors().len() > settled {
            assert!(begun.elapsed() < PATIENCE, "{:#?}", descriptors());
            greenloom::sleep(Duration::from_millis(1));
        }
        let own = fs::read_to_string(format!("/proc/self/task/{}/children", process::id()));
        assert_eq!(own.unwrap_or_default(), "");
    });
    outcome.assert_success();
}

#[test]
fn however_the_program_ends_sons_are_awaited_and_daemons_killed() {
    for way in ["return", "exit in a task", "exit in a thread", "panic"] {
        // Ended in the midst of a task, whose stack a leak sanitizer does not look at.
        let child = Child::default().env("LSAN_OPTIONS", "detect_leaks=0");
        let outcome = child.env("GREENLOOM_TEST_WAY", way).run(|| {
            let son = |(): ()| {
                greenloom::sleep(Duration::from_millis(300));
                println!("the son is done");
            };
            // Too late to be a hang: whoever reads this program's output waits for it.
            let daemon = |(): ()| {
                greenloom::sleep(Duration::from_secs(20));
                println!("the daemon is done");
            };
            drop(Process::spawn(son, ()).unwrap());
            drop(Builder::new().daemon(true).spawn(daemon, ()).unwrap());
            let pool = ProcessPool::new(1).unwrap();
            drop(pool.apply_async(daemon, ()).unwrap());
            std::mem::forget(pool);
            match std::env::var("GREENLOOM_TEST_WAY").unwrap().as_str() {
                "exit in a task" => greenloom::run(|| {
                    let _ = greenloom::spawn(|| process::exit(7)).join();
                }),
                "exit in a thread" => drop(std::thread::spawn(|| process::exit(7)).join()),
                "panic" => panic!("the end"),
                _ => {}
            }
        });
        let code = match way {
            "return" => 0,
            "panic" => 101,
            _ => 7,
        };
        assert_eq!(outcome.code, Some(code), "{way}: {outcome:#?}");
        assert!(
            outcome.stdout.contains("the son is done"),
            "{way}: {outcome:#?}"
        );
        assert!(
            !outcome.stdout.contains("the daemon is done"),
            "{way}: {outcome:#?}"
        );
    }
}

#[test]
fn closed_redirected_or_used_standard_input_is_no_hindrance() {
    for stdin in [
        "exec 0<&-",
        "exec 0</dev/zero",
        "exec 0<<END\nfirst\nsecond\nEND\ntrue",
    ] {
        let outcome = Child::default().limit(stdin).run(|| {
            let read_line = || {
                let mut line = String::new();
                let _ = io::stdin().lock().take(100).read_to_string(&mut line);
                line
            };
            let is_text = |stdin: &str| stdin.contains("second");
            // A program that reads what is its own, while its child has nothing to read.
            let theirs = Process::spawn(
                |(): ()| {
                    let mut text = String::new();
                    io::stdin().read_to_string(&mut text).map(|_| text).unwrap()
                },
                (),
            );
            let ours = read_line();
            assert_eq!(theirs.unwrap().join().unwrap(), "");
            assert!(!ours.contains("first") || is_text(&ours), "{ours:?}");
            assert_usable(&ProcessPool::new(1).unwrap());
            println!("read {} bytes", ours.len());
        });
        outcome.assert_success();
        let length = match stdin {
            text if text.contains("END") => 13,
            text if text.contains("zero") => 100,
            _ => 0,
        };
        let said = format!("read {length} bytes");
        assert!(outcome.stdout.contains(&said), "{stdin}: {outcome:#?}");
    }
}

#[test]
fn without_an_environment_and_from_a_thread_that_ends_at_once() {
    let outcome = child::run(|| {
        for (name, _) in std::env::vars_os() {
            // SAFETY: the harness's other threads wait, none reads the environment.
            unsafe { std::env::remove_var(name) };
        }
        let spawn = || Process::spawn(|n: u32| (n + 1, std::env::vars_os().count()), 1);
        let child = std::thread::spawn(spawn).join().unwrap().unwrap();
        assert_eq!(child.join().unwrap(), (2, 0));
        let pool = std::thread::spawn(|| {
            let pool = ProcessPool::new(1).unwrap();
            assert_usable(&pool);
            pool
        });
        assert_usable(&pool.join().unwrap());
    });
    outcome.assert_success();
}

#[test]
fn a_program_replaced_on_disk_still_has_children() {
    let copy = r#"d=$(mktemp -d) && cp "$0" "$d/copy" && exec "$d/copy" "$@""#;
    let outcome = Child::default().limit(copy).run(|| {
        let own = std::env::current_exe().unwrap();
        fs::remove_file(&own).unwrap();
        fs::write(&own, "something else").unwrap();
        assert_usable(&ProcessPool::new(1).unwrap());
        assert_eq!(Process::spawn(increment, 1).unwrap().join().unwrap(), 2);
        fs::remove_dir_all(own.parent().unwrap()).unwrap();
    });
    outcome.assert_success();
}

#[test]
#[cfg_attr(gl_asan, ignore = "the sanitizer reads /proc")]
fn without_proc_a_program_started_by_its_full_path_has_children() {
    let hide = r#"unshare -m true 2>/dev/null || exit 77
        exec unshare -m sh -c 'mount -t tmpfs none /proc && exec "$0" "$@"' "$0" "$@""#;
    let outcome = Child::default().limit(hide).run(|| {
        assert!(!fs::exists("/proc/self").unwrap());
        assert_usable(&ProcessPool::new(1).unwrap());
    });
    match outcome.code {
        Some(77) => println!("no rights to hide /proc: left out"),
        _ => outcome.assert_success(),
    }
}

#[test]
fn where_no_process_can_be_started_jobs_are_errors_and_the_rest_goes_on() {
    let outcome = child::run(|| {
        let pool = ProcessPool::builder().workers(3).build().unwrap();
        assert_usable(&pool);
        let mut files = Vec::new();
        let limit = libc::rlimit {
            rlim_cur: 64,
            rlim_max: 64,
        };
        // SAFETY: reads the structure, for this process alone.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        while let Ok(file) = fs::File::open("/dev/null") {
            files.push(file);
        }
        // One worker lives, two cannot be started: it does all the work.
        let jobs: Vec<_> = (0..50)
            .map(|n| pool.apply_async(increment, n).unwrap())
            .collect();
        assert_eq!(resolve(&jobs), 50);
        assert!(Process::spawn(increment, 1).is_err());
        files.clear();
        assert_eq!(Process::spawn(increment, 1).unwrap().join().unwrap(), 2);
    });
    outcome.assert_success();
}
