//! YAML text into a tree of nodes, bounded in depth and number.

use crate::runtime::hash::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Mark};

use super::diagnostic::Diagnostic;
use super::document::{Entry, Node, Scalar, Style, Value};
use super::merge::{self, Merge};
use super::span::{FileId, Span, Spanned};
use super::text::{Text, quoted};

/// How deep maps and lists may nest.
const MAX_DEPTH: usize = 64;
/// How many nodes one file may come to, aliases counted as what they stand for.
const MAX_NODES: usize = 200_000;

/// Reads one file. The node is `None` where the file holds no value at all, or where it is no YAML.
pub(super) fn parse(file: FileId, text: &str, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    let source = Source::new(text);
    let mut builder = Builder {
        file,
        source,
        stack: Vec::new(),
        root: None,
        anchors: HashMap::default(),
        nodes: 0,
        problems,
    };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0_usize;
    while let Some(next) = parser.next_event() {
        let outcome = match next {
            Ok((Event::DocumentStart(_), mark)) => {
                documents += 1;
                if documents > 1 { Err(several(builder.span(mark))) } else { Ok(()) }
            }
            Ok((event, mark)) => builder.event(event, mark),
            Err(error) => Err(broken(file, &builder.source, &error)),
        };
        if let Err(diagnostic) = outcome {
            builder.problems.push(diagnostic);
            return None;
        }
    }
    builder.root.filter(|node| !node.is_null())
}

fn several(span: Span) -> Diagnostic {
    Diagnostic::error(span, "a second YAML document begins here")
        .help("a file is one document: remove the `---`")
}

fn broken(file: FileId, source: &Source<'_>, error: &ScanError) -> Diagnostic {
    let span = source.point(file, *error.marker());
    let line = source.text.lines().nth((span.line as usize).saturating_sub(1)).unwrap_or("");
    let diagnostic = Diagnostic::error(span, format!("this is not YAML: {}", error.info()));
    if line.contains("${") {
        diagnostic.help("quote a value that holds a reference: \"${NAME}\"")
    } else if line.contains("[::") || line.contains("]:") {
        diagnostic.help("quote an IPv6 address: \"[::]:80\"")
    } else if line.contains('\t') {
        diagnostic.help("indent with blanks: YAML takes no tabs there")
    } else {
        diagnostic.help("look at the indentation, the quotes and the brackets before this place")
    }
}

/// A list or map whose end has not come yet.
struct Frame {
    span: Span,
    anchor: usize,
    /// The deepest nesting below it, for the bound on aliases.
    height: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Span>, key: Option<MapKey>, merge: Option<Box<Merge>> },
}

/// A key whose value has not come yet.
enum MapKey {
    Named(String, Text),
    /// The merge key, at this place.
    Merge(Span),
}

/// The text of the file by character index, which is how marks count.
struct Source<'a> {
    text: &'a str,
    /// Where each character begins; absent where every character is one byte.
    starts: Option<Vec<usize>>,
    /// With which character each line begins.
    lines: Vec<usize>,
    /// How many characters there are.
    length: usize,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let starts: Option<Vec<usize>> =
            (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        let breaks = text.chars().enumerate().filter(|(_, letter)| *letter == '\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        let length = starts.as_ref().map_or(text.len(), Vec::len);
        Self { text, starts, lines, length }
    }

    /// The place of a mark. Its own line and column are not taken: the parser begins a line after a lone carriage return
    /// too, which no editor does, and one below the text where that ends in the middle of a line.
    fn point(&self, file: FileId, mark: Marker) -> Span {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let index = mark.index().min(self.length);
        let line = self.lines.partition_point(|start| *start <= index);
        let column = index - self.lines[line - 1] + 1;
        Span { file, line: narrow(line), column: narrow(column), length: 0 }
    }

    /// What a mark covers, without the blanks that the parser counts to a quoted value.
    fn slice(&self, mark: Mark) -> &'a str {
        let byte = |index: usize| match &self.starts {
            Some(starts) => starts.get(index).copied().unwrap_or(self.text.len()),
            None => index,
        };
        let covered = self.text.get(byte(mark.start.index())..byte(mark.end.index()));
        covered.unwrap_or("").trim_end_matches([' ', '\t', '\r', '\n'])
    }
}

struct Builder<'a> {
    file: FileId,
    source: Source<'a>,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    problems: &'a mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn span(&self, mark: Mark) -> Span {
        let start = self.source.point(self.file, mark.start);
        Span { length: characters(self.source.slice(mark)), ..start }
    }

    /// Takes one event; an error ends the file.
    fn event(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Diagnostic> {
        let span = self.span(mark);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let one_line = !self.source.slice(mark).contains('\n');
                let scalar = scalar(&text, style, span, one_line);
                self.place(Node { span, value: Value::Scalar(scalar) }, 0, 1, anchor)
            }
            Event::Alias(id) => {
                let Some((node, height, count)) = self.anchors.get(&id).cloned() else {
                    return Err(Diagnostic::error(span, "an alias cannot stand inside what it names"));
                };
                self.place(node, height, count, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.is_some(), Open::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let seen = HashMap::default();
                let open = Open::Map { entries: Vec::new(), seen, key: None, merge: None };
                self.open(span, anchor, tag.is_some(), open)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let problem = Diagnostic::error(span, "tags are not part of the language");
            self.problems.push(problem.help("remove the `!...`; quote a value to make it text"));
        }
    }

    fn open(&mut self, span: Span, anchor: usize, tagged: bool, open: Open) -> Result<(), Diagnostic> {
        self.refuse_tag(tagged, span);
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        if matches!(self.stack.last(), Some(Frame { open: Open::Map { key: None, .. }, .. })) {
            return Err(Diagnostic::error(span, "a key must be text, not a list or a map")
                .help("quote a value that begins with `{` or `[`"));
        }
        self.stack.push(Frame { span, anchor, height: 0, open });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Diagnostic> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.open {
            Open::List(items) => Value::List(items),
            Open::Map { entries, merge: None, .. } => Value::Map(entries),
            Open::Map { entries, merge: Some(merge), .. } => Value::Map(merge.added_to(entries)),
        };
        let node = Node { span: frame.span, value };
        // Only an anchored node is counted anew: the walk over every node at every level would be quadratic.
        let count = if frame.anchor > 0 { count(&node) } else { 1 };
        self.nodes = self.nodes.saturating_sub(count - 1);
        self.place(node, frame.height + 1, count, frame.anchor)
    }

    /// Puts a finished node where it belongs: into the open map or list, or at the root.
    fn place(&mut self, node: Node, height: usize, count: usize, anchor: usize) -> Result<(), Diagnostic> {
        self.nodes += count;
        if self.nodes > MAX_NODES {
            return Err(Diagnostic::error(node.span, format!("more than {MAX_NODES} values in one file")));
        }
        if self.stack.len() + height > MAX_DEPTH {
            return Err(too_deep(node.span));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), height, count));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.height = frame.height.max(height);
        match &mut frame.open {
            Open::List(items) => items.push(node),
            Open::Map { entries, seen, key, merge } => match key.take() {
                Some(MapKey::Merge(key)) => {
                    let new = Merge { key, at: entries.len(), value: node };
                    self.problems.extend(new.problem());
                    if let Some(first) = merge {
                        let problem = Diagnostic::error(key, "the merge key `<<` is written twice")
                            .help("write one, with a list: `<<: [*a, *b]`");
                        self.problems.push(problem.note(first.key, "first written here"));
                    } else {
                        *merge = Some(Box::new(new));
                    }
                }
                Some(MapKey::Named(text, key_text)) => {
                    let first = seen.get(&text).copied();
                    if let Some(first) = first {
                        let what = format!("the key {} is written twice", quoted(&text));
                        let problem = Diagnostic::error(key_text.span(), what);
                        self.problems.push(problem.note(first, "first written here"));
                    } else {
                        seen.insert(text.clone(), key_text.span());
                        entries.push(Entry {
                            key: Spanned::new(text, key_text.span()),
                            key_text,
                            value: node,
                        });
                    }
                }
                None if merge::is_key(&node) => *key = Some(MapKey::Merge(node.span)),
                None => {
                    let (text, written) = key_of(node)?;
                    *key = Some(MapKey::Named(text, written));
                }
            },
        }
        Ok(())
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(span, format!("nested more than {MAX_DEPTH} deep"))
}

fn key_of(node: Node) -> Result<(String, Text), Diagnostic> {
    match &node.value {
        Value::Scalar(scalar) if !node.is_null() => Ok((scalar.raw().to_owned(), scalar.written(node.span))),
        Value::Scalar(_) => Err(Diagnostic::error(node.span, "a key is missing before this `:`")),
        _ => Err(Diagnostic::error(node.span, "a key must be text, not a list or a map")),
    }
}

fn count(node: &Node) -> usize {
    1 + node.items().iter().map(count).sum::<usize>()
        + node.entries().iter().map(|entry| 1 + count(&entry.value)).sum::<usize>()
}

fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

fn scalar(text: &str, style: ScalarStyle, span: Span, one_line: bool) -> Scalar {
    let (style, quotes) = match style {
        ScalarStyle::Plain => (Style::Plain, 0),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => (Style::Quoted, 1),
        ScalarStyle::Literal | ScalarStyle::Folded => (Style::Block, 0),
    };
    // Where the lengths agree the text stands in the file letter by letter: no escapes, no folding.
    let length = characters(text);
    let exact = one_line && style != Style::Block && length.checked_add(2 * quotes) == Some(span.length);
    Scalar::new(text.to_owned(), style, exact.then_some(quotes))
}
