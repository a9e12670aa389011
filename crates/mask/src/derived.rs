//! Masks that look at the value: `partial`, `hash` and `token`, one type at a time.
//!
//! Each reads the value of its type in either format, and falls back to the redacted constant when the value is not of the
//! form that it understands or has no room for what would be shown. What each shows of a value is declared in
//! `docs/masking.md`; the keyed stand-ins themselves are made in `token`.

use crate::cell::CellMask;
use crate::keys::LabelKeys;
use crate::method::Method;
use crate::nested;
use crate::numeral;
use crate::partial;
use crate::redacted;
use crate::row::Format;
use crate::token::{self, DISTINCT_BITS_MIN, Family, TOKEN_PREFIX, Way};
use crate::types::ScalarKind;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A mask that depends on the value.
pub(crate) struct Derived {
    how: How,
    format: Format,
    redacted: Vec<u8>,
}

enum How {
    PartialText { kind: ScalarKind, typmod: i32 },
    PartialDate,
    PartialTimestamp { zone: bool },
    Keyed { value: Keyed, way: Way, keys: Arc<LabelKeys> },
    Array { oid: u32, element: Box<CellMask> },
    Composite { fields: Vec<(u32, CellMask)> },
}

/// How the value of a type is read and its keyed stand-in written.
#[derive(Clone, Copy)]
enum Keyed {
    Text {
        kind: ScalarKind,
        typmod: i32,
    },
    /// `integer` of four bytes, `bigint` of eight.
    Integer {
        width: usize,
    },
    Numeric {
        precision: Option<usize>,
    },
    Uuid,
    Json {
        version: bool,
    },
    Bytea,
    Inet,
    /// Of six or of eight bytes.
    MacAddr {
        width: usize,
    },
}

impl Derived {
    /// `partial`, where the type has a part worth showing.
    pub(crate) fn partial(kind: ScalarKind, typmod: i32, format: Format, redacted: Vec<u8>) -> Option<Self> {
        let how = match kind {
            ScalarKind::Text | ScalarKind::VarChar | ScalarKind::BpChar | ScalarKind::Name => {
                How::PartialText { kind, typmod }
            }
            ScalarKind::Date => How::PartialDate,
            ScalarKind::Timestamp => How::PartialTimestamp { zone: false },
            ScalarKind::TimestampTz => How::PartialTimestamp { zone: true },
            _ => return None,
        };
        Some(Derived { how, format, redacted })
    }

    /// `hash` or `token`, where the type has room for a keyed value.
    pub(crate) fn keyed(
        kind: ScalarKind,
        typmod: i32,
        format: Format,
        redacted: Vec<u8>,
        method: Method,
        keys: Arc<LabelKeys>,
    ) -> Option<Self> {
        let way = match method {
            Method::Token => Way::Token,
            Method::Hash => Way::Hash,
            Method::Partial | Method::Redact | Method::Null => return None,
        };
        let value = match kind {
            ScalarKind::Text | ScalarKind::VarChar | ScalarKind::BpChar | ScalarKind::Name => {
                Keyed::Text { kind, typmod }
            }
            ScalarKind::Int4 => Keyed::Integer { width: 4 },
            ScalarKind::Int8 => Keyed::Integer { width: 8 },
            ScalarKind::Numeric => Keyed::Numeric { precision: numeral::precision(typmod)? },
            ScalarKind::Uuid => Keyed::Uuid,
            ScalarKind::Json => Keyed::Json { version: false },
            ScalarKind::Jsonb => Keyed::Json { version: format == Format::Binary },
            ScalarKind::Bytea => Keyed::Bytea,
            ScalarKind::Inet => Keyed::Inet,
            ScalarKind::MacAddr => Keyed::MacAddr { width: 6 },
            ScalarKind::MacAddr8 => Keyed::MacAddr { width: 8 },
            // Too few values to hide one among them, or none that a client compares.
            _ => return None,
        };
        Some(Derived { how: How::Keyed { value, way, keys }, format, redacted })
    }

    /// An array whose elements are masked.
    pub(crate) fn array(oid: u32, element: CellMask, format: Format, redacted: Vec<u8>) -> Self {
        Derived { how: How::Array { oid, element: Box::new(element) }, format, redacted }
    }

    /// A composite whose fields are masked.
    pub(crate) fn composite(fields: Vec<(u32, CellMask)>, format: Format, redacted: Vec<u8>) -> Self {
        Derived { how: How::Composite { fields }, format, redacted }
    }

    /// About how many bytes this can add to a row.
    pub(crate) fn growth(&self) -> usize {
        self.redacted.len() + 96
    }

    /// What stands for `value`.
    pub(crate) fn show(&self, value: &[u8]) -> Cow<'_, [u8]> {
        let shown = match &self.how {
            How::PartialText { kind, typmod } => partial::text(*kind, *typmod, unpadded(*kind, value)),
            How::PartialDate => partial::date(self.format, value),
            How::PartialTimestamp { zone } => partial::timestamp(self.format, *zone, value),
            How::Keyed { value: keyed, way, keys } => self.keyed_value(*keyed, *way, keys, value),
            How::Array { oid, element } => match self.format {
                Format::Text => nested::array_text(element, value),
                Format::Binary => nested::array_binary(*oid, element, value),
            },
            How::Composite { fields } => match self.format {
                Format::Text => nested::composite_text(fields, value),
                Format::Binary => nested::composite_binary(fields, value),
            },
        };
        shown.map_or(Cow::Borrowed(self.redacted.as_slice()), Cow::Owned)
    }

    fn keyed_value(&self, keyed: Keyed, way: Way, keys: &LabelKeys, value: &[u8]) -> Option<Vec<u8>> {
        let text = self.format == Format::Text;
        match keyed {
            Keyed::Text { kind, typmod } => keyed_text(kind, typmod, way, keys, unpadded(kind, value)),
            Keyed::Integer { width } => {
                let number = if text { numeral::decimal(value)? } else { numeral::integer(width, value)? };
                let shown = keys.number(way, number)?;
                // What does not fit the type was no value of it.
                let bytes = shown.to_be_bytes();
                let bytes = bytes.get(8 - width..)?;
                numeral::integer(width, bytes).filter(|n| *n == shown)?;
                Some(if text { shown.to_string().into_bytes() } else { bytes.to_vec() })
            }
            Keyed::Numeric { precision } => {
                let number = if text { numeral::decimal(value)? } else { numeral::numeric(value)? };
                let shown = keys.number(way, number)?;
                let digits = shown.unsigned_abs().to_string().len();
                if precision.is_some_and(|precision| digits > precision) {
                    return None;
                }
                if text { Some(shown.to_string().into_bytes()) } else { numeral::numeric_binary(shown) }
            }
            Keyed::Uuid => {
                let uuid = if text { token::uuid_of_text(value)? } else { u128::from_be_bytes(value.try_into().ok()?) };
                let shown = keys.uuid(way, uuid)?;
                Some(if text { token::uuid_text(shown).into_bytes() } else { shown.to_be_bytes().to_vec() })
            }
            Keyed::Json { version } => {
                let value = if version { value.strip_prefix(b"\x01")? } else { value };
                let shown = stand_in(Family::Json, way, keys, value)?;
                let version = if version { "\x01" } else { "" };
                Some(format!("{version}\"{shown}\"").into_bytes())
            }
            Keyed::Bytea => {
                // Another form than the hexadecimal one (`bytea_output`) is not read.
                let held;
                let value = if text {
                    held = token::unhex(value.strip_prefix(b"\\x")?)?;
                    held.as_slice()
                } else {
                    value
                };
                let shown = match way {
                    Way::Hash => keys.digest("bytes hash", value).get(..16)?.to_vec(),
                    Way::Token | Way::Value => keys.seal(Family::Bytes, value)?,
                };
                Some(if text { format!("\\x{}", token::hex(&shown)).into_bytes() } else { shown })
            }
            Keyed::Inet => self.keyed_inet(way, keys, value),
            Keyed::MacAddr { width } => {
                let bytes = if text { mac_of_text(value)? } else { value.to_vec() };
                if bytes.len() != width {
                    return None;
                }
                let shown = keyed_mac(way, keys, &bytes)?;
                Some(if text { mac_text(&shown).into_bytes() } else { shown })
            }
        }
    }

    fn keyed_inet(&self, way: Way, keys: &LabelKeys, value: &[u8]) -> Option<Vec<u8>> {
        // A network is no host, and few of them are in use.
        let address = match self.format {
            Format::Text => std::str::from_utf8(value).ok()?.parse::<IpAddr>().ok()?,
            Format::Binary => match value {
                [2, 32, 0, 4, v4 @ ..] => IpAddr::from(<[u8; 4]>::try_from(v4).ok()?),
                [3, 128, 0, 16, v6 @ ..] => IpAddr::from(<[u8; 16]>::try_from(v6).ok()?),
                _ => return None,
            },
        };
        let shown = keyed_address(way, keys, address)?;
        Some(match (self.format, shown) {
            (Format::Text, shown) => shown.to_string().into_bytes(),
            (Format::Binary, IpAddr::V4(v4)) => [&[2, 32, 0, 4][..], &v4.octets()].concat(),
            (Format::Binary, IpAddr::V6(v6)) => [&[3, 128, 0, 16][..], &v6.octets()].concat(),
        })
    }
}

/// The permutation of a host's address among those of its family.
pub(crate) fn keyed_address(way: Way, keys: &LabelKeys, address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => {
            let bits = keys.bits(way, 32, b"4", u128::from(v4.to_bits()))?;
            Ipv4Addr::from_bits(u32::try_from(bits).ok()?).into()
        }
        IpAddr::V6(v6) => Ipv6Addr::from_bits(keys.bits(way, 128, b"6", v6.to_bits())?).into(),
    })
}

/// The permutation of a hardware address of six or eight bytes.
pub(crate) fn keyed_mac(way: Way, keys: &LabelKeys, bytes: &[u8]) -> Option<Vec<u8>> {
    let width = u32::try_from(bytes.len() * 8).ok()?;
    let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let shown = keys.bits(way, width, b"m", bits)?.to_be_bytes();
    shown.get(16 - bytes.len()..).map(<[u8]>::to_vec)
}

/// A hardware address as PostgreSQL writes it.
pub(crate) fn mac_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The bytes of a hardware address as PostgreSQL writes it.
pub(crate) fn mac_of_text(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() != 17 && text.len() != 23 {
        return None;
    }
    text.split(|byte| *byte == b':').map(|pair| token::unhex(pair).filter(|b| b.len() == 1)?.first().copied()).collect()
}

/// The text that stands for a value: the readable form of a digest or of a sealed token.
fn stand_in(family: Family, way: Way, keys: &LabelKeys, value: &[u8]) -> Option<String> {
    Some(match way {
        Way::Hash => {
            let digest = keys.digest(if family == Family::Json { "json hash" } else { "text hash" }, value);
            token::hex(digest.get(..16)?)
        }
        Way::Token | Way::Value => format!("{TOKEN_PREFIX}{}", token::base32(&keys.seal(family, value)?)),
    })
}

fn keyed_text(kind: ScalarKind, typmod: i32, way: Way, keys: &LabelKeys, value: &[u8]) -> Option<Vec<u8>> {
    if way == Way::Token
        && let Some(shown) = keys.digits(way, value)
    {
        return Some(redacted::fit(kind, typmod, std::str::from_utf8(&shown).ok()?));
    }
    let shown = stand_in(Family::Text, way, keys, value)?;
    let room = match kind {
        // NAMEDATALEN is 64, with the zero at the end.
        ScalarKind::Name => 63,
        _ => redacted::declared_length(kind, typmod).unwrap_or(usize::MAX),
    };
    let needed = match way {
        Way::Hash => DISTINCT_BITS_MIN.div_ceil(4),
        Way::Token | Way::Value => TOKEN_PREFIX.len() + DISTINCT_BITS_MIN.div_ceil(5),
    };
    // What is left after a cut must still tell values apart.
    let cut = shown.get(..room).unwrap_or(&shown);
    (room >= needed).then(|| redacted::fit(kind, typmod, cut))
}

/// The value without the padding of `char(n)`, which is no part of it.
fn unpadded(kind: ScalarKind, value: &[u8]) -> &[u8] {
    if kind != ScalarKind::BpChar {
        return value;
    }
    let spaces = value.iter().rev().take_while(|b| **b == b' ').count();
    value.get(..value.len() - spaces).unwrap_or_default()
}
