//! The masked form of every type in both formats: what it is, that it decodes, and that it says nothing of the value.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use lockgate_mask::{Format, Method, TypeFact, TypeKind, TypeTable};
use postgres_protocol::types;
use support::{contains, mask_row, mask_value, masked, plan};

/// OID, modifier, redacted text, redacted binary in hexadecimal.
const REDACTED: &[(u32, i32, &str, &str)] = &[
    (16, -1, "f", "00"),
    (17, -1, "\\x", ""),
    (18, -1, "*", "2a"),
    (19, -1, "***", "2a2a2a"),
    (20, -1, "0", "0000000000000000"),
    (21, -1, "0", "0000"),
    (22, -1, "", "0000000100000000000000150000000000000000"),
    (23, -1, "0", "00000000"),
    (24, -1, "-", "00000000"),
    (25, -1, "***", "2a2a2a"),
    (26, -1, "0", "00000000"),
    (27, -1, "(0,0)", "000000000000"),
    (28, -1, "0", "00000000"),
    (29, -1, "0", "00000000"),
    (30, -1, "", "00000001000000000000001a0000000000000000"),
    (114, -1, "null", "6e756c6c"),
    (142, -1, "<masked/>", "3c6d61736b65642f3e"),
    (600, -1, "(0,0)", "00000000000000000000000000000000"),
    (601, -1, "[(0,0),(0,0)]", "0000000000000000000000000000000000000000000000000000000000000000"),
    (602, -1, "((0,0))", "010000000100000000000000000000000000000000"),
    (603, -1, "(0,0),(0,0)", "0000000000000000000000000000000000000000000000000000000000000000"),
    (604, -1, "((0,0))", "0000000100000000000000000000000000000000"),
    (628, -1, "{0,1,0}", "00000000000000003ff00000000000000000000000000000"),
    (718, -1, "<(0,0),0>", "000000000000000000000000000000000000000000000000"),
    (650, -1, "0.0.0.0/0", "0200010400000000"),
    (869, -1, "0.0.0.0", "0220000400000000"),
    (700, -1, "0", "00000000"),
    (701, -1, "0", "0000000000000000"),
    (705, -1, "***", "2a2a2a"),
    (774, -1, "00:00:00:00:00:00:00:00", "0000000000000000"),
    (790, -1, "$0.00", "0000000000000000"),
    (829, -1, "00:00:00:00:00:00", "000000000000"),
    // char(5), char(2), char(1); varchar(20), varchar(2).
    (1042, 9, "***  ", "2a2a2a2020"),
    (1042, 6, "**", "2a2a"),
    (1042, 5, "*", "2a"),
    (1042, -1, "***", "2a2a2a"),
    (1043, 24, "***", "2a2a2a"),
    (1043, 6, "**", "2a2a"),
    (1043, -1, "***", "2a2a2a"),
    (1082, -1, "2000-01-01", "00000000"),
    (1083, -1, "00:00:00", "0000000000000000"),
    (1114, -1, "2000-01-01 00:00:00", "0000000000000000"),
    (1184, -1, "2000-01-01 00:00:00+00", "0000000000000000"),
    (1186, -1, "00:00:00", "00000000000000000000000000000000"),
    (1266, -1, "00:00:00+00", "000000000000000000000000"),
    // bit(10) and bit of any length; the length of a bit varying is data.
    (1560, 10, "0000000000", "0000000a0000"),
    (1560, -1, "", "00000000"),
    (1562, 10, "", "00000000"),
    // numeric, numeric(10,2), numeric(10,-2), numeric(10,0).
    (1700, -1, "0", "0000000000000000"),
    (1700, 655_366, "0.00", "0000000000000002"),
    (1700, 657_410, "0", "0000000000000000"),
    (1700, 655_364, "0", "0000000000000000"),
    (1790, -1, "***", "2a2a2a"),
    (2205, -1, "-", "00000000"),
    (2206, -1, "-", "00000000"),
    (4089, -1, "-", "00000000"),
    (2249, -1, "()", "00000000"),
    (2278, -1, "", ""),
    (2950, -1, "00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000"),
    (2970, -1, "1:1:", "0000000000000000000000010000000000000001"),
    (3220, -1, "0/0", "0000000000000000"),
    (3614, -1, "", "00000000"),
    (3615, -1, "'masked'", "000000010100006d61736b656400"),
    (3802, -1, "null", "016e756c6c"),
    (4072, -1, "$", "0124"),
    (5038, -1, "1:1:", "0000000000000000000000010000000000000001"),
    (5069, -1, "0", "0000000000000000"),
    // Arrays, ranges, multiranges.
    (1007, -1, "{}", "000000000000000000000017"),
    (1009, -1, "{}", "000000000000000000000019"),
    (2287, -1, "{}", "0000000000000000000008c9"),
    (2277, -1, "{}", "000000000000000000000019"),
    (3904, -1, "empty", "01"),
    (3926, -1, "empty", "01"),
    (4451, -1, "{}", "00000000"),
    (4536, -1, "{}", "00000000"),
];

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[test]
fn redacted_forms() {
    let builtin = TypeTable::new();
    for (oid, typmod, text, binary) in REDACTED {
        for (format, expected) in [(Format::Text, text.as_bytes().to_vec()), (Format::Binary, unhex(binary))] {
            let column = masked(*oid, *typmod, format, Method::Redact);
            assert_eq!(mask_value(&builtin, &column, b"canary"), Some(expected), "{oid} {format:?}");
        }
    }
}

#[test]
fn redacted_binary_forms_decode() {
    let binary = |oid: u32, typmod: i32| {
        mask_value(&TypeTable::new(), &masked(oid, typmod, Format::Binary, Method::Redact), b"canary").unwrap()
    };
    assert!(!types::bool_from_sql(&binary(16, -1)).unwrap());
    assert_eq!(types::char_from_sql(&binary(18, -1)).unwrap(), 42);
    assert_eq!(types::int8_from_sql(&binary(20, -1)).unwrap(), 0);
    assert_eq!(types::int2_from_sql(&binary(21, -1)).unwrap(), 0);
    assert_eq!(types::int4_from_sql(&binary(23, -1)).unwrap(), 0);
    assert_eq!(types::oid_from_sql(&binary(26, -1)).unwrap(), 0);
    assert_eq!(types::text_from_sql(&binary(25, -1)).unwrap(), "***");
    assert_eq!(types::text_from_sql(&binary(1042, 9)).unwrap(), "***  ");
    assert_eq!(types::float4_from_sql(&binary(700, -1)).unwrap(), 0.0);
    assert_eq!(types::float8_from_sql(&binary(701, -1)).unwrap(), 0.0);
    assert_eq!(types::date_from_sql(&binary(1082, -1)).unwrap(), 0);
    assert_eq!(types::time_from_sql(&binary(1083, -1)).unwrap(), 0);
    assert_eq!(types::timestamp_from_sql(&binary(1114, -1)).unwrap(), 0);
    assert_eq!(types::timestamp_from_sql(&binary(1184, -1)).unwrap(), 0);
    assert_eq!(types::uuid_from_sql(&binary(2950, -1)).unwrap(), [0; 16]);
    assert_eq!(types::macaddr_from_sql(&binary(829, -1)).unwrap(), [0; 6]);
    assert_eq!(types::inet_from_sql(&binary(869, -1)).unwrap().netmask(), 32);
    assert_eq!(types::inet_from_sql(&binary(650, -1)).unwrap().netmask(), 0);
    assert_eq!(types::point_from_sql(&binary(600, -1)).unwrap().x(), 0.0);
    assert_eq!(types::box_from_sql(&binary(603, -1)).unwrap().upper_right().y(), 0.0);
    assert!(types::path_from_sql(&binary(602, -1)).unwrap().closed());
    assert_eq!(types::varbit_from_sql(&binary(1560, 10)).unwrap().len(), 10);
    assert_eq!(types::varbit_from_sql(&binary(1562, 10)).unwrap().len(), 0);
    assert_eq!(types::lsn_from_sql(&binary(3220, -1)).unwrap(), 0);
    assert_eq!(types::ltree_from_sql(&mask_of("ltree", Format::Binary)).unwrap(), "");
    assert!(matches!(types::range_from_sql(&binary(3904, -1)).unwrap(), types::Range::Empty));
    let bytes = binary(1009, -1);
    let array = types::array_from_sql(&bytes).unwrap();
    assert_eq!((array.element_type(), array.has_nulls()), (25, false));
    assert!(types::hstore_from_sql(&mask_of("hstore", Format::Binary)).is_ok());
}

/// The redacted form of an extension's type.
fn mask_of(name: &str, format: Format) -> Vec<u8> {
    let mut types = TypeTable::new();
    types.insert(TypeFact { oid: 70_000, kind: TypeKind::Base { name: name.into() } });
    mask_value(&types, &masked(70_000, -1, format, Method::Redact), b"canary").unwrap()
}

#[test]
fn types_of_a_catalog() {
    let mut types = TypeTable::new();
    let facts = [
        (70_000, TypeKind::Base { name: "citext".into() }),
        (70_001, TypeKind::Base { name: "geometry".into() }),
        (70_002, TypeKind::Enum { labels: vec!["low".into(), "high".into()] }),
        (70_003, TypeKind::Domain { base: 1043 }),
        (70_004, TypeKind::Domain { base: 70_003 }),
        (70_005, TypeKind::Composite { fields: vec![("a".into(), 25), ("b".into(), 70_002), ("c".into(), 600)] }),
        (70_006, TypeKind::Composite { fields: vec![("d".into(), 70_005), ("e".into(), 23)] }),
        (70_007, TypeKind::Array { element: 70_002 }),
        (70_008, TypeKind::Range { subtype: 25 }),
        (70_009, TypeKind::Multirange { range: 70_008 }),
        (70_010, TypeKind::Domain { base: 70_011 }),
        (70_011, TypeKind::Domain { base: 70_010 }),
        (70_012, TypeKind::Base { name: "hstore".into() }),
        (70_013, TypeKind::Composite { fields: vec![] }),
    ];
    for (oid, kind) in facts {
        types.insert(TypeFact { oid, kind });
    }
    let inner =
        "00000003 00000019 00000003 2a2a2a 00011172 ffffffff 00000258 00000010 00000000000000000000000000000000";
    let outer = format!("00000002 00011175 0000002f {inner} 00000017 00000004 00000000");
    for (oid, text, binary) in [
        (70_000, Some("***"), Some("2a2a2a")),
        (70_001, None, None),
        (70_002, None, None),
        (70_003, Some("***"), Some("2a2a2a")),
        (70_004, Some("***"), Some("2a2a2a")),
        (70_005, Some("(***,,\"(0,0)\")"), Some(inner)),
        (70_006, Some("(\"(***,,\"\"(0,0)\"\")\",0)"), Some(outer.as_str())),
        (70_007, Some("{}"), Some("000000000000000000011172")),
        (70_008, Some("empty"), Some("01")),
        (70_009, Some("{}"), Some("00000000")),
        (70_010, None, None),
        (70_012, Some(""), Some("00000000")),
        (70_013, Some("()"), Some("00000000")),
        (99_999, None, None),
        (71, None, None),
        (0, None, None),
    ] {
        for method in [Method::Redact, Method::Null] {
            let shown = |format| mask_value(&types, &masked(oid, -1, format, method), b"canary");
            let expected = |form: Option<Vec<u8>>| form.filter(|_| method == Method::Redact);
            assert_eq!(shown(Format::Text), expected(text.map(|t| t.as_bytes().to_vec())), "{oid} {method}");
            assert_eq!(shown(Format::Binary), expected(binary.map(|b| unhex(&b.replace(' ', "")))), "{oid} {method}");
        }
    }
}

#[test]
fn types_that_nest_without_end_or_double_are_bounded() {
    let mut types = TypeTable::new();
    types.insert(TypeFact { oid: 70_000, kind: TypeKind::Composite { fields: vec![("a".into(), 70_000); 1_600] } });
    for level in 1..64 {
        let fields = vec![("a".into(), 71_000 + level - 1); 50];
        types.insert(TypeFact { oid: 71_000 + level, kind: TypeKind::Composite { fields } });
    }
    for oid in [70_000, 71_063, 71_005] {
        for format in [Format::Text, Format::Binary] {
            let shown = mask_value(&types, &masked(oid, -1, format, Method::Redact), b"canary");
            assert!(shown.is_none_or(|value| value.len() < 128 * 1024));
        }
    }
}

#[test]
fn long_paddings_are_bounded() {
    for (oid, typmod, limit) in [(1042, 10_485_764, 4_096), (1560, 83_886_080, 4_096)] {
        let shown = mask_value(&TypeTable::new(), &masked(oid, typmod, Format::Text, Method::Redact), b"x").unwrap();
        assert_eq!(shown.len(), limit);
    }
}

#[test]
fn a_short_row_does_not_become_a_very_long_one() {
    let columns = vec![masked(1042, 10_485_764, Format::Text, Method::Redact); 10_000];
    let shown = mask_row(&plan(&columns), &vec![Some(b"x".to_vec()); 10_000]).unwrap();
    assert!(support::body(&shown).len() < 2 * 1024 * 1024);
    assert!(shown.iter().any(Option::is_none) && shown.iter().any(Option::is_some));
}

#[test]
fn partial_forms() {
    let date = |days: i32| days.to_be_bytes().to_vec();
    let time = |micros: i64| micros.to_be_bytes().to_vec();
    let day = 86_400_000_000_i64;
    let text = |value: &str| value.as_bytes().to_vec();
    let t = Format::Text;
    let b = Format::Binary;
    /// Type and modifier, format, value, what is shown.
    type Case = (u32, i32, Format, Vec<u8>, Vec<u8>);
    let cases: Vec<Case> = vec![
        (25, -1, t, text("123-45-6789"), text("***6789")),
        (25, -1, b, text("4111111111111111"), text("***1111")),
        (25, -1, t, text("ann.lee@example.com"), text("***@example.com")),
        (1043, 54, t, text("a@b.io"), text("***@b.io")),
        // Longer than the column allows.
        (1043, 10, t, text("a@b.io"), text("***")),
        (25, -1, t, text("short"), text("***")),
        (25, -1, t, text(""), text("***")),
        (25, -1, t, vec![0xff; 12], text("***")),
        (25, -1, t, text("Straße 12 äöüß"), text("***äöüß")),
        (1042, 16, t, text("1234567890  "), text("***7890     ")),
        (1042, 16, t, text("1234        "), text("***         ")),
        (19, -1, t, text("a_role_name"), text("***name")),
        (1082, -1, t, text("1987-06-05"), text("1987-01-01")),
        (1082, -1, t, text("infinity"), text("2000-01-01")),
        (1082, -1, t, text("0044-03-15 BC"), text("2000-01-01")),
        (1082, -1, t, text("05/06/1987"), text("2000-01-01")),
        (1082, -1, b, date(-4593), date(-4748)),
        (1082, -1, b, date(i32::MAX), date(0)),
        (1082, -1, b, date(i32::MIN), date(0)),
        (1082, -1, b, vec![1], date(0)),
        (1082, -1, b, date(-800_000), date(0)),
        (1114, -1, t, text("1987-06-05 04:03:02.1"), text("1987-01-01 00:00:00")),
        (1184, -1, t, text("1987-06-05 04:03:02.1+02"), text("1987-01-01 00:00:00+00")),
        (1114, -1, b, time(-4593 * day + 5), time(-4748 * day)),
        (1184, -1, b, time(-1), time(-365 * day)),
        (1184, -1, b, time(i64::MAX), time(0)),
        (1184, -1, b, time(i64::MIN), time(0)),
        (1184, -1, b, time(i64::MIN + 1), time(0)),
        // Nothing to show a part of.
        (23, -1, t, text("123456789"), text("0")),
        (16, -1, t, text("t"), text("f")),
        (16, -1, b, vec![1], vec![0]),
        // Eight characters, but six of them mean something.
        (25, -1, t, text("12-34-56"), text("***")),
        // Arrays keep their shape.
        (
            1009,
            -1,
            t,
            text("{123-45-6789,NULL,\"a \\\"b\",ann@example.com}"),
            text("{***6789,NULL,***,***@example.com}"),
        ),
        (1009, -1, t, text("[0:1]={{a},{12345678}}"), text("[0:1]={{***},{***5678}}")),
        (1009, -1, t, text("{}"), text("{}")),
        (1009, -1, t, text("{a,b"), text("{}")),
        (1182, -1, t, text("{1987-06-05,NULL}"), text("{1987-01-01,NULL}")),
        (1007, -1, t, text("{1,2,3}"), text("{}")),
        (2950, -1, t, text("6f1e0a5c-7b0e-4f0e-9d7e-0123456789ab"), text("00000000-0000-0000-0000-000000000000")),
    ];
    for (oid, typmod, format, value, expected) in cases {
        let shown = mask_value(&TypeTable::new(), &masked(oid, typmod, format, Method::Partial), &value);
        assert_eq!(shown, Some(expected), "{oid} {format:?} {}", String::from_utf8_lossy(&value));
    }
}

/// Two databases that differ only in labelled values give the same bytes, and none of the values is in them.
#[test]
fn two_worlds() {
    for (oid, typmod, _, _) in REDACTED {
        for format in [Format::Text, Format::Binary] {
            for method in [Method::Redact, Method::Null] {
                let plan = plan(&[masked(*oid, *typmod, format, method), masked(25, -1, format, Method::Redact)]);
                let world = |value: &[u8]| mask_row(&plan, &vec![Some(value.to_vec()), None]).unwrap();
                let first = world(b"canary-a");
                for other in [&b""[..], b"0", b"canary-b", &[0xff; 300]] {
                    assert_eq!(first, world(other), "{oid} {format:?} {method}");
                }
                assert!(!contains(&support::body(&first), b"canary"));
                assert_eq!(first[1], None);
            }
        }
    }
}
