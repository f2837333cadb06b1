//! The prefix of log lines: a process has one logger.

use std::sync::{Mutex, mpsc};

use greenloom::logging;
use log::{LevelFilter, Log, Metadata, Record};

use crate::child;

/// Keeps what it is told.
struct Book(Mutex<mpsc::Sender<String>>);

impl Log for Book {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == "book" {
            let line = format!("{} {}", record.level(), record.args());
            self.0.lock().unwrap().send(line).unwrap();
        }
    }

    fn flush(&self) {}
}

/// Keeps what a record has beside its text.
struct Rest(Mutex<mpsc::Sender<String>>);

impl Log for Rest {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == "rest" {
            let value = record.key_values().get("answer".into());
            let place = (record.module_path_static(), record.file_static());
            let line = format!("{} {value:?} {place:?}", record.args());
            self.0.lock().unwrap().send(line).unwrap();
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_line_with_a_prefix_keeps_all_that_it_has() {
    let outcome = child::run(|| {
        let (sender, lines) = mpsc::channel();
        logging::install(Box::new(Rest(Mutex::new(sender)))).unwrap();
        log::set_max_level(LevelFilter::Info);
        let said = || {
            log::info!(target: "rest", answer = 42; "said");
            lines.recv().unwrap()
        };
        let plain = said();
        assert!(
            plain.contains("42") && plain.contains("logging.rs"),
            "{plain}"
        );
        assert!(logging::start_with_thread_info());
        let prefixed = said();
        assert!(prefixed.starts_with("[thread "), "{prefixed}");
        assert!(prefixed.ends_with(&plain), "{prefixed}");
    });
    outcome.assert_success();
}

#[test]
fn lines_say_which_thread_or_task_they_come_from_when_asked() {
    let outcome = child::run(|| {
        let (sender, lines) = mpsc::channel();
        // Nothing is installed yet.
        assert!(!logging::start_with_thread_info());
        logging::install(Box::new(Book(Mutex::new(sender)))).unwrap();
        log::set_max_level(LevelFilter::Info);
        let say = || log::info!(target: "book", "said {}", 1);
        let here = || {
            say();
            lines.recv().unwrap()
        };
        assert_eq!(here(), "INFO said 1");
        assert!(logging::start_with_thread_info());
        let (first, second) = std::thread::scope(|scope| {
            scope.spawn(say).join().unwrap();
            let first = lines.recv().unwrap();
            scope.spawn(say).join().unwrap();
            (first, lines.recv().unwrap())
        });
        assert_eq!(
            (first.as_str(), second.as_str()),
            ("INFO [thread 1  ] said 1", "INFO [thread 2  ] said 1")
        );
        let named = std::thread::Builder::new().name("io".into());
        named.spawn(say).unwrap().join().unwrap();
        assert_eq!(lines.recv().unwrap(), "INFO [thread io ] said 1");
        greenloom::run(|| {
            say();
            let task = greenloom::spawn(say);
            let id = task.id();
            task.join().unwrap();
            assert_eq!(lines.recv().unwrap(), "INFO [task main] said 1");
            assert_eq!(
                lines.recv().unwrap(),
                format!("INFO [task {:<3}] said 1", id.to_string())
            );
        });
        assert!(logging::stop_with_thread_info());
        assert_eq!(here(), "INFO said 1");
        assert!(logging::install(Box::new(Book(Mutex::new(mpsc::channel().0)))).is_err());
    });
    outcome.assert_success();
}
