//! Selects that face each other: the claim, and the order in which arms are visited, over lines of a few lines.
//!
//! The claim is the library's. The lines and the parking are the model's own, and as plain as can be; what is
//! modelled is the engine's protocol (`task/select/engine.rs`): try or take a seat inside the object's lock,
//! busy meanwhile, in the order of the objects; win a claim before a seat is called.

use crate::base::primitive::{Arc, Mutex, lock};
use crate::task::claim::{Claim, Stake, Win};

#[cfg(loom)]
use loom::{sync::Condvar, thread};
#[cfg(shuttle)]
use shuttle::{sync::Condvar, thread};

/// What wakes a parked select.
#[derive(Default)]
struct Bell {
    is_rung: Mutex<bool>,
    ring: Condvar,
}

impl Bell {
    fn ring(&self) {
        *lock(&self.is_rung) = true;
        self.ring.notify_one();
    }

    fn wait(&self) {
        let mut is_rung = lock(&self.is_rung);
        while !*is_rung {
            is_rung = self.ring.wait(is_rung).unwrap();
        }
        *is_rung = false;
    }
}

struct Seat {
    stake: Stake,
    bell: Arc<Bell>,
    /// What is sent; what was received.
    value: Option<u32>,
    is_in_line: bool,
}

/// A rendezvous channel.
#[derive(Default)]
struct Line {
    /// Seats are found by their claim; one for each side.
    senders: Vec<Seat>,
    receivers: Vec<Seat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Send(u32),
    Recv,
}

impl Line {
    fn side(&mut self, deed: Deed) -> &mut Vec<Seat> {
        match deed {
            Deed::Send(_) => &mut self.senders,
            Deed::Recv => &mut self.receivers,
        }
    }

    fn opposite(&mut self, deed: Deed) -> &mut Vec<Seat> {
        match deed {
            Deed::Send(_) => &mut self.receivers,
            Deed::Recv => &mut self.senders,
        }
    }

    /// Does it with the first on the other side who can be won.
    fn attempt(&mut self, deed: Deed, own: &'static Claim) -> Option<(u32, Arc<Bell>)> {
        for seat in self.opposite(deed) {
            if !seat.is_in_line || std::ptr::eq(seat.stake.claim(), own) {
                continue;
            }
            seat.is_in_line = false;
            if seat.stake.win() == Win::Won {
                let value = match deed {
                    Deed::Send(value) => {
                        assert!(seat.value.replace(value).is_none());
                        value
                    }
                    Deed::Recv => seat.value.take().unwrap(),
                };
                return Some((value, seat.bell.clone()));
            }
        }
        None
    }
}

struct World {
    lines: Vec<Mutex<Line>>,
}

/// One select: of which arm, and with which value.
struct Select {
    claim: &'static Claim,
    bell: Arc<Bell>,
}

impl Select {
    fn new() -> Self {
        Select {
            claim: Box::leak(Box::new(Claim::new())),
            bell: Arc::default(),
        }
    }

    /// Arms are given by their lines, lowest first.
    fn run(&self, world: &World, arms: &[(usize, Deed)], is_patient: bool) -> Option<(usize, u32)> {
        self.claim.begin();
        let outcome = self.choose(world, arms, is_patient);
        self.claim.end();
        outcome
    }

    fn choose(
        &self,
        world: &World,
        arms: &[(usize, Deed)],
        is_patient: bool,
    ) -> Option<(usize, u32)> {
        let mut seated = 0;
        let mut done = None;
        for (number, &(line, deed)) in arms.iter().enumerate() {
            let stake = Stake::new(self.claim, number as u32);
            let mut line = lock(&world.lines[line]);
            if !stake.busy() {
                break;
            }
            if let Some((value, bell)) = line.attempt(deed, self.claim) {
                stake.end();
                drop(line);
                bell.ring();
                done = Some((number, value));
                break;
            }
            line.side(deed).push(Seat {
                stake,
                bell: self.bell.clone(),
                value: match deed {
                    Deed::Send(value) => Some(value),
                    Deed::Recv => None,
                },
                is_in_line: true,
            });
            seated += 1;
            stake.idle();
        }
        if done.is_none() {
            let mut winner = self.claim.winner();
            while winner.is_none() {
                if is_patient {
                    self.bell.wait();
                } else if self.claim.close() {
                    break;
                }
                winner = self.claim.winner();
            }
            done = winner.map(|winner| (winner as usize, 0));
        }
        let mut outcome = done;
        for (number, &(line, deed)) in arms.iter().enumerate().take(seated) {
            let mut line = lock(&world.lines[line]);
            let side = line.side(deed);
            let place = side
                .iter()
                .position(|seat| std::ptr::eq(seat.stake.claim(), self.claim))
                .expect("a seat is kept until it is left");
            let seat = side.remove(place);
            let is_chosen = done.is_some_and(|(chosen, _)| chosen == number);
            match deed {
                Deed::Send(value) if is_chosen => {
                    assert_eq!(seat.value, None, "sent, and still there");
                    outcome = Some((number, value));
                }
                Deed::Recv if is_chosen => {
                    outcome = Some((number, seat.value.expect("received nothing")));
                }
                Deed::Send(_) => assert!(seat.value.is_some(), "taken from a loser"),
                Deed::Recv => assert_eq!(seat.value, None, "given to a loser"),
            }
        }
        outcome
    }
}

fn world(lines: usize) -> Arc<World> {
    Arc::new(World {
        lines: (0..lines).map(|_| Mutex::new(Line::default())).collect(),
    })
}

/// Runs a select for each list of arms; whether each waits for ever.
fn meet(lines: usize, selects: &[(&[(usize, Deed)], bool)]) -> Vec<Option<(usize, u32)>> {
    let world = world(lines);
    let mut others = Vec::new();
    for &(arms, is_patient) in &selects[1..] {
        let (world, arms) = (world.clone(), arms.to_vec());
        others.push(thread::spawn(move || {
            Select::new().run(&world, &arms, is_patient)
        }));
    }
    let (arms, is_patient) = selects[0];
    let mut outcomes = vec![Select::new().run(&world, arms, is_patient)];
    outcomes.extend(others.into_iter().map(|other| other.join().unwrap()));
    outcomes
}

#[cfg(loom)]
mod under_loom {
    use super::*;

    #[test]
    fn two_that_face_each_other_over_two_channels_meet() {
        loom::model(|| {
            let one = [(0, Deed::Send(7)), (1, Deed::Recv)];
            let other = [(0, Deed::Recv), (1, Deed::Send(8))];
            let outcomes = meet(2, &[(&one, true), (&other, true)]);
            let met = outcomes[0].expect("it waits for ever");
            assert_eq!(outcomes[1], Some(met));
            assert!(met == (0, 7) || met == (1, 8));
        });
    }

    #[test]
    fn one_that_is_busy_elsewhere_is_waited_for() {
        loom::model(|| {
            let one = [(0, Deed::Send(7))];
            let other = [(0, Deed::Recv), (1, Deed::Recv)];
            let outcomes = meet(2, &[(&one, true), (&other, true)]);
            assert_eq!(outcomes, [Some((0, 7)), Some((0, 7))]);
        });
    }

    #[test]
    fn nobody_meets_himself() {
        loom::model(|| {
            let both_ways = [(0, Deed::Send(7)), (0, Deed::Recv)];
            let outcomes = meet(1, &[(&both_ways, false)]);
            assert_eq!(outcomes, [None]);
            let outcomes = meet(1, &[(&both_ways, true), (&[(0, Deed::Send(8))], true)]);
            assert_eq!(outcomes, [Some((1, 8)), Some((0, 8))]);
        });
    }

    #[test]
    fn one_that_gives_up_loses_nothing() {
        loom::model(|| {
            let one = [(0, Deed::Send(7)), (1, Deed::Recv)];
            let other = [(0, Deed::Recv), (1, Deed::Send(8))];
            let outcomes = meet(2, &[(&one, false), (&other, false)]);
            assert_eq!(outcomes[0], outcomes[1]);
        });
    }

    #[test]
    fn of_two_callers_and_the_time_one_wins() {
        loom::model(|| {
            let selector = [(0, Deed::Recv), (1, Deed::Recv)];
            let (first, second) = ([(0, Deed::Send(1))], [(1, Deed::Send(2))]);
            let outcomes = meet(2, &[(&selector, false), (&first, false), (&second, false)]);
            match outcomes[0] {
                None => assert_eq!(outcomes[1..], [None, None]),
                Some((0, 1)) => assert_eq!(outcomes[1..], [Some((0, 1)), None]),
                Some((1, 2)) => assert_eq!(outcomes[1..], [None, Some((0, 2))]),
                wrong => panic!("{wrong:?}"),
            }
        });
    }
}

#[cfg(shuttle)]
mod under_shuttle {
    use super::*;

    /// Whoever is patient is served, as there is somebody for each; what is sent is what is received.
    #[test]
    fn rings_of_selects_meet() {
        let ring = || {
            // Each sends on its own channel and receives from its neighbours': circles of waits, if there
            // could be any, are here.
            let arms: Vec<Vec<(usize, Deed)>> = (0..4_usize)
                .map(|n| {
                    let mut arms = vec![
                        (n, Deed::Send(n as u32)),
                        ((n + 1) % 4, Deed::Recv),
                        ((n + 3) % 4, Deed::Recv),
                    ];
                    arms.sort_by_key(|&(line, _)| line);
                    arms
                })
                .collect();
            let selects: Vec<_> = arms.iter().map(|arms| (arms.as_slice(), false)).collect();
            let outcomes = meet(4, &selects);
            let mut sent = Vec::new();
            let mut received = Vec::new();
            for (arms, outcome) in arms.iter().zip(outcomes) {
                if let Some((number, value)) = outcome {
                    match arms[number].1 {
                        Deed::Send(_) => sent.push(value),
                        Deed::Recv => received.push(value),
                    }
                }
            }
            sent.sort_unstable();
            received.sort_unstable();
            assert_eq!(sent, received);
        };
        shuttle::check_random(ring, 20_000);
        shuttle::check_pct(ring, 10_000, 3);
    }

    #[test]
    fn pairs_that_wait_for_ever_meet() {
        let pairs = || {
            let one = [(0, Deed::Send(1)), (1, Deed::Recv), (2, Deed::Send(3))];
            let other = [(0, Deed::Recv), (1, Deed::Send(2)), (2, Deed::Recv)];
            let outcomes = meet(
                3,
                &[(&one, true), (&other, true), (&one, true), (&other, true)],
            );
            let mut met: Vec<_> = outcomes.into_iter().map(|met| met.unwrap()).collect();
            met.sort_unstable();
            // Each meeting is seen by both.
            assert_eq!(met[0], met[1]);
            assert_eq!(met[2], met[3]);
        };
        shuttle::check_random(pairs, 20_000);
        shuttle::check_pct(pairs, 10_000, 3);
    }
}
