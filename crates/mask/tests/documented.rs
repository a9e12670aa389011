//! The table of types and methods in `docs/masking.md` is what the masks do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::disallowed_methods, reason = "a test or an example may read files")]

mod support;

use lockgate_mask::{Format, Method, TypeFact, TypeKind, TypeTable};
use std::collections::BTreeMap;
use support::{mask_value, masked};

/// Name, OID, and a value with a form that every method understands.
const TYPES: &[(&str, u32, &str)] = &[
    ("text", 25, "abcd-12345"),
    ("varchar", 1043, "abcd-12345"),
    ("char", 1042, "abcd-12345"),
    ("name", 19, "abcd-12345"),
    ("citext", 70_000, "abcd-12345"),
    ("int2", 21, "5"),
    ("int4", 23, "5"),
    ("int8", 20, "5"),
    ("numeric", 1700, "5"),
    ("float4", 700, "5"),
    ("float8", 701, "5"),
    ("money", 790, "$5.00"),
    ("bool", 16, "t"),
    ("\"char\"", 18, "x"),
    ("oid", 26, "5"),
    ("uuid", 2950, "6f1e0a5c-7b0e-4f0e-9d7e-0123456789ab"),
    ("json", 114, "{}"),
    ("jsonb", 3802, "{}"),
    ("bytea", 17, "\\x00"),
    ("inet", 869, "10.0.0.1"),
    ("cidr", 650, "10.0.0.0/8"),
    ("macaddr", 829, "08:00:2b:01:02:03"),
    ("macaddr8", 774, "08:00:2b:01:02:03:04:05"),
    ("date", 1082, "1987-06-05"),
    ("timestamp", 1114, "1987-06-05 01:02:03"),
    ("timestamptz", 1184, "1987-06-05 01:02:03+00"),
    ("time", 1083, "01:02:03"),
    ("timetz", 1266, "01:02:03+00"),
    ("interval", 1186, "1 day"),
    ("bit", 1560, "101"),
    ("varbit", 1562, "101"),
    ("point", 600, "(1,2)"),
    ("line", 628, "{1,2,3}"),
    ("lseg", 601, "[(1,2),(3,4)]"),
    ("box", 603, "(3,4),(1,2)"),
    ("path", 602, "((1,2))"),
    ("polygon", 604, "((1,2))"),
    ("circle", 718, "<(1,2),3>"),
    ("xml", 142, "<a/>"),
    ("tsvector", 3614, "'a'"),
    ("tsquery", 3615, "'a'"),
    ("pg_lsn", 3220, "1/2"),
];

#[test]
fn the_table_of_the_documentation() {
    let mut types = TypeTable::new();
    types.insert(TypeFact { oid: 70_000, kind: TypeKind::Base { name: "citext".into() } });
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/masking.md")).unwrap();
    let table = text.split("| types |").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut documented: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in table.lines().skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        for name in cells[0].split('`').skip(1).step_by(2) {
            assert!(documented.insert(name, cells[1..].to_vec()).is_none(), "{name} twice");
        }
    }
    let known: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).collect();
    assert!(documented.keys().all(|name| known.contains(name)), "{documented:?}");
    for (name, oid, value) in TYPES {
        let cells = documented.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        let shown = |method| {
            let shown = mask_value(&types, &masked(*oid, -1, Format::Text, method), value.as_bytes()).unwrap();
            String::from_utf8(shown).unwrap()
        };
        let redacted = shown(Method::Redact);
        // What is given as an example is what comes.
        if let [_, example, _] = cells[0].split('`').collect::<Vec<_>>().as_slice() {
            assert_eq!(redacted, *example, "{name}");
        }
        for (method, cell) in [Method::Hash, Method::Token, Method::Partial].into_iter().zip(&cells[1..]) {
            assert_eq!(*cell == "–", shown(method) == redacted, "{name} {method}: {cell}");
        }
    }
}
