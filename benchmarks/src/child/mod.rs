//! What a process does that measures one case for one peer: repetition, spans, memory, load.

pub mod histogram;
pub mod load;
pub mod measure;
pub mod memory;
pub mod span;
