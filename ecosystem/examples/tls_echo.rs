//! TLS by rustls over green sockets: `cargo run --manifest-path ecosystem/Cargo.toml --example tls_echo`.
//!
//! A server with a certificate that it has just made, and clients that trust it, each a task. Every client sends, reads
//! its echo, ends its sending side and then still reads the server's last word: a half-closed connection. One more
//! breaks off without a word, which the server tells from a clean end. It ends with status 1 if any of that is wrong.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use ecosystem::{Args, Fault, check, main as start, say};
use greenloom::net::{Connection, Server, TcpStream};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

const PIECE: usize = 16 << 10;
const PIECES: usize = 8;

fn main() -> ExitCode {
    start("tls_echo", "A TLS echo server and its clients.", &[], run)
}

fn run(args: Args) -> Result<(), Fault> {
    let (for_server, for_clients) = configurations()?;
    let server = Server::bind("127.0.0.1:0")?;
    let (address, stopper) = (server.local_addr()?, server.stopper());
    let serving = greenloom::spawn(move || server.serve(move |peer| echo(peer, &for_server)));

    let clients: Vec<_> = (0..args.clients)
        .map(|number| {
            let config = for_clients.clone();
            greenloom::spawn(move || client(address, config, number as u8))
        })
        .collect();
    for client in clients {
        client.join()??;
    }
    break_off(address, for_clients)?;

    // The rude one's handler is done when the server has drained.
    stopper.stop();
    let report = serving.join()??;
    let count = args.clients as u64;
    check(report.served == count, format!("{report:?}"))?;
    check(report.failed == 1, format!("{report:?}"))?;
    say(format_args!(
        "{count} clients: {} bytes each there and back, and the last word after a half close",
        PIECE * PIECES
    ));
    say("1 client broke off, and the server knew");
    Ok(())
}

/// A certificate for `localhost`, signed by itself, for one side to show and the other to trust.
fn configurations() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), Fault> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), Arc::new(client)))
}

/// Sends everything back; after the client's last word, how much that was.
fn echo(peer: &Connection, config: &Arc<ServerConfig>) -> Result<(), Fault> {
    let tls = ServerConnection::new(config.clone())?;
    // rustls wants a reader and a writer: a reference to our stream is both.
    let mut stream = rustls::StreamOwned::new(tls, peer.stream());
    let (mut buffer, mut count) = (vec![0; PIECE], 0);
    loop {
        match stream.read(&mut buffer)? {
            // The client's close_notify. A connection that just ends is an error, of the kind UnexpectedEof.
            0 => break,
            got => {
                stream.write_all(&buffer[..got])?;
                count += got;
            }
        }
    }
    write!(stream, "{count} bytes")?;
    close(&mut stream.conn, &mut stream.sock)?;
    Ok(())
}

/// Tells the other side that nothing more will come.
fn close<D>(tls: &mut rustls::ConnectionCommon<D>, mut socket: &mut &TcpStream) -> io::Result<()> {
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut socket)?;
    }
    Ok(())
}

fn connect(config: Arc<ClientConfig>) -> Result<ClientConnection, Fault> {
    let name = ServerName::try_from("localhost")?;
    Ok(ClientConnection::new(config, name)?)
}

fn client(address: SocketAddr, config: Arc<ClientConfig>, number: u8) -> Result<(), Fault> {
    let socket = TcpStream::connect(address)?;
    let mut stream = rustls::StreamOwned::new(connect(config)?, &socket);
    let (sent, mut got) = ([number; PIECE], [0; PIECE]);
    for _ in 0..PIECES {
        stream.write_all(&sent)?;
        stream.read_exact(&mut got)?;
        check(got == sent, "the echo is something else")?;
    }
    close(&mut stream.conn, &mut stream.sock)?;
    let mut last = String::new();
    stream.read_to_string(&mut last)?;
    let wanted = format!("{} bytes", PIECE * PIECES);
    check(last == wanted, format!("the last word was {last:?}"))
}

/// Ends the connection below TLS, where anybody could have cut it.
fn break_off(address: SocketAddr, config: Arc<ClientConfig>) -> Result<(), Fault> {
    let socket = TcpStream::connect(address)?;
    let mut stream = rustls::StreamOwned::new(connect(config)?, &socket);
    stream.write_all(b"unfinished")?;
    stream.read_exact(&mut [0; 10])?;
    socket.shutdown(std::net::Shutdown::Write)?;
    match stream.read_to_end(&mut Vec::new()) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        other => Err(format!("the server ended the session with {other:?}").into()),
    }
}
