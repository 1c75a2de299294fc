//! Watches the files of the configuration and asks for a reload when what they say has changed.
//!
//! It looks at them twice a second, on a thread of its own: that sees every way in which files change (written in
//! place, renamed over, a symlink that is swapped, removed and made again), on every file system.

use crate::runtime::hash::HashMap;
use crate::runtime::task;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::UnboundedSender;

use super::report::{Cause, Request};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_millis(500);

/// What a load has read.
pub(super) struct Seen {
    /// The files and folders.
    pub(super) paths: Vec<PathBuf>,
    /// When it began: what changed later may not have been seen.
    pub(super) begun: SystemTime,
    /// How the paths that were known then looked just before.
    pub(super) before: Before,
    /// Whether the load failed: it may not have come as far as every file.
    pub(super) failed: bool,
}

/// How paths looked at a moment. What looks the same after a load as before it is what the load has read: no time of
/// a file tells that of one that was removed, or that a link was swapped to.
#[derive(Default)]
pub(super) struct Before(HashMap<PathBuf, Look>);

impl Before {
    /// Looks at the paths, and at the files of those that are folders.
    pub(super) fn of(paths: &[PathBuf]) -> Before {
        let mut before: HashMap<PathBuf, Look> =
            paths.iter().map(|path| (path.clone(), Look::at(path))).collect();
        for path in paths {
            if let Some(Look::Folder { names, .. }) = before.get(path) {
                let files: Vec<(PathBuf, Look)> =
                    names.iter().map(|file| (file.clone(), Look::at(file))).collect();
                before.extend(files);
            }
        }
        Before(before)
    }

    /// Whether a path looks other than it did; `None` where it was not looked at.
    fn differs(&self, path: &Path, look: &Look) -> Option<bool> {
        self.0.get(path).map(|before| before != look)
    }
}

/// Starts the watch. It ends when the other end of `told` is dropped.
///
/// # Errors
/// The system refuses a thread.
pub(super) fn start(seen: Seen, told: Receiver<Seen>, ask: UnboundedSender<Request>) -> io::Result<()> {
    task::thread("watch", move || {
        let mut watch = Watch::new(seen);
        loop {
            match told.recv_timeout(EVERY) {
                Ok(seen) => watch.settle(seen),
                Err(RecvTimeoutError::Timeout) if watch.look() => {
                    let _ = ask.send(Request { cause: Cause::Change, answer: None });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })?;
    Ok(())
}

/// What is known of the files.
struct Watch {
    paths: Vec<PathBuf>,
    /// How they looked when they were read; `None` where they have to be read again.
    settled: Option<Vec<Look>>,
    /// What they said then.
    content: Option<u64>,
    /// How they looked last, where that is another look: perhaps somebody is still writing.
    moving: Option<Vec<Look>>,
}

impl Watch {
    fn new(seen: Seen) -> Watch {
        let mut watch = Watch { paths: Vec::new(), settled: None, content: None, moving: None };
        watch.settle(seen);
        watch
    }

    /// Takes note of what a load has read.
    fn settle(&mut self, seen: Seen) {
        let mut paths = seen.paths;
        if seen.failed {
            paths.append(&mut self.paths);
        }
        paths.sort();
        paths.dedup();
        self.paths = paths;
        // The content first: what is written between the two has another look then.
        let content = content(&self.paths);
        let looks = looks(&self.paths);
        // Files that are new in a folder stand after the paths, and were looked at by nobody before.
        let paths = self.paths.iter().map(Some).chain(std::iter::repeat(None));
        let later = looks.iter().zip(paths).any(|(look, path)| {
            let differs = path.and_then(|path| seen.before.differs(path, look));
            differs.unwrap_or_else(|| look.changed_after(seen.begun))
        });
        self.content = (!later).then_some(content);
        self.settled = (!later).then_some(looks);
        self.moving = None;
    }

    /// Looks again; whether the files say something new, and nobody seems to be writing any more.
    fn look(&mut self) -> bool {
        let looks = looks(&self.paths);
        if self.settled.as_ref() == Some(&looks) {
            self.moving = None;
            return false;
        }
        if self.moving.as_ref() != Some(&looks) {
            self.moving = Some(looks);
            return false;
        }
        self.moving = None;
        self.settled = Some(looks);
        let content = content(&self.paths);
        self.content.replace(content) != Some(content)
    }
}

/// How a path looks: enough to tell that it may say something else than before.
#[derive(PartialEq, Eq, Debug)]
enum Look {
    Missing,
    File {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
        changed: (i64, i64),
    },
    /// A folder with the names in it that are configuration.
    Folder {
        device: u64,
        inode: u64,
        names: Vec<PathBuf>,
    },
}

impl Look {
    fn at(path: &Path) -> Look {
        // Links are followed: what they point at may be swapped as a whole.
        let Ok(facts) = std::fs::metadata(path) else { return Look::Missing };
        let (device, inode) = (facts.dev(), facts.ino());
        if facts.is_dir() {
            return Look::Folder { device, inode, names: names(path) };
        }
        Look::File {
            device,
            inode,
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }

    fn changed_after(&self, time: SystemTime) -> bool {
        let Look::File { changed, .. } = self else { return false };
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()));
        *changed > time
    }
}

fn looks(paths: &[PathBuf]) -> Vec<Look> {
    let mut looks: Vec<Look> = paths.iter().map(|path| Look::at(path)).collect();
    // A file that is new in a folder is looked at like those that were read.
    let new = looks.iter().flat_map(|look| match look {
        Look::Folder { names, .. } => names.as_slice(),
        _ => &[],
    });
    let more: Vec<Look> = new.filter(|path| !paths.contains(path)).map(|path| Look::at(path)).collect();
    looks.extend(more);
    looks
}

/// The files of a folder that would be read, in order.
fn names(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(yaml).collect();
    names.sort();
    names
}

/// A digest of what the files say.
fn content(paths: &[PathBuf]) -> u64 {
    let mut digest = DefaultHasher::new();
    for path in paths {
        path.hash(&mut digest);
        match Look::at(path) {
            Look::Missing => 0u8.hash(&mut digest),
            Look::File { .. } => std::fs::read(path).ok().hash(&mut digest),
            Look::Folder { names, .. } => names.hash(&mut digest),
        }
    }
    digest.finish()
}

#[cfg(test)]
mod tests;
