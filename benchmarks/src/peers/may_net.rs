//! Servers on may: a coroutine for each connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;

use may::go;
use may::io::WaitIo;
use may::net::{TcpListener, TcpStream};

use super::http;
use crate::cases::What;

pub(super) fn serve(what: What) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    http::announce(listener.local_addr().expect("its address"));
    let accepting = go!(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = stream.set_nodelay(true);
            if http::is_spoken_in(what) {
                go!(move || answer(stream));
            } else {
                go!(move || echo(stream));
            }
        }
    });
    accepting.join().expect("it serves");
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

/// In the manner of may_minihttp, its fastest server: read the socket dry without waiting, answer all,
/// write, and only then wait for readiness.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut requests = http::Requests::default();
    loop {
        let mut is_dry = false;
        while !is_dry && !requests.room().is_empty() {
            match stream.inner_mut().read(requests.room()) {
                Ok(0) => return Ok(()),
                Ok(n) => requests.came(n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => is_dry = true,
                Err(e) => return Err(e),
            }
        }
        let mut unsent = requests.answers()?;
        while !unsent.is_empty() {
            match stream.inner_mut().write(unsent) {
                Ok(0) => return Ok(()),
                Ok(n) => unsent = &unsent[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    stream.wait_io();
                }
                Err(e) => return Err(e),
            }
        }
        if is_dry {
            stream.wait_io();
        }
    }
}
