//! Threads of the operating system, std's locks, std's and crossbeam's channels: what one has without
//! any runtime. Stacks of 64 KiB.

use std::array;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle, yield_now};
use std::time::Duration;

use super::http;
use crate::cases::What;
use crate::child::measure::{Cannot, Round, Task, cannot, compute};
use crate::child::memory::{FOR_EVER, short_sleep, timers, watch_sleepers};
use crate::child::span::{Span, yields_each};

/// More take whole seconds, or hit the system's limit.
const MOST: usize = 10_000;

fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let builder = thread::Builder::new().stack_size(64 * 1024);
    builder.spawn(body).expect("a thread")
}

pub(super) fn run(task: &Task) -> Result<(), Cannot> {
    let size = task.size;
    match task.what {
        What::Yield | What::Sleepers | What::Timers | What::Idle | What::Echo | What::Http
            if size > MOST || size == MOST && task.what == What::Timers =>
        {
            return cannot("a thread for each is too much for the system");
        }
        What::Yield => task.rounds(|| yields(size)),
        What::SpawnJoin => task.rounds(spawn_join),
        What::Unbalanced => task.rounds(|| unbalanced(size)),
        What::PingPong => task.rounds(ping_pong),
        What::Ring => task.rounds(ring),
        What::Mpsc => task.rounds(|| mpsc(size)),
        What::MutexFree => task.rounds(mutex_free),
        What::MutexContended => task.rounds(mutex_contended),
        What::Select => task.rounds(select_of_four),
        What::Timers => timers(task, sleep_all),
        What::ShortSleep => short_sleep(task, sleep_all),
        What::Sleepers => sleepers(size),
        What::Skynet | What::Fib => return cannot("a thread for each is too much for the system"),
        what if what.is_served() => serve(what),
        What::Generator | What::Switch => return cannot("threads do not switch to each other"),
        _ => return cannot("no functions in other processes"),
    }
    Ok(())
}

fn yields(threads: usize) -> Round {
    let each = yields_each(threads).min(100_000);
    let span = Arc::new(Span::new(threads));
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let span = span.clone();
            spawn(move || {
                span.start();
                while !span.all_started() {
                    yield_now();
                }
                for _ in 0..each {
                    yield_now();
                }
                span.end();
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    span.round(each)
}

fn spawn_join() -> Round {
    const BATCH: usize = 1_000;
    Round::timed(BATCH, || {
        let handles: Vec<_> = (0..BATCH).map(|n| spawn(move || black_box(n))).collect();
        let sum: usize = handles.into_iter().map(|h| h.join().unwrap()).sum();
        assert_eq!(sum, BATCH * (BATCH - 1) / 2);
    })
}

fn unbalanced(threads: usize) -> Round {
    let start = Arc::new(Barrier::new(threads + 1));
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let start = start.clone();
            spawn(move || {
                start.wait();
                compute();
            })
        })
        .collect();
    Round::timed(threads, || {
        start.wait();
        for handle in handles {
            handle.join().unwrap();
        }
    })
}

fn ping_pong() -> Round {
    const TRIPS: usize = 5_000;
    let (there, their_end) = sync_channel::<usize>(1);
    let (back, our_end) = sync_channel::<usize>(1);
    let echo = spawn(move || {
        for item in their_end {
            back.send(item).unwrap();
        }
    });
    let asker = spawn(move || {
        Round::timed(TRIPS, || {
            for n in 0..TRIPS {
                there.send(n).unwrap();
                assert_eq!(our_end.recv(), Ok(n));
            }
        })
    });
    let round = asker.join().unwrap();
    echo.join().unwrap();
    round
}

fn ring() -> Round {
    const THREADS: usize = 503;
    const PASSES: usize = 20_000;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| sync_channel::<usize>(1)).unzip();
    let first = senders[0].clone();
    let (done, all_done) = sync_channel::<()>(1);
    for (n, receiver) in receivers.into_iter().enumerate() {
        let next = senders[(n + 1) % THREADS].clone();
        let done = done.clone();
        spawn(move || {
            for left in receiver {
                if left == 0 {
                    let _ = done.send(());
                    break;
                }
                if next.send(left - 1).is_err() {
                    break;
                }
            }
        });
    }
    drop(senders);
    Round::timed(PASSES, || {
        first.send(PASSES).unwrap();
        all_done.recv().unwrap();
    })
}

fn mpsc(producers: usize) -> Round {
    const ITEMS: usize = 400_000;
    Round::timed(ITEMS, || {
        let (sender, receiver) = sync_channel::<u64>(1_000);
        for _ in 0..producers {
            let sender = sender.clone();
            spawn(move || {
                for n in 0..ITEMS / producers {
                    sender.send(n as u64).unwrap();
                }
            });
        }
        drop(sender);
        let consumer = spawn(move || receiver.iter().map(black_box).count());
        assert_eq!(consumer.join().unwrap(), ITEMS);
    })
}

fn mutex_free() -> Round {
    const TIMES: usize = 1_000_000;
    let sum = Mutex::new(0);
    Round::timed(TIMES, || {
        for n in 0..TIMES {
            *black_box(&sum).lock().unwrap() += n;
        }
    })
}

fn mutex_contended() -> Round {
    const THREADS: usize = 100;
    const EACH: usize = 500;
    let sum = Arc::new(Mutex::new(0));
    let round = Round::timed(THREADS * EACH, || {
        let handles: Vec<_> = (0..THREADS)
            .map(|_| {
                let sum = sum.clone();
                spawn(move || {
                    for n in 0..EACH {
                        let mut sum = sum.lock().unwrap();
                        *sum += 1;
                        if n % 10 == 9 {
                            yield_now();
                        }
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
    assert_eq!(*sum.lock().unwrap(), THREADS * EACH);
    round
}

/// std has no select; crossbeam's channels have.
fn select_of_four() -> Round {
    const TIMES: usize = 200_000;
    let ends: [_; 4] = array::from_fn(|_| crossbeam_channel::bounded::<usize>(1));
    let [(_, a), (_, b), (sender, c), (_, d)] = &ends;
    Round::timed(TIMES, || {
        for n in 0..TIMES {
            sender.send(n).unwrap();
            let item = crossbeam_channel::select! {
                recv(a) -> item => item,
                recv(b) -> item => item,
                recv(c) -> item => item,
                recv(d) -> item => item,
            };
            assert_eq!(item, Ok(n));
        }
    })
}

fn sleep_all(threads: usize, time: Duration, times: usize) {
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            spawn(move || {
                for _ in 0..times {
                    thread::sleep(time);
                }
            })
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
}

/// Does not return: the watcher ends the process.
fn sleepers(threads: usize) {
    let span: &'static Span = Box::leak(Box::new(Span::new(threads)));
    watch_sleepers(span);
    for _ in 0..threads {
        spawn(move || {
            span.start();
            thread::sleep(FOR_EVER);
        });
    }
    thread::sleep(FOR_EVER);
}

/// A thread for each connection.
fn serve(what: What) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    http::announce(listener.local_addr().expect("its address"));
    while let Ok((stream, _)) = listener.accept() {
        let _ = stream.set_nodelay(true);
        spawn(move || {
            // Ends by an error when its peer has gone.
            let _ = if http::is_spoken_in(what) {
                answer(stream)
            } else {
                echo(stream)
            };
        });
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut requests = http::Requests::default();
    loop {
        match stream.read(requests.room())? {
            0 => return Ok(()),
            n => requests.came(n),
        }
        stream.write_all(requests.answers()?)?;
    }
}
