//! XML as far as SAML needs it, read once into one tree that signature and content share.
//!
//! What is accepted is a part of XML 1.0 (fifth edition) with namespaces: UTF-8, elements, attributes, text, comments, the five
//! named characters and numeric references. Document types, entities, processing instructions and CDATA are refused: nothing in
//! SAML needs them, and each has been used to show a signature one thing and a program another. Depth, nodes and attributes are
//! bounded. It is not a general XML library and never will be.

mod parse;
mod tree;

pub(crate) use parse::{XmlError, parse, parse_within};
pub(crate) use tree::{Child, Element};

/// The namespace that the prefix `xml` always stands for.
pub(crate) const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace that the prefix `xmlns` always stands for.
const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";

#[cfg(test)]
mod tests;
