//! A name server that does not answer: the resolver blocks for as long as it likes, and nobody else does.
//!
//! This binary has a `getaddrinfo` of its own, which the linker prefers to libc's. It is the system's for all names
//! but those that begin with "slow": they are looked for until the test says that the server has answered.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(
    clippy::disallowed_methods,
    reason = "the resolver is to block its thread"
)]

use std::ffi::{CStr, c_char, c_int};
use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use greenloom::net::{TcpListener, TcpStream};
use greenloom::{Runtime, run, sleep, spawn, timeout, yield_now};

use crate::child;

static SERVER: Server = Server {
    state: Mutex::new(State {
        asked: 0,
        answers: false,
    }),
    changed: Condvar::new(),
};

struct Server {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// How often somebody has begun to wait.
    asked: usize,
    answers: bool,
}

impl Server {
    fn ask(&self) {
        let mut state = self.state.lock().unwrap();
        state.asked += 1;
        while !state.answers {
            state = self.changed.wait(state).unwrap();
        }
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    fn answer(&self) {
        self.state.lock().unwrap().answers = true;
        self.changed.notify_all();
    }
}

type Resolver = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const libc::addrinfo,
    *mut *mut libc::addrinfo,
) -> c_int;

// SAFETY: it is what the name says, with libc's own signature.
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    name: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
) -> c_int {
    // SAFETY: both arguments are what dlsym asks for.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"getaddrinfo".as_ptr()) };
    assert!(!next.is_null(), "libc has one");
    // SAFETY: it is libc's function of this name.
    let next: Resolver = unsafe { mem::transmute(next) };
    let mut name = name;
    // SAFETY: the caller's name, which is a string or null.
    let is_slow = !name.is_null()
        && unsafe { CStr::from_ptr(name) }
            .to_bytes()
            .starts_with(b"slow");
    if is_slow {
        SERVER.ask();
        name = c"127.0.0.1".as_ptr();
    }
    // SAFETY: the caller's arguments, or a name that lives for ever.
    unsafe { next(name, service, hints, found) }
}

/// Waits, as a task, until so many names are looked for.
fn until_asked(count: usize) {
    let begun = Instant::now();
    while SERVER.asked() < count {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody asks");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_resolver_that_blocks_keeps_the_workers_and_the_files_going() {
    let outcome = child::run(|| {
        // One thread for files, which names do not take.
        let ran = Runtime::builder().workers(1).blocking_threads(1).run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let connecting: Vec<_> = (0..20)
                .map(|n| spawn(move || TcpStream::connect((format!("slow-{n}"), address.port()))))
                .collect();
            until_asked(20);
            for _ in 0..100 {
                let mut near = TcpStream::connect(address).unwrap();
                let (mut far, _) = listener.accept().unwrap();
                far.write_all(b"on").unwrap();
                near.read_exact(&mut [0; 2]).unwrap();
            }
            assert!(greenloom::fs::exists("Cargo.toml").unwrap());
            assert!(!connecting.iter().any(|task| task.is_finished()));
            SERVER.answer();
            for task in connecting {
                assert_eq!(task.join().unwrap().unwrap().peer_addr().unwrap(), address);
            }
        });
        ran.unwrap();
    });
    outcome.assert_success();
}

#[test]
fn whoever_waits_for_a_resolver_is_cancelled_and_timed_out_at_once() {
    let outcome = child::run(|| {
        run(|| {
            let late = timeout(Duration::from_millis(20), || TcpStream::connect("slow:80"));
            assert!(late.is_err());
            let task = spawn(|| TcpStream::connect("slow:80"));
            until_asked(2);
            task.cancel();
            assert!(task.join().unwrap_err().is_cancelled());
            yield_now();
            // What the resolver finds in the end is nobody's any more, and others are served.
            SERVER.answer();
            let refused = TcpStream::connect("slow:1").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        });
    });
    outcome.assert_success();
}

#[test]
fn a_runtime_stops_while_a_resolver_blocks() {
    let outcome = child::run(|| {
        for workers in [1, 2] {
            let ran = Runtime::builder().workers(workers).run(|| {
                let task = spawn(|| TcpStream::connect("slow:80").map(drop));
                until_asked(SERVER.asked() + 1);
                task
            });
            // Nobody has answered.
            assert!(ran.unwrap().join().unwrap_err().is_cancelled());
        }
        let runtime = Runtime::builder().workers(1).build().unwrap();
        drop(runtime.block_on(|| {
            let task = spawn(|| TcpStream::connect("slow:80").map(drop));
            until_asked(3);
            task
        }));
        drop(runtime);
    });
    outcome.assert_success();
}
