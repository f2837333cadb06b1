//! What is answered to what.

use std::fmt::Write;

use crate::args::Limits;
use crate::request::Head;

/// An answer; its head is written by whoever sends it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Content,
    /// A field more, with its line end.
    pub(crate) field: &'static str,
}

/// What is sent after the head.
pub(crate) enum Content {
    Whole(Vec<u8>),
    /// In chunks, as they are made.
    Chunks(Box<dyn Iterator<Item = String>>),
}

impl Content {
    pub(crate) fn whole(self) -> Content {
        match self {
            Content::Chunks(chunks) => Content::Whole(chunks.collect::<String>().into()),
            whole @ Content::Whole(_) => whole,
        }
    }
}

impl Answer {
    pub(crate) fn new(status: u16, text: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status,
            body: Content::Whole(text.into()),
            field: "",
        }
    }

    /// One that says its status only.
    pub(crate) fn status(status: u16) -> Answer {
        Answer::new(status, format!("{}\n", reason(status)))
    }
}

pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Bad Request",
    }
}

pub(crate) fn answer(head: &Head, body: Vec<u8>, limits: &Limits) -> Answer {
    let path = head.path.split('?').next().unwrap_or("");
    let is_get = matches!(&*head.method, "GET" | "HEAD");
    match path {
        "/echo" if head.method == "POST" => Answer::new(200, body),
        "/echo" => not_allowed("Allow: POST\r\n"),
        "/" | "/slow" if !is_get => not_allowed("Allow: GET, HEAD\r\n"),
        "/" => Answer::new(200, "Hello, World!"),
        "/slow" => {
            greenloom::sleep(limits.slow);
            Answer::new(200, "at last\n")
        }
        _ => match path.strip_prefix("/count/").and_then(|n| n.parse().ok()) {
            Some(last) if is_get => count(last),
            _ => Answer::status(404),
        },
    }
}

fn not_allowed(field: &'static str) -> Answer {
    Answer {
        field,
        ..Answer::status(405)
    }
}

/// The numbers up to `last`, some on each chunk.
fn count(last: u64) -> Answer {
    let chunks = (1..=last).step_by(1000).map(move |first| {
        let mut text = String::new();
        for number in first..=last.min(first.saturating_add(999)) {
            let _ = writeln!(text, "{number}");
        }
        text
    });
    Answer {
        status: 200,
        body: Content::Chunks(Box::new(chunks)),
        field: "",
    }
}
