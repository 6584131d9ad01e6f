//! Forms of the query and EC2 protocols → [`Params`] by shape.
//!
//! A form is read into a tree by the dots of its keys, then the tree by the shape. The two protocols differ in names
//! and lists alone: query has `Tags.member.1.Key` (or `Tags.1.Key`, flattened), EC2 `Tag.1.Key`. Both ways are taken
//! in either, as services do.

use std::borrow::Cow;
use std::collections::HashMap;

use http::request::Parts;
use memchr::{memchr, memchr2};
use serde_json::Value;
use serde_json::map::Entry;

use super::Params;
use super::model::{Kind, Member, Protocol, Service, ShapeId, Structure};
use super::params::{MAX_DEPTH, ParseError, insert};
use super::route::Call;
use super::text;

/// A list or map takes two segments of a key for each level.
const MAX_SEGMENTS: usize = 3 * MAX_DEPTH;

/// Room for this many pairs is made at once.
const USUAL_PAIRS: usize = 32;

/// Parameters of a call: of the form and of the query string, where presigned and older calls have them.
pub(super) fn parse(
    call: &Call,
    input: ShapeId,
    parts: &Parts,
    body: &[u8],
) -> Result<Params, ParseError> {
    let mut pairs: Vec<Pair<'_>> = Vec::with_capacity(USUAL_PAIRS);
    let uri = parts.uri.query().unwrap_or_default().as_bytes();
    for form in [uri, body] {
        add_pairs(&mut pairs, form);
    }
    let tree = Tree::new(&pairs)?;
    let Some(structure) = call.service.structure(input) else {
        return Ok(Params::new());
    };
    Reader {
        service: call.service,
        is_ec2: call.protocol == Protocol::Ec2,
        tree: &tree,
    }
    .fields(structure, ROOT, MAX_DEPTH)
}

type Pair<'f> = (Cow<'f, str>, Cow<'f, str>);

/// Adds the pairs of a form. Most have nothing escaped, and are as they stand in it.
fn add_pairs<'f>(pairs: &mut Vec<Pair<'f>>, form: &'f [u8]) {
    let Ok(form) = std::str::from_utf8(form) else {
        pairs.extend(form_urlencoded::parse(form));
        return;
    };
    for pair in split(form, b'&') {
        if pair.is_empty() || memchr2(b'%', b'+', pair.as_bytes()).is_some() {
            pairs.extend(form_urlencoded::parse(pair.as_bytes()));
        } else {
            let (name, value) = cut(pair, b'=');
            pairs.push((name.into(), value.unwrap_or_default().into()));
        }
    }
}

/// `text` up to the first `delimiter`, which is ASCII, and what follows it. Forms are short pieces throughout: `str`'s own
/// search takes several times as long for one.
fn cut(text: &str, delimiter: u8) -> (&str, Option<&str>) {
    match memchr(delimiter, text.as_bytes()) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// The pieces of `text` between its `delimiter`s.
fn split(text: &str, delimiter: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (piece, after) = cut(rest?, delimiter);
        rest = after;
        Some(piece)
    })
}

const ROOT: usize = 0;

/// A node with more children finds them by the index.
const FEW: usize = 16;

/// The keys of a form, split at their dots.
#[derive(Default)]
struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    /// Parent and name to the node; of parents with more than [`FEW`] children.
    index: HashMap<(usize, &'a str), usize>,
}

#[derive(Default)]
struct Node<'a> {
    name: &'a str,
    value: Option<&'a str>,
    /// In the order they were sent.
    children: Vec<usize>,
}

impl<'a> Tree<'a> {
    fn new(pairs: &'a [(Cow<'a, str>, Cow<'a, str>)]) -> Result<Self, ParseError> {
        // Most parameters have one segment of their own, or two.
        let mut tree = Self {
            nodes: Vec::with_capacity(2 * pairs.len() + 1),
            index: HashMap::new(),
        };
        tree.nodes.push(Node::default());
        for (key, value) in pairs {
            let mut at = ROOT;
            for (depth, name) in split(key, b'.').enumerate() {
                if depth == MAX_SEGMENTS {
                    return Err(ParseError::TooDeep);
                }
                at = tree.child_or_new(at, name);
            }
            // The first of a repeated key counts.
            if let Some(node) = tree.nodes.get_mut(at) {
                node.value.get_or_insert(value);
            }
        }
        Ok(tree)
    }

    fn child_or_new(&mut self, parent: usize, name: &'a str) -> usize {
        // The parameters of one structure are sent one after the other.
        if let Some(&last) = self.nodes[parent].children.last()
            && self.nodes[last].name == name
        {
            return last;
        }
        if let Some(found) = self.child(parent, name) {
            return found;
        }
        let new = self.nodes.len();
        self.nodes.push(Node {
            name,
            ..Node::default()
        });
        self.nodes[parent].children.push(new);
        let siblings = &self.nodes[parent].children;
        let not_indexed = match siblings.len() {
            few if few <= FEW => few,
            // The first that are too many.
            many if many == FEW + 1 => 0,
            many => many - 1,
        };
        let named = |&at: &usize| ((parent, self.nodes[at].name), at);
        self.index.extend(siblings[not_indexed..].iter().map(named));
        new
    }

    fn child(&self, parent: usize, name: &str) -> Option<usize> {
        let children = &self.nodes[parent].children;
        if children.len() > FEW {
            return self.index.get(&(parent, name)).copied();
        }
        let mut children = children.iter().copied();
        children.find(|&child| self.nodes[child].name == name)
    }

    /// Children that are numbers, in the order of these.
    fn numbered(&self, parent: usize) -> Vec<usize> {
        let children = self.nodes[parent].children.iter();
        let numbered = children.filter_map(|&child| {
            let number: u32 = self.nodes[child].name.parse().ok()?;
            Some((number, child))
        });
        let mut numbered: Vec<(u32, usize)> = numbered.collect();
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, child)| child).collect()
    }
}

struct Reader<'t> {
    service: &'t Service,
    is_ec2: bool,
    tree: &'t Tree<'t>,
}

impl<'t> Reader<'t> {
    fn fields(&self, structure: &Structure, at: usize, depth: usize) -> Result<Params, ParseError> {
        let children = &self.tree.nodes[at].children;
        let mut params = Params::with_capacity(children.len());
        for &child in children {
            let Some(member) = self.member(structure, self.tree.nodes[child].name) else {
                continue;
            };
            if let Entry::Vacant(slot) = params.entry(&*member.name)
                && let Some(value) = self.value(member, child, depth)?
            {
                slot.insert(value);
            }
        }
        Ok(params)
    }

    /// The member that a key's segment names. A flattened list may go by its element's name, unless it is empty.
    fn member<'m>(&self, structure: &'m Structure, name: &str) -> Option<&'m Member> {
        let is_called = |member: &&Member| self.is_called(member, &member.name, name);
        if let Some(member) = structure.wired(name.as_bytes()).filter(is_called) {
            return Some(member);
        }
        let by_own_name = structure.members.iter().find(is_called);
        by_own_name.or_else(|| {
            let mut members = structure.members.iter();
            members.find(|member| match &self.service.shape(member.shape).kind {
                Kind::List { element, flattened } if !self.is_ec2 => {
                    (*flattened || member.flattened) && self.is_called(element, "", name)
                }
                _ => false,
            })
        })
    }

    /// Whether [`Self::name`] is `name`, without making it: all members of a structure are asked for each key sent.
    fn is_called(&self, member: &Member, default: &str, name: &str) -> bool {
        match (&member.query_name, member.wire_name.as_deref()) {
            (None, Some(wire)) if self.is_ec2 => {
                let (wire, name) = (wire.as_bytes(), name.as_bytes());
                wire.len() == name.len()
                    && wire.get(1..) == name.get(1..)
                    && wire.first().map(u8::to_ascii_uppercase) == name.first().copied()
            }
            _ => self.name(member, default) == name,
        }
    }

    fn name<'m>(&self, member: &'m Member, default: &'m str) -> Cow<'m, str> {
        if let Some(name) = &member.query_name {
            return Cow::Borrowed(name);
        }
        match member.wire_name.as_deref() {
            None => Cow::Borrowed(default),
            Some(name) if !self.is_ec2 => Cow::Borrowed(name),
            Some(name) => {
                let mut letters = name.chars();
                let first = letters.next().map(|first| first.to_ascii_uppercase());
                Cow::Owned(first.into_iter().chain(letters).collect())
            }
        }
    }

    /// The value at a node; `None` if nothing of the shape was sent.
    fn value(&self, member: &Member, at: usize, depth: usize) -> Result<Option<Value>, ParseError> {
        let depth = depth.checked_sub(1).ok_or(ParseError::TooDeep)?;
        let node = &self.tree.nodes[at];
        let kind = &self.service.shape(member.shape).kind;
        match kind {
            Kind::Structure(structure) if !node.children.is_empty() => {
                Ok(Some(self.fields(structure, at, depth)?.into()))
            }
            Kind::List { element, .. } if !node.children.is_empty() => {
                let items = self.entries(at, || self.name(element, "member"));
                let items = items.into_iter();
                let items = items.filter_map(|item| self.value(element, item, depth).transpose());
                Ok(Some(Value::Array(items.collect::<Result<_, _>>()?)))
            }
            Kind::Map { key, value, .. } if !node.children.is_empty() => {
                let mut map = Params::new();
                let (key, named) = (self.name(key, "key"), self.name(value, "value"));
                for entry in self.entries(at, || "entry".into()) {
                    let key = self.tree.child(entry, &key);
                    let Some(key) = key.and_then(|key| self.tree.nodes[key].value) else {
                        continue;
                    };
                    let value = match self.tree.child(entry, &named) {
                        Some(at) => self.value(value, at, depth)?,
                        None => None,
                    };
                    insert(&mut map, key, value);
                }
                Ok(Some(map.into()))
            }
            // `Tags=` is how query writes a list without elements.
            Kind::List { .. } if node.value == Some("") => Ok(Some(Value::Array(Vec::new()))),
            Kind::Structure(_) | Kind::Map { .. } if node.value == Some("") => {
                Ok(Some(Params::new().into()))
            }
            kind => Ok(node.value.map(|text| text::scalar(kind, text))),
        }
    }

    /// Elements of a list or map: the numbers under the node, or under the name that stands between.
    fn entries<'m>(&self, at: usize, between: impl FnOnce() -> Cow<'m, str>) -> Vec<usize> {
        let direct = self.tree.numbered(at);
        if !direct.is_empty() {
            return direct;
        }
        let wrapped = self.tree.child(at, &between());
        let wrapped = wrapped.or_else(|| self.tree.child(at, "member"));
        wrapped.map_or_else(Vec::new, |at| self.tree.numbered(at))
    }
}
