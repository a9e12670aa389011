//! `hash` and `token`: equal values have equal stand-ins in every type, width and format; the stand-in is a value of the
//! type; a token can be read back, and a hash cannot.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use lockgate_core::Label;
use lockgate_mask::{
    Column, Format, MaskKeys, Method, Original, RowMasker, Rule, TokenError, TypeFact, TypeKind, TypeTable, ValueKind,
};
use proptest::prelude::*;
use support::{keys, label, mask_row, mask_value, masked};

const TEXT: u32 = 25;
const VARCHAR: u32 = 1043;
const BPCHAR: u32 = 1042;
const NUMERIC: u32 = 1700;

fn types() -> TypeTable {
    let mut types = TypeTable::new();
    for (oid, kind) in [
        (70_000, TypeKind::Domain { base: TEXT }),
        (70_001, TypeKind::Enum { labels: vec!["low".into(), "high".into()] }),
        (70_002, TypeKind::Composite { fields: vec![("a".into(), TEXT), ("b".into(), 23), ("c".into(), 16)] }),
        (70_003, TypeKind::Array { element: 70_002 }),
        (70_004, TypeKind::Array { element: 70_001 }),
        (70_005, TypeKind::Domain { base: 1009 }),
        (70_006, TypeKind::Base { name: "citext".into() }),
    ] {
        types.insert(TypeFact { oid, kind });
    }
    types
}

fn bytes(method: Method, oid: u32, typmod: i32, format: Format, value: &[u8]) -> Vec<u8> {
    mask_value(&types(), &masked(oid, typmod, format, method), value).unwrap()
}

fn text(method: Method, oid: u32, typmod: i32, value: &str) -> String {
    String::from_utf8(bytes(method, oid, typmod, Format::Text, value.as_bytes())).unwrap()
}

fn read(token: &str) -> Result<Vec<(ValueKind, String)>, TokenError> {
    let originals = keys().detokenize(&label("pii/test"), token)?;
    Ok(originals.into_iter().map(|Original { kind, value }| (kind, value)).collect())
}

#[test]
fn texts() {
    for method in [Method::Hash, Method::Token] {
        for value in ["ann@example.com", "123-45-6789", "x", "", "Grüße"] {
            let stand_in = text(method, TEXT, -1, value);
            assert_eq!(stand_in.as_bytes(), bytes(method, TEXT, -1, Format::Binary, value.as_bytes()));
            for (oid, typmod) in [(VARCHAR, -1), (VARCHAR, 304), (70_000, -1), (70_006, -1), (705, -1)] {
                assert_eq!(stand_in, text(method, oid, typmod, value), "{oid}");
            }
            assert_eq!(stand_in, text(method, BPCHAR, 304, &format!("{value:<300}")).trim_end());
            assert_ne!(stand_in, text(method, TEXT, -1, &format!("{value}1")));
            assert_ne!(stand_in, value);
        }
    }
    assert_eq!(text(Method::Hash, TEXT, -1, "123-45-6789").len(), 32);
    assert!(text(Method::Token, TEXT, -1, "ann@example.com").starts_with("tok_"));
    // Cards, social security numbers, telephone numbers keep their form.
    let shown = text(Method::Token, VARCHAR, 4 + 11, "123-45-6789");
    assert_eq!((shown.len(), &shown[3..4], &shown[6..7]), (11, "-", "-"));
    assert_eq!(shown.replace('-', ""), text(Method::Token, BPCHAR, 4 + 9, "123456789"));
}

#[test]
fn a_short_column_shows_the_beginning_or_nothing() {
    let whole = text(Method::Token, TEXT, -1, "ann");
    for (length, expected) in [(100, &whole[..]), (40, &whole[..40]), (17, &whole[..17]), (16, "***"), (2, "**")] {
        assert_eq!(text(Method::Token, VARCHAR, 4 + length, "ann"), expected);
    }
    // name has 63 bytes.
    assert_eq!(text(Method::Token, 19, -1, "ann"), whole[..63]);
    let whole = text(Method::Hash, TEXT, -1, "ann");
    for (length, expected) in [(32, &whole[..]), (16, &whole[..16]), (15, "***")] {
        assert_eq!(text(Method::Hash, VARCHAR, 4 + length, "ann"), expected);
    }
}

#[test]
fn numbers_by_value() {
    for method in [Method::Hash, Method::Token] {
        for value in [5_i64, 0, -5, 123_456_789, i64::from(i32::MAX), i64::from(i32::MIN)] {
            let stand_in = text(method, 23, -1, &value.to_string());
            let number: i64 = stand_in.parse().unwrap();
            let narrow = i32::try_from(value).unwrap().to_be_bytes();
            let shown = bytes(method, 23, -1, Format::Binary, &narrow);
            assert_eq!(i64::from(i32::from_be_bytes(shown.try_into().unwrap())), number);
            let shown = bytes(method, 20, -1, Format::Binary, &value.to_be_bytes());
            assert_eq!(i64::from_be_bytes(shown.try_into().unwrap()), number);
            assert_eq!(text(method, 20, -1, &value.to_string()), stand_in);
            for typmod in [-1, 4 + (10 << 16)] {
                assert_eq!(text(method, NUMERIC, typmod, &value.to_string()), stand_in);
            }
            assert_eq!(text(method, NUMERIC, -1, &format!("{value}.00")), stand_in);
            assert_eq!(number < 0, value < 0);
        }
        // numeric 5.00 in binary.
        let shown = bytes(method, NUMERIC, -1, Format::Binary, &[0, 1, 0, 0, 0, 0, 0, 2, 0, 5]);
        let five = text(method, 23, -1, "5");
        let back = postgres_numeric(&shown);
        assert_eq!(back, five);
        // No whole number, or no room: the constant.
        assert_eq!(text(method, NUMERIC, -1, "5.5"), "0");
        assert_eq!(text(method, NUMERIC, -1, "NaN"), "0");
        assert_eq!(text(method, NUMERIC, 4 + (10 << 16) + 2, "5.00"), "0.00");
        assert_eq!(text(method, NUMERIC, 4 + (8 << 16), "5"), "0");
        assert_eq!(text(method, NUMERIC, 4 + (10 << 16), "9999999999999"), "0");
        assert_eq!(bytes(method, 23, -1, Format::Binary, b"abc"), [0; 4]);
        assert_eq!(text(method, 23, -1, "99999999999"), "0");
        // Domains that could be tabulated.
        for (oid, value, constant) in
            [(21, "5", "0"), (16, "t", "f"), (18, "x", "*"), (1082, "1987-06-05", "2000-01-01")]
        {
            assert_eq!(text(method, oid, -1, value), constant);
        }
    }
}

/// A binary numeric of scale 0 as text, the plain way.
fn postgres_numeric(value: &[u8]) -> String {
    let word = |at: usize| u16::from_be_bytes([value[at], value[at + 1]]);
    let (count, weight) = (usize::from(word(0)), usize::from(word(2)));
    let groups: Vec<String> =
        (0..=weight).map(|i| format!("{:04}", if i < count { word(8 + 2 * i) } else { 0 })).collect();
    let digits = groups.concat().trim_start_matches('0').to_owned();
    if word(4) == 0x4000 { format!("-{digits}") } else { digits }
}

#[test]
fn other_types_in_both_formats() {
    let uuid = "6f1e0a5c-7b0e-4f0e-9d7e-0123456789ab";
    let unhex = |text: &str| -> Vec<u8> {
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    for method in [Method::Hash, Method::Token] {
        let shown = text(method, 2950, -1, uuid);
        assert_eq!(unhex(&shown), bytes(method, 2950, -1, Format::Binary, &unhex(uuid)));
        assert_eq!((&shown[14..15], shown.len()), ("8", 36));
        assert!("89ab".contains(&shown[19..20]));

        let json = r#"{"a": 1}"#;
        let shown = text(method, 114, -1, json);
        assert!(shown.starts_with('"') && shown.ends_with('"'));
        assert_eq!(shown.as_bytes(), bytes(method, 114, -1, Format::Binary, json.as_bytes()));
        assert_eq!(shown, text(method, 3802, -1, json));
        let jsonb = bytes(method, 3802, -1, Format::Binary, format!("\x01{json}").as_bytes());
        assert_eq!(jsonb, format!("\x01{shown}").into_bytes());
        assert_eq!(bytes(method, 3802, -1, Format::Binary, json.as_bytes()), b"\x01null");

        let shown = text(method, 17, -1, "\\xdeadBEEF");
        assert_eq!(unhex(&shown[2..]), bytes(method, 17, -1, Format::Binary, &[0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(text(method, 17, -1, "\\336\\255"), "\\x");

        let shown: std::net::Ipv4Addr = text(method, 869, -1, "10.1.2.3").parse().unwrap();
        let wire = bytes(method, 869, -1, Format::Binary, &[2, 32, 0, 4, 10, 1, 2, 3]);
        assert_eq!(wire, [&[2, 32, 0, 4][..], &shown.octets()].concat());
        let shown: std::net::Ipv6Addr = text(method, 869, -1, "2001:db8::1").parse().unwrap();
        let address = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let wire = bytes(method, 869, -1, Format::Binary, &[&[3, 128, 0, 16][..], &address].concat());
        assert_eq!(wire, [&[3, 128, 0, 16][..], &shown.octets()].concat());
        assert_eq!(text(method, 869, -1, "10.0.0.0/8"), "0.0.0.0");
        assert_eq!(text(method, 650, -1, "10.0.0.0/8"), "0.0.0.0/0");

        let shown = text(method, 829, -1, "08:00:2b:01:02:03");
        assert_eq!(unhex(&shown), bytes(method, 829, -1, Format::Binary, &[8, 0, 0x2b, 1, 2, 3]));
        let shown = text(method, 774, -1, "08:00:2b:01:02:03:04:05");
        assert_eq!(unhex(&shown), bytes(method, 774, -1, Format::Binary, &[8, 0, 0x2b, 1, 2, 3, 4, 5]));
    }
}

#[test]
fn arrays_and_composites_keep_their_shape() {
    let ann = text(Method::Token, TEXT, -1, "ann");
    let number = text(Method::Token, 23, -1, "5");
    assert_eq!(text(Method::Token, 1009, -1, "{ann,NULL,\"ann\"}"), format!("{{{ann},NULL,{ann}}}"));
    assert_eq!(text(Method::Token, 70_005, -1, "{{ann},{ann}}"), format!("{{{{{ann}}},{{{ann}}}}}"));
    assert_eq!(text(Method::Token, 1007, -1, "{5}"), format!("{{{number}}}"));
    assert_eq!(text(Method::Token, 70_002, -1, "(ann,5,t)"), format!("({ann},{number},f)"));
    assert_eq!(text(Method::Token, 70_002, -1, "(,,)"), "(,,)");
    assert_eq!(text(Method::Token, 70_002, -1, "(ann,5)"), "(***,0,f)");
    assert_eq!(text(Method::Token, 70_003, -1, "{\"(ann,5,t)\"}"), format!("{{\"({ann},{number},f)\"}}"));
    // Nothing to show of an element, nothing to show of how many there are.
    assert_eq!(text(Method::Token, 70_004, -1, "{low,high}"), "{}");
    assert_eq!(text(Method::Token, 1000, -1, "{t,f}"), "{}");

    let field = |oid: u32, value: &[u8]| {
        [&oid.to_be_bytes()[..], &u32::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
    };
    let row = [&[0, 0, 0, 3][..], &field(TEXT, b"ann"), &field(23, &[0, 0, 0, 5]), &field(16, &[1])].concat();
    let shown = [
        &[0, 0, 0, 3][..],
        &field(TEXT, ann.as_bytes()),
        &field(23, &number.parse::<i32>().unwrap().to_be_bytes()),
        &field(16, &[0]),
    ]
    .concat();
    assert_eq!(bytes(Method::Token, 70_002, -1, Format::Binary, &row), shown);

    let array = |flags: u8, values: &[&[u8]]| {
        let mut out = [[0, 0, 0, 1], [0, 0, 0, flags], [0, 0, 0, 25], [0, 0, 0, 2], [0, 0, 0, 1]].concat();
        for value in values {
            out.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
            out.extend(*value);
        }
        out
    };
    let shown = bytes(Method::Token, 1009, -1, Format::Binary, &array(0, &[b"ann", b"ann"]));
    assert_eq!(shown, array(0, &[ann.as_bytes(), ann.as_bytes()]));
    // Fewer elements than said, another element type, bytes at the end: the constant.
    let empty = [[0; 4], [0; 4], [0, 0, 0, 25]].concat();
    for bad in [array(0, &[b"ann"]), array(0, &[b"a", b"b", b"c"]), vec![0; 3], [&[0, 0, 0, 7][..], &[0; 60]].concat()]
    {
        assert_eq!(bytes(Method::Token, 1009, -1, Format::Binary, &bad), empty);
    }
    assert_eq!(bytes(Method::Token, 1007, -1, Format::Binary, &array(0, &[b"a", b"b"]))[..8], [0; 8]);
    // An array of very many small elements would become a very long one.
    let many = format!("{{{}}}", vec!["a"; 20_000].join(","));
    assert_eq!(text(Method::Token, 1009, -1, &many), "{}");
}

#[test]
fn tokens_are_read_back_and_hashes_are_not() {
    for (oid, value, kind) in [
        (TEXT, "ann@example.com", ValueKind::Text),
        (TEXT, "", ValueKind::Text),
        (TEXT, "Grüße  ", ValueKind::Text),
        (TEXT, "123-45-6789", ValueKind::Text),
        (TEXT, "4111111111111111", ValueKind::Text),
        (23, "5", ValueKind::Number),
        (20, "-9223372036854775808", ValueKind::Number),
        (NUMERIC, "123456789012", ValueKind::Number),
        (2950, "6f1e0a5c-7b0e-4f0e-9d7e-0123456789ab", ValueKind::Uuid),
        (2950, "018f6f2e-7b0e-7f0e-9d7e-0123456789ab", ValueKind::Uuid),
        (3802, r#"{"a": "é"}"#, ValueKind::Json),
        (17, "\\xdeadbeef", ValueKind::Bytes),
        (869, "10.1.2.3", ValueKind::Address),
        (869, "2001:db8::1", ValueKind::Address),
        (829, "08:00:2b:01:02:03", ValueKind::Hardware),
        (774, "08:00:2b:01:02:03:04:05", ValueKind::Hardware),
    ] {
        let token = text(Method::Token, oid, -1, value);
        let readings = read(&token).unwrap();
        assert!(readings.contains(&(kind, value.to_owned())), "{value} {token} {readings:?}");
        let hash = text(Method::Hash, oid, -1, value);
        let readings = read(&hash).unwrap_or_default();
        assert!(readings.iter().all(|(_, read)| read != value), "{value} {hash}");
    }
}

#[test]
fn what_is_no_token_is_said_to_be_none() {
    let token = text(Method::Token, TEXT, -1, "ann@example.com");
    let long = text(Method::Token, TEXT, -1, &"x".repeat(300));
    assert_eq!(read(&long), Err(TokenError::Digest));
    assert_eq!(read(&token[..60]), Err(TokenError::Foreign));
    assert_eq!(read("tok_"), Err(TokenError::Foreign));
    assert_eq!(read("tok_!"), Err(TokenError::Foreign));
    assert_eq!(read("\\x00"), Err(TokenError::Foreign));
    assert_eq!(read("ann@example.com"), Err(TokenError::Form));
    assert_eq!(read("***"), Err(TokenError::Form));
    assert_eq!(read(""), Err(TokenError::Form));
    assert_eq!(read(&"1".repeat(5_000)), Err(TokenError::Form));
    let other = |label: &str, secret: u8| {
        MaskKeys::new(&[secret; 32]).detokenize(&label.parse::<Label>().unwrap(), &token).err()
    };
    assert_eq!(other("pii/other", 7), Some(TokenError::Foreign));
    assert_eq!(other("pii/test", 8), Some(TokenError::Foreign));
    assert_eq!(other("pii/test", 7), None);
}

#[test]
fn labels_share_nothing() {
    for (oid, value) in
        [(TEXT, "ann"), (TEXT, "123-45-6789"), (23, "5"), (2950, "6f1e0a5c-7b0e-4f0e-9d7e-0123456789ab")]
    {
        for method in [Method::Hash, Method::Token] {
            let under = |name: &str| {
                let rule = Rule::Mask { method, label: label(name) };
                mask_value(
                    &types(),
                    &Column { type_oid: oid, typmod: -1, format: Format::Text, rule },
                    value.as_bytes(),
                )
            };
            assert_eq!(under("pii/ssn"), under("pii/ssn"));
            assert_ne!(under("pii/ssn"), under("pii/email"));
        }
    }
}

/// Every OID of a type with a mask of its own, and some without.
const OIDS: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 142, 650, 700, 701, 774, 790, 829, 869, 1000, 1001, 1002, 1005, 1007,
    1009, 1015, 1016, 1042, 1043, 1082, 1114, 1182, 1184, 1186, 1231, 1266, 1560, 1562, 1700, 2249, 2277, 2287, 2950,
    2951, 3802, 3807, 3904, 4451, 70_000, 70_001, 70_002, 70_003, 70_004, 70_005, 70_006, 99_999,
];

proptest! {
    /// Whatever bytes a target sends as a value: no panic, one row, and NULL or something short of a bound.
    #[test]
    fn any_bytes_of_any_type(
        oid in prop::sample::select(OIDS),
        typmod in prop::sample::select(vec![-1, 0, 4, 6, 20, 24, 655_366, i32::MAX, i32::MIN]),
        binary: bool,
        method in prop::sample::select(Method::ALL.to_vec()),
        value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..120),
            "[\\[\\]{}(),\"\\\\:=0-9a-zN ]{0,60}".prop_map(String::into_bytes),
            "[{(]\\PC{0,40}[})]".prop_map(String::into_bytes),
        ],
    ) {
        let format = if binary { Format::Binary } else { Format::Text };
        let plan = RowMasker::new(&[masked(oid, typmod, format, method)], &types(), &keys());
        let shown = mask_row(&plan, &vec![Some(value.clone()), ][..].to_vec()).unwrap().remove(0);
        prop_assert!(shown.is_none_or(|shown| shown.len() <= value.len() + 300 * 1024));
    }

    /// An array of any texts, written as the server does, has the masks of its elements as elements.
    #[test]
    fn arrays_of_any_texts(values in prop::collection::vec(prop::option::of("\\PC{0,12}"), 1..6)) {
        let quoted = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let write = |values: &[Option<String>]| {
            let elements: Vec<String> =
                values.iter().map(|v| v.as_deref().map_or("NULL".to_owned(), quoted)).collect();
            format!("{{{}}}", elements.join(","))
        };
        let shown = text(Method::Hash, 1009, -1, &write(&values));
        let model: Vec<Option<String>> =
            values.iter().map(|v| v.as_deref().map(|v| text(Method::Hash, TEXT, -1, v))).collect();
        prop_assert_eq!(shown, write(&model).replace('"', ""));
    }
}
