//! How an event's fields become bytes and come back: variable-length integers, length-prefixed bytes, counted lists.
//!
//! Written by hand because recordings outlive the program that wrote them: the format is this file and
//! `docs/recordings.md`, not what some library happens to emit. The decoder is total: any bytes give a value or an
//! error, it never reads past the end and never reserves memory on the word of a length. Nothing here knows events.

use lockgate_core::limits::{RECORD_EVENT_BYTES_MAX, RECORD_LIST_ITEMS_MAX, RECORD_STRING_BYTES_MAX};
use lockgate_core::{IdentityKind, Timestamp};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// Why bytes are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the event ends inside a value")]
    Short,
    /// An integer is longer or larger than its type.
    #[error("an integer does not fit its type")]
    Integer,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// A list claims more items than may be.
    #[error("a list claims {0} items")]
    List(u64),
    /// A choice that this version does not know.
    #[error("unknown {what} {value}")]
    Unknown {
        /// What was chosen.
        what: &'static str,
        /// The number found.
        value: u8,
    },
    /// Bytes are left over after the last field.
    #[error("{0} bytes are left over after the last field")]
    Trailing(usize),
}

/// Reads values off the front of a slice.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'b> {
    rest: &'b [u8],
}

impl<'b> Decoder<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Decoder { rest: bytes }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'b [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value: u64 = 0;
        for shift in (0_u32..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let placed = bits.checked_shl(shift).ok_or(DecodeError::Integer)?;
            if placed.checked_shr(shift) != Some(bits) {
                return Err(DecodeError::Integer);
            }
            value |= placed;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Integer)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Short)?;
        self.take(length)
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}

/// Appends a LEB128 integer: seven bits a byte, low bits first, the top bit set on all but the last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

/// A value that can stand in an event.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

impl Wire for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, *self);
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        from.varint()
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(*self));
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        u32::try_from(from.varint()?).map_err(|_| DecodeError::Integer)
    }
}

impl Wire for u16 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(*self));
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        u16::try_from(from.varint()?).map_err(|_| DecodeError::Integer)
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Unknown { what: "truth value", value }),
        }
    }
}

/// Zigzag, so that a time before 1970 is a short integer too.
impl Wire for Timestamp {
    fn put(&self, out: &mut Vec<u8>) {
        let millis = self.millis();
        put_varint(out, ((millis << 1) ^ (millis >> 63)).cast_unsigned());
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let zigzag = from.varint()?;
        let sign = if zigzag & 1 == 0 { 0 } else { u64::MAX };
        Ok(Timestamp::from_millis(((zigzag >> 1) ^ sign).cast_signed()))
    }
}

impl Wire for IdentityKind {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            IdentityKind::Human => 0,
            IdentityKind::Service => 1,
            IdentityKind::Agent => 2,
        });
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match from.byte()? {
            0 => Ok(IdentityKind::Human),
            1 => Ok(IdentityKind::Service),
            2 => Ok(IdentityKind::Agent),
            value => Err(DecodeError::Unknown { what: "kind of identity", value }),
        }
    }
}

/// A string longer than [`RECORD_STRING_BYTES_MAX`] is cut and says so in its own text.
impl Wire for Cow<'_, str> {
    fn put(&self, out: &mut Vec<u8>) {
        if self.len() <= RECORD_STRING_BYTES_MAX {
            put_bytes(out, self.as_bytes());
        } else {
            let kept = self.get(..self.floor_char_boundary(RECORD_STRING_BYTES_MAX)).unwrap_or_default();
            put_bytes(out, format!("{kept} …(cut, {} bytes in all)", self.len()).as_bytes());
        }
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(from.bytes()?).map_err(|_| DecodeError::Utf8)?;
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.put(out);
            }
        }
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if bool::read(from)? { Ok(Some(T::read(from)?)) } else { Ok(None) }
    }
}

/// A list that is borrowed where it is written and owned where it was read. (`Cow<[T]>` is invariant in `T`, so that
/// events built from different borrows would not go together.)
#[derive(Clone)]
pub enum List<'a, T> {
    /// Somebody else's items.
    Borrowed(&'a [T]),
    /// Its own items.
    Owned(Vec<T>),
}

impl<T> Deref for List<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            List::Borrowed(items) => items,
            List::Owned(items) => items,
        }
    }
}

/// Equal when the items are, whoever owns them.
impl<T: PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for List<'_, T> {}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        List::Borrowed(&[])
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        List::Borrowed(items)
    }
}

impl<T> From<Vec<T>> for List<'_, T> {
    fn from(items: Vec<T>) -> Self {
        List::Owned(items)
    }
}

impl<T> FromIterator<T> for List<'_, T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        List::Owned(items.into_iter().collect())
    }
}

impl<T: fmt::Debug> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Serialize> Serialize for List<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

/// A list longer than [`RECORD_LIST_ITEMS_MAX`] is cut there; no protocol that is carried can make one.
impl<T: Wire> Wire for List<'_, T> {
    fn put(&self, out: &mut Vec<u8>) {
        let items = self.get(..RECORD_LIST_ITEMS_MAX).unwrap_or(self);
        put_varint(out, u64::try_from(items.len()).unwrap_or(u64::MAX));
        for item in items {
            item.put(out);
        }
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let claimed = from.varint()?;
        // Every item takes at least a byte, so a count beyond what is left cannot be true.
        let count = usize::try_from(claimed).map_err(|_| DecodeError::List(claimed))?;
        if count > from.remaining() || count > RECORD_LIST_ITEMS_MAX {
            return Err(DecodeError::List(claimed));
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::read(from)?);
        }
        Ok(List::Owned(items))
    }
}

/// A SHA-256 digest. Shown and exported as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Digest::from_lc(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
    }

    /// The SHA-256 of several pieces as if they stood side by side.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        Digest::of_said(|put| parts.iter().for_each(|part| put(part)))
    }

    /// The same of pieces that are said one after the other.
    pub fn of_said(say: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        say(&mut |part| context.update(part));
        Digest::from_lc(&context.finish())
    }

    fn from_lc(digest: &aws_lc_rs::digest::Digest) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Digest(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Wire for Digest {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let bytes = from.take(32)?;
        Ok(Digest(bytes.try_into().map_err(|_| DecodeError::Short)?))
    }
}

/// Bytes from a peer that need not be text. In JSON a string where they are UTF-8, else `{"base64": "…"}`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Blob<'a>(pub Cow<'a, [u8]>);

impl Blob<'_> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, with U+FFFD for what is not UTF-8.
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl<'a> From<&'a [u8]> for Blob<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Blob(Cow::Borrowed(bytes))
    }
}

impl<'a> From<&'a str> for Blob<'a> {
    fn from(text: &'a str) -> Self {
        Blob(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Blob<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Blob(Cow::Owned(bytes))
    }
}

impl From<String> for Blob<'_> {
    fn from(text: String) -> Self {
        Blob(Cow::Owned(text.into_bytes()))
    }
}

impl fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => {
                use base64::Engine;
                let coded = base64::engine::general_purpose::STANDARD.encode(&self.0);
                to.collect_map([("base64", coded)])
            }
        }
    }
}

/// The recorder cuts before it encodes; the cap here only makes sure that what is written can be read.
impl Wire for Blob<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.0.get(..RECORD_EVENT_BYTES_MAX).unwrap_or(&self.0));
    }
    fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Blob(Cow::Owned(from.bytes()?.to_vec())))
    }
}

/// Declares a struct whose fields are written in the order they stand. Fields that came `later` than recordings that are
/// still to be read have their default where an event ends before them; only an event itself may have such fields.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])* pub struct $name:ident<'a> { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }
        later { $($(#[$later_meta:meta])* pub $later:ident: $later_type:ty,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        pub struct $name<'a> {
            $($(#[$field_meta])* pub $field: $type,)*
            $($(#[$later_meta])* pub $later: $later_type,)*
        }
        impl<'a> $crate::wire::Wire for $name<'a> {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::wire::Wire::put(&self.$field, out);)*
                $($crate::wire::Wire::put(&self.$later, out);)*
            }
            fn read(from: &mut $crate::wire::Decoder<'_>) -> Result<Self, $crate::wire::DecodeError> {
                Ok($name {
                    $($field: $crate::wire::Wire::read(from)?,)*
                    $($later: match from.remaining() {
                        0 => Default::default(),
                        _ => $crate::wire::Wire::read(from)?,
                    },)*
                })
            }
        }
    };
    ($(#[$meta:meta])* pub struct $name:ident<'a> { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        pub struct $name<'a> { $($(#[$field_meta])* pub $field: $type,)* }
        impl<'a> $crate::wire::Wire for $name<'a> {
            fn put(&self, out: &mut Vec<u8>) { $($crate::wire::Wire::put(&self.$field, out);)* }
            fn read(from: &mut $crate::wire::Decoder<'_>) -> Result<Self, $crate::wire::DecodeError> {
                Ok($name { $($field: $crate::wire::Wire::read(from)?,)* })
            }
        }
    };
}

/// Declares a choice that is one byte on disk and one word in JSON and on a terminal.
macro_rules! wire_enum {
    ($(#[$meta:meta])* pub enum $name:ident ($what:literal) {
        $($(#[$variant_meta:meta])* $variant:ident = $code:literal $word:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }
        impl $name {
            /// Every choice, in the order of their codes.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The word for it in exports and transcripts.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.name()) }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> { to.serialize_str(self.name()) }
        }
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) { out.push(match self { $($name::$variant => $code,)* }); }
            fn read(from: &mut $crate::wire::Decoder<'_>) -> Result<Self, $crate::wire::DecodeError> {
                match from.byte()? {
                    $($code => Ok($name::$variant),)*
                    value => Err($crate::wire::DecodeError::Unknown { what: $what, value }),
                }
            }
        }
    };
}

pub(crate) use {wire_enum, wire_struct};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_read_back_and_refuse_what_does_not_fit() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Decoder::new(&out).varint(), Ok(value));
        }
        assert_eq!(Decoder::new(&[0x80]).varint(), Err(DecodeError::Short));
        assert_eq!(Decoder::new(&[0xff; 11]).varint(), Err(DecodeError::Integer));
        assert_eq!(
            Decoder::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).varint(),
            Err(DecodeError::Integer)
        );
        assert_eq!(u32::read(&mut Decoder::new(&[0xff, 0xff, 0xff, 0xff, 0x1f])), Err(DecodeError::Integer));
    }

    #[test]
    fn times_of_both_signs_read_back() {
        for millis in [0, 1, -1, i64::MAX, i64::MIN, 1_795_237_740_123] {
            let mut out = Vec::new();
            Timestamp::from_millis(millis).put(&mut out);
            assert_eq!(Timestamp::read(&mut Decoder::new(&out)), Ok(Timestamp::from_millis(millis)));
        }
    }

    #[test]
    fn a_long_string_is_cut_and_says_so() {
        let long = "é".repeat(RECORD_STRING_BYTES_MAX);
        let mut out = Vec::new();
        Cow::Borrowed(long.as_str()).put(&mut out);
        let back = <Cow<'_, str>>::read(&mut Decoder::new(&out)).unwrap();
        assert!(back.ends_with(&format!("(cut, {} bytes in all)", long.len())), "{}", back.len());
        assert!(back.len() < RECORD_STRING_BYTES_MAX + 100);
    }

    #[test]
    fn a_list_that_claims_too_much_is_refused_before_memory_is_reserved() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(<List<'_, u64>>::read(&mut Decoder::new(&bytes)), Err(DecodeError::List(u64::MAX)));
        assert_eq!(<List<'_, u64>>::read(&mut Decoder::new(&[3, 1, 2])), Err(DecodeError::List(3)));
    }
}
