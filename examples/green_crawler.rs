//! Crawls a web site over real TCP with a hundred green threads: `cargo run --release --example green_crawler`.
//!
//! It starts its own small site on the loopback interface, a thousand linked pages of which some are slow,
//! some are missing and some are broken, and follows the links from the first page on. With `--url` it
//! crawls a server that is running already, such as `python3 -m http.server`.
//!
//! The code is what one would write with threads: a task for each page, a semaphore that bounds how many
//! fetch at the same time, a scope that waits for all of them. [`http`] is the client, [`site`] the server.

#[path = "green_crawler/args.rs"]
mod args;
#[path = "words/files.rs"]
mod files;
#[path = "green_crawler/http.rs"]
mod http;
#[path = "green_crawler/site.rs"]
mod site;
#[path = "green_crawler/url.rs"]
mod url;

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use greenloom::sync::Semaphore;
use greenloom::task::Scope;
use indicatif::{ProgressBar, ProgressStyle};

use args::Args;
use http::{Client, Fault, Response};
use site::{Kind, Site};
use url::{Url, links};

/// How often a fetch is tried, and how long to wait before the second time; twice as long before each
/// further one.
const ATTEMPTS: u32 = 3;
const BACK_OFF: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    env_logger::init();
    let mut args = match args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(end) => return end.report(),
    };
    args.heed_limits();
    match greenloom::run(|| crawl_all(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("green_crawler: {error}");
            ExitCode::FAILURE
        }
    }
}

fn crawl_all(args: &Args) -> Result<(), Box<dyn Error>> {
    let start = match &args.url {
        Some(url) => url.clone(),
        None => Url::parse(&format!("http://{}/", Site::start(args.pages)?))?,
    };
    let crawl = Crawl::new(args, &start);
    let begun = Instant::now();
    // The scope ends when the last page has been visited.
    greenloom::scope(|scope| crawl.discover(scope, start.clone()));
    let took = begun.elapsed();
    crawl.progress.finish_and_clear();

    let report = crawl.into_report();
    if let Some(failure) = report.first_failure {
        return Err(format!("the start page {start}: {failure}").into());
    }
    report.print(&start, took)?;
    if args.url.is_none() {
        report.check(args)?;
    }
    Ok(())
}

/// One crawl under way. Its locks are std's: nothing waits while one is held.
struct Crawl {
    client: Client,
    /// How many may fetch at the same time.
    permits: Semaphore,
    timeout: Duration,
    /// How many pages to visit at most.
    limit: usize,
    seen: Mutex<HashSet<Url>>,
    fetching: AtomicUsize,
    report: Mutex<Report>,
    progress: ProgressBar,
}

/// What came of it.
#[derive(Default)]
struct Report {
    pages: usize,
    bytes: usize,
    retries: usize,
    peak: usize,
    /// How many pages failed, by what was wrong.
    errors: BTreeMap<String, usize>,
    /// Set when the start page could not be fetched.
    first_failure: Option<Failure>,
}

/// Why a page could not be had.
#[derive(Debug)]
enum Failure {
    Status(u16),
    TimedOut(Duration),
    Http(Fault),
}

impl Crawl {
    fn new(args: &Args, start: &Url) -> Crawl {
        Crawl {
            client: Client::new(&start.host),
            permits: Semaphore::new(args.concurrency()),
            timeout: args.timeout(),
            limit: args.pages,
            seen: Mutex::default(),
            fetching: AtomicUsize::new(0),
            report: Mutex::default(),
            progress: progress_bar(),
        }
    }

    /// Spawns a task for a page that was not seen before.
    fn discover<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, url: Url) {
        let is_new = {
            let mut seen = lock(&self.seen);
            seen.len() < self.limit && seen.insert(url.clone())
        };
        if is_new {
            self.progress.inc_length(1);
            scope.spawn(move || self.visit(scope, url));
        }
    }

    /// The body of a page's task.
    fn visit<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, url: Url) {
        let fetched = {
            let _permit = self.permits.acquire();
            let now = self.fetching.fetch_add(1, Relaxed) + 1;
            lock(&self.report).note_peak(now);
            let fetched = self.fetch_stubbornly(&url);
            self.fetching.fetch_sub(1, Relaxed);
            fetched
        };
        self.progress.inc(1);
        match fetched {
            Ok(response) => {
                lock(&self.report).note_page(response.body.len());
                let location = response.location.as_deref();
                let text = String::from_utf8_lossy(&response.body);
                for link in location.into_iter().chain(links(&text)) {
                    if let Some(next) = url.follow(link) {
                        self.discover(scope, next);
                    }
                }
            }
            Err(failure) => {
                log::info!("{url}: {failure}");
                lock(&self.report).note_failure(failure);
            }
        }
    }

    /// Tries again what may come right by itself.
    fn fetch_stubbornly(&self, url: &Url) -> Result<Response, Failure> {
        let mut pause = BACK_OFF;
        for _ in 1..ATTEMPTS {
            match self.fetch(url) {
                Err(failure) if failure.may_pass() => log::debug!("{url}: {failure}; again"),
                result => return result,
            }
            lock(&self.report).retries += 1;
            greenloom::sleep(pause);
            pause *= 2;
        }
        self.fetch(url)
    }

    fn fetch(&self, url: &Url) -> Result<Response, Failure> {
        // Whatever the client is waiting for when the time is over, it is unwound from there, and its
        // connection is closed on the way.
        let fetched = greenloom::timeout(self.timeout, || self.client.get(url));
        let response = fetched.map_err(|_| Failure::TimedOut(self.timeout))?;
        match response.map_err(Failure::Http)? {
            response if response.status < 400 => Ok(response),
            response => Err(Failure::Status(response.status)),
        }
    }

    fn into_report(self) -> Report {
        self.report
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn note_peak(&mut self, now: usize) {
        self.peak = self.peak.max(now);
    }

    fn note_page(&mut self, bytes: usize) {
        self.pages += 1;
        self.bytes += bytes;
    }

    fn note_failure(&mut self, failure: Failure) {
        *self.errors.entry(failure.kind()).or_default() += 1;
        if self.pages == 0 {
            // Nothing is visited before the start page.
            self.first_failure = Some(failure);
        }
    }

    fn failures(&self) -> usize {
        self.errors.values().sum()
    }

    fn print(&self, start: &Url, took: Duration) -> io::Result<()> {
        let mut out = stdout().lock();
        let visited = self.pages + self.failures();
        let seconds = took.as_secs_f64();
        writeln!(out, "crawled {start}")?;
        writeln!(out, "  pages             {:>8}", self.pages)?;
        writeln!(out, "  bytes             {:>8}", self.bytes)?;
        writeln!(out, "  errors            {:>8}", self.failures())?;
        for (kind, count) in &self.errors {
            writeln!(out, "    {kind:<16}{count:>8}")?;
        }
        writeln!(out, "  retries           {:>8}", self.retries)?;
        writeln!(out, "  peak concurrency  {:>8}", self.peak)?;
        writeln!(out, "  seconds           {seconds:>8.2}")?;
        writeln!(out, "  pages/s           {:>8.0}", visited as f64 / seconds)
    }

    /// Holds the crawl of our own site, of which all is known, against what it should have come to.
    fn check(&self, args: &Args) -> Result<(), String> {
        if self.peak > args.concurrency() {
            return Err(format!("{} fetched at the same time", self.peak));
        }
        // The site has ten times as many pages on each level as on the one before.
        if args.pages >= 8 * args.concurrency() && self.peak < args.concurrency() {
            return Err(format!("only {} fetched at the same time", self.peak));
        }
        let all = || (0..args.pages).map(|page| Kind::of(page, args.pages));
        let good = all().filter(|kind| kind.is_good()).count();
        let stuck = all().filter(|kind| *kind == Kind::Stuck).count();
        let late = self.errors.get("timed out").copied().unwrap_or_default();
        if late > stuck {
            eprintln!("green_crawler: this machine is too busy, {late} pages were late");
        } else if self.pages != good || self.pages + self.failures() != args.pages {
            return Err(format!("{good} of {} pages should have come", args.pages));
        }
        Ok(())
    }
}

impl Failure {
    /// Whether it may go better next time. A server that was too slow is not asked again: it has enough
    /// to do.
    fn may_pass(&self) -> bool {
        match self {
            Failure::Status(status) => *status >= 500,
            Failure::TimedOut(_) => false,
            Failure::Http(fault) => !matches!(fault, Fault::TooLong),
        }
    }

    /// What it is called in the summary.
    fn kind(&self) -> String {
        match self {
            Failure::Status(404) => "not found".to_owned(),
            Failure::Status(status) => format!("status {status}"),
            Failure::TimedOut(_) => "timed out".to_owned(),
            Failure::Http(Fault::Connect(_)) => "cannot connect".to_owned(),
            Failure::Http(Fault::Broken(_)) => "broken off".to_owned(),
            Failure::Http(Fault::Garbage(_)) => "not HTTP".to_owned(),
            Failure::Http(Fault::TooLong) => "too long".to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Status(status) => write!(f, "the server answers with status {status}"),
            Failure::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            Failure::Http(fault) => fault.fmt(f),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shown on a terminal only.
fn progress_bar() -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} pages");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
