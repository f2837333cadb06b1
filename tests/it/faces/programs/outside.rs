//! Sockets, files and programs: what std's types can do, each thing once.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use super::facade::fs::{self, DirBuilder, File, OpenOptions};
use super::facade::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use super::facade::process::{self, Child, Command, ExitStatus, Output, Stdio};
use super::facade::thread;
use super::facade::unix_net::{UnixDatagram, UnixListener, UnixStream};

const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

pub(crate) fn main() -> String {
    let folder = Folder::new();
    tcp().unwrap();
    udp().unwrap();
    unix(&folder.0).unwrap();
    files(&folder.0).unwrap();
    paths(&folder.0).unwrap();
    programs(&folder.0).unwrap();
    "sockets, files, paths and programs".into()
}

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = module_path!().replace(':', "-");
        let name = format!("greenloom-{place}-{}-{number}", process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn would_block<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
}

fn tcp() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address: SocketAddr = listener.local_addr()?;
    assert!(address.to_socket_addrs()?.eq([address]));
    listener.set_ttl(64)?;
    assert_eq!(listener.ttl()?, 64);
    assert!(listener.take_error()?.is_none());
    listener.set_nonblocking(true)?;
    would_block(listener.accept());
    listener.set_nonblocking(false)?;
    let twin = listener.try_clone()?;
    let server = thread::spawn(move || -> io::Result<usize> {
        let (mut first, _) = twin.accept()?;
        let mut text = String::new();
        first.read_to_string(&mut text)?;
        first.write_all(text.as_bytes())?;
        let second = twin.incoming().next().expect("another one")?;
        Ok((&second).read(&mut [0; 10])? + text.len())
    });
    let mut stream = TcpStream::connect(address)?;
    assert_eq!(stream.peer_addr()?, address);
    assert!(stream.local_addr()?.ip().is_loopback());
    stream.set_nodelay(true)?;
    assert!(stream.nodelay()?);
    stream.set_ttl(70)?;
    assert_eq!(stream.ttl()?, 70);
    stream.set_read_timeout(LIMIT)?;
    stream.set_write_timeout(LIMIT)?;
    assert_eq!(
        (stream.read_timeout()?, stream.write_timeout()?),
        (LIMIT, LIMIT)
    );
    assert!(stream.take_error()?.is_none());
    stream.set_nonblocking(true)?;
    would_block(stream.read(&mut [0]));
    would_block(stream.peek(&mut [0]));
    stream.set_nonblocking(false)?;
    assert_eq!(
        stream.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")])?,
        4
    );
    stream.flush()?;
    stream.shutdown(Shutdown::Write)?;
    assert_eq!(stream.peek(&mut [0; 1])?, 1);
    let (mut one, mut rest) = ([0; 1], [0; 8]);
    let got = stream.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut rest)])?;
    assert_eq!((got, one, &rest[..3]), (4, *b"a", b"bcd".as_ref()));
    let twin = TcpStream::connect_timeout(&address, Duration::from_secs(60))?.try_clone()?;
    (&twin).write_all(b"!")?;
    assert_eq!(server.join().unwrap()?, 5);
    let fd: OwnedFd = twin.into();
    let stream = TcpStream::from(fd);
    assert_eq!(stream.as_fd().as_raw_fd(), stream.as_raw_fd());
    let number = stream.into_raw_fd();
    // SAFETY: it is the one that was given out just now.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
    Ok(())
}

fn udp() -> io::Result<()> {
    let (one, other) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    one.set_broadcast(true)?;
    assert!(one.broadcast()?);
    one.set_ttl(3)?;
    assert_eq!(one.ttl()?, 3);
    one.set_multicast_loop_v4(true)?;
    assert!(one.multicast_loop_v4()?);
    one.set_multicast_ttl_v4(2)?;
    assert_eq!(one.multicast_ttl_v4()?, 2);
    let group = Ipv4Addr::new(239, 1, 2, 3);
    if one.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok() {
        one.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    }
    if let Ok(six) = UdpSocket::bind("[::1]:0") {
        six.set_multicast_loop_v6(true)?;
        assert!(six.multicast_loop_v6()?);
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let joined = six.join_multicast_v6(&group, 0);
        assert!(joined.is_err() || six.leave_multicast_v6(&group, 0).is_ok());
    }
    other.set_read_timeout(LIMIT)?;
    other.set_write_timeout(LIMIT)?;
    assert_eq!(
        (other.read_timeout()?, other.write_timeout()?),
        (LIMIT, LIMIT)
    );
    other.set_nonblocking(true)?;
    would_block(other.recv_from(&mut [0]));
    would_block(other.peek_from(&mut [0]));
    other.set_nonblocking(false)?;
    assert_eq!(one.send_to(b"ping", other.local_addr()?)?, 4);
    let mut buffer = [0; 8];
    assert_eq!(other.peek_from(&mut buffer)?, (4, one.local_addr()?));
    assert_eq!(other.recv_from(&mut buffer)?, (4, one.local_addr()?));
    let (one, other) = (one.try_clone()?, other);
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    assert_eq!(one.peer_addr()?, other.local_addr()?);
    one.send(b"again")?;
    assert_eq!(other.peek(&mut buffer)?, 5);
    assert_eq!(other.recv(&mut buffer)?, 5);
    assert!(other.take_error()?.is_none());
    Ok(())
}

fn unix(folder: &Path) -> io::Result<()> {
    let path = folder.join("listener");
    let listener = UnixListener::bind(&path)?;
    let address = listener.local_addr()?;
    assert_eq!(address.as_pathname(), Some(&*path));
    listener.set_nonblocking(true)?;
    would_block(listener.accept());
    listener.set_nonblocking(false)?;
    assert!(listener.take_error()?.is_none());
    let (mut near, other) = (
        UnixStream::connect(&path)?,
        UnixStream::connect_addr(&address)?,
    );
    let (mut far, _) = listener.try_clone()?.accept()?;
    let another = listener.incoming().next().expect("another one")?;
    drop((other, another));
    assert_eq!(near.peer_addr()?.as_pathname(), Some(&*path));
    assert!(near.local_addr()?.is_unnamed());
    near.set_read_timeout(LIMIT)?;
    near.set_write_timeout(LIMIT)?;
    assert_eq!(
        (near.read_timeout()?, near.write_timeout()?),
        (LIMIT, LIMIT)
    );
    near.set_nonblocking(true)?;
    would_block(near.read(&mut [0]));
    near.set_nonblocking(false)?;
    assert!(near.take_error()?.is_none());
    far.write_all(b"x")?;
    far.shutdown(Shutdown::Both)?;
    assert_eq!(near.try_clone()?.read(&mut [0; 2])?, 1);
    drop(near);
    let (mut left, mut right) = UnixStream::pair()?;
    left.write_all(b"pair")?;
    right.read_exact(&mut [0; 4])?;
    let path = folder.join("datagrams");
    let bound = UnixDatagram::bind(&path)?;
    let address = bound.local_addr()?;
    let other = UnixDatagram::bind_addr(&std::os::unix::net::SocketAddr::from_pathname(
        folder.join("others"),
    )?)?;
    bound.set_read_timeout(LIMIT)?;
    bound.set_write_timeout(LIMIT)?;
    assert_eq!(
        (bound.read_timeout()?, bound.write_timeout()?),
        (LIMIT, LIMIT)
    );
    bound.set_nonblocking(true)?;
    would_block(bound.recv(&mut [0]));
    bound.set_nonblocking(false)?;
    other.send_to(b"by path", &path)?;
    other.send_to_addr(b"by address", &address)?;
    let mut buffer = [0; 16];
    assert_eq!(bound.recv_from(&mut buffer)?.0, 7);
    assert_eq!(bound.recv(&mut buffer)?, 10);
    let unbound = UnixDatagram::unbound()?;
    unbound.connect_addr(&address)?;
    unbound.connect(&path)?;
    assert_eq!(unbound.peer_addr()?.as_pathname(), Some(&*path));
    unbound.send(b"connected")?;
    assert_eq!(bound.try_clone()?.recv(&mut buffer)?, 9);
    assert!(bound.take_error()?.is_none());
    let (left, right) = UnixDatagram::pair()?;
    left.send(b"p")?;
    assert_eq!(right.recv(&mut buffer)?, 1);
    left.shutdown(Shutdown::Both)
}

fn files(folder: &Path) -> io::Result<()> {
    let path = folder.join("file");
    let mut file = File::create(&path)?;
    file.write_all(b"0123456789")?;
    file.flush()?;
    file.sync_data()?;
    file.sync_all()?;
    file.set_len(8)?;
    assert_eq!(file.metadata()?.len(), 8);
    let permissions = file.metadata()?.permissions();
    file.set_permissions(permissions.clone())?;
    file.set_modified(SystemTime::UNIX_EPOCH)?;
    file.set_times(fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH))?;
    assert_eq!(fs::metadata(&path)?.modified()?, SystemTime::UNIX_EPOCH);
    fs::set_permissions(&path, permissions)?;
    assert!(File::create_new(&path).is_err());
    let mut file = File::options().read(true).append(true).open(&path)?;
    file.seek(SeekFrom::End(-2))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    assert_eq!(text, "67");
    file.rewind()?;
    let mut twin = file.try_clone()?;
    twin.read_exact(&mut [0; 4])?;
    assert_eq!(file.stream_position()?, 4);
    file.lock()?;
    file.unlock()?;
    file.try_lock().map_err(io::Error::from)?;
    file.unlock()?;
    file.lock_shared()?;
    file.unlock()?;
    file.try_lock_shared().map_err(io::Error::from)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    (&options.open(&path)?).write_all(b"short")?;
    assert!(options.create_new(true).open(&path).is_err());
    assert_eq!(fs::read(&path)?, b"short");
    assert_eq!(io::copy(&mut File::open(&path)?, &mut io::sink())?, 5);
    Ok(())
}

fn paths(folder: &Path) -> io::Result<()> {
    let at = |name: &str| folder.join(name);
    fs::write(at("a"), "text")?;
    assert_eq!(fs::read_to_string(at("a"))?, "text");
    assert_eq!(fs::copy(at("a"), at("b"))?, 4);
    fs::rename(at("b"), at("c"))?;
    assert!(!fs::exists(at("b"))? && fs::exists(at("c"))?);
    fs::hard_link(at("a"), at("d"))?;
    super::facade::symlink(at("a"), at("link"))?;
    assert_eq!(fs::read_link(at("link"))?, at("a"));
    assert!(fs::symlink_metadata(at("link"))?.file_type().is_symlink());
    assert_eq!(fs::canonicalize(at("link"))?, fs::canonicalize(at("a"))?);
    fs::create_dir(at("sub"))?;
    DirBuilder::new().recursive(true).create(at("x/y/z"))?;
    fs::create_dir_all(at("x/y/w"))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(at("x/y"))? {
        let entry = entry?;
        assert!(entry.file_type()?.is_dir() && entry.metadata()?.is_dir());
        assert_eq!(entry.path().file_name(), Some(&*entry.file_name()));
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["w", "z"]);
    fs::remove_file(at("d"))?;
    fs::remove_dir(at("sub"))?;
    fs::remove_dir_all(at("x"))
}

fn programs(folder: &Path) -> io::Result<()> {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .args(["echo $A$B; cat; echo oops >&2; exit 3"]);
    command
        .env("A", "1")
        .envs([("B", "2")])
        .env("C", "3")
        .env_remove("C");
    command.current_dir(folder).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(command.get_program(), "sh");
    assert_eq!(
        (command.get_args().count(), command.get_envs().count()),
        (2, 3)
    );
    assert_eq!(command.get_current_dir(), Some(folder));
    let mut child: Child = command.spawn()?;
    assert!(child.id() > 0);
    child.stdin.take().expect("a pipe").write_all(b"in")?;
    let mut text = String::new();
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut text)?;
    assert_eq!(text, "12\nin");
    let output: Output = child.wait_with_output()?;
    assert_eq!(
        (output.status.code(), &*output.stderr),
        (Some(3), b"oops\n".as_ref())
    );
    let status: ExitStatus = Command::new("true").env_clear().status()?;
    assert!(status.success());
    assert_eq!(Command::new("echo").arg("x").output()?.stdout, b"x\n");
    let mut sleeper = Command::new("sleep").arg("1000").spawn()?;
    assert!(sleeper.try_wait()?.is_none());
    sleeper.kill()?;
    assert!(!sleeper.wait()?.success() && sleeper.try_wait()?.is_some());
    // A file, and another program, as a standard stream.
    fs::write(folder.join("in"), "b\na\n")?;
    let mut sorted = Command::new("sort")
        .stdin(File::open(folder.join("in"))?)
        .stdout(Stdio::piped())
        .spawn()?;
    let between = sorted.stdout.take().expect("a pipe");
    let mut log = File::create(folder.join("out"))?;
    log.write_all(b"sorted\n")?;
    let mut cat = Command::new("cat")
        .stdin(between)
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()?;
    assert!(cat.wait()?.success() && sorted.wait()?.success());
    assert_eq!(fs::read_to_string(folder.join("out"))?, "sorted\na\nb\n");
    Ok(())
}
