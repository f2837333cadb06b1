//! Servers on greenloom: `net::Server`, which makes a task for each connection.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;

use greenloom::net::{Connection, Server};

use super::{greenloom as tasks, http};
use crate::child::measure::Task;

pub(super) fn serve(task: &Task) {
    let serve_one = match http::is_spoken_in(task.what) {
        true => answer,
        false => echo,
    };
    tasks::runtime(task.workers).block_on(move || {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        http::announce(server.local_addr().expect("its address"));
        server.serve(serve_one).expect("it serves");
    });
}

fn echo(connection: &Connection) -> io::Result<()> {
    let mut stream = connection.stream();
    stream.set_nodelay(true)?;
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

fn answer(connection: &Connection) -> io::Result<()> {
    let mut stream = connection.stream();
    stream.set_nodelay(true)?;
    let mut requests = http::Requests::default();
    loop {
        match stream.read(requests.room())? {
            0 => return Ok(()),
            n => requests.came(n),
        }
        stream.write_all(requests.answers()?)?;
    }
}
