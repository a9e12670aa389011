//! COPY in its three formats: known outputs, any cut of the stream, a slow model, and streams that are not what was planned.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use lockgate_mask::{Column, CopyError, CopyFormat, CopyMasker, Format, Method, Outbox, TypeTable};
use proptest::prelude::*;
use support::{Row, contains, keys, masked, messages, pass, plan};

/// What a client gets of a copy that comes in these pieces.
fn copy(format: &CopyFormat, columns: &[Column], pieces: &[&[u8]]) -> Result<Vec<u8>, CopyError> {
    let mut masker = CopyMasker::new(format, columns, &TypeTable::new(), &keys())?;
    let mut outbox = Outbox::new();
    for piece in pieces {
        outbox.copy(&mut masker, piece)?;
    }
    masker.finish()?;
    let mut data = Vec::new();
    for (tag, body) in messages(&outbox.take()) {
        assert_eq!(tag, b'd');
        assert!(!body.is_empty());
        data.extend(body);
    }
    Ok(data)
}

/// The output for the whole stream, once it is known to be the same for every cut in two and for single bytes.
fn any_cut(format: &CopyFormat, columns: &[Column], stream: &[u8]) -> Vec<u8> {
    let whole = copy(format, columns, &[stream]).unwrap();
    for at in 0..=stream.len() {
        let (a, b) = stream.split_at(at);
        assert_eq!(copy(format, columns, &[a, b]).unwrap(), whole, "cut at {at}");
    }
    assert_eq!(copy(format, columns, &stream.chunks(1).collect::<Vec<_>>()).unwrap(), whole);
    whole
}

fn text(method: Method) -> Column {
    masked(25, -1, Format::Text, method)
}

fn through() -> Column {
    pass(25, Format::Text)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn known_copies_in_text_and_csv() {
    use Method::{Null, Partial, Redact};
    let odd_text = CopyFormat::Text { delimiter: b'|', null: b"***".to_vec(), header: true };
    let odd_csv = CopyFormat::Csv {
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: b"***".to_vec(),
        header: true,
        force_quote: vec![false, true],
    };
    let money = masked(790, -1, Format::Binary, Redact);
    let composite_like = masked(600, -1, Format::Text, Redact);
    let cases: Vec<(CopyFormat, Vec<Column>, &str, &str)> = vec![
        (
            CopyFormat::text(),
            vec![through(), text(Redact), through()],
            "1\t123-45-6789\tx\n2\t\\N\ty\n",
            "1\t***\tx\n2\t\\N\ty\n",
        ),
        (CopyFormat::text(), vec![text(Redact), text(Redact)], "a\\tb\\\\\t\n\\N\t\\N\n", "***\t***\n\\N\t\\N\n"),
        (CopyFormat::text(), vec![text(Null), through()], "a\tb\\tc\n", "\\N\tb\\tc\n"),
        // What only looks like NULL is a value, and the other way around.
        (CopyFormat::text(), vec![text(Redact)], "\\\\N\n\\NN\n\\n\n\n\\N\n", "***\n***\n***\n***\n\\N\n"),
        (CopyFormat::text(), vec![text(Partial)], "1234\\t56\\\\7\\x41\\102\n", "***\\\\7AB\n"),
        (CopyFormat::text(), vec![text(Partial), through()], "ann@example.com\tz\n", "***@example.com\tz\n"),
        (CopyFormat::text(), vec![money, through()], "$1,234.50\tz\n", "$0.00\tz\n"),
        (CopyFormat::text(), vec![through()], "", ""),
        (CopyFormat::text(), vec![], "\n\n", "\n\n"),
        // A masked value that reads like the NULL string is escaped; so is a delimiter in it.
        (odd_text.clone(), vec![text(Redact), through()], "a|b\n1|2\n***|***\n", "a|b\n\\052**|2\n***|***\n"),
        (
            CopyFormat::Text { delimiter: b',', null: b"0".to_vec(), header: false },
            vec![masked(23, -1, Format::Text, Redact), through()],
            "7,0\n0,7\n",
            "\\060,0\n0,7\n",
        ),
        (odd_text, vec![text(Partial)], "name\n12345\\|678\n", "name\n***\\|678\n"),
        (
            CopyFormat::csv(),
            vec![through(), text(Redact)],
            "1,\"a,\"\"b\n\"\n\"x\ny\",\n3,\"\"\n",
            "1,***\n\"x\ny\",\n3,***\n",
        ),
        (CopyFormat::csv(), vec![composite_like, through()], "\"(1,2)\",z\n", "\"(0,0)\",z\n"),
        (CopyFormat::csv(), vec![text(Null), through()], "secret,z\n", ",z\n"),
        (
            CopyFormat::csv(),
            vec![text(Partial)],
            "\"123456,\"\"67\"\n\"1234567\n8\"\n",
            "\"***,\"\"67\"\n\"***67\n8\"\n",
        ),
        // Quotes in the middle of a field, and fields that are closed and opened again.
        (CopyFormat::csv(), vec![text(Redact), through()], "a\"b,c\"d\"e\",f\"g,h\"i\n", "***,f\"g,h\"i\n"),
        (
            odd_csv.clone(),
            vec![text(Redact), text(Redact)],
            "'a\nb';c\n'x\\';y\\\\';***\n1;'\\a'\n",
            "'a\nb';c\n'***';***\n'***';'***'\n",
        ),
        (odd_csv, vec![through(), text(Partial)], "a;b\nz;'12345\\'5\\\\67'\n", "a;b\nz;'***5\\\\67'\n"),
    ];
    for (format, columns, stream, expected) in cases {
        let out = any_cut(&format, &columns, stream.as_bytes());
        assert_eq!(shown(&out), expected, "{stream}");
    }
}

#[test]
fn hidden_names_in_a_header() {
    let header = |header| match CopyFormat::csv() {
        CopyFormat::Csv { delimiter, quote, escape, null, force_quote, .. } => {
            CopyFormat::Csv { delimiter, quote, escape, null, header, force_quote }
        }
        other => other,
    };
    let columns = [through(), text(Method::Partial), text(Method::Redact)];
    let stream = "id,\"1234,56789\",ssn\n1,123456789,x\n";
    for (format, expected) in
        [(header(true), "id,column2,column3\n1,***6789,***\n"), (header(false), "id,***6789,***\n1,***6789,***\n")]
    {
        for at in 0..=stream.len() {
            let mut masker = CopyMasker::new(&format, &columns, &TypeTable::new(), &keys()).unwrap();
            masker.hide_names(&[false, true, true]);
            let mut outbox = Outbox::new();
            let (a, b) = stream.as_bytes().split_at(at);
            outbox.copy(&mut masker, a).unwrap();
            outbox.copy(&mut masker, b).unwrap();
            masker.finish().unwrap();
            let data: Vec<u8> = messages(&outbox.take()).into_iter().flat_map(|(_, body)| body).collect();
            assert_eq!(shown(&data), expected, "cut at {at}");
        }
    }
}

fn binary_row(row: &Row) -> Vec<u8> {
    support::body(row)
}

fn binary_stream(rows: &[Row], extension: &[u8]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0".to_vec();
    out.extend(u32::try_from(extension.len()).unwrap().to_be_bytes());
    out.extend(extension);
    for row in rows {
        out.extend(binary_row(row));
    }
    out.extend([0xff, 0xff]);
    out
}

#[test]
fn binary_copies() {
    let value = |text: &str| Some(text.as_bytes().to_vec());
    let columns = [
        through(),
        text(Method::Redact),
        text(Method::Partial),
        text(Method::Null),
        masked(1082, -1, Format::Text, Method::Redact),
    ];
    let rows: [Row; 2] = [
        vec![value("a"), value("123-45-6789"), value("ann@example.com"), value("x"), Some(vec![9, 9, 9, 9])],
        vec![value(""), None, value(""), None, None],
    ];
    let expected: [Row; 2] = [
        vec![value("a"), value("***"), value("***@example.com"), None, Some(vec![0; 4])],
        vec![value(""), None, value("***"), None, None],
    ];
    assert_eq!(any_cut(&CopyFormat::Binary, &columns, &binary_stream(&rows, b"")), binary_stream(&expected, b""));
    // An extension area is not passed on.
    assert_eq!(any_cut(&CopyFormat::Binary, &columns, &binary_stream(&rows, b"secret")), binary_stream(&expected, b""));
    assert_eq!(
        any_cut(&CopyFormat::Binary, &[], &binary_stream(&[vec![], vec![]], b"")),
        binary_stream(&[vec![], vec![]], b"")
    );
}

#[test]
fn streams_that_were_not_planned_are_refused() {
    let two = [through(), text(Method::Redact)];
    let none = [through(), through()];
    for columns in [two, none] {
        let refused = |format: &CopyFormat, stream: &[u8], expected: CopyError| {
            for pieces in [vec![stream], stream.chunks(1).collect()] {
                assert_eq!(copy(format, &columns, &pieces), Err(expected), "{}", shown(stream));
            }
        };
        let fields = |got| CopyError::FieldCount { expected: 2, got };
        refused(&CopyFormat::text(), b"a\n", fields(1));
        refused(&CopyFormat::text(), b"\n", fields(1));
        refused(&CopyFormat::text(), b"a\tb\tc\n", fields(3));
        refused(&CopyFormat::text(), b"a\tb", CopyError::Truncated);
        refused(&CopyFormat::text(), b"a\tb\nc\\\n", CopyError::Truncated);
        refused(&CopyFormat::csv(), b"a,b,c\n", fields(3));
        refused(&CopyFormat::csv(), b"\"a,b\"\n", fields(1));
        refused(&CopyFormat::csv(), b"a,\"b\n", CopyError::Truncated);

        let good = binary_stream(&[vec![None, Some(b"v".to_vec())]], b"");
        for end in 0..good.len() {
            assert_eq!(copy(&CopyFormat::Binary, &columns, &[&good[..end]]), Err(CopyError::Truncated), "{end}");
        }
        let with = |from: usize, bytes: &[u8]| [&good[..from], bytes, &good[from + bytes.len()..]].concat();
        refused(&CopyFormat::Binary, &[&good[..], b"x"].concat(), CopyError::Trailing);
        refused(&CopyFormat::Binary, &with(0, b"p"), CopyError::Header);
        refused(&CopyFormat::Binary, &with(11, &[0, 1, 0, 0]), CopyError::Header);
        refused(&CopyFormat::Binary, &with(15, &[0xff; 4]), CopyError::Header);
        refused(&CopyFormat::Binary, &with(19, &[0, 3]), fields(3));
        refused(&CopyFormat::Binary, &with(19, &[0xff, 0xfe]), fields(2));
        refused(&CopyFormat::Binary, &with(21, &[0xff, 0xff, 0xff, 0xfe]), CopyError::Length(-2));
    }
    assert_eq!(copy(&CopyFormat::text(), &[], &[b"a\n"]), Err(CopyError::FieldCount { expected: 0, got: 1 }));
}

#[test]
fn a_refused_copy_stays_refused() {
    let columns = [through(), text(Method::Redact)];
    for (format, bad) in
        [(CopyFormat::text(), &b"a\tb\tc"[..]), (CopyFormat::csv(), b"a\n"), (CopyFormat::Binary, b"x")]
    {
        let mut masker = CopyMasker::new(&format, &columns, &TypeTable::new(), &keys()).unwrap();
        let mut outbox = Outbox::new();
        let pieces = [bad, &[0; 19], b"secret\tsecret\n", b"secret,secret\n", b""];
        let results: Vec<_> = pieces.iter().filter_map(|piece| outbox.copy(&mut masker, piece).err()).collect();
        assert!(results.len() >= 4 && results.iter().all(|error| *error == results[0]), "{results:?}");
        assert_eq!(masker.finish(), Err(results[0]));
        assert!(outbox.is_empty());
    }
}

#[test]
fn options_that_cannot_be_scanned_are_refused() {
    let text_format = |delimiter: u8, null: &[u8]| CopyFormat::Text { delimiter, null: null.to_vec(), header: false };
    let csv = |delimiter, quote, escape, null: &[u8]| CopyFormat::Csv {
        delimiter,
        quote,
        escape,
        null: null.to_vec(),
        header: false,
        force_quote: vec![],
    };
    for bad in [
        text_format(b'\\', b""),
        text_format(b'n', b""),
        text_format(b'\n', b""),
        text_format(b'.', b""),
        text_format(b'|', b"a|"),
        text_format(b'|', b"a\n"),
        text_format(0xe4, b""),
        csv(b'"', b'"', b'"', b""),
        csv(b',', b'\n', b'"', b""),
        csv(b',', b'"', b'\r', b""),
        csv(b',', b'"', b'"', b"\""),
        csv(b',', b'"', b'"', b","),
    ] {
        assert!(matches!(copy(&bad, &[through()], &[]), Err(CopyError::Options(_))), "{bad:?}");
    }
}

#[test]
fn memory_does_not_grow_with_a_value_that_is_not_looked_at() {
    let mut masker = CopyMasker::new(&CopyFormat::text(), &[text(Method::Redact)], &TypeTable::new(), &keys()).unwrap();
    let mut outbox = Outbox::new();
    for _ in 0..3_000 {
        outbox.copy(&mut masker, &[b'x'; 32 * 1024]).unwrap();
        assert!(outbox.is_empty());
    }
    outbox.copy(&mut masker, b"\n").unwrap();
    assert_eq!(messages(&outbox.take()), vec![(b'd', b"***\n".to_vec())]);

    let mut masker = CopyMasker::new(&CopyFormat::text(), &[text(Method::Token)], &TypeTable::new(), &keys()).unwrap();
    let error = (0..3_000).find_map(|_| outbox.copy(&mut masker, &[b'x'; 32 * 1024]).err());
    assert!(matches!(error, Some(CopyError::TooLong { .. })));
}

/// Writes rows as the server does (`CopyAttributeOutText`, `CopyAttributeOutCSV`).
fn write(format: &CopyFormat, rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        for (at, value) in row.iter().enumerate() {
            match format {
                CopyFormat::Text { delimiter, null, .. } => {
                    if at > 0 {
                        out.push(*delimiter);
                    }
                    match value {
                        None => out.extend(null),
                        Some(value) => {
                            for byte in value {
                                match byte {
                                    0x08 => out.extend(b"\\b"),
                                    0x0c => out.extend(b"\\f"),
                                    b'\n' => out.extend(b"\\n"),
                                    b'\r' => out.extend(b"\\r"),
                                    b'\t' => out.extend(b"\\t"),
                                    0x0b => out.extend(b"\\v"),
                                    b'\\' => out.extend(b"\\\\"),
                                    byte if byte == delimiter => out.extend([b'\\', *delimiter]),
                                    byte => out.push(*byte),
                                }
                            }
                        }
                    }
                }
                CopyFormat::Csv { delimiter, quote, escape, null, .. } => {
                    if at > 0 {
                        out.push(*delimiter);
                    }
                    match value {
                        None => out.extend(null),
                        Some(value) => {
                            let special = |b: &u8| b == delimiter || b == quote || *b == b'\n' || *b == b'\r';
                            let alone = row.len() == 1 && value == b"\\.";
                            if value == null || alone || value.iter().any(special) {
                                out.push(*quote);
                                for byte in value {
                                    if byte == quote || byte == escape {
                                        out.push(*escape);
                                    }
                                    out.push(*byte);
                                }
                                out.push(*quote);
                            } else {
                                out.extend(value);
                            }
                        }
                    }
                }
                CopyFormat::Binary => {}
            }
        }
        if matches!(format, CopyFormat::Binary) {
            out.extend(binary_row(row));
        } else {
            out.push(b'\n');
        }
    }
    if matches!(format, CopyFormat::Binary) { binary_stream(rows, b"") } else { out }
}

fn format() -> impl Strategy<Value = CopyFormat> {
    let odd = CopyFormat::Csv {
        delimiter: b';',
        quote: b'\'',
        escape: b'\\',
        null: b"NULL".to_vec(),
        header: false,
        force_quote: vec![],
    };
    let bar = CopyFormat::Text { delimiter: b'|', null: b"\\N".to_vec(), header: false };
    prop::sample::select(vec![CopyFormat::text(), bar, CopyFormat::csv(), odd, CopyFormat::Binary])
}

/// Text of few letters, most of them special somewhere.
fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    let letter = prop::sample::select(b"ab\\N,;|\t\n\r\"'.x1\x0b ".to_vec());
    prop::option::weighted(0.8, prop::collection::vec(letter, 0..14))
}

proptest! {
    /// Masking a copy is writing a copy of masked rows, however the stream is cut.
    #[test]
    fn a_copy_is_a_copy_of_masked_rows(
        format in format(),
        methods in prop::collection::vec(prop::option::of(prop::sample::select(Method::ALL.to_vec())), 1..5),
        values in prop::collection::vec(prop::collection::vec(value(), 5), 0..6),
        size in 1_usize..40,
    ) {
        let columns: Vec<Column> = methods.iter().map(|m| m.map_or_else(through, text)).collect();
        let rows: Vec<Row> = values.into_iter().map(|row| row.into_iter().take(columns.len()).collect()).collect();
        let plan = plan(&columns);
        let masked_rows: Vec<Row> = rows.iter().map(|row| support::mask_row(&plan, row).unwrap()).collect();
        let stream = write(&format, &rows);
        let out = copy(&format, &columns, &stream.chunks(size).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(shown(&out), shown(&write(&format, &masked_rows)));
    }

    /// No bytes make a scanner panic, and a redacted column's bytes never come out.
    #[test]
    fn arbitrary_streams(format in format(), noise in prop::collection::vec(value(), 0..8), at in any::<prop::sample::Index>()) {
        let columns = [text(Method::Redact), text(Method::Partial), text(Method::Hash)];
        let rows: Vec<Row> = noise
            .iter()
            .map(|v| vec![v.clone().map(|v| [b"CANARY", v.as_slice()].concat()), Some(b"x".to_vec()), None])
            .collect();
        let mut stream = write(&format, &rows);
        if !stream.is_empty() {
            let at = at.index(stream.len());
            stream[at] ^= 0x0f;
        }
        let mut masker = CopyMasker::new(&format, &columns, &TypeTable::new(), &keys()).unwrap();
        let mut outbox = Outbox::new();
        let _ = stream.chunks(7).try_for_each(|piece| outbox.copy(&mut masker, piece));
        prop_assert!(!contains(&outbox.take(), b"CANARY"));
    }
}
