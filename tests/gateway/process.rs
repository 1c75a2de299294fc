//! The binary with any arguments, for what [`crate::support::Gateway`] has no word for.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{Client, until};

/// A folder of one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("process-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

/// A running process of the binary; killed when dropped.
pub(crate) struct Process {
    pid: u32,
    child: Mutex<Child>,
    stdout: Lines,
    stderr: Lines,
}

/// The binary with these arguments, run in `folder`.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

impl Process {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Self { pid: child.id(), child: Mutex::new(child), stdout, stderr }
    }

    /// Starts `run` with that configuration and further arguments, and waits until it is ready.
    #[track_caller]
    pub(crate) fn serve(folder: &Folder, config: &str, arguments: &[&str]) -> Self {
        folder.write("portcullis.yaml", config);
        let all: Vec<&str> = ["run", "-c", "portcullis.yaml"].iter().chain(arguments).copied().collect();
        let process = Self::spawn(command(folder.path(), &all));
        process.wait_ready();
        process
    }

    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        until("the process is ready, or ends", || {
            self.stderr().lines().any(|line| line.ends_with(" ready")) || self.exited()
        });
        assert!(!self.exited(), "it ended at its start:\n{}", self.stderr());
    }

    /// The address that a line of stderr with that text tells at its end.
    #[track_caller]
    pub(crate) fn address(&self, text: &str) -> SocketAddr {
        let told = self.stderr();
        let line = told.lines().rfind(|line| line.contains(text));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{text} in\n{told}"))
    }

    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address("listener default on"))
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().join("\n")
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status().unwrap();
        assert!(sent.success(), "SIG{name}");
    }

    pub(crate) fn exited(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    #[track_caller]
    pub(crate) fn wait_exit(&self) -> ExitStatus {
        until("the process ends", || self.exited());
        self.child.lock().unwrap().wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the process\n{}", self.stderr());
        }
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            sink.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
    lines
}
