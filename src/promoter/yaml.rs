//! YAML as a tree whose scalars keep their source text: `1.10`, `010` and `yes` stay what was written.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::problem::At;

/// A node and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Node<'t> {
    pub(super) at: At,
    pub(super) value: Value<'t>,
}

#[derive(Debug, Clone)]
pub(super) enum Value<'t> {
    /// Nothing, `~` or `null`, unquoted.
    Null,
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    Map(Vec<Entry<'t>>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) at: At,
    pub(super) value: Node<'t>,
}

/// What is wrong with the text as YAML.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) message: String,
}

/// A document, if there is one, and the keys that stand twice in it.
pub(super) type Parsed<'t> = (Option<Node<'t>>, Vec<Fault>);

/// The one document of `text`, `None` if there is none, and the keys that stand twice in a mapping: the
/// first of them counts.
///
/// # Errors
/// What is no YAML.
pub(super) fn parse(text: &str) -> Result<Parsed<'_>, Fault> {
    parse_up_to(MAX_NODES, text)
}

fn parse_up_to(max_nodes: usize, text: &str) -> Result<Parsed<'_>, Fault> {
    let options = granit_parser::options! { emit_comments: false };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        parser,
        anchors: HashMap::new(),
        left: max_nodes,
        copied: 0,
        repeated: Vec::new(),
    };
    let root = reader.document()?;
    Ok((root, reader.repeated))
}

/// No manifest and no inventory is nested deeper.
const MAX_DEPTH: usize = 32;
/// How many nodes a file may have. Of the largest manifests that are known none has half a million.
const MAX_NODES: usize = 4_000_000;
/// How many nodes anchors may keep and aliases bring: a guard against bombs.
const MAX_COPIED: usize = 1_000_000;
/// How many keys that stand twice are told.
const MAX_REPEATED: usize = 10_000;

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Node<'t>>,
    /// How many nodes may still come.
    left: usize,
    copied: usize,
    repeated: Vec<Fault>,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Option<Node<'t>>, Fault> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return Err(fault(&span, "there is a second document; a file holds one"));
                }
                event => root = Some(self.node(event, &span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(unreadable(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Node<'t>, Fault> {
        if depth > MAX_DEPTH {
            return Err(fault(span, "it is nested too deep"));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| fault(span, "it holds too much"))?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_null = style == ScalarStyle::Plain
                    && tag.is_none()
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (anchor, if is_null { Value::Null } else { Value::Text(text) })
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(anchor) => return self.alias(anchor, span, depth),
            _ => return Err(fault(span, "a value is expected here")),
        };
        let node = Node { at: at(span), value };
        if anchor != 0 {
            self.copy(&node, span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value<'t>, Fault> {
        let mut entries = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(entries)),
                (event, span) => entries.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value<'t>, Fault> {
        let mut entries: Vec<Entry<'t>> = Vec::new();
        let mut keys: HashMap<Cow<'t, str>, At> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, &span, depth + 1)?;
            let at = key.at;
            let key = match key.value {
                Value::Text(text) => text,
                Value::Null => Cow::Borrowed(""),
                _ => return Err(fault(&span, "a key is a text, not a list or mapping")),
            };
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            let Some(first) = keys.get(&key) else {
                keys.insert(key.clone(), at);
                entries.push(Entry { key, at, value });
                continue;
            };
            if self.repeated.len() < MAX_REPEATED {
                let key = key.escape_debug();
                let line = first.line;
                let message = format!("the key `{key}` is there twice, first in line {line}");
                self.repeated.push(Fault { at, message });
            }
        }
    }

    fn alias(&mut self, anchor: usize, span: &Span, depth: usize) -> Result<Node<'t>, Fault> {
        // A node that holds itself is known only when it is complete.
        let node = self.anchors.get(&anchor);
        let node = node.ok_or_else(|| fault(span, "this alias holds itself"))?;
        if depth + node.height() > MAX_DEPTH {
            return Err(fault(span, "it is nested too deep"));
        }
        let node = node.clone();
        self.copy(&node, span)?;
        Ok(Node { at: at(span), ..node })
    }

    /// Counts what is there once more.
    fn copy(&mut self, node: &Node<'t>, span: &Span) -> Result<(), Fault> {
        self.copied += node.count();
        match self.copied > MAX_COPIED {
            true => Err(fault(span, "anchors and aliases bring too much")),
            false => Ok(()),
        }
    }
}

impl Node<'_> {
    fn count(&self) -> usize {
        match &self.value {
            Value::Null => 1,
            // A long text weighs more than one node.
            Value::Text(text) => 1 + text.len() / 64,
            Value::List(entries) => 1 + entries.iter().map(Self::count).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|it| 1 + it.value.count()).sum::<usize>(),
        }
    }

    /// How many levels are below it.
    fn height(&self) -> usize {
        let highest = |below: &mut dyn Iterator<Item = &Self>| {
            below.map(|node| 1 + node.height()).max().unwrap_or_default()
        };
        match &self.value {
            Value::Null | Value::Text(_) => 0,
            Value::List(entries) => highest(&mut entries.iter()),
            Value::Map(entries) => highest(&mut entries.iter().map(|it| &it.value)),
        }
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

fn unreadable(error: &ScanError) -> Fault {
    let mark = error.marker();
    Fault {
        at: At::new(mark.line(), mark.col() + 1),
        message: format!("no YAML: {}", error.info()),
    }
}

fn fault(span: &Span, message: &str) -> Fault {
    Fault { at: at(span), message: message.to_owned() }
}

fn at(span: &Span) -> At {
    At::new(span.start.line(), span.start.col() + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let (root, _) = parse(text).unwrap();
        let Value::List(entries) = root.unwrap().value else { panic!("{text}") };
        let texts = entries.into_iter().map(|entry| match entry.value {
            Value::Text(text) => text.into_owned(),
            other => format!("{other:?}"),
        });
        texts.collect()
    }

    #[test]
    fn what_is_no_yaml_names_the_place() {
        for (text, line) in
            [("a: [1", 1), ("a: 1\n b: 2\n", 2), ("a: *x\n", 1), ("a: 1\n---\nb: 2\n", 3)]
        {
            assert_eq!(parse(text).unwrap_err().at.line, line, "{text}");
        }
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert!(parse(&deep).unwrap_err().message.contains("too deep"));
    }

    #[test]
    fn aliases_bring_no_bomb_and_no_circle() {
        let mut bomb = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let last = format!("*a{}", level - 1);
            bomb.push_str(&format!("- &a{level} [{}]\n", [last.as_str(); 10].join(", ")));
        }
        assert!(parse(&bomb).unwrap_err().message.contains("too much"));
        let nested = format!("{}{}{}", "&a [".repeat(30), "x,".repeat(100_000), "]".repeat(30));
        assert!(parse(&nested).unwrap_err().message.contains("too much"));
        assert!(parse("&a [*a]").is_err());
        assert_eq!(texts("- &x 1.0\n- *x\n"), ["1.0", "1.0"]);
    }

    /// Each level of a tree costs stack, also when the tree is let go.
    #[test]
    fn aliases_nest_no_deeper_than_what_is_written() {
        let nested = |levels: usize, inner: &str| {
            format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels))
        };
        let text = |levels| format!("- &a {}\n- {}\n", nested(10, "x"), nested(levels, "*a"));
        assert!(parse(&text(MAX_DEPTH - 11)).is_ok());
        let error = parse(&text(MAX_DEPTH - 10)).unwrap_err();
        assert!(error.message.contains("too deep"), "{error:?}");
        assert_eq!(error.at.line, 2);
    }

    #[test]
    fn a_file_that_holds_too_much_is_refused() {
        assert!(parse_up_to(3, "[a, b, c]").unwrap_err().message.contains("too much"));
        assert!(parse_up_to(4, "[a, b, c]").is_ok());
    }

    #[test]
    fn scalars_keep_their_source_text() {
        let written = ["1.0", "1.10", "010", "1e3", "yes", "2020-01-01", "0x1F", "1_000", "True"];
        let list: String = written.map(|text| format!("- {text}\n")).concat();
        assert_eq!(texts(&list), written);
        assert_eq!(texts("- ~\n- null\n-\n- '~'\n- ''\n"), ["Null", "Null", "Null", "~", ""]);
    }

    #[test]
    fn a_key_that_is_there_twice_is_told_with_both_places() {
        let (root, repeated) = parse("a: 1\nb: 2\na: 3\n").unwrap();
        let Value::Map(entries) = root.unwrap().value else { panic!() };
        assert_eq!(entries.len(), 2);
        let [repeated] = repeated.as_slice() else { panic!("{repeated:?}") };
        assert_eq!((repeated.at.line, repeated.at.column), (3, 1));
        assert!(repeated.message.contains("line 1"), "{}", repeated.message);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[-:\\[\\]{}&*!|>'\"#,? \n\ta1~é]{0,60}") {
            let _ = parse(&text);
        }
    }
}
