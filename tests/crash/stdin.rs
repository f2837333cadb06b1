//! The standard input, which is the whole process's.

use std::io::Write;
use std::time::Duration;

use greenloom::io::stdin;
use greenloom::{spawn, timeout};

use crate::child;

/// A pipe as the standard input.
fn pipe_in() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::stdio::dup2_stdin(&reader).unwrap();
    writer
}

#[test]
fn a_cancelled_reader_leaves_its_line_to_the_next_one() {
    let outcome = child::run(|| {
        let mut writer = pipe_in();
        greenloom::run(|| {
            let mut line = String::new();
            for _ in 0..20 {
                let none = timeout(Duration::from_millis(1), || stdin().read_line(&mut line));
                assert!(none.is_err());
            }
            // The worker goes on, and so do other tasks, while somebody waits for a line.
            let reader = spawn(|| stdin().lines().collect::<Result<Vec<_>, _>>());
            greenloom::sleep(Duration::from_millis(5));
            writer.write_all(b"first\r\nsecond\n\nlast").unwrap();
            drop(writer);
            let lines = reader.join().unwrap().unwrap();
            assert_eq!(lines, ["first", "second", "", "last"]);
            assert_eq!(stdin().read_line(&mut line).unwrap(), 0);
        });
    });
    outcome.assert_success();
}

#[test]
fn readers_are_served_in_the_order_of_their_coming_tasks_and_threads() {
    let outcome = child::run(|| {
        let mut writer = pipe_in();
        greenloom::Runtime::builder()
            .workers(1)
            .run(|| {
                let readers: Vec<_> = (0..4)
                    .map(|_| {
                        let reader = spawn(|| stdin().lines().next().unwrap().unwrap());
                        greenloom::yield_now();
                        reader
                    })
                    .collect();
                readers[1].cancel();
                greenloom::yield_now();
                writer.write_all(b"a\nb\nc\nd\n").unwrap();
                let got: Vec<_> = readers
                    .into_iter()
                    .filter_map(|reader| reader.join().ok())
                    .collect();
                assert_eq!(got, ["a", "b", "c"]);
                let thread = std::thread::spawn(|| stdin().lines().next().unwrap().unwrap());
                assert_eq!(thread.join().unwrap(), "d");
            })
            .unwrap();
    });
    outcome.assert_success();
}

#[test]
fn a_runtime_ends_while_nobody_has_pressed_a_key() {
    let outcome = child::run(|| {
        let _writer = pipe_in();
        greenloom::run(|| {
            let reader = spawn(|| stdin().read_line(&mut String::new()));
            greenloom::sleep(Duration::from_millis(5));
            drop(reader);
        });
    });
    outcome.assert_success();
}
