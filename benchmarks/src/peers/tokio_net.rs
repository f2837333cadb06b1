//! Servers on tokio: a task for each connection.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::{http, tokio as tasks};
use crate::child::measure::{Cannot, Task};

pub(super) fn serve(runtime: &Runtime, task: &Task) -> Result<(), Cannot> {
    let speaks_http = http::is_spoken_in(task.what);
    tasks::root(runtime, async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        http::announce(listener.local_addr().expect("its address"));
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            if speaks_http {
                tokio::spawn(answer(stream));
            } else {
                tokio::spawn(echo(stream));
            }
        }
    });
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
