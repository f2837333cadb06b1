//! Managers in processes of which everything is counted: descriptors, children, and what a crowd may cost.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process;
use std::time::{Duration, Instant};

use greenloom::ipc::{JoinableQueue, List, Manager, ManagerServer, Queue};
use greenloom::process::{Process, active_children};

use crate::child;

/// Longer than anything takes on the slowest machine; only what hangs is stopped by it.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: &[u8] = b"a key for tests";

#[track_caller]
fn eventually(what: impl Fn() -> String, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{}", what());
        greenloom::sleep(Duration::from_millis(1));
    }
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

fn here() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[expect(clippy::disallowed_methods, reason = "on a plain thread of a test")]
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn managers_come_and_go_without_a_trace() {
    let outcome = child::run(|| {
        let use_all = |manager: &Manager| {
            let queue = manager.queue::<u32>().unwrap();
            let got = Process::spawn(
                |queue: JoinableQueue<u32>| queue.get().unwrap(),
                queue.clone(),
            );
            queue.put(&7).unwrap();
            assert_eq!(got.unwrap().join().unwrap(), 7);
        };
        // Waits until the manager is gone, and has a handle of it, which would keep it.
        let wait = |manager: &Manager| {
            let queue = manager.queue::<u32>().unwrap();
            std::thread::spawn(move || queue.get().unwrap_err())
        };
        let come_and_go = |round: usize| match round % 4 {
            0 => use_all(&Manager::start().unwrap()),
            1 => {
                let manager = Manager::start().unwrap();
                use_all(&manager);
                let waiting = wait(&manager);
                manager.shutdown().unwrap();
                waiting.join().unwrap();
            }
            2 => {
                let manager = Manager::start().unwrap();
                use_all(&manager);
                let waiting = wait(&manager);
                let id = manager.process_id().unwrap();
                let killed = active_children().into_iter().find(|child| child.id() == id);
                killed.unwrap().kill().unwrap();
                waiting.join().unwrap();
                assert!(manager.is_gone());
            }
            _ => {
                let server = ManagerServer::bind(here(), KEY).unwrap();
                let address = server.address().clone();
                use_all(&server.manager());
                let waiting = wait(&server.manager());
                let visit = |address| {
                    let manager = Manager::connect(address, KEY).unwrap();
                    manager
                        .named("list")
                        .list::<u32>()
                        .unwrap()
                        .push(&1)
                        .unwrap();
                    assert!(Manager::connect(manager.address(), b"another").is_err());
                };
                Process::spawn(visit, address.clone())
                    .unwrap()
                    .join()
                    .unwrap();
                let _stranger = connect(address.as_socket_addr().unwrap());
                drop(server);
                waiting.join().unwrap();
            }
        };
        // What is opened once and for good is open after a first round.
        (0..4).for_each(come_and_go);
        eventually(
            || "children live".to_owned(),
            || active_children().is_empty(),
        );
        // What the first round leaves behind for a moment is not to be counted as settled.
        greenloom::sleep(Duration::from_millis(300));
        let settled = descriptors();
        (0..20).for_each(come_and_go);
        eventually(
            || "children live".to_owned(),
            || active_children().is_empty(),
        );
        let more = || {
            descriptors()
                .difference(&settled)
                .cloned()
                .collect::<Vec<_>>()
        };
        eventually(
            || format!("{:#?}", more()),
            || descriptors().len() <= settled.len(),
        );
        let own = fs::read_to_string(format!("/proc/self/task/{}/children", process::id()));
        assert_eq!(own.unwrap_or_default(), "", "a zombie");
    });
    outcome.assert_success();
}

/// What a server and its process hold, as it sees them.
fn held() -> (usize, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
    (descriptors().len(), kilobytes.unwrap_or(0))
}

#[test]
fn a_crowd_before_the_door_costs_a_bounded_number_of_descriptors() {
    let outcome = child::run(|| {
        type Talk = (Queue<String>, Queue<(usize, usize)>, Queue<()>);
        fn serve((opened, costs, ask): Talk) {
            let limit = libc::rlimit {
                rlim_cur: 220,
                rlim_max: 220,
            };
            // SAFETY: reads the structure, for this process alone.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
            let server = ManagerServer::bind(here(), KEY).unwrap();
            let address = server.address().as_socket_addr().unwrap();
            opened.put(&address.to_string()).unwrap();
            while ask.get().is_ok() {
                costs.put(&held()).unwrap();
            }
        }
        let talk: Talk = (Queue::new(), Queue::new(), Queue::new());
        let server = Process::spawn(serve, talk.clone()).unwrap();
        let (opened, costs, ask) = talk;
        let address: SocketAddr = opened.get_timeout(PATIENCE).unwrap().parse().unwrap();
        let visit = || {
            let manager = Manager::connect(address, KEY).unwrap();
            manager.list::<u32>().unwrap().push(&1).unwrap();
        };
        visit();
        ask.put(&()).unwrap();
        let (_, before) = costs.get_timeout(PATIENCE).unwrap();
        let mut crowd: Vec<TcpStream> = (0..600).map(|_| connect(address)).collect();
        visit();
        ask.put(&()).unwrap();
        let (open, after) = costs.get_timeout(PATIENCE).unwrap();
        assert!(open < 190, "{open} descriptors");
        assert!(
            after < before + (64 << 10),
            "{before} kilobytes and then {after}"
        );
        // The first ones had to go, for those who came later.
        let mut rest = Vec::new();
        let _ = crowd[0].read_to_end(&mut rest);
        ask.shutdown(false).unwrap();
        server.join().unwrap();
    });
    outcome.assert_success();
}

#[test]
fn a_manager_ends_with_the_process_that_started_it() {
    let outcome = child::run(|| {
        let start = |told: Queue<(u32, List<u32>)>| {
            let manager = Manager::start().unwrap();
            let list = manager.list().unwrap();
            told.put(&(manager.process_id().unwrap(), list)).unwrap();
            // Until it is killed.
            let _ = Queue::<()>::new().get();
        };
        let told = Queue::new();
        let starter = Process::spawn(start, told.clone()).unwrap();
        let (id, list) = told.get_timeout(PATIENCE).unwrap();
        list.push(&1).unwrap();
        starter.kill().unwrap();
        starter.join().unwrap_err();
        eventually(|| "it serves on".to_owned(), || list.push(&2).is_err());
        let process = format!("/proc/{id}");
        let is_gone = || {
            let status = fs::read_to_string(Path::new(&process).join("status"));
            // One that nobody waits for, as it may be in a container without an init.
            status.map_or(true, |status| status.contains("State:\tZ"))
        };
        eventually(|| format!("process {id} lives"), is_gone);
    });
    outcome.assert_success();
}
