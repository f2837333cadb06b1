//! A server whose object fails.

use super::*;

use std::time::Duration;

use crate::io::Limit;

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
