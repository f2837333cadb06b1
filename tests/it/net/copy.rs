//! Copying between streams, as a proxy does.

use greenloom::io::{Duplex, copy, copy_bidirectional};
use greenloom::net::UnixStream;

use super::*;
use crate::watch::watched;

/// A client and a server with a proxy between them.
fn proxied() -> (TcpStream, UnixStream, JoinHandle<io::Result<(u64, u64)>>) {
    let ((client, outer), (inner, server)) = (pair(), UnixStream::pair().unwrap());
    let proxy = spawn(move || copy_bidirectional(&outer, &inner));
    (client, server, proxy)
}

#[test]
fn what_goes_in_on_one_side_comes_out_on_the_other() {
    on_workers(|| {
        let (mut client, mut server, proxy) = proxied();
        let sender = spawn(move || {
            client.write_all(&[7; 3 << 20]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).map(|_| answer)
        });
        let mut all = Vec::new();
        server.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 3 << 20);
        // The other direction is still open.
        server.write_all(b"thanks").unwrap();
        drop(server);
        assert_eq!(sender.join().unwrap().unwrap(), "thanks");
        assert_eq!(proxy.join().unwrap().unwrap(), (3 << 20, 6));
    });
}

#[test]
fn an_error_of_one_direction_ends_the_other() {
    on_workers(|| {
        let (client, mut server, proxy) = proxied();
        (&client).write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(kind(proxy.join().unwrap()), ErrorKind::ConnectionReset);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_proxy_that_is_cancelled_closes_both_connections() {
    on_workers(|| {
        let (mut client, mut server, proxy) = proxied();
        yield_now();
        proxy.cancel();
        assert!(proxy.join().unwrap_err().is_cancelled());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_side_that_does_not_read_keeps_the_other_from_writing() {
    on_one_worker(|| {
        let (client, server, proxy) = proxied();
        let filled = fill(&client);
        // No more than the buffers of the kernel, twice, and one of ours: the proxy gathers nothing.
        assert!(filled < 64 << 20, "{filled}");
        drop(server);
        assert!(proxy.join().unwrap().is_err());
    });
}

#[test]
fn a_copy_that_never_waits_lets_others_run() {
    on_one_worker(|| {
        let endless = spawn(|| copy(&mut io::repeat(1), &mut io::sink()));
        yield_now();
        endless.cancel();
        assert!(endless.join().unwrap_err().is_cancelled());
    });
}

/// Panics when it has read something.
struct Broken(UnixStream);

struct Half<'a>(&'a UnixStream);

impl Read for Half<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Ok(0),
            _ => panic!("it does not like that"),
        }
    }
}

impl Write for Half<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Duplex for Broken {
    fn both_ways(&self) -> impl Read + Write + '_ {
        Half(&self.0)
    }

    fn close_write(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

#[test]
fn a_panic_of_one_direction_ends_the_other() {
    watched(|| {
        on_workers(|| {
            for is_first in [true, false] {
                let ((mut client, near), (far, _server)) =
                    (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
                let proxy = spawn(move || match is_first {
                    true => copy_bidirectional(&Broken(near), &far),
                    false => copy_bidirectional(&far, &Broken(near)),
                });
                client.write_all(b"x").unwrap();
                assert!(proxy.join().unwrap_err().is_panic());
            }
        });
    });
}
