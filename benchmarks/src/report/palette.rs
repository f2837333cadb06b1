//! A colour for each peer, in light and in dark, the same in all plots.

use std::fmt::Write as _;

use crate::peers::list::Peer;

/// What is not a peer.
const INK: (&str, &str, &str) = ("ink", "#1c2128", "#e6edf3");
const FAINT: (&str, &str, &str) = ("faint", "#57606a", "#9aa5b1");
const LINE: (&str, &str, &str) = ("line", "#d8dee4", "#30363d");

/// In light and in dark, each with enough contrast against its background.
fn of(peer: Peer) -> (&'static str, &'static str) {
    match peer {
        Peer::Greenloom => ("#0a7d43", "#3fdc8c"),
        Peer::TokioCurrent => ("#d4480b", "#ff9a62"),
        Peer::TokioMulti => ("#a8248b", "#f08ad8"),
        Peer::Hyper => ("#8a6100", "#e3b341"),
        Peer::May => ("#1a63d6", "#74abff"),
        Peer::Smol => ("#6f3fd1", "#bb9dff"),
        Peer::Threads => ("#646d76", "#a5b0bc"),
        Peer::Corosensei => ("#08808f", "#4fd3e2"),
        Peer::Generator => ("#5c7300", "#b9d64c"),
        Peer::Bare => ("#24292f", "#f0f3f6"),
        Peer::Go => ("#0089ad", "#63d4f3"),
        Peer::Greenlet => ("#b3261e", "#ff8f87"),
        Peer::Gevent => ("#bf185a", "#ff86b3"),
        Peer::Eventlet => ("#8a5f86", "#d5aed0"),
        Peer::Asyncio => ("#9a6700", "#f2c860"),
        Peer::Uvloop => ("#70512f", "#d9b98c"),
        Peer::Python => ("#6b6b00", "#d6d672"),
        Peer::Multiprocessing => ("#b3261e", "#ff8f87"),
    }
}

/// The variables of a style sheet, for what stands in `selector`.
pub fn variables(selector: &str) -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for (name, in_light, in_dark) in [INK, FAINT, LINE] {
        let _ = write!(light, "--{name}:{in_light};");
        let _ = write!(dark, "--{name}:{in_dark};");
    }
    for peer in Peer::ALL {
        let (in_light, in_dark) = of(peer);
        let _ = write!(light, "--{}:{in_light};", peer.id());
        let _ = write!(dark, "--{}:{in_dark};", peer.id());
    }
    format!("{selector}{{{light}}}\n@media (prefers-color-scheme:dark){{{selector}{{{dark}}}}}")
}
