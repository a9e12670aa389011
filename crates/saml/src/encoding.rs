//! The encodings around the XML: base64 as XML writes it, and the form of a URL's query.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Reads base64 with white space in it (XML Schema part 2, section 3.2.16); everything else is strict, so each value has one form
/// but for white space.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')).collect();
    STANDARD.decode(compact).ok()
}

/// Writes base64.
pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A value in a URL's query: everything but letters, digits and `-._~` is written as `%XX` (RFC 3986 section 2.3).
pub(crate) fn query_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.extend(
                    [byte >> 4, byte & 15]
                        .iter()
                        .filter_map(|digit| char::from_digit(u32::from(*digit), 16))
                        .map(|c| c.to_ascii_uppercase()),
                );
            }
        }
    }
    out
}

/// Text in an element or an attribute.
pub(crate) fn xml_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// The bytes as a DEFLATE stream (RFC 1951) of stored blocks. A request has a few hundred bytes, which compression would not make
/// much shorter; nothing is ever inflated here, so that no message can be a bomb.
pub(crate) fn deflate_stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(16));
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict_but_for_white_space() {
        for (text, value) in [
            ("YWxpY2U=", Some("alice")),
            (" YWxp\r\n\tY2U= ", Some("alice")),
            ("", Some("")),
            ("YWxpY2U", None),
            ("YWxpY2V=", None),
            ("YWxpY2U=YQ==", None),
            ("YWxp-2U=", None),
            ("YWxpY2U=\0", None),
        ] {
            assert_eq!(base64_decode(text), value.map(|v| v.as_bytes().to_vec()), "{text:?}");
        }
    }

    #[test]
    fn queries_and_blocks() {
        assert_eq!(query_value("a+b/c=d é~"), "a%2Bb%2Fc%3Dd%20%C3%A9~");
        assert_eq!(deflate_stored(b"hi"), [1, 2, 0, 0xfd, 0xff, b'h', b'i']);
        let long = deflate_stored(&[7; 70_000]);
        assert_eq!((long.len(), long[0], long[65_540]), (70_010, 0, 1));
    }
}
