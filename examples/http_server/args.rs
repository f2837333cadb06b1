//! What the user asks for on the command line.

use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
usage: http_server [OPTIONS]

  --address HOST:PORT  where to listen (127.0.0.1:8080; port 0 lets the system choose)
  --connections N      serve so many at the same time, the others wait (10000)
  --real               time limits of seconds instead of tenths of them
  --check              be the own client, and end
  --help               show this

Set RUST_LOG=warn to see why connections fail.";

/// What the user asks for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) address: String,
    pub(crate) connections: usize,
    pub(crate) check: bool,
    pub(crate) limits: Limits,
}

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Between two requests.
    pub(crate) idle: Duration,
    /// From the first byte of a request to the end of its head, however the bytes come.
    pub(crate) head: Duration,
    /// From there to the end of its body.
    pub(crate) body: Duration,
    /// To take an answer, or so much of a large one as is sent at a time.
    pub(crate) answer: Duration,
    /// To end, once the server stops.
    pub(crate) drain: Duration,
    /// How long `/slow` takes.
    pub(crate) slow: Duration,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
}

impl Limits {
    fn new(second: Duration) -> Limits {
        Limits {
            idle: second * 60,
            head: second * 5,
            body: second * 30,
            answer: second * 30,
            drain: second * 10,
            slow: second,
            head_bytes: 16 << 10,
            body_bytes: 1 << 20,
        }
    }
}

/// Why there is nothing to do.
#[derive(Debug)]
pub(crate) enum End {
    Help,
    Wrong(String),
}

impl End {
    /// Says it, and with which status to end.
    pub(crate) fn report(self) -> ExitCode {
        use std::io::Write;
        match self {
            End::Help => {
                let _ = writeln!(std::io::stdout(), "{HELP}");
                ExitCode::SUCCESS
            }
            End::Wrong(fault) => {
                eprintln!("http_server: {fault}\n{HELP}");
                ExitCode::from(2)
            }
        }
    }
}

pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, End> {
    let (mut address, mut connections, mut check) = (None, 10_000, false);
    let mut second = Duration::from_millis(100);
    while let Some(word) = words.next() {
        let mut value = || {
            let missing = || End::Wrong(format!("{word} wants a value"));
            words.next().ok_or_else(missing)
        };
        match word.as_str() {
            "--address" => address = Some(value()?),
            "--connections" => {
                let number = value()?
                    .parse()
                    .ok()
                    .filter(|n| (1..=1_000_000).contains(n));
                let wrong = || End::Wrong("--connections wants a number from 1 to 1000000".into());
                connections = number.ok_or_else(wrong)?;
            }
            "--real" => second = Duration::from_secs(1),
            "--check" => check = true,
            "--help" | "-h" => return Err(End::Help),
            other => return Err(End::Wrong(format!("there is no option `{other}`"))),
        }
    }
    let own = if check {
        "127.0.0.1:0"
    } else {
        "127.0.0.1:8080"
    };
    Ok(Args {
        address: address.unwrap_or_else(|| own.into()),
        connections,
        check,
        limits: Limits::new(second),
    })
}
