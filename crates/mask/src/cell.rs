//! The mask of one column, settled once, and its application to one value.

use crate::derived::Derived;
use crate::keys::MaskKeys;
use crate::method::Method;
use crate::redacted;
use crate::row::{Column, Rule};
use crate::types::TypeTable;
use bytes::{BufMut, BytesMut};
use lockgate_core::limits::MASK_ROW_GROWTH_BYTES_MAX;

/// What a column's values become. NULL stays NULL under each.
pub(crate) enum CellMask {
    Null,
    Constant(Constant),
    Derived(Derived),
}

/// A constant with its length before it, as rows carry it.
pub(crate) struct Constant(Box<[u8]>);

impl Constant {
    pub(crate) fn value(&self) -> &[u8] {
        self.0.get(4..).unwrap_or_default()
    }
}

/// The masks of a result's columns, `None` for each that passes.
///
/// A target that describes thousands of wide columns could make each short row a very long one: once the constants of a
/// row exceed their limit, further masks are NULL.
pub(crate) fn plan(columns: &[Column], types: &TypeTable, keys: &MaskKeys) -> Vec<Option<CellMask>> {
    let mut growth: usize = 0;
    columns
        .iter()
        .map(|column| {
            let mask = CellMask::plan(column, types, keys)?;
            growth = growth.saturating_add(mask.growth());
            Some(if growth > MASK_ROW_GROWTH_BYTES_MAX { CellMask::Null } else { mask })
        })
        .collect()
}

impl CellMask {
    /// The mask that a column's rule asks for; `None` when the column passes.
    fn plan(column: &Column, types: &TypeTable, keys: &MaskKeys) -> Option<CellMask> {
        let Rule::Mask { method, label } = &column.rule else { return None };
        if *method == Method::Null {
            return Some(CellMask::Null);
        }
        let Some(redacted) = redacted::value(types, column.type_oid, column.typmod, column.format) else {
            return Some(CellMask::Null);
        };
        // Where a method means nothing for a type, the stronger `redact` takes its place.
        let derived = match types.scalar(column.type_oid) {
            None => None,
            Some(kind) => match method {
                Method::Partial => Derived::partial(kind, column.typmod, column.format, redacted.clone()),
                Method::Token | Method::Hash => Derived::keyed(
                    kind,
                    column.typmod,
                    column.format,
                    redacted.clone(),
                    *method,
                    keys.key(*method, label),
                ),
                Method::Redact | Method::Null => None,
            },
        };
        Some(match derived {
            Some(derived) => CellMask::Derived(derived),
            None => match i32::try_from(redacted.len()) {
                Ok(length) => CellMask::Constant(Constant([&length.to_be_bytes()[..], &redacted].concat().into())),
                Err(_) => CellMask::Null,
            },
        })
    }

    /// About how many bytes this can add to a row.
    pub(crate) fn growth(&self) -> usize {
        match self {
            CellMask::Null => 0,
            CellMask::Constant(constant) => constant.0.len(),
            CellMask::Derived(derived) => derived.growth(),
        }
    }

    /// Appends what stands for `value`, with its length.
    #[inline]
    pub(crate) fn put(&self, value: Option<&[u8]>, out: &mut BytesMut) {
        match (value, self) {
            (None, _) | (_, CellMask::Null) => out.put_i32(-1),
            (Some(_), CellMask::Constant(constant)) => out.put_slice(&constant.0),
            (Some(value), CellMask::Derived(derived)) => {
                let shown = derived.show(value);
                // Shown values are shorter than a limit or than `value`, whose length was an i32.
                match i32::try_from(shown.len()) {
                    Ok(length) => {
                        out.put_i32(length);
                        out.put_slice(&shown);
                    }
                    Err(_) => out.put_i32(-1),
                }
            }
        }
    }
}
