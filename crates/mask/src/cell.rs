//! The mask of one column, settled once, and its application to one value.

use crate::derived::Derived;
use crate::keys::{LabelKeys, MaskKeys};
use crate::method::Method;
use crate::redacted;
use crate::row::{Column, Format, Rule};
use crate::types::{ScalarKind, Shape, TypeTable};
use bytes::{BufMut, BytesMut};
use lockgate_core::limits::{MASK_DERIVED_PARTS_MAX, MASK_ROW_GROWTH_BYTES_MAX, MASK_TYPE_DEPTH_MAX};
use std::borrow::Cow;
use std::sync::Arc;

/// What a column's values become. NULL stays NULL, except where it becomes the constant too.
pub(crate) enum CellMask {
    Null,
    Constant(Constant),
    /// Of NULL too.
    Always(Constant),
    Derived(Derived),
}

/// A constant with its length before it, as rows carry it.
pub(crate) struct Constant(Box<[u8]>);

impl Constant {
    fn of(value: &[u8]) -> Option<Constant> {
        let length = i32::try_from(value.len()).ok()?;
        Some(Constant([&length.to_be_bytes()[..], value].concat().into()))
    }

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
    pub(crate) fn plan(column: &Column, types: &TypeTable, keys: &MaskKeys) -> Option<CellMask> {
        let (method, label) = match &column.rule {
            Rule::Pass | Rule::Counted => return None,
            Rule::Mask { method, label } => (method, label),
            Rule::Hide => {
                let shown = redacted::value(types, column.type_oid, column.typmod, column.format);
                return Some(shown.and_then(|value| Constant::of(&value)).map_or(CellMask::Null, CellMask::Always));
            }
        };
        if *method == Method::Null {
            return Some(CellMask::Null);
        }
        let keys = match method {
            Method::Token | Method::Hash => keys.label(label),
            Method::Partial | Method::Redact | Method::Null => None,
        };
        let mut planner =
            Planner { types, format: column.format, method: *method, keys, parts_left: MASK_DERIVED_PARTS_MAX };
        Some(planner.value(column.type_oid, column.typmod, 0))
    }

    /// About how many bytes this can add to a row.
    pub(crate) fn growth(&self) -> usize {
        match self {
            CellMask::Null => 0,
            CellMask::Constant(constant) | CellMask::Always(constant) => constant.0.len(),
            CellMask::Derived(derived) => derived.growth(),
        }
    }

    /// What stands for `value`; `None` is NULL.
    pub(crate) fn show<'a>(&'a self, value: &[u8]) -> Option<Cow<'a, [u8]>> {
        match self {
            CellMask::Null => None,
            CellMask::Constant(constant) | CellMask::Always(constant) => Some(Cow::Borrowed(constant.value())),
            CellMask::Derived(derived) => Some(derived.show(value)),
        }
    }

    /// Appends what stands for `value`, with its length.
    #[inline]
    pub(crate) fn put(&self, value: Option<&[u8]>, out: &mut BytesMut) {
        match (value, self) {
            (_, CellMask::Always(constant)) | (Some(_), CellMask::Constant(constant)) => out.put_slice(&constant.0),
            (None, _) | (_, CellMask::Null) => out.put_i32(-1),
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

/// Plans the mask of one value, and of the values in it.
struct Planner<'a> {
    types: &'a TypeTable,
    format: Format,
    method: Method,
    keys: Option<Arc<LabelKeys>>,
    parts_left: usize,
}

impl Planner<'_> {
    /// Where the method means nothing for a type, the stronger `redact` takes its place.
    fn value(&mut self, oid: u32, typmod: i32, depth: usize) -> CellMask {
        let Some(redacted) = redacted::value(self.types, oid, typmod, self.format) else { return CellMask::Null };
        let within_bounds = depth <= MASK_TYPE_DEPTH_MAX && self.parts_left > 0;
        self.parts_left = self.parts_left.saturating_sub(1);
        let derived = if self.method == Method::Redact || !within_bounds {
            None
        } else {
            match self.types.shape(oid) {
                Some(Shape::Domain(base)) => return self.value(base, typmod, depth + 1),
                Some(Shape::Scalar(kind)) => self.scalar(kind, typmod, &redacted),
                Some(Shape::Array(element)) => match self.value(element, typmod, depth + 1) {
                    // An array of constants would only show how many there are.
                    CellMask::Null | CellMask::Constant(_) | CellMask::Always(_) => None,
                    mask => Some(Derived::array(element, mask, self.format, redacted.clone())),
                },
                Some(Shape::Composite(fields)) => self.composite(&fields, depth, &redacted),
                Some(Shape::Range | Shape::Multirange | Shape::Opaque) | None => None,
            }
        };
        match derived {
            Some(derived) => CellMask::Derived(derived),
            None => Constant::of(&redacted).map_or(CellMask::Null, CellMask::Constant),
        }
    }

    fn scalar(&self, kind: ScalarKind, typmod: i32, redacted: &[u8]) -> Option<Derived> {
        let redacted = redacted.to_vec();
        match self.method {
            Method::Partial => Derived::partial(kind, typmod, self.format, redacted),
            Method::Token | Method::Hash => {
                Derived::keyed(kind, typmod, self.format, redacted, self.method, Arc::clone(self.keys.as_ref()?))
            }
            Method::Redact | Method::Null => None,
        }
    }

    fn composite(&mut self, fields: &[u32], depth: usize, redacted: &[u8]) -> Option<Derived> {
        if fields.len() > self.parts_left {
            return None;
        }
        let masks: Vec<(u32, CellMask)> =
            fields.iter().map(|field| (*field, self.value(*field, -1, depth + 1))).collect();
        let any = masks.iter().any(|(_, mask)| matches!(mask, CellMask::Derived(_)));
        any.then(|| Derived::composite(masks, self.format, redacted.to_vec()))
    }
}
