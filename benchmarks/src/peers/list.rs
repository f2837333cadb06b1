//! Who takes part, in what, and in which words the report speaks of them.

use crate::cases::{Case, Group, What};

/// A runtime, or what stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Greenloom,
    TokioCurrent,
    TokioMulti,
    Hyper,
    May,
    Smol,
    Threads,
    Corosensei,
    Generator,
    Bare,
    Go,
    Greenlet,
    Gevent,
    Eventlet,
    Asyncio,
    Uvloop,
    Python,
    Multiprocessing,
}

/// What runs a peer's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// This very program.
    Rust,
    /// `peers/go`, built once.
    Go,
    /// A script of `peers/python`, for which a module must be there.
    Python {
        script: &'static str,
        module: &'static str,
    },
}

impl Peer {
    pub const ALL: [Peer; 18] = [
        Peer::Greenloom,
        Peer::TokioCurrent,
        Peer::TokioMulti,
        Peer::Hyper,
        Peer::May,
        Peer::Smol,
        Peer::Threads,
        Peer::Corosensei,
        Peer::Generator,
        Peer::Bare,
        Peer::Go,
        Peer::Greenlet,
        Peer::Gevent,
        Peer::Eventlet,
        Peer::Asyncio,
        Peer::Uvloop,
        Peer::Python,
        Peer::Multiprocessing,
    ];

    pub fn parse(id: &str) -> Option<Peer> {
        Peer::ALL.into_iter().find(|peer| peer.id() == id)
    }

    /// What `--peers` and the results call it.
    pub fn id(self) -> &'static str {
        match self {
            Peer::Greenloom => "greenloom",
            Peer::TokioCurrent => "tokio-current",
            Peer::TokioMulti => "tokio-multi",
            Peer::Hyper => "hyper",
            Peer::May => "may",
            Peer::Smol => "smol",
            Peer::Threads => "threads",
            Peer::Corosensei => "corosensei",
            Peer::Generator => "generator",
            Peer::Bare => "bare",
            Peer::Go => "go",
            Peer::Greenlet => "greenlet",
            Peer::Gevent => "gevent",
            Peer::Eventlet => "eventlet",
            Peer::Asyncio => "asyncio",
            Peer::Uvloop => "uvloop",
            Peer::Python => "python",
            Peer::Multiprocessing => "multiprocessing",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Peer::TokioCurrent => "tokio, current thread",
            Peer::TokioMulti => "tokio, multi thread",
            Peer::Hyper => "hyper on tokio",
            Peer::Threads => "OS threads",
            Peer::Corosensei => "corosensei, bare",
            Peer::Generator => "generator crate",
            Peer::Bare => "system calls, bare",
            Peer::Go => "Go",
            Peer::Python => "Python generators",
            other => other.id(),
        }
    }

    /// Whether it is no rival, but what a rival stands on.
    pub fn is_floor(self) -> bool {
        matches!(
            self,
            Peer::Corosensei | Peer::Generator | Peer::Bare | Peer::Greenlet | Peer::Python
        )
    }

    /// Whether a case is any of its business. Who takes part may still say that it cannot.
    pub fn takes_part(self, case: &Case) -> bool {
        let has_one_thread = matches!(
            self,
            Peer::TokioCurrent
                | Peer::Gevent
                | Peer::Eventlet
                | Peer::Asyncio
                | Peer::Uvloop
                | Peer::Bare
        );
        let is_http = matches!(
            case.what,
            What::Http | What::HttpPipelined | What::HttpOneCpu
        );
        let group = case.what.group();
        match self {
            Peer::Greenloom => true,
            Peer::Hyper => is_http,
            Peer::Corosensei | Peer::Generator => {
                group == Group::Coroutines
                    || case.workers == 1 && matches!(case.what, What::Yield | What::SpawnJoin)
            }
            Peer::Greenlet | Peer::Python => group == Group::Coroutines,
            Peer::Multiprocessing => group == Group::Processes,
            Peer::Go if group == Group::Coroutines => true,
            _ if group == Group::Coroutines || case.workers > 1 && has_one_thread => false,
            Peer::Bare => group == Group::Network || case.what == What::Pipe,
            Peer::Gevent | Peer::Eventlet | Peer::Asyncio | Peer::Uvloop => {
                group != Group::Processes && case.what != What::Select && !is_http
            }
            _ => group != Group::Processes,
        }
    }

    /// The crate whose version the report names; `None` where that is not how its version is found.
    pub fn krate(self) -> Option<&'static str> {
        match self {
            Peer::TokioCurrent | Peer::TokioMulti => Some("tokio"),
            Peer::Smol => Some("async-executor"),
            Peer::Bare => Some("mio"),
            Peer::Hyper | Peer::May | Peer::Corosensei | Peer::Generator => Some(self.id()),
            _ => None,
        }
    }

    pub fn home(self) -> Home {
        let python = |script, module| Home::Python { script, module };
        match self {
            Peer::Go => Home::Go,
            Peer::Greenlet => python("greenlet_peer.py", "greenlet"),
            Peer::Gevent => python("gevent_peer.py", "gevent"),
            Peer::Eventlet => python("eventlet_peer.py", "eventlet"),
            Peer::Asyncio => python("asyncio_peer.py", "asyncio"),
            Peer::Uvloop => python("asyncio_peer.py", "uvloop"),
            Peer::Python => python("generators_peer.py", "sys"),
            Peer::Multiprocessing => python("multiprocessing_peer.py", "multiprocessing"),
            _ => Home::Rust,
        }
    }
}
