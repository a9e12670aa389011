//! Arrays and composites whose elements are masked one by one: their shape stays (dimensions, number of elements, which of
//! them are NULL), each value in them becomes what the method makes of its type.
//!
//! The text forms are those of `array_out` and `record_out`, the binary ones those of `array_send` and `record_send`, in
//! PostgreSQL's `utils/adt`. What is not of that form, or would grow too much, is `None`, and the caller shows a constant.

use crate::cell::CellMask;
use crate::redacted::quote_field;
use lockgate_core::limits::MASK_NESTED_GROWTH_BYTES_MAX;
use std::borrow::Cow;

/// PostgreSQL's MAXDIM.
const DIMENSIONS_MAX: usize = 6;

/// The limit of what a masked value of this length may become.
fn limit(value: &[u8]) -> usize {
    value.len().saturating_add(MASK_NESTED_GROWTH_BYTES_MAX)
}

/// An array's text form with every element masked.
pub(crate) fn array_text(element: &CellMask, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    // Bounds other than 1 stand before the elements.
    if rest.first() == Some(&b'[') {
        let end = rest.iter().position(|byte| *byte == b'=')?;
        let (bounds, after) = rest.split_at_checked(end + 1)?;
        let fine = bounds.iter().all(|b| b.is_ascii_digit() || matches!(b, b'[' | b']' | b':' | b'-' | b'+' | b'='));
        if !fine || bounds.len() > 256 {
            return None;
        }
        out.extend_from_slice(bounds);
        rest = after;
    }
    let mut depth = 0_usize;
    // Whether a value or a nested array may come here, rather than what follows one.
    let mut open = true;
    loop {
        let (byte, after) = rest.split_first()?;
        match byte {
            b'{' if open && depth < DIMENSIONS_MAX => {
                depth += 1;
                out.push(b'{');
                rest = after;
                // The empty array.
                if depth == 1 && rest == b"}" {
                    out.push(b'}');
                    return Some(out);
                }
            }
            b'}' if !open => {
                depth = depth.checked_sub(1)?;
                out.push(b'}');
                rest = after;
                if depth == 0 {
                    return rest.is_empty().then_some(out);
                }
            }
            b',' if !open => {
                out.push(b',');
                rest = after;
                open = true;
            }
            _ if open && depth > 0 => {
                let (element_value, after) = array_element(rest)?;
                match element_value.and_then(|value| element.show(&value).map(Cow::into_owned)) {
                    Some(shown) => quote_element(&shown, &mut out),
                    None => out.extend_from_slice(b"NULL"),
                }
                rest = after;
                open = false;
                if out.len() > limit(value) {
                    return None;
                }
            }
            _ => return None,
        }
    }
}

/// The element at the start of `text`, `None` within for NULL, and what follows it.
fn array_element(text: &[u8]) -> Option<(Option<Vec<u8>>, &[u8])> {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    if text.first() == Some(&b'"') {
        bytes.next();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => return Some((Some(value), text.get(at + 1..)?)),
                b'\\' => value.push(*bytes.next()?.1),
                other => value.push(*other),
            }
        }
        return None;
    }
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b',' | b'}' => {
                let null = value.eq_ignore_ascii_case(b"null");
                return (at > 0).then_some(((!null).then_some(value), text.get(at..)?));
            }
            b'{' | b'"' => return None,
            b'\\' => value.push(*bytes.next()?.1),
            other => value.push(*other),
        }
    }
    None
}

/// One element, quoted as `array_out` does.
fn quote_element(value: &[u8], out: &mut Vec<u8>) {
    let plain = !value.is_empty()
        && !value.eq_ignore_ascii_case(b"null")
        && !value
            .iter()
            .any(|b| matches!(b, b'"' | b'\\' | b'{' | b'}' | b',' | b';') || b.is_ascii_whitespace() || *b == 0x0b);
    if plain {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// An array's binary form with every element masked.
pub(crate) fn array_binary(oid: u32, element: &CellMask, value: &[u8]) -> Option<Vec<u8>> {
    let limit = limit(value);
    let (dimensions, rest) = take_u32(value)?;
    let (_has_nulls, rest) = take_u32(rest)?;
    let (said, rest) = take_u32(rest)?;
    let dimensions = usize::try_from(dimensions).ok().filter(|d| *d <= DIMENSIONS_MAX)?;
    if said != oid {
        return None;
    }
    let (bounds, mut rest) = rest.split_at_checked(dimensions * 8)?;
    let mut count: u64 = u64::from(dimensions > 0);
    for dimension in bounds.as_chunks::<8>().0 {
        count = count.checked_mul(u64::from(take_u32(dimension)?.0))?;
    }
    let mut out = value.get(..12 + bounds.len())?.to_vec();
    let mut nulls = false;
    for _ in 0..count {
        let (element_value, after) = take_value(rest)?;
        rest = after;
        let shown = element_value.and_then(|value| element.show(value));
        nulls |= shown.is_none();
        put_value(shown.as_deref(), &mut out)?;
        if out.len() > limit {
            return None;
        }
    }
    if let Some(flags) = out.get_mut(4..8) {
        flags.copy_from_slice(&u32::from(nulls).to_be_bytes());
    }
    rest.is_empty().then_some(out)
}

/// A composite's text form with every field masked.
pub(crate) fn composite_text(fields: &[(u32, CellMask)], value: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"(".to_vec();
    let mut rest = value.strip_prefix(b"(")?;
    for (at, (_, mask)) in fields.iter().enumerate() {
        let (field, end, after) = composite_field(rest)?;
        let last = at + 1 == fields.len();
        if end != if last { b')' } else { b',' } {
            return None;
        }
        if let Some(shown) = field.and_then(|value| mask.show(&value).map(Cow::into_owned)) {
            quote_field(&shown, &mut out);
        }
        out.push(end);
        rest = after;
        if out.len() > limit(value) {
            return None;
        }
    }
    rest.is_empty().then_some(out)
}

/// The field at the start of `text`, `None` within for NULL; the byte that ends it, and what follows that.
#[expect(clippy::type_complexity, reason = "a value that may be NULL, its end, and the rest")]
fn composite_field(text: &[u8]) -> Option<(Option<Vec<u8>>, u8, &[u8])> {
    let mut value = Vec::new();
    let mut quoted = false;
    let mut bytes = text.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' if quoted && matches!(bytes.peek(), Some((_, b'"'))) => {
                bytes.next();
                value.push(b'"');
            }
            b'"' => quoted = !quoted,
            b'\\' => value.push(*bytes.next()?.1),
            b',' | b')' if !quoted => return Some(((at > 0).then_some(value), *byte, text.get(at + 1..)?)),
            other => value.push(*other),
        }
    }
    None
}

/// A composite's binary form with every field masked.
pub(crate) fn composite_binary(fields: &[(u32, CellMask)], value: &[u8]) -> Option<Vec<u8>> {
    let (count, mut rest) = take_u32(value)?;
    if usize::try_from(count).ok()? != fields.len() {
        return None;
    }
    let mut out = value.get(..4)?.to_vec();
    for (oid, mask) in fields {
        let (said, after) = take_u32(rest)?;
        if said != *oid {
            return None;
        }
        let (field, after) = take_value(after)?;
        rest = after;
        out.extend_from_slice(&oid.to_be_bytes());
        put_value(field.and_then(|value| mask.show(value)).as_deref(), &mut out)?;
        if out.len() > limit(value) {
            return None;
        }
    }
    rest.is_empty().then_some(out)
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// A value with its length before it, `None` within for NULL, and what follows it.
fn take_value(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        -1 => Some((None, rest)),
        length => {
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(value), rest))
        }
    }
}

fn put_value(value: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
    match value {
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(value) => {
            out.extend_from_slice(&i32::try_from(value.len()).ok()?.to_be_bytes());
            out.extend_from_slice(value);
        }
    }
    Some(())
}
