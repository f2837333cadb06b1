//! What parent and child say on the control socket.
//!
//! ```text
//!   child                           parent
//!   Hello: its build          ->
//!                             <-    Start: the parent's build, what the child is
//!                             <-    Job n: a function and its argument
//!   Done n | Panicked n | Failed n  ->
//!                             <-    Bye
//! ```
//!
//! The child speaks first, so that a program that knows nothing of all this, and reads its standard input in
//! peace, is found out by its silence. The end of the connection without a Bye is the other side's death.

use std::io;

use serde::{Deserialize, Serialize};

use crate::ipc::CodecError;
use crate::ipc::link::Frame;
use crate::ipc::parcel::Parcel;

use super::error::ProcessPanic;

pub(super) const HELLO: u8 = 1;
pub(super) const START: u8 = 2;
pub(super) const JOB: u8 = 3;
pub(super) const BYE: u8 = 4;
pub(super) const DONE: u8 = 5;
pub(super) const PANICKED: u8 = 6;
pub(super) const FAILED: u8 = 7;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) fingerprint: u64,
    pub(super) pid: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) fingerprint: u64,
    pub(super) name: String,
    /// It ends at once when its parent does, whatever it is at.
    pub(super) is_watched: bool,
}

/// How a job ended, when the child lived to tell.
#[derive(Debug)]
pub(super) enum Reply {
    Done(Parcel),
    Panicked(ProcessPanic),
    Failed(CodecError),
}

impl Reply {
    pub(super) fn read(frame: Frame) -> io::Result<Reply> {
        let garbled = |error: CodecError| io::Error::new(io::ErrorKind::InvalidData, error);
        match frame.kind {
            DONE => Ok(Reply::Done(frame.parcel)),
            PANICKED => frame.parcel.unpack().map(Reply::Panicked).map_err(garbled),
            FAILED => frame.parcel.unpack().map(Reply::Failed).map_err(garbled),
            other => {
                let text = format!("a child answered a job with a frame of kind {other}");
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }
}
