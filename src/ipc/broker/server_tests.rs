//! A server whose object fails; a server that hears several clients.

use super::*;

use std::time::Duration;

use crate::io::Limit;
use crate::ipc::link::{Incoming, Outgoing};

use super::super::client::Gone;
use super::super::connection::Connection;

/// Panics when it is called.
struct Fragile {
    left: Arc<Event>,
}

impl Object for Fragile {
    fn call(&mut self, _from: Ticket, _call: Call, _answers: &mut Answers) {
        panic!("this is to happen");
    }

    fn give_up(&mut self, _ticket: Ticket, _answers: &mut Answers) {}

    fn leave(&mut self, _client: ClientId, _answers: &mut Answers) {
        self.left.set();
    }

    fn take_back(&mut self, _answer: Answer, _answers: &mut Answers) {}
}

#[test]
fn a_client_whose_server_panics_is_told_and_forgotten() {
    let left = Arc::new(Event::new());
    let server = Server::new(Fragile { left: left.clone() });
    let (ours, theirs) = Wire::pair().unwrap();
    assert!(server.attach(theirs).unwrap().is_none());
    let connection = Arc::new(Connection::new(ours, None, None));
    let answer = connection.call(0, Call::plain(1), Limit::Never, false);
    assert_eq!(answer.unwrap_err(), Gone);
    assert!(left.wait_timeout(Duration::from_secs(60)));
}

/// A client of a queue whom no task serves: its end, its number, its slot.
fn unserved(server: &Arc<Server>) -> (Wire, ClientId, usize) {
    let (ours, theirs) = Wire::pair().unwrap();
    let page = server.page().expect("the queue has no bounds");
    let remote = Remote::new(server.enter(), Arc::new(Wire::new(theirs)));
    let slot = server.ears().add(remote.clone(), Some(page)).unwrap();
    let client = remote.client;
    server.lock().remotes.insert(client, remote);
    (ours, client, slot)
}

fn put(server: &Arc<Server>, (wire, _, slot): &(Wire, ClientId, usize), item: u8) {
    let page = server.page().unwrap();
    let parcel = Parcel::pack(&item).unwrap();
    let number = Ticket::post(page.stamp());
    let outgoing = Outgoing::new(QueueMachine::PUT, number, parcel);
    assert!(outgoing.unwrap().try_send(wire).unwrap());
    page.count(*slot);
}

fn get(server: &Arc<Server>, (wire, client, _): &(Wire, ClientId, usize)) -> Option<u8> {
    let outgoing = Outgoing::new(QueueMachine::TRY_GET, 1, Parcel::default());
    assert!(outgoing.unwrap().try_send(wire).unwrap());
    server.listen(*client).unwrap();
    let mut incoming = Incoming::new(100);
    let frame = incoming.recv(wire, Limit::Now).unwrap().unwrap();
    (frame.kind == QueueMachine::ITEM).then(|| frame.parcel.unpack().unwrap())
}

#[test]
fn a_call_of_another_process_finds_what_was_put_before_and_in_its_order() {
    let server = Server::new(QueueMachine::new(usize::MAX));
    let page = server.lock().object.page().unwrap();
    server.page.set(page).unwrap();
    let [first, second, third] = [(); 3].map(|()| unserved(&server));
    assert_eq!(get(&server, &third), None);
    put(&server, &second, 1);
    assert_eq!(get(&server, &third), Some(1));
    put(&server, &second, 2);
    put(&server, &first, 3);
    put(&server, &second, 4);
    put(&server, &third, 5);
    // Of the one who is listened to there is more than what is read at first.
    for item in 6..=100 {
        put(&server, &first, item);
    }
    put(&server, &second, 101);
    server.listen(first.1).unwrap();
    for item in 2..=101 {
        assert_eq!(get(&server, &third), Some(item));
    }
    assert_eq!(get(&server, &third), None);
}
