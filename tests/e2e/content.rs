//! Content rules: values that no column is labelled for, found in what the target says.

use lockgate_tests::scene::CLASSIFY;
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Scene, process};

const FOUND: [&str; 5] =
    ["jo.doe@example.org", "4111 1111 1111 1111", "+1-202-555-0143", "GB82 WEST 1234 5698 7654 32", "EMP-00042"];

fn scene() -> Scene {
    let scene = Scene::with(15, |options| {
        let detect = "  - label: pii/found\n    detect: [email, card, phone, iban, badge]\n\
            detectors:\n  - {name: badge, pattern: 'EMP-[0-9]{5}'}\n";
        options.extra = format!("{CLASSIFY}{detect}");
    });
    let letters = FOUND.map(|value| format!("('Dear {value}, hello')")).join(", ");
    scene
        .directly(&format!("CREATE TABLE letters (id serial, body text); INSERT INTO letters (body) VALUES {letters}"));
    scene.directly("CREATE TABLE clean (id int, body text); INSERT INTO clean SELECT i, 'line ' || i FROM generate_series(1, 500) i");
    scene.directly("GRANT SELECT ON letters, clean TO PUBLIC");
    scene
}

fn found(text: &str) -> Option<&'static str> {
    FOUND.into_iter().find(|value| text.contains(value))
}

#[test]
fn what_is_found_is_masked_on_every_way_out() {
    let scene = scene();
    let shown = scene.gateway.query("alice", &scene.alice(), "SELECT body FROM letters ORDER BY id");
    assert_eq!(shown.lines().count(), FOUND.len(), "{shown}");
    assert!(shown.lines().all(|line| line == "Dear ***, hello"), "{shown}");
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    for sql in [
        "SELECT upper(body) || body, array_agg(body) FROM letters GROUP BY body",
        "SELECT to_jsonb(l) FROM letters l",
        "COPY letters TO STDOUT",
        "COPY letters TO STDOUT (FORMAT csv, HEADER)",
        "COPY letters TO STDOUT (FORMAT binary)",
        "SELECT 4111111111111111",
        "SELECT 'jo.doe@example.org' AS \"jo.doe@example.org\"",
        "SELECT 'jo.doe@example.org'::int",
    ] {
        let frames = client.query(sql);
        let all: Vec<u8> = frames.iter().flat_map(|frame| frame.body.clone()).collect();
        let text = String::from_utf8_lossy(&all);
        assert_eq!(found(&text), None, "{sql}: {text}");
        assert!(!text.contains("4111111111111111"), "{sql}: {text}");
    }
    // Binary results through the extended protocol.
    for sql in ["SELECT body FROM letters", "SELECT 4111111111111111::bigint, 4111111111111111::numeric"] {
        client.send_raw(&wire::parse("", sql));
        client.send_raw(&wire::bind("", "", &[], 1));
        client.send_raw(&wire::execute("", 0));
        client.send_raw(&wire::sync());
        let frames = client.until_ready();
        let all: Vec<u8> = frames.iter().flat_map(|frame| frame.body.clone()).collect();
        assert!(wire::tags(&frames).contains('D'), "{sql}");
        assert_eq!(found(&String::from_utf8_lossy(&all)), None, "{sql}");
        assert!(!all.windows(8).any(|w| w == 4_111_111_111_111_111_i64.to_be_bytes()), "{sql}");
    }
}

#[test]
fn pieces_and_other_writings_are_masked() {
    let scene = scene();
    scene.directly("CREATE TABLE pays (id int, card text, n bigint); INSERT INTO pays VALUES (1, '4111111111111111', 4111111111111111)");
    scene.directly("GRANT SELECT ON pays TO PUBLIC");
    let mut client = Client::login(scene.gateway.port, "dana", &scene.dana());
    let cut = "substr(card, 1, 4), substr(card, 5, 4), substr(card, 9, 4), substr(card, 13)";
    let whole = [
        "n::float8".to_owned(),
        "n::numeric(20, 2)".to_owned(),
        "n::money".to_owned(),
        "to_char(n, 'FM9,999,999,999,999,999')".to_owned(),
        "lpad(card, 19, '0')".to_owned(),
        "'card' || card".to_owned(),
        "regexp_replace(card, '(....)', '\\1_', 'g')".to_owned(),
        "convert_to(card, 'UTF8')::text".to_owned(),
        "to_jsonb(convert_to(card, 'UTF8'))".to_owned(),
        "'\\001'::bytea || card::bytea".to_owned(),
        "encode((repeat('x', 50) || ' ' || card || ' ')::bytea, 'base64')".to_owned(),
        cut.to_owned(),
        "substr(card, 1, 8), substr(card, 9)".to_owned(),
        "substr(card, 1, 6), substr(card, 7, 9), substr(card, 16)".to_owned(),
        "n / 1000000000000, n / 100000000 % 10000, n / 10000 % 10000, n % 10000".to_owned(),
        format!("ARRAY[{cut}]"),
        format!("ROW({cut})"),
        format!("jsonb_build_array({cut})"),
        "json_build_object('a', substr(card, 1, 4), 'b', substr(card, 5, 4), 'c', substr(card, 9, 4), 'd', substr(card, 13))".to_owned(),
        "regexp_split_to_array(card, '')".to_owned(),
        "ARRAY[p]".to_owned(),
    ];
    for output in &whole {
        let sql = format!("SELECT {output} FROM pays p");
        for (sql, binary) in [
            (sql.clone(), false),
            (sql.clone(), true),
            (format!("COPY ({sql}) TO STDOUT"), false),
            (format!("COPY ({sql}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)"), false),
            (format!("COPY ({sql}) TO STDOUT (FORMAT binary)"), false),
        ] {
            let frames = if binary {
                client.send_raw(&wire::parse("", &sql));
                client.send_raw(&wire::bind("", "", &[], 1));
                client.send_raw(&wire::execute("", 0));
                client.send_raw(&wire::sync());
                client.until_ready()
            } else {
                client.query(&sql)
            };
            let rows = frames.iter().filter(|frame| matches!(frame.tag, b'D' | b'd'));
            let shown: Vec<u8> = rows.flat_map(|frame| frame.body.clone()).collect();
            assert!(!shown.is_empty(), "{sql}: {}", wire::tags(&frames));
            let text = String::from_utf8_lossy(&shown);
            let bytes = |wanted: &[u8]| shown.windows(wanted.len()).any(|w| w == wanted);
            // Not even half of it, nor the number in any binary form.
            assert!(!text.contains("1111") && !text.contains("3131313131"), "{sql}: {text}");
            assert!(!bytes(&4_111_111_111_111_111_i64.to_be_bytes()), "{sql}");
            assert!(!bytes(&4_111_111_111_111_111_f64.to_be_bytes()), "{sql}");
            assert!(!bytes(&411_111_111_111_111_100_i64.to_be_bytes()), "{sql}");
            assert!(!bytes(&[0x04, 0x57, 0x04, 0x57]) && !bytes(&[0, 0, 0x04, 0x57]), "{sql}: {text}");
        }
    }
    let split = "SELECT split_part(m, '@', 1) AS mail_name, split_part(m, '@', 2) AS mail_domain FROM (VALUES ('jo.doe@example.org')) v(m)";
    for sql in [split.to_owned(), "SELECT 'jo.doe@', 'example.org'".to_owned(), format!("COPY ({split}) TO STDOUT")] {
        let shown: Vec<u8> = client.query(&sql).iter().flat_map(|frame| frame.body.clone()).collect();
        let text = String::from_utf8_lossy(&shown);
        assert!(!text.contains("jo.doe") && !text.contains("example.org"), "{sql}: {text}");
    }
    // Who looks at columns of small numbers sees them.
    for sql in [
        "SELECT i FROM generate_series(1, 999) i",
        "SELECT i % 9 FROM generate_series(1, 300) i",
        "SELECT i, i % 7, i % 11, i % 13, i % 100, i % 3, i * 7 % 1000, i * 31 % 1000, i % 2 FROM generate_series(1, 300) i",
    ] {
        assert_eq!(scene.gateway.query("alice", &scene.alice(), sql), scene.directly(sql), "{sql}");
    }
}

#[test]
fn who_may_reveal_sees_it_and_clean_rows_are_unchanged() {
    let scene = scene();
    let sql = "SELECT * FROM letters ORDER BY id";
    assert_eq!(scene.gateway.query("frank", &scene.frank(), sql), scene.directly(sql));
    let sql = "SELECT id, body, now() > '2020-01-01', md5(body) FROM clean ORDER BY id";
    assert_eq!(scene.gateway.query("alice", &scene.alice(), sql), scene.directly(sql));
}

#[test]
fn lists_of_numbers_of_the_catalog_are_left_alone() {
    let scene = scene();
    scene.directly("CREATE TABLE lists (kinds oidvector, keys int2[])");
    // Sixteen digits with their check digit, as lists of types and of columns.
    scene.directly("INSERT INTO lists VALUES ('4111 1111 1111 1111', '{4111,1111,1111,1111}')");
    scene.directly("GRANT SELECT ON lists TO PUBLIC");
    // What pg_dump asks about functions: it gives up where a list of arguments is empty.
    let sql = "SELECT oid, proname, pronargs, proargtypes, proallargtypes FROM pg_proc WHERE oid < 16384 ORDER BY oid";
    assert_eq!(scene.gateway.query("alice", &scene.alice(), sql), scene.directly(sql));
    let sql = "SELECT i.indexrelid, i.indkey, i.indclass, c.conkey FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid ORDER BY 1";
    assert_eq!(scene.gateway.query("alice", &scene.alice(), sql), scene.directly(sql));
    // What only looks like one of these is data.
    for sql in [
        "SELECT kinds FROM lists",
        "SELECT keys FROM lists",
        "SELECT '4111 1111 1111 1111'::oidvector FROM pg_proc LIMIT 1",
        "SELECT coalesce(kinds, proargtypes) FROM pg_proc, lists LIMIT 1",
        "SELECT kinds FROM lists UNION ALL SELECT proargtypes FROM pg_proc LIMIT 1",
    ] {
        let shown = scene.gateway.query("alice", &scene.alice(), sql);
        assert!(shown.trim() == "" || shown.trim() == "{}", "{sql}: {shown}");
    }
}

#[test]
fn the_recording_holds_the_masked_form() {
    let scene = scene();
    scene.gateway.query("alice", &scene.alice(), "SELECT body FROM letters");
    let mut shown = String::new();
    process::eventually("the session is recorded", std::time::Duration::from_secs(10), || {
        let listed = scene.gateway.here_ok(&["sessions", "list", "-o", "json"]);
        let sessions: serde_json::Value = serde_json::from_str(&listed).unwrap_or_default();
        let Some(id) = sessions[0]["id"].as_str() else { return false };
        shown = String::from_utf8_lossy(&scene.gateway.here(&["sessions", "export", id]).stdout).into_owned();
        shown.contains("Dear ***, hello")
    });
    assert_eq!(found(&shown), None);
}
