//! Code that a statement leaves behind to run later, and clauses in which few expect any: what is labelled in it is seen
//! wherever it stands, and what is not labelled stays free.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod shop;

use lockgate_core::Action;
use lockgate_sql::{Catalog, Context, Statement, analyze};

fn statement(catalog: &Catalog, sql: &str) -> Statement {
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog, search_path: &path, path_known: true };
    analyze(sql, &context).unwrap_or_else(|e| panic!("{sql}: {e}")).statements.remove(0)
}

#[test]
fn labelled_values_are_seen_in_every_clause() {
    let catalog = shop::catalog();
    for sql in [
        // Subscripts of what a value is put into.
        "INSERT INTO kv(k, v[(SELECT ssn FROM customers WHERE id = 1)]) VALUES ('a', 'b')",
        "INSERT INTO kv(k, v[1:(SELECT ssn FROM customers WHERE id = 1)]) VALUES ('a', 'b')",
        "MERGE INTO kv USING orders o ON false WHEN NOT MATCHED THEN INSERT (k, v[(SELECT ssn FROM customers LIMIT 1)]) VALUES ('a', 'b')",
        "UPDATE kv SET v[(SELECT ssn FROM customers WHERE id = 1)] = 'b'",
        // Functions: the body, however it is written, and what stands in for parameters.
        "CREATE FUNCTION h(a text DEFAULT get_ssn(1)) RETURNS text LANGUAGE sql AS 'SELECT a'",
        "CREATE FUNCTION h() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'",
        "CREATE FUNCTION h() RETURNS text LANGUAGE sql AS 'SELECT get_ssn(1)'",
        "CREATE FUNCTION h() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM customers WHERE ssn LIKE ''5%'''",
        "CREATE OR REPLACE FUNCTION h() RETURNS text AS 'SELECT ssn FROM customers WHERE id = 1' LANGUAGE sql",
        "CREATE FUNCTION h() RETURNS text RETURN (SELECT ssn FROM customers WHERE id = 1)",
        "CREATE FUNCTION h() RETURNS text BEGIN ATOMIC SELECT 1; SELECT ssn FROM customers WHERE id = 1; END",
        "CREATE FUNCTION h() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT ssn FROM customers LIMIT 1); END'",
        // A name that may come to stand for something else.
        "CREATE FUNCTION h() RETURNS text LANGUAGE sql AS 'SELECT x FROM later'",
        "CREATE FUNCTION h() RETURNS text LANGUAGE sql AS 'SELECT later()'",
        // Tables.
        "CREATE TABLE t (x text DEFAULT get_ssn(1))",
        "CREATE TABLE t (x text, y text GENERATED ALWAYS AS (get_ssn(x::int)) STORED)",
        "CREATE TABLE t (x text CHECK (x <> get_ssn(1)))",
        "CREATE TABLE t (x text, EXCLUDE ((get_ssn(x::int)) WITH =))",
        "CREATE TABLE t (x text, EXCLUDE (x WITH =) WHERE (x > get_ssn(1)))",
        "CREATE TABLE t (x int) PARTITION BY LIST (get_ssn(x))",
        "CREATE TABLE t PARTITION OF kv FOR VALUES IN (get_ssn(1))",
        "CREATE TABLE t PARTITION OF kv FOR VALUES FROM (get_ssn(1)) TO ('z')",
        "CREATE TABLE t PARTITION OF customers FOR VALUES FROM ('5') TO ('6')",
        "ALTER TABLE kv ATTACH PARTITION kv2 FOR VALUES IN (get_ssn(1))",
        "ALTER TABLE kv ALTER v TYPE text USING get_ssn(1)",
        "ALTER TABLE kv ALTER v SET DEFAULT get_ssn(1)",
        "ALTER TABLE kv ALTER v SET EXPRESSION AS (get_ssn(1))",
        "ALTER TABLE kv ADD c text DEFAULT get_ssn(1)",
        "ALTER TABLE customers ADD g int GENERATED ALWAYS AS (ssn::int) STORED",
        "ALTER TABLE customers ADD c int CHECK (ssn LIKE '5%' OR id <> 1)",
        "ALTER TABLE public.customers ADD c int CHECK (customers.ssn LIKE '5%')",
        "CREATE INDEX ON kv (get_ssn(1))",
        "CREATE INDEX ON kv (k) WHERE v > get_ssn(1)",
        "CREATE STATISTICS s ON (get_ssn(id)), id FROM orders",
        "CREATE STATISTICS s ON (ssn || 'x') FROM customers",
        "CREATE TRIGGER t BEFORE INSERT ON kv FOR EACH ROW WHEN (new.v > get_ssn(1)) EXECUTE FUNCTION noted()",
        // Domains.
        "CREATE DOMAIN d AS text DEFAULT get_ssn(1)",
        "CREATE DOMAIN d AS text CHECK (value > get_ssn(1))",
        "ALTER DOMAIN d SET DEFAULT get_ssn(1)",
        "ALTER DOMAIN d ADD CHECK (value > get_ssn(1))",
        // What no rule looks at stands for anything.
        "CREATE RULE r AS ON INSERT TO kv WHERE new.v > get_ssn(1) DO NOTHING",
    ] {
        assert!(!statement(&catalog, sql).uses.is_empty(), "{sql}");
    }
}

#[test]
fn what_is_not_labelled_stays_free() {
    let catalog = shop::catalog();
    for sql in [
        "INSERT INTO kv(k, v[1]) VALUES ('a', 'b')",
        "CREATE FUNCTION h(a int DEFAULT 1) RETURNS text LANGUAGE sql AS 'SELECT status FROM orders WHERE id = a'",
        "CREATE FUNCTION h(a int) RETURNS text LANGUAGE sql AS 'SELECT status FROM orders o WHERE o.id = h.a AND qty > $1'",
        "CREATE FUNCTION h(a int) RETURNS text RETURN (SELECT status FROM orders WHERE id = a)",
        "CREATE FUNCTION h(a int) RETURNS text BEGIN ATOMIC SELECT status FROM orders WHERE id = a; END",
        "CREATE FUNCTION h() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(id) FROM orders); END'",
        "CREATE TABLE t (x text DEFAULT lower('A') CHECK (length(x) > 2), y int UNIQUE, CHECK (y > 1))",
        "CREATE TABLE t (ts timestamptz DEFAULT now(), n int GENERATED ALWAYS AS IDENTITY)",
        "CREATE TABLE t (x int) PARTITION BY RANGE (abs(x))",
        "CREATE TABLE t PARTITION OF orders FOR VALUES FROM (MINVALUE) TO (10)",
        "CREATE TABLE t (r int4range, EXCLUDE USING gist (r WITH &&) WHERE (lower(r) > 1))",
        "ALTER TABLE orders ADD CHECK (qty > 0), ADD c numeric(10, 2) DEFAULT round(1.5)",
        "ALTER TABLE orders ALTER qty TYPE bigint USING qty::bigint",
        "ALTER TABLE customers ADD c int DEFAULT abs(1)",
        "ALTER TABLE customers ADD c text CHECK (lower(region) > 'a')",
        "CREATE INDEX ON orders (lower(status)) WHERE qty > abs(1)",
        "CREATE STATISTICS s ON (lower(status)), qty FROM orders",
        "CREATE DOMAIN d AS text CHECK (lower(value) > 'a') DEFAULT lower('A')",
        "ALTER DOMAIN d ADD CHECK (lower(value) > 'a')",
        "SET TIME ZONE INTERVAL '1' HOUR TO MINUTE",
        "CREATE TABLE t (g geometry(Point, 4326))",
    ] {
        let statement = statement(&catalog, sql);
        let free = statement.uses.is_empty() && !statement.facts.opaque;
        assert!(free, "{sql}: {:?} {:?}", statement.uses, statement.needs);
    }
}

#[test]
fn a_name_that_is_declared_safe_is_not_everybodys_to_give() {
    let rule = lockgate_sql::ColumnRule { label: "pii".parse().unwrap(), pattern: "*.customers.ssn".into() };
    let catalog = Catalog::build(shop::facts(), &[rule], &["public.region_of".to_owned()]);
    let administers = |sql: &str| statement(&catalog, sql).needs.iter().any(|n| n.action == Action::Administer);
    for sql in [
        "CREATE FUNCTION public.region_of(text) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION region_of(int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE PROCEDURE scratch.region_of(int) LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION f(int) RENAME TO region_of",
        "ALTER FUNCTION scratch.region_of(int) SET SCHEMA public",
        "ALTER SCHEMA scratch RENAME TO public",
    ] {
        assert!(administers(sql), "{sql}");
    }
    for sql in [
        "CREATE FUNCTION public.region_to(text) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION f(int) RENAME TO g",
        "ALTER FUNCTION f(int) SET SCHEMA public",
    ] {
        assert!(!administers(sql), "{sql}");
    }
}

#[test]
fn what_is_known_by_its_name_is_not_everybodys_to_replace() {
    use lockgate_sql::facts::TypeFacts;
    let mut facts = shop::facts();
    let base = |name: &str| TypeFacts {
        oid: 17_900,
        schema: "public".into(),
        name: name.into(),
        kind: 'b',
        ..TypeFacts::default()
    };
    facts.types.push(base("citext"));
    let catalog = shop::catalog_of(facts);
    let administers = |sql: &str| statement(&catalog, sql).needs.iter().any(|n| n.action == Action::Administer);
    for sql in [
        // The server's own views and functions, by their schema or without it.
        "CREATE OR REPLACE VIEW information_schema.tables AS SELECT 1",
        "CREATE VIEW information_schema.mine AS SELECT 1",
        "CREATE OR REPLACE VIEW pg_catalog.pg_tables AS SELECT 1",
        "CREATE OR REPLACE VIEW pg_tables AS SELECT 1",
        "CREATE OR REPLACE RULE \"_RETURN\" AS ON SELECT TO pg_tables DO INSTEAD SELECT 1",
        "CREATE TABLE pg_catalog.t AS SELECT 1 AS x",
        "CREATE SEQUENCE pg_toast.s",
        "ALTER VIEW information_schema.tables RENAME TO t",
        "ALTER VIEW v_people SET SCHEMA information_schema",
        "DROP VIEW information_schema.tables",
        "DROP VIEW pg_tables",
        "DROP FUNCTION information_schema._pg_truetypid",
        "ALTER SCHEMA information_schema RENAME TO old",
        "ALTER SCHEMA scratch RENAME TO information_schema",
        "DROP SCHEMA information_schema CASCADE",
        "CREATE OR REPLACE FUNCTION pg_catalog.lpad(text, int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION lpad(text, int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION information_schema.f() RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION pg_catalog.query_to_xml(text, bool, bool, text) RENAME TO concat_ws",
        "ALTER FUNCTION query_to_xml(text, bool, bool, text) RENAME TO concat_ws",
        "ALTER ROUTINE query_to_xml(text, bool, bool, text) RENAME TO concat_ws",
        "ALTER FUNCTION query_to_xml(text, bool, bool, text) SET SCHEMA scratch",
        "ALTER AGGREGATE sum(int) RENAME TO total",
        "ALTER FUNCTION region_of(int) SET SCHEMA pg_catalog",
        // What extensions brought.
        "CREATE OR REPLACE FUNCTION hstore_keys(int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION public.hstore_keys(int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION dblink(text, text) RENAME TO hstore_keys",
        "ALTER FUNCTION public.dblink(text, text) SET SCHEMA scratch",
        // Types that only an administrator makes.
        "ALTER TYPE citext RENAME TO other",
        "ALTER TYPE public.citext SET SCHEMA scratch",
        "ALTER TYPE text RENAME TO other",
        "ALTER TYPE pg_catalog.text RENAME TO other",
        "ALTER TYPE contact_t SET (SEND = f)",
        "ALTER DOMAIN information_schema.yes_or_no ADD CHECK (value > 'a')",
    ] {
        assert!(administers(sql), "{sql}");
    }
    for sql in [
        "CREATE OR REPLACE VIEW v_mine AS SELECT 1",
        "CREATE OR REPLACE VIEW public.pg_tables AS SELECT 1",
        "CREATE TEMP VIEW pg_tables AS SELECT 1",
        "CREATE TABLE pg_temp.t AS SELECT 1 AS x",
        "DROP VIEW v_people",
        "DROP FUNCTION region_of(int)",
        "DROP SCHEMA scratch",
        "ALTER SCHEMA scratch RENAME TO other",
        "CREATE FUNCTION lpad(date, int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION public.lpad(date, int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION region_of(int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION scratch.hstore_keys(int) RETURNS text LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION region_of(int) RENAME TO zone_of",
        "ALTER TYPE contact_t RENAME TO person_t",
        "ALTER TYPE contact_t SET SCHEMA scratch",
    ] {
        assert!(!administers(sql), "{sql}");
    }
}

#[test]
fn what_a_table_calls_by_itself_is_the_writers_too() {
    use lockgate_sql::facts::{Called, Caller};
    let rule = lockgate_sql::ColumnRule { label: "pii".parse().unwrap(), pattern: "public.customers.ssn".into() };
    let with = |calls: &[(Caller, Called)]| {
        let mut facts = shop::facts();
        facts.calls = calls.to_vec();
        Catalog::build(facts, std::slice::from_ref(&rule), &[])
    };
    let get_ssn = Called::Function(16_500);
    for calls in [
        &[(Caller::Relation(16_403), get_ssn)][..],
        // A function whose own default calls it, an operator, a type whose check does.
        &[(Caller::Relation(16_403), Called::Function(16_507)), (Caller::Function(16_507), get_ssn)],
        &[(Caller::Relation(16_403), Called::Operator(16_900))],
        &[(Caller::Relation(16_403), Called::Type(17_000)), (Caller::Type(17_000), get_ssn)],
    ] {
        let catalog = with(calls);
        for sql in [
            "INSERT INTO kv(k) VALUES ('a')",
            "UPDATE kv SET v = 'b' WHERE k = 'a'",
            "MERGE INTO kv USING orders o ON false WHEN NOT MATCHED THEN INSERT VALUES ('a', 'b')",
            "COPY kv FROM STDIN",
            "ALTER TABLE kv ADD x int",
            "CREATE INDEX ON kv (v)",
            "ANALYZE kv",
            "VACUUM FULL kv",
            "ANALYZE",
            "REINDEX TABLE kv",
            "REINDEX INDEX some_index",
            "REINDEX SCHEMA public",
            "CLUSTER",
        ] {
            let statement = statement(&catalog, sql);
            assert!(!statement.uses.is_empty() && !statement.touches.is_clean(), "{sql} {calls:?}");
        }
        assert!(statement(&catalog, "INSERT INTO orders(id) VALUES (1)").uses.is_empty());
    }
    let catalog = with(&[(Caller::Relation(16_403), Called::Function(16_507))]);
    for sql in ["INSERT INTO kv(k) VALUES ('a')", "ANALYZE", "REINDEX TABLE kv"] {
        assert!(statement(&catalog, sql).uses.is_empty(), "{sql}");
    }
    // What stands in for an argument is in the value.
    let catalog = with(&[(Caller::Function(16_507), get_ssn)]);
    assert!(!statement(&catalog, "SELECT add_tax(1)").outputs.is_clean());
    assert!(statement(&with(&[]), "SELECT add_tax(1)").outputs.is_clean());
}

#[test]
fn a_copy_that_was_made_of_a_view_keeps_its_labels() {
    let mut facts = shop::facts();
    let mut copy = facts.relations.iter().find(|r| r.name == "m_contacts").unwrap().clone();
    copy.oid = 16_499;
    copy.name = "m_nested".into();
    copy.definition = Some(lockgate_sql::facts::Code::Sql("SELECT k AS id, label AS addr FROM v_nested".into()));
    facts.relations.push(copy);
    let rule = lockgate_sql::ColumnRule { label: "pii".parse().unwrap(), pattern: "public.customers.ssn".into() };
    let catalog = Catalog::build(facts, &[rule], &[]);
    let used = |sql: &str| !statement(&catalog, sql).uses.is_empty();
    assert!(used("CREATE OR REPLACE VIEW v_renamed AS SELECT id AS a, name AS b, name AS c FROM customers"));
    assert!(used("CREATE OR REPLACE VIEW v_nested AS SELECT 1 AS k, '' AS label"));
    assert!(!used("CREATE OR REPLACE VIEW v_expr AS SELECT 1 AS id, '' AS tag"));
    assert!(!used("CREATE VIEW v_new AS SELECT ssn FROM customers"));
    // A copy that can be made anew is made by running its definition.
    assert!(!statement(&catalog, "REFRESH MATERIALIZED VIEW m_nested").touches.is_clean());
}

#[test]
fn what_is_stored_is_not_made_from_labelled_values() {
    let catalog = shop::catalog();
    let used = |sql: &str| !statement(&catalog, sql).uses.is_empty();
    for sql in [
        "UPDATE customers SET ssn = nullif(left(ssn, 1), '5') || right(ssn, -1) WHERE id = 1",
        "UPDATE customers SET email = left(email, 1) || '#'",
        "UPDATE customers SET (ssn, name) = (SELECT left(ssn, 1), 'x' FROM customers WHERE id = 2)",
        "INSERT INTO customers(id, ssn) SELECT 1, left(ssn, 1) FROM customers",
        "INSERT INTO customers(id, ssn) VALUES (1, (SELECT left(ssn, 1) FROM customers WHERE id = 2))",
        "INSERT INTO customers(id, ssn) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET ssn = left(customers.ssn, 1)",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN UPDATE SET ssn = left(c.ssn, 1)",
    ] {
        assert!(used(sql), "{sql}");
    }
    for sql in [
        "UPDATE customers SET ssn = 'x' WHERE id = 1",
        "UPDATE customers SET ssn = ssn WHERE id = 1",
        "UPDATE customers SET ssn = $1, name = upper(name) WHERE id = 1",
        "INSERT INTO customers(id, ssn) SELECT id + 1, ssn FROM customers",
        "INSERT INTO customers_old(id, ssn, email) SELECT id, ssn, email FROM customers WHERE id = 1",
    ] {
        assert!(!used(sql), "{sql}: {:?}", statement(&catalog, sql).uses);
    }
}
