//! hyper, server and client, over green sockets and timers:
//! `cargo run --manifest-path ecosystem/Cargo.toml --example hyper_server`.
//!
//! hyper is written for futures: each connection's future is run by `future::block_on` on a task of its own, and its
//! handler may wait as any green code does. Clients keep their connections alive and ask at the same time; then the
//! server stops with grace: what is asked for is answered, idle connections end. `--listen` serves until Ctrl-C. It
//! ends with status 1 if an answer is wrong.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ecosystem::{Args, Fault, check, main as start, say};
use futures_io::{AsyncRead, AsyncWrite};
use greenloom::channel::{self, watch};
use greenloom::future::{block_on, spawn_future};
use greenloom::net::{Connection, Server, TcpStream};
use greenloom::{JoinHandle, signal};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};

const REQUESTS: usize = 5;
/// Of a request for `/slow`.
const SLOW: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let about = "An HTTP server and its clients, both by hyper.";
    start("hyper_server", about, &["--listen"], |args| {
        match &args.listen {
            Some(address) => listen(address),
            None => both(&args),
        }
    })
}

/// A stream of futures-io as one of hyper's.
struct Io<S>(S);

impl<S: AsyncRead + Unpin> Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // By way of a buffer of our own: filling hyper's in place would take unsafe code.
        let mut piece = [0; 8 << 10];
        let room = piece.len().min(into.remaining());
        let got = ready!(Pin::new(&mut self.0).poll_read(context, &mut piece[..room]))?;
        into.put_slice(&piece[..got]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}

/// hyper's timers are tasks that sleep.
struct GreenTimer;

impl Timer for GreenTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Nap(greenloom::spawn(move || greenloom::sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }
}

struct Nap(JoinHandle<()>);

impl Sleep for Nap {}

impl Future for Nap {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}

impl Drop for Nap {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Serves one connection, until it ends or `stop` says so.
fn serve(peer: &Connection, stop: &watch::Receiver<bool>) -> hyper::Result<()> {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(GreenTimer)
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(Io(peer.stream()), service_fn(answer));
    let mut connection = pin!(connection);
    let mut stopping = pin!(stop.changed_async());
    let mut is_told = *stop.borrow();
    if is_told {
        connection.as_mut().graceful_shutdown();
    }
    block_on(poll_fn(|context| {
        if !is_told && stopping.as_mut().poll(context).is_ready() {
            is_told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    }))
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Bytes::from("hello"),
        (&Method::GET, "/slow") => {
            // A green wait in the midst of a future: its task waits, and nobody else.
            greenloom::sleep(SLOW);
            Bytes::from("at last")
        }
        (&Method::POST, "/echo") => match request.into_body().collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Ok(status(StatusCode::BAD_REQUEST, error.to_string().into())),
        },
        _ => return Ok(status(StatusCode::NOT_FOUND, "no such page".into())),
    };
    Ok(status(StatusCode::OK, text))
}

fn status(status: StatusCode, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    response
}

fn listen(address: &str) -> Result<(), Fault> {
    let server = Server::bind(address)?;
    say(format_args!("listens at http://{}/", server.local_addr()?));
    let (tell, stop) = channel::watch(false);
    let stopper = server.stopper();
    let _watching = greenloom::spawn(move || {
        let _ = signal::ctrl_c();
        let _ = tell.send(true);
        stopper.stop();
    });
    let report = server.serve(move |peer| serve(peer, &stop.clone()))?;
    say(format_args!("served {} connections", report.served));
    Ok(())
}

fn both(args: &Args) -> Result<(), Fault> {
    let server = Server::bind("127.0.0.1:0")?;
    let (address, stopper) = (server.local_addr()?, server.stopper());
    let (tell, stop) = channel::watch(false);
    let serving = greenloom::spawn(move || server.serve(move |peer| serve(peer, &stop.clone())));

    let clients: Vec<_> = (0..args.clients)
        .map(|number| greenloom::spawn(move || client(address, number)))
        .collect();
    for client in clients {
        client.join()??;
    }
    say(format_args!(
        "{} clients: {REQUESTS} requests each on a connection, none lost",
        args.clients
    ));

    // One connection that is idle, one in the middle of a slow answer.
    let (mut idle, _) = block_on(connect(address))?;
    block_on(get(&mut idle, "/"))?;
    let (mut busy, _) = block_on(connect(address))?;
    let asking = greenloom::spawn(move || block_on(get(&mut busy, "/slow")));
    greenloom::sleep(SLOW / 4);
    tell.send(true)?;
    stopper.stop();
    let report = serving.join()??;
    let last = asking.join()??;
    check(last == "at last", format!("the last answer was {last:?}"))?;
    check(
        report.served == report.accepted && report.cancelled == 0,
        format!("{report:?}"),
    )?;
    say("the server stopped with grace");
    Ok(())
}

type Sender = SendRequest<Full<Bytes>>;

/// A connection, and the task that drives it.
async fn connect(address: SocketAddr) -> Result<(Sender, Driver), Fault> {
    let stream = TcpStream::connect(address)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(Io(stream)).await?;
    Ok((sender, spawn_future(connection)))
}

type Driver = JoinHandle<hyper::Result<()>>;

async fn get(sender: &mut Sender, path: &str) -> Result<String, Fault> {
    ask(sender, Method::GET, path, Bytes::new()).await
}

async fn ask(
    sender: &mut Sender,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<String, Fault> {
    sender.ready().await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(body))?;
    let response = sender.send_request(request).await?;
    let is_right = response.status().is_success();
    let body = response.into_body().collect().await?.to_bytes();
    let text = String::from_utf8(body.to_vec())?;
    check(is_right, format!("{path}: {text}"))?;
    Ok(text)
}

fn client(address: SocketAddr, number: usize) -> Result<(), Fault> {
    let driver = block_on(async {
        let (mut sender, driver) = connect(address).await?;
        for round in 0..REQUESTS {
            let (text, wanted) = match round {
                0 => (get(&mut sender, "/slow").await?, "at last".to_owned()),
                1 => {
                    let big = number.to_string().repeat(200_000);
                    let body = Bytes::from(big.clone());
                    (ask(&mut sender, Method::POST, "/echo", body).await?, big)
                }
                _ => (get(&mut sender, "/").await?, "hello".to_owned()),
            };
            check(text == wanted, format!("a wrong answer in round {round}"))?;
        }
        check(
            get(&mut sender, "/missing").await.is_err(),
            "a page too many",
        )?;
        Ok::<_, Fault>(driver)
    })?;
    // The sender is gone, so the connection ends.
    driver.join()??;
    Ok(())
}
