//! Whatever is edited without a change of meaning changes no object.

use std::fmt::Write;

use serde_json::{Value, json};

use super::*;
use crate::exchange::CoreId;
use crate::runtime::clock;
use crate::upstream::limits::breaker::{Admission, State};

/// A stream of choices, the same for a seed.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn noise(&mut self, indent: usize) -> &'static str {
        match (self.below(4), indent) {
            (0, _) => "\n",
            (1, _) => "# a comment: { with: [words] }\n",
            (2, 0) => "   # another, further in\n\n",
            _ => "",
        }
    }

    fn scalar(&mut self, value: &Value) -> String {
        let Value::String(text) = value else { return value.to_string() };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.%".contains(&byte);
        let word = text.bytes().all(plain) && !text.bytes().all(|byte| b"0123456789.".contains(&byte));
        match self.below(if word { 3 } else { 2 }) {
            0 => format!("'{}'", text.replace('\'', "''")),
            1 => value.to_string(),
            _ => text.clone(),
        }
    }

    /// A map of `$any` stands for any of its values.
    fn resolved<'v>(&mut self, value: &'v Value) -> &'v Value {
        match value.get("$any").and_then(Value::as_array) {
            Some(spellings) => &spellings[self.below(spellings.len())],
            None => value,
        }
    }

    fn entries<'v>(&mut self, map: &'v serde_json::Map<String, Value>) -> Vec<(&'v String, &'v Value)> {
        let mut entries: Vec<_> = map.iter().map(|(key, value)| (key, self.resolved(value))).collect();
        for at in (1..entries.len()).rev() {
            entries.swap(at, self.below(at + 1));
        }
        entries
    }

    fn flow(&mut self, value: &Value) -> String {
        match value {
            Value::Object(map) => {
                let entries = self.entries(map).into_iter();
                let entries: Vec<_> = entries
                    .map(|(key, value)| {
                        format!("{}: {}", self.scalar(&Value::String(key.clone())), self.flow(value))
                    })
                    .collect();
                format!("{{ {} }}", entries.join(", "))
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow(item)).collect();
                format!("[{}]", items.join(", "))
            }
            scalar => self.scalar(scalar),
        }
    }

    fn block(&mut self, value: &Value, indent: usize, out: &mut String) {
        let Value::Object(map) = value else { panic!("only maps are written as blocks") };
        for (key, value) in self.entries(map) {
            out.push_str(self.noise(indent));
            let key = self.scalar(&Value::String(key.clone()));
            write!(out, "{:indent$}{key}:", "").unwrap();
            if value.is_object() && self.below(3) > 0 {
                out.push('\n');
                let deeper = indent + 1 + self.below(3);
                self.block(value, deeper, out);
            } else {
                writeln!(out, " {}", self.flow(value)).unwrap();
            }
        }
    }

    fn written(&mut self, value: &Value) -> String {
        let mut out = String::new();
        self.block(value, 0, &mut out);
        out
    }
}

fn configuration() -> Value {
    json!({
        "listen": "127.0.0.1:0",
        "auth": { "user": { "jwt": {
            "secret": { "$any": ["${SECRET}", "0123456789abcdef0123456789abcdef"] },
            "leeway": "3s", "algorithms": ["HS256"],
        } } },
        "upstreams": {
            "users": {
                "endpoints": ["http://10.0.0.1:3001", { "url": { "$any": ["http://b.test", "http://B.test:80/"] }, "weight": 2 }],
                "balance": { "consistent_hash": "request.headers[\"x-key\"] + 'a: b'" },
                "retry": { "attempts": 3, "retry_on": ["connect", 503], "unsafe": "request.path == '/x'" },
                "timeouts": { "connect": { "$any": ["1s", "1000ms"] }, "idle": { "$any": ["60s", "1m"] } },
                "breaker": { "consecutive": 1, "open": { "$any": ["1h", "60m"] }, "ratio": { "$any": ["50%", "50.0%"] } },
                "health": { "path": "/healthz", "status": [200, 204], "body": "ok|fine" },
                "absent_after": "5s",
                "limits": { "head": { "$any": ["128KiB", "131072B"] }, "headers": 300 },
            },
            "found": { "discover": { "dns_srv": "_http._tcp.up.test" }, "hedge": { "after": "p95" } },
        },
        "routes": {
            "/a": { "upstream": "users", "timeout": "5s", "policies": {
                "auth": "user", "cache": { "ttl": "10s", "methods": ["GET"] },
            } },
            "/b/*": { "upstream": "found", "rewrite": "/" },
            "/c": { "upstream": "http://10.0.0.9:1" },
        },
    })
}

#[test]
fn an_edit_without_a_change_of_meaning_changes_no_object() {
    let secret = "0123456789abcdef0123456789abcdef";
    let (environment, configuration) = (Environment::new(1), configuration());
    let mut choices = Choices(0x9e37_79b9_7f4a_7c15);
    let mut before = compiled(&choices.written(&configuration), secret, None, &environment);
    let named = |snapshot: &Snapshot, name: &str| {
        let mut all = snapshot.upstreams.iter();
        Arc::clone(all.find(|upstream| &*upstream.settings().name == name).unwrap())
    };
    let now = clock::now();
    let users = named(&before, "users");
    let Admission::Pass(pass) = users.breaker().admit(now) else { panic!("it is closed") };
    users.breaker().record(pass, CoreId(0), now, Some("reset"));
    for edit in 0..300 {
        let text = choices.written(&configuration);
        let next = compiled(&text, secret, Some(&before), &environment);
        for name in ["users", "found", "http://10.0.0.9:1"] {
            let same = Arc::ptr_eq(&named(&next, name), &named(&before, name));
            assert!(same, "edit {edit}: {name} is another one with\n{text}");
        }
        assert_eq!(named(&next, "users").breaker().state(now), State::Open);
        assert!(Arc::ptr_eq(&next.sources.auth["user"], &before.sources.auth["user"]), "{text}");
        let prints = |snapshot: &Snapshot| {
            let rules = snapshot.listeners[0].rules.iter();
            let mut prints: Vec<_> = rules.map(|rule| (rule.name.to_string(), rule.print)).collect();
            prints.sort();
            prints
        };
        assert_eq!(prints(&next), prints(&before), "edit {edit}:\n{text}");
        before = next;
    }
}

#[test]
fn the_order_of_what_an_answer_is_made_of_has_a_meaning() {
    let print = |sources: &str| {
        let text = format!(
            "listen: 127.0.0.1:0\nroutes: {{ /: {{ aggregate: {{ mode: partial, sources: {{ {sources} }} }} }} }}\n"
        );
        let snapshot = compiled(&text, "", None, &Environment::new(1));
        snapshot.listeners[0].rules.iter().find(|rule| &*rule.name == "/").unwrap().print
    };
    let source = |name: &str| format!("{name}: {{ upstream: 'http://10.0.0.1', path: /{name} }}");
    let (a, b) = (source("a"), source("b"));
    assert_ne!(print(&format!("{a}, {b}")), print(&format!("{b}, {a}")));
}
