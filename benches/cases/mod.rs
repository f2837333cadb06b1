//! The cases of the benchmark, a file for each part of the library.

pub(crate) mod coroutines;
pub(crate) mod echo;
pub(crate) mod load;
pub(crate) mod mio_echo;
pub(crate) mod sleepers;
pub(crate) mod tasks;
pub(crate) mod timers;

use crate::util::runner::{Case, case};

pub(crate) const ALL: &[Case] = &[
    case("generator_item", coroutines::generator_item),
    case("greenlet_switch_pair", coroutines::greenlet_switch_pair),
    case("yield_2", || tasks::yields(2, 12.0)),
    case("yield_1000", || tasks::yields(1_000, 15.0)),
    case("yield_100000", || tasks::yields(100_000, 40.0)),
    case("spawn_join", tasks::spawn_join),
    case("skynet", tasks::skynet),
    case("sleepers_default", || {
        sleepers::sleepers("sleepers_default", None, 5_000.0)
    }),
    case("sleepers_64k", || {
        sleepers::sleepers("sleepers_64k", Some(64 * 1024), 4_500.0)
    }),
    case("timer_arm_cancel", timers::arm_cancel),
    case("sleep_50us", timers::short_sleep),
    case("echo", echo::echo),
];
