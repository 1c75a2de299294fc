//! The real binary, its configuration, its logs and its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::{Answer, Client, Origin, holds_within, until};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// A folder of one test, removed at its end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A gateway that has not been started yet.
pub(crate) struct Prepared {
    folder: Folder,
    origins: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Prepared {
    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a file beside the configuration.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.folder.0.join(name), content).unwrap();
        self
    }

    /// Starts and waits until it is ready; fails the test, with its stderr, when that does not come.
    #[track_caller]
    pub(crate) fn start(self, config: &str) -> Gateway {
        let gateway = self.spawn(config);
        until("the gateway is ready, or ends", || {
            gateway.stderr_lines().iter().any(|line| words(line).any(|word| word == "ready"))
                || gateway.exited()
        });
        assert!(!gateway.exited(), "the gateway ended at its start:\n{}", gateway.stderr());
        gateway
    }

    /// Starts and does not wait: for what refuses to start.
    pub(crate) fn spawn(self, config: &str) -> Gateway {
        let file = self.folder.0.join("portcullis.yaml");
        std::fs::write(&file, complete(config, &self.origins, &self.folder.0)).unwrap();
        let mut child = self
            .command()
            .args(["run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let stdout = collect(child.stdout.take().unwrap());
        Gateway {
            pid: child.id(),
            child: Mutex::new(child),
            folder: self.folder,
            origins: self.origins,
            stderr,
            stdout,
        }
    }

    /// Runs the binary to its end with other arguments; `CONFIG` among them becomes the path of the configuration.
    pub(crate) fn run(self, arguments: &[&str], config: &str) -> std::process::Output {
        let file = self.folder.0.join("portcullis.yaml");
        std::fs::write(&file, complete(config, &self.origins, &self.folder.0)).unwrap();
        let path = file.to_str().unwrap();
        self.command()
            .args(arguments.iter().map(|a| if *a == "CONFIG" { path } else { a }))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(&self.folder.0).envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
    }
}

/// The configuration with what tests need and leave out.
fn complete(config: &str, origins: &[String], folder: &Path) -> String {
    let mut text = dedented(config);
    let mut upstreams = String::new();
    for (index, url) in origins.iter().enumerate().rev() {
        text = text.replace(&format!("ORIGIN{}", index + 1), url);
        // The same service, which is called however often it has failed.
        let steady = format!("STEADY{}", index + 1);
        if text.contains(&steady) {
            let name = steady.to_lowercase();
            text = text.replace(&steady, &name);
            let breaker = "{ consecutive: 1000000, min_requests: 1000000 }";
            upstreams.push_str(&format!("  {name}: {{ url: {url}, breaker: {breaker} }}\n"));
        }
    }
    if !upstreams.is_empty() {
        text = format!("upstreams:\n{upstreams}{text}");
    }
    text = text.replace("DIR", folder.to_str().unwrap());
    let names = |key: &str| text.lines().any(|line| line.starts_with(key));
    let mut added = String::new();
    if !names("listen:") && !names("listeners:") {
        added.push_str("listen: 127.0.0.1:0\n");
    }
    if !names("telemetry:") {
        let log = folder.join("access.log");
        added.push_str(&format!(
            "telemetry: {{ access_log: {{ file: '{}', format: json }} }}\n",
            log.display()
        ));
    }
    added + &text
}

/// The text without the indentation that all its lines share.
fn dedented(text: &str) -> String {
    let full = |line: &&str| !line.trim().is_empty();
    let shared =
        text.lines().filter(full).map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    text.lines().map(|line| line.get(shared..).unwrap_or_default().to_owned() + "\n").collect()
}

fn collect(stream: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            sink.lock().unwrap().push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
    });
    lines
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t', '"', ',', '=']).filter(|word| !word.is_empty())
}

/// A running gateway. Dropped, it gets SIGTERM, and SIGKILL if it does not end.
pub(crate) struct Gateway {
    pid: u32,
    child: Mutex<Child>,
    folder: Folder,
    origins: Vec<String>,
    stderr: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Starts with that configuration; see the module's page for what is replaced and added in it.
    #[track_caller]
    pub(crate) fn start(origins: &[&Origin], config: &str) -> Self {
        Self::prepare(origins).start(config)
    }

    /// For an environment, files beside the configuration, other arguments, or a start that fails.
    pub(crate) fn prepare(origins: &[&Origin]) -> Prepared {
        let origins = origins.iter().map(|origin| origin.url()).collect();
        Prepared { folder: Folder::new(), origins, environment: Vec::new() }
    }

    // Where it listens.

    /// The address of the listener of that name, as the newest line on stderr tells it.
    #[track_caller]
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        self.announced(&["listener", name, "on"])
            .unwrap_or_else(|| panic!("listener {name} in\n{}", self.stderr()))
    }

    /// The address of the one listener.
    #[track_caller]
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener("default")
    }

    /// The address of the admin listener.
    #[track_caller]
    pub(crate) fn admin(&self) -> SocketAddr {
        self.announced(&["admin", "on"]).unwrap_or_else(|| panic!("admin in\n{}", self.stderr()))
    }

    fn announced(&self, before: &[&str]) -> Option<SocketAddr> {
        self.stderr_lines().iter().rev().find_map(|line| {
            let words: Vec<&str> = words(line).collect();
            let at = words.windows(before.len()).position(|window| window == before)?;
            words.get(at + before.len())?.trim_end_matches(['.', ';', ')', '}']).parse().ok()
        })
    }

    // Asking it.

    /// A new connection to the one listener.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// One GET on a new connection.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.client().get(target)
    }

    /// One request on a new connection.
    #[track_caller]
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.client().request(method, target, headers, body)
    }

    /// Sends these bytes on a new connection and reads one answer.
    #[track_caller]
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        self.client().send(bytes).read()
    }

    // Its files and logs.

    /// The folder of the configuration.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.0.join("portcullis.yaml")
    }

    /// Replaces the configuration by renaming a new file over it.
    pub(crate) fn replace_config(&self, config: &str) {
        let new = self.folder.0.join(".portcullis.yaml.new");
        std::fs::write(&new, complete(config, &self.origins, &self.folder.0)).unwrap();
        std::fs::rename(new, self.config_file()).unwrap();
    }

    /// Writes the configuration into the same file, as an editor without rename does.
    pub(crate) fn overwrite_config(&self, config: &str) {
        std::fs::write(self.config_file(), complete(config, &self.origins, &self.folder.0)).unwrap();
    }

    /// The lines of `access.log` in the folder, as they stand.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        let text = std::fs::read(self.folder.0.join("access.log")).unwrap_or_default();
        // A line that is just being written has no end yet.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        String::from_utf8_lossy(&text[..whole]).lines().map(str::to_owned).collect()
    }

    /// Waits for that many lines of the access log and gives them all, read as JSON.
    #[track_caller]
    pub(crate) fn log(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} lines of the access log"), || self.log_lines().len() >= count);
        let read = |line: &String| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        self.log_lines().iter().map(read).collect()
    }

    pub(crate) fn stderr_lines(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr_lines().join("\n")
    }

    pub(crate) fn stdout_lines(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// Waits until a line of stderr contains the text.
    #[track_caller]
    pub(crate) fn wait_stderr(&self, text: &str) {
        until(&format!("{text:?} on stderr"), || self.stderr_lines().iter().any(|line| line.contains(text)));
    }

    // The process.

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal, by its name without SIG: `TERM`, `HUP`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own kill: there is one on every machine.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status().unwrap();
        assert!(sent.success(), "SIG{name} to the gateway");
    }

    /// Whether the process has ended.
    pub(crate) fn exited(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait_exit(&self) -> ExitStatus {
        until("the gateway ends", || self.exited());
        self.child.lock().unwrap().wait().unwrap()
    }

    /// Memory in MiB that it has at most had resident (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Memory in MiB that it has resident now (`VmRSS`).
    pub(crate) fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the gateway\n{}", self.stderr());
        }
        if self.exited() {
            return;
        }
        self.signal("TERM");
        holds_within(Duration::from_secs(1), || self.exited());
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}
