//! The tree of a document. Elements own what they contain, so that a reference to one is a reference to that very subtree.

use std::collections::HashSet;
use std::sync::Arc;

/// Namespaces in scope: prefix (empty for the default) and name (empty where the default is taken back).
pub(crate) type Namespaces = Arc<Vec<(Arc<str>, Arc<str>)>>;

/// An attribute that is not the declaration of a namespace.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub prefix: String,
    pub local: String,
    pub namespace: Arc<str>,
    pub value: String,
}

/// What an element contains.
#[derive(Debug)]
pub(crate) enum Child {
    Element(Element),
    Text(String),
    Comment(String),
}

/// An element.
#[derive(Debug)]
pub(crate) struct Element {
    pub prefix: Arc<str>,
    pub local: String,
    pub namespace: Arc<str>,
    pub attributes: Vec<Attribute>,
    pub scope: Namespaces,
    pub children: Vec<Child>,
}

impl Element {
    /// Whether it has this name in this namespace.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.local == local && *self.namespace == *namespace
    }

    /// The value of an attribute without a namespace, as all of SAML's and XML-DSig's are.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attribute_in("", local)
    }

    /// The value of an attribute of a namespace.
    pub fn attribute_in(&self, namespace: &str, local: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.local == local && *a.namespace == *namespace).map(|a| a.value.as_str())
    }

    /// The elements directly below.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            Child::Text(_) | Child::Comment(_) => None,
        })
    }

    /// The elements directly below that have this name.
    pub fn named(&self, namespace: &'static str, local: &'static str) -> impl Iterator<Item = &Element> {
        self.elements().filter(move |e| e.is(namespace, local))
    }

    /// The text, where there is nothing but one piece of text or nothing: neither elements nor comments, which could cut it.
    pub fn text(&self) -> Option<&str> {
        match self.children.as_slice() {
            [] => Some(""),
            [Child::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether there is text other than white space directly below.
    pub fn has_text(&self) -> bool {
        self.children.iter().any(|child| matches!(child, Child::Text(text) if !is_blank(text)))
    }

    /// Calls `visit` with this element and every one below, in the order of the document.
    pub fn walk<'t>(&'t self, visit: &mut impl FnMut(&'t Element)) {
        visit(self);
        for element in self.elements() {
            element.walk(visit);
        }
    }

    /// Adds the values of everything that could be taken for an identifier (`ID`, `Id`, `id`, in any namespace) to `seen`, and
    /// says whether all of them were new.
    pub fn identifiers_are_new<'t>(&'t self, seen: &mut HashSet<&'t str>) -> bool {
        let mut new = true;
        self.walk(&mut |element| {
            for attribute in element.attributes.iter().filter(|a| a.local.eq_ignore_ascii_case("id")) {
                new &= seen.insert(attribute.value.trim());
            }
        });
        new
    }

    /// The namespace that a prefix stands for here.
    pub fn namespace_of(&self, prefix: &str) -> Option<&Arc<str>> {
        lookup(&self.scope, prefix)
    }
}

/// The namespace that a prefix stands for in a scope.
pub(crate) fn lookup<'s>(scope: &'s Namespaces, prefix: &str) -> Option<&'s Arc<str>> {
    scope.iter().find(|(declared, _)| **declared == *prefix).map(|(_, name)| name)
}

/// Whether there is only white space as XML means it.
pub(crate) fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}
