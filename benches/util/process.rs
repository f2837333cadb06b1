//! Facts about a process: the CPU it may use, the CPU time it took, the memory it holds.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Holds this thread, and the threads and processes it makes from now on, to one CPU: the last of the
/// allowed ones, as the first takes most interrupts.
pub(crate) fn pin_to_one_cpu() -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| allowed.is_set(cpu));
    let mut one = CpuSet::new();
    one.set(last.expect("some CPU is allowed"));
    Ok(sched_setaffinity(None, &one)?)
}

/// Nanoseconds of CPU that all threads of a process have taken, those that ended excepted.
pub(crate) fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = stat
            .split_whitespace()
            .next()
            .and_then(|field| field.parse::<u64>().ok());
        sum += on_cpu.ok_or_else(|| io::Error::other("schedstat without a run time"))?;
    }
    Ok(sum)
}

/// Memory of this process in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
    pub(crate) page_tables: u64,
}

pub(crate) fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let of = |key| kib(&status, key) * 1024;
    Memory {
        resident: of("VmRSS:"),
        peak: of("VmHWM:"),
        page_tables: of("VmPTE:"),
    }
}

/// Bytes of another process that are resident, and its page tables.
pub(crate) fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok((kib(&status, "VmRSS:") + kib(&status, "VmPTE:")) * 1024)
}

/// Bytes that the machine could still give.
pub(crate) fn available() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    kib(&info, "MemAvailable:") * 1024
}

fn kib(table: &str, key: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// A child that is this very program under other arguments; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts this program with `args` and waits until it says `port N`.
    pub(crate) fn start(args: &[&str]) -> io::Result<Server> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped()) // Its end tells the server that we are gone.
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line)?;
        match line
            .trim()
            .strip_prefix("port ")
            .and_then(|port| port.parse().ok())
        {
            Some(port) => Ok(Server { child, port }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(io::Error::other(format!(
                    "the server {args:?} did not start: {line:?}"
                )))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu_ns(&self) -> io::Result<u64> {
        cpu_ns(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For the server's side: ends this process when whoever started it is gone.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
}
