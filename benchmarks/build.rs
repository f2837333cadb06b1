//! Tells the program which compiler built it and all Rust peers: results name it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc).arg("--version").output();
    let version = String::from_utf8(output.expect("rustc runs").stdout);
    println!(
        "cargo::rustc-env=RUSTC_VERSION={}",
        version.expect("text").trim()
    );
}
