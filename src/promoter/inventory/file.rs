use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected,
    Visitor,
};

use crate::promoter::Error;
use crate::promoter::sha256::Sha256;
use crate::promoter::tree;
use crate::promoter::yaml::{self, Entry, Node, Value};

/// Is told what an inventory says, in its order.
pub(crate) trait Sink {
    /// What follows is in this repository. Whether anybody wants to know.
    fn repository(&mut self, registry: &str, image: &str) -> bool;

    /// The repository has this digest.
    fn digest(&mut self, digest: Sha256);

    /// The digest has this tag.
    ///
    /// # Errors
    /// Why it is none.
    fn tag(&mut self, tag: &str) -> Result<(), String>;

    /// The digest is an index that lists this one.
    fn child(&mut self, child: Sha256) {
        let _ = child;
    }
}

/// Reads registry → image → digest → tags, or in the place of tags `{tags, children}`. What begins with `{` is JSON and passes in a stream, all else
/// YAML.
///
/// # Errors
/// A file that cannot be read or is something else.
pub(crate) fn read_file(path: &Path, sink: &mut dyn Sink) -> Result<(), Error> {
    let fail = |error| Error::unreadable(path, error);
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path).map_err(fail)?);
    let mut first = [0];
    loop {
        if file.read(&mut first).map_err(fail)? == 0 {
            return Ok(());
        }
        if !first[0].is_ascii_whitespace() {
            break;
        }
    }
    if first != *b"{" {
        let text = String::from_utf8(tree::read(path)?);
        let text = text.map_err(|_| Error::invalid(path, "no inventory: it is no UTF-8"))?;
        return read_yaml(&text, sink).map_err(|reason| Error::invalid(path, reason));
    }
    let mut json = serde_json::Deserializer::from_reader(first.chain(file));
    let read = Level { what: Registry(sink) }.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| Error::invalid(path, format!("no inventory: {error}")))
}

/// One of the mappings in each other.
struct Level<L> {
    what: L,
}

trait Layer<'de> {
    const WHAT: &'static str;

    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;

    fn list<A: SeqAccess<'de>>(&mut self, _: A) -> Result<(), A::Error> {
        Err(A::Error::invalid_type(Unexpected::Seq, &Self::WHAT))
    }
}

struct Registry<'s>(&'s mut dyn Sink);
struct Image<'s, 'k>(&'s mut dyn Sink, &'k str);
struct Digests<'s>(&'s mut dyn Sink);
struct Manifest<'s>(&'s mut dyn Sink);

impl<'de> Layer<'de> for Registry<'_> {
    const WHAT: &'static str = "a mapping of registries";

    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        map.next_value_seed(Level { what: Image(self.0, key) })
    }
}

impl<'de> Layer<'de> for Image<'_, '_> {
    const WHAT: &'static str = "a mapping of images";

    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match self.0.repository(self.1, key) {
            true => map.next_value_seed(Level { what: Digests(self.0) }),
            false => map.next_value::<IgnoredAny>().map(drop),
        }
    }
}

impl<'de> Layer<'de> for Digests<'_> {
    const WHAT: &'static str = "a mapping of digests";

    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.0.digest(key.parse().map_err(A::Error::custom)?);
        map.next_value_seed(Level { what: Manifest(self.0) })
    }
}

impl<'de> Layer<'de> for Manifest<'_> {
    const WHAT: &'static str = "a list of tags, or a mapping of tags and children";

    fn entry<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "tags" => map.next_value_seed(Texts(|tag: &str| self.0.tag(tag))),
            "children" => map.next_value_seed(Texts(|child: &str| child_of(self.0, child))),
            _ => Err(A::Error::unknown_field(key, &["tags", "children"])),
        }
    }

    fn list<A: SeqAccess<'de>>(&mut self, list: A) -> Result<(), A::Error> {
        Texts(|tag: &str| self.0.tag(tag)).visit_seq(list)
    }
}

fn child_of(sink: &mut dyn Sink, child: &str) -> Result<(), String> {
    sink.child(child.parse().map_err(|error: crate::oci::Error| error.to_string())?);
    Ok(())
}

impl<'de, L: Layer<'de>> DeserializeSeed<'de> for Level<L> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, L: Layer<'de>> Visitor<'de> for Level<L> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(L::WHAT)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut key = String::new();
        while map.next_key_seed(Text(&mut key))?.is_some() {
            self.what.entry(&key, &mut map)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, list: A) -> Result<(), A::Error> {
        self.what.list(list)
    }
}

/// A list of texts, each given to a function.
struct Texts<F>(F);

impl<'de, F: FnMut(&str) -> Result<(), String>> DeserializeSeed<'de> for Texts<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str) -> Result<(), String>> Visitor<'de> for Texts<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut text = String::new();
        while list.next_element_seed(Text(&mut text))?.is_some() {
            (self.0)(&text).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A text into a buffer that has been there before.
struct Text<'b>(&'b mut String);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(text);
        Ok(())
    }
}

/// Reads an inventory as YAML.
///
/// # Errors
/// What is none, and where.
pub(crate) fn read_yaml(text: &str, sink: &mut dyn Sink) -> Result<(), String> {
    let shown = |fault: yaml::Fault| format!("line {}: {}", fault.at.line, fault.message);
    let (root, repeated) = yaml::parse(text).map_err(shown)?;
    if let Some(fault) = repeated.into_iter().next() {
        return Err(shown(fault));
    }
    let Some(root) = root else { return Ok(()) };
    for registry in entries(&root)? {
        for image in entries(&registry.value)? {
            if !sink.repository(&registry.key, &image.key) {
                continue;
            }
            for digest in entries(&image.value)? {
                read_digest(digest, sink)
                    .map_err(|reason| format!("line {}: {reason}", digest.at.line))?;
            }
        }
    }
    Ok(())
}

fn read_digest(digest: &Entry<'_>, sink: &mut dyn Sink) -> Result<(), String> {
    sink.digest(digest.key.parse().map_err(|error: crate::oci::Error| error.to_string())?);
    let Value::Map(entries) = &digest.value.value else {
        return texts(&digest.value)?.into_iter().try_for_each(|tag| sink.tag(tag));
    };
    for entry in entries {
        let texts = texts(&entry.value)?.into_iter();
        match &*entry.key {
            "tags" => texts.into_iter().try_for_each(|tag| sink.tag(tag))?,
            "children" => texts.into_iter().try_for_each(|child| child_of(sink, child))?,
            key => return Err(format!("the key `{}` is not known", key.escape_debug())),
        }
    }
    Ok(())
}

fn entries<'n, 't>(node: &'n Node<'t>) -> Result<&'n [Entry<'t>], String> {
    match &node.value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        _ => Err(format!("line {}: a mapping is expected, not {}", node.at.line, node.kind())),
    }
}

fn texts<'n>(node: &'n Node<'_>) -> Result<Vec<&'n str>, String> {
    let list = match &node.value {
        Value::List(list) => list.as_slice(),
        Value::Null => &[],
        _ => return Err(format!("a list is expected, not {}", node.kind())),
    };
    let text = |node: &'n Node<'_>| match &node.value {
        Value::Text(text) => Ok(&**text),
        _ => Err(format!("a text is expected, not {}", node.kind())),
    };
    list.iter().map(text).collect()
}
