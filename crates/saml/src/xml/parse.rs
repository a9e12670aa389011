//! Text to tree. Anything that is not plainly well-formed is refused, with the place in bytes and a reason that repeats nothing of
//! the text, which may be secret.

use super::tree::{Attribute, Child, Element, Namespaces, is_blank, lookup};
use super::{XML_NAMESPACE, XMLNS_NAMESPACE};
use lockgate_core::limits;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

/// Why a text is not a document that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (byte {at})")]
pub(crate) struct XmlError {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Reads a document of at most `bytes_max` bytes.
pub(crate) fn parse(bytes: &[u8], bytes_max: usize) -> Result<Element, XmlError> {
    parse_within(bytes, bytes_max, &Namespaces::default())
}

/// Reads a document that stands in the place of an element with these namespaces in scope.
pub(crate) fn parse_within(bytes: &[u8], bytes_max: usize, scope: &Namespaces) -> Result<Element, XmlError> {
    let wrong = |at, what| Err(XmlError { at, what });
    if bytes.len() > bytes_max {
        return wrong(bytes_max, "the document is too large");
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return wrong(error.valid_up_to(), "the document is not UTF-8"),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((at, _)) = text.char_indices().find(|(_, c)| !is_char(*c)) {
        return wrong(at, "a character that XML does not allow");
    }
    // XML 1.0 section 2.11: line ends become line feeds before anything else is looked at.
    let text = match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    };
    let mut parser = Parser { rest: &text, whole: text.len(), open: Vec::new(), root: None, nodes: 0, attributes: 0 };
    parser.document(scope)
}

/// An attribute as it is written, its value without references.
struct Written<'a> {
    prefix: &'a str,
    local: &'a str,
    value: String,
}

struct Parser<'a> {
    rest: &'a str,
    whole: usize,
    /// The elements that have begun and not ended, with their names as written.
    open: Vec<(&'a str, Element)>,
    root: Option<Element>,
    nodes: usize,
    attributes: usize,
}

impl<'a> Parser<'a> {
    fn wrong<T>(&self, what: &'static str) -> Result<T, XmlError> {
        Err(XmlError { at: self.whole.saturating_sub(self.rest.len()), what })
    }

    fn document(&mut self, scope: &Namespaces) -> Result<Element, XmlError> {
        self.declaration()?;
        while !self.rest.is_empty() {
            if let Some(rest) = self.rest.strip_prefix("<!--") {
                self.comment(rest)?;
            } else if self.rest.starts_with("<![") {
                return self.wrong("CDATA sections are not accepted");
            } else if self.rest.starts_with("<!") {
                return self.wrong("document types and declarations are not accepted");
            } else if self.rest.starts_with("<?") {
                return self.wrong("processing instructions are not accepted");
            } else if let Some(rest) = self.rest.strip_prefix("</") {
                self.rest = rest;
                self.end_tag()?;
            } else if let Some(rest) = self.rest.strip_prefix('<') {
                self.rest = rest;
                self.start_tag(scope)?;
            } else {
                self.text()?;
            }
        }
        if !self.open.is_empty() {
            return self.wrong("an element has no end");
        }
        match self.root.take() {
            Some(root) => Ok(root),
            None => self.wrong("there is no element"),
        }
    }

    /// `<?xml version="1.0" encoding="UTF-8" standalone="no"?>`
    fn declaration(&mut self) -> Result<(), XmlError> {
        let Some(rest) = self.rest.strip_prefix("<?xml").filter(|rest| rest.starts_with(is_space)) else {
            return Ok(());
        };
        let Some((inside, rest)) = rest.split_once("?>") else {
            return self.wrong("the XML declaration has no end");
        };
        let mut known = ["version", "encoding", "standalone"].iter();
        let mut first = true;
        let mut inside = inside;
        loop {
            let trimmed = inside.trim_start_matches(is_space);
            if trimmed.is_empty() {
                break;
            }
            let Some((name, after)) = trimmed.split_once('=').filter(|_| trimmed.len() < inside.len()) else {
                return self.wrong("the XML declaration is malformed");
            };
            let (name, after) = (name.trim_end_matches(is_space), after.trim_start_matches(is_space));
            let quoted = after
                .strip_prefix('"')
                .and_then(|value| value.split_once('"'))
                .or_else(|| after.strip_prefix('\'').and_then(|value| value.split_once('\'')));
            let Some((value, after)) = quoted else {
                return self.wrong("the XML declaration is malformed");
            };
            let good = match name {
                "version" => first && value == "1.0",
                "encoding" => value.eq_ignore_ascii_case("utf-8"),
                "standalone" => matches!(value, "yes" | "no"),
                _ => false,
            };
            // In this order only, and each once.
            if !good || first != (name == "version") || !known.any(|k| *k == name) {
                return self.wrong("the document has to be XML 1.0 in UTF-8");
            }
            first = false;
            inside = after;
        }
        if first {
            return self.wrong("the XML declaration is malformed");
        }
        self.rest = rest;
        Ok(())
    }

    fn add(&mut self, child: Child) -> Result<(), XmlError> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > limits::SAML_NODES_MAX {
            return self.wrong("the document has too many nodes");
        }
        match (self.open.last_mut(), child) {
            (Some((_, parent)), child) => parent.children.push(child),
            (None, Child::Element(element)) if self.root.is_none() => self.root = Some(element),
            (None, Child::Comment(_)) => {}
            (None, Child::Element(_) | Child::Text(_)) => {
                return self.wrong("there is something beside the root element");
            }
        }
        Ok(())
    }

    fn comment(&mut self, rest: &'a str) -> Result<(), XmlError> {
        let Some((comment, after)) = rest.split_once("--") else {
            return self.wrong("a comment has no end");
        };
        let Some(after) = after.strip_prefix('>') else {
            return self.wrong("a comment contains `--`");
        };
        self.add(Child::Comment(comment.to_owned()))?;
        self.rest = after;
        Ok(())
    }

    fn text(&mut self) -> Result<(), XmlError> {
        let end = self.rest.find('<').unwrap_or(self.rest.len());
        let (raw, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        if self.open.is_empty() {
            if !is_blank(raw) {
                return self.wrong("there is text beside the root element");
            }
        } else {
            if raw.contains("]]>") {
                return self.wrong("`]]>` in a text");
            }
            let text = self.resolved(raw)?;
            self.add(Child::Text(text.into_owned()))?;
        }
        self.rest = rest;
        Ok(())
    }

    /// Replaces the five named characters and numeric references.
    fn resolved<'t>(&self, raw: &'t str) -> Result<Cow<'t, str>, XmlError> {
        if !raw.contains('&') {
            return Ok(Cow::Borrowed(raw));
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('&') {
            text.push_str(before);
            let Some((name, after)) = after.split_once(';') else {
                return self.wrong("a reference has no end");
            };
            let number = match (name.strip_prefix("#x"), name.strip_prefix('#')) {
                (Some(digits), _) => Some((digits, 16)),
                (None, Some(digits)) => Some((digits, 10)),
                (None, None) => None,
            };
            let character = match (name, number) {
                ("lt", _) => Some('<'),
                ("gt", _) => Some('>'),
                ("amp", _) => Some('&'),
                ("apos", _) => Some('\''),
                ("quot", _) => Some('"'),
                (_, Some((digits, radix))) if digits.chars().all(|c| c.is_digit(radix)) => {
                    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|c| is_char(*c))
                }
                _ => None,
            };
            match character {
                Some(character) => text.push(character),
                None => return self.wrong("a reference to no character: entities are not accepted"),
            }
            rest = after;
        }
        text.push_str(rest);
        Ok(Cow::Owned(text))
    }

    /// Takes a name with an optional prefix off the rest: prefix, local part, and both as written.
    fn name(&mut self) -> Result<(&'a str, &'a str, &'a str), XmlError> {
        let end = self.rest.find(|c: char| !is_name_char(c) && c != ':').unwrap_or(self.rest.len());
        let (written, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        let (prefix, local) = written.split_once(':').unwrap_or(("", written));
        let plain = |part: &str| part.starts_with(is_name_start) && !part.contains(':');
        if !plain(local) || (written.contains(':') && !plain(prefix)) {
            return self.wrong("a name is malformed");
        }
        if written.len() > limits::SAML_IDENTIFIER_BYTES_MAX {
            return self.wrong("a name is too long");
        }
        self.rest = rest;
        Ok((prefix, local, written))
    }

    fn skip_space(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches(is_space);
        let skipped = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        skipped
    }

    fn start_tag(&mut self, outer: &Namespaces) -> Result<(), XmlError> {
        let (prefix, local, written_name) = self.name()?;
        let mut written: Vec<Written<'a>> = Vec::new();
        let empty = loop {
            let spaced = self.skip_space();
            if let Some(rest) = self.rest.strip_prefix("/>") {
                self.rest = rest;
                break true;
            }
            if let Some(rest) = self.rest.strip_prefix('>') {
                self.rest = rest;
                break false;
            }
            if !spaced {
                return self.wrong("an element's tag is malformed");
            }
            written.push(self.attribute()?);
            self.attributes = self.attributes.saturating_add(1);
            if written.len() > limits::SAML_ELEMENT_ATTRIBUTES_MAX || self.attributes > limits::SAML_ATTRIBUTES_MAX {
                return self.wrong("there are too many attributes");
            }
        };
        if self.open.len() >= limits::SAML_DEPTH_MAX {
            return self.wrong("the document is nested too deeply");
        }
        if self.open.is_empty() && self.root.is_some() {
            return self.wrong("there is something beside the root element");
        }
        let scope = self.scope(outer, &written)?;
        let mut attributes = Vec::with_capacity(written.len());
        let mut names: HashSet<(Arc<str>, &str)> = HashSet::with_capacity(written.len());
        for one in written {
            if is_declaration(one.prefix, one.local) {
                continue;
            }
            // An attribute without a prefix is in no namespace, whatever the default.
            let namespace = if one.prefix.is_empty() { Arc::from("") } else { self.namespace(&scope, one.prefix)? };
            if !names.insert((Arc::clone(&namespace), one.local)) {
                return self.wrong("an attribute is there twice");
            }
            let (prefix, local) = (one.prefix.to_owned(), one.local.to_owned());
            attributes.push(Attribute { prefix, local, namespace, value: one.value });
        }
        let namespace = self.namespace(&scope, prefix)?;
        let element = Element {
            prefix: Arc::from(prefix),
            local: local.to_owned(),
            namespace,
            attributes,
            scope,
            children: Vec::new(),
        };
        if empty {
            return self.add(Child::Element(element));
        }
        self.open.push((written_name, element));
        Ok(())
    }

    fn attribute(&mut self) -> Result<Written<'a>, XmlError> {
        let (prefix, local, _) = self.name()?;
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix('=') else {
            return self.wrong("an attribute has no value");
        };
        self.rest = rest;
        self.skip_space();
        let quoted = self
            .rest
            .strip_prefix('"')
            .map(|value| value.split_once('"'))
            .or_else(|| self.rest.strip_prefix('\'').map(|value| value.split_once('\'')));
        let Some(Some((raw, rest))) = quoted else {
            return self.wrong("an attribute's value is not in quotes");
        };
        if raw.contains('<') {
            return self.wrong("`<` in an attribute's value");
        }
        // XML 1.0 section 3.3.3: white space becomes spaces, but not where it is written as a reference.
        let spaced = raw.contains(['\t', '\n']).then(|| raw.replace(['\t', '\n'], " "));
        let value = match &spaced {
            Some(spaced) => self.resolved(spaced)?.into_owned(),
            None => self.resolved(raw)?.into_owned(),
        };
        self.rest = rest;
        Ok(Written { prefix, local, value })
    }

    /// The namespaces in scope in an element with these attributes.
    fn scope(&self, outer: &Namespaces, written: &[Written<'a>]) -> Result<Namespaces, XmlError> {
        let around = self.open.last().map_or(outer, |(_, parent)| &parent.scope);
        if !written.iter().any(|one| is_declaration(one.prefix, one.local)) {
            return Ok(Arc::clone(around));
        }
        let mut declared: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for one in written.iter().filter(|one| is_declaration(one.prefix, one.local)) {
            let prefix = if one.prefix.is_empty() { "" } else { one.local };
            let name = one.value.as_str();
            if declared.iter().any(|(p, _)| **p == *prefix) {
                return self.wrong("a namespace is declared twice in one element");
            }
            // Namespaces in XML 1.0, sections 3 and 5.
            if prefix == "xmlns" || name == XMLNS_NAMESPACE || (prefix == "xml") != (name == XML_NAMESPACE) {
                return self.wrong("a reserved namespace is declared");
            }
            if name.is_empty() && !prefix.is_empty() {
                return self.wrong("a prefix is declared as no namespace");
            }
            if name.len() > limits::SAML_NAMESPACE_BYTES_MAX {
                return self.wrong("the name of a namespace is too long");
            }
            if prefix != "xml" {
                declared.push((Arc::from(prefix), Arc::from(name)));
            }
        }
        let kept = around.iter().filter(|(prefix, _)| !declared.iter().any(|(p, _)| p == prefix)).cloned();
        let scope: Vec<_> = kept.chain(declared.iter().cloned()).collect();
        if scope.len() > limits::SAML_NAMESPACES_MAX {
            return self.wrong("there are too many namespaces");
        }
        Ok(Arc::new(scope))
    }

    fn namespace(&self, scope: &Namespaces, prefix: &str) -> Result<Arc<str>, XmlError> {
        match (prefix, lookup(scope, prefix)) {
            ("xml", _) => Ok(Arc::from(XML_NAMESPACE)),
            (_, Some(name)) => Ok(Arc::clone(name)),
            ("", None) => Ok(Arc::from("")),
            (_, None) => self.wrong("a prefix is not declared"),
        }
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        let (_, _, written) = self.name()?;
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix('>') else {
            return self.wrong("an element's end is malformed");
        };
        let Some((begun, element)) = self.open.pop() else {
            return self.wrong("an element ends that has not begun");
        };
        if begun != written {
            return self.wrong("an element ends that has not begun");
        }
        // Who reads a text up to a comment would read another value than the one that was signed.
        let commented = element.children.iter().any(|child| matches!(child, Child::Comment(_)));
        if commented && element.has_text() {
            return self.wrong("a comment inside a value");
        }
        self.rest = rest;
        self.add(Child::Element(element))
    }
}

fn is_declaration(prefix: &str, local: &str) -> bool {
    prefix == "xmlns" || (prefix.is_empty() && local == "xmlns")
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// XML 1.0 production 2.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// XML 1.0 production 4, without the colon.
fn is_name_start(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// XML 1.0 production 4a, without the colon.
fn is_name_char(c: char) -> bool {
    is_name_start(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
