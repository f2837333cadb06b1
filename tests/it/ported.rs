//! Behaviours that other projects' suites check, written anew; each file names its source.

mod asyncio_queue;
mod cpython_queue;
mod crossbeam_channel;
mod gevent_queue;
mod golang_chan;
mod golang_select;
mod std_mpsc;
