//! The command line.

use std::path::PathBuf;

use lexopt::ValueExt;
use lexopt::prelude::{Long, Short};
use regex_lite::Regex;

use crate::peers::list::Peer;

pub const USAGE: &str = "\
usage: cargo run --release -p benchmarks -- [OPTION...]

  --quick          fewer repetitions, shorter spans, the largest sizes left out: under five minutes
  --only REGEX     only what fits, of CASE/PEER
  --peers A,B      only these peers
  --reps N         repetitions (5; quick: 2)
  --span MS        how long one measurement lasts at least (200; quick: 40; servers four times)
  --patience N     how often a sample is taken again that others disturbed (3; quick: 0)
  --counts         count instructions too, by callgrind
  --python PATH    the interpreter of the Python peers (python3)
  --to FILE        where the results go (benchmarks/results/DATE.json); the pages beside it
  --append FILE    adds to these results
  --report FILE    measures nothing, writes the pages of these results again
  --publish        also writes the tables and plots of README.md and docs/performance.md
  --list           names the cases and the peers
  --help           this text

Ctrl-C ends the run; what was measured until then is written.";

/// What the user wants.
#[derive(Debug, Default)]
pub struct Options {
    pub is_quick: bool,
    pub only: Option<Regex>,
    /// All when empty.
    pub peers: Vec<Peer>,
    pub repetitions: Option<usize>,
    pub span_ms: Option<u64>,
    pub patience: Option<usize>,
    pub with_counts: bool,
    pub python: Option<String>,
    pub to: Option<PathBuf>,
    pub append: Option<PathBuf>,
    pub report: Option<PathBuf>,
    pub publish: bool,
    pub list: bool,
    pub help: bool,
}

impl Options {
    /// # Errors
    ///
    /// A word for the user who has made a mistake.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
        Options::read(lexopt::Parser::from_iter(args)).map_err(|e| e.to_string())
    }

    fn read(mut parser: lexopt::Parser) -> Result<Options, lexopt::Error> {
        let mut options = Options::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Long("quick") => options.is_quick = true,
                Long("only") => {
                    let regex = parser.value()?.string()?;
                    let regex = Regex::new(&regex).map_err(|e| format!("--only: {e}"))?;
                    options.only = Some(regex);
                }
                Long("peers") => {
                    for id in parser.value()?.string()?.split(',') {
                        let peer = Peer::parse(id);
                        let peer = peer.ok_or(format!("no peer `{id}`; --list names them"))?;
                        options.peers.push(peer);
                    }
                }
                Long("reps") => options.repetitions = Some(above_zero(&mut parser)?),
                Long("span") => options.span_ms = Some(above_zero(&mut parser)? as u64),
                Long("patience") => options.patience = Some(parser.value()?.parse()?),
                Long("counts") => options.with_counts = true,
                Long("python") => options.python = Some(parser.value()?.string()?),
                Long("to") => options.to = Some(parser.value()?.into()),
                Long("append") => options.append = Some(parser.value()?.into()),
                Long("report") => options.report = Some(parser.value()?.into()),
                Long("publish") => options.publish = true,
                Long("list") => options.list = true,
                Long("help") | Short('h') => options.help = true,
                other => return Err(other.unexpected()),
            }
        }
        if options.append.is_some() && options.to.is_some() {
            return Err("--append names the file already; leave out --to".into());
        }
        Ok(options)
    }

    pub fn has(&self, case: &str, peer: Peer) -> bool {
        let name = format!("{case}/{}", peer.id());
        (self.peers.is_empty() || self.peers.contains(&peer))
            && self.only.as_ref().is_none_or(|regex| regex.is_match(&name))
    }
}

fn above_zero(parser: &mut lexopt::Parser) -> Result<usize, lexopt::Error> {
    match parser.value()?.parse()? {
        0 => Err("wanted is a number above 0".into()),
        n => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words = format!("benchmarks {line}");
        Options::parse(words.split_whitespace().map(String::from))
    }

    #[test]
    fn a_wrong_word_is_named() {
        assert!(
            parse("--quik")
                .expect_err("no such option")
                .contains("quik")
        );
        assert!(
            parse("--peers tokio")
                .expect_err("two of them")
                .contains("--list")
        );
        assert!(
            parse("--reps 0")
                .expect_err("nothing to do")
                .contains("above 0")
        );
        assert!(
            parse("--only (")
                .expect_err("no expression")
                .contains("--only")
        );
        assert!(parse("--append a --to b").is_err());
    }

    #[test]
    fn only_looks_at_case_and_peer() {
        let options = parse("--only ^yield.*/may$").expect("right");
        assert!(options.has("yield_2", Peer::May));
        assert!(!options.has("yield_2", Peer::Smol));
        assert!(!options.has("ring", Peer::May));
    }
}
