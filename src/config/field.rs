//! Typed reading of one value. Every reader reports what is wrong and gives `None`, so that reading goes on.

mod choice;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::cidr::{Cidr, NotCidr};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{Node, Scalar, ScalarType, Style, Value};
use super::json::Json;
use super::span::{Span, Spanned};
use super::text::{Text, quoted};
use super::units::{self, Bad};
use super::url::{self, HostPattern, Url};
use super::web_origin::{self, OriginPattern};

/// A value to be read: its node, what it is called, and where findings go.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    name: &'a str,
    label: Span,
    node: &'a Node,
    out: &'a Diagnostics,
}

impl<'a> Field<'a> {
    /// A value called `name`; `label` is where that name stands (the node's own place where it has none).
    pub fn new(name: &'a str, label: Span, node: &'a Node, out: &'a Diagnostics) -> Self {
        Self { name, label, node, out }
    }

    /// What it is called in messages: its key.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Where its key stands.
    pub fn label(&self) -> Span {
        self.label
    }

    /// Where the value stands.
    pub fn span(&self) -> Span {
        self.node.span
    }

    /// The value itself.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Where findings go.
    pub fn out(&self) -> &'a Diagnostics {
        self.out
    }

    /// Reports that the value is wrong, with the mend.
    pub fn error(&self, what: impl Into<String>, help: impl Into<String>) {
        self.out.add(Diagnostic::error(self.node.span, what).help(help));
    }

    /// Whether the value is this word, such as `none`.
    pub fn is_word(&self, word: &str) -> bool {
        self.node.word() == Some(word)
    }

    /// Whether the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// Whether the value is a map.
    pub fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// Reports that something else was expected here.
    pub fn mismatch(&self, wanted: &str) {
        let (name, is) = (quoted(self.name), self.node.described());
        let type_ = match &self.node.value {
            Value::Scalar(scalar) => Some((scalar, scalar.resolve_type())),
            _ => None,
        };
        let error = |what: String| Diagnostic::error(self.node.span, what);
        self.out.add(match type_ {
            Some((_, ScalarType::Null)) => error(format!("{name} has no value: it must be {wanted}"))
                .help("give it a value, or remove the key"),
            Some((scalar, ScalarType::Number | ScalarType::Boolean(_))) if wanted.contains("text") => {
                error(format!("{name} must be {wanted}, not {is}"))
                    .help(format!("quote it: \"{}\"", scalar.raw()))
            }
            _ => error(format!("{name} must be {wanted}, not {is}")),
        });
    }

    fn scalar(&self, wanted: &str) -> Option<&'a Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) if scalar.resolve_type() != ScalarType::Null => Some(scalar),
            _ => {
                self.mismatch(wanted);
                None
            }
        }
    }

    /// Text, references resolved. Numbers and booleans are no text: they must be quoted.
    pub fn text(&self) -> Option<Text> {
        self.text_as("text")
    }

    fn text_as(&self, wanted: &str) -> Option<Text> {
        let scalar = self.scalar(wanted)?;
        if scalar.resolve_type() != ScalarType::Text {
            self.mismatch(wanted);
            return None;
        }
        scalar.text(self.node.span, self.out)
    }

    /// Text that must not be empty.
    pub fn filled(&self) -> Option<Text> {
        let text = self.text()?;
        if text.as_str().is_empty() {
            self.error(format!("{} is empty", quoted(self.name)), "give it a value, or remove the key");
            return None;
        }
        Some(text)
    }

    /// A CEL expression exactly as written: references are not resolved in it.
    pub fn cel(&self) -> Option<Text> {
        let scalar = self.scalar("a CEL expression (text)")?;
        if scalar.raw().trim().is_empty() {
            self.error("an empty CEL expression", "write a condition such as `has(identity.id)`");
            return None;
        }
        Some(scalar.written(self.node.span))
    }

    /// The text of a scalar that is read as something else than text: plain, or brought in by a reference.
    fn literal(&self, wanted: &str) -> Option<Text> {
        let scalar = self.scalar(wanted)?;
        let text = scalar.text(self.node.span, self.out)?;
        if scalar.style() != Style::Plain && !text.is_expanded() {
            let what = format!("{} must be {wanted}, not text", quoted(self.name));
            self.error(what, "remove the quotes");
            return None;
        }
        Some(text)
    }

    /// A whole number within bounds.
    pub fn integer(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let text = self.literal("a whole number")?;
        let digits = text.as_str();
        let plain =
            digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
        let number: Option<u64> = if plain { digits.parse().ok() } else { None };
        let Some(number) = number else {
            let what = format!("{} must be a whole number, not {}", quoted(self.name), text.shown());
            self.error(what, format!("write digits alone, such as `{}`", bounds.start().max(&1)));
            return None;
        };
        if !bounds.contains(&number) {
            let what = format!("{} is out of bounds", quoted(self.name));
            let help = if *bounds.end() == u64::MAX {
                format!("it is at least {}", bounds.start())
            } else {
                format!("it is between {} and {}", bounds.start(), bounds.end())
            };
            self.error(what, help);
            return None;
        }
        Some(number)
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        let text = self.literal("`true` or `false`")?;
        match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                let what = format!("{} must be `true` or `false`, not {}", quoted(self.name), text.shown());
                self.error(what, "write `true` or `false`");
                None
            }
        }
    }

    fn unit<T>(&self, wanted: &str, read: fn(&str) -> Result<T, Bad>) -> Option<T> {
        let scalar = self.scalar(wanted)?;
        let text = scalar.text(self.node.span, self.out)?;
        self.judged(&text, read(text.as_str()))
    }

    fn judged<T>(&self, text: &Text, outcome: Result<T, Bad>) -> Option<T> {
        let (what, help) = match outcome {
            Ok(value) => return Some(value),
            Err(bad) => bad,
        };
        let name = quoted(self.name);
        self.out.add(if text.is_expanded() {
            // The mend may repeat the value, which must stay hidden where a reference brought it in.
            Diagnostic::error(self.node.span, format!("{name}: what this reference holds is {what}"))
        } else {
            Diagnostic::error(self.node.span, format!("{name} is {}: {what}", text.shown())).help(help)
        });
        None
    }

    /// A duration such as `250ms`; zero is allowed.
    pub fn duration(&self) -> Option<Duration> {
        self.unit("a duration", units::duration)
    }

    /// A duration longer than zero.
    pub fn positive_duration(&self) -> Option<Duration> {
        let length = self.duration()?;
        if length.is_zero() {
            self.error(format!("{} is zero", quoted(self.name)), "the shortest is `1ms`");
            return None;
        }
        Some(length)
    }

    /// A size in bytes such as `64KiB`, at least one byte.
    pub fn size(&self) -> Option<u64> {
        let size = self.unit("a size", units::size)?;
        if size == 0 {
            self.error(format!("{} is zero", quoted(self.name)), "the smallest is `1B`");
            return None;
        }
        Some(size)
    }

    /// The size of what is held in memory whole, within bounds; `most` is given in bytes and as written.
    pub fn size_held(&self, least: u64, most: (u64, &str)) -> Option<u64> {
        let size = self.size()?;
        let name = quoted(self.name);
        if size > most.0 {
            let help = format!("the most is `{}`", most.1);
            self.error(format!("{name} is held in memory whole: this is too much"), help);
            return None;
        }
        if size < least {
            self.error(format!("{name} is too small to be of use"), format!("the least is `{least}B`"));
            return None;
        }
        Some(size)
    }

    /// A percentage, as a share between 0 and 1.
    pub fn percentage(&self) -> Option<f64> {
        self.unit("a percentage", units::percentage)
    }

    /// A socket address: an IP address and a port.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        const FORM: &str = "write `127.0.0.1:8080`, `0.0.0.0:80`, or in quotes `\"[::]:80\"`";
        match &self.node.value {
            Value::Scalar(_) if !self.node.is_null() => {}
            _ => {
                let what = format!(
                    "{} must be an address and a port, not {}",
                    quoted(self.name),
                    self.node.described()
                );
                self.error(what, FORM);
                return None;
            }
        }
        self.unit("an address and a port", |text| {
            text.parse().map_err(|_| ("not an IP address and a port".to_owned(), FORM.to_owned()))
        })
    }

    /// A network, or an address alone.
    pub fn cidr(&self) -> Option<Cidr> {
        let text = self.text_as("a network (text)")?;
        let network = text.as_str().parse().map_err(|NotCidr(help)| ("not a network".to_owned(), help));
        self.judged(&text, network)
    }

    /// The URL of a service.
    pub fn url(&self) -> Option<Url> {
        let text = self.text_as("a URL (text)")?;
        let url = self.judged(&text, url::url(text.as_str()))?;
        Some(Url { referred: text.is_expanded(), ..url })
    }

    /// A host name, with or without `*.` before it.
    pub fn host_pattern(&self) -> Option<HostPattern> {
        let text = self.text_as("a host (text)")?;
        self.judged(&text, url::host_pattern(text.as_str()))
    }

    /// A web origin such as `https://app.example.com`, `https://*.example.com`, `"*"` or `"null"`.
    pub fn origin_pattern(&self) -> Option<OriginPattern> {
        if self.node.is_null() {
            self.error("an origin without a value", "write `\"null\"`, in quotes, for pages that have none");
            return None;
        }
        let text = self.text_as("an origin (text)")?;
        self.judged(&text, web_origin::origin_pattern(text.as_str()))
    }

    /// The value of a header (RFC 9110 section 5.5), query parameter or cookie: text without control characters.
    pub fn header_value(&self) -> Option<Text> {
        let text = self.text()?;
        if text.as_str().chars().any(|c| c.is_control() && c != '\t') {
            self.error(
                format!("{} holds a control character or a line break", quoted(self.name)),
                "keep to one line of text",
            );
            return None;
        }
        Some(text)
    }

    /// A path, starting at the folder of the file that names it.
    pub fn path(&self) -> Option<PathBuf> {
        let text = self.filled()?;
        Some(self.out.files().resolve(self.node.span.file, text.as_str()))
    }

    /// JSON data: any value, `null` included.
    pub fn json(&self) -> Option<Json> {
        Json::read(self.node, self.out)
    }

    /// The items of a list.
    pub fn list(&self) -> Option<Vec<Field<'a>>> {
        match &self.node.value {
            Value::List(items) => {
                Some(items.iter().map(|node| Self { label: node.span, node, ..*self }).collect())
            }
            _ => {
                self.mismatch("a list");
                None
            }
        }
    }

    /// The items of a list, or the value itself where it is none: for "one or several".
    pub fn one_or_many(&self) -> Vec<Field<'a>> {
        if self.is_list() { self.list().unwrap_or_default() } else { vec![*self] }
    }

    /// Every item of a list read with `read`; `None` where one is wrong, after all were read.
    pub fn list_of<T>(&self, read: impl FnMut(Field<'a>) -> Option<T>) -> Option<Vec<T>> {
        let items: Vec<Option<T>> = self.list()?.into_iter().map(read).collect();
        items.into_iter().collect()
    }

    /// The entries of a map whose keys are free (names, headers), in the order written.
    pub fn entries(&self) -> Option<Vec<(Spanned<&'a str>, Field<'a>)>> {
        match &self.node.value {
            Value::Map(entries) => Some(
                entries
                    .iter()
                    .map(|entry| {
                        let key = Spanned::new(entry.key.value.as_str(), entry.key.span);
                        (key, Self { name: key.value, label: key.span, node: &entry.value, out: self.out })
                    })
                    .collect(),
            ),
            _ => {
                self.mismatch("a map");
                None
            }
        }
    }
}

/// The finding about a word of the language that this version does not build.
pub fn not_yet(span: Span, word: &str) -> Diagnostic {
    let what = format!("{} is part of the language but not supported by this version", quoted(word));
    Diagnostic::error(span, what).help("remove it: what it asks for would not be done")
}
