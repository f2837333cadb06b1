//! Managers that are found by an address and a key, from processes that have nothing else in common.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, process};

use greenloom::ipc::{
    Address, Dict, Event, Functions, GetError, JoinableQueue, List, Lock, Manager, ManagerError,
    ManagerServer, Queue,
};
use greenloom::process::Process;

const KEY: &[u8] = b"a key for tests";

fn here() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A folder of its own, that goes with this.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("greenloom-manager-{}-{number}", process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("manager.socket")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn functions() -> Functions {
    let mut functions = Functions::new();
    functions.value("add", |n: &mut i64, by: i64| *n += by);
    functions
}

/// What a process does that knows an address and a key.
fn visit(address: Address) {
    let manager = Manager::connect(address, KEY).unwrap();
    let counts: Dict<String, i64> = manager.named("counts").dict().unwrap();
    let lock = manager.named("lock").lock().unwrap();
    for _ in 0..20 {
        counts
            .update_or::<_, _, ()>("sure", &0, "add", &1_i64)
            .unwrap();
        let _guard = lock.acquire().unwrap();
        let before = counts.get("locked").unwrap().unwrap_or_default();
        counts.insert("locked", &(before + 1)).unwrap();
    }
    let queue = manager.named("visitors").queue::<u32>().unwrap();
    queue.put(&process::id()).unwrap();
}

fn is_visited(address: impl Into<Address>) {
    let server = ManagerServer::bind_with(address, KEY, functions()).unwrap();
    let visitors = [(); 4].map(|()| Process::spawn(visit, server.address().clone()).unwrap());
    visitors
        .into_iter()
        .for_each(|visitor| visitor.join().unwrap());
    // From outside, as they did, and from inside.
    let outside = Manager::connect(server.address(), KEY).unwrap();
    for manager in [outside, server.manager()] {
        let counts: Dict<String, i64> = manager.named("counts").dict().unwrap();
        assert_eq!(counts.get("sure"), Ok(Some(80)));
        assert_eq!(counts.get("locked"), Ok(Some(80)));
        let visitors = manager.named("visitors").queue::<u32>().unwrap();
        assert_eq!(visitors.len(), Ok(4));
    }
}

#[test]
fn processes_without_a_common_parent_meet_by_path() {
    let folder = Folder::new();
    is_visited(folder.socket());
    assert!(!folder.socket().exists(), "the socket goes with its server");
}

#[test]
fn processes_without_a_common_parent_meet_by_network() {
    is_visited(here());
}

#[test]
fn a_wrong_key_and_a_wrong_address_are_told_apart() {
    let folder = Folder::new();
    let server = ManagerServer::bind(folder.socket(), KEY).unwrap();
    let kind = |address: Address, key: &[u8]| Manager::connect(address, key).unwrap_err().kind();
    let address = server.address().clone();
    assert_eq!(
        kind(address.clone(), b"another"),
        ErrorKind::PermissionDenied
    );
    assert_eq!(kind(address.clone(), b""), ErrorKind::InvalidInput);
    let nowhere = Address::from(folder.0.join("nothing"));
    assert_eq!(kind(nowhere, KEY), ErrorKind::NotFound);
    let taken = ManagerServer::bind(folder.socket(), KEY).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    assert_eq!(
        ManagerServer::bind(here(), "").unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    // Who knows the key is let in all the same.
    Manager::connect(address.clone(), KEY).unwrap();
    drop(server);
    assert_eq!(kind(address, KEY), ErrorKind::NotFound);
}

#[test]
fn a_server_of_another_kind_is_no_manager() {
    let listener = std::net::TcpListener::bind(here()).unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let other = std::thread::spawn(move || {
        use std::io::Write;
        #[expect(clippy::disallowed_methods, reason = "a plain thread's")]
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    });
    let error = Manager::connect(address, KEY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    other.join().unwrap();
}

#[test]
fn the_end_of_a_server_is_the_end_of_its_objects() {
    let server = ManagerServer::bind(here(), KEY).unwrap();
    let address = server.address().clone();
    let manager = Manager::connect(&address, KEY).unwrap();
    let queue = manager.queue::<u32>().unwrap();
    let waiting = std::thread::spawn({
        let queue = queue.clone();
        move || queue.get()
    });
    let inside = server.manager();
    drop(server);
    assert_eq!(waiting.join().unwrap(), Err(GetError::Disconnected));
    assert!(manager.is_gone() && inside.is_gone());
    assert_eq!(manager.names(), Err(ManagerError::Disconnected));
    // Another at the same address is another: old handles stay what they are.
    let again = ManagerServer::bind(address.as_socket_addr().unwrap(), KEY).unwrap();
    let new = Manager::connect(again.address(), KEY).unwrap();
    new.named("x").list::<u8>().unwrap();
    assert_eq!(manager.names(), Err(ManagerError::Disconnected));
    assert_eq!(
        manager.shutdown().unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn a_handle_takes_its_key_to_processes_of_this_machine() {
    let server = ManagerServer::bind(here(), KEY).unwrap();
    let manager = Manager::connect(server.address(), KEY).unwrap();
    let list = manager.list::<u32>().unwrap();
    let child = Process::spawn(
        |(list, manager): (List<u32>, Manager)| {
            list.push(&1).unwrap();
            manager
                .named("more")
                .list::<u32>()
                .unwrap()
                .push(&2)
                .unwrap();
        },
        (list.clone(), manager.clone()),
    );
    child.unwrap().join().unwrap();
    assert_eq!(list.to_vec().unwrap(), [1]);
    assert_eq!(
        manager.named("more").list().unwrap().to_vec(),
        Ok(vec![2_u32])
    );
}

#[test]
fn over_a_network_go_neither_keys_nor_descriptors() {
    let server = ManagerServer::bind(here(), KEY).unwrap();
    let manager = Manager::connect(server.address(), KEY).unwrap();
    let other = Manager::start().unwrap();
    // A descriptor.
    let queue = manager.queue::<Queue<u32>>().unwrap();
    match queue.put(&Queue::new()) {
        Err(greenloom::ipc::PutError::Codec(error)) => {
            assert!(error.to_string().contains("crosses no network"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // A handle of another manager: good for who is connected to that one, and for nobody else.
    type Kept = (Lock, List<u32>);
    let kept = manager.named("kept").list::<Kept>().unwrap();
    kept.push(&(manager.lock().unwrap(), other.list().unwrap()))
        .unwrap();
    let (lock, list) = kept.get(0).unwrap().unwrap();
    drop(lock.acquire().unwrap());
    list.push(&1).unwrap();
    let look = |kept: List<Kept>| match kept.pop() {
        Err(ManagerError::Codec(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let said = Process::spawn(look, kept.clone()).unwrap().join().unwrap();
    assert!(said.contains("not connected"), "{said}");
    assert_eq!(kept.len(), Ok(1), "it is still there");
    let look = |(kept, other): (List<Kept>, Manager)| {
        let (_, list) = kept.pop().unwrap().unwrap();
        list.push(&2).unwrap();
        drop(other);
    };
    Process::spawn(look, (kept, other)).unwrap().join().unwrap();
    assert_eq!(list.to_vec().unwrap(), [1, 2]);
}

#[test]
fn a_server_in_a_child_outlives_its_clients_and_not_its_process() {
    let folder = Folder::new();
    fn serve((path, ready, end): (PathBuf, Event, JoinableQueue<()>)) {
        let server = ManagerServer::bind(path, KEY).unwrap();
        server
            .manager()
            .named("list")
            .list::<u32>()
            .unwrap()
            .push(&1)
            .unwrap();
        ready.set().unwrap();
        let _ = end.get();
        process::abort();
    }
    let (ready, end) = (Event::new(), JoinableQueue::new());
    let child = Process::spawn(serve, (folder.socket(), ready.clone(), end.clone())).unwrap();
    ready.wait().unwrap();
    for n in 1..=3 {
        // Each time anew: the last handle of this process has gone.
        let manager = Manager::connect(folder.socket(), KEY).unwrap();
        let list = manager.named("list").list::<u32>().unwrap();
        list.push(&n).unwrap();
        assert_eq!(list.len(), Ok(n as usize + 1));
    }
    let manager = Manager::connect(folder.socket(), KEY).unwrap();
    end.put(&()).unwrap();
    child.join().unwrap_err();
    assert_eq!(manager.names(), Err(ManagerError::Disconnected));
    // Nobody listens there, though the file is left.
    let error = Manager::connect(folder.socket(), KEY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
