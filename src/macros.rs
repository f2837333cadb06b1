//! The macros of the face.

/// Waits until one of several things can be done, does that one, and runs what stands behind it.
///
/// ```
/// use std::time::Duration;
/// use greenloom::{channel, select, sync::Event};
///
/// # greenloom::run(|| {
/// let (requests, inbox) = channel::bounded::<&str>(10);
/// let (outbox, replies) = channel::bounded(10);
/// let stop = Event::new();
/// let mut helper = greenloom::spawn(|| 6 * 7);
/// requests.send("ping").unwrap();
/// let mut queued = Vec::new();
///
/// for _ in 0..4 {
///     select! {
///         recv(inbox) -> message => match message {
///             Ok(text) => queued.push(text),
///             Err(_) => break, // every sender is gone
///         },
///         send(outbox, queued[0]) -> sent if !queued.is_empty() => {
///             sent.unwrap();
///             queued.clear();
///         }
///         join(helper) -> answer if !helper.is_finished() => {
///             assert_eq!(answer.unwrap(), 42);
///         }
///         wait(stop) => break,
///         timeout(Duration::from_millis(10)) => break,
///     }
/// }
/// # drop(replies);
/// # });
/// ```
///
/// # Arms
///
/// | arm | is ready when | gives |
/// |---|---|---|
/// | `recv(receiver) -> result` | a value is there, or none will ever come | what [`recv`](crate::channel::Receiver::recv) returns |
/// | `send(sender, value) -> result` | there is room, or nobody will ever receive | what [`send`](crate::channel::Sender::send) returns |
/// | `join(handle) -> result` | the task has ended | what [`join`](crate::JoinHandle::join) returns |
/// | `wait(event)` | the [event](crate::sync::Event) is set, or the [token](crate::task::CancelToken) cancelled | `()` |
/// | `timeout(duration)` | no other was ready in time | |
/// | `default` | no other is ready now: the select does not wait | |
///
/// Each is followed by `=>` and an expression, and by a comma unless the expression is a block or the last.
/// All expressions have the type of the whole. `-> pattern` may be left out. At most one arm is a `timeout`
/// or the `default`.
///
/// Behind the pattern `if condition` may stand, as in a `match`; it does not see what the pattern binds. When
/// it is false the arm is switched off: it is not looked at, and its operands are not evaluated.
///
/// # What is certain
///
/// Conditions and operands are evaluated once, in the order in which they stand, and last of all the duration of
/// a `timeout`, wherever it stands: it counts from then on. Exactly one arm is done, at one
/// moment; the others have done nothing: no value is taken out of a channel, none is put in, a task is not
/// joined. Of several arms that are ready each is as likely as the others; two selects that face each other over
/// a [`rendezvous`](crate::channel::rendezvous) meet. A select does not meet itself. No task is spawned, and up to
/// eight arms take no memory from the heap.
///
/// The value of a `send` that was not done is dropped. To have it back use [`Select`](crate::select::Select),
/// which is also the one for lists of arms.
///
/// The receiver, sender, or event is borrowed, wherever it is: `recv(self.inbox)` and `recv(&inbox)` both
/// work. A handle is borrowed mutably, and can be used on if another arm was done; one that has given its
/// outcome makes the select panic.
///
/// The expression is run after all of that, with nothing borrowed; `break`, `return` and `?` in it mean what
/// they mean around the select.
///
/// # Cancellation
///
/// Unwinds while it waits. What was handed to one of its arms meanwhile goes to the next who waits for it.
///
/// # Parks
///
/// While no arm is ready (`select`). One that is ready again and again yields once in a while.
///
/// # Examples
///
/// An arm for each of two directions:
///
/// ```
/// use greenloom::{channel, select};
///
/// # greenloom::run(|| {
/// let (sender, receiver) = channel::rendezvous();
/// let either_way = |mine: i32| {
///     let (sender, receiver) = (sender.clone(), receiver.clone());
///     greenloom::spawn(move || {
///         select! {
///             recv(receiver) -> theirs => format!("{mine} got {}", theirs.unwrap()),
///             send(sender, mine) => format!("{mine} was sent"),
///         }
///     })
/// };
/// let (one, two) = (either_way(1), either_way(2));
/// let mut said = [one.join().unwrap(), two.join().unwrap()];
/// said.sort();
/// assert!(said == ["1 got 2", "2 was sent"] || said == ["1 was sent", "2 got 1"]);
/// # });
/// ```
#[cfg(feature = "runtime")]
#[macro_export]
macro_rules! select {
    ($($tokens:tt)+) => {
        $crate::__select!(@arm [] [] $($tokens)+)
    };
}

/// The parts of `select!`.
///
/// `@arm [arms] [otherwise] rest`: reads the head of the next arm. An arm that was read is
/// `(operation (pattern) (condition) (body))`; otherwise is empty or `(until) (body)`.
#[cfg(feature = "runtime")]
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@arm $arms:tt $else:tt recv($receiver:expr $(,)?) $($rest:tt)+) => {
        $crate::__select!(@head $arms $else ($receiver.recv_arm()) $($rest)+)
    };
    (@arm $arms:tt $else:tt send($sender:expr, $value:expr $(,)?) $($rest:tt)+) => {
        $crate::__select!(@head $arms $else ($sender.send_arm($value)) $($rest)+)
    };
    (@arm $arms:tt $else:tt join($handle:expr $(,)?) $($rest:tt)+) => {
        $crate::__select!(@head $arms $else ($handle.join_arm()) $($rest)+)
    };
    (@arm $arms:tt $else:tt wait($event:expr $(,)?) $($rest:tt)+) => {
        $crate::__select!(@head $arms $else ($event.wait_arm()) $($rest)+)
    };
    (@arm $arms:tt [] timeout($time:expr $(,)?) if $on:expr => $($rest:tt)+) => {
        $crate::__select!(@body $arms [] (last (if $on {
            $crate::select::Until::For($time)
        } else {
            $crate::select::Until::Always
        })) $($rest)+)
    };
    (@arm $arms:tt [] timeout($time:expr $(,)?) => $($rest:tt)+) => {
        $crate::__select!(@body $arms [] (last ($crate::select::Until::For($time))) $($rest)+)
    };
    (@arm $arms:tt [] default => $($rest:tt)+) => {
        $crate::__select!(@body $arms [] (last ($crate::select::Until::AtOnce)) $($rest)+)
    };
    (@arm $arms:tt [$($else:tt)+] timeout $($rest:tt)+) => {
        ::core::compile_error!("a select has at most one `timeout` or `default`")
    };
    (@arm $arms:tt [$($else:tt)+] default $($rest:tt)+) => {
        ::core::compile_error!("a select has at most one `timeout` or `default`")
    };
    (@arm [] []) => {
        ::core::compile_error!("a select without arms would wait for ever")
    };
    (@arm $arms:tt []) => {
        $crate::__select!(@match ($arms ($crate::select::Until::Always)
            (::core::unreachable!("a select without a time limit is never late"))) [] [] $arms)
    };
    (@arm $arms:tt [$until:tt $body:tt]) => {
        $crate::__select!(@match ($arms $until $body) [] [] $arms)
    };
    (@arm $arms:tt $else:tt $($rest:tt)+) => {
        ::core::compile_error!(
            "an arm of a select is `recv(receiver)`, `send(sender, value)`, `join(handle)`, `wait(event)`, \
             `timeout(duration)` or `default`, then perhaps `-> pattern` and `if condition`, then `=> expression`"
        )
    };

    // What stands between the operation and `=>`.
    (@head $arms:tt $else:tt $op:tt -> $pattern:pat if $on:expr => $($rest:tt)+) => {
        $crate::__select!(@body $arms $else (arm $op ($pattern) ($on)) $($rest)+)
    };
    (@head $arms:tt $else:tt $op:tt -> $pattern:pat => $($rest:tt)+) => {
        $crate::__select!(@body $arms $else (arm $op ($pattern) (true)) $($rest)+)
    };
    (@head $arms:tt $else:tt $op:tt if $on:expr => $($rest:tt)+) => {
        $crate::__select!(@body $arms $else (arm $op (_) ($on)) $($rest)+)
    };
    (@head $arms:tt $else:tt $op:tt => $($rest:tt)+) => {
        $crate::__select!(@body $arms $else (arm $op (_) (true)) $($rest)+)
    };
    (@head $arms:tt $else:tt $op:tt $($rest:tt)+) => {
        ::core::compile_error!(
            "behind the operation of an arm stands `-> pattern`, `if condition`, both, or `=>`"
        )
    };

    // The expression, and whether a comma ends it.
    (@body $arms:tt $else:tt $head:tt $body:block, $($rest:tt)*) => {
        $crate::__select!(@push $arms $else $head ($body) $($rest)*)
    };
    (@body $arms:tt $else:tt $head:tt $body:block $($rest:tt)*) => {
        $crate::__select!(@push $arms $else $head ($body) $($rest)*)
    };
    (@body $arms:tt $else:tt $head:tt $body:expr, $($rest:tt)*) => {
        $crate::__select!(@push $arms $else $head ($body) $($rest)*)
    };
    (@body $arms:tt $else:tt $head:tt $body:expr) => {
        $crate::__select!(@push $arms $else $head ($body))
    };
    (@push [$($arms:tt)*] $else:tt (arm $op:tt $pattern:tt $on:tt) $body:tt $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)* ($op $pattern $on $body)] $else $($rest)*)
    };
    (@push $arms:tt [] (last $until:tt) $body:tt $($rest:tt)*) => {
        $crate::__select!(@arm $arms [$until $body] $($rest)*)
    };

    // `@match (arms until late) [cases so far] [one mark for each] arms left`.
    (@match $all:tt [$($cases:tt)*] [$($depth:tt)*]
        [($op:tt $pattern:tt $on:tt $body:tt) $($left:tt)*]) => {
        $crate::__select!(@match $all [$($cases)* ([$($depth)*] $pattern $body)] [$($depth)* x]
            [$($left)*])
    };
    (@match ($arms:tt ($until:expr) ($late:expr)) [$(($depth:tt ($pattern:pat) ($body:expr)))*]
        $end:tt []) => {
        match {
            #[allow(unused_imports)]
            use $crate::select::{Receive as _, Send as _, Waitable as _};
            // Each temporary among the operands lives for as long as the arms do, and no longer.
            let chosen = match $crate::__select!(@list $arms) {
                list => $crate::select::run(list, $until),
            };
            chosen
        } {
            $(::core::option::Option::Some($crate::__select!(@case $depth $pattern)) => $body,)*
            ::core::option::Option::Some($crate::__select!(@none $end never)) => match never {},
            ::core::option::Option::None => $late,
        }
    };
    (@list []) => { $crate::select::End };
    // Not by way of an `if`: a temporary among the operands would not outlive it.
    (@list [(($op:expr) $pattern:tt (true) $body:tt) $($left:tt)*]) => {
        $crate::select::Pair(
            ::core::option::Option::Some($op),
            $crate::__select!(@list [$($left)*]),
        )
    };
    (@list [(($op:expr) $pattern:tt ($on:expr) $body:tt) $($left:tt)*]) => {
        $crate::select::Pair(
            if $on {
                ::core::option::Option::Some($op)
            } else {
                ::core::option::Option::None
            },
            $crate::__select!(@list [$($left)*]),
        )
    };
    (@case [] $pattern:pat) => { $crate::select::Chosen::This($pattern) };
    (@case [x $($depth:tt)*] $pattern:pat) => {
        $crate::select::Chosen::Later($crate::__select!(@case [$($depth)*] $pattern))
    };
    (@none [] $never:ident) => { $never };
    (@none [x $($depth:tt)*] $never:ident) => {
        $crate::select::Chosen::Later($crate::__select!(@none [$($depth)*] $never))
    };
}
