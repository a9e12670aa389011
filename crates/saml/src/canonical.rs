//! Exclusive XML Canonicalization 1.0 (W3C, 18 July 2002), with and without comments: the bytes that a signature is over.
//!
//! It writes an element of the tree that everything else reads, so there is no second reading that could differ. Inclusive
//! canonicalization is absent on purpose: what it makes of an element depends on what stands around it.

use crate::xml::{Child, Element};
use lockgate_core::limits;

/// How an element is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Method {
    /// Whether comments are part of what is signed.
    pub comments: bool,
    /// Prefixes that are written wherever they are in scope (`InclusiveNamespaces`); empty for the default.
    pub inclusive: Vec<String>,
}

/// The canonical form is longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The canonical form of an element, without one of the elements directly below it.
pub(crate) fn canonical(element: &Element, method: &Method, without: Option<&Element>) -> Result<Vec<u8>, TooLong> {
    let mut writer = Writer { method, without, out: Vec::with_capacity(4 * 1024), written: Vec::new() };
    writer.element(element)?;
    Ok(writer.out)
}

struct Writer<'t> {
    method: &'t Method,
    without: Option<&'t Element>,
    out: Vec<u8>,
    /// The namespaces that the elements around have written, innermost last.
    written: Vec<(&'t str, &'t str)>,
}

impl<'t> Writer<'t> {
    fn element(&mut self, element: &'t Element) -> Result<(), TooLong> {
        let outside = self.written.len();
        self.out.push(b'<');
        self.name(&element.prefix, &element.local);
        self.namespaces(element);
        let mut attributes: Vec<_> = element.attributes.iter().collect();
        attributes.sort_by(|a, b| (&*a.namespace, &a.local).cmp(&(&*b.namespace, &b.local)));
        for attribute in attributes {
            self.out.push(b' ');
            self.name(&attribute.prefix, &attribute.local);
            self.value(&attribute.value);
        }
        self.out.push(b'>');
        for child in &element.children {
            match child {
                Child::Element(below) if self.without.is_some_and(|without| std::ptr::eq(without, below)) => {}
                Child::Element(below) => self.element(below)?,
                Child::Text(text) => self.text(text),
                Child::Comment(comment) if self.method.comments => {
                    self.out.extend_from_slice(b"<!--");
                    self.out.extend_from_slice(comment.as_bytes());
                    self.out.extend_from_slice(b"-->");
                }
                Child::Comment(_) => {}
            }
            if self.out.len() > limits::SAML_CANONICAL_BYTES_MAX {
                return Err(TooLong);
            }
        }
        self.out.extend_from_slice(b"</");
        self.name(&element.prefix, &element.local);
        self.out.push(b'>');
        self.written.truncate(outside);
        Ok(())
    }

    /// Declares what this element uses visibly, and what is always written, where the elements around have not.
    fn namespaces(&mut self, element: &'t Element) {
        let used = element.attributes.iter().map(|a| a.prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let always = self.method.inclusive.iter().map(String::as_str).filter(|p| element.namespace_of(p).is_some());
        let mut prefixes: Vec<&'t str> = Vec::new();
        for prefix in std::iter::once(&*element.prefix).chain(used).chain(always) {
            if prefix != "xml" && !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        prefixes.sort_unstable();
        for prefix in prefixes {
            let name: &'t str = element.namespace_of(prefix).map_or("", |name| name);
            let around = self.written.iter().rev().find(|(p, _)| *p == prefix).map(|(_, name)| *name);
            if around.unwrap_or("") == name && (around.is_some() || prefix.is_empty()) {
                continue;
            }
            self.out.extend_from_slice(b" xmlns");
            if !prefix.is_empty() {
                self.out.push(b':');
                self.out.extend_from_slice(prefix.as_bytes());
            }
            self.value(name);
            self.written.push((prefix, name));
        }
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(local.as_bytes());
    }

    fn value(&mut self, value: &str) {
        self.out.extend_from_slice(b"=\"");
        for byte in value.bytes() {
            match byte {
                b'&' => self.out.extend_from_slice(b"&amp;"),
                b'<' => self.out.extend_from_slice(b"&lt;"),
                b'"' => self.out.extend_from_slice(b"&quot;"),
                b'\t' => self.out.extend_from_slice(b"&#x9;"),
                b'\n' => self.out.extend_from_slice(b"&#xA;"),
                b'\r' => self.out.extend_from_slice(b"&#xD;"),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'&' => self.out.extend_from_slice(b"&amp;"),
                b'<' => self.out.extend_from_slice(b"&lt;"),
                b'>' => self.out.extend_from_slice(b"&gt;"),
                b'\r' => self.out.extend_from_slice(b"&#xD;"),
                _ => self.out.push(byte),
            }
        }
    }
}

#[cfg(test)]
#[path = "../tests/canonical/mod.rs"]
mod tests;
