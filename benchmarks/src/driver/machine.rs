//! What a report must name: the machine, the date, the versions of the Rust peers.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::results::Machine;

const LOCK: &str = include_str!("../../../Cargo.lock");

pub fn this_machine(cpus: usize) -> Machine {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, name)| name);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: Option<u64> = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok());
    let system = rustix::system::uname();
    Machine {
        cpu: cpu.trim().into(),
        cpus,
        memory_gib: kib.unwrap_or(0).div_ceil(1 << 20),
        kernel: format!(
            "{} {} {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
        rustc: env!("RUSTC_VERSION").trim_start_matches("rustc ").into(),
    }
}

/// Of a crate, as this program was built with it.
pub fn crate_version(name: &str) -> String {
    let head = format!("name = \"{name}\"\nversion = \"");
    let rest = LOCK.split_once(&head).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or("").into()
}

/// Of the library that lies beside: its version and its commit.
pub fn greenloom_version() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(args)
            .output();
        let output = output.ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = crate_version("greenloom");
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return version;
    };
    let is_changed = git(&["status", "--porcelain", "../src", "../Cargo.toml"])
        .is_some_and(|changes| !changes.is_empty());
    let mark = if is_changed { " and changes" } else { "" };
    format!("{version} ({commit}{mark})")
}

/// `2026-11-29`, in UTC.
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let days = since.expect("a clock after 1970").as_secs() / 86_400;
    let (year, month, day) = civil(days as i64);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970 as a date of the Gregorian calendar: counted in eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Where results go unless the command line says otherwise.
pub fn results_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/results"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_786), (2026, 11, 29));
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert!(crate_version("tokio").starts_with("1."));
        assert_eq!(crate_version("no such crate"), "");
    }
}
