//! The process that starts all others: the plan, the turns, what others took of the CPUs.

pub mod counts;
pub mod cpu;
pub mod foreign;
pub mod launch;
pub mod machine;
pub mod turns;
