//! The answers of a server become facts, and nonsense is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use lockgate_sql::catalog_query::{BadFacts, FactsBuilder, SNAPSHOT_SQL, VERSION_SQL};
use lockgate_sql::facts::{Called, Caller};
use lockgate_sql::{Catalog, ColumnRule, Context, Outputs, analyze};

/// Cells as `~`-separated words, `NULL` for null.
fn give(builder: &mut FactsBuilder, question: usize, row: &str) -> Result<(), BadFacts> {
    let cells: Vec<Option<&[u8]>> =
        row.split('~').map(|cell| if cell == "NULL" { None } else { Some(cell.as_bytes()) }).collect();
    builder.row(question, &cells)
}

const ANSWERS: &[(usize, &str)] = &[
    (0, "170002~NULL~pg_catalog~false"),
    (0, "170002~NULL~public~false"),
    (1, "16400~public~people~r~16402~NULL~false~3 0~1~true"),
    (
        1,
        "16410~public~v~v~16412~({QUERY :commandType 1 :utilityStmt <> :hasRecursive false :cteList <> :rtable ({RTE :eref {ALIAS :aliasname people :colnames (\"id\" \"x\" \"old\\ name\")} :rtekind 0 :relid 16400 :tablesample <>}) :jointree {FROMEXPR :fromlist ({RANGETBLREF :rtindex 1}) :quals <>} :targetList ({TARGETENTRY :expr {VAR :varno 1 :varattno 3 :varlevelsup 0 :varnosyn 1 :varattnosyn 3} :resno 1 :ressortgroupref 0 :resjunk false}) :groupClause <> :havingQual <> :distinctClause <> :sortClause <> :limitOffset <> :limitCount <> :rowMarks <> :setOperations <>})~false~NULL~NULL~false",
    ),
    (2, "16400~1~id~23~-1~NULL~false~true"),
    (2, "16400~3~full_name~25~104~NULL~false~false"),
    (
        2,
        "16400~4~upper_name~25~-1~{FUNCEXPR :funcid 871 :funcresulttype 25 :funcvariadic false :funcformat 0 :args ({VAR :varno 1 :varattno 3 :varlevelsup 0})}~true~false",
    ),
    (2, "16410~1~n~25~-1~NULL~false~false"),
    (2, "77777~1~of a relation made meanwhile~25~-1~NULL~false~false"),
    (3, "16400~16399"),
    (
        4,
        "16500~public~who~sql~SELECT id, full_name FROM people~NULL~f~s~true~2249~1~0~false~iot~[\"x\",\"a\",\"b\\\"c\"]~NULL~NULL",
    ),
    (4, "16501~public~own~sql~SELECT 1~NULL~f~s~false~23~2~1~false~NULL~NULL~NULL~\"$user\", other"),
    (5, "16600~public~pair~c~0~0~0~[[\"l\", \"25\"], \n [\"r\", \"23\"]]"),
    (5, "16601~public~mood~e~0~0~0~[\"ok\",\"\\u00e4\"]"),
    (6, "public~<+>~16500~NULL~16501"),
    (7, "25~23~16500~e"),
    (8, "16400~16500~true~7~NULL~NULL~true"),
    (9, "f~pg_catalog~870 lower 871 upper"),
    (10, "r~16400~1255~16500"),
    (10, "f~16501~2617~16501"),
    (10, "t~16601~1247~16600"),
];

#[test]
fn answers_become_a_catalog() {
    let mut builder = FactsBuilder::new("7");
    for (question, row) in ANSWERS {
        give(&mut builder, *question, row).unwrap_or_else(|e| panic!("{row}: {e}"));
    }
    let facts = builder.finish().unwrap();
    assert_eq!(facts.server_version, 170_002);
    assert_eq!(facts.search_path, ["pg_catalog", "public"]);
    assert_eq!(facts.relations[0].columns.len(), 3);
    assert_eq!((&facts.relations[0].ordered_by[..], &facts.relations[1].ordered_by[..]), (&[3, 0][..], &[][..]));
    assert_eq!(facts.relations[0].partitioned_by, [1]);
    assert_eq!((facts.relations[0].guarded, facts.relations[1].guarded), (true, false));
    assert_eq!(facts.relations[0].columns.iter().map(|c| c.constrained).collect::<Vec<_>>(), [true, false, false]);
    let who = &facts.functions[0];
    assert_eq!(
        (&who.in_names[..], &who.out_names[..]),
        (&["x".to_owned()][..], &["a".to_owned(), "b\"c".to_owned()][..])
    );
    assert_eq!((facts.functions[1].arguments_min, facts.functions[1].arguments_max), (1, 2));
    assert_eq!(facts.functions[1].search_path.as_deref().unwrap(), ["$user", "other"]);
    assert_eq!(facts.relations[0].columns.iter().map(|c| c.typmod).collect::<Vec<_>>(), [-1, 104, -1]);
    assert_eq!(facts.types[0].fields, [("l".to_owned(), 25), ("r".to_owned(), 23)]);
    assert_eq!(facts.types[1].labels, ["ok", "ä"]);
    let calls = [
        (Caller::Relation(16_400), Called::Function(16_500)),
        (Caller::Function(16_501), Called::Operator(16_501)),
        (Caller::Type(16_601), Called::Type(16_600)),
    ];
    assert_eq!(facts.calls, calls);

    let rule = ColumnRule { label: "pii/name".parse().unwrap(), pattern: "public.people.full_name".into() };
    let catalog = Catalog::build(facts, &[rule], &[]);
    assert_eq!(catalog.version(), "7");
    assert!(!catalog.by_oid(16_410, 1).is_clean() && !catalog.by_oid(16_400, 4).is_clean());
    assert!(catalog.by_oid(16_400, 1).is_clean());
    let context = Context { catalog: &catalog, search_path: catalog.search_path(), path_known: true };
    let statement = analyze("SELECT a, \"b\"\"c\" FROM who(1)", &context).unwrap().statements.remove(0);
    let Outputs::Known(outputs) = statement.outputs else { panic!() };
    assert_eq!((outputs[0].value.is_clean(), outputs[1].value.is_clean()), (true, false));
}

#[test]
fn nonsense_is_refused() {
    for (question, row, what) in [
        (0, "x~NULL~public", "a word where a number belongs"),
        (0, "150000", "too few columns"),
        (1, "1~NULL~t~r~0~NULL~false", "a null where a value belongs"),
        (1, "1~public~t~~0~NULL~false", "an empty kind"),
        (1, "1~public~t~r~0~NULL~maybe", "a word where a truth value belongs"),
        (1, "-1~public~t~r~0~NULL~false~NULL", "a word where a number belongs"),
        (2, "1~99999~a~25~NULL", "a word where a number belongs"),
        (4, "1~public~f~sql~~NULL~f~s~true~2249~1~0~false~i~{\"a\":1}~NULL~NULL", "names that do not read"),
        (5, "1~public~t~c~0~0~0~[[\"a\",\"x\"]]", "a field without a type"),
        (5, "1~public~t~e~0~0~0~[\"a", "fields that do not read"),
        (1, "1~public~t~r~0~NULL~false~x~NULL", "a word where a column's number belongs"),
        (9, "x~pg_catalog~1 a", "a name of an unknown kind"),
        (9, "f~pg_catalog~a 1", "a word where a number belongs"),
        (10, "x~1~1255~1", "an expression of an unknown kind"),
        (10, "r~1~1259~1", "a name of an unknown kind"),
        (11, "1~the check `a`~x~NULL", "a word where a column's number belongs"),
        (12, "1~2~1~1~a~", "an empty kind"),
        (13, "1", "too few columns"),
        (13, "1~x", "a word where a column's number belongs"),
        (14, "1", "a row for no question"),
    ] {
        let error = give(&mut FactsBuilder::new(""), question, row).unwrap_err();
        assert_eq!((error.question, error.what), (question, what), "{row}");
    }
    let mut builder = FactsBuilder::new("");
    assert_eq!(builder.row(3, &[Some(b"\xff"), Some(b"1")]).unwrap_err().what, "bytes that are not UTF-8");
    give(&mut builder, 1, "9~public~t~r~0~NULL~false~NULL~NULL~false").unwrap();
    assert_eq!(
        give(&mut builder, 1, "9~public~t~r~0~NULL~false~NULL~NULL~false").unwrap_err().what,
        "relations out of order"
    );
    assert_eq!(FactsBuilder::new("").finish().unwrap_err().what, "nothing");
}

/// The questions are asked under a search path that the client chose: no name in them may be open to it.
#[test]
#[expect(clippy::disallowed_methods, reason = "the questions of the catalog are never blank")]
fn questions_name_schemas() {
    for sql in SNAPSHOT_SQL.iter().chain([&VERSION_SQL]) {
        let tokens = pg_query::scan_tokens(sql).unwrap();
        for pair in tokens.windows(2) {
            let text = |t: &pg_query::protobuf::ScanToken| {
                &sql[usize::try_from(t.start).unwrap()..usize::try_from(t.end).unwrap()]
            };
            let (word, next) = (text(&pair[0]), text(&pair[1]));
            let operator = word.bytes().all(|b| b"=<>+-*/~!@#%^&|".contains(&b)) && word != "*";
            let before = &sql[..usize::try_from(pair[0].start).unwrap()];
            assert!(!operator || before.ends_with("OPERATOR(pg_catalog."), "operator `{word}` in {sql}");
            let is_call =
                next == "(" && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit());
            assert!(!is_call || before.ends_with("pg_catalog."), "call of `{word}` in {sql}");
        }
    }
}
