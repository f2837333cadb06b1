//! Programs: started, waited for, signalled; what std's suite promises of its own, and what is ours.

mod pipes;
mod waits;

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::process::{ExitStatus, Output};

use greenloom::process::{
    ChildStdout, Command, Stdio, check, exit_signal, pipeline, send_signal, send_signal_to_group,
    split,
};
use greenloom::signal::Signal;
use greenloom::{run, spawn};

use crate::util::green;
use crate::watch::watched;

/// A shell that runs this script.
pub(super) fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

// The first ones follow what std tests of its `Command` (library/std/src/process/tests.rs).

#[test]
fn status_and_output_are_those_of_the_program() {
    watched(|| {
        green(|| {
            assert!(Command::new("true").status().unwrap().success());
            assert_eq!(sh("exit 7").status().unwrap().code(), Some(7));
            let status = sh("kill -9 $$").status().unwrap();
            assert_eq!(status.code(), None);
            assert_eq!(exit_signal(status), Some(Signal::KILL));
            let Output {
                status,
                stdout,
                stderr,
            } = sh("echo out; echo err >&2; exit 3").output().unwrap();
            assert_eq!(status.code(), Some(3));
            assert_eq!((&stdout[..], &stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
            assert_eq!(
                check(status).unwrap_err().to_string(),
                "the program ended with exit status: 3"
            );
        });
        // On a plain thread as well.
        assert_eq!(sh("echo thread").output().unwrap().stdout, b"thread\n");
        assert!(Command::new("true").status().unwrap().success());
    });
}

#[test]
fn output_reads_no_input_and_what_was_set_stays_set() {
    watched(|| {
        green(|| {
            let mut cat = Command::new("cat");
            assert_eq!(cat.output().unwrap().stdout, b"");
            // The streams of `output` are not those of a later `spawn`.
            let mut echo = sh("echo x");
            assert_eq!(echo.output().unwrap().stdout, b"x\n");
            let mut child = echo.stdout(Stdio::piped()).spawn().unwrap();
            assert!(child.stdin.is_none() && child.stderr.is_none());
            let mut out = String::new();
            child
                .stdout
                .take()
                .unwrap()
                .read_to_string(&mut out)
                .unwrap();
            assert_eq!(out, "x\n");
            assert!(child.wait().unwrap().success());
            let output = echo.stdout(Stdio::null()).output().unwrap();
            assert_eq!(output.stdout, b"");
        });
    });
}

#[test]
fn the_builder_is_stds() {
    watched(|| {
        green(|| {
            let mut command = sh("echo \"$0 $GREEN ${GONE-none} $PWD\"");
            command
                .current_dir("/")
                .env("GREEN", "loom")
                .env("GONE", "x")
                .env_remove("GONE");
            assert_eq!(text(&command.output().unwrap().stdout), "sh loom none /\n");
            assert_eq!(command.get_program(), "sh");
            assert_eq!(command.get_args().count(), 2);
            assert_eq!(command.get_envs().count(), 2);
            assert_eq!(command.get_current_dir().unwrap().to_str(), Some("/"));
            assert!(format!("{command:?}").contains("\"sh\" \"-c\""));
            let mut vars = HashMap::new();
            vars.insert("A", "1");
            let mut env = Command::new("/usr/bin/env");
            env.env_clear().envs(&vars);
            assert_eq!(text(&env.output().unwrap().stdout), "A=1\n");
            let mut named = Command::new("sh");
            named.arg0("another").args(["-c", "echo $0"]);
            assert_eq!(text(&named.output().unwrap().stdout), "another\n");
            // A process group of its own.
            let script = "ps -o pgid= -p $$ | tr -d ' '; echo $$";
            let output = sh(script).process_group(0).output().unwrap();
            let out = text(&output.stdout);
            let [group, own] = out.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("{out}")
            };
            assert_eq!(group, own);
        });
    });
}

#[test]
fn a_program_that_is_not_there_is_named_by_the_error() {
    green(|| {
        let error = Command::new("no-such-program-at-all").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains("\"no-such-program-at-all\""),
            "{error}"
        );
        let error = Command::new("true")
            .current_dir("/no/such")
            .status()
            .unwrap_err();
        assert!(error.to_string().contains("in \"/no/such\""), "{error}");
        let error = Command::new("/").output().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let nul = Command::new("nul\0inside").spawn().unwrap_err();
        assert_eq!(nul.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn other_tasks_go_on_while_one_waits_for_a_program() {
    watched(|| {
        green(|| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            let waiter = spawn(move || child.wait().unwrap());
            for _ in 0..20 {
                greenloom::yield_now();
            }
            assert!(!waiter.is_finished());
            stdin.write_all(b"").unwrap();
            drop(stdin);
            assert!(waiter.join().unwrap().success());
        });
    });
}

#[test]
fn wait_closes_the_input_and_gives_the_status_again_and_again() {
    watched(|| {
        green(|| {
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            assert_eq!(child.try_wait().unwrap(), None);
            let status = child.wait().unwrap();
            assert_eq!(child.wait().unwrap(), status);
            assert_eq!(child.try_wait().unwrap(), Some(status));
            assert_eq!(child.handle().wait().unwrap(), status);
            // Nobody is there any more, and that is no error.
            child.kill().unwrap();
            child.send_signal(Signal::TERM).unwrap();
        });
    });
}

#[test]
fn pipelines_by_hand_and_by_the_list() {
    watched(|| {
        green(|| {
            let shell = sh("printf 'b\\na\\nb\\n' | sort | uniq -c")
                .output()
                .unwrap();
            // By hand, as with std: the near end of one is the input of the next.
            let mut first = Command::new("printf");
            let mut first = first
                .arg("b\\na\\nb\\n")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut second = Command::new("sort");
            let mut second = second
                .stdin(first.stdout.take().unwrap())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let third = Command::new("uniq")
                .arg("-c")
                .stdin(second.stdout.take().unwrap())
                .output()
                .unwrap();
            assert_eq!(third.stdout, shell.stdout);
            assert!(first.wait().unwrap().success() && second.wait().unwrap().success());
            let mut whole = pipeline([
                Command::new("printf").arg("b\\na\\nb\\n"),
                &mut Command::new("sort"),
                Command::new("uniq").arg("-c").stdout(Stdio::piped()),
            ])
            .unwrap();
            let output = whole.communicate("").unwrap();
            assert_eq!(output.stdout, shell.stdout);
            assert!(output.statuses.iter().all(ExitStatus::success));
            assert_eq!(whole.wait().unwrap(), output.statuses);
        });
    });
}

#[test]
fn a_pipeline_ends_when_its_reader_does_and_a_broken_one_does_not_start() {
    watched(|| {
        green(|| {
            // `yes` never ends unless it is told that nobody reads, by SIGPIPE.
            let mut endless = pipeline([
                &mut Command::new("yes"),
                Command::new("head")
                    .args(["-n", "1"])
                    .stdout(Stdio::piped()),
            ])
            .unwrap();
            let output = endless.communicate("").unwrap();
            assert_eq!(output.stdout, b"y\n");
            assert_eq!(exit_signal(output.statuses[0]), Some(Signal::PIPE));
            assert!(output.status().success());
            let mut fed = pipeline([
                Command::new("cat").stdin(Stdio::piped()),
                Command::new("tr").args(["a", "b"]).stdout(Stdio::piped()),
            ])
            .unwrap();
            assert_eq!(fed.communicate("banana").unwrap().stdout, b"bbnbnb");
            let error = pipeline([
                Command::new("sleep").arg("1000"),
                &mut Command::new("no-such-program"),
            ])
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(pipeline([]).unwrap_err().kind(), ErrorKind::InvalidInput);
            // A command that was part of a pipeline may run again, on its own.
            let mut sort = Command::new("sort");
            for _ in 0..2 {
                let mut pair = pipeline([
                    Command::new("printf").arg("2\\n1\\n"),
                    sort.stdout(Stdio::piped()),
                ])
                .unwrap();
                assert_eq!(pair.communicate("").unwrap().stdout, b"1\n2\n");
            }
        });
    });
}

#[test]
fn a_command_line_is_split_as_a_shell_would() {
    assert_eq!(split("ls -l").unwrap(), ["ls", "-l"]);
    assert_eq!(
        split("a 'b c' \"d\\\"e\" f\\ g").unwrap(),
        ["a", "b c", "d\"e", "f g"]
    );
    assert_eq!(split("").unwrap(), [] as [&str; 0]);
    assert_eq!(split("'' x").unwrap(), ["", "x"]);
    assert!(split("'open").is_err());
    assert!(split("end\\").is_err());
}

#[test]
fn signals_to_any_process_and_to_none() {
    watched(|| {
        green(|| {
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            send_signal(child.id(), Signal::TERM).unwrap();
            assert_eq!(exit_signal(child.wait().unwrap()), Some(Signal::TERM));
            assert_eq!(
                send_signal(0, Signal::TERM).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            assert_eq!(
                send_signal(u32::MAX, Signal::TERM).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            // To kill(2) the group of the number one is everybody; this signal does nothing to them.
            assert_eq!(
                send_signal_to_group(1, Signal::URG).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            let realtime = Signal::from_raw(40).unwrap();
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            assert_eq!(
                child.send_signal(realtime).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            child.kill().unwrap();
            child.wait().unwrap();
        });
    });
}

#[test]
fn a_pipe_goes_to_std_and_back() {
    watched(|| {
        run(|| {
            let mut child = sh("echo there").stdout(Stdio::piped()).spawn().unwrap();
            // Moved out of its child, as std's allows it, too.
            let stdout = sh("exit 0")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
                .stdout
                .unwrap();
            drop(Stdio::from(stdout));
            let plain = std::process::ChildStdout::from(child.stdout.take().unwrap());
            let mut green = ChildStdout::try_from(plain).unwrap();
            let mut out = String::new();
            green.read_to_string(&mut out).unwrap();
            assert_eq!(out, "there\n");
            child.wait().unwrap();
        });
    });
}

#[test]
fn all_of_it_may_be_sent_and_shared() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Command>();
    check::<greenloom::process::Child>();
    check::<greenloom::process::ChildHandle>();
    check::<greenloom::process::ChildStdin>();
    check::<ChildStdout>();
    check::<greenloom::process::Pipeline>();
    check::<greenloom::signal::Signals>();
}
