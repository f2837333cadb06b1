//! Two workers fetch five pages of a small site; the pages are parsed here, by callbacks, into `Db.txt`.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use greenloom::net::{TcpListener, TcpStream};
use greenloom::process::ProcessPool;
use greenloom::sync::Barrier;

use super::frame::{Clock, Fault, check, say};

const PAGES: usize = 5;

/// A page that came: its address, its text, and who fetched it.
type Page = (String, String, u32);

/// Runs in a worker. `None` when the server says anything but that all is well.
fn get((address, path): (String, String)) -> Option<Page> {
    let url = format!("http://{address}{path}");
    say(format_args!("GET {url} by {}", process::id()));
    let text = fetch(&address, &path).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    say(format_args!("DONE {url} by {}", process::id()));
    head.contains(" 200 ")
        .then(|| (url, body.to_owned(), process::id()))
}

fn fetch(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Runs in the parent, with what the worker returned.
fn parse(page: Option<Page>, file: &Path) -> io::Result<()> {
    let Some((url, text, _)) = page else {
        return Ok(());
    };
    say(format_args!("PARSE {url} by {}", process::id()));
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    writeln!(file, "{url}:{}", text.len())
}

/// The site: page n has n lines. The first two visitors are served when both have come, so there are two.
fn serve(listener: TcpListener) {
    let both = Arc::new(Barrier::new(2));
    for visit in 0.. {
        let Ok((mut stream, _)) = listener.accept() else {
            return;
        };
        let both = (visit < 2).then(|| both.clone());
        greenloom::spawn(move || {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                request.extend(byte);
            }
            let request = String::from_utf8_lossy(&request);
            let lines = request.get(5..6).and_then(|n| n.parse().ok()).unwrap_or(0);
            if let Some(both) = both {
                both.wait();
            }
            write!(
                stream,
                "HTTP/1.0 200 OK\r\n\r\n{}",
                "a line\n".repeat(lines)
            )
        });
    }
}

pub(crate) fn show(_: Clock) -> Result<(), Fault> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let server = greenloom::spawn(move || serve(listener));
    let place = std::env::temp_dir().join(format!("pool_tour-{}", process::id()));
    fs::create_dir_all(&place)?;
    let crawled = crawl(&address, &place.join("Db.txt"));
    fs::remove_dir_all(&place)?;
    server.cancel();
    crawled
}

fn crawl(address: &str, file: &Path) -> Result<(), Fault> {
    let pool = ProcessPool::new(2)?;
    let workers = Arc::new(Mutex::new(BTreeSet::new()));
    for n in 1..=PAGES {
        let task = pool.apply_async(get, (address.to_owned(), format!("/{n}")))?;
        let (file, workers) = (file.to_owned(), workers.clone());
        task.on_done(move |page: Option<Page>| {
            let mut workers = workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers.extend(page.as_ref().map(|page| page.2));
            if let Err(error) = parse(page, &file) {
                eprintln!("pool_tour: {}: {error}", file.display());
            }
        });
    }
    pool.close();
    pool.join()?;
    let lines = fs::read_to_string(file)?;
    say(format_args!(
        "main {}, Db.txt:\n{}",
        process::id(),
        lines.trim_end()
    ));
    let lines: BTreeSet<&str> = lines.lines().collect();
    let expected = (1..=PAGES).map(|n| format!("http://{address}/{n}:{}", n * 7));
    check(
        expected.collect::<BTreeSet<_>>().iter().eq(lines),
        "another Db.txt",
    )?;
    let workers = workers.lock().unwrap_or_else(PoisonError::into_inner);
    check(
        workers.len() == 2 && !workers.contains(&process::id()),
        "not two workers",
    )
}
