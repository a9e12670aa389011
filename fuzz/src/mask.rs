//! Rows, copies and diagnostics on their way through the mask stage, under plans of every type, format and method.

use lockgate_core::Label;
use lockgate_mask::{
    Column, CopyFormat, CopyMasker, Diagnostic, Format, MaskKeys, Method, Outbox, RowMasker, RowStream, Rule, Touch,
    TypeFact, TypeKind, TypeTable,
};
use std::sync::{Arc, OnceLock};

/// Scalars of every shape, arrays, ranges, a multirange, and types of a target: each once as text and as binary.
const TYPES: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 600, 650, 700, 701, 774, 790, 829, 869, 1042, 1043, 1082, 1083, 1114,
    1184, 1186, 1266, 1560, 1700, 2950, 3220, 3614, 3802, 4072, 1000, 1009, 1007, 2951, 3904, 3906, 4451, 705, 2249,
    90_001, 90_002, 90_003, 90_004, 90_005, 90_006, 90_007, 99_999,
];

struct World {
    types: TypeTable,
    keys: MaskKeys,
    label: Label,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut types = TypeTable::new();
        for (oid, kind) in [
            (90_001, TypeKind::Domain { base: 25 }),
            // Domains over each other, an array and a composite of themselves: a catalog that cannot be, and is told.
            (90_002, TypeKind::Domain { base: 90_003 }),
            (90_003, TypeKind::Domain { base: 90_002 }),
            (90_004, TypeKind::Array { element: 90_004 }),
            (90_005, TypeKind::Composite { fields: vec![("a".to_owned(), 25), ("b".to_owned(), 90_005)] }),
            (90_006, TypeKind::Enum { labels: vec!["x".to_owned()] }),
            (90_007, TypeKind::Base { name: "hstore".to_owned() }),
        ] {
            types.insert(TypeFact { oid, kind });
        }
        let label = "pii/test".parse().expect("a label");
        World { types, keys: MaskKeys::new(&[7; 32]), label }
    })
}

/// Up to seven columns from two bytes each; what is left of the input.
fn columns(data: &[u8]) -> Option<(Vec<Column>, &[u8])> {
    let (count, rest) = data.split_first()?;
    let (plan, rest) = rest.split_at_checked(usize::from(count & 7) * 2)?;
    let column = |bytes: &[u8]| {
        let [which, how] = bytes else { unreachable!("pairs") };
        let format = if how & 1 == 0 { Format::Text } else { Format::Binary };
        let rule = match Method::ALL.get(usize::from(how >> 1 & 7)) {
            Some(method) => Rule::Mask { method: *method, label: world().label.clone() },
            None => Rule::Pass,
        };
        let typmod = if how & 0x10 == 0 { -1 } else { i32::from(how >> 5) + 4 };
        Column { type_oid: TYPES[usize::from(*which) % TYPES.len()], typmod, format, rule }
    };
    Some((plan.chunks(2).map(column).collect(), rest))
}

/// The tags of whole messages; panics where they are not.
fn tags(mut bytes: &[u8]) -> Vec<u8> {
    let mut tags = Vec::new();
    while let [tag, a, b, c, d, ..] = *bytes {
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).expect("a length");
        assert!(length >= 4);
        tags.push(tag);
        bytes = bytes.get(1 + length..).expect("a whole message");
    }
    assert!(bytes.is_empty(), "a piece of a message");
    tags
}

/// The body of a DataRow: whole, in pieces, among others and as the result of a function call.
pub fn row(data: &[u8]) {
    let Some((columns, body)) = columns(data) else { return };
    let world = world();
    let masker = Arc::new(RowMasker::new(&columns, &world.types, &world.keys));
    let mut whole = Outbox::new();
    let result = whole.row(&masker, body);
    let whole = whole.take().into_bytes();
    assert_eq!(tags(&whole), if result.is_ok() { &b"D"[..] } else { b"" });

    if let Ok(mut stream) = RowStream::new(Arc::clone(&masker), body.len()) {
        let mut pieces = Outbox::new();
        let fed = body.chunks(3).try_for_each(|piece| pieces.row_piece(&mut stream, piece));
        // A row that passes leaves as it comes; its fields are then its own affair.
        if !masker.passes_everything() {
            assert_eq!(fed.is_ok(), result.is_ok());
        }
        if result.is_ok() {
            assert_eq!(pieces.take().into_bytes(), whole);
        }
    }

    let length = u32::try_from(body.len() + 4).expect("a short input").to_be_bytes();
    let frame = [&b"D"[..], &length, body].concat();
    let mut two = Outbox::new();
    let among = two.rows(&masker, &[&frame[..], &frame].concat());
    if result.is_ok() {
        assert_eq!(among, Ok(()));
        assert_eq!(two.take().into_bytes(), [&whole[..], &whole].concat());
    } else if among.is_err() {
        assert!(two.is_empty());
    }
    let mut any = Outbox::new();
    let _ = any.rows(&masker, body);
    let _ = any.function_result(&masker, body);
    tags(&any.take().into_bytes());
}

/// The data of a COPY: the first byte chooses the format; any cut gives the same.
pub fn copy(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let Some((columns, stream)) = columns(rest) else { return };
    let format = match choice & 7 {
        0 => CopyFormat::text(),
        1 => CopyFormat::Text { delimiter: b'|', null: b"***".to_vec(), header: true },
        2 => CopyFormat::csv(),
        3 => CopyFormat::Csv {
            delimiter: b';',
            quote: b'\'',
            escape: b'\\',
            null: b"***".to_vec(),
            header: true,
            force_quote: vec![false, true],
        },
        // Options as the client would like them, most of which are refused.
        4 => CopyFormat::Text { delimiter: *choice, null: stream.iter().copied().take(3).collect(), header: false },
        5 => CopyFormat::Csv {
            delimiter: *choice,
            quote: *stream.first().unwrap_or(&0),
            escape: *stream.last().unwrap_or(&0),
            null: Vec::new(),
            header: false,
            force_quote: Vec::new(),
        },
        _ => CopyFormat::Binary,
    };
    let whole = copied(&format, &columns, stream.chunks(stream.len().max(1)));
    for piece in [1, 7] {
        let pieces = copied(&format, &columns, stream.chunks(piece));
        assert_eq!(whole.is_some(), pieces.is_some(), "in pieces of {piece}");
        assert_eq!(whole, pieces);
    }
}

fn copied<'a>(format: &CopyFormat, columns: &[Column], pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let world = world();
    let mut masker = CopyMasker::new(format, columns, &world.types, &world.keys).ok()?;
    let mut out = Vec::new();
    for piece in pieces {
        let mut outbox = Outbox::new();
        let result = outbox.copy(&mut masker, piece);
        let bytes = outbox.take().into_bytes();
        assert!(tags(&bytes).iter().all(|tag| *tag == b'd'));
        out.extend(bytes.get(5..).unwrap_or_default());
        result.ok()?;
    }
    masker.finish().ok()?;
    Some(out)
}

/// Errors, notices, notifications and parameters, of which the first byte says what is known.
pub fn diagnostic(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let touch = if choice & 1 == 0 { Touch::Labelled } else { Touch::Clean };
    let mut outbox = Outbox::new();
    let fine = match choice >> 1 & 3 {
        0 => outbox.diagnostic(Diagnostic::Error, body, touch).is_ok(),
        1 => outbox.diagnostic(Diagnostic::Notice, body, touch).is_ok(),
        2 => outbox.notification(body, touch).is_ok(),
        _ => outbox.parameter_status(body, touch).is_ok(),
    };
    let sent = outbox.take().into_bytes();
    assert!(tags(&sent).len() <= usize::from(fine));
    // What a statement that touched labelled data says in words of its own is not passed on.
    let quoted = b"Dcanary-7741";
    if fine && touch == Touch::Labelled && choice >> 1 & 3 < 2 && body.windows(quoted.len()).any(|w| w == quoted) {
        assert!(!sent.windows(quoted.len()).any(|w| w == quoted), "{:?}", sent.escape_ascii().to_string());
    }
}
