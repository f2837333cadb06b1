//! Behaviours that other projects' suites check, written anew; each file names its source.

mod asyncio_queue;
mod asyncio_taskgroup;
mod asyncio_timeouts;
mod cpython_locks;
mod cpython_queue;
mod crossbeam_channel;
mod errgroup;
mod gevent_queue;
mod golang_chan;
mod golang_select;
mod green_pool;
mod select;
mod std_mpsc;
mod std_sync;
mod trio_cancel;
