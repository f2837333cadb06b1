//! How a manager and its clients make sure of each other before either reads a frame: both know the same key.
//!
//! ```text
//!   server                                    client
//!   magic, its id, a nonce             ->
//!                                      <-     magic, a nonce, a proof
//!   a proof                            ->
//! ```
//!
//! Messages of fixed lengths, so that nobody's length is believed before he is. A proof is an HMAC-SHA-256, under the
//! key, of the side that gives it, the id and both nonces: so it is good for this connection and this side alone, and
//! neither side's proof can be sent back to it. The client proves first: a server shows strangers nothing that they
//! could test keys on. What comes after is not encrypted.

use std::fmt;
use std::io;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::io::Limit;
use crate::sys::random;

use super::link::Wire;

/// With the version of all that is said afterwards.
const MAGIC: [u8; 8] = *b"glmgr\x00\x00\x01";

const NONCE: usize = 32;
const PROOF: usize = 32;
const GREETING: usize = MAGIC.len() + size_of::<ServerId>() + NONCE;
const ANSWER: usize = MAGIC.len() + NONCE + PROOF;

/// Which manager this is: no two have the same, not even one after the other at the same address.
pub(super) type ServerId = [u8; 16];

/// What clients of a manager know.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key(Arc<[u8]>);

impl Key {
    /// # Errors
    /// `InvalidInput` for an empty one.
    pub(super) fn new(key: &[u8]) -> io::Result<Key> {
        match key.is_empty() {
            false => Ok(Key(key.into())),
            true => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a manager's key is empty",
            )),
        }
    }

    /// One that nobody has.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(super) fn random() -> io::Result<Key> {
        Ok(Key(Arc::new(random::bytes::<32>()?)))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn proof(&self, side: &[u8], session: &Session) -> Hmac<Sha256> {
        let Ok(mut proof) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("a key of any length will do");
        };
        proof.update(side);
        proof.update(&session.id);
        proof.update(&session.servers);
        proof.update(&session.clients);
        proof
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

const SERVER: &[u8] = b"greenloom manager: server";
const CLIENT: &[u8] = b"greenloom manager: client";

/// What makes a connection different from all others.
struct Session {
    id: ServerId,
    servers: [u8; NONCE],
    clients: [u8; NONCE],
}

/// Cuts a message into its fields; the lengths are right by their types.
fn field<const N: usize>(message: &[u8], begin: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&message[begin..begin + N]);
    field
}

/// The server's side: whether the client knows the key.
///
/// # Errors
/// `PermissionDenied` when it does not; `InvalidData` when it is no client at all; `TimedOut`, and what else may happen
/// to a connection.
#[track_caller]
pub(super) fn admit(wire: &Wire, id: ServerId, key: &Key, limit: Limit) -> io::Result<()> {
    let servers: [u8; NONCE] = random::bytes()?;
    let greeting = [MAGIC.as_slice(), &id, &servers].concat();
    wire.send_all(&greeting, limit)?;
    let mut answer = [0; ANSWER];
    // One who speaks another language is sent away at its first words.
    let (magic, rest) = answer.split_at_mut(MAGIC.len());
    wire.recv_exact(magic, limit)?;
    if *magic != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no client of a manager",
        ));
    }
    wire.recv_exact(rest, limit)?;
    let session = Session {
        id,
        servers,
        clients: field(&answer, MAGIC.len()),
    };
    let proof: [u8; PROOF] = field(&answer, MAGIC.len() + NONCE);
    // Compares in constant time.
    if key.proof(CLIENT, &session).verify_slice(&proof).is_err() {
        return Err(denied());
    }
    let proof = key.proof(SERVER, &session).finalize().into_bytes();
    wire.send_all(&proof, limit)
}

/// The client's side: which manager this is, which knows the key.
///
/// # Errors
/// As for `admit`.
#[track_caller]
pub(super) fn enter(wire: &Wire, key: &Key, limit: Limit) -> io::Result<ServerId> {
    let mut greeting = [0; GREETING];
    let (magic, rest) = greeting.split_at_mut(MAGIC.len());
    let is_one = wire.recv_exact(magic, limit).and_then(|()| {
        let is_one = *magic == MAGIC;
        if is_one {
            wire.recv_exact(rest, limit)?;
        }
        Ok(is_one)
    });
    match is_one {
        Ok(true) => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {
            let text = "what listens there is no manager, or one of another version";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    }
    let session = Session {
        id: field(&greeting, MAGIC.len()),
        servers: field(&greeting, MAGIC.len() + size_of::<ServerId>()),
        clients: random::bytes()?,
    };
    let proof = key.proof(CLIENT, &session).finalize().into_bytes();
    let answer = [MAGIC.as_slice(), &session.clients, &proof].concat();
    wire.send_all(&answer, limit)?;
    let mut proof = [0; PROOF];
    wire.recv_exact(&mut proof, limit).map_err(|error| {
        use io::ErrorKind::{ConnectionReset, UnexpectedEof};
        match error.kind() {
            ConnectionReset | UnexpectedEof => denied(),
            _ => error,
        }
    })?;
    match key.proof(SERVER, &session).verify_slice(&proof) {
        Ok(()) => Ok(session.id),
        Err(_) => Err(denied()),
    }
}

fn denied() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the manager's key is another",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    const LIMIT: Limit = Limit::Within(Duration::from_secs(20));

    fn meet(ours: &[u8], theirs: &[u8]) -> (io::Result<()>, io::Result<ServerId>) {
        let (server, client) = Wire::pair().unwrap();
        let (ours, theirs) = (Key::new(ours).unwrap(), Key::new(theirs).unwrap());
        let client = thread::spawn(move || enter(&Wire::new(client), &theirs, LIMIT));
        let admitted = admit(&server, [7; 16], &ours, LIMIT);
        drop(server);
        (admitted, client.join().unwrap())
    }

    #[test]
    fn who_knows_the_key_is_let_in_and_nobody_else() {
        let (admitted, entered) = meet(b"secret", b"secret");
        admitted.unwrap();
        assert_eq!(entered.unwrap(), [7; 16]);
        for (ours, theirs) in [(b"secret".as_slice(), b"secrets".as_slice()), (b"a", b"b")] {
            let (admitted, entered) = meet(ours, theirs);
            assert_eq!(
                admitted.unwrap_err().kind(),
                io::ErrorKind::PermissionDenied
            );
            assert_eq!(entered.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        assert!(Key::new(b"").is_err());
    }

    #[test]
    fn a_server_that_only_repeats_what_it_hears_is_found_out() {
        let (server, client) = Wire::pair().unwrap();
        let key = Key::new(b"secret").unwrap();
        let client = thread::spawn(move || enter(&Wire::new(client), &key, LIMIT));
        let mut greeting = [9; GREETING];
        greeting[..MAGIC.len()].copy_from_slice(&MAGIC);
        server.send_all(&greeting, LIMIT).unwrap();
        let mut answer = [0; ANSWER];
        server.recv_exact(&mut answer, LIMIT).unwrap();
        server.send_all(&answer[ANSWER - PROOF..], LIMIT).unwrap();
        let entered = client.join().unwrap();
        assert_eq!(entered.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_proof_is_good_for_its_connection_alone() {
        let session = |byte| Session {
            id: [byte; 16],
            servers: [1; NONCE],
            clients: [2; NONCE],
        };
        let key = Key::new(b"secret").unwrap();
        let proof = key.proof(CLIENT, &session(0)).finalize().into_bytes();
        assert!(key.proof(CLIENT, &session(0)).verify_slice(&proof).is_ok());
        assert!(key.proof(CLIENT, &session(1)).verify_slice(&proof).is_err());
        assert!(key.proof(SERVER, &session(0)).verify_slice(&proof).is_err());
    }
}
