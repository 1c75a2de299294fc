//! Endpoints out of a file: a list in YAML or JSON of URLs or of `{ url, weight }`.
//!
//! The file is looked at again and again: that sees every way in which files change, on every file system. A file
//! that cannot be used keeps the last set in force and says why; an empty list says that there are no endpoints. Hosts
//! in it are followed like any name.

use crate::runtime::hash::HashSet;
use crate::runtime::{clock, task, time};
use std::future::Future;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::dns::{Following, followed};
use super::host::{Host, ask_all, first_due, weighted};
use super::resolver::Resolver;
use super::{MAX_ENDPOINTS, Pace, Sink, Teller};
use crate::config::{Diagnostics, Field, Key, Section, Severity, Url, shape, tree_from_text};

/// How often the file is looked at, where nothing else is said.
pub const EVERY: Duration = Duration::from_secs(1);

/// The largest file.
const MAX_FILE: u64 = 1 << 20;
/// The largest weight.
const MAX_WEIGHT: u64 = 1000;
/// What has been written so lately may be written again without another time of change.
const UNSETTLED: Duration = Duration::from_secs(2);

/// One endpoint as written.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    host: String,
    port: u16,
    weight: u16,
}

/// Follows a file whose URLs are all `https://` or all `http://`, looking at it so often ([`EVERY`]). Spawn the future
/// once; it reads at once.
pub fn file(
    resolver: Resolver,
    (path, tls): (&Path, bool),
    every: Duration,
    pace: Pace,
    sink: Sink,
) -> (impl Future<Output = ()> + Send + 'static, Following) {
    let reader = Reader { path: path.to_owned(), tls, look: None, text: None, wrong: None };
    followed(move |again| follow(resolver, reader, every, pace, Teller::new(sink), again))
}

async fn follow(
    resolver: Resolver,
    mut reader: Reader,
    every: Duration,
    pace: Pace,
    mut teller: Teller,
    again: Arc<Notify>,
) {
    let mut entries: Vec<Entry> = Vec::new();
    let mut hosts: Vec<Host> = Vec::new();
    let mut read = false;
    loop {
        let (back, news) = match task::spawn_blocking(move || reader.read()).await {
            Ok(told) => told,
            // Only a runtime that is shutting down takes no more such work.
            Err(_) => return,
        };
        reader = back;
        let changed = match news {
            Some(Ok(new)) => {
                hosts = carried(&new, hosts);
                (entries, read) = (new, true);
                true
            }
            Some(Err(why)) => {
                teller.failed(why);
                false
            }
            None => false,
        };
        let now = clock::now();
        if read && (changed || first_due(&hosts).is_some_and(|due| due <= now)) {
            for why in ask_all(&mut hosts, &resolver, &pace).await {
                teller.failed(why);
            }
            // A name that was never learned takes nothing from the others; all of them unknown is no set, unless it is
            // believed that there is none.
            let weights = entries.iter().map(|entry| entry.weight);
            let set = weighted(weights.zip(&hosts), 0);
            if !set.is_empty() || hosts.iter().all(Host::is_absent) {
                teller.set(set);
            }
        }
        let look = clock::now() + every;
        let next = |hosts: &[Host]| first_due(hosts).map_or(look, |due| due.min(look));
        tokio::select! {
            () = time::sleep_until(next(&hosts)) => {}
            () = again.notified() => {
                hosts.iter_mut().for_each(|host| host.hurry(&pace));
                time::sleep_until(next(&hosts)).await;
            }
        }
    }
}

/// The hosts of the entries, with what is known of those that stay.
fn carried(entries: &[Entry], old: Vec<Host>) -> Vec<Host> {
    let now = clock::now();
    let mut old: crate::runtime::hash::HashMap<(String, u16), Host> =
        old.into_iter().map(|host| ((host.name.clone(), host.port), host)).collect();
    let host = |entry: &Entry| {
        let known = old.remove(&(entry.host.clone(), entry.port));
        known.unwrap_or_else(|| Host::new(&entry.host, entry.port, now))
    };
    entries.iter().map(host).collect()
}

/// How a file looks: enough to tell that it may say something else than before.
#[derive(PartialEq, Eq)]
struct Look {
    file: (u64, u64),
    size: u64,
    modified: SystemTime,
}

/// The file and what it said last.
struct Reader {
    path: PathBuf,
    /// Whether its URLs are to be `https://`.
    tls: bool,
    /// How it looked when it was read; `None` where it has to be read again.
    look: Option<Look>,
    text: Option<String>,
    /// What was wrong last, so that it is told once.
    wrong: Option<String>,
}

type News = Option<Result<Vec<Entry>, String>>;

impl Reader {
    /// Looks at the file, and reads it where it may have changed. Blocks.
    fn read(mut self) -> (Reader, News) {
        let news = match self.changed() {
            Ok(None) => None,
            Ok(Some(text)) => {
                self.wrong = None;
                let entries = entries((&self.path, self.tls), &text);
                self.text = Some(text);
                Some(entries)
            }
            Err(error) => {
                let why = format!("{}: {error}", self.path.display());
                (self.look, self.text) = (None, None);
                let new = self.wrong.as_ref() != Some(&why);
                self.wrong = Some(why.clone());
                new.then_some(Err(why))
            }
        };
        (self, news)
    }

    fn changed(&mut self) -> std::io::Result<Option<String>> {
        let facts = std::fs::metadata(&self.path)?;
        let modified = facts.modified()?;
        let look = Look { file: (facts.dev(), facts.ino()), size: facts.len(), modified };
        if self.look.as_ref() == Some(&look) {
            return Ok(None);
        }
        let mut text = String::new();
        std::fs::File::open(&self.path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE {
            return Err(std::io::Error::other("larger than 1 MiB"));
        }
        let settled = clock::wall().duration_since(modified).is_ok_and(|age| age > UNSETTLED);
        self.look = settled.then_some(look);
        Ok((self.text.as_ref() != Some(&text)).then_some(text))
    }
}

const ENDPOINT: &[Key] = &[
    Key::needed("url", shape::url, "Where the endpoint is"),
    Key::optional("weight", weight_schema, "Its share of the calls beside the others, 1 to 1000 (default 1)"),
];

fn weight_schema() -> crate::config::Schema {
    serde_json::json!({ "type": "integer", "minimum": 1, "maximum": MAX_WEIGHT })
}

/// Reads the list.
fn entries((path, tls): (&Path, bool), text: &str) -> Result<Vec<Entry>, String> {
    let document = tree_from_text(path, text);
    let out = &document.diagnostics;
    let mut all = Vec::new();
    match &document.root {
        None if out.is_empty() => return Err(format!("{}: the file is empty", path.display())),
        None => {}
        Some(root) => {
            let field = Field::new("endpoints", root.span, root, out);
            for item in field.list().unwrap_or_default() {
                all.extend(entry(item, tls));
            }
        }
    }
    if let Some(why) = first_error(path, out) {
        return Err(why);
    }
    if all.len() > MAX_ENDPOINTS {
        return Err(format!("{}: more than {MAX_ENDPOINTS} endpoints", path.display()));
    }
    let mut seen: HashSet<_> = HashSet::default();
    match all.iter().find(|entry| !seen.insert((entry.host.as_str(), entry.port))) {
        Some(twice) => Err(format!("{}: {}:{} stands there twice", path.display(), twice.host, twice.port)),
        None => Ok(all),
    }
}

fn entry(field: Field<'_>, tls: bool) -> Option<Entry> {
    let plain = |url: Url, weight| Entry { host: url.host.bare(), port: url.port, weight };
    if !field.is_map() {
        return Some(plain(endpoint(&field, tls)?, 1));
    }
    let section = Section::open(field, ENDPOINT)?;
    let weight = section.read("weight", 1, |field| field.integer(1..=MAX_WEIGHT));
    let url = endpoint(&section.get("url")?, tls)?;
    Some(plain(url, u16::try_from(weight).unwrap_or(u16::MAX)))
}

fn endpoint(field: &Field<'_>, tls: bool) -> Option<Url> {
    let url = field.url()?;
    if url.tls != tls {
        let (what, help) = match tls {
            true => ("TLS is spoken to this upstream", "write `https://`"),
            false => {
                ("no TLS is spoken to this upstream", "write `http://`, or give the upstream a section `tls`")
            }
        };
        field.error(what, help);
        return None;
    }
    if url.base.is_empty() {
        return Some(url);
    }
    field.error("an endpoint has no path", "write `http://host:port`; a base path belongs to the upstream");
    None
}

/// The first thing that is wrong, with its line.
fn first_error(path: &Path, out: &Diagnostics) -> Option<String> {
    let error = out.sorted().into_iter().find(|found| found.severity == Severity::Error)?;
    let line = error.span.map(|span| format!(":{}", span.line)).unwrap_or_default();
    Some(format!("{}{line}: {}", path.display(), error.what))
}

#[cfg(test)]
mod tests;
