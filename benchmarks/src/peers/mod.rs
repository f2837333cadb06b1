//! The peers: who they are, and the programs of those that are written in Rust.

pub mod bare;
mod bare_net;
mod corosensei;
mod generator;
mod greenloom;
mod greenloom_net;
mod greenloom_process;
pub mod http;
mod hyper;
mod may;
mod may_net;
mod smol;
mod smol_net;
mod threads;
mod tokio;
mod tokio_net;

pub mod list;
pub mod run;
