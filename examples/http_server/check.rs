//! The own client of `--check`: what a server must answer, also to clients that mean it ill.

use std::error::Error;
use std::io::{self, Read, Write, stdout};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use greenloom::net::{Shutdown, TcpStream};
use greenloom::{sleep, spawn};

use crate::args::Args;
use crate::client::Client;
use crate::files::affordable;
use crate::server;

/// Only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
const SLOW_CLIENTS: usize = 200;

type Checked = Result<(), Box<dyn Error>>;

/// Runs a server and all checks, and stops it under load.
pub(crate) fn all(args: &Args) -> Checked {
    let server = server(args)?;
    let (address, stopper, limits) = (server.local_addr()?, server.stopper(), args.limits);
    let serving = spawn(move || server.serve(move |client| Client::new(client, limits).serve()));
    let checks: [(&str, &dyn Fn() -> Checked); 8] = [
        ("keep-alive and bodies", &|| bodies(address)),
        ("pipelining", &|| pipelining(address)),
        ("chunks", &|| chunks(address)),
        ("refusals", &|| refusals(address)),
        ("smuggling", &|| smuggling(address)),
        ("odd but right", &|| odd(address)),
        ("slow clients", &|| slow_clients(address, limits.head)),
        ("a client that never reads", &|| never_reads(address)),
    ];
    for (name, check) in checks {
        check().map_err(|error| format!("{name}: {error}"))?;
        writeln!(stdout(), "{name}: right")?;
    }

    // The stop: what is under way is answered, and who waits between two requests is let go.
    let (mut busy, mut idle) = (connect(address)?, connect(address)?);
    expect(&mut idle, &get("/"), 200, "Hello, World!")?;
    busy.write_all(get("/slow").as_bytes())?;
    sleep(limits.slow / 4);
    stopper.stop();
    let (status, body) = answer(&mut busy)?;
    same(&(status, &*body), &(200, "at last\n"))?;
    same(&idle.read(&mut [0])?, &0)?;
    let report = serving.join().map_err(|fault| fault.to_string())??;
    same(&report.accepted, &(report.served + report.failed))?;
    writeln!(stdout(), "a stop under load: right")?;
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")
}

fn same<T: PartialEq + std::fmt::Debug>(is: &T, should: &T) -> Checked {
    match is == should {
        true => Ok(()),
        false => Err(format!("{is:?} instead of {should:?}").into()),
    }
}

fn expect(stream: &mut TcpStream, request: &str, status: u16, body: &str) -> Checked {
    stream.write_all(request.as_bytes())?;
    let answer = answer(stream)?;
    same(&(answer.0, &*answer.1), &(status, body))
}

/// Reads one answer, byte by byte where it must not read too far.
fn answer(stream: &mut TcpStream) -> Result<(u16, String), Box<dyn Error>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head)?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    if head.contains("Transfer-Encoding: chunked") {
        return Ok((status, chunked(stream)?));
    }
    let length = head.split("Content-Length: ").nth(1).ok_or("no length")?;
    let length = length.split("\r\n").next().ok_or("no length")?.parse()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, String::from_utf8(body)?))
}

fn chunked(stream: &mut TcpStream) -> Result<String, Box<dyn Error>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.extend_from_slice(&byte);
        }
        let size = usize::from_str_radix(str::from_utf8(&line)?.trim(), 16)?;
        let from = body.len();
        body.resize(from + size + 2, 0);
        stream.read_exact(&mut body[from..])?;
        body.truncate(from + size);
        if size == 0 {
            return Ok(String::from_utf8(body)?);
        }
    }
}

fn bodies(address: SocketAddr) -> Checked {
    let mut stream = connect(address)?;
    for length in [0, 1, 5000, 1 << 20] {
        let body = "b".repeat(length);
        let post = format!("POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n");
        expect(&mut stream, &(post + &body), 200, &body)?;
        expect(&mut stream, &get("/"), 200, "Hello, World!")?;
    }
    // An old client: one answer, and the end.
    expect(&mut stream, "GET / HTTP/1.0\r\n\r\n", 200, "Hello, World!")?;
    same(&stream.read(&mut [0])?, &0)
}

fn pipelining(address: SocketAddr) -> Checked {
    let mut stream = connect(address)?;
    let requests: String = (0..100).map(|n| get(&format!("/count/{n}"))).collect();
    // In pieces that end anywhere.
    for piece in requests.as_bytes().chunks(777) {
        stream.write_all(piece)?;
    }
    for n in 0..100 {
        let (status, body) = answer(&mut stream)?;
        same(&(status, body.lines().count()), &(200, n))?;
    }
    Ok(())
}

fn chunks(address: SocketAddr) -> Checked {
    let mut stream = connect(address)?;
    let head = "POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n";
    expect(&mut stream, &format!("{head}{body}"), 200, "abcdefg")?;
    for byte in head.bytes().chain(body.bytes()) {
        stream.write_all(&[byte])?;
    }
    let (status, body) = answer(&mut stream)?;
    same(&(status, &*body), &(200, "abcdefg"))?;
    stream.write_all(get("/count/10000").as_bytes())?;
    same(&answer(&mut stream)?.1.lines().count(), &10_000)
}

fn refusals(address: SocketAddr) -> Checked {
    let large = "x".repeat(20_000);
    let cases = [
        (404, get("/nowhere")),
        (405, get("/echo")),
        (400, "nonsense\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\n\r\n".into()),
        (
            400,
            post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", ""),
        ),
        (
            400,
            post("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"),
        ),
        (400, post("Content-Length: +1\r\n", "x")),
        (400, post("Transfer-Encoding: chunked\r\n", "zz\r\n")),
        (400, post("Transfer-Encoding: chunked\r\n", "1\r\nxyz")),
        (501, post("Transfer-Encoding: gzip\r\n", "")),
        (413, post("Content-Length: 99999999\r\n", "")),
        (413, post("Transfer-Encoding: chunked\r\n", "fffffff\r\n")),
        (
            413,
            post("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\n"),
        ),
        (431, post(&format!("Large: {large}\r\n"), "")),
        (431, post(&"A: b\r\n".repeat(100), "")),
    ];
    for (status, request) in cases {
        let mut stream = connect(address)?;
        stream.write_all(request.as_bytes())?;
        let shown = &request[..request.len().min(60)];
        let got = answer(&mut stream).map_err(|error| format!("{shown:?}: {error}"))?;
        same(&(shown, got.0), &(shown, status))?;
    }
    Ok(())
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: here\r\n{fields}\r\n{body}")
}

/// Requests of which two servers may see two different things, each with another one behind it that only one of them
/// would see. There is one answer, a refusal, and the end.
fn smuggling(address: SocketAddr) -> Checked {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let wide = "x".repeat(300);
    let cases = [
        (
            400,
            post(&format!("Content-Length: 4\r\n{chunked}"), "0\r\n\r\n"),
        ),
        (
            400,
            post(&format!("{chunked}Content-Length: 4\r\n"), "0\r\n\r\n"),
        ),
        (400, post("Content-Length: 0\r\nContent-Length: 0\r\n", "")),
        (400, post("Content-Length: 0, 0\r\n", "")),
        (400, post("Content-Length: -1\r\n", "")),
        (400, post("Content-Length: 0x0\r\n", "")),
        (400, post("Content-Length: \r\n", "")),
        (400, post("Content-Length: 99999999999999999999999\r\n", "")),
        (400, post("Content-Length:\u{a0}0\r\n", "")),
        (400, post("Content-Length : 0\r\n", "")),
        (501, post(&format!("{chunked}{chunked}"), "0\r\n\r\n")),
        (
            501,
            post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ),
        (501, post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        (
            501,
            post("Transfer-Encoding:\u{a0}chunked\r\n", "0\r\n\r\n"),
        ),
        (501, post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
        (400, post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
        (400, post("Transfer-Encoding:\u{b}chunked\r\n", "0\r\n\r\n")),
        (400, post("A: b\r\n Transfer-Encoding: chunked\r\n", "")),
        (400, post("A: b\nContent-Length: 0\r\n", "")),
        (400, post("A: b\rContent-Length: 0\r\n", "")),
        (400, "POST /echo HTTP/1.1\nHost: here\n\n".into()),
        (
            400,
            format!("POST /echo HTTP/1.0\r\n{chunked}\r\n0\r\n\r\n"),
        ),
        (400, post(chunked, "-1\r\n\r\n")),
        (400, post(chunked, "+0\r\n\r\n")),
        (400, post(chunked, "0x0\r\n\r\n")),
        (400, post(chunked, "00000000000000000\r\n\r\n")),
        (400, post(chunked, "10000000000000000\r\n\r\n")),
        (400, post(chunked, "1\nx\n0\n\n")),
        (400, post(chunked, "1\r\nx0\r\n\r\n")),
        (400, post(chunked, "0;a=\n\r\n\r\n")),
        (400, post(chunked, &format!("1;{wide}\r\nx\r\n0\r\n\r\n"))),
        (400, post(chunked, "0\r\nA: b\n\r\n")),
        (
            400,
            "GET / HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\n".into(),
        ),
        (400, "GET  / HTTP/1.1\r\nHost: here\r\n\r\n".into()),
        (505, "GET / x HTTP/1.1\r\nHost: here\r\n\r\n".into()),
        (505, "GET / HTTP/2.0\r\nHost: here\r\n\r\n".into()),
    ];
    for (status, request) in cases {
        let mut stream = connect(address)?;
        stream.write_all(request.as_bytes())?;
        // The server may have hung up on this one already.
        let _ = stream.write_all(get("/smuggled").as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let answers: Vec<_> = text.matches("HTTP/1.1 ").collect();
        let got = text.split(' ').nth(1).unwrap_or("none");
        same(
            &(&*request, answers.len(), got),
            &(&*request, 1, &*status.to_string()),
        )?;
    }
    Ok(())
}

/// What looks wrong, and is allowed.
fn odd(address: SocketAddr) -> Checked {
    let greeting = "Hello, World!";
    let cases = [
        (post("content-length:\t3 \r\n", "abc"), "abc"),
        (
            post(
                "TRANSFER-ENCODING: Chunked\r\n",
                "3;a=\"b\"\r\nabc\r\n000\r\n\r\n",
            ),
            "abc",
        ),
        (
            post(
                "A: b\r\nCookie: caf\u{e9}\r\nEmpty:\r\nContent-Length: 0\r\n",
                "",
            ),
            "",
        ),
        (
            "GET http://here/ HTTP/1.1\r\nHost: here\r\n\r\n".into(),
            greeting,
        ),
        (
            "GET http://here HTTP/1.1\r\nHost: here\r\n\r\n".into(),
            greeting,
        ),
        ("\r\n".to_owned() + &get("/?a=b"), greeting),
    ];
    let mut stream = connect(address)?;
    for (request, body) in cases {
        expect(&mut stream, &request, 200, body)
            .map_err(|error| format!("{request:?}: {error}"))?;
    }
    // Not text at all, in a field that nobody looks at.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\nCookie: \xff\xfe\r\n\r\n")?;
    same(&answer(&mut stream)?.1.as_str(), &greeting)?;
    // The body waits until it is asked for.
    stream.write_all(post("Expect: 100-continue\r\nContent-Length: 2\r\n", "").as_bytes())?;
    let mut word = [0; 25];
    stream.read_exact(&mut word)?;
    same(&&word, &b"HTTP/1.1 100 Continue\r\n\r\n")?;
    expect(&mut stream, "ok", 200, "ok")
}

/// Heads that come a byte at a time, for ever: each is refused in time, and the others do not notice.
fn slow_clients(address: SocketAddr, limit: Duration) -> Checked {
    // Both ends are ours, and a few more are still about to go.
    let count = affordable("http_server", SLOW_CLIENTS, 3);
    let begun = Instant::now();
    let slow: Vec<_> = (0..count)
        .map(|_| {
            spawn(move || {
                let mut stream = connect(address)?;
                stream.write_all(b"GET / HTTP/1.1\r\nHost: h")?;
                // Until it is told to go.
                while stream.write_all(b"h").is_ok() {
                    stream.set_read_timeout(Some(limit / 20))?;
                    match stream.peek(&mut [0]) {
                        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                        _ => break,
                    }
                }
                let _ = stream.shutdown(Shutdown::Write);
                stream.set_read_timeout(Some(PATIENCE))?;
                let mut text = String::new();
                stream.read_to_string(&mut text).map(|_| text)
            })
        })
        .collect();
    let mut stream = connect(address)?;
    let mut answers = 0;
    while begun.elapsed() < limit {
        expect(&mut stream, &get("/"), 200, "Hello, World!")?;
        answers += 1;
        sleep(limit / 100);
    }
    if answers < 5 {
        return Err(format!("{answers} answers beside the slow clients").into());
    }
    for client in slow {
        let text = client.join().map_err(|fault| fault.to_string())??;
        same(&text.starts_with("HTTP/1.1 408 "), &true)?;
    }
    // The same with a body, and with an answer that is taken a byte at a time.
    let sender = spawn(move || {
        let mut stream = connect(address)?;
        stream.write_all(post("Content-Length: 1000000\r\n", "").as_bytes())?;
        while stream.write_all(b"b").is_ok() {
            stream.set_read_timeout(Some(limit / 20))?;
            match stream.peek(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                _ => break,
            }
        }
        let mut text = [0; 13];
        stream.read_exact(&mut text).map(|()| text)
    });
    let reader = spawn(move || {
        let mut stream = connect(address)?;
        stream.write_all(get("/count/1000000000").as_bytes())?;
        let begun = Instant::now();
        // Until the server has had enough; what it had sent by then is still there.
        while stream.read(&mut [0])? > 0 && begun.elapsed() < PATIENCE {
            sleep(limit / 10);
            if stream.write(b"x").is_err() {
                return Ok(());
            }
        }
        Err(io::Error::other("an answer may take for ever"))
    });
    same(
        &sender.join().map_err(|fault| fault.to_string())??,
        b"HTTP/1.1 408 ",
    )?;
    Ok(reader.join().map_err(|fault| fault.to_string())??)
}

/// It asks for more than fits anywhere, and reads none of it: that costs the server a full buffer, for a time.
fn never_reads(address: SocketAddr) -> Checked {
    let mut stream = connect(address)?;
    stream.write_all(get("/count/1000000000").as_bytes())?;
    let mut other = connect(address)?;
    expect(&mut other, &get("/"), 200, "Hello, World!")?;
    drop(stream);
    expect(&mut other, &get("/"), 200, "Hello, World!")
}
