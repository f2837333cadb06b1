//! hyper on tokio: the HTTP server that most people would take. It sends a `Date`, the others do not.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;

use super::http;
use super::tokio::{Flavor, root, runtime};
use crate::child::measure::{Cannot, Task, cannot};

pub(super) fn run(task: &Task) -> Result<(), Cannot> {
    if !http::is_spoken_in(task.what) {
        return cannot("it speaks HTTP only");
    }
    let flavor = match task.workers {
        1 => Flavor::Current,
        _ => Flavor::Multi,
    };
    root(&runtime(flavor, task.workers), serve());
    Ok(())
}

async fn serve() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listener = listener.await.expect("a port");
    http::announce(listener.local_addr().expect("its address"));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let mut builder = http1::Builder::new();
            // One write for all pipelined answers, as the other servers do it.
            builder.pipeline_flush(true);
            builder
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await
        });
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(http::BODY)));
    let fields = response.headers_mut();
    fields.insert(SERVER, HeaderValue::from_static("benchmarks"));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
