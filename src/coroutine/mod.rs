//! Coroutines, generators and greenlets: complete without anything above this floor.
