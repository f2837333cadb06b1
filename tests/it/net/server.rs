//! The server: limits, failures, placement, and the ways in which it stops.

use std::collections::HashMap;
use std::thread::ThreadId;

use greenloom::net::{Connection, Listener, Report, Server, Stopper, UnixListener, UnixStream};
use greenloom::sleep;

use super::*;
use crate::watch::watched;

type Echoed = Result<(), io::Error>;

fn echo<L: Listener>(connection: &Connection<L>) -> Echoed {
    use greenloom::io::Duplex;
    let stream = connection.stream();
    io::copy(&mut stream.both_ways(), &mut stream.both_ways()).map(drop)
}

struct Served {
    address: SocketAddr,
    stopper: Stopper,
    task: JoinHandle<io::Result<Report>>,
}

impl Served {
    fn start(
        server: Server,
        handler: impl Fn(&Connection) -> Echoed + Send + Sync + 'static,
    ) -> Served {
        Served {
            address: server.local_addr().unwrap(),
            stopper: server.stopper(),
            task: spawn(move || server.serve(handler)),
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    fn stop(self) -> Report {
        self.stopper.stop();
        self.task.join().unwrap().unwrap()
    }
}

fn server() -> Server {
    Server::bind("127.0.0.1:0").unwrap()
}

fn ask(mut stream: &TcpStream) -> io::Result<[u8; 4]> {
    let mut answer = [0; 4];
    stream.write_all(b"echo")?;
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn it_serves_and_reports() {
    for workers in [1, 4] {
        let ran = Runtime::builder().workers(workers).run(|| {
            let served = Served::start(server(), echo);
            let clients: Vec<_> = (0..20).map(|_| served.connect()).collect();
            clients
                .iter()
                .for_each(|client| assert_eq!(&ask(client).unwrap(), b"echo"));
            drop(clients);
            let report = served.stop();
            assert_eq!((report.accepted, report.served), (20, 20));
            assert_eq!((report.failed, report.cancelled, report.peak), (0, 0, 20));
        });
        ran.unwrap();
    }
}

#[test]
fn it_serves_in_the_file_system_too() {
    let name = format!("greenloom-server-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    run(|| {
        let server = Server::new(listener);
        let stopper = server.stopper();
        let serving = spawn(move || server.serve(echo));
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"unix").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"unix");
        drop(stream);
        stopper.stop();
        assert_eq!(serving.join().unwrap().unwrap().served, 1);
        assert_eq!(
            kind(UnixStream::connect(&path)),
            ErrorKind::ConnectionRefused
        );
    });
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn no_more_are_served_at_once_than_the_limit() {
    on_one_worker(|| {
        let served = Served::start(server().max_connections(2), echo);
        let clients: Vec<_> = (0..3).map(|_| served.connect()).collect();
        ask(&clients[0]).unwrap();
        ask(&clients[1]).unwrap();
        let third = &clients[2];
        third
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        assert_eq!(kind(ask(third)), ErrorKind::TimedOut);
        clients[0].close();
        third.set_read_timeout(Some(LONG)).unwrap();
        let mut answer = [0; 4];
        (&*third).read_exact(&mut answer).unwrap();
        drop(clients);
        let report = served.stop();
        assert_eq!((report.accepted, report.peak), (3, 2));
    });
}

#[test]
fn a_handler_that_fails_ends_its_own_connection_only() {
    let ran = Runtime::builder().workers(1).panic_note(false).run(|| {
        let served = Served::start(server(), |connection| {
            let mut byte = [0];
            loop {
                (&mut connection.stream()).read_exact(&mut byte)?;
                match byte[0] {
                    b'e' => return Err(io::Error::other("asked to fail")),
                    b'p' => std::panic::resume_unwind(Box::new("asked to panic")),
                    b'q' => return Ok(()),
                    _ => (&mut connection.stream()).write_all(&byte)?,
                }
            }
        });
        let clients = [b'e', b'p', b'q'].map(|word| (word, served.connect()));
        for (word, mut client) in clients {
            client.write_all(&[word]).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap(), 0, "the connection ends");
        }
        let mut client = served.connect();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        client.write_all(b"q").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        let report = served.stop();
        assert_eq!((report.accepted, report.served), (4, 2));
        assert_eq!((report.failed, report.cancelled), (2, 0));
    });
    ran.unwrap();
}

#[test]
fn a_stop_ends_the_idle_and_lets_the_others_finish() {
    let ran = Runtime::builder().virtual_clock().run(|| {
        let served = Served::start(
            server().drain_timeout(Duration::from_secs(60)),
            |connection| {
                while connection.wait_for_request()? {
                    let mut stream = connection.stream();
                    let mut byte = [0];
                    if stream.read(&mut byte)? == 0 {
                        break;
                    }
                    sleep(Duration::from_secs(10));
                    stream.write_all(&byte)?;
                }
                Ok(())
            },
        );
        let (mut idle, mut busy) = (served.connect(), served.connect());
        busy.write_all(b"x").unwrap();
        settle();
        let begun = greenloom::time::now();
        let address = served.address;
        let report = served.stop();
        assert!(greenloom::time::now() - begun <= Duration::from_secs(11));
        assert_eq!((report.served, report.cancelled), (2, 0));
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        assert_eq!(busy.read(&mut [0]).unwrap(), 1);
        assert_eq!(
            kind(TcpStream::connect(address)),
            ErrorKind::ConnectionRefused
        );
    });
    ran.unwrap();
}

#[test]
fn what_is_left_after_the_time_to_drain_is_cancelled() {
    let ran = Runtime::builder().virtual_clock().run(|| {
        let served = Served::start(server().drain_timeout(Duration::from_secs(60)), echo);
        let client = served.connect();
        ask(&client).unwrap();
        let begun = greenloom::time::now();
        let report = served.stop();
        assert_eq!(greenloom::time::now() - begun, Duration::from_secs(60));
        assert_eq!((report.accepted, report.cancelled), (1, 1));
        assert_eq!((&client).read(&mut [0]).unwrap(), 0);

        let served = Served::start(server(), echo);
        let client = served.connect();
        ask(&client).unwrap();
        let begun = greenloom::time::now();
        served.stopper.stop_now();
        let report = served.task.join().unwrap().unwrap();
        assert_eq!(greenloom::time::now(), begun);
        assert_eq!(report.cancelled, 1);
    });
    ran.unwrap();
}

#[test]
fn a_server_that_is_cancelled_leaves_no_connection_behind() {
    on_workers(|| {
        let served = Served::start(server(), echo);
        let clients: Vec<_> = (0..5).map(|_| served.connect()).collect();
        for client in &clients {
            ask(client).unwrap();
        }
        served.task.cancel();
        assert!(served.task.join().unwrap_err().is_cancelled());
        for client in &clients {
            assert_eq!((&mut &*client).read(&mut [0]).unwrap(), 0);
        }
        assert!(served.stopper.is_stopping());
    });
}

#[test]
fn a_runtime_that_stops_takes_its_server_along() {
    watched(|| {
        for workers in [1, 4] {
            let ran = Runtime::builder().workers(workers).run(|| {
                let served = Served::start(server(), echo);
                let client = served.connect();
                ask(&client).unwrap();
                // Both ends are still open when the main task ends.
                (served, client)
            });
            drop(ran.unwrap());
        }
    });
}

#[test]
fn connections_are_spread_over_the_workers() {
    let threads = |server: Server, first: usize| {
        let seen: Arc<Mutex<HashMap<ThreadId, usize>>> = Arc::default();
        let note = seen.clone();
        let served = Served::start(server, move |connection| {
            let id = std::thread::current().id();
            *note.lock().unwrap().entry(id).or_default() += 1;
            echo(connection)
        });
        for _ in 0..first {
            ask(&served.connect()).unwrap();
        }
        let clients: Vec<_> = (0..40).map(|_| served.connect()).collect();
        for client in &clients {
            ask(client).unwrap();
        }
        drop(clients);
        assert_eq!(served.stop().served, 40 + first as u64);
        let mut counts: Vec<_> = seen.lock().unwrap().values().copied().collect();
        counts.sort_unstable();
        counts
    };
    let ran = Runtime::builder().workers(4).run(|| {
        assert_eq!(threads(server(), 0), [10, 10, 10, 10]);
        let per_worker = Server::bind_per_worker("127.0.0.1:0").unwrap();
        // The system spreads by a hash of the addresses: not evenly, but to more than one. Not before all listen,
        // which they do when one has been served.
        let counts = threads(per_worker, 1);
        assert_eq!(counts.iter().sum::<usize>(), 41);
        assert!(counts.len() > 1, "{counts:?}");
    });
    ran.unwrap();
}

#[test]
fn it_is_stopped_from_a_thread_and_runs_on_one() {
    watched(|| {
        let server = server();
        let (address, stopper) = (server.local_addr().unwrap(), server.stopper());
        // The connections' tasks are the default runtime's.
        let thread = std::thread::spawn(move || server.serve(echo));
        let client = TcpStream::connect(address).unwrap();
        assert_eq!(&ask(&client).unwrap(), b"echo");
        drop(client);
        stopper.stop();
        assert_eq!(thread.join().unwrap().unwrap().served, 1);
    });
}

#[test]
fn a_stop_before_the_start_is_a_stop() {
    run(|| {
        let server = server();
        server.stopper().stop();
        assert_eq!(server.serve(echo).unwrap(), Report::default());
    });
}

#[test]
fn a_clone_of_the_listener_goes_on_when_the_server_stops() {
    run(|| {
        let (listener, address) = listen();
        let twin = listener.try_clone().unwrap();
        let server = Server::new(listener);
        let stopper = server.stopper();
        let serving = spawn(move || server.serve(echo));
        yield_now();
        stopper.stop();
        serving.join().unwrap().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        twin.accept_timeout(LONG).unwrap();
    });
}

#[test]
fn stops_and_connections_in_any_order_lose_nobody() {
    watched(|| {
        for round in 0..60_u64 {
            let ran = Runtime::builder().workers(2).run(|| {
                let served = Served::start(
                    server().max_connections(3).drain_timeout(LONG),
                    |connection| {
                        while connection.wait_for_request()? {
                            let mut buffer = [0; 64];
                            let got = (&mut connection.stream()).read(&mut buffer)?;
                            if got == 0 {
                                break;
                            }
                            (&mut connection.stream()).write_all(&buffer[..got])?;
                        }
                        Ok(())
                    },
                );
                let address = served.address;
                let clients: Vec<_> = (0..6)
                    .map(|_| {
                        spawn(move || {
                            let client = TcpStream::connect(address)?;
                            ask(&client)?;
                            ask(&client)
                        })
                    })
                    .collect();
                sleep(Duration::from_micros(round * 20));
                let report = served.stop();
                for client in clients {
                    // Served, refused or reset: never left to wait.
                    let _ = client.join().unwrap();
                }
                assert_eq!(report.accepted, report.served + report.failed);
                assert_eq!(report.cancelled, 0);
            });
            ran.unwrap();
        }
    });
}

#[test]
fn a_limit_below_the_number_of_listeners_starves_none_of_them() {
    watched(|| {
        let ran = Runtime::builder().workers(4).run(|| {
            let server = Server::bind_per_worker("127.0.0.1:0").unwrap();
            let served = Served::start(server.max_connections(1), echo);
            // The system gives each to one of the listeners, which one is its affair.
            for _ in 0..40 {
                assert_eq!(&ask(&served.connect()).unwrap(), b"echo");
            }
            let report = served.stop();
            assert_eq!((report.accepted, report.peak), (40, 1));
        });
        ran.unwrap();
    });
}
