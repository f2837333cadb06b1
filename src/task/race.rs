//! Closures that run against each other: the first to come in wins, and the others are out before it returns.

use std::panic::Location;

use crate::base::clock::Deadline;
use crate::scheduler::park;

use super::join::JoinError;
use super::scope::scope;
use super::wait::as_completed;

/// How a [`race`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finish<T> {
    /// The place of the winner among those who ran.
    pub index: usize,
    /// What it came to.
    pub value: T,
    /// Who came to a value all the same, before the cancellation reached it, in order of arrival.
    pub late: Vec<(usize, T)>,
}

/// Runs the closures as tasks at the same time and returns what the first of them came to. The others are
/// cancelled, and have ended, destructors and all, when this returns: so they may borrow.
///
/// A loser may come to its value before the cancellation reaches it, or be [shielded](super::shield) from it:
/// such values are not lost, they are in [`Finish::late`].
///
/// # Panics
///
/// When there is no closure: nobody could win. With the panic of a closure, when all others have ended.
///
/// # Cancellation
///
/// Reaches all of them, and goes on when they have ended.
///
/// # Parks
///
/// Until the first has come in and the others have ended (`task.wait`, `task.scope`).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// greenloom::Runtime::builder().virtual_clock().run(|| {
///     let finish = greenloom::task::race([30, 10, 20].map(|n| move || {
///         greenloom::sleep(Duration::from_secs(n));
///         n
///     }));
///     assert_eq!((finish.index, finish.value), (1, 10));
///     assert!(finish.late.is_empty());
/// }).unwrap();
/// ```
#[track_caller]
pub fn race<F, T>(entrants: impl IntoIterator<Item = F>) -> Finish<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let entrants: Vec<F> = entrants.into_iter().collect();
    assert!(!entrants.is_empty(), "a race that nobody runs in");
    let arrivals = run(entrants, |_| true);
    let mut arrivals = arrivals.into_iter();
    let Some((index, value)) = arrivals.next() else {
        panic!("everybody who ran in the race was cancelled");
    };
    Finish {
        index,
        value,
        late: arrivals.collect(),
    }
}

/// As [`race`], but only an `Ok` wins; when nobody comes to one, all errors are returned, in the order of the
/// closures.
///
/// When somebody wins, the errors of those who came in before, and after, are dropped.
///
/// # Errors
///
/// All errors; none where there is no closure.
///
/// # Panics
///
/// With the panic of a closure, when all others have ended.
///
/// # Cancellation
///
/// Reaches all of them, and goes on when they have ended.
///
/// # Parks
///
/// As [`race`].
///
/// # Examples
///
/// ```
/// # greenloom::run(|| {
/// let first = greenloom::task::any(["x", "2", "y"].map(|text| || text.parse::<u32>()));
/// assert_eq!(first.unwrap().value, 2);
/// let errors = greenloom::task::any(["x", "y"].map(|text| || text.parse::<u32>())).unwrap_err();
/// assert_eq!(errors.len(), 2);
/// # });
/// ```
#[track_caller]
pub fn any<F, T, E>(entrants: impl IntoIterator<Item = F>) -> Result<Finish<T>, Vec<E>>
where
    F: FnOnce() -> Result<T, E> + Send,
    T: Send,
    E: Send,
{
    let mut wins = Vec::new();
    let mut errors = Vec::new();
    for (index, outcome) in run(entrants.into_iter().collect(), Result::is_ok) {
        match outcome {
            Ok(value) => wins.push((index, value)),
            Err(error) => errors.push((index, error)),
        }
    }
    let mut wins = wins.into_iter();
    match wins.next() {
        Some((index, value)) => Ok(Finish {
            index,
            value,
            late: wins.collect(),
        }),
        None => {
            errors.sort_by_key(|(index, _)| *index);
            Err(errors.into_iter().map(|(_, error)| error).collect())
        }
    }
}

/// Runs all until one wins; returns whatever anybody came to, in order of arrival.
#[track_caller]
fn run<F, T>(entrants: Vec<F>, wins: impl Fn(&T) -> bool) -> Vec<(usize, T)>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let place = Location::caller();
    scope(|s| {
        let mut tasks = as_completed(
            entrants
                .into_iter()
                .map(|entrant| s.spawn_at(place, entrant))
                .collect::<Vec<_>>(),
        );
        let mut arrivals = Vec::new();
        let mut panic = None;
        while let Some((index, task)) = park::at(place, || tasks.next_by(Deadline::NEVER)) {
            let is_over = match task.join() {
                Ok(value) => {
                    let is_won = wins(&value);
                    arrivals.push((index, value));
                    is_won
                }
                Err(JoinError::Panicked(theirs)) => {
                    // The first; the hook has told of all.
                    panic.get_or_insert(theirs);
                    true
                }
                Err(_) => false,
            };
            if is_over {
                s.cancel();
            }
        }
        if let Some(panic) = panic {
            drop(arrivals);
            park::rethrow(panic.into_payload());
        }
        arrivals
    })
}
