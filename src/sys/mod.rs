//! The kernel's door: the one place with raw memory calls, signals, descriptors and `cfg` by target.
