//! Small pure things that every floor may use: errors, clocks, counters.
