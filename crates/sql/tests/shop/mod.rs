//! The catalog of a small shop, as a server would tell it.

use lockgate_sql::facts::{
    CatalogFacts, Code, ColumnFacts, FunctionFacts, OperatorFacts, RelationFacts, TogetherFacts, TriggerEvents,
    TriggerFacts, TypeFacts,
};
use lockgate_sql::{Catalog, ColumnRule};

const INT: u32 = 23;
const TEXT: u32 = 25;
const RECORD: u32 = 2249;
const TRIGGER: u32 = 2279;
const CONTACT: u32 = 16_900;

fn relation(
    oid: u32,
    schema: &str,
    name: &str,
    kind: char,
    columns: &[&str],
    definition: Option<&str>,
) -> RelationFacts {
    RelationFacts {
        oid,
        schema: schema.into(),
        name: name.into(),
        kind,
        row_type: oid + 1_000,
        definition: definition.map(|sql| Code::Sql(sql.into())),
        has_rules: false,
        guarded: false,
        ordered_by: Vec::new(),
        partitioned_by: Vec::new(),
        // What has an `id` has it once.
        keys: if kind == 'r' && columns.contains(&"id") { vec![vec![1]] } else { Vec::new() },
        primary: if kind == 'r' && columns.contains(&"id") { vec![1] } else { Vec::new() },
        columns: columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let (name, generated) = column.split_once(" = ").map_or((*column, None), |(n, g)| (n, Some(g)));
                ColumnFacts {
                    number: i16::try_from(at + 1).unwrap(),
                    name: name.into(),
                    type_oid: if name == "kin" { CONTACT } else { TEXT },
                    typmod: -1,
                    generated: generated.map(|sql| Code::Sql(sql.into())),
                    computed: false,
                    constrained: false,
                }
            })
            .collect(),
    }
}

struct F(FunctionFacts);

fn function(oid: u32, schema: &str, name: &str, language: &str, source: &str, arguments: usize) -> F {
    F(FunctionFacts {
        oid,
        schema: schema.into(),
        name: name.into(),
        language: language.into(),
        source: source.into(),
        kind: 'f',
        volatility: 's',
        return_type: TEXT,
        arguments_min: arguments,
        arguments_max: arguments,
        ..FunctionFacts::default()
    })
}

impl F {
    fn set(mut self) -> F {
        self.0.returns_set = true;
        self
    }
    fn returns(mut self, oid: u32) -> F {
        self.0.return_type = oid;
        self
    }
    fn out(mut self, names: &[&str]) -> F {
        self.0.out_names = names.iter().map(|n| (*n).into()).collect();
        self.returns(RECORD)
    }
    fn takes(mut self, names: &[&str]) -> F {
        self.0.in_names = names.iter().map(|n| (*n).into()).collect();
        self
    }
    fn atomic(mut self, body: &str) -> F {
        self.0.body = Some(Code::Sql(body.into()));
        self
    }
    fn of(mut self, extension: &str) -> F {
        self.0.extension = Some(extension.into());
        self
    }
}

pub const PATH: [&str; 2] = ["pg_catalog", "public"];

pub fn facts() -> CatalogFacts {
    let customers = &[
        "id",
        "name",
        "ssn",
        "email",
        "phone",
        "salary",
        "notes",
        "region",
        "vip",
        "created_at",
        "ssn_last4 = \"right\"(ssn, 4)",
    ];
    let relations = vec![
        relation(16_400, "public", "customers", 'r', customers, None),
        relation(16_401, "public", "customers_old", 'r', &[customers.as_slice(), &["archived_on"]].concat(), None),
        relation(16_402, "public", "orders", 'r', &["id", "customer_id", "sku", "qty", "status"], None),
        relation(16_403, "public", "kv", 'r', &["k", "v"], None),
        relation(16_404, "hr", "employees", 'r', &["id", "full_name", "national_id", "kin", "dept"], None),
        relation(16_405, "public", "payments", 'p', &["id", "card_pan", "amount"], None),
        relation(16_406, "public", "payments_2024", 'r', &["id", "card_pan", "amount"], None),
        relation(16_407, "public", "vault", 'r', &["id", "ssn", "note"], None),
        relation(16_410, "public", "v_all", 'v', customers, Some(" SELECT customers.* FROM customers;")),
        relation(16_411, "public", "v_renamed", 'v', &["a", "b", "c"], Some("SELECT id, ssn, name FROM customers")),
        relation(16_412, "public", "v_nested", 'v', &["k", "label"], Some("SELECT a AS k, b AS label FROM v_renamed")),
        relation(
            16_413,
            "public",
            "v_expr",
            'v',
            &["id", "tag"],
            Some("SELECT id, ('N:'::text || ssn) AS tag FROM customers"),
        ),
        relation(
            16_414,
            "public",
            "v_rich",
            'v',
            &["id", "name"],
            Some("SELECT id, name FROM customers WHERE salary > 9"),
        ),
        relation(
            16_415,
            "public",
            "v_safe",
            'v',
            &["id", "name", "region"],
            Some("SELECT id, name, region FROM customers"),
        ),
        relation(16_416, "public", "m_contacts", 'm', &["id", "addr"], Some("SELECT id, email FROM customers")),
        relation(16_417, "public", "v_loop", 'v', &["x"], Some("SELECT x FROM v_pool")),
        relation(16_418, "public", "v_pool", 'v', &["x"], Some("SELECT x FROM v_loop")),
        relation(16_419, "public", "v_broken", 'v', &["x"], Some("SELECT FROM FROM")),
        relation(16_420, "scratch", "customers", 'r', &["id", "ssn"], None),
        relation(16_421, "public", "stamped", 'r', &["id", "note"], None),
        relation(16_422, "public", "s1", 'S', &["last_value", "log_cnt", "is_called"], None),
    ];
    let functions = vec![
        function(16_500, "public", "get_ssn", "sql", "SELECT ssn FROM public.customers WHERE id=$1", 1),
        function(16_501, "public", "get_customer", "sql", "SELECT * FROM customers WHERE id=$1", 1).returns(17_400),
        function(16_502, "public", "all_customers", "sql", "SELECT * FROM public.customers", 0).set().returns(17_400),
        function(16_503, "public", "pairs", "sql", "SELECT id, ssn FROM public.customers", 0)
            .set()
            .out(&["k", "label"]),
        function(16_504, "public", "dyn", "plpgsql", "BEGIN RETURN QUERY EXECUTE $1; END", 1).set(),
        function(
            16_505,
            "public",
            "peek",
            "plpgsql",
            "BEGIN RETURN (SELECT ssn FROM public.customers WHERE id=$1); END",
            1,
        ),
        function(16_506, "public", "region_of", "sql", "SELECT region FROM public.customers WHERE id=$1", 1),
        function(16_507, "public", "add_tax", "sql", "SELECT round($1*1.2,2)", 1),
        function(16_508, "public", "declared", "plpgsql", "BEGIN EXECUTE 'x'; END", 1),
        function(16_509, "public", "by_name", "sql", "", 1)
            .takes(&["who"])
            .atomic("BEGIN ATOMIC\n SELECT c.email FROM customers c WHERE c.name = by_name.who;\nEND"),
        function(16_510, "public", "short", "sql", "", 1).takes(&["n"]).atomic("RETURN (n + 1)"),
        function(16_511, "public", "count", "plpgsql", "BEGIN RETURN 1; END", 1),
        function(16_512, "public", "hstore_keys", "c", "hstore_akeys", 1).of("hstore"),
        function(16_513, "public", "dblink", "c", "dblink_record", 2).set().returns(RECORD).of("dblink"),
        function(16_514, "public", "native", "c", "native", 1),
        function(16_515, "public", "fact", "sql", "SELECT fact($1 - 1)", 1),
        function(
            16_516,
            "public",
            "stamp",
            "plpgsql",
            "BEGIN NEW.note := (SELECT email FROM customers LIMIT 1); RETURN NEW; END",
            0,
        )
        .returns(TRIGGER),
        function(16_517, "public", "wipe", "sql", "DELETE FROM orders", 0),
        function(16_518, "public", "plus_it", "c", "plus_it", 2),
        function(16_519, "public", "quiet", "plpgsql", "BEGIN RETURN (SELECT count(*) FROM orders); END", 0),
        function(16_520, "evil", "lower", "plpgsql", "BEGIN RETURN 1; END", 1),
    ];
    CatalogFacts {
        version: "1".into(),
        server_version: 150_004,
        search_path: PATH.map(Into::into).to_vec(),
        relations,
        inherits: vec![(16_401, 16_400), (16_406, 16_405)],
        functions: functions.into_iter().map(|f| f.0).collect(),
        types: vec![TypeFacts {
            oid: CONTACT,
            schema: "public".into(),
            name: "contact_t".into(),
            kind: 'c',
            fields: vec![("phone".into(), TEXT), ("age".into(), INT)],
            ..TypeFacts::default()
        }],
        operators: vec![OperatorFacts {
            oid: 16_900,
            schema: "public".into(),
            name: "<+>".into(),
            function: 16_518,
            extension: None,
        }],
        triggers: vec![TriggerFacts {
            relation: 16_421,
            function: 16_516,
            changes_row: true,
            events: TriggerEvents::of_type(4),
            ..TriggerFacts::default()
        }],
        together: [
            (16_404, "the check `grown`", vec![2, 3], vec![]),
            (16_404, "the check `named`", vec![2], vec![]),
            (16_404, "the condition of the index `once`", vec![3], vec![5]),
            (16_407, "the condition of the index `kept`", vec![1], vec![2]),
            (16_406, "the check `later`", vec![2], vec![]),
        ]
        .map(|(relation, what, columns, also)| TogetherFacts { relation, what: what.into(), columns, also })
        .to_vec(),
        ..CatalogFacts::default()
    }
}

pub fn catalog() -> Catalog {
    catalog_of(facts())
}

pub fn catalog_of(facts: CatalogFacts) -> Catalog {
    let rules: Vec<ColumnRule> = [
        ("pii/ssn", "public.customers.ssn"),
        ("pii/email", "public.customers.email"),
        ("pii/phone", "public.customers.phone"),
        ("pay/salary", "public.customers.salary"),
        ("pii/id", "hr.*.national_*"),
        ("pii/kin", "hr.employees.kin"),
        ("pay/card", "public.payments.card_pan"),
        ("pii", "public.vault.ssn"),
    ]
    .into_iter()
    .map(|(label, pattern)| ColumnRule { label: label.parse().unwrap(), pattern: pattern.into() })
    .collect();
    Catalog::build(facts, &rules, &["public.declared".to_owned()])
}
