//! Rows against a slow model, against mutations, and in pieces.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use lockgate_mask::{Column, Format, MessageKind, Method, Outbox, OwnMessage, RowError, RowStream};
use proptest::prelude::*;
use std::sync::Arc;
use support::{Row, body, contains, fields, frame, mask_row, masked, message, messages, pass, plan};

/// A column and a value that it may hold; masked values carry a canary.
fn cell() -> impl Strategy<Value = (Column, Option<Vec<u8>>)> {
    let method = prop::sample::select(Method::ALL.to_vec());
    let format = prop::sample::select(vec![Format::Text, Format::Binary]);
    let oid = prop::sample::select(vec![23_u32, 25, 1042, 1043, 1082, 1700, 2950, 3802, 1009, 3904, 16, 99_999]);
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    (oid, format, prop::option::weighted(0.4, method), value).prop_map(|(oid, format, method, value)| match method {
        None => (pass(oid, format), value),
        Some(method) => {
            let canary = value.map(|v| [b"CANARY--", v.as_slice(), b"--CANARY"].concat());
            (masked(oid, -1, format, method), canary)
        }
    })
}

proptest! {
    /// Masking a row is masking each of its values alone.
    #[test]
    fn a_row_is_the_sum_of_its_values(cells in prop::collection::vec(cell(), 0..30)) {
        let (columns, row): (Vec<Column>, Row) = cells.into_iter().unzip();
        let shown = mask_row(&plan(&columns), &row).unwrap();
        let model: Row = columns
            .iter()
            .zip(&row)
            .map(|(column, value)| mask_row(&plan(std::slice::from_ref(column)), &vec![value.clone()]).unwrap().remove(0))
            .collect();
        prop_assert_eq!(&shown, &model);
        for ((column, value), shown) in columns.iter().zip(&row).zip(&shown) {
            match column.rule {
                lockgate_mask::Rule::Pass | lockgate_mask::Rule::Counted => prop_assert_eq!(shown, value),
                lockgate_mask::Rule::Mask { .. } => {
                    prop_assert!(value.is_some() || shown.is_none(), "NULL stays NULL");
                    prop_assert!(shown.as_ref().is_none_or(|shown| !contains(shown, b"CANARY-")));
                }
                lockgate_mask::Rule::Hide => {
                    let empty = mask_row(&plan(std::slice::from_ref(column)), &vec![None]).unwrap().remove(0);
                    prop_assert_eq!(shown, &empty, "a value and NULL look the same");
                }
            }
        }
    }

    /// No bytes make the mask panic or leave half a message, and a masked value never comes out of a damaged row.
    #[test]
    fn damaged_rows(
        cells in prop::collection::vec(cell(), 1..8),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (columns, row): (Vec<Column>, Row) = cells.into_iter().unzip();
        let plan = plan(&columns);
        let mut bytes = body(&row);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut outbox = Outbox::new();
        let result = outbox.row(&plan, &bytes);
        let sent = outbox.take();
        if result.is_err() {
            prop_assert!(sent.is_empty());
        } else {
            let sent = messages(&sent);
            prop_assert_eq!(sent.len(), 1);
            prop_assert_eq!(fields(&sent[0].1).len(), columns.len());
        }
    }

    #[test]
    fn arbitrary_bytes(cells in prop::collection::vec(cell(), 0..5), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let (columns, _): (Vec<Column>, Row) = cells.into_iter().unzip();
        let plan = plan(&columns);
        let mut outbox = Outbox::new();
        let fine = [outbox.row(&plan, &bytes).is_ok(), outbox.rows(&plan, &bytes).is_ok()];
        prop_assert_eq!(fine.contains(&true) && !bytes.is_empty(), !outbox.is_empty());
        let _ = outbox.function_result(&plan, &bytes);
        let _ = outbox.protocol(MessageKind::RowDescription, &bytes);
        let _ = messages(&outbox.take());
    }
}

fn wide() -> (Vec<Column>, Row) {
    let columns = vec![
        pass(25, Format::Text),
        masked(25, -1, Format::Text, Method::Redact),
        masked(25, -1, Format::Text, Method::Partial),
        pass(23, Format::Binary),
        pass(23, Format::Binary),
        masked(23, -1, Format::Binary, Method::Null),
    ];
    let value = |text: &str| Some(text.as_bytes().to_vec());
    (
        columns,
        vec![value("a"), value("123-45-6789"), value("ann@example.com"), None, Some(vec![0, 0, 0, 9]), value("5")],
    )
}

#[test]
fn one_row() {
    let (columns, row) = wide();
    let value = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(
        mask_row(&plan(&columns), &row).unwrap(),
        vec![value("a"), value("***"), value("***@example.com"), None, Some(vec![0, 0, 0, 9]), None]
    );
    assert_eq!(mask_row(&plan(&[]), &vec![]).unwrap(), Row::new());
}

#[test]
fn what_is_not_the_plans_row_is_refused_whole() {
    let (columns, row) = wide();
    let good = body(&row);
    let passing: Vec<Column> = columns.iter().map(|c| pass(c.type_oid, c.format)).collect();
    for columns in [columns, passing] {
        let plan = plan(&columns);
        let refused = |bytes: &[u8]| {
            let mut outbox = Outbox::new();
            outbox.own(&OwnMessage::not_target_data(&b"before"[..]));
            let error = outbox.row(&plan, bytes).unwrap_err();
            assert_eq!(&*outbox.take(), b"before");
            error
        };
        for end in 0..good.len() {
            assert_eq!(refused(&good[..end]), RowError::Truncated, "{end}");
        }
        assert_eq!(refused(&[&good[..], b"x"].concat()), RowError::Trailing);
        for count in [0_u16, 5, 7, u16::MAX] {
            let bytes = [&count.to_be_bytes()[..], &good[2..]].concat();
            assert_eq!(refused(&bytes), RowError::FieldCount { expected: 6, got: usize::from(count) });
        }
        for length in [-2, i32::MIN] {
            let bytes = [&good[..2], &i32::to_be_bytes(length)[..], &good[6..]].concat();
            assert_eq!(refused(&bytes), RowError::Length(length));
        }
        let bytes = [&good[..2], &i32::MAX.to_be_bytes()[..], &good[6..]].concat();
        assert_eq!(refused(&bytes), RowError::Truncated);
    }
}

#[test]
fn many_frames_at_once() {
    let (columns, row) = wide();
    let passing = plan(&columns.iter().map(|c| pass(c.type_oid, c.format)).collect::<Vec<_>>());
    let masking = plan(&columns);
    let frames = [frame(&row), frame(&row), frame(&row)].concat();

    let mut outbox = Outbox::new();
    outbox.rows(&passing, &frames).unwrap();
    assert_eq!(&*outbox.take(), frames.as_slice());

    outbox.rows(&masking, &frames).unwrap();
    let together = outbox.take();
    for _ in 0..3 {
        outbox.row(&masking, &body(&row)).unwrap();
    }
    assert!(together == outbox.take());

    let one_field = frame(&vec![None]);
    let length_three = b"D\0\0\0\x03";
    for plan in [&passing, &masking] {
        for (bad, error) in [
            (&frames[..frames.len() - 1], RowError::Truncated),
            (&one_field[..], RowError::FieldCount { expected: 6, got: 1 }),
            (&message(b'E', b"x")[..], RowError::Trailing),
            (&length_three[..], RowError::Length(3)),
        ] {
            assert_eq!(outbox.rows(plan, bad), Err(error));
            assert_eq!(outbox.rows(plan, &[&frame(&row)[..], bad].concat()), Err(error));
            assert!(outbox.is_empty());
        }
    }
}

#[test]
fn rows_in_pieces() {
    let (columns, row) = wide();
    let whole = body(&row);
    let passing: Vec<Column> = columns.iter().map(|c| pass(c.type_oid, c.format)).collect();
    for columns in [columns, passing] {
        let plan = Arc::new(plan(&columns));
        let mut outbox = Outbox::new();
        outbox.row(&plan, &whole).unwrap();
        let expected = outbox.take();
        for size in 1..=whole.len() {
            let mut stream = RowStream::new(plan.clone(), whole.len()).unwrap();
            for piece in whole.chunks(size) {
                outbox.row_piece(&mut stream, piece).unwrap();
            }
            assert_eq!(stream.missing(), 0);
            assert!(outbox.take() == expected);
            assert_eq!(outbox.row_piece(&mut stream, b"x"), Err(RowError::Trailing));
        }
        let mut other = RowStream::new(plan.clone(), whole.len()).unwrap();
        let result = [0, 9].chunks(1).try_for_each(|p| outbox.row_piece(&mut other, p));
        let rest = result.and_then(|()| outbox.row_piece(&mut other, &whole[2..]));
        assert_eq!(rest, Err(RowError::FieldCount { expected: 6, got: 9 }));
        assert!(outbox.is_empty());
        assert!(RowStream::new(plan.clone(), 1).is_err());
        assert!(RowStream::new(plan, 0x3fff_fffe).is_err());
    }
}

#[test]
fn a_long_row_comes_in_pieces() {
    let long = vec![Some(vec![b'x'; 65 * 1024 * 1024])];
    let limit = 64 * 1024 * 1024;
    let masking = plan(&[masked(25, -1, Format::Text, Method::Redact)]);
    let error = RowError::TooLong { bytes: body(&long).len(), limit };
    assert_eq!(mask_row(&masking, &long), Err(error));
    // In pieces it is masked all the same: what is masked is dropped.
    let mut stream = RowStream::new(Arc::new(masking), body(&long).len()).unwrap();
    let mut outbox = Outbox::new();
    for piece in body(&long).chunks(32 * 1024) {
        outbox.row_piece(&mut stream, piece).unwrap();
    }
    assert!(!stream.is_refused());
    assert_eq!(messages(&outbox.take()), vec![(b'D', body(&vec![Some(b"***".to_vec())]))]);
    let passing = Arc::new(plan(&[pass(25, Format::Text)]));
    let mut stream = RowStream::new(passing, body(&long).len()).unwrap();
    let mut outbox = Outbox::new();
    for piece in body(&long).chunks(32 * 1024) {
        outbox.row_piece(&mut stream, piece).unwrap();
        assert!(outbox.len() < 33 * 1024);
        outbox.take();
    }
}

#[test]
fn function_results_are_masked() {
    let value = [&5_i32.to_be_bytes()[..], b"12345"].concat();
    let null = (-1_i32).to_be_bytes();
    let mut outbox = Outbox::new();
    let masking = plan(&[masked(25, -1, Format::Text, Method::Redact)]);
    outbox.function_result(&masking, &value).unwrap();
    outbox.function_result(&masking, &null).unwrap();
    outbox.function_result(&plan(&[pass(25, Format::Text)]), &value).unwrap();
    assert_eq!(
        messages(&outbox.take()),
        vec![(b'V', b"\0\0\0\x03***".to_vec()), (b'V', null.to_vec()), (b'V', value.clone())]
    );
    assert!(outbox.function_result(&plan(&[]), &[]).is_err());
    assert!(outbox.function_result(&masking, &[&value[..], b"x"].concat()).is_err());
    assert!(outbox.is_empty());
}

#[test]
fn a_plan_knows_whether_it_passes_everything() {
    let (columns, _) = wide();
    assert!(!plan(&columns).passes_everything());
    assert!(plan(&columns[..1]).passes_everything());
    assert!(plan(&[]).passes_everything());
}

#[test]
fn a_hidden_column_shows_null_as_it_shows_values() {
    for (oid, format, shown) in [(25, Format::Text, &b"***"[..]), (23, Format::Binary, &[0; 4])] {
        let column = Column { type_oid: oid, typmod: -1, format, rule: lockgate_mask::Rule::Hide };
        for value in [None, Some(b"CANARY".to_vec())] {
            assert_eq!(mask_row(&plan(std::slice::from_ref(&column)), &vec![value]).unwrap(), [Some(shown.to_vec())]);
        }
    }
}
