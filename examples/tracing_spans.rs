//! Spans of `tracing` that stay with their task: `cargo run --example tracing_spans -- [--without]`.
//!
//! `tracing` keeps the spans that are entered in a stack for each OS thread. Green threads share one, so a
//! task that waits inside of a span would leave it to its neighbours. Here a layer of twenty lines writes
//! down which spans each task is in, and hooks take them off the thread when the task leaves it, and put
//! them back when it goes on. Every event then shows the spans of its own task; `--without` the hooks it
//! shows whatever lies on the stack, and the count of wrong events tells.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use greenloom::runtime::Builder;
use greenloom::{RunError, Runtime, task_local};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Subscriber, dispatcher, info, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

task_local! {
    /// The spans that the task has entered and not left, the outermost first.
    static ENTERED: RefCell<Vec<Id>> = RefCell::default();
    /// The hooks are at work: what they enter and leave is not the task's doing.
    static IS_SWITCHING: Cell<bool> = Cell::new(false);
}

/// Writes down what each task enters and leaves.
struct Follow;

impl<S: Subscriber> Layer<S> for Follow {
    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        if !IS_SWITCHING.try_with(Cell::get).unwrap_or(true) {
            let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(id.clone()));
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        if !IS_SWITCHING.try_with(Cell::get).unwrap_or(true) {
            let _ = ENTERED.try_with(|entered| {
                let mut entered = entered.borrow_mut();
                // Guards may be dropped in any order.
                if let Some(last) = entered.iter().rposition(|other| other == id) {
                    entered.remove(last);
                }
            });
        }
    }
}

/// Calls `f` for every span that the running task is in.
fn for_each_span(is_outermost_first: bool, f: fn(&Dispatch, &Id)) {
    // At the task's last leave its values are gone: then it is in no span any more.
    let Ok(spans) = ENTERED.try_with(|entered| entered.borrow().clone()) else {
        return;
    };
    let _ = IS_SWITCHING.try_with(|is| is.set(true));
    dispatcher::get_default(|dispatch| match is_outermost_first {
        true => spans.iter().for_each(|span| f(dispatch, span)),
        false => spans.iter().rev().for_each(|span| f(dispatch, span)),
    });
    let _ = IS_SWITCHING.try_with(|is| is.set(false));
}

fn with_hooks(builder: Builder) -> Builder {
    builder.on_switch(
        |_task| for_each_span(false, |dispatch, span| dispatch.exit(span)),
        |_task| for_each_span(true, |dispatch, span| dispatch.enter(span)),
    )
}

/// Prints events with the spans they are in, and counts those that are in a span of somebody else.
#[derive(Default)]
struct Print {
    lines: Mutex<String>,
    wrong: AtomicUsize,
}

/// The number of the job that a span or an event speaks of.
#[derive(Clone, Copy, Default, PartialEq)]
struct Job(Option<u64>);

impl Visit for Job {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "job" {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S> Layer<S> for &'static Print
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut job = Job::default();
        attributes.record(&mut job);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(job);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut job = Job::default();
        event.record(&mut job);
        let mut line = String::new();
        let mut is_wrong = false;
        for span in context.event_scope(event).into_iter().flatten() {
            let its = span.extensions().get::<Job>().copied().unwrap_or_default();
            is_wrong |= its != job;
            line = format!("{}({}) {line}", span.name(), its.0.unwrap_or_default());
        }
        is_wrong |= line.is_empty();
        self.wrong.fetch_add(usize::from(is_wrong), Relaxed);
        let note = if is_wrong { " (wrong)" } else { "" };
        let mut lines = self.lines.lock().expect("nobody panics with it");
        let (scope, job) = (line.trim_end(), job.0.unwrap_or_default());
        let _ = writeln!(lines, "{scope}: job {job}{note}");
    }
}

/// A job that waits inside of two spans, one in the other.
fn job(number: u64) {
    let _job = info_span!("job", job = number).entered();
    info!(job = number);
    greenloom::yield_now();
    for _ in 0..2 {
        let _step = info_span!("step", job = number).entered();
        greenloom::yield_now();
        info!(job = number);
    }
    greenloom::yield_now();
    info!(job = number);
}

fn main() -> ExitCode {
    const USAGE: &str = "usage: tracing_spans [--without]";
    let mut has_hooks = true;
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--without" => has_hooks = false,
            "--help" | "-h" => {
                let written = writeln!(io::stdout(), "{USAGE}");
                return ExitCode::from(u8::from(written.is_err()));
            }
            _ => {
                eprintln!("{USAGE}; what is `{word}`?");
                return ExitCode::from(2);
            }
        }
    }
    let print: &'static Print = Box::leak(Box::default());
    let subscriber = Registry::default().with(Follow).with(print);
    tracing::subscriber::set_global_default(subscriber).expect("nobody has set one");

    let builder = match has_hooks {
        true => with_hooks(Runtime::builder()),
        false => Runtime::builder(),
    };
    let ran = builder.workers(1).run(|| {
        greenloom::scope(|scope| (1..=3).for_each(|number| drop(scope.spawn(move || job(number)))));
    });
    match ran {
        Ok(()) => {}
        Err(RunError::Panicked(payload)) => std::panic::resume_unwind(payload),
        Err(error) => {
            eprintln!("tracing_spans: {error}");
            return ExitCode::from(2);
        }
    }
    let lines = print.lines.lock().expect("nobody panics with it");
    let wrong = print.wrong.load(Relaxed);
    let events = lines.lines().count();
    let text = format!("{lines}{wrong} of {events} events in a span of somebody else\n");
    if let Err(error) = io::stdout().write_all(text.as_bytes()) {
        eprintln!("tracing_spans: cannot write the result: {error}");
        return ExitCode::FAILURE;
    }
    if events != 12 || (wrong == 0) != has_hooks {
        eprintln!("tracing_spans: that is not what should be seen");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
