//! What the user asks for on the command line.

use std::process::ExitCode;
use std::time::Duration;

use crate::files::affordable;
use crate::url::Url;

const HELP: &str = "\
usage: green_crawler [OPTIONS]

Crawls a site from its first page by following its links. Without --url it starts its own site, of which
some pages are slow, some are missing and some are broken.

  --url URL         crawl this server, which is running already: http://host:port/
  --concurrency N   pages to fetch at the same time (100; 8 with --url, as many a server wants no more)
  --pages N         pages to visit at most; of its own site, how many there are (1000)
  --timeout SECONDS how long to wait for a page (1; 10 with --url)
  --help            show this

Set RUST_LOG=info to see each failure, RUST_LOG=debug for the retries.";

/// What the user asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Args {
    /// The server to crawl, or our own.
    pub(crate) url: Option<Url>,
    concurrency: Option<usize>,
    pub(crate) pages: usize,
    timeout: Option<Duration>,
}

impl Args {
    /// How many pages to fetch at the same time.
    pub(crate) fn concurrency(&self) -> usize {
        // Small servers have room for a handful of connections that they have not accepted yet; what
        // comes on top of that waits for seconds.
        let usual = if self.url.is_some() { 8 } else { 100 };
        self.concurrency.unwrap_or(usual)
    }

    /// Fetches fewer at the same time where too few files may be open: of our own site both ends are ours, and some
    /// of its connections are stuck for a while.
    pub(crate) fn heed_limits(&mut self) {
        let each = if self.url.is_some() { 1 } else { 3 };
        let wanted = self.concurrency();
        self.concurrency = Some(affordable("green_crawler", wanted, each));
    }

    /// How long to wait for one page.
    pub(crate) fn timeout(&self) -> Duration {
        let seconds = if self.url.is_some() { 10 } else { 1 };
        self.timeout.unwrap_or(Duration::from_secs(seconds))
    }
}

/// Why there is nothing to do.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Help,
    Wrong(String),
}

impl End {
    /// Says it, and with which status to end.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            End::Help => {
                use std::io::Write;
                // As for the report: whoever has closed it wants none.
                let _ = writeln!(std::io::stdout(), "{HELP}");
                ExitCode::SUCCESS
            }
            End::Wrong(fault) => {
                eprintln!("green_crawler: {fault} (try --help)");
                ExitCode::from(2)
            }
        }
    }
}

/// Reads the command line.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, End> {
    let mut args = Args {
        url: None,
        concurrency: None,
        pages: 1000,
        timeout: None,
    };
    while let Some(word) = words.next() {
        // Both `--option value` and `--option=value`.
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (&*word, None),
        };
        if matches!(option, "--help" | "-h") {
            return Err(End::Help);
        }
        if !matches!(option, "--url" | "--concurrency" | "--pages" | "--timeout") {
            return Err(End::Wrong(format!("there is no option `{word}`")));
        }
        let value = value.or_else(|| words.next());
        let value = value.ok_or_else(|| End::Wrong(format!("{option} wants a value")))?;
        match option {
            "--url" => args.url = Some(Url::parse(&value).map_err(End::Wrong)?),
            "--concurrency" => args.concurrency = Some(number(option, &value)?),
            "--pages" => args.pages = number(option, &value)?,
            _ => args.timeout = Some(seconds(&value)?),
        }
    }
    Ok(args)
}

fn number(option: &str, value: &str) -> Result<usize, End> {
    match value.parse() {
        Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
        _ => Err(End::Wrong(format!(
            "{option} wants a number from 1 to 1000000, not `{value}`"
        ))),
    }
}

fn seconds(value: &str) -> Result<Duration, End> {
    let seconds = value.parse().ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| End::Wrong(format!("--timeout wants seconds, not `{value}`")))
}
