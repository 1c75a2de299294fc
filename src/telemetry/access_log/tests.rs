use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::UNIX_EPOCH;
use std::{env, fs, process};

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("portcullis-log-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Reports = Arc<Mutex<Vec<String>>>;

fn settings(target: Target, prompt: bool) -> (AccessLogSettings, Reports) {
    let reports = Reports::default();
    let told = Arc::clone(&reports);
    let settings = AccessLogSettings {
        target,
        format: Format::Json,
        prompt,
        dropped: Arc::default(),
        report: Box::new(move |_, text| told.lock().unwrap().push(text.to_owned())),
    };
    (settings, reports)
}

fn entry(id: &str) -> Entry<'_> {
    Entry {
        at: UNIX_EPOCH,
        id: id.as_bytes(),
        client: [127, 0, 0, 1].into(),
        peer: None,
        listener: "default",
        route: "/",
        method: b"GET",
        host: b"a",
        path: b"/",
        version: http::Version::HTTP_11,
        status: 200,
        error: None,
        reason: "",
        source: None,
        note: None,
        bytes_in: 0,
        bytes_out: 0,
        tunnel: None,
        grpc: None,
        duration: Duration::ZERO,
        upstream: None,
        endpoint: None,
        attempts: 0,
        upstream_time: Duration::ZERO,
        identity: None,
    }
}

fn ids(text: &str) -> Vec<String> {
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// A target that waits for a word before each write, then does what the word says.
struct Gated {
    words: Receiver<Word>,
    text: Arc<Mutex<Vec<u8>>>,
}

enum Word {
    Fail(io::ErrorKind),
    Take(usize),
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.words.recv() {
            Ok(Word::Fail(kind)) => Err(kind.into()),
            Ok(Word::Take(count)) => {
                let count = count.min(bytes.len());
                self.text.lock().unwrap().extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            Err(_) => {
                self.text.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Rig {
    log: Arc<AccessLog>,
    words: SyncSender<Word>,
    text: Arc<Mutex<Vec<u8>>>,
    reports: Reports,
}

fn gated(prompt: bool) -> Rig {
    let (words, heard) = sync_channel(100);
    let text = Arc::new(Mutex::new(Vec::new()));
    let (settings, reports) = settings(Target::Stdout, prompt);
    let output = Output::of(Gated { words: heard, text: Arc::clone(&text) });
    Rig { log: AccessLog::with_output(settings, output, 1).unwrap(), words, text, reports }
}

impl Rig {
    fn end(self) -> (Vec<String>, u64, Vec<String>) {
        drop(self.words);
        assert!(self.log.shutdown(LONG));
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        let reports = self.reports.lock().unwrap().clone();
        (ids(&text), self.log.dropped(), reports)
    }
}

#[test]
fn each_core_writes_whole_lines_in_its_order_to_a_file_for_the_group_alone() {
    let folder = Folder::new();
    let path = folder.file("access.log");
    fs::write(&path, "").unwrap();
    fs::remove_file(&path).unwrap();
    let (settings, reports) = settings(Target::File(path.clone()), false);
    let log = AccessLog::start(settings, 3).unwrap();
    let cores: Vec<_> = (0..3)
        .map(|core| {
            let handle = log.core();
            std::thread::spawn(move || {
                for number in 0..200 {
                    handle.line(&entry(&format!("{core}-{number}")));
                }
            })
        })
        .collect();
    for core in cores {
        core.join().unwrap();
    }
    assert!(log.shutdown(LONG));
    let written = ids(&fs::read_to_string(&path).unwrap());
    for core in 0..3 {
        let own: Vec<_> = written.iter().filter(|id| id.starts_with(&format!("{core}-"))).collect();
        assert!(own.into_iter().eq(&(0..200).map(|number| format!("{core}-{number}")).collect::<Vec<_>>()));
    }
    assert_eq!((written.len(), log.dropped()), (600, 0));
    assert!(reports.lock().unwrap().is_empty());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
}

#[test]
fn a_rotated_file_is_opened_anew_and_an_old_one_is_appended_to() {
    let folder = Folder::new();
    let (path, old) = (folder.file("access.log"), folder.file("access.log.1"));
    fs::write(&path, "{\"id\":\"before\"}\n").unwrap();
    let log = AccessLog::start(settings(Target::File(path.clone()), false).0, 1).unwrap();
    let core = log.core();
    core.line(&entry("one"));
    core.flush();
    fs::rename(&path, &old).unwrap();
    log.reopen();
    core.line(&entry("two"));
    drop(core);
    assert!(log.shutdown(LONG));
    assert_eq!(ids(&fs::read_to_string(&old).unwrap()), ["before", "one"]);
    assert_eq!(ids(&fs::read_to_string(&path).unwrap()), ["two"]);
}

#[test]
fn a_file_that_cannot_be_opened_again_is_reported_and_the_old_one_kept() {
    let folder = Folder::new();
    fs::create_dir(folder.file("sub")).unwrap();
    let path = folder.file("sub/access.log");
    let (settings, reports) = settings(Target::File(path.clone()), true);
    let log = AccessLog::start(settings, 1).unwrap();
    fs::rename(folder.file("sub"), folder.file("moved")).unwrap();
    log.reopen();
    log.core().line(&entry("one"));
    assert!(log.shutdown(LONG));
    assert_eq!(ids(&fs::read_to_string(folder.file("moved/access.log")).unwrap()), ["one"]);
    let reports = reports.lock().unwrap();
    assert!(reports[0].starts_with("the file cannot be opened again: "), "{reports:?}");
}

#[test]
fn a_target_that_is_not_there_is_an_error_at_the_start() {
    let folder = Folder::new();
    let started = AccessLog::start(settings(Target::File(folder.file("no/such")), false).0, 1);
    assert_eq!(started.err().unwrap().kind(), io::ErrorKind::NotFound);
}

#[test]
fn lines_are_held_back_until_the_flush() {
    let rig = gated(false);
    let core = rig.log.core();
    core.line(&entry("one"));
    core.line(&entry("two"));
    rig.words.send(Word::Take(usize::MAX)).unwrap();
    // One word is enough for both lines: they are written as one.
    core.flush();
    core.flush();
    drop(core);
    assert_eq!(rig.end(), (vec!["one".into(), "two".into()], 0, vec![]));
}

#[test]
fn a_slow_target_costs_lines_and_no_waiting() {
    let rig = gated(false);
    let core = rig.log.core();
    // More than the queue and the hand of the writer hold: each buffer has 32 KiB, a line some 200 bytes.
    let long = "x".repeat(1000);
    for _ in 0..1000 {
        core.line(&entry(&long));
    }
    core.flush();
    let dropped = rig.log.dropped();
    assert!((100..900).contains(&dropped), "{dropped}");
    drop(core);
    let (ids, after, reports) = rig.end();
    assert_eq!((ids.len() as u64 + after, reports.len()), (1000, 1));
    assert_eq!(reports[0], format!("{after} line{} dropped", if after == 1 { "" } else { "s" }));
}

#[test]
fn prompt_lines_gather_while_the_target_is_slow() {
    let rig = gated(true);
    let core = rig.log.core();
    for number in 0..100 {
        core.line(&entry(&number.to_string()));
    }
    drop(rig.words);
    let (words, _) = sync_channel(0);
    // What waits in the core's buffer goes over as soon as there is room.
    while core.buffer.borrow().lines > 0 {
        core.flush();
        std::thread::yield_now();
    }
    let (ids, dropped, _) = Rig { words, ..rig }.end();
    assert!(ids.into_iter().eq((0..100).map(|number| number.to_string())));
    assert_eq!(dropped, 0);
}

#[test]
fn a_failing_target_is_counted_and_a_torn_line_is_ended() {
    let rig = gated(true);
    let core = rig.log.core();
    rig.words.send(Word::Fail(io::ErrorKind::BrokenPipe)).unwrap();
    core.line(&entry("lost"));
    rig.words.send(Word::Take(1)).unwrap();
    rig.words.send(Word::Fail(io::ErrorKind::StorageFull)).unwrap();
    core.line(&entry("torn"));
    rig.words.send(Word::Fail(io::ErrorKind::StorageFull)).unwrap();
    core.line(&entry("while torn"));
    core.line(&entry("kept"));
    drop(core);
    drop(rig.words);
    assert!(rig.log.shutdown(LONG));
    let text = String::from_utf8(rig.text.lock().unwrap().clone()).unwrap();
    let (torn, kept) = text.split_once('\n').unwrap();
    assert_eq!((torn, ids(kept)), ("{", vec!["kept".to_owned()]));
    assert_eq!(rig.log.dropped(), 3);
    let reports = rig.reports.lock().unwrap().clone();
    assert_eq!(reports[0], "1 line dropped: broken pipe");
    assert_eq!(reports.last().map(String::as_str), Some("written again, 3 lines were lost"), "{reports:?}");
}

#[test]
fn a_target_that_hangs_does_not_hold_the_shutdown_up() {
    let rig = gated(true);
    rig.log.core().line(&entry("one"));
    assert!(!rig.log.shutdown(Duration::ZERO));
}

#[test]
fn lines_after_the_shutdown_are_counted() {
    let rig = gated(false);
    let core = rig.log.core();
    drop(rig.words);
    assert!(rig.log.shutdown(LONG));
    core.line(&entry("late"));
    drop(core);
    assert_eq!(rig.log.dropped(), 1);
}

#[test]
fn buffers_come_back() {
    let rig = gated(true);
    let core = rig.log.core();
    let first = Vec::<u8>::with_capacity(1234);
    core.buffer.borrow_mut().bytes = first;
    core.line(&entry("one"));
    drop(rig.words);
    let back = core.buffer.borrow_mut().written.recv_timeout(LONG).unwrap();
    assert!(back.is_empty() && back.capacity() >= 1234);
}

/// `/dev/full` fails every write with ENOSPC.
#[test]
fn a_full_disk_ends_nothing() {
    let path = PathBuf::from("/dev/full");
    if !path.exists() {
        return;
    }
    let log = AccessLog::start(settings(Target::File(path), true).0, 1).unwrap();
    let core = log.core();
    core.line(&entry("one"));
    core.line(&entry("two"));
    drop(core);
    assert!(log.shutdown(LONG));
    assert_eq!(log.dropped(), 2);
}
