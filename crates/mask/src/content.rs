//! Content rules: what detectors find in the columns that no label covers, and what becomes of it.
//!
//! The plan belongs to one identity on one target: each detector with the label it stands for and that label's method. It
//! looks at rows after their own masks, so that a result without content rules costs one look at an `Option`, and a row
//! without a hit stays the bytes it was. In texts only what was found is masked; a value of another type is masked whole,
//! so that it still decodes.

use crate::cell::CellMask;
use crate::content_parts::Parts;
use crate::content_pieces::{LONGER_MIN, Pieces, ROW_PIECE_BYTES_MAX, SHORT_BYTES_MAX};
use crate::keys::MaskKeys;
use crate::method::Method;
use crate::row::{Column, Format, Rule};
use crate::types::{ScalarKind, Shape, TypeTable};
use lockgate_core::Label;
use lockgate_core::limits::MASK_TYPE_DEPTH_MAX;
use lockgate_detect::{
    ColumnEvidence, Custom, Detector, Detectors, Hit, Kind, Strength, Weight, eight_digits as eight,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The OID of `text`.
const TEXT_OID: u32 = 25;

/// The longest cell that can be one side of an address, or a piece of something else.
const CUT_BYTES_MAX: usize = 64;

/// A label, what finds its values, and how they are masked.
#[derive(Clone, Debug)]
pub struct ContentRule {
    /// The label.
    pub label: Label,
    /// The built-in detectors.
    pub kinds: Vec<Kind>,
    /// The user-defined detectors.
    pub custom: Vec<Arc<Custom>>,
    /// How.
    pub method: Method,
}

/// The content rules of one identity on one target.
pub struct ContentPlan {
    pub(crate) detectors: Detectors,
    rules: Vec<(Label, Method)>,
    /// The same for pieces of values, where it is another: a part of each would be most of it.
    cut: Option<Vec<(Label, Method)>>,
    /// The rule of each built-in detector, and of each user-defined one.
    kinds: Vec<(Kind, usize)>,
    custom: Vec<usize>,
    /// What each rule makes of a text.
    texts: Vec<CellMask>,
    keys: Arc<MaskKeys>,
}

impl ContentPlan {
    /// A plan by these rules; `None` where nothing is looked for. Where two labels have the same detector, the stronger
    /// method wins.
    pub fn new(rules: &[ContentRule], keys: &Arc<MaskKeys>) -> Option<Self> {
        let mut order: Vec<&ContentRule> = rules.iter().collect();
        order.sort_by_key(|rule| std::cmp::Reverse(rule.method));
        let mut kinds: Vec<(Kind, usize)> = Vec::new();
        let mut custom: Vec<(Arc<Custom>, usize)> = Vec::new();
        for (index, rule) in order.iter().enumerate() {
            for kind in &rule.kinds {
                if !kinds.iter().any(|(known, _)| known == kind) {
                    kinds.push((*kind, index));
                }
            }
            for one in &rule.custom {
                if !custom.iter().any(|(known, _)| Arc::ptr_eq(known, one)) {
                    custom.push((Arc::clone(one), index));
                }
            }
        }
        let (found, by_custom): (Vec<_>, Vec<_>) = custom.into_iter().unzip();
        let detectors = Detectors::new(kinds.iter().map(|(kind, _)| *kind), found);
        if detectors.is_empty() {
            return None;
        }
        let rules: Vec<(Label, Method)> = order.iter().map(|rule| (rule.label.clone(), rule.method)).collect();
        let text = Column { type_oid: TEXT_OID, typmod: -1, format: Format::Text, rule: Rule::Pass };
        let texts = masks(&rules, &text, &TypeTable::new(), keys);
        let whole = |method: Method| if method == Method::Partial { Method::Redact } else { method };
        let cut = rules.iter().any(|(_, method)| *method == Method::Partial);
        let cut = cut.then(|| rules.iter().map(|(label, method)| (label.clone(), whole(*method))).collect());
        Some(ContentPlan { detectors, rules, cut, kinds, custom: by_custom, texts, keys: Arc::clone(keys) })
    }

    /// What is to be looked for in the columns of a result, which carry these names.
    pub(crate) fn looks(&self, columns: &[Column], names: &[&[u8]], types: &TypeTable) -> Looks {
        let name = |index: usize| lockgate_detect::Column::named(names.get(index).copied().unwrap_or_default());
        let looks = columns.iter().enumerate().map(|(index, column)| {
            if !matches!(column.rule, Rule::Pass) {
                return None;
            }
            let way = way(column, types)?;
            let before = index.checked_sub(1).map(name).unwrap_or_default();
            let column_name = name(index);
            Some(Look {
                domain: before.name_has("mail") && column_name.name_has("mail")
                    || before.name_has("local") && column_name.name_has("domain"),
                column: column_name,
                way,
                declared: column.typmod >= 0,
                padded: scalar(types, column.type_oid) == Some(ScalarKind::BpChar),
                masks: masks(&self.rules, column, types, &self.keys),
                cut: self.cut.as_ref().map(|rules| masks(rules, column, types, &self.keys)),
            })
        });
        let columns: Vec<Option<Look>> = looks.collect();
        let free = columns.iter().flatten().any(|look| look.way == Way::Text);
        Looks { columns, free }
    }

    pub(crate) fn rule(&self, detector: Detector) -> usize {
        match detector {
            Detector::Kind(kind) => self.kinds.iter().find(|(k, _)| *k == kind).map_or(0, |(_, rule)| *rule),
            Detector::Custom(index) => self.custom.get(index).copied().unwrap_or(0),
        }
    }

    /// A text without what is found in it; `None` where nothing is.
    pub(crate) fn text(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut hits = Vec::new();
        self.detectors.scan(text, &lockgate_detect::Column::default(), &mut hits);
        hits.retain(|hit| hit.strength >= Strength::Fair);
        if hits.is_empty() { None } else { Some(self.replaced(text, &hits, false)) }
    }

    fn replaced(&self, text: &[u8], hits: &[Hit], json: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        for hit in hits {
            out.extend_from_slice(text.get(copied..hit.start).unwrap_or_default());
            let value = text.get(hit.start..hit.end).unwrap_or_default();
            if json && !is_quoted(text, hit.start) {
                // A number, or part of one: another number stands for it.
                let start = out.len() - out.iter().rev().take_while(|b| matches!(b, b'-' | b'0'..=b'9' | b'.')).count();
                out.truncate(start);
                out.push(b'0');
                let rest = text.get(hit.end..).unwrap_or_default();
                copied = hit.end + rest.iter().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E')).count();
                continue;
            }
            match self.texts.get(self.rule(hit.detector)).and_then(|mask| mask.show(value)) {
                Some(shown) => out.extend_from_slice(&shown),
                None => out.extend_from_slice(b"***"),
            }
            copied = hit.end;
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        out
    }
}

/// Whether the byte at `place` of a JSON text is inside a string.
fn is_quoted(text: &[u8], place: usize) -> bool {
    let mut inside = false;
    let mut escaped = false;
    for byte in text.iter().take(place) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ => {}
        }
    }
    inside
}

fn masks(rules: &[(Label, Method)], column: &Column, types: &TypeTable, keys: &MaskKeys) -> Vec<CellMask> {
    rules
        .iter()
        .map(|(label, method)| {
            let rule = Rule::Mask { method: *method, label: label.clone() };
            CellMask::plan(&Column { rule, ..column.clone() }, types, keys).unwrap_or(CellMask::Null)
        })
        .collect()
}

/// How a value is read, and what is masked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it is; what is found is masked within it.
    Text,
    /// As JSON after so many bytes.
    Json(usize),
    /// As it is; the value is masked whole.
    Whole,
    /// Hexadecimal after `\x`.
    Hex,
    /// A binary integer of two, four or eight bytes.
    Integer,
    /// A binary `float8`.
    Float,
    /// A binary `money`.
    Money,
    /// A binary `numeric`.
    Numeric,
    /// A binary network address.
    Address,
    /// A binary value of parts.
    Parts(Parts),
}

/// The kind of a type without parts, seen through domains.
fn scalar(types: &TypeTable, oid: u32) -> Option<ScalarKind> {
    let mut oid = oid;
    for _ in 0..=MASK_TYPE_DEPTH_MAX {
        match types.shape(oid)? {
            Shape::Scalar(kind) => return Some(kind),
            Shape::Domain(base) => oid = base,
            _ => return None,
        }
    }
    None
}

/// The parts of a type that has some, seen through domains.
fn parts(types: &TypeTable, oid: u32) -> Option<Parts> {
    let mut oid = oid;
    for _ in 0..=MASK_TYPE_DEPTH_MAX {
        match types.shape(oid)? {
            Shape::Domain(base) => oid = base,
            Shape::Array(_) => return Some(Parts::Array),
            Shape::Composite(_) => return Some(Parts::Row),
            Shape::Range => return Some(Parts::of_range(oid, false)),
            Shape::Multirange => return Some(Parts::of_range(oid, true)),
            Shape::Scalar(_) | Shape::Opaque => return None,
        }
    }
    None
}

/// How values of a type are read; `None` for those that hold nothing that detectors know.
fn way(column: &Column, types: &TypeTable) -> Option<Way> {
    use ScalarKind as K;
    let binary = column.format == Format::Binary;
    let Some(kind) = scalar(types, column.type_oid) else {
        // What the target did not describe is read as text.
        let unknown = column.type_oid == 0 && types.shape(0).is_none();
        return Some(match parts(types, column.type_oid).filter(|_| binary) {
            _ if unknown => Way::Text,
            Some(parts) => Way::Parts(parts),
            None => Way::Whole,
        });
    };
    Some(match kind {
        K::Text | K::VarChar | K::BpChar => Way::Text,
        K::Name | K::Xml => Way::Text,
        K::Json => Way::Json(0),
        K::Jsonb => Way::Json(usize::from(binary)),
        K::Int2 | K::Int4 | K::Int8 | K::Oid | K::Xid8 if binary => Way::Integer,
        K::Numeric if binary => Way::Numeric,
        K::Inet | K::Cidr if binary => Way::Address,
        K::Bytea if !binary => Way::Hex,
        K::Record if binary => Way::Parts(Parts::Row),
        K::Bool
        | K::Char
        | K::Date
        | K::Time
        | K::TimeTz
        | K::Timestamp
        | K::TimestampTz
        | K::Interval
        | K::Bit
        | K::VarBit
        | K::Uuid
        | K::MacAddr
        | K::MacAddr8
        | K::Point
        | K::Lseg
        | K::Path
        | K::Box
        | K::Polygon
        | K::Line
        | K::Circle
        | K::PgLsn
        | K::Snapshot
        | K::Tid
        | K::Xid
        | K::Void => return None,
        K::Float8 if binary => Way::Float,
        K::Money if binary => Way::Money,
        K::Float4 if binary => return None,
        _ => Way::Whole,
    })
}

/// What is looked for in the columns of one result.
pub(crate) struct Looks {
    columns: Vec<Option<Look>>,
    /// Some are texts, which may be cut anywhere.
    free: bool,
}

struct Look {
    column: lockgate_detect::Column,
    way: Way,
    /// The type states a length, which a masked text must not exceed.
    declared: bool,
    /// The type pads to its length.
    padded: bool,
    /// Its name and that of the column before speak of the two sides of an address.
    domain: bool,
    /// What each rule makes of a whole value, and of a piece of one where that is something else.
    masks: Vec<CellMask>,
    cut: Option<Vec<CellMask>>,
}

impl Looks {
    /// Whether a row has enough columns for a value to be cut over them.
    pub(crate) fn may_split(&self) -> bool {
        self.columns.len() > 1
    }

    /// What the column at `index` is called.
    pub(crate) fn name(&self, index: usize) -> Option<&lockgate_detect::Column> {
        self.columns.get(index)?.as_ref().map(|look| &look.column)
    }

    /// Whether some of the columns are texts, which may be cut anywhere.
    pub(crate) fn is_free(&self) -> bool {
        self.free
    }

    /// Whether a column is looked into at all.
    pub(crate) fn any(&self) -> bool {
        self.columns.iter().any(Option::is_some)
    }

    /// How many columns there are.
    pub(crate) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// For columns of which nothing is known.
    pub(crate) fn unknown(plan: &ContentPlan, count: usize) -> Self {
        let column = Column { type_oid: 0, typmod: -1, format: Format::Text, rule: Rule::Pass };
        plan.looks(&vec![column; count], &[], &TypeTable::new())
    }
}

/// The cells of one result so far, in short.
#[derive(Default)]
pub(crate) struct Evidence {
    columns: Vec<ColumnEvidence>,
    hits: Vec<Hit>,
    /// The text of a value that is written in another way.
    text: Vec<u8>,
    /// The last binary integer of each column: a row is looked at twice.
    numbers: Vec<Decimal>,
    /// Cells that may be one value cut in pieces.
    pieces: Pieces,
}

/// What stands for a value: another one, or NULL.
pub(crate) enum Shown {
    /// The value passes.
    Same,
    /// It becomes this.
    Value(Vec<u8>),
    /// It becomes NULL.
    Null,
}

impl Evidence {
    /// Looks at the cells of a row that is whole, before any is changed, for values that are cut over them.
    pub(crate) fn look_ahead<'a>(
        &mut self,
        plan: &ContentPlan,
        looks: &Looks,
        cells: impl Iterator<Item = Option<&'a [u8]>>,
    ) {
        self.pieces.row();
        if !looks.may_split() {
            return;
        }
        // The text right before, from which cell on, and whether an `@` alone stood behind it.
        let mut before: Option<(usize, &[u8], bool)> = None;
        for (index, (look, cell)) in looks.columns.iter().zip(cells).enumerate() {
            let short = look.as_ref().zip(cell.filter(|cell| cell.len() <= CUT_BYTES_MAX));
            let free = short.filter(|(look, _)| look.way == Way::Text);
            before = match (before, free) {
                (Some((from, name, false)), Some((_, b"@"))) => Some((from, name, true)),
                (Some((from, name, joined)), Some((look, domain))) => {
                    let sign = joined || name.ends_with(b"@") || domain.starts_with(b"@");
                    if sign || look.domain {
                        self.pieces.mail(plan, (from, index), [name, domain], !sign);
                    }
                    Some((index, domain, false))
                }
                (_, free) => free.map(|(_, name)| (index, name, false)),
            };
            match short {
                Some((look, value)) if look.way == Way::Text => {
                    self.pieces.cell(plan, looks, index, Some((true, value)))
                }
                // An integer that is no piece need not be written.
                Some((look, value))
                    if look.way == Way::Integer
                        && integer(value).is_none_or(|number| self.pieces.is_none(looks, index, number)) =>
                {
                    self.pieces.cell(plan, looks, index, None);
                }
                // No way of writing a piece takes more.
                Some((look, value)) if value.len() <= 20 => {
                    let text = read(look.way, index, value, &mut self.numbers, &mut self.text);
                    self.pieces.cell(plan, looks, index, text.map(|text| (false, text)));
                }
                _ => self.pieces.cell(plan, looks, index, None),
            }
        }
        self.pieces.row_ends(plan, looks);
    }

    /// What the client sees of a value of the column at `index`.
    pub(crate) fn cell(&mut self, plan: &ContentPlan, looks: &Looks, index: usize, value: &[u8]) -> Shown {
        let Some(Some(look)) = looks.columns.get(index) else { return Shown::Same };
        if self.columns.len() <= index {
            self.columns.resize_with(index + 1, ColumnEvidence::default);
        }
        let Some(evidence) = self.columns.get_mut(index) else { return Shown::Same };
        // A long integer need not be written.
        if look.way == Way::Integer
            && looks.columns() > 1
            && self.pieces.rule(index).is_none()
            && let Some(number) = integer(value).filter(|number| *number < 0 || *number >= LONGER_MIN)
            && let Some(weight) = evidence.weigh_integer(&plan.detectors, number, &look.column, &mut self.hits)
        {
            return self.weighed(plan, look, weight, value);
        }
        let Some(text) = read(look.way, index, value, &mut self.numbers, &mut self.text) else {
            return Shown::Same;
        };
        if let Some(rule) = self.pieces.rule(index) {
            return cut(look, rule, value);
        }
        if looks.columns() == 1 {
            let piece = Some(text).filter(|text| text.len() <= ROW_PIECE_BYTES_MAX);
            match piece {
                Some(piece) => {
                    if let Some(rule) = self.pieces.add(plan, look.way == Way::Text, piece) {
                        return cut(look, rule, value);
                    }
                }
                None => self.pieces.break_rows(),
            }
        }
        if text.len() <= SHORT_BYTES_MAX {
            return Shown::Same;
        }
        let weight = evidence.weigh(&plan.detectors, text, &look.column, &mut self.hits);
        self.weighed(plan, look, weight, value)
    }

    /// What stands for a value that was weighed.
    #[inline]
    fn weighed(&self, plan: &ContentPlan, look: &Look, weight: Weight, value: &[u8]) -> Shown {
        if weight == Weight::Cells && self.hits.is_empty() {
            return Shown::Same;
        }
        self.found(plan, look, weight, value)
    }

    /// The same where something was found.
    #[inline(never)]
    fn found(&self, plan: &ContentPlan, look: &Look, weight: Weight, value: &[u8]) -> Shown {
        match weight {
            Weight::Whole(detector) => whole(look, plan.rule(detector), value),
            Weight::Cells => {
                let strongest = self.hits.iter().map(|hit| plan.rule(hit.detector)).min().unwrap_or(0);
                let null = matches!(plan.rules.get(strongest), Some((_, Method::Null)));
                match look.way {
                    _ if null => Shown::Null,
                    Way::Text if std::str::from_utf8(value).is_ok() => {
                        let mut shown = plan.replaced(value, &self.hits, false);
                        if look.declared && shown.len() > value.len() {
                            return whole(look, strongest, value);
                        }
                        if look.padded {
                            shown.resize(shown.len().max(value.len()), b' ');
                        }
                        Shown::Value(shown)
                    }
                    Way::Json(skip) => {
                        let (head, body) = value.split_at_checked(skip).unwrap_or((&[], value));
                        let shown = plan.replaced(body, &self.hits, true);
                        Shown::Value([head, shown.as_slice()].concat())
                    }
                    _ => whole(look, strongest, value),
                }
            }
        }
    }
}

fn whole(look: &Look, rule: usize, value: &[u8]) -> Shown {
    shown(&look.masks, rule, value)
}

/// What stands for a piece of a value.
fn cut(look: &Look, rule: usize, value: &[u8]) -> Shown {
    shown(look.cut.as_ref().unwrap_or(&look.masks), rule, value)
}

fn shown(masks: &[CellMask], rule: usize, value: &[u8]) -> Shown {
    match masks.get(rule).and_then(|mask| mask.show(value)) {
        Some(shown) => Shown::Value(shown.into_owned()),
        None => Shown::Null,
    }
}

/// The text in a value, for detectors: in the value itself, or written to `out`.
#[inline]
pub(crate) fn readable<'a>(way: Way, value: &'a [u8], out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    match way {
        Way::Text | Way::Whole => Some(value),
        _ => written(way, value, out),
    }
}

/// The same for a value of the column at `index`, whose last integer need not be written again.
#[inline]
fn read<'a>(
    way: Way,
    index: usize,
    value: &'a [u8],
    numbers: &'a mut Vec<Decimal>,
    out: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    if way != Way::Integer {
        return readable(way, value, out);
    }
    let number = integer(value)?;
    if numbers.len() <= index {
        numbers.resize(index + 1, Decimal::ZERO);
    }
    let last = numbers.get_mut(index)?;
    if last.number != number {
        last.write(number);
    }
    Some(last.text())
}

/// The text in a value that is not one itself.
fn written<'a>(way: Way, value: &'a [u8], out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    match way {
        Way::Text | Way::Whole => return Some(value),
        Way::Json(skip) => return value.get(skip..),
        Way::Parts(parts) => *out = parts.read(value),
        Way::Hex => {
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            let bytes = value.strip_prefix(b"\\x").and_then(|digits| digits.chunks_exact(2).map(byte).collect());
            // `bytea_output = escape` leaves what can be read as it is.
            let Some(bytes) = bytes else { return Some(value) };
            *out = bytes;
        }
        Way::Float => {
            let number = f64::from_be_bytes(value.try_into().ok()?);
            // Beyond that, or with a fraction, it is no number of anything.
            if number.fract() != 0.0 || number.abs() >= 1e18 {
                return None;
            }
            *out = number.to_string().into_bytes();
        }
        // With two decimals, as most currencies have.
        Way::Money => {
            let number = i64::from_be_bytes(value.try_into().ok()?);
            *out = format!("{}.{:02}", number / 100, (number % 100).abs()).into_bytes();
        }
        Way::Integer => *out = Decimal::of(integer(value)?).text().to_vec(),
        Way::Numeric => *out = numeric(value)?,
        Way::Address => {
            // Family, bits, is_cidr, length, address.
            let (_, address) = value.split_first_chunk::<4>()?;
            let text = match <[u8; 4]>::try_from(address) {
                Ok(four) => Ipv4Addr::from(four).to_string(),
                Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).to_string(),
            };
            *out = text.into_bytes();
        }
    }
    Some(out)
}

/// A number in decimal. The digits stand at the end, in three parts of eight, with room for a sign before them.
#[derive(Clone, Copy)]
struct Decimal {
    number: i64,
    text: [u8; 24],
    start: usize,
}

impl Decimal {
    const ZERO: Decimal = Decimal { number: 0, text: [b'0'; 24], start: 23 };

    #[inline]
    fn of(number: i64) -> Self {
        let mut decimal = Decimal::ZERO;
        decimal.write(number);
        decimal
    }

    /// Where it stands, because copying it costs as much.
    #[inline]
    fn write(&mut self, number: i64) {
        const EIGHT: u64 = 100_000_000;
        let whole = number.unsigned_abs();
        let (high, third) = (whole / EIGHT, eight(whole % EIGHT));
        let (first, second) = match high {
            0 => (0, 0),
            1..EIGHT => (0, eight(high)),
            _ => (eight(high / EIGHT), eight(high % EIGHT)),
        };
        let zeros = |part: u64| part.trailing_zeros() / 8;
        let blank = match (first, second) {
            (0, 0) => 16 + zeros(third).min(7),
            (0, _) => 8 + zeros(second),
            _ => zeros(first),
        };
        for (to, from) in self.text.as_chunks_mut::<8>().0.iter_mut().zip([first, second, third]) {
            *to = (from | 0x3030_3030_3030_3030).to_le_bytes();
        }
        let mut start = usize::try_from(blank).unwrap_or(0);
        if number < 0
            && let Some(sign) = start.checked_sub(1)
            && let Some(place) = self.text.get_mut(sign)
        {
            *place = b'-';
            start = sign;
        }
        (self.number, self.start) = (number, start);
    }

    #[inline]
    fn text(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }
}

/// The number in the bytes of a binary integer.
#[inline]
fn integer(value: &[u8]) -> Option<i64> {
    match *value {
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        _ => None,
    }
}

/// The digits of a `numeric`: groups of four with a weight (`numeric_send`), as many of them behind the point as its scale has.
fn numeric(value: &[u8]) -> Option<Vec<u8>> {
    let mut words = value.chunks_exact(2).map(|pair| match *pair {
        [a, b] => i16::from_be_bytes([a, b]),
        _ => 0,
    });
    let (count, weight, _sign, scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if !(0..=8).contains(&weight) || count < 1 {
        return None;
    }
    let mut text = String::new();
    for index in 0..=weight {
        let group = words.next().unwrap_or(0);
        text.push_str(&if index == 0 { group.to_string() } else { format!("{group:04}") });
    }
    let scale = usize::try_from(scale).ok()?.min(FRACTION_MAX);
    if scale > 0 {
        let fraction: String =
            words.chain(std::iter::repeat(0)).take(scale.div_ceil(4)).map(|group| format!("{group:04}")).collect();
        text.push('.');
        text.extend(fraction.chars().take(scale));
    }
    Some(text.into_bytes())
}

/// The digits behind the point that are read.
const FRACTION_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        let powers = (0..63).flat_map(|bit| [(1_i64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let tens = (0..19).flat_map(|power| [10_i64.pow(power) - 1, 10_i64.pow(power), 10_i64.pow(power) + 1]);
        let mut last = Decimal::of(i64::MIN);
        for number in powers.chain(tens).flat_map(|n| [n, -n]).chain([i64::MIN, i64::MAX]) {
            last.write(number);
            assert_eq!(last.text(), number.to_string().as_bytes());
        }
    }
}
