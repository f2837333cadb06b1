//! A runtime that stops in the middle of everything that it may have to do with the outside world at once.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use greenloom::future::block_on;
use greenloom::io::copy_bidirectional;
use greenloom::net::{Connection, Server, TcpListener, TcpStream, UnixStream};
use greenloom::process::{Command, Stdio, pipeline};
use greenloom::signal::{Signal, Signals};
use greenloom::thread_pool::ThreadPool;
use greenloom::{JoinHandle, Runtime, channel, fs, spawn};

use crate::watch::watched;

/// Counts what goes on, so that the stop comes amid it.
#[derive(Default)]
struct Busy(AtomicUsize);

impl Busy {
    fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn echo(connection: &Connection) -> io::Result<()> {
    io::copy(&mut connection.stream(), &mut connection.stream()).map(drop)
}

/// A server and clients that never have enough.
fn server(busy: &Arc<Busy>) -> Vec<JoinHandle<()>> {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let mut tasks = vec![spawn(move || drop(server.serve(echo)))];
    for _ in 0..4 {
        let busy = busy.clone();
        tasks.push(spawn(move || {
            while let Ok(mut stream) = TcpStream::connect(address) {
                let mut answer = [0; 100];
                if stream.write_all(&answer).is_err() || stream.read_exact(&mut answer).is_err() {
                    return;
                }
                busy.note();
            }
        }));
    }
    tasks
}

/// A proxy through which somebody sends without end to somebody who reads slowly.
fn proxy(busy: &Arc<Busy>) -> Vec<JoinHandle<()>> {
    let (mut client, outer) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let inner = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let busy = busy.clone();
    vec![
        spawn(move || drop(copy_bidirectional(&outer, &inner))),
        spawn(move || while client.write_all(&vec![1; 1 << 17]).is_ok() {}),
        spawn(move || {
            while server.read(&mut vec![0; 1 << 15]).is_ok_and(|got| got > 0) {
                busy.note();
                greenloom::yield_now();
            }
        }),
    ]
}

/// Programs that are fed, read and waited for.
fn programs(busy: &Arc<Busy>) -> Vec<JoinHandle<()>> {
    let (one, other) = (busy.clone(), busy.clone());
    let cat = || {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        cat
    };
    vec![
        spawn(move || {
            while let Ok(output) = cat().spawn().unwrap().communicate(vec![7; 1 << 20]) {
                assert_eq!(output.stdout.len(), 1 << 20);
                one.note();
            }
        }),
        spawn(move || {
            let mut waits = Command::new("sleep");
            let mut last = Command::new("cat");
            waits.arg("1000").kill_on_drop(true);
            last.stdout(Stdio::piped()).kill_on_drop(true);
            let mut both = pipeline([&mut waits, &mut last]).unwrap();
            other.note();
            drop(both.communicate(""));
        }),
    ]
}

fn others(busy: &Arc<Busy>) -> Vec<JoinHandle<()>> {
    let signals = Signals::new([Signal::VTALRM]).unwrap();
    let folder = std::env::temp_dir().join(format!("greenloom-stops-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{:p}", Arc::as_ptr(busy)));
    let pool = ThreadPool::new(2);
    let (by_signal, by_file, by_pool) = (busy.clone(), busy.clone(), busy.clone());
    vec![
        spawn(move || {
            while signals.recv().is_ok() {
                by_signal.note();
            }
        }),
        spawn(move || {
            let _gone = crate::watch::OnDrop(|| drop(std::fs::remove_file(&file)));
            while fs::write(&file, vec![3; 1 << 16]).is_ok() && fs::read(&file).is_ok() {
                by_file.note();
            }
        }),
        spawn(move || {
            while pool.submit(|| 1).unwrap().join().is_ok() {
                by_pool.note();
            }
        }),
        spawn(|| {
            let (_sender, receiver) = channel::bounded::<()>(1);
            let _never = block_on(receiver.recv_async());
        }),
    ]
}

#[test]
fn a_runtime_stops_in_the_middle_of_it_all() {
    // A storm of signals, from before the first runtime to after the last.
    let is_over = Arc::new(AtomicBool::new(false));
    let _caught = Signals::new([Signal::VTALRM]).unwrap();
    let storm = {
        let is_over = is_over.clone();
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                greenloom::process::send_signal(std::process::id(), Signal::VTALRM).unwrap();
                greenloom::sleep(Duration::from_micros(100));
            }
        })
    };
    for round in 0..8_usize {
        watched(move || {
            let busy = Arc::<Busy>::default();
            let theirs = busy.clone();
            let runtime = Runtime::builder().workers(1 + round % 3).build().unwrap();
            let tasks = runtime.block_on(move || {
                let mut tasks = server(&theirs);
                tasks.extend(proxy(&theirs));
                tasks.extend(programs(&theirs));
                tasks.extend(others(&theirs));
                // Amid the work, at another point of it in each round.
                while theirs.0.load(Ordering::Relaxed) < 50 + round * 37 {
                    greenloom::yield_now();
                }
                tasks
            });
            runtime.stop();
            for task in tasks {
                let ended = task.join();
                assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
            }
        });
    }
    is_over.store(true, Ordering::Relaxed);
    storm.join().unwrap();
}
