//! The canonical form beside libxml2's, case by case and at random (`make.php` writes them), and what must hold of any document.

use super::*;
use crate::xml::parse;
use lockgate_core::limits;
use serde_json::Value;

fn picked(root: &Element) -> &Element {
    let mut found = None;
    root.walk(&mut |element| {
        if found.is_none() && element.attribute("pick").is_some() {
            found = Some(element);
        }
    });
    found.unwrap_or(root)
}

fn of(text: &str, method: &Method) -> String {
    let root = parse(text.as_bytes(), limits::SAML_MESSAGE_BYTES_MAX).unwrap_or_else(|error| panic!("{text}: {error}"));
    String::from_utf8(canonical(picked(&root), method, None).unwrap()).unwrap()
}

#[test]
fn the_same_as_libxml2() {
    let vectors = include_str!("vectors.txt");
    let mut count = 0;
    for line in vectors.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |index: usize| case[index].as_str().unwrap();
        let prefixes = case[2].as_array().unwrap().iter().map(|p| p.as_str().unwrap());
        let inclusive = prefixes.map(|p| if p == "#default" { String::new() } else { p.to_owned() }).collect();
        let method = Method { comments: case[1].as_bool().unwrap(), inclusive };
        assert_eq!(of(text(3), &method), text(4), "{}", text(0));
        // The canonical form of a canonical form is itself.
        assert_eq!(of(text(4), &method), text(4), "{}", text(0));
        count += 1;
    }
    assert_eq!(count, 327);
}

#[test]
fn one_element_below_can_be_left_out() {
    let root = parse(b"<a><b/>x<b/></a>", 100).unwrap();
    let first = root.elements().next();
    assert_eq!(canonical(&root, &Method::default(), first).unwrap(), b"<a>x<b></b></a>");
}

#[test]
fn namespaces_said_again_and_again_are_too_long() {
    let name = "n".repeat(limits::SAML_NAMESPACE_BYTES_MAX);
    let document = format!("<x xmlns:a=\"{name}\">{}</x>", "<a:y/>".repeat(4_000));
    let root = parse(document.as_bytes(), limits::SAML_MESSAGE_BYTES_MAX).unwrap();
    assert_eq!(canonical(&root, &Method::default(), None), Err(TooLong));
}
