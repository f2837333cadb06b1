//! One request: what its head says, and how its body comes.

use httparse::{EMPTY_HEADER, Status};

/// Fields of a head at most.
const FIELDS: usize = 64;
/// Bytes of a line with a chunk's size at most: who puts more beside it has us read much for little.
const CHUNK_LINE: usize = 256;

/// What the head of a request says, as far as it matters here.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Body,
    /// Those of HTTP/1.0 end with the first answer, and know nothing of chunks.
    pub(crate) keeps_alive: bool,
    pub(crate) is_1_1: bool,
    /// The client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
}

/// How the body comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Body {
    Sized(usize),
    Chunked,
}

/// The status of a request that cannot be answered otherwise; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Refusal(pub(crate) u16);

const BAD_REQUEST: Refusal = Refusal(400);
pub(crate) const TOO_SLOW: Refusal = Refusal(408);
pub(crate) const BODY_TOO_LARGE: Refusal = Refusal(413);
pub(crate) const HEAD_TOO_LARGE: Refusal = Refusal(431);
const UNKNOWN_ENCODING: Refusal = Refusal(501);

/// Reads a head from the front of `bytes`, and says how many bytes it takes; `None` if it is not all there.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let used = match request.parse(bytes) {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
        Err(httparse::Error::Version) => return Err(Refusal(505)),
        Err(_) => return Err(BAD_REQUEST),
    };
    are_lines_ended_in_full(&bytes[..used])?;
    let is_1_1 = request.version == Some(1);
    let mut head = Head {
        method: request.method.unwrap_or("").into(),
        path: without_authority(request.path.unwrap_or("")).into(),
        body: Body::Sized(0),
        keeps_alive: is_1_1,
        is_1_1,
        expects_continue: false,
    };
    let (mut length, mut is_chunked, mut hosts) = (None, false, 0);
    for field in request.headers.iter() {
        // Of a field that matters here, what is no text is nonsense anyway. No blank but these two is one: who takes
        // others off sees another length than somebody before him.
        let value = str::from_utf8(field.value).unwrap_or("?");
        let value = value.trim_matches([' ', '\t']);
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("host") {
            hosts += 1;
        } else if is("content-length") {
            let number = value.bytes().all(|byte| byte.is_ascii_digit());
            let bytes: usize = value.parse().ok().filter(|_| number).ok_or(BAD_REQUEST)?;
            // Two of them are an attempt to have somebody else see another request.
            if length.replace(bytes).is_some() {
                return Err(BAD_REQUEST);
            }
        } else if is("transfer-encoding") {
            if is_chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(UNKNOWN_ENCODING);
            }
            is_chunked = true;
        } else if is("connection") {
            for word in value.split(',').map(str::trim) {
                if word.eq_ignore_ascii_case("close") {
                    head.keeps_alive = false;
                }
            }
        } else if is("expect") {
            head.expects_continue = value.eq_ignore_ascii_case("100-continue");
        }
    }
    head.body = match (length, is_chunked) {
        (Some(_), true) => return Err(BAD_REQUEST),
        (None, true) if !is_1_1 => return Err(BAD_REQUEST),
        (None, true) => Body::Chunked,
        (length, false) => Body::Sized(length.unwrap_or(0)),
    };
    if hosts > 1 || (is_1_1 && hosts == 0) {
        return Err(BAD_REQUEST);
    }
    Ok(Some((head, used)))
}

/// Of `http://host/path`, which proxies get and everybody has to understand, the path.
fn without_authority(target: &str) -> &str {
    match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    }
}

/// The parser lets a line end with LF alone. Where somebody before us does not, the two see different requests.
fn are_lines_ended_in_full(head: &[u8]) -> Result<(), Refusal> {
    let is_full = |at: usize| head[at] != b'\n' || at > 0 && head[at - 1] == b'\r';
    match (0..head.len()).all(is_full) {
        true => Ok(()),
        false => Err(BAD_REQUEST),
    }
}

/// Reads the size of a chunk from the front of `bytes`, and says how many bytes that takes.
pub(crate) fn chunk_size(bytes: &[u8]) -> Result<Option<(u64, usize)>, Refusal> {
    match httparse::parse_chunk_size(bytes) {
        Ok(Status::Complete((used, size))) if used <= CHUNK_LINE => {
            // The parser takes an extension for what it is, line ends within it too.
            are_lines_ended_in_full(&bytes[..used])?;
            Ok(Some((size, used)))
        }
        Ok(Status::Partial) if bytes.len() < CHUNK_LINE => Ok(None),
        _ => Err(BAD_REQUEST),
    }
}

/// Reads what comes after the last chunk, of which nothing matters, and says how many bytes that takes.
pub(crate) fn trailer(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    match httparse::parse_headers(bytes, &mut fields) {
        Ok(Status::Complete((used, _))) => {
            are_lines_ended_in_full(&bytes[..used])?;
            Ok(Some(used))
        }
        Ok(Status::Partial) => Ok(None),
        Err(_) => Err(BAD_REQUEST),
    }
}
