//! Every mask method on every type, on every server version: what comes is read again by the server as a value of the type,
//! is the same in every format, joins where tokens are equal, and is read back by those who may.

use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Postgres, api, postgres, process};
use serde_json::json;
use std::process::Stdio;

const TYPES: &str = "
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE DOMAIN ssn AS text CHECK (value <> '');
CREATE TYPE pair AS (a text, b int, c mood);
CREATE TABLE t (id int PRIMARY KEY, c_text text, c_varchar varchar(100), c_short varchar(5), c_char char(30), c_name name,
  c_citext citext, c_domain ssn, c_card varchar(19), c_int2 int2, c_int4 int4, c_int8 int8, c_numeric numeric,
  c_numeric_10 numeric(10), c_money numeric(10,2), c_float4 float4, c_float8 float8, c_cash money, c_bool bool,
  c_uuid uuid, c_json json, c_jsonb jsonb, c_bytea bytea, c_inet inet, c_cidr cidr, c_mac macaddr, c_mac8 macaddr8,
  c_date date, c_timestamp timestamp, c_timestamptz timestamptz, c_time time, c_timetz timetz, c_interval interval,
  c_bit bit(10), c_varbit varbit(10), c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon,
  c_circle circle, c_xml xml, c_tsvector tsvector, c_tsquery tsquery, c_lsn pg_lsn, c_oid oid, c_onechar \"char\",
  c_mood mood, c_pair pair, c_texts text[], c_ints int[], c_pairs pair[], c_moods mood[], c_dates date[],
  c_uuids uuid[], c_shorts varchar(5)[], c_range int4range, c_multirange int4multirange);
INSERT INTO t SELECT i, 'CANARY ' || i, 'CANARY ' || i, 'CAN' || i, 'CANARY ' || i, 'CANARY ' || i, 'CANARY ' || i,
  'CANARY ' || i, '4111-1111-1111-000' || i, i, i, i, i, i, 71000 + i, 71000 + i, 71000 + i, 71000 + i, true,
  lpad(i::text, 32, 'abcdef0123456789')::uuid, '{\"a\": \"CANARY\"}', '{\"a\": \"CANARY\"}', 'CANARY', '10.71.0.1', '10.71.0.0/16',
  '71:00:00:00:00:01', '71:00:00:00:00:01:02:03', date '1971-02-03' + i, timestamp '1971-02-03 04:05:06' + i * interval '1 day',
  timestamptz '1971-02-03 04:05:06+00' + i * interval '1 day', '07:10:00', '07:10:00+00', '71 days',
  B'1111100000', B'111', '(71,71)', '{71,1,1}', '[(71,71),(1,1)]', '(71,71),(1,1)', '((71,71))', '((71,71))',
  '<(71,71),1>', '<a>CANARY</a>', 'canary', 'canary', '71/71', 71000 + i, 'x', 'high', ROW('CANARY \"x, \\' || i, 71000 + i, 'high'::mood)::pair,
  ARRAY['CANARY \"quoted\", {' || i, NULL, '', 'NULL'], ARRAY[[71001, 71002], [71003, NULL]],
  ARRAY[ROW('CANARY ' || i, 71000, 'low'::mood)::pair], ARRAY['low', 'high']::mood[], ARRAY['1971-02-03']::date[],
  ARRAY[lpad(i::text, 32, 'abcdef0123456789')]::uuid[], ARRAY['CAN'], '[7100,7200)', '{[7100,7200)}'
  FROM generate_series(1, 5) i;
INSERT INTO t (id) VALUES (6);
CREATE TABLE other (id int, ref text, number bigint, mixed text);
INSERT INTO other SELECT id, c_varchar, c_int4, 'mixed ' || id FROM t;
CREATE TABLE loaded_text (LIKE t);
CREATE TABLE loaded_csv (LIKE t);
CREATE TABLE loaded_binary (LIKE t);
";

const METHODS: [&str; 5] = ["redact", "partial", "hash", "token", "null"];

fn scene_on(version: u32) -> Scene {
    Scene::with_database(version, TYPES, |options| {
        options.target_extra +=
            "\n  - {name: spare, protocol: postgres, address: \"127.0.0.1:1\", database: d, username: u, password: p}";
        options.extra = "\
classify:
  - label: pii/all
    columns: [\"shop/public.t.c_*\", shop/public.other.ref, shop/public.other.number]
  - label: pii/mixed
    columns: [shop/public.other.mixed]
"
        .to_owned();
        let mut policies = "@id(\"all\")\npermit (principal, action, resource);\n".to_owned();
        for method in METHODS {
            policies += &format!(
                "@id(\"{method}\") @mask(\"{method}\")\nforbid (principal in Group::\"{method}\", action == Action::\"reveal\", resource);\n"
            );
        }
        options.policies = policies;
    })
}

fn works_on(version: u32) {
    let scene = scene_on(version);
    for method in METHODS {
        let token = scene.gateway.token(method, &[method]);
        for (format, options) in [("text", ""), ("csv", "(FORMAT csv, FORCE_QUOTE *)"), ("binary", "(FORMAT binary)")] {
            let copy = format!("COPY t TO STDOUT {options}");
            let copied = process::output(scene.gateway.psql(method, &token).args(["-c", &copy]));
            assert!(copied.status.success(), "{method} {format}: {}", process::text(&copied));
            let seen = String::from_utf8_lossy(&copied.stdout);
            assert!(!seen.contains("CANARY") && !seen.contains("canary"), "{version} {method} {format}: {seen}");
            // The server reads what the client got, into the same types.
            scene.directly(&format!("TRUNCATE loaded_{format}"));
            let load = format!("COPY loaded_{format} FROM STDIN {}", options.replace(", FORCE_QUOTE *", ""));
            let mut psql = scene.postgres.psql(&scene.database);
            psql.args(["-c", &load]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = psql.spawn().expect("psql runs");
            std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), &copied.stdout).expect("psql reads");
            let loaded = child.wait_with_output().expect("psql ends");
            assert!(loaded.status.success(), "{version} {method} {format}: {}\n{seen}", process::text(&loaded));
        }
        let all = |table: &str| scene.directly(&format!("SELECT x::text FROM {table} x ORDER BY id"));
        let text = all("loaded_text");
        assert_eq!(text, all("loaded_csv"), "{version} {method}");
        assert_eq!(text, all("loaded_binary"), "{version} {method}");
        // What a SELECT shows is what a COPY shows.
        let columns = scene.directly("SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 't'");
        let selected = scene.gateway.query(method, &token, &format!("SELECT {columns} FROM t ORDER BY id LIMIT 10"));
        assert_eq!(
            selected,
            scene.directly(&format!("SELECT {columns} FROM loaded_text ORDER BY id")),
            "{version} {method}"
        );
        // NULL stays NULL.
        assert!(text.lines().last().unwrap_or_default().ends_with(",,,,)"), "{text}");
        let client = |sql: &str| {
            let mut client = Client::login(scene.gateway.port, method, &token);
            client.send_raw(
                &[wire::parse("", sql), wire::bind("", "", &[], 1), wire::execute("", 0), wire::sync()].concat(),
            );
            client.until_ready()
        };
        let rows = client("SELECT * FROM t WHERE id < 100 LIMIT 10");
        assert_eq!(rows.iter().filter(|frame| frame.tag == b'D').count(), 6);
    }
    let (hash, token) = (scene.gateway.token("hash", &["hash"]), scene.gateway.token("token", &["token"]));
    for (user, login) in [("hash", &hash), ("token", &token)] {
        // Equal values have equal stand-ins in other tables, widths and types.
        let one = scene.gateway.query(user, login, "SELECT c_text, c_citext, c_domain, c_int4 FROM t WHERE id = 3");
        let other = scene.gateway.query(user, login, "SELECT ref, ref, ref, number FROM other WHERE id = 3");
        assert_eq!(one, other);
        let numbers = scene.gateway.query(user, login, "SELECT c_int8, c_numeric FROM t WHERE id = 3");
        let number = one.rsplit('|').next().unwrap_or_default();
        assert_eq!(numbers, format!("{number}|{number}"));
        // Of one label a union keeps its stand-ins; of two it is redacted, and so is what is computed.
        let union = "SELECT ref FROM other WHERE id = 3 UNION ALL SELECT c_varchar FROM t WHERE id = 3";
        let shown = scene.gateway.query(user, login, union);
        let first = one.split('|').next().unwrap_or_default();
        assert_eq!(shown, format!("{first}\n{first}"));
        let union = "SELECT ref FROM other WHERE id = 3 UNION ALL SELECT mixed FROM other WHERE id = 3";
        assert_eq!(scene.gateway.query(user, login, union), "***\n***");
        assert_eq!(scene.gateway.query(user, login, "SELECT c_text || '' FROM t WHERE id = 3"), "***");
    }
}

#[test]
fn postgresql_15() {
    works_on(15);
}

#[test]
fn postgresql_16() {
    works_on(16);
}

#[test]
fn postgresql_17() {
    works_on(17);
}

#[test]
fn postgresql_18() {
    works_on(18);
}

/// Two targets of two servers of different versions, whose columns have one label.
#[test]
fn stand_ins_join_across_targets() {
    const CRM: &str = "CREATE TABLE leads (n int, mail varchar(200), tel numeric);
        INSERT INTO leads VALUES (1, 'canary-5@leak.example', 71005), (2, 'canary-3@leak.example', 71003), (3, 'canary-9@leak.example', 71009);";
    const SHOP: &str = "CREATE TABLE buyers (id int, email text, phone int);
        INSERT INTO buyers SELECT i, 'canary-' || i || '@leak.example', 71000 + i FROM generate_series(1, 5) i;";
    let other = Postgres::shared(18);
    let crm = other.database(CRM);
    let scene = Scene::with_database(15, SHOP, |options| {
        options.target_extra += &format!(
            "\n  - name: crm\n    protocol: postgres\n    address: 127.0.0.1:{}\n    database: {crm}\n    username: {}\n    \
             password: ${{env:TEST_TARGET_PASSWORD}}\n    tls: verify-full\n    ca: {}",
            other.port,
            postgres::ROLE,
            other.authority().display()
        );
        options.extra = "\
classify:
  - label: pii/email
    columns: [shop/public.buyers.email, crm/public.leads.mail]
  - label: pii/phone
    columns: [shop/public.buyers.phone, crm/public.leads.tel]
"
        .to_owned();
        options.policies = "@id(\"all\")\npermit (principal, action, resource);\n".to_owned();
        for method in ["hash", "token"] {
            options.policies += &format!(
                "@id(\"{method}\") @mask(\"{method}\")\nforbid (principal in Group::\"{method}\", action == Action::\"reveal\", resource);\n"
            );
        }
    });
    for user in ["hash", "token"] {
        let token = scene.gateway.token(user, &[user]);
        let read = |target: &str, sql: &str| {
            let login = [("user", user), ("database", target)];
            let mut client = Client::login_with(scene.gateway.port, &login, &token).expect("a login");
            let rows = wire::rows(&client.query(sql)).into_iter();
            rows.map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect::<Vec<Vec<String>>>()
        };
        let buyers = read("shop", "SELECT email, phone, id FROM buyers");
        let leads = read("crm", "SELECT mail, tel, n FROM leads");
        assert!(!format!("{buyers:?}{leads:?}").contains("canary"), "{buyers:?} {leads:?}");
        let met: Vec<(&str, &str)> = leads
            .iter()
            .flat_map(|lead| {
                buyers.iter().filter(|buyer| buyer[..2] == lead[..2]).map(|b| (lead[2].as_str(), b[2].as_str()))
            })
            .collect();
        assert_eq!(met, [("1", "5"), ("2", "3")], "{user}: {buyers:?} {leads:?}");
    }
}

#[test]
fn tokens_are_read_back_by_those_who_may_and_that_is_recorded() {
    let scene = scene_on(15);
    let (masked, seer) = (scene.gateway.token("tom", &["token"]), scene.gateway.token("sue", &["seers"]));
    let shown = scene.gateway.query("tom", &masked, "SELECT c_text, c_card, c_uuid, c_int4 FROM t WHERE id = 3");
    let value = scene.directly("SELECT c_text, c_card, c_uuid, c_int4 FROM t WHERE id = 3");
    let tokens: Vec<&str> = shown.split('|').collect();
    for (token, value) in tokens.iter().zip(value.split('|')) {
        assert_ne!(*token, value);
        let read = scene.gateway.as_user(&seer, &["detokenize", "pii/all", token, "-o", "json"]);
        assert!(read.status.success(), "{}", process::text(&read));
        assert!(String::from_utf8_lossy(&read.stdout).contains(&format!("\"{value}\"")), "{}", process::text(&read));
    }
    let code = |token: &str, args: &[&str]| {
        let mut all = vec!["detokenize"];
        all.extend(args);
        scene.gateway.as_user(token, &all).status.code()
    };
    assert_eq!(code(&masked, &["pii/all", tokens[0]]), Some(3));
    assert_eq!(code(&seer, &["pii/all", "no token"]), Some(1));
    assert_eq!(code(&seer, &["pii/mixed", tokens[0]]), Some(1));
    assert_eq!(code(&seer, &["pii/none", tokens[0]]), Some(1));
    assert_eq!(code(&seer, &["pii/all"]), Some(2));
    assert_eq!(code("lg_wrong", &["pii/all", tokens[0]]), Some(5));
    let limited = scene.gateway.token_with("sue", &["seers"], &["--target", "spare"]);
    assert_eq!(code(limited["token"].as_str().expect("a token"), &["pii/all", tokens[0]]), Some(3));
    let body = json!({"label": "pii/all", "tokens": tokens});
    let (status, answer) = api::call(&scene.gateway, "POST", "/api/v1/detokenize", Some(&seer), Some(&body));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["tokens"][0]["values"], json!([{"kind": "text", "value": "CANARY 3"}]));

    let events: Vec<_> = scene.gateway.events().into_iter().filter(|e| e["event"] == "detokenized").collect();
    assert!(
        events.iter().any(|e| e["by"] == "sue" && e["label"] == "pii/all" && e["read"] == 4 && e["allowed"] == true)
    );
    assert!(events.iter().any(|e| e["by"] == "tom"
        && e["allowed"] == false
        && e["reason"].as_str().is_some_and(|r| r.contains("token"))));
    let text = format!("{events:?}");
    assert!(!text.contains("CANARY") && tokens.iter().all(|token| token.len() < 5 || !text.contains(token)), "{text}");
    scene.gateway.verify();
}
