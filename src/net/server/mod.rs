//! A server: it accepts connections, gives each a task, and stops with grace.
//!
//! ```text
//! serve ──► a task that accepts, or one on each worker ──► a task a connection, on the worker with the fewest
//!   │          permit, accept, place                           handler; the permit goes back at its end
//!   └─ waits for the word to stop: ends the accepting, ends the idle, drains, cancels what is left, reports
//! ```

mod accept;
mod connection;
mod serve;
mod state;

pub use connection::Connection;
pub use serve::Server;
pub use state::{Report, Stopper};
