//! What code of users reads that a statement does not name: in operators and casts of a body, in checks of domains, in row security, in
//! triggers of what a function writes. Neither its values nor its notices and errors tell anything.

use crate::masking;
use crate::waiting::{code, dana, leaked};
use lockgate_tests::scene;
use lockgate_tests::wire::{self, bind, execute, parse, sync};

/// Code that reads a labelled value, and what calls it.
const OBJECTS: &str = r#"
CREATE FUNCTION told() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
  BEGIN RAISE NOTICE 'it is %', (SELECT ssn FROM people WHERE id = 7); RETURN true; END$$;
CREATE FUNCTION of_two(int, int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = 7';
CREATE OPERATOR =@> (LEFTARG = int, RIGHTARG = int, FUNCTION = of_two);
CREATE FUNCTION of_texts(text, int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = 7';
CREATE OPERATOR <> (LEFTARG = text, RIGHTARG = int, FUNCTION = of_texts);
CREATE TYPE made AS (a text);
CREATE FUNCTION made_of(int) RETURNS made LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = 7';
CREATE CAST (int AS made) WITH FUNCTION made_of(int);
CREATE TYPE given AS (a text);
CREATE FUNCTION given_of(bigint) RETURNS given LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = 7';
CREATE CAST (bigint AS given) WITH FUNCTION given_of(bigint) AS ASSIGNMENT;
CREATE FUNCTION text_of(made) RETURNS varchar LANGUAGE sql AS 'SELECT ssn::varchar FROM people WHERE id = 7';
CREATE CAST (made AS varchar) WITH FUNCTION text_of(made);
CREATE DOMAIN checked AS int CHECK (told());
CREATE FUNCTION takes(checked) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE guarded (a int);
INSERT INTO guarded VALUES (1);
CREATE POLICY of_it ON guarded USING (told());
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM told(); RETURN NULL; END$$;
CREATE TRIGGER fires AFTER UPDATE ON notes FOR EACH STATEMENT EXECUTE FUNCTION fires();
CREATE VIEW v AS SELECT id, told() AS x FROM notes WHERE id = 1;
CREATE FUNCTION by_operator() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN 1 =@> 2; END';
CREATE FUNCTION by_other_spelling() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'a'::text != 2; END $$;
CREATE FUNCTION by_cast() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (1::made)::text; END';
CREATE FUNCTION by_assignment() RETURNS text LANGUAGE plpgsql AS 'DECLARE r given; BEGIN r := 1::bigint; RETURN r.a; END';
CREATE FUNCTION by_cast_to_a_servers_type() RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN RETURN CAST (NULL::made AS character varying); END $$;
CREATE FUNCTION of_view() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM v';
CREATE FUNCTION two() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT told(); SELECT 1';
CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE AS
  $$ UPDATE notes SET body = 'x' WHERE id = -1; SELECT 1 $$;
CREATE FUNCTION writes_too() RETURNS int LANGUAGE plpgsql VOLATILE AS
  $$ BEGIN UPDATE notes SET body = 'x' WHERE id = -1; RETURN 1; END $$;
CREATE FUNCTION fails() RETURNS int LANGUAGE sql VOLATILE AS
  'UPDATE people SET name = NULL WHERE id = 7; SELECT 1';
CREATE FUNCTION reads_guarded() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT max(a) FROM guarded); END';
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
"#;

#[test]
fn what_a_body_reaches_without_naming_a_function_is_masked() {
    let scene = scene();
    scene.directly(OBJECTS);
    let mut reader = dana(&scene.gateway);
    for name in ["by_operator", "by_other_spelling", "by_cast", "by_assignment", "by_cast_to_a_servers_type"] {
        let sql = format!("SELECT {name}()");
        assert!(masking::leaked(scene.directly(&sql).as_bytes()).is_some(), "{name} reads nothing");
        let frames = reader.query(&sql);
        assert_eq!(leaked(&frames), None, "{name}: {frames:?}");
        let masked = wire::rows(&frames) == [[Some("***".to_owned())]];
        assert!(masked || code(&frames).as_deref() == Some("42501"), "{name}: {frames:?}");
    }
    // Where nothing labelled is reached, nothing is masked.
    scene.directly("CREATE FUNCTION sum_of() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN 1 + 2; END'; DROP CAST (made AS varchar)");
    scene.directly("DROP CAST (bigint AS given); DROP OPERATOR <> (text, int)");
    assert_eq!(dana(&scene.gateway).value("SELECT sum_of()"), "3");
}

#[test]
fn what_code_says_that_nobody_named_is_nobodys() {
    let scene = scene();
    scene.directly(OBJECTS);
    let mut reader = dana(&scene.gateway);
    for sql in [
        "SELECT 7::checked",
        "SELECT CAST ('7' AS checked)",
        "SELECT checked '7'",
        "SELECT '{7}'::checked[]",
        "SELECT takes(7)",
        "SELECT * FROM json_to_record('{\"a\": 7}') AS r(a checked)",
        "CREATE TEMP TABLE kept (a checked); INSERT INTO kept VALUES (7)",
        "SELECT a FROM guarded",
        "SELECT count(*) FROM guarded",
        "UPDATE notes SET body = 'x' WHERE id = -1",
        "SELECT count(*) FROM v",
        "SELECT id FROM v",
        "SELECT of_view()",
        "SELECT two()",
        "SELECT writes()",
        "SELECT writes_too()",
        "SELECT fails()",
        "SELECT reads_guarded()",
    ] {
        let frames = reader.query(sql);
        assert_eq!(leaked(&frames), None, "{sql}: {frames:?}");
    }
    // Whether a value is one of the domain is told to nobody who may not see what decides it.
    assert_eq!(code(&reader.query("SELECT 7::checked")).as_deref(), Some("42501"));
    let typed = |oid: u32| {
        let body = [&wire::text("")[..], &wire::text("SELECT $1"), &[0, 1], &oid.to_be_bytes()].concat();
        wire::message(b'P', &body)
    };
    let oid = scene.directly("SELECT 'checked'::regtype::oid").parse().expect("a number");
    for parsed in [typed(oid), parse("", "SELECT takes($1)")] {
        reader.send_raw(&[parsed, bind("", "", &["7"], 0), execute("", 0), sync()].concat());
        let frames = reader.until_ready();
        assert_eq!(leaked(&frames), None, "{frames:?}");
    }
    scene.gateway.verify();
}
