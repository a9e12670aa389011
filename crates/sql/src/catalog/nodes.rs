//! The server's trees as text (`pg_node_tree`): views, generated columns and bodies of functions as the catalog keeps them.
//!
//! They can be read without a lock on anything, which no function that makes SQL of them can. This reads their notation
//! (`nodes/outfuncs.c`) and knows no node by name: what a tree means is in `deparse.rs`.

use std::borrow::Cow;

use lockgate_core::limits;

/// The place of an item in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

/// A part of a tree.
#[derive(Debug)]
enum Item<'a> {
    Nothing,
    Token(&'a str),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Node { label: &'a str, fields: Vec<(&'a str, Id)> },
}

/// A tree, flat: neither reading nor dropping it recurses.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    items: Vec<Item<'a>>,
    root: Id,
}

/// A node or list whose end has not come.
enum Open<'a> {
    List(Vec<Id>),
    Node { label: &'a str, fields: Vec<(&'a str, Id)>, field: Option<&'a str> },
}

impl<'a> Tree<'a> {
    /// Reads a tree. `None` if it is in no notation that this knows.
    pub(super) fn read(text: &'a str) -> Option<Tree<'a>> {
        let mut tokens = Tokens { rest: text };
        let mut items: Vec<Item<'a>> = Vec::new();
        let mut stack: Vec<Open<'a>> = Vec::new();
        let mut root = None;
        while let Some(token) = tokens.next() {
            if root.is_some() || stack.len() > limits::SQL_TREE_DEPTH_MAX {
                return None;
            }
            let item = match token {
                "{" => {
                    let label = tokens.next().filter(|label| label.bytes().all(|b| b.is_ascii_alphanumeric()))?;
                    stack.push(Open::Node { label, fields: Vec::new(), field: None });
                    continue;
                }
                "(" => {
                    stack.push(Open::List(Vec::new()));
                    continue;
                }
                "}" => match stack.pop()? {
                    Open::Node { label, fields, field: None } => Item::Node { label, fields },
                    _ => return None,
                },
                ")" => match stack.pop()? {
                    Open::List(list) => Item::List(list),
                    Open::Node { .. } => return None,
                },
                token => {
                    // A name is where a name belongs: an alias may begin with a colon too.
                    if let Some(Open::Node { fields, field: field @ None, .. }) = stack.last_mut() {
                        if let Some(name) = token.strip_prefix(':') {
                            *field = Some(name);
                        } else if token == "[" {
                            let (_, Id(at)) = *fields.last()?;
                            *items.get_mut(at)? = Item::Bytes(tokens.bytes()?);
                        } else {
                            return None;
                        }
                        continue;
                    }
                    if token == "<>" { Item::Nothing } else { Item::Token(token) }
                }
            };
            let id = Id(items.len());
            items.push(item);
            match stack.last_mut() {
                None => root = Some(id),
                Some(Open::List(list)) => list.push(id),
                Some(Open::Node { fields, field, .. }) => fields.push((field.take()?, id)),
            }
        }
        stack.is_empty().then_some(Tree { items, root: root? })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    fn item(&self, id: Id) -> Option<&Item<'a>> {
        self.items.get(id.0)
    }

    /// The label of a node.
    pub(super) fn label(&self, id: Id) -> Option<&'a str> {
        match self.item(id)? {
            Item::Node { label, .. } => Some(label),
            _ => None,
        }
    }

    /// A field of a node, whether it is set or not.
    pub(super) fn field(&self, id: Id, name: &str) -> Option<Id> {
        match self.item(id)? {
            Item::Node { fields, .. } => fields.iter().find(|(field, _)| *field == name).map(|(_, id)| *id),
            _ => None,
        }
    }

    /// A field of a node that is set to something.
    pub(super) fn some(&self, id: Id, name: &str) -> Option<Id> {
        self.field(id, name).filter(|id| !self.is_nothing(*id))
    }

    /// The values of all fields of a node.
    pub(super) fn values(&self, id: Id) -> Vec<Id> {
        match self.item(id) {
            Some(Item::Node { fields, .. }) => fields.iter().map(|(_, id)| *id).collect(),
            _ => Vec::new(),
        }
    }

    /// The elements of a list.
    pub(super) fn list(&self, id: Id) -> &[Id] {
        match self.item(id) {
            Some(Item::List(list)) => list,
            _ => &[],
        }
    }

    /// Whether nothing stands there.
    pub(super) fn is_nothing(&self, id: Id) -> bool {
        matches!(self.item(id), Some(Item::Nothing) | None)
    }

    /// The elements of a field that is a list or not set. `None` where there is no such field.
    pub(super) fn elements(&self, id: Id, name: &str) -> Option<&[Id]> {
        self.field(id, name).map(|list| self.list(list))
    }

    /// A word as it stands.
    pub(super) fn token(&self, id: Id) -> Option<&'a str> {
        match self.item(id)? {
            Item::Token(token) => Some(token),
            _ => None,
        }
    }

    /// A field that is one word.
    pub(super) fn word(&self, id: Id, name: &str) -> Option<&'a str> {
        self.token(self.field(id, name)?)
    }

    /// A field that is a number.
    pub(super) fn number<N: std::str::FromStr>(&self, id: Id, name: &str) -> Option<N> {
        self.word(id, name)?.parse().ok()
    }

    pub(super) fn is_true(&self, id: Id, name: &str) -> bool {
        self.word(id, name) == Some("true")
    }

    /// The bytes of a constant.
    pub(super) fn constant(&self, id: Id, name: &str) -> Option<&[u8]> {
        match self.item(self.field(id, name)?)? {
            Item::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The numbers of `(i 1 2)` and `(o 1 2)`.
    pub(super) fn numbers<N: std::str::FromStr>(&self, id: Id, name: &str) -> Option<Vec<N>> {
        let list = self.elements(id, name)?;
        list.iter().skip(1).map(|n| self.token(*n)?.parse().ok()).collect()
    }

    /// The name in a field, its escapes undone.
    pub(super) fn name(&self, id: Id, name: &str) -> Option<Cow<'a, str>> {
        self.word(id, name).map(unescaped)
    }

    /// The names in a list.
    pub(super) fn names(&self, id: Id, name: &str) -> Option<Vec<Cow<'a, str>>> {
        let strip = |token: &'a str| token.strip_prefix('"')?.strip_suffix('"');
        self.elements(id, name)?.iter().map(|n| Some(unescaped(strip(self.token(*n)?)?))).collect()
    }
}

fn unescaped(token: &str) -> Cow<'_, str> {
    if token == "\"\"" {
        return Cow::Borrowed("");
    }
    if !token.contains('\\') {
        return Cow::Borrowed(token);
    }
    let mut out = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(out)
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\t']);
        let mut end = 0;
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            if !escaped && matches!(c, '(' | ')' | '{' | '}') {
                if at == 0 {
                    end = 1;
                }
                break;
            }
            if !escaped && matches!(c, ' ' | '\n' | '\t') {
                break;
            }
            escaped = c == '\\' && !escaped;
            end = at + c.len_utf8();
        }
        let (token, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// What follows a `[`, signed as C prints it.
    fn bytes(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match self.next()? {
                "]" => return Some(out),
                byte => {
                    let byte: i16 = byte.parse().ok()?;
                    out.push(u8::try_from(byte.rem_euclid(256)).ok()?);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn a_tree_reads() {
        let text = r#"({ALIAS :aliasname a\ b\(c :colnames ("id" "a\ \"b" "") :not <> :n (i 1 -2) :v 4 [ 3 0 -1 ] :last true})"#;
        let tree = Tree::read(text).unwrap();
        let alias = tree.list(tree.root())[0];
        assert_eq!(tree.label(alias), Some("ALIAS"));
        assert_eq!(tree.name(alias, "aliasname").unwrap(), "a b(c");
        assert_eq!(tree.names(alias, "colnames").unwrap(), ["id", "a \"b", ""]);
        assert!(tree.some(alias, "not").is_none() && tree.field(alias, "not").is_some());
        assert_eq!(tree.numbers::<i32>(alias, "n").unwrap(), [1, -2]);
        assert_eq!(tree.constant(alias, "v").unwrap(), [3, 0, 255]);
        assert!(tree.is_true(alias, "last"));
    }

    #[test]
    fn a_name_that_looks_like_a_field_is_a_name() {
        let tree = Tree::read("{TARGETENTRY :resname :relid :relid 5}").unwrap();
        assert_eq!(tree.word(tree.root(), "resname"), Some(":relid"));
        assert_eq!(tree.number::<u32>(tree.root(), "relid"), Some(5));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in [
            "",
            "{",
            "}",
            "(",
            "{A",
            "{A :b}",
            "{A b}",
            "{A :b 1 2}",
            "{A} {B}",
            "{A :b (1 }",
            "{A :b 1 [ 2",
            "{A :b 1 [ x ]}",
        ] {
            assert!(Tree::read(text).is_none(), "{text}");
        }
        assert!(Tree::read(&"(".repeat(100_000)).is_none());
    }
}
