//! Behaviours that other projects' suites check, written anew; each file names its source.

mod crossbeam_channel;
mod golang_chan;
mod std_mpsc;
