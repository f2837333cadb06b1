//! Files: std's behaviours, positions after cancellation, many tasks, errors.

use std::fs::TryLockError;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use greenloom::fs::{self, DirBuilder, File, OpenOptions};
use greenloom::sync::{Arc, Mutex};
use greenloom::{Runtime, sleep, spawn, unblock, yield_now};

use crate::util::{Random, green};

/// A folder of its own for a test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "greenloom-it-fs-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A pipe with a name, open both ways: a read of it waits until something is written.
    fn pipe(&self) -> File {
        let path = self.file("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_written_read_and_sought_as_std_s() {
    let folder = Folder::new();
    let work = || {
        let path = folder.file("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"hello world").unwrap();
        file.flush().unwrap();
        file.sync_all().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 11);
        assert_eq!(
            File::create_new(&path).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );

        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let mut word = [0; 5];
        file.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"hello");
        assert_eq!(file.stream_position().unwrap(), 5);
        assert_eq!(file.seek(SeekFrom::End(-5)).unwrap(), 6);
        let mut rest = String::from("the ");
        (&file).read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "the world");
        assert_eq!(file.seek(SeekFrom::Current(-5)).unwrap(), 6);
        file.write_all(b"there").unwrap();
        assert_eq!(file.write_at(b"H", 0).unwrap(), 1);
        file.read_exact_at(&mut word, 0).unwrap();
        assert_eq!(&word, b"Hello");
        assert_eq!(file.seek(SeekFrom::Start(1 << 40)).unwrap(), 1 << 40);
        assert_eq!(file.read(&mut word).unwrap(), 0);
        assert!(file.seek(SeekFrom::End(-100)).is_err());
        file.set_len(5).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"Hello");

        let mut log = OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(b"!").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "Hello!");
        assert_eq!(
            fs::read("/no/such/file").unwrap_err().kind(),
            ErrorKind::NotFound
        );
        fs::remove_file(&path).unwrap();
    };
    green(work);
    // The same on a plain thread.
    work();
}

#[test]
fn large_contents_go_through_whole() {
    green(|| {
        let folder = Folder::new();
        let mut random = Random::new(1);
        let bytes: Vec<u8> = (0..3_000_001).map(|_| random.next() as u8).collect();
        let mut file = File::create_new(folder.file("large")).unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let mut read = vec![7];
        assert_eq!(file.read_to_end(&mut read).unwrap(), bytes.len());
        assert!(read[0] == 7 && read[1..] == bytes);
        assert_eq!(file.read_to_end(&mut read).unwrap(), 0);
        assert!(fs::read(folder.file("large")).unwrap() == bytes);
        assert!(fs::read_to_string(folder.file("large")).is_err());
        // Not UTF-8: as for std, nothing is appended.
        file.rewind().unwrap();
        let mut text = String::from("before");
        let error = file.read_to_string(&mut text).unwrap_err();
        assert_eq!(
            (error.kind(), text.as_str()),
            (ErrorKind::InvalidData, "before")
        );
    });
}

#[test]
fn paths_are_worked_on_as_by_std() {
    green(|| {
        let folder = Folder::new();
        let (a, b) = (folder.file("a"), folder.file("b"));
        fs::write(&a, "text").unwrap();
        assert_eq!(fs::copy(&a, &b).unwrap(), 4);
        fs::rename(&b, folder.file("c")).unwrap();
        assert!(!fs::exists(&b).unwrap() && fs::exists(folder.file("c")).unwrap());
        fs::symlink(&a, &b).unwrap();
        assert_eq!(fs::read_link(&b).unwrap(), a);
        assert!(fs::symlink_metadata(&b).unwrap().is_symlink());
        assert_eq!(fs::metadata(&b).unwrap().len(), 4);
        assert_eq!(fs::canonicalize(&b).unwrap(), fs::canonicalize(&a).unwrap());
        fs::hard_link(&a, folder.file("d")).unwrap();
        fs::set_permissions(&a, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(
            fs::metadata(folder.file("d")).unwrap().permissions().mode() & 0o777,
            0o400
        );
        fs::create_dir_all(folder.file("x/y/z")).unwrap();
        assert!(fs::create_dir(folder.file("x")).is_err());
        assert!(fs::remove_dir(folder.file("x")).is_err());
        fs::remove_dir_all(folder.file("x")).unwrap();
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true);
        builder.create(folder.file("p/q")).unwrap();
        let mode = fs::metadata(folder.file("p/q"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        let mut names: Vec<_> = fs::read_dir(&folder.0)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.path(), folder.0.join(entry.file_name()));
                let is_folder = entry.file_type().unwrap().is_dir();
                assert_eq!(entry.metadata().unwrap().is_dir(), is_folder);
                (entry.file_name().into_string().unwrap(), is_folder)
            })
            .collect();
        names.sort();
        let expected = [
            ("a", false),
            ("b", false),
            ("c", false),
            ("d", false),
            ("p", true),
        ];
        assert_eq!(names, expected.map(|(name, is)| (name.to_string(), is)));
    });
}

#[test]
fn a_folder_of_many_entries_is_read_whole_though_readers_are_cancelled() {
    green(|| {
        let folder = Folder::new();
        for n in 0..1_000 {
            std::fs::write(folder.file(&n.to_string()), "").unwrap();
        }
        let entries = Arc::new(Mutex::new((fs::read_dir(&folder.0).unwrap(), Vec::new())));
        loop {
            let theirs = entries.clone();
            let reader = spawn(move || {
                let (entries, names) = &mut *theirs.lock().unwrap();
                for entry in entries.by_ref() {
                    names.push(entry.unwrap().file_name());
                }
            });
            yield_now();
            reader.cancel();
            if reader.join().is_ok() {
                break;
            }
        }
        let (rest, names) = &mut *entries.lock().unwrap();
        assert!(rest.next().is_none());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1_000);
    });
}

#[test]
fn the_task_waits_and_its_worker_does_not() {
    green(|| {
        let folder = Folder::new();
        let mut pipe = folder.pipe();
        let mut theirs = pipe.try_clone().unwrap();
        let reader = spawn(move || {
            let mut byte = [0];
            theirs.read_exact(&mut byte).unwrap();
            byte[0]
        });
        (0..10).for_each(|_| yield_now());
        assert!(!reader.is_finished());
        // By another open of it: the clone's position is taken by the read.
        std::fs::OpenOptions::new()
            .write(true)
            .open(folder.file("pipe"))
            .unwrap()
            .write_all(b"xyz")
            .unwrap();
        assert_eq!(reader.join().unwrap(), b'x');
        let mut rest = [0; 2];
        pipe.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"yz");
    });
}

#[test]
fn a_cancelled_read_leaves_its_bytes_to_the_next() {
    green(|| {
        let folder = Folder::new();
        let pipe = folder.pipe();
        let mut theirs = pipe.try_clone().unwrap();
        let reader = spawn(move || theirs.read(&mut [0; 100]).unwrap());
        yield_now();
        reader.cancel();
        assert!(reader.join().unwrap_err().is_cancelled());
        std::fs::OpenOptions::new()
            .write(true)
            .open(folder.file("pipe"))
            .unwrap()
            .write_all(b"not lost")
            .unwrap();
        let mut text = [0; 8];
        (&pipe).read_exact(&mut text).unwrap();
        assert_eq!(&text, b"not lost");
    });
}

#[test]
fn reads_cancelled_at_any_moment_lose_and_double_nothing() {
    green(|| {
        let folder = Folder::new();
        let lines: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(folder.file("lines"), &lines).unwrap();
        let file = File::open(folder.file("lines")).unwrap();
        let read = Arc::new(Mutex::new(Vec::new()));
        let mut random = Random::new(9);
        for _ in 0..200 {
            let (mut file, read) = (file.try_clone().unwrap(), read.clone());
            let reader = spawn(move || {
                loop {
                    let mut some = [0; 37];
                    let len = file.read(&mut some).unwrap();
                    read.try_lock().unwrap().extend_from_slice(&some[..len]);
                }
            });
            for _ in 0..random.below(4) {
                yield_now();
            }
            sleep(Duration::from_micros(random.below(60) as u64));
            reader.cancel();
            assert!(reader.join().unwrap_err().is_cancelled());
        }
        let mut all = read.lock().unwrap().clone();
        let len = all.len() as u64;
        // Unread bytes are stepped back behind: by a seek as well.
        assert_eq!((&file).stream_position().unwrap(), len);
        (&file).read_to_end(&mut all).unwrap();
        assert!(all == lines.as_bytes());
    });
}

#[test]
fn writes_cancelled_at_any_moment_are_done_in_order() {
    green(|| {
        let folder = Folder::new();
        let mut file = File::create_new(folder.file("log")).unwrap();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let mut random = Random::new(4);
        for round in 0..200 {
            let (mut file, begun) = (file.try_clone().unwrap(), begun.clone());
            let writer = spawn(move || {
                for n in 0.. {
                    let line = format!("{round}.{n}\n");
                    begun.try_lock().unwrap().push(line.clone());
                    file.write_all(line.as_bytes()).unwrap();
                }
            });
            for _ in 0..random.below(4) {
                yield_now();
            }
            sleep(Duration::from_micros(random.below(60) as u64));
            writer.cancel();
            assert!(writer.join().unwrap_err().is_cancelled());
        }
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        // A task cancelled before its first wait, or while it waited for its turn, has written nothing.
        let begun = begun.lock().unwrap();
        let mut begun = begun.iter();
        let mut last = None;
        for line in text.split_inclusive('\n') {
            let skipped = begun.by_ref().take_while(|begun| *begun != line);
            for skipped in skipped {
                let round = |line: &str| line.split('.').next().unwrap().to_string();
                // Only the last of a round may be missing.
                assert_ne!(
                    round(skipped),
                    round(line),
                    "{skipped:?} is missing before {line:?}"
                );
            }
            last = Some(line);
        }
        assert!(last.is_some());
    });
}

#[test]
fn a_cancelled_read_to_end_appends_only_what_was_read() {
    green(|| {
        let folder = Folder::new();
        let pipe = folder.pipe();
        (&pipe).write_all(b"some").unwrap();
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let (mut theirs, bytes) = (pipe.try_clone().unwrap(), buffer.clone());
        let reader = spawn(move || theirs.read_to_end(&mut bytes.lock().unwrap()).unwrap());
        while reader_has_not_begun(&folder) {
            yield_now();
        }
        (0..5).for_each(|_| yield_now());
        sleep(Duration::from_millis(5));
        reader.cancel();
        assert!(reader.join().is_err());
        assert_eq!(*buffer.lock().unwrap(), b"some");
        // Lets the blocking thread go.
        std::fs::OpenOptions::new()
            .write(true)
            .open(folder.file("pipe"))
            .unwrap()
            .write_all(b"x")
            .unwrap();
    });
}

fn reader_has_not_begun(folder: &Folder) -> bool {
    // Whether there is something in the pipe.
    let pipe = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(folder.file("pipe"))
        .unwrap();
    rustix::io::ioctl_fionread(&pipe).unwrap() > 0
}

#[test]
fn a_full_disk_is_an_error_of_the_write_also_of_a_cancelled_one() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    green(|| {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = (&full).write_all(b"too much").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        (&full).flush().unwrap();
        assert_eq!(
            fs::write("/dev/full", "too much").unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        // Nearly all are over before they can be cancelled.
        for _ in 0..100_000 {
            let mut theirs = full.try_clone().unwrap();
            let writer = spawn(move || theirs.write(b"too much").is_err());
            yield_now();
            writer.cancel();
            if writer.join().is_err() {
                let error = (&full).flush().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::StorageFull);
                (&full).flush().unwrap();
                return;
            }
        }
        panic!("no write was ever cancelled");
    });
}

#[test]
fn a_thousand_tasks_read_files_at_once() {
    let folder = Folder::new();
    for n in 0..10 {
        std::fs::write(folder.file(&n.to_string()), n.to_string().repeat(10_000)).unwrap();
    }
    let total: usize = Runtime::builder()
        .workers(2)
        .run(|| {
            let tasks: Vec<_> = (0..1_000)
                .map(|n| {
                    let path = folder.file(&(n % 10).to_string());
                    spawn(move || {
                        let text = fs::read_to_string(path).unwrap();
                        assert_eq!(text, (n % 10).to_string().repeat(10_000));
                        text.len()
                    })
                })
                .collect();
            tasks.into_iter().map(|task| task.join().unwrap()).sum()
        })
        .unwrap();
    assert_eq!(total, 10_000_000);
}

#[test]
fn many_tasks_read_the_lines_of_one_file_between_them() {
    green(|| {
        let folder = Folder::new();
        let path = folder.file("bytes");
        std::fs::write(&path, (0..=255).collect::<Vec<u8>>()).unwrap();
        let file = Arc::new(File::open(path).unwrap());
        let tasks: Vec<_> = (0..256)
            .map(|_| {
                let file = file.clone();
                spawn(move || {
                    let mut byte = [0];
                    (&*file).read_exact(&mut byte).unwrap();
                    byte[0]
                })
            })
            .collect();
        let mut bytes: Vec<u8> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
        bytes.sort_unstable();
        assert!(bytes.into_iter().eq(0..=255));
    });
}

#[test]
fn buffered_lines_come_from_a_file() {
    green(|| {
        let mut lines = BufReader::new(File::open("Cargo.toml").unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "[package]");
    });
}

#[test]
fn files_come_from_std_and_go_there_with_their_positions() {
    green(|| {
        let folder = Folder::new();
        let path = folder.file("a");
        std::fs::write(&path, "0123456789").unwrap();
        let mut std = std::fs::File::open(&path).unwrap();
        std.seek(SeekFrom::Start(2)).unwrap();
        let mut file = File::from(std);
        let mut two = [0; 2];
        file.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"23");
        let clone = file.try_clone().unwrap();
        let mut std = file.into_std().unwrap();
        std.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"45");
        drop(clone);
        // After a cancelled read, too.
        let file = File::from(std);
        for _ in 0..20 {
            let mut theirs = file.try_clone().unwrap();
            let reader = spawn(move || theirs.read(&mut [0; 2]).unwrap());
            yield_now();
            reader.cancel();
            if reader.join().is_err() {
                break;
            }
            (&file).seek(SeekFrom::Start(6)).unwrap();
        }
        let mut std = file.into_std().unwrap();
        std.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"67");
    });
}

#[test]
fn a_lock_that_its_asker_gave_up_is_let_go_of() {
    green(|| {
        let folder = Folder::new();
        let path = folder.file("lock");
        let mine = File::create_new(&path).unwrap();
        let theirs = Arc::new(File::open(&path).unwrap());
        mine.lock().unwrap();
        assert!(matches!(theirs.try_lock(), Err(TryLockError::WouldBlock)));
        let asked = theirs.clone();
        let asker = spawn(move || asked.lock().unwrap());
        yield_now();
        asker.cancel();
        assert!(asker.join().is_err());
        mine.unlock().unwrap();
        // The job gets it, finds nobody, and lets go.
        mine.lock().unwrap();
        mine.unlock().unwrap();
        let asked = theirs.clone();
        spawn(move || asked.lock().unwrap()).join().unwrap();
        assert!(mine.try_lock().is_err());
        drop(theirs);
        unblock(|| ());
        mine.lock_shared().unwrap();
    });
}

#[test]
fn a_file_is_made_with_the_mode_that_was_asked_for() {
    green(|| {
        let folder = Folder::new();
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        let file = options.open(folder.file("secret")).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn a_lock_that_nobody_waits_for_any_more_is_not_taken_from_who_asks_again() {
    green(|| {
        let folder = Folder::new();
        let path = folder.file("locked");
        // A race of several threads: now and then it would be seen.
        for _ in 0..50 {
            let other = std::fs::File::create(&path).unwrap();
            other.lock().unwrap();
            let file = Arc::new(OpenOptions::new().write(true).open(&path).unwrap());
            for _ in 0..2 {
                let ended = greenloom::timeout(Duration::from_millis(1), || file.lock());
                assert!(ended.is_err());
            }
            let again = file.clone();
            let locks = spawn(move || again.lock());
            yield_now();
            other.unlock().unwrap();
            locks.join().unwrap().unwrap();
            // What the first two have brought about is over when this has been done on a thread of its own.
            unblock(std::thread::yield_now);
            assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
            file.unlock().unwrap();
            other.lock().unwrap();
        }
    });
}
