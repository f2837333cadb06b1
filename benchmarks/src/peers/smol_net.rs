//! Servers on smol: a task for each connection.

use std::io;
use std::net::Ipv4Addr;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::{TcpListener, TcpStream};

use super::http;
use super::smol::EXECUTOR;
use crate::cases::What;
use crate::child::measure::Cannot;

pub(super) async fn serve(what: What) -> Result<(), Cannot> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    http::announce(listener.local_addr().expect("its address"));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        if http::is_spoken_in(what) {
            EXECUTOR.spawn(answer(stream)).detach();
        } else {
            EXECUTOR.spawn(echo(stream)).detach();
        }
    }
    Ok(())
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut requests = http::Requests::default();
    loop {
        match stream.read(requests.room()).await? {
            0 => return Ok(()),
            n => requests.came(n),
        }
        stream.write_all(requests.answers()?).await?;
    }
}
