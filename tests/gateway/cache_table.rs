//! Caching by the letter: every row of the tables in docs/caching.md, read from the page and played through sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::support::parts::rows_of;
use crate::support::{Answer, Client, Gateway, Origin, Seen};

const PAGE: &str = include_str!("../../docs/caching.md");

/// Longest delay of a row, in seconds: what counts time may be so much off.
const SLACK: i64 = 20;

/// What the service answers next, in turn.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<VecDeque<Reply>>>);

struct Reply {
    status: u16,
    lines: Vec<(String, String)>,
    body: &'static str,
}

impl Script {
    fn set(&self, replies: impl IntoIterator<Item = Reply>) {
        *self.0.lock().unwrap() = replies.into_iter().collect();
    }

    fn origin(&self) -> Origin {
        let script = self.clone();
        Origin::serve(move |turn| {
            let reply = script.0.lock().unwrap().pop_front();
            let reply = reply.unwrap_or(Reply { status: 500, lines: Vec::new(), body: "asked in vain" });
            let mut lines = borrowed(&reply.lines);
            let length = lines.iter().position(|(name, _)| *name == "content-length");
            if let Some(at) = length {
                // The length that the page names.
                let length = lines.remove(at).1.parse().unwrap();
                return turn.answer(reply.status, &lines, "x".repeat(length));
            }
            let empty = matches!(reply.status, 204 | 304);
            turn.answer(reply.status, &lines, if empty { "" } else { reply.body });
        })
    }
}

fn borrowed(lines: &[(String, String)]) -> Vec<(&str, &str)> {
    lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// What stands between backquotes in a cell, and the words outside of them.
struct Cell {
    words: Vec<&'static str>,
    settings: Option<&'static str>,
    /// What has no colon: a method, or what `cache-status` says.
    bare: Vec<&'static str>,
    lines: Vec<(&'static str, &'static str)>,
}

impl Cell {
    fn read(text: &'static str) -> Cell {
        let mut cell = Cell { words: Vec::new(), settings: None, bare: Vec::new(), lines: Vec::new() };
        for (at, part) in text.split('`').enumerate() {
            match part.split_once(':') {
                _ if at % 2 == 0 => cell.words.extend(part.split_whitespace()),
                _ if part.starts_with('{') => cell.settings = Some(part),
                Some((name, value)) => cell.lines.push((name, value.trim_start())),
                None => cell.bare.push(part),
            }
        }
        cell
    }

    fn method(&self) -> &'static str {
        self.bare.first().copied().unwrap_or("GET")
    }

    fn is_none(&self) -> bool {
        self.words == ["-"]
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// Its lines, with the times of this row.
    fn lines(&self, now: SystemTime) -> Vec<(String, String)> {
        self.lines.iter().map(|(name, value)| ((*name).to_owned(), timed(value, now))).collect()
    }

    fn reply(&self, now: SystemTime, body: &'static str) -> Reply {
        Reply { status: self.words[0].parse().unwrap(), lines: self.lines(now), body }
    }
}

/// `now`, `now-100` and `now+100` as dates of HTTP, and all else as it is.
fn timed(value: &str, now: SystemTime) -> String {
    let Some(offset) = value.strip_prefix("now") else { return value.to_owned() };
    let seconds = offset.get(1..).unwrap_or_default().parse().unwrap_or(0);
    let by = Duration::from_secs(seconds);
    httpdate::fmt_http_date(if offset.starts_with('-') { now - by } else { now + by })
}

/// One service with a route for every row, and one client.
struct Stage {
    script: Script,
    origin: Origin,
    _gateway: Gateway,
    client: Client,
}

impl Stage {
    fn set(settings: impl Iterator<Item = Option<&'static str>>) -> Stage {
        let routes: String = settings
            .enumerate()
            .map(|(at, settings)| {
                let settings = settings.unwrap_or("{}");
                format!("  /{at}: {{ upstream: ORIGIN1, policies: {{ cache: {settings} }} }}\n")
            })
            .collect();
        let script = Script::default();
        let origin = script.origin();
        let gateway = Gateway::start(&[&origin], &format!("routes:\n{routes}"));
        let client = gateway.client();
        Stage { script, origin, _gateway: gateway, client }
    }

    /// Sends a request, and gives the answer with what the service has seen of it.
    fn ask(&mut self, row: usize, method: &str, lines: &[(String, String)]) -> (Answer, Vec<Seen>) {
        let before = self.origin.count();
        let answer = self.client.request(method, &format!("/{row}"), &borrowed(lines), b"");
        (answer, self.origin.requests().split_off(before))
    }
}

/// Asserts what a cell says of an answer.
#[track_caller]
fn is_as(cell: &Cell, answer: &Answer, now: SystemTime, row: &[&str]) {
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{text}: {row:#?}"));
    for (name, value) in &cell.lines {
        let shown = answer.header(name);
        match (*name, *value) {
            (_, "") => assert_eq!(shown, None, "{name}: {row:#?}"),
            ("age", value) => {
                let late = number(shown.unwrap_or_else(|| panic!("no age: {row:#?}"))) - number(value);
                assert!((0..SLACK).contains(&late), "age {shown:?}: {row:#?}");
            }
            ("date", "now") => {
                let date = httpdate::parse_http_date(shown.unwrap()).unwrap();
                let off = date.duration_since(now - Duration::from_secs(1)).unwrap();
                assert!(off < Duration::from_secs(SLACK as u64), "{shown:?}: {row:#?}");
            }
            (_, value) => assert_eq!(shown, Some(&*timed(value, now)), "{name}: {row:#?}"),
        }
    }
    for bare in &cell.bare {
        let said = status_of(answer);
        match bare.strip_prefix("ttl=") {
            Some(ttl) => {
                let shown = said.strip_prefix("hit; ttl=").unwrap_or_else(|| panic!("{said}: {row:#?}"));
                let early = number(ttl) - number(shown);
                assert!((0..SLACK).contains(&early), "ttl {shown}: {row:#?}");
            }
            None => assert_eq!(said, *bare, "{row:#?}"),
        }
    }
}

/// What the gate says of its handling; empty where it says nothing.
fn status_of(answer: &Answer) -> &str {
    let line = answer.header("cache-status").unwrap_or_default();
    line.strip_prefix("portcullis; ").unwrap_or(line)
}

#[test]
fn every_row_of_what_is_kept() {
    let rows = rows_of(PAGE, &["Section", "Request", "Answer", "Then"]);
    assert!(rows.len() >= 55, "{}", rows.len());
    played(&rows, 1);
}

#[test]
fn every_row_of_how_long() {
    let rows = rows_of(PAGE, &["Section", "Answer", "Then"]);
    assert!(rows.len() >= 40, "{}", rows.len());
    played(&rows, 0);
}

/// Sends the request of each row twice; `asked` columns stand before the answer.
fn played(rows: &[Vec<&'static str>], asked: usize) {
    let mut stage = Stage::set(rows.iter().map(|row| Cell::read(row[1]).settings));
    for (at, row) in rows.iter().enumerate() {
        let (request, reply, then) = (
            Cell::read(if asked > 0 { row[1] } else { "" }),
            Cell::read(row[1 + asked]),
            Cell::read(row[2 + asked]),
        );
        let now = SystemTime::now();
        let answered = || reply.reply(now, "first");
        stage.script.set([answered(), Reply { body: "next", ..answered() }]);
        let lines = request.lines(now);
        let (first, seen) = stage.ask(at, request.method(), &lines);
        assert_eq!((first.status.to_string().as_str(), seen.len()), (reply.words[0], 1), "{row:#?}");
        let (second, seen) = stage.ask(at, request.method(), &lines);
        assert_eq!(second.status, first.status, "{row:#?}");
        let is_kept = !then.has("not");
        assert_eq!(seen.is_empty(), is_kept, "{row:#?}: {}", status_of(&second));
        assert_eq!(status_of(&second).starts_with("hit; ttl="), is_kept, "{row:#?}");
        if is_kept {
            assert_eq!(second.text(), first.text(), "{row:#?}");
            is_as(&then, &second, now, row);
        }
    }
}

#[test]
fn every_row_of_what_comes_of_what_is_kept() {
    let rows = rows_of(PAGE, &["Section", "Kept", "Request", "Sees", "Answer", "Gets", "Next"]);
    assert!(rows.len() >= 100, "{}", rows.len());
    let mut stage = Stage::set(rows.iter().map(|row| Cell::read(row[1]).settings));
    for (at, row) in rows.iter().enumerate() {
        let now = SystemTime::now();
        let cells: Vec<Cell> = row.iter().map(|cell| Cell::read(cell)).collect();
        let [_, kept, request, _, _, gets, next] = cells.as_slice() else { panic!("{row:#?}") };
        if !kept.is_none() {
            stage.script.set([kept.reply(now, "first")]);
            let (answer, seen) = stage.ask(at, "GET", &[]);
            assert_eq!((answer.text().as_str(), seen.len()), ("first", 1), "{row:#?}");
        }
        let sees: Vec<Cell> = row[3].split(" then ").map(Cell::read).filter(|cell| !cell.is_none()).collect();
        let replies = row[4].split(" then ").map(Cell::read).filter(|cell| !cell.is_none());
        stage.script.set(replies.zip(["second", "third"]).map(|(cell, body)| cell.reply(now, body)));
        let (answer, seen) = stage.ask(at, request.method(), &request.lines(now));
        assert_eq!(answer.status.to_string(), gets.words[0], "{row:#?}: {}", answer.text());
        if let Some(body) = gets.words.get(1) {
            assert_eq!(answer.text(), *body, "{row:#?}");
        }
        is_as(gets, &answer, now, row);
        assert_eq!(seen.len(), sees.len(), "{row:#?}: {}", status_of(&answer));
        for (seen, cell) in seen.iter().zip(&sees) {
            assert_eq!(conditions(seen), cell.lines(now), "{row:#?}");
        }
        stage.script.set([Reply { status: 503, lines: Vec::new(), body: "next" }]);
        let (answer, seen) = stage.ask(at, "GET", &[]);
        match seen.as_slice() {
            [] => {
                assert!(next.has("fresh") && next.has(&answer.text()), "{row:#?}: {}", answer.text());
                assert!(status_of(&answer).starts_with("hit; ttl="), "{row:#?}");
            }
            [seen] => {
                assert!(next.has("asked"), "{row:#?}: {}", status_of(&answer));
                assert_eq!(conditions(seen), next.lines(now), "{row:#?}");
            }
            more => panic!("{row:#?}: {more:#?}"),
        }
    }
}

/// The conditions and ranges that a service has seen, in the order of the page.
fn conditions(seen: &Seen) -> Vec<(String, String)> {
    let names =
        ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "range", "if-range"];
    let line = |name: &&str| Some(((*name).to_owned(), seen.header(name)?.to_owned()));
    names.iter().filter_map(line).collect()
}
