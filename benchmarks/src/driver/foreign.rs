//! Peers in other languages: whether they are here, in which version, and how they are started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use super::machine::{crate_version, greenloom_version};
use crate::peers::list::{Home, Peer};

/// What was found of the other languages.
#[derive(Debug)]
pub struct Foreign {
    python: String,
    /// The Go program and the version of its compiler, or why there is none.
    go: Result<(PathBuf, String), String>,
}

fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(language)
}

impl Foreign {
    /// Builds the Go program if `with_go`.
    pub fn find(python: &str, with_go: bool) -> Foreign {
        Foreign {
            python: python.into(),
            go: match with_go {
                true => build_go(),
                false => Err("not asked for".into()),
            },
        }
    }

    /// The version of a peer, or why it cannot take part.
    pub fn version(&self, peer: Peer) -> Result<String, String> {
        match peer.home() {
            Home::Go => self.go.clone().map(|(_, version)| version),
            Home::Python { module, .. } => self.python_version(module),
            Home::Rust => Ok(match peer {
                Peer::Greenloom => greenloom_version(),
                _ => peer.krate().map(crate_version).unwrap_or_default(),
            }),
        }
    }

    fn python_version(&self, module: &str) -> Result<String, String> {
        let script = format!(
            "import sys, {module}; v = getattr({module}, '__version__', ''); \
             p = 'Python ' + sys.version.split()[0]; print(v + ' on ' + p if v else p)"
        );
        let output = Command::new(&self.python)
            .args(["-W", "ignore", "-c", &script])
            .stderr(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim().into())
            }
            Ok(_) => Err(format!("{} has no module {module}", self.python)),
            Err(e) => Err(format!("{}: {e}", self.python)),
        }
    }

    /// The program of a peer that takes part, but for its arguments.
    pub fn command(&self, peer: Peer) -> io::Result<Command> {
        Ok(match peer.home() {
            Home::Rust => {
                let mut command = Command::new(env::current_exe()?);
                command.arg("child");
                command
            }
            Home::Go => {
                let (program, _) = self.go.clone().map_err(io::Error::other)?;
                Command::new(program)
            }
            Home::Python { script, .. } => {
                let mut command = Command::new(&self.python);
                command.args(["-W", "ignore", "-B"]);
                command.arg(sources("python").join(script));
                command
            }
        })
    }
}

fn build_go() -> Result<(PathBuf, String), String> {
    let version = Command::new("go").arg("version").output();
    let version = version.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "there is no `go` here".into(),
        _ => format!("go: {e}"),
    })?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    // "go version go1.27.3 linux/amd64"
    let version = version.split_whitespace().nth(2).unwrap_or("go");
    // Beside this program, so that cargo's clean takes it along.
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let folder = program.with_file_name("benchmarks-go");
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let program = folder.join("peers");
    // The standard library only: nothing is fetched.
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(sources("go"))
        .envs([
            ("GOFLAGS", "-mod=mod"),
            ("GOPROXY", "off"),
            ("GOTOOLCHAIN", "local"),
        ])
        .output()
        .map_err(|e| format!("go build: {e}"))?;
    match output.status.success() {
        true => Ok((program, version.trim_start_matches("go").into())),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("go build failed: {}", said.trim()))
        }
    }
}
