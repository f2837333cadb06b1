//! What processes say to one another: values in frames over Unix sockets, descriptors among them.
//!
//! A value crosses as a *parcel*: its postcard encoding, and beside it the descriptors that stand in it. A
//! *link* carries parcels in frames: it keeps their borders, moves as much as the peer takes without blocking
//! anything but the waiting task, and never leaves a frame half sent.

mod codec;
mod error;
pub(crate) mod home;
pub(crate) mod link;
pub(crate) mod parcel;

mod pipe;

pub use codec::CodecError;
pub use error::{RecvError, SendError};
pub use pipe::{Conn, pipe};
