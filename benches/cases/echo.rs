//! Echo of 64 bytes on 64 connections: the server's CPU time for each request.
//!
//! Two servers, each a process of its own: greenloom with one worker, and the bare state machine on
//! mio. The client is a closed loop with one request out on each connection, on the same CPU as the
//! servers, so that no wake-up crosses CPUs and a busy machine disturbs little. The servers take turns
//! in short spans; the ratio is taken within each turn, then the median of the turns.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;

use greenloom::net;

use super::load::{self, Talk};
use super::mio_echo;
use crate::util::figure::Figure;
use crate::util::one_worker;
use crate::util::process::end_with_parent;

const MESSAGE: [u8; 64] = *b"sixty-four bytes that travel there and back and are looked at...";

pub(crate) fn echo() -> Vec<Figure> {
    let talk = Talk {
        case: "echo",
        request: MESSAGE.to_vec(),
        answer: MESSAGE.to_vec(),
        requests: 1,
        bar: Some(1.1),
    };
    load::turns(&talk, "greenloom", "mio")
}

/// The server's side: `--serve PEER`.
pub(crate) fn serve(peer: &str) -> io::Result<()> {
    end_with_parent();
    match peer {
        "greenloom" => one_worker().block_on(green_serve),
        "mio" => mio_echo::serve::<mio_echo::Echo>(announce),
        _ => Err(io::Error::other(format!("no echo server `{peer}`"))),
    }
}

pub(crate) fn announce(port: u16) {
    println!("port {port}");
}

fn green_serve() -> io::Result<()> {
    let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // A peer that resets the connection ends its own task only.
        greenloom::spawn(move || green_echo(&stream));
    }
}

fn green_echo(mut stream: &net::TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            got => stream.write_all(&buffer[..got])?,
        }
    }
}
