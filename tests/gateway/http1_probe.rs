//! The cases of Http11Probe, a public probe of HTTP/1.1 servers, played against the gate over raw sockets. The cases
//! are data (`tests/vectors/http1_probe.jsonl`, described in the README there); the answers that the probe does not
//! count as a pass are the table of `docs/http.md`, which is compared with what the gate answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::support::{Answer, Client, Gateway, Origin, Turn};

const CASES: &str = include_str!("../vectors/http1_probe.jsonl");
const PAGE: &str = include_str!("../../docs/http.md");

const TAG: &str = "\"v1\"";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// What the probe expects to find: `/` answers GET with a text and POST with what it got, `/echo` answers with the
/// header lines and `/cookie` with the cookies of the request.
fn service(turn: &mut Turn) {
    let seen = turn.request();
    let path = seen.target().split('?').next().unwrap_or_default().to_owned();
    let plain = ("Content-Type", "text/plain");
    let allow = ("Allow", "GET, HEAD, POST, OPTIONS");
    match (seen.method(), path.as_str()) {
        (_, "/echo") => {
            let lines: String =
                seen.headers.0.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            turn.answer(200, &[plain], lines);
        }
        ("GET", "/cookie") => {
            let pairs = seen.header("cookie").unwrap_or_default().replace("; ", "\n");
            turn.answer(200, &[plain], pairs);
        }
        ("GET", "/after") => turn.answer(200, &[plain], "after"),
        ("POST", _) => {
            let body = turn.body();
            turn.answer(200, &[plain], body);
        }
        ("OPTIONS", _) => turn.answer(204, &[allow], ""),
        ("GET" | "HEAD", _) => {
            let kept = match seen.header("if-none-match") {
                Some(tags) => tags == "*" || tags.trim_start_matches("W/") == TAG,
                None => seen.header("if-modified-since") == Some(MODIFIED),
            };
            let about = [plain, ("ETag", TAG), ("Last-Modified", MODIFIED)];
            turn.answer(if kept { 304 } else { 200 }, &about, "OK");
        }
        _ => turn.answer(405, &[allow, plain], "no such method"),
    }
}

/// The gate before that service, with its defaults, and one that gives up at once on what is not finished.
struct Gates {
    plain: Gateway,
    hasty: Gateway,
}

impl Gates {
    fn start(origin: &Origin) -> Self {
        let limits = "limits: { head_timeout: 100ms, body_timeout: 100ms, idle: 100ms }";
        Self {
            plain: Gateway::start(&[origin], "routes: { /*: { upstream: STEADY1 } }"),
            hasty: Gateway::start(
                &[origin],
                &format!(
                    "
                    listeners: {{ default: {{ listen: 127.0.0.1:0, {limits} }} }}
                    routes: {{ /*: {{ upstream: STEADY1 }} }}
                    "
                ),
            ),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verdict {
    Pass,
    Warn,
    Fail,
}

/// What came of one step.
struct Outcome {
    answer: Option<Answer>,
    /// The connection ended, behind the answer or without one.
    closed: bool,
}

impl Outcome {
    /// The status that comes first on the wire; 0 for none.
    fn status(&self) -> u16 {
        self.answer.as_ref().map_or(0, |answer| *answer.interim.first().unwrap_or(&answer.status))
    }

    /// Whether one of the words names this outcome: `400`, `2xx`, `!101` and `any` are answers, with `&close` those
    /// behind which the connection ended; `close` and `timeout` are none.
    fn is(&self, words: &str) -> bool {
        let status = self.status();
        words.split(' ').any(|word| {
            let (word, closes) = word.split_once('&').map_or((word, false), |(word, _)| (word, true));
            (!closes || self.closed)
                && match word {
                    "close" => status == 0 && self.closed,
                    // The probe waits five seconds, the gate by its defaults ten and here a moment.
                    "timeout" => status == 408,
                    "any" => status != 0,
                    _ if status == 0 => false,
                    _ => match (word.strip_prefix('!'), word.strip_suffix("xx")) {
                        (Some(other), _) => other.parse() != Ok(status),
                        (_, Some(class)) => class.parse() == Ok(status / 100),
                        _ => word.parse() == Ok(status),
                    },
                }
        })
    }

    /// What the table of the page says of it.
    fn words(&self) -> String {
        let mut words = match self.status() {
            0 => return "closed".to_owned(),
            status => status.to_string(),
        };
        if self.closed {
            words.push_str(", closed");
        }
        words
    }

    /// Whether an answer is as `rules` say, its status apart.
    fn keeps(&self, rules: &Value) -> bool {
        let Some(answer) = &self.answer else { return true };
        let text = answer.text();
        let (word, lower) = (|name: &str| rules[name].as_str(), text.to_ascii_lowercase());
        let body = word("body").is_none_or(|body| text == body);
        let has = word("has").is_none_or(|name| answer.header(name).is_some());
        let lacks = word("lacks").is_none_or(|name| !answer.headers.has(name));
        let without = word("without").is_none_or(|part| !text.contains(part));
        let holds = rules["holds"].as_array().into_iter().flatten();
        let holds =
            holds.into_iter().all(|part| lower.contains(&part.as_str().unwrap().to_ascii_lowercase()));
        let date = rules["date"].is_null()
            || answer.header("date").is_some_and(|date| {
                httpdate::parse_http_date(date).is_ok_and(|time| httpdate::fmt_http_date(time) == date)
            });
        body && has && lacks && without && holds && date
    }

    /// What the echo of the header lines says of one line: whether its name became that of another.
    fn renamed(&self, rules: &Value) -> Option<Verdict> {
        let names: Vec<&str> = rules["renamed"].as_array()?.iter().filter_map(Value::as_str).collect();
        let answer = self.answer.as_ref().filter(|answer| answer.status == 200)?;
        let text = answer.text();
        let name =
            text.lines().filter_map(|line| line.split_once(": ")).find(|(_, value)| *value == names[2]);
        match name {
            Some((name, _)) if name == names[1] => Some(Verdict::Warn),
            Some((name, _)) if name.eq_ignore_ascii_case(names[0]) => Some(Verdict::Fail),
            _ => None,
        }
    }

    /// The verdict where the outcome is one that can pass.
    fn judge(&self, rules: &Value) -> Option<Verdict> {
        let words = |name: &str| rules[name].as_str().unwrap_or_default();
        self.is(words("pass")).then(|| match self.renamed(rules) {
            Some(verdict) => verdict,
            None if self.keeps(rules) => Verdict::Pass,
            None if words("otherwise") == "warn" => Verdict::Warn,
            None => Verdict::Fail,
        })
    }
}

/// The bytes of a step: a text whose code points are bytes, or pieces of which some are repeated.
pub(crate) fn bytes(step: &Value) -> Vec<u8> {
    match step {
        Value::String(text) => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect(),
        Value::Array(pieces) => pieces.iter().flat_map(bytes).collect(),
        repeated => {
            let piece = repeated["repeat"].as_str().unwrap();
            let times = repeated["times"].as_u64().unwrap();
            (0..times).flat_map(|n| piece.replace("{n}", &n.to_string()).into_bytes()).collect()
        }
    }
}

/// Sends these bytes and waits for one answer, or for the end of the connection.
fn step(id: &Value, client: &mut Client, bytes: &[u8]) -> Outcome {
    // A refusal may end the connection before everything is taken: the answer is what counts.
    let _ = client.try_send(bytes);
    if bytes.starts_with(b"PRI ") {
        // HTTP/2 is spoken as well. What the gate says in it is no answer to the probe.
        client.finish_sending();
        assert!(!client.read_to_end().starts_with(b"HTTP/"), "{id}");
        return Outcome { answer: None, closed: true };
    }
    let method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let Ok(answer) = client.try_read_for(method) else {
        assert!(client.closed(), "{id}: an answer or the end of the connection");
        return Outcome { answer: None, closed: true };
    };
    let announced = answer.header("connection").is_some_and(|option| option.eq_ignore_ascii_case("close"));
    let closed = announced && client.closed();
    assert!(closed || !announced, "{id}: nothing follows an answer behind which the connection ends");
    Outcome { answer: Some(answer), closed }
}

/// Plays a case; gives the verdict and what it is founded on.
fn play(case: &Value, gates: &Gates) -> (Verdict, Outcome) {
    let (id, unfinished) = (&case["id"], case["unfinished"] == true);
    let mut client = if unfinished { gates.hasty.client() } else { gates.plain.client() };
    let steps: Vec<Vec<u8>> = case["send"].as_array().unwrap().iter().map(bytes).collect();
    let mut outcome = step(id, &mut client, &steps[0]);
    let mut verdict = outcome.judge(case);
    let next = &case["next"];
    if verdict.is_none() && !outcome.closed && outcome.is(next["after"].as_str().unwrap_or_default()) {
        outcome = step(id, &mut client, &steps[1]);
        let words = next["warn"].as_str().unwrap_or_default();
        verdict = outcome.judge(next).or_else(|| outcome.is(words).then_some(Verdict::Warn));
    }
    let words = case["warn"].as_str().unwrap_or_default();
    let verdict = verdict.or_else(|| outcome.is(words).then_some(Verdict::Warn)).unwrap_or(Verdict::Fail);
    // Whatever was sent: a connection that goes on is in step, so that the next answer is that of the next request.
    if !outcome.closed {
        let after = step(id, &mut client, b"GET /after HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = after.answer.map(|answer| answer.text());
        assert!(text.is_none() || text.as_deref() == Some("after"), "{id}: out of step: {text:?}");
        outcome.closed = text.is_none();
    }
    (verdict, outcome)
}

/// The table of the page: what the gate answers where the probe would rather have something else.
fn differences() -> BTreeMap<String, String> {
    let (_, section) = PAGE.split_once("## A public probe").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        Some((cells.next()?, cells.next()?))
    });
    rows.collect()
}

#[test]
fn the_cases_of_a_public_probe() {
    let origin = Origin::serve(service);
    let gates = Gates::start(&origin);
    let mut expected = differences();
    let mut counts: BTreeMap<(String, Verdict), usize> = BTreeMap::new();
    let mut report = String::new();
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let id = case["id"].as_str().unwrap();
        let (verdict, outcome) = play(&case, &gates);
        let words = outcome.words();
        *counts.entry((case["category"].as_str().unwrap().to_owned(), verdict)).or_default() += 1;
        match (expected.remove(id), verdict) {
            (None, Verdict::Pass) => {}
            (Some(said), Verdict::Warn | Verdict::Fail) if said == words => {}
            (said, _) => writeln!(report, "{id}: {verdict:?}, {words}; the page: {said:?}").unwrap(),
        }
    }
    for id in expected.keys() {
        writeln!(report, "{id}: no such case").unwrap();
    }
    assert!(report.is_empty(), "{counts:#?}\n{report}");
    assert!(origin.faults().is_empty(), "{:?}", origin.faults());
}
