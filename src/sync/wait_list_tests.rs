//! The line against a naive one.

use std::collections::VecDeque;

use super::*;

#[test]
fn the_first_to_come_is_the_first_to_be_called() {
    let mut list = WaitList::new();
    let tickets: Vec<_> = (0..3).map(|n| list.join(n)).collect();
    assert_eq!(list.first(), Some(&mut 0));
    assert!(list.call_first().is_some());
    assert!(list.is_called(&tickets[0]) && list.is_first(&tickets[1]));
    let left = list.leave(&tickets[1]);
    assert!(left.was_first && !left.is_called && left.payload == 1);
    let _nobody_sleeps = list.call_first_with(|payload| *payload = 7).unwrap();
    assert!(list.is_empty() && list.call_first().is_none());
    let left = list.leave(&tickets[2]);
    assert!(left.is_called && !left.was_first && left.payload == 7);
    assert!(list.leave(&tickets[0]).is_called);
}

#[test]
fn it_agrees_with_a_naive_line_under_random_use() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut list = WaitList::new();
    let mut line = VecDeque::new();
    let mut seated: Vec<(u32, Ticket)> = Vec::new();
    for number in 0..50_000 {
        match random(5) {
            0 | 1 => {
                seated.push((number, list.join(number)));
                line.push_back(number);
            }
            2 => {
                assert_eq!(list.first().copied(), line.front().copied());
                assert_eq!(list.call_first().is_some(), line.pop_front().is_some());
            }
            _ if !seated.is_empty() => {
                let (number, ticket) = seated.swap_remove(random(seated.len()));
                let place = line.iter().position(|other| *other == number);
                let left = list.leave(&ticket);
                assert_eq!(left.payload, number);
                assert_eq!(left.is_called, place.is_none());
                assert_eq!(left.was_first, place == Some(0));
                if let Some(place) = place {
                    line.remove(place);
                }
            }
            _ => {}
        }
        assert_eq!(list.is_empty(), line.is_empty());
    }
}

#[test]
fn a_select_that_was_won_elsewhere_is_passed_over_and_its_own_seat_is_skipped() {
    // Never freed, and no leak.
    static CLAIMS: std::sync::OnceLock<[Claim; 2]> = std::sync::OnceLock::new();
    let [won, open] = CLAIMS.get_or_init(|| [Claim::new(), Claim::new()]);
    won.begin();
    open.begin();
    let mut list = WaitList::new();
    let first = list.join_as(Stake::new(won, 0), 1);
    let second = list.join_as(Stake::new(open, 5), 2);
    let third = list.join(3);
    assert_eq!(won.win(7), Win::Won);
    // The second's own select calls the third.
    let _nobody_sleeps = list
        .call_other(Some(open), |payload| *payload = 30)
        .unwrap();
    assert!(list.is_called(&third) && !list.is_called(&first) && list.is_first(&second));
    let _nobody_sleeps = list.call_first_with(|payload| *payload = 20).unwrap();
    assert_eq!((open.winner(), won.winner()), (Some(5), Some(7)));
    assert!(list.is_empty() && list.call_first().is_none());
    for (ticket, payload, is_called) in [(first, 1, false), (third, 30, true), (second, 20, true)] {
        let left = list.leave(&ticket);
        assert_eq!((left.payload, left.is_called), (payload, is_called));
        assert!(!left.was_first);
    }
}
