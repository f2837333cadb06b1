//! Coroutines, generators and greenlets: complete without anything above this floor.

pub(crate) mod ambient;
pub(crate) mod raw;
