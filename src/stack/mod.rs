//! Memory of a stack: size classes, slots with guards, reuse, overflow reports.
