//! Ten thousand connections that do nothing most of the time, between two processes.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use greenloom::ipc::{self, Conn};
use greenloom::net::{Connection, Server, TcpStream};
use greenloom::process::Process;
use greenloom::sync::Semaphore;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::child;

const WANTED: usize = 10_000;
/// Connections that are asked for, or asked something, at the same time.
const AT_ONCE: usize = 200;
/// Only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(90);

/// As many connections as the limit of open files allows to each of the two processes.
fn affordable() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be raised stays as it is.
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(files)
        .unwrap_or(usize::MAX)
        .saturating_sub(100);
    if most < WANTED {
        println!("scaled down to {most} connections: {files} files may be open");
    }
    WANTED.min(most)
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages = text.split(' ').nth(1).unwrap();
    pages.parse::<usize>().unwrap() * rustix::param::page_size()
}

/// The server's process: says where it listens, is asked for its memory, and in the end for its report.
fn serve(client: Conn<u64, ()>) {
    affordable();
    let served = greenloom::try_run(|| {
        let server = Server::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let stopper = server.stopper();
        let serving = greenloom::spawn(move || server.serve(echo));
        client.send(&port.into()).unwrap();
        for _ in 0..2 {
            client.recv().unwrap();
            client.send(&(resident() as u64)).unwrap();
        }
        client.recv().unwrap();
        stopper.stop();
        serving.join().unwrap().unwrap()
    });
    let report = served.unwrap();
    for number in [report.accepted, report.served, report.peak as u64] {
        client.send(&number).unwrap();
    }
}

fn echo(connection: &Connection) -> std::io::Result<()> {
    let mut byte = [0];
    while connection.wait_for_request()? && (&mut connection.stream()).read(&mut byte)? > 0 {
        (&mut connection.stream()).write_all(&byte)?;
    }
    Ok(())
}

/// Each of them is asked something, a few at a time.
fn ask_all(streams: Vec<TcpStream>) -> Vec<TcpStream> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let asked: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, mut stream)| {
            let permits = permits.clone();
            greenloom::spawn(move || {
                let _permit = permits.acquire();
                let byte = [number as u8];
                stream.write_all(&byte).unwrap();
                let mut answer = [!byte[0]];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer, byte);
                stream
            })
        })
        .collect();
    asked.into_iter().map(|task| task.join().unwrap()).collect()
}

#[test]
fn ten_thousand_idle_connections_are_all_there_and_cost_little() {
    let outcome = child::run(|| {
        let count = affordable();
        let (server, theirs) = ipc::pipe::<(), u64>().unwrap();
        let process = Process::spawn(serve, theirs).unwrap();
        let next = || server.recv_timeout(PATIENCE).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(next()).unwrap()));
        server.send(&()).unwrap();
        let before = next();
        let ran = greenloom::Runtime::builder().workers(1).run(|| {
            let connect = |_| {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream
            };
            let streams = ask_all((0..count).map(connect).collect());
            server.send(&()).unwrap();
            let each = next().saturating_sub(before) as usize / count;
            // A task's stack has two pages in use, in a build without optimisation more; the rest is the record of it.
            // Their sum is measured by the benchmarks: this is to find what is not meant at all.
            assert!(
                each < 64 << 10,
                "{each} bytes of the server's memory for each"
            );
            println!("{count} connections, {each} bytes for each");
            // After a while of doing nothing, each of them is still there.
            drop(ask_all(streams));
        });
        ran.unwrap();
        server.send(&()).unwrap();
        let (accepted, served, peak) = (next(), next(), next());
        let all = count as u64;
        assert_eq!((accepted, served, peak), (all, all, all));
        process.join().unwrap();
    });
    outcome.assert_success();
    print!("{}", outcome.stdout);
}
