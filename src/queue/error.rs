//! Why a put, a get, a send or a receive failed; what was to go in is given back.

use std::error::Error;
use std::fmt;

/// The errors of one who gives, and of one who takes, of a queue and of a pipe alike.
macro_rules! family {
    (
        ends: $Ended:ident, $is_ended:ident, $doc_ended:literal,
        gives: $Give:ident $TryGive:ident $GiveTimeout:ident, $try_give:literal, $give_timeout:literal, $refused:literal,
        takes: $Take:ident $TryTake:ident $TakeTimeout:ident, $try_take:literal, $take_timeout:literal, $nothing:literal,
    ) => {
        #[doc = concat!($doc_ended, " The value is given back.")]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $Give<T>(pub T);

        #[doc = concat!("Why ", $try_give, " did not; the value is given back.")]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum $TryGive<T> {
            /// There is no room now.
            Full(T),
            #[doc = $doc_ended]
            $Ended(T),
        }

        #[doc = concat!("Why ", $give_timeout, " did not; the value is given back.")]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum $GiveTimeout<T> {
            /// There was no room in time.
            Timeout(T),
            #[doc = $doc_ended]
            $Ended(T),
        }

        #[doc = concat!($doc_ended, " Nothing will ever come.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $Take;

        #[doc = concat!("Why ", $try_take, " gave nothing.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $TryTake {
            /// Nothing is there now.
            Empty,
            #[doc = concat!($doc_ended, " Nothing will ever come.")]
            $Ended,
        }

        #[doc = concat!("Why ", $take_timeout, " gave nothing.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $TakeTimeout {
            /// Nothing came in time.
            Timeout,
            #[doc = concat!($doc_ended, " Nothing will ever come.")]
            $Ended,
        }

        impl<T> $Give<T> {
            /// The value that did not go in.
            pub fn into_inner(self) -> T {
                self.0
            }
        }

        impl<T> $TryGive<T> {
            /// The value that did not go in.
            pub fn into_inner(self) -> T {
                match self {
                    $TryGive::Full(value) | $TryGive::$Ended(value) => value,
                }
            }

            /// Whether there was no room.
            pub fn is_full(&self) -> bool {
                matches!(self, $TryGive::Full(_))
            }

            /// Whether there will never be room again.
            pub fn $is_ended(&self) -> bool {
                matches!(self, $TryGive::$Ended(_))
            }
        }

        impl<T> $GiveTimeout<T> {
            /// The value that did not go in.
            pub fn into_inner(self) -> T {
                match self {
                    $GiveTimeout::Timeout(value) | $GiveTimeout::$Ended(value) => value,
                }
            }

            /// Whether the time was over.
            pub fn is_timeout(&self) -> bool {
                matches!(self, $GiveTimeout::Timeout(_))
            }

            /// Whether there will never be room again.
            pub fn $is_ended(&self) -> bool {
                matches!(self, $GiveTimeout::$Ended(_))
            }
        }

        impl $TryTake {
            /// Whether nothing was there.
            pub fn is_empty(&self) -> bool {
                matches!(self, $TryTake::Empty)
            }

            /// Whether nothing will ever come.
            pub fn $is_ended(&self) -> bool {
                matches!(self, $TryTake::$Ended)
            }
        }

        impl $TakeTimeout {
            /// Whether the time was over.
            pub fn is_timeout(&self) -> bool {
                matches!(self, $TakeTimeout::Timeout)
            }

            /// Whether nothing will ever come.
            pub fn $is_ended(&self) -> bool {
                matches!(self, $TakeTimeout::$Ended)
            }
        }

        // The values need not be `Debug`: their errors are, without them.

        impl<T> fmt::Debug for $Give<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($Give), "(..)"))
            }
        }

        impl<T> fmt::Debug for $TryGive<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $TryGive::Full(_) => "Full(..)",
                    $TryGive::$Ended(_) => concat!(stringify!($Ended), "(..)"),
                })
            }
        }

        impl<T> fmt::Debug for $GiveTimeout<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $GiveTimeout::Timeout(_) => "Timeout(..)",
                    $GiveTimeout::$Ended(_) => concat!(stringify!($Ended), "(..)"),
                })
            }
        }

        impl<T> fmt::Display for $Give<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($refused)
            }
        }

        impl<T> fmt::Display for $TryGive<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $TryGive::Full(_) => "there is no room",
                    $TryGive::$Ended(_) => $refused,
                })
            }
        }

        impl<T> fmt::Display for $GiveTimeout<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $GiveTimeout::Timeout(_) => "there was no room in time",
                    $GiveTimeout::$Ended(_) => $refused,
                })
            }
        }

        impl fmt::Display for $Take {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($nothing)
            }
        }

        impl fmt::Display for $TryTake {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $TryTake::Empty => "nothing is there",
                    $TryTake::$Ended => $nothing,
                })
            }
        }

        impl fmt::Display for $TakeTimeout {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $TakeTimeout::Timeout => "nothing came in time",
                    $TakeTimeout::$Ended => $nothing,
                })
            }
        }

        impl<T> Error for $Give<T> {}
        impl<T> Error for $TryGive<T> {}
        impl<T> Error for $GiveTimeout<T> {}
        impl Error for $Take {}
        impl Error for $TryTake {}
        impl Error for $TakeTimeout {}

        impl<T> From<$Give<T>> for $TryGive<T> {
            fn from(error: $Give<T>) -> Self {
                $TryGive::$Ended(error.0)
            }
        }

        impl<T> From<$Give<T>> for $GiveTimeout<T> {
            fn from(error: $Give<T>) -> Self {
                $GiveTimeout::$Ended(error.0)
            }
        }

        impl From<$Take> for $TryTake {
            fn from(_: $Take) -> Self {
                $TryTake::$Ended
            }
        }

        impl From<$Take> for $TakeTimeout {
            fn from(_: $Take) -> Self {
                $TakeTimeout::$Ended
            }
        }
    };
}

family! {
    ends: ShutDown, is_shut_down, "The queue was shut down.",
    gives: PutError TryPutError PutTimeoutError,
        "[`Queue::try_put`](super::Queue::try_put)", "[`Queue::put_timeout`](super::Queue::put_timeout)",
        "putting into a queue that was shut down",
    takes: GetError TryGetError GetTimeoutError,
        "[`Queue::try_get`](super::Queue::try_get)", "[`Queue::get_timeout`](super::Queue::get_timeout)",
        "getting from an empty queue that was shut down",
}

family! {
    ends: Disconnected, is_disconnected, "The other end is gone.",
    gives: SendError TrySendError SendTimeoutError,
        "[`End::try_send`](super::End::try_send)", "[`End::send_timeout`](super::End::send_timeout)",
        "sending into a pipe whose other end is gone",
    takes: RecvError TryRecvError RecvTimeoutError,
        "[`End::try_recv`](super::End::try_recv)", "[`End::recv_timeout`](super::End::recv_timeout)",
        "receiving from an empty pipe whose other end is gone",
}
