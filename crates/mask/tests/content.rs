//! Content rules at the outbox: rows in both formats, COPY cut anywhere, texts of other messages.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use lockgate_detect::Kind;
use lockgate_mask::{
    Column, ContentPlan, ContentRule, CopyFormat, CopyMasker, Diagnostic, Format, Method, Outbox, RowMasker, RowStream,
    Touch, TypeTable,
};
use std::sync::Arc;
use support::{Row, body, fields, frame, keys, label, masked, message, messages, pass};

fn content(method: Method) -> Arc<ContentPlan> {
    let rule = ContentRule {
        label: label("pii/found"),
        kinds: vec![Kind::Email, Kind::Phone, Kind::Card, Kind::UsSsn, Kind::Iban, Kind::Ip],
        custom: Vec::new(),
        method,
    };
    Arc::new(ContentPlan::new(&[rule], &Arc::new(keys())).unwrap())
}

fn plan(content: &ContentPlan, columns: &[Column], names: &[&str]) -> RowMasker {
    let types = TypeTable::new();
    let mut masker = RowMasker::new(columns, &types, &keys());
    let names: Vec<&[u8]> = names.iter().map(|n| n.as_bytes()).collect();
    masker.look_into(content, columns, &names, &types);
    masker
}

fn outbox(content: &Arc<ContentPlan>) -> Outbox {
    let mut outbox = Outbox::new();
    outbox.set_content(Some(Arc::clone(content)));
    outbox
}

fn row(values: &[&str]) -> Row {
    values.iter().map(|v| Some(v.as_bytes().to_vec())).collect()
}

/// One value in a column of this type, as the client sees it.
fn value(type_oid: u32, format: Format, name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let content = content(Method::Redact);
    let masker = plan(&content, &[pass(type_oid, format)], &[name]);
    let mut outbox = outbox(&content);
    outbox.rows(&masker, &frame(&vec![Some(value.to_vec())])).unwrap();
    fields(&messages(&outbox.take())[0].1).remove(0)
}

#[test]
fn what_is_found_is_masked_and_nothing_else_changes() {
    let content = content(Method::Redact);
    let columns = [pass(25, Format::Text), masked(25, -1, Format::Text, Method::Redact), pass(25, Format::Binary)];
    let masker = plan(&content, &columns, &["note", "ssn", "body"]);
    let mut outbox = outbox(&content);
    let clean = row(&["nothing here", "x", "order 12"]);
    let rows = [clean.clone(), row(&["mail jo@example.com now", "x", "card 4111 1111 1111 1111."]), clean.clone()];
    let frames: Vec<u8> = rows.iter().flat_map(frame).collect();
    outbox.rows(&masker, &frames).unwrap();
    let sent: Vec<Row> = messages(&outbox.take()).iter().map(|(_, body)| fields(body)).collect();
    assert_eq!(sent[0], row(&["nothing here", "***", "order 12"]));
    assert_eq!(sent[1], row(&["mail *** now", "***", "card ***."]));
    assert_eq!(sent[2], sent[0]);
}

#[test]
fn rows_without_a_hit_are_the_bytes_they_were() {
    let content = content(Method::Redact);
    let masker = plan(&content, &[pass(25, Format::Text), pass(23, Format::Binary)], &["note", "n"]);
    let mut outbox = outbox(&content);
    let frames: Vec<u8> = (0..100_u32)
        .flat_map(|n| frame(&vec![Some(format!("line {n}").into_bytes()), Some(n.to_be_bytes().to_vec())]))
        .collect();
    outbox.rows(&masker, &frames).unwrap();
    assert_eq!(&outbox.take()[..], &frames[..]);
}

#[test]
fn every_type_still_decodes() {
    let text = |s: &str| Some(s.as_bytes().to_vec());
    assert_eq!(value(25, Format::Text, "note", b"a jo@example.com b"), text("a *** b"));
    assert_eq!(value(114, Format::Text, "doc", br#"{"m": "jo@example.com", "n": 1}"#), text(r#"{"m": "***", "n": 1}"#));
    assert_eq!(value(114, Format::Text, "doc", br#"{"card": 4111111111111111}"#), text(r#"{"card": 0}"#));
    let jsonb = [b"\x01".as_slice(), br#"{"m": "jo@example.com"}"#].concat();
    assert_eq!(value(3802, Format::Binary, "doc", &jsonb), Some([b"\x01".as_slice(), br#"{"m": "***"}"#].concat()));
    assert_eq!(value(20, Format::Text, "card", b"4111111111111111"), text("0"));
    assert_eq!(value(20, Format::Binary, "card", &4_111_111_111_111_111_i64.to_be_bytes()), Some(vec![0; 8]));
    assert_eq!(value(869, Format::Binary, "ip", &[2, 32, 0, 4, 192, 0, 2, 1]), Some(vec![2, 32, 0, 4, 0, 0, 0, 0]));
    assert_eq!(value(1009, Format::Text, "mails", b"{jo@example.com,x}"), text("{}"));
    assert_eq!(value(17, Format::Text, "blob", b"\\x6a6f406578616d706c652e636f6d"), text("\\x"));
    assert_eq!(value(17, Format::Text, "blob", b"jo@example.com\\000"), text("\\x"));
    assert_eq!(value(701, Format::Binary, "card", &4_111_111_111_111_111_f64.to_be_bytes()), Some(vec![0; 8]));
    assert_eq!(value(701, Format::Binary, "n", &0.5_f64.to_be_bytes()), Some(0.5_f64.to_be_bytes().to_vec()));
    // numeric 4111111111111111: four groups, weight 3.
    let numeric: Vec<u8> = [4_i16, 3, 0, 0, 4111, 1111, 1111, 1111].iter().flat_map(|w| w.to_be_bytes()).collect();
    assert_eq!(value(1700, Format::Binary, "card", &numeric), Some(vec![0; 8]));
    // Numbers within binary values: bigint[], a row, int8range, int8multirange, an array in a row.
    let card = 4_111_111_111_111_111_i64.to_be_bytes();
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    let array = [words(&[1, 0, 20, 2, 1, u32::MAX, 8]), card.to_vec()].concat();
    assert_eq!(value(1016, Format::Binary, "cards", &array), Some(words(&[0, 0, 20])));
    let range = [&[0x02], &words(&[8])[..], &card, &words(&[8])[..], &card].concat();
    assert_eq!(value(3926, Format::Binary, "cards", &range), Some(vec![1]));
    let multirange = [words(&[1, 25]), range].concat();
    assert_eq!(value(4536, Format::Binary, "cards", &multirange), Some(words(&[0])));
    let row = [words(&[2, 25, 1]), b"x".to_vec(), words(&[1016, 36]), array].concat();
    assert_eq!(value(2249, Format::Binary, "row", &row), Some(words(&[0])));
    // A row of a type of the user's, in an array: it is told by its form.
    let row = [words(&[1, 20, 8]), card.to_vec()].concat();
    let rows = [words(&[1, 0, 40_000, 1, 1, 20]), row].concat();
    assert_eq!(value(2287, Format::Binary, "rows", &rows), Some(words(&[0, 0, 2249])));
    // money counts hundredths, and numeric 4111111111111111.00 has a scale.
    let cents = 411_111_111_111_111_100_i64.to_be_bytes();
    assert_eq!(value(790, Format::Binary, "card", &cents), Some(vec![0; 8]));
    let scaled: Vec<u8> = [4_i16, 3, 0, 2, 4111, 1111, 1111, 1111].iter().flat_map(|w| w.to_be_bytes()).collect();
    assert_eq!(value(1700, Format::Binary, "card", &scaled), Some(vec![0; 8]));
    let price: Vec<u8> = [2_i16, 0, 0, 2, 1299, 9900].iter().flat_map(|w| w.to_be_bytes()).collect();
    assert_eq!(value(1700, Format::Binary, "n", &price), Some(price));
    assert_eq!(value(701, Format::Text, "n", b"4.111111111111111e+15"), text("0"));
    assert_eq!(value(17, Format::Text, "blob", b"\\000\\0014111111111111111"), text("\\x"));
    assert_eq!(value(1007, Format::Text, "n", b"{4111,1111,1111,1111}"), text("{}"));
    let pieces = br#"{"a": "4111", "b": "1111", "c": "1111", "d": "1111"}"#;
    let shown = r#"{"a": "***", "b": "***", "c": "***", "d": "***"}"#;
    assert_eq!(value(114, Format::Text, "doc", pieces), text(shown));
    assert_eq!(value(114, Format::Text, "doc", b"[4111, 1111, 1111, 1111]"), text("[0, 0, 0, 0]"));
    let other = [words(&[1, 0, 20, 1, 1, 8]), 77_i64.to_be_bytes().to_vec()].concat();
    assert_eq!(value(1016, Format::Binary, "cards", &other), Some(other));
    // Types that hold nothing of the sort are not read.
    assert_eq!(value(1114, Format::Text, "t", b"2024-01-01 00:00:00"), text("2024-01-01 00:00:00"));
}

#[test]
fn methods() {
    let masker = |content: &Arc<ContentPlan>| plan(content, &[pass(25, Format::Text)], &["note"]);
    let show = |method| {
        let content = content(method);
        let mut outbox = outbox(&content);
        outbox.rows(&masker(&content), &frame(&row(&["to jo@example.com ok"]))).unwrap();
        fields(&messages(&outbox.take())[0].1).remove(0).map(|v| String::from_utf8(v).unwrap())
    };
    assert_eq!(show(Method::Null), None);
    assert_eq!(show(Method::Partial).as_deref(), Some("to ***@example.com ok"));
    let token = show(Method::Token).unwrap();
    assert!(token.starts_with("to ") && token.ends_with(" ok") && !token.contains("jo@"), "{token}");
    assert_eq!(Some(token), show(Method::Token));
}

#[test]
fn a_value_cut_over_cells_is_found() {
    let content = content(Method::Redact);
    // In the cells of one row.
    let columns = vec![pass(25, Format::Text); 6];
    let masker = plan(&content, &columns, &["a", "b", "c", "d", "e", "f"]);
    let mut out = outbox(&content);
    out.rows(&masker, &frame(&row(&["411", "111", "111", "111", "111", "1"]))).unwrap();
    let cells = fields(&messages(&out.take())[0].1);
    assert!(cells.iter().all(|cell| cell.as_deref() == Some(&b"***"[..])), "all its pieces: {cells:?}");
    // What stands beside the value stays.
    let around = ["7", "x", "411", "111", "111", "111", "111", "1", "word", "12"];
    let masker = plan(&content, &vec![pass(25, Format::Text); around.len()], &["c"; 10]);
    let mut out = outbox(&content);
    out.rows(&masker, &frame(&row(&around))).unwrap();
    let cells = fields(&messages(&out.take())[0].1);
    let shown: Vec<String> = cells.into_iter().map(|c| String::from_utf8(c.unwrap()).unwrap()).collect();
    assert_eq!(shown, ["7", "x", "***", "***", "***", "***", "***", "***", "word", "12"]);
    // In the rows of one column: what completes it, and what goes on from there.
    let masker = plan(&content, &[pass(25, Format::Text)], &["digit"]);
    let mut out = outbox(&content);
    let frames: Vec<u8> = "4111111111111111".chars().flat_map(|c| frame(&row(&[&c.to_string()]))).collect();
    out.rows(&masker, &frames).unwrap();
    let shown: Vec<Row> = messages(&out.take()).iter().map(|(_, body)| fields(body)).collect();
    assert_eq!(shown.last().unwrap()[0].as_deref(), Some(&b"***"[..]));
}

/// What rows of these types become, row by row.
fn shown(types: &[u32], names: &[&str], rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let content = content(Method::Redact);
    let columns: Vec<Column> = types.iter().map(|oid| pass(*oid, Format::Text)).collect();
    let masker = plan(&content, &columns, names);
    let mut out = outbox(&content);
    for row in rows {
        let cells: Row = row.iter().map(|cell| Some(cell.clone().into_bytes())).collect();
        out.rows(&masker, &frame(&cells)).unwrap();
    }
    let cell = |cell: Option<Vec<u8>>| String::from_utf8(cell.unwrap()).unwrap();
    messages(&out.take()).iter().map(|(_, body)| fields(body).into_iter().map(cell).collect()).collect()
}

fn owned(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

#[test]
fn pieces_of_any_length_are_put_together() {
    let columns = |cells: &[&str], types: u32| {
        let names = vec!["c"; cells.len()];
        shown(&vec![types; cells.len()], &names, &[owned(cells)]).remove(0)
    };
    // Texts, cut anywhere, with what stands beside them.
    for (cells, hidden) in [
        (&["4111", "1111", "1111", "1111"][..], 0..4),
        (&["41111111", "11111111"], 0..2),
        (&["id", "411111", "1111111111", "ok"], 1..3),
        (&["x", "41111", "11", "111111111", "y"], 1..4),
        (&["4111-", "1111-", "1111-", "1111"], 0..4),
        (&["GB82", "WEST", "1234", "5698", "7654", "32"], 0..6),
        (&["paid", "GB82WEST", "12345698765432"], 1..3),
        (&["jo.doe@", "example.org"], 0..2),
        (&["7", "jo.doe", "@example.org", "x"], 1..3),
        (&["7", "jo.doe", "@", "example.org", "x"], 1..4),
    ] {
        for (index, cell) in columns(cells, 25).iter().enumerate() {
            assert_eq!(cell == "***", hidden.contains(&index), "{cells:?}: {cell}");
        }
    }
    // Numbers, in equal pieces.
    assert_eq!(columns(&["4111", "1111", "1111", "1111"], 23), ["0", "0", "0", "0"]);
    // What only stands side by side.
    for cells in [
        &["41", "111", "1111", "1111", "111"][..],
        &["1111", "4111", "1111", "1111", "1111"],
        &["41111111", "11111111"],
    ] {
        assert_eq!(columns(cells, 23), cells, "numbers that are no value");
    }
    for cells in [&["bob", "@bob_tw", "example.org"][..], &["search", "example.org"], &["GB82", "WEST", "ok"]] {
        assert_eq!(columns(cells, 25), cells);
    }
    // By their names.
    let named = |names: &[&str], cells: &[&str]| shown(&vec![25; cells.len()], names, &[owned(cells)]).remove(0);
    assert_eq!(named(&["mail_user", "mail_domain"], &["jo.doe", "example.org"]), ["***", "***"]);
    assert_eq!(named(&["phone_area", "phone_no"], &["202", "5550143"]), ["***", "***"]);
    assert_eq!(named(&["ssn1", "ssn2", "ssn3"], &["219", "45", "6789"]), ["***", "***", "***"]);
    let amounts = ["4111", "1111", "1111", "1111"];
    assert_eq!(named(&["amount", "total", "price", "size"], &amounts), amounts);
    // With a method that shows a part: of a piece that would be most of it.
    let content = content(Method::Partial);
    let masker = plan(&content, &[pass(25, Format::Text), pass(25, Format::Text)], &["a", "b"]);
    let mut out = outbox(&content);
    out.rows(&masker, &frame(&row(&["41111111", "11111111"]))).unwrap();
    assert_eq!(fields(&messages(&out.take())[0].1), row(&["***", "***"]));
}

/// Numbers as dice fall, in tables that hold nothing else.
#[test]
fn small_numbers_side_by_side_are_left_alone() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let (mut results, mut hit_rows, mut hit_results) = (0, 0, 0);
    for (types, from, below) in [
        (vec![23; 1], 0, 1000),
        (vec![23; 1], 1, 6),
        (vec![25; 1], 1000, 10_000),
        (vec![23; 12], 0, 1000),
        (vec![23; 20], 0, 100),
        (vec![23; 20], 0, 10),
        (vec![23; 6], 1000, 10_000),
        (vec![20; 3], 10_000_000, 100_000_000),
        (vec![25; 6], 1000, 10_000),
        (vec![25; 4], 10_000, 100_000),
    ] {
        for _ in 0..20 {
            let cell = |_: &u32| (from + roll(below - from)).to_string();
            let rows: Vec<Vec<String>> = (0..200)
                .map({
                    let mut cell = cell;
                    let types = &types;
                    move |_| types.iter().map(&mut cell).collect()
                })
                .collect();
            let changed =
                shown(&types, &vec!["c"; types.len()], &rows).iter().zip(&rows).filter(|(a, b)| a != b).count();
            results += 1;
            hit_rows += changed;
            hit_results += usize::from(changed > 0);
        }
    }
    // Less than one in a thousand; what is hit is at the beginning, where nothing speaks against it yet.
    println!("{hit_rows} rows of {}, in {hit_results} of {results} results", results * 200);
    assert!(hit_rows * 1000 <= results * 200, "{hit_rows} rows, in {hit_results} of {results} results");
}

/// Columns that hold pieces in each row are masked in each.
#[test]
fn pieces_are_masked_row_after_row() {
    let cards = ["4111111111111111", "5555555555554444", "4012888888881881", "6011111111111117"];
    for (sizes, oid) in [([4, 4, 4, 4], 25), ([1, 5, 7, 3], 25), ([4, 4, 4, 4], 23)] {
        let rows: Vec<Vec<String>> = (0..300)
            .map(|at| {
                let mut rest = cards[at % cards.len()];
                let mut cells = vec![format!("n{at}")];
                for size in sizes {
                    let (piece, after) = rest.split_at(size);
                    cells.push(piece.to_owned());
                    rest = after;
                }
                cells
            })
            .collect();
        let shown = shown(&[25, oid, oid, oid, oid], &["n", "a", "b", "c", "d"], &rows);
        let masked = if oid == 25 { "***" } else { "0" };
        assert!(shown.iter().all(|row| row[1..].iter().all(|cell| cell == masked)), "{:?}", shown.last());
    }
}

/// However many values stand side by side.
#[test]
fn pieces_of_many_values_are_masked_row_after_row() {
    let card = ["4111", "1111", "1111", "1111", "-"].repeat(100);
    let shown = shown(&vec![25; card.len()], &vec!["c"; card.len()], &vec![owned(&card); 50]);
    for row in &shown {
        assert!(row.iter().enumerate().all(|(at, cell)| cell == if at % 5 == 4 { "-" } else { "***" }), "{row:?}");
    }
}

/// A cell with nothing in it is neither a piece nor an end, and as many of them as a row can have cost no more than others.
#[test]
fn empty_cells_are_no_pieces() {
    for empty in ["", "   "] {
        let mut cells = vec!["4111", "1111"];
        cells.extend(vec![empty; 1600]);
        cells.extend(["1111", "1111"]);
        let shown = shown(&vec![25; cells.len()], &vec!["c"; cells.len()], &vec![owned(&cells); 50]);
        for row in &shown {
            for (at, cell) in row.iter().enumerate().filter(|(at, _)| *at < 2 || *at > 1601) {
                assert_eq!(cell, "***", "{at}");
            }
        }
    }
}

#[test]
fn longer_pieces_in_the_rows_of_one_column() {
    let cards = ["4111111111111111", "5555555555554444", "4012888888881881"];
    let rows: Vec<Vec<String>> = cards
        .iter()
        .flat_map(|card| [&card[..4], &card[4..8], &card[8..12], &card[12..]])
        .map(|cell| owned(&[cell]))
        .collect();
    let shown = shown(&[25], &["piece"], &rows);
    let masked: Vec<usize> = shown.iter().enumerate().filter(|(_, row)| row[0] == "***").map(|(at, _)| at).collect();
    assert_eq!(masked, [3, 7, 8, 9, 10, 11]);
}

#[test]
fn a_row_in_pieces_is_looked_into_whole() {
    let content = content(Method::Redact);
    let masker = Arc::new(plan(&content, &[pass(25, Format::Text)], &["note"]));
    let long = format!("{} jo@example.com {}", "x ".repeat(50_000), "y ".repeat(50_000));
    let body = body(&row(&[&long]));
    for size in [1000, 7777, 65_536] {
        let mut outbox = outbox(&content);
        let mut stream = RowStream::new(Arc::clone(&masker), body.len()).unwrap();
        for piece in body.chunks(size) {
            outbox.row_piece(&mut stream, piece).unwrap();
        }
        let sent = messages(&outbox.take());
        let cell = fields(&sent[0].1).remove(0).unwrap();
        assert_eq!(cell, long.replace("jo@example.com", "***").into_bytes());
    }
}

fn copied(format: &CopyFormat, columns: &[Column], names: &[&[u8]], stream: &[u8]) -> Vec<u8> {
    let content = content(Method::Redact);
    let run = |pieces: &[&[u8]]| {
        let mut masker = CopyMasker::new(format, columns, &TypeTable::new(), &keys()).unwrap();
        masker.look_into(&content, format, columns, names, &TypeTable::new());
        let mut outbox = Outbox::new();
        for piece in pieces {
            outbox.copy(&mut masker, piece).unwrap();
        }
        masker.finish().unwrap();
        messages(&outbox.take()).into_iter().flat_map(|(_, body)| body).collect::<Vec<u8>>()
    };
    let whole = run(&[stream]);
    for at in 0..=stream.len() {
        let (a, b) = stream.split_at(at);
        assert_eq!(run(&[a, b]), whole, "cut at {at}");
    }
    whole
}

#[test]
fn copies_in_every_format() {
    let text = pass(25, Format::Text);
    let columns = [text.clone(), text.clone()];
    let out = copied(&CopyFormat::text(), &columns, &[b"a", b"b"], b"1\tx\\ty jo@example.com\n\\N\tplain\\\\\n");
    assert_eq!(String::from_utf8(out).unwrap(), "1\tx\\ty ***\n\\N\tplain\\\\\n");
    let csv = b"1,\"say \"\"hi\"\" to jo@example.com,\nnow\"\n,plain\n";
    let out = copied(&CopyFormat::csv(), &columns, &[b"a", b"b"], csv);
    assert_eq!(String::from_utf8(out).unwrap(), "1,\"say \"\"hi\"\" to ***,\nnow\"\n,plain\n");
    let field = |value: &[u8]| [&i32::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat();
    let tuple = |a: &[u8], b: &[u8]| [&[0, 2][..], &field(a), &field(b)].concat();
    let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let stream = [&head[..], &tuple(b"1", b"to jo@example.com"), &tuple(b"2", b"plain"), &[0xff, 0xff]].concat();
    let wanted = [&head[..], &tuple(b"1", b"to ***"), &tuple(b"2", b"plain"), &[0xff, 0xff]].concat();
    assert_eq!(copied(&CopyFormat::Binary, &columns, &[], &stream), wanted);
}

#[test]
fn a_value_cut_over_the_cells_of_a_row_is_masked_in_copies() {
    let columns = vec![pass(25, Format::Text); 7];
    let names = [&b"c"[..]; 7];
    let cells = ["id", "411", "111", "111", "111", "111", "1"];
    let shown = ["id", "***", "***", "***", "***", "***", "***"];
    let text = copied(&CopyFormat::text(), &columns, &names, format!("{}\n", cells.join("\t")).as_bytes());
    assert_eq!(String::from_utf8(text).unwrap(), format!("{}\n", shown.join("\t")));
    let csv = copied(&CopyFormat::csv(), &columns, &names, format!("{}\n", cells.join(",")).as_bytes());
    assert_eq!(String::from_utf8(csv).unwrap(), format!("{}\n", shown.join(",")));
    let binary = |cells: &[&str]| {
        let field = |cell: &&str| [&i32::try_from(cell.len()).unwrap().to_be_bytes()[..], cell.as_bytes()].concat();
        let fields: Vec<u8> = cells.iter().flat_map(field).collect();
        [&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..], &[0, 7], &fields, &[0xff, 0xff]].concat()
    };
    assert_eq!(copied(&CopyFormat::Binary, &columns, &names, &binary(&cells)), binary(&shown));
}

#[test]
fn texts_of_other_messages() {
    let content = content(Method::Redact);
    let mut outbox = outbox(&content);
    let error = b"SERROR\0VERROR\0C23505\0Mduplicate\0DKey (mail)=(jo@example.com) already exists.\0\0";
    outbox.diagnostic(Diagnostic::Error, error, Touch::Clean).unwrap();
    outbox.notification(b"\0\0\0\x01channel\0call +1-202-555-0143\0", Touch::Clean).unwrap();
    outbox.parameter_status(b"application_name\0jo@example.com\0", Touch::Clean).unwrap();
    let description = [&[0, 1][..], b"jo@example.com\0", &[0; 18]].concat();
    outbox.protocol(lockgate_mask::MessageKind::RowDescription, &description).unwrap();
    let expected = [
        message(b'E', b"SERROR\0VERROR\0C23505\0Mduplicate\0DKey (mail)=(***) already exists.\0\0"),
        message(b'A', b"\0\0\0\x01channel\0call ***\0"),
        message(b'S', b"application_name\0***\0"),
        message(b'T', &[&[0, 1][..], b"***\0", &[0; 18]].concat()),
    ]
    .concat();
    assert_eq!(outbox.take()[..], expected[..]);
}
