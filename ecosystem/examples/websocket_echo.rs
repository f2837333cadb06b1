//! WebSockets by tungstenite over green sockets:
//! `cargo run --manifest-path ecosystem/Cargo.toml --example websocket_echo`.
//!
//! A server that echoes, a task for each connection, and clients that send text, bytes, a ping and a message of a
//! megabyte, and close in due form. `--listen` and `--connect` are one side each. It ends with status 1 if an echo is
//! wrong or a connection does not end cleanly.

use std::net::SocketAddr;
use std::process::ExitCode;

use ecosystem::{Args, Fault, check, main as start, say};
use greenloom::net::{Connection, Server, TcpStream, ToSocketAddrs};
use greenloom::signal;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

const BIG: usize = 1 << 20;

fn main() -> ExitCode {
    let about = "A WebSocket echo server and its clients.";
    start("websocket_echo", about, &["--listen", "--connect"], run)
}

fn run(args: Args) -> Result<(), Fault> {
    match (&args.listen, &args.connect) {
        (Some(address), _) => listen(address),
        (None, Some(address)) => clients(address.as_str(), args.clients),
        (None, None) => both(args.clients),
    }
}

fn listen(address: &str) -> Result<(), Fault> {
    let server = Server::bind(address)?;
    say(format_args!("listens at ws://{}/", server.local_addr()?));
    let stopper = server.stopper();
    let _watching = greenloom::spawn(move || {
        let _ = signal::ctrl_c();
        stopper.stop();
    });
    let report = server.serve(echo)?;
    say(format_args!("served {} connections", report.served));
    Ok(())
}

fn both(count: usize) -> Result<(), Fault> {
    let server = Server::bind("127.0.0.1:0")?;
    let (address, stopper) = (server.local_addr()?, server.stopper());
    let serving = greenloom::spawn(move || server.serve(echo));
    clients(address, count)?;
    stopper.stop();
    let report = serving.join()??;
    check(report.served == count as u64, format!("{report:?}"))
}

/// Answers every message with itself. Pings are tungstenite's own affair.
fn echo(peer: &Connection) -> Result<(), Fault> {
    // A reference to our stream reads and writes, which is all that tungstenite asks for.
    let accepted = tungstenite::accept(peer.stream());
    let mut socket = accepted.map_err(|error| error.to_string())?;
    loop {
        match socket.read() {
            Ok(message) if message.is_text() || message.is_binary() => socket.send(message)?,
            // Pings and pongs; and the other side's close, whose answer the next read sends.
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn clients(address: impl ToSocketAddrs, count: usize) -> Result<(), Fault> {
    let address = address.to_socket_addrs()?.next().ok_or("no address")?;
    let clients: Vec<_> = (0..count)
        .map(|number| greenloom::spawn(move || client(address, number)))
        .collect();
    for client in clients {
        client.join()??;
    }
    say(format_args!(
        "{count} clients: text, bytes, ping and {BIG} bytes, closed in due form"
    ));
    Ok(())
}

fn client(address: SocketAddr, number: usize) -> Result<(), Fault> {
    let stream = TcpStream::connect(address)?;
    let shaken = tungstenite::client(format!("ws://{address}/"), stream);
    let (mut socket, _) = shaken.map_err(|error| error.to_string())?;
    exchange(&mut socket, Message::text(format!("client {number}, grün")))?;
    exchange(&mut socket, Message::binary(vec![number as u8; 300]))?;
    let ping = Message::Ping("are you there".into());
    socket.send(ping)?;
    let answer = socket.read()?;
    let pong = Message::Pong("are you there".into());
    check(answer == pong, format!("no pong: {answer:?}"))?;
    exchange(&mut socket, Message::binary(vec![number as u8; BIG]))?;
    socket.close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "done".into(),
    }))?;
    let answer = socket.read()?;
    check(answer.is_close(), format!("no close: {answer:?}"))?;
    match socket.read() {
        Err(Error::ConnectionClosed) => Ok(()),
        other => Err(format!("no clean end: {other:?}").into()),
    }
}

fn exchange(socket: &mut WebSocket<TcpStream>, message: Message) -> Result<(), Fault> {
    socket.send(message.clone())?;
    let echo = socket.read()?;
    check(
        echo == message,
        "the echo is something else than the message",
    )
}
