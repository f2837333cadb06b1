//! What goes through the pipes: both ways, without end, cut short, held open by others.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use greenloom::process::{Command, Stdio, pipeline};
use greenloom::signal::Signal;
use greenloom::{Runtime, spawn, timeout};

use crate::util::green;
use crate::watch::watched;

use super::sh;

fn piped(mut command: Command) -> greenloom::process::Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Bytes that show when one is lost or moved.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[test]
fn sixteen_mebibytes_go_both_ways_on_a_task_and_on_a_thread() {
    watched(|| {
        let through_cat = || {
            let input = pattern(16 << 20);
            let output = piped(Command::new("cat")).communicate(&input).unwrap();
            assert!(output.status.success());
            assert!(output.stdout == input && output.stderr.is_empty());
        };
        green(through_cat);
        through_cat();
    });
}

#[test]
fn output_and_error_are_read_at_once() {
    watched(|| {
        green(|| {
            // Each fills more than a pipe before it goes on to the other.
            let script =
                "for i in 1 2 3; do head -c 200000 /dev/zero; head -c 200000 /dev/zero >&2; done";
            let output = piped(sh(script)).wait_with_output().unwrap();
            assert_eq!(
                (output.stdout.len(), output.stderr.len()),
                (600_000, 600_000)
            );
        });
    });
}

#[test]
fn a_program_that_does_not_want_its_input_is_no_error() {
    watched(|| {
        green(|| {
            let output = piped(sh("echo done"))
                .communicate(pattern(1 << 20))
                .unwrap();
            assert!(output.status.success());
            assert_eq!(output.stdout, b"done\n");
            // Written by hand it is one.
            let mut child = piped(Command::new("true"));
            let mut stdin = child.stdin.take().unwrap();
            child.wait().unwrap();
            let error = stdin.write_all(&pattern(1 << 20)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn input_without_a_pipe_is_refused() {
    watched(|| {
        green(|| {
            let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
            let error = child.communicate("x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(child.communicate("").unwrap().status.success());
        });
    });
}

#[test]
fn nothing_is_lost_by_a_time_out_and_communicate_goes_on() {
    watched(|| {
        green(|| {
            let mut child = piped(sh("read a; echo got $a; read b; echo and $b"));
            // A line, and no end of the input: what is left is written by the next call.
            let pipe = child.stdin.as_mut().unwrap();
            pipe.write_all(b"one\n").unwrap();
            let stdin = child.stdin.take();
            let short = Duration::from_millis(5);
            // As often as it takes until the program has come so far.
            while child.captured().0.len() < b"got one\n".len() {
                let error = child.communicate_timeout("", short).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            }
            assert_eq!(child.captured(), (&b"got one\n"[..], &b""[..]));
            child.stdin = stdin;
            let output = child.communicate("two\n").unwrap();
            assert_eq!(output.stdout, b"got one\nand two\n");

            // Cut off in the middle of both ways: it reads nothing until it is told to go on.
            let mut child = piped(sh("kill -STOP $$; exec cat"));
            let input = pattern(1 << 20);
            let error = child.communicate_timeout(&input, short).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let handle = child.handle();
            // It may not have stopped yet.
            let _goes_on = spawn(move || {
                while handle.send_signal(Signal::CONT).is_ok() {
                    greenloom::sleep(short);
                }
            });
            let output = child.communicate("more").unwrap();
            assert_eq!(output.stdout.len(), input.len() + 4);
            assert!(output.stdout[..input.len()] == input);
            assert_eq!(&output.stdout[input.len()..], b"more");
            assert_eq!(child.captured(), (&b""[..], &b""[..]));
        });
    });
}

#[test]
fn nothing_is_lost_by_a_cancellation() {
    watched(|| {
        green(|| {
            let mut child = piped(sh("echo early; read x; echo $x"));
            let stdin = child.stdin.take();
            while child.captured().0.is_empty() {
                let limit = Duration::from_millis(5);
                assert!(timeout(limit, || child.communicate("")).is_err());
            }
            assert_eq!(child.captured().0, b"early\n");
            child.stdin = stdin;
            assert_eq!(
                child.communicate("late\n").unwrap().stdout,
                b"early\nlate\n"
            );
        });
    });
}

#[test]
fn a_program_that_writes_without_end_does_not_stop_the_clock() {
    watched(|| {
        green(|| {
            let mut yes = piped(Command::new("yes"));
            let limit = Duration::from_millis(30);
            while yes.captured().0.len() < b"y\ny\n".len() {
                let error = yes.communicate_timeout("", limit).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            }
            assert!(yes.captured().0.starts_with(b"y\ny\n"));
            let zero = yes.communicate_timeout("", Duration::ZERO).unwrap_err();
            assert_eq!(zero.kind(), ErrorKind::TimedOut);
            // Nor the other tasks.
            let counter = spawn(|| (0..20).for_each(|_| greenloom::yield_now()));
            let _ = yes.communicate_timeout("", limit);
            assert!(counter.is_finished());
            yes.kill().unwrap();
            yes.communicate("").unwrap();
        });
    });
}

#[test]
fn a_grandchild_that_holds_the_pipe_does_not_hold_us_beyond_the_limit() {
    watched(|| {
        let hold = || {
            // The shell ends at once; its child keeps the output open.
            let mut child = piped(sh("echo start; sleep 1000 & echo $!"));
            let begun = Instant::now();
            let limit = Duration::from_millis(300);
            let error = child.communicate_timeout("", limit).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(begun.elapsed() < Duration::from_secs(20));
            assert!(child.wait().unwrap().success());
            let out = String::from_utf8(child.captured().0.to_vec()).unwrap();
            let grandchild = out.strip_prefix("start\n").unwrap().trim().parse().unwrap();
            let kill = greenloom::signal::Signal::KILL;
            greenloom::process::send_signal(grandchild, kill).unwrap();
            assert_eq!(child.communicate("").unwrap().stdout, out.as_bytes());
        };
        green(hold);
        hold();
    });
}

#[test]
fn two_tasks_read_and_write_one_child() {
    watched(|| {
        Runtime::builder()
            .workers(2)
            .run(|| {
                let mut child = piped(Command::new("cat"));
                let (mut stdin, mut stdout) =
                    (child.stdin.take().unwrap(), child.stdout.take().unwrap());
                let writer = spawn(move || {
                    for n in 0..2_000_u32 {
                        stdin.write_all(&n.to_le_bytes().repeat(64)).unwrap();
                    }
                });
                let reader = spawn(move || {
                    let mut piece = [0; 256];
                    for n in 0..2_000_u32 {
                        stdout.read_exact(&mut piece).unwrap();
                        assert_eq!(piece[..4], n.to_le_bytes());
                    }
                    assert_eq!(stdout.read(&mut piece).unwrap(), 0);
                });
                writer.join().unwrap();
                reader.join().unwrap();
                assert!(child.wait().unwrap().success());
            })
            .unwrap();
    });
}

#[test]
fn close_ends_the_wait_of_a_reader() {
    watched(|| {
        green(|| {
            let mut child = piped(Command::new("cat"));
            let stdout = std::rc::Rc::new(child.stdout.take().unwrap());
            let theirs = stdout.clone();
            let reader =
                greenloom::spawn_local(move || (&*theirs).read(&mut [0]).unwrap_err().kind());
            greenloom::yield_now();
            stdout.close();
            assert_eq!(reader.join().unwrap(), ErrorKind::NotConnected);
            child.wait().unwrap();
        });
    });
}

#[test]
fn a_pipeline_times_out_and_goes_on() {
    watched(|| {
        green(|| {
            let mut slow = pipeline([
                sh("echo a; sleep 0.3; echo b").stderr(Stdio::piped()),
                sh("echo error >&2; exec cat")
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped()),
            ])
            .unwrap();
            let error = slow
                .communicate_timeout("", Duration::from_millis(50))
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert_eq!(slow.wait_timeout(Duration::ZERO).unwrap(), None);
            let output = slow.communicate("").unwrap();
            assert_eq!(output.stdout, b"a\nb\n");
            assert_eq!(output.stderr, b"error\n");
            let mut stuck =
                pipeline([&mut Command::new("yes"), Command::new("sleep").arg("1000")]).unwrap();
            stuck.kill().unwrap();
            assert!(stuck.wait().unwrap().iter().all(|status| !status.success()));
        });
    });
}
