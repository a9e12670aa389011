//! `enforcement: rewrite`: who may not see a column finds constants in it wherever a statement looks, and frank sees it all.

use crate::masking::leaked;
use lockgate_tests::Scene;
use lockgate_tests::scene::{PEOPLE, SSN};
use lockgate_tests::wire::{self, Client};

fn rewriting() -> Scene {
    Scene::with(15, |options| options.target_extra.push_str("\n    enforcement: rewrite"))
}

#[test]
fn predicates_joins_and_order_see_constants() {
    let scene = rewriting();
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    let all = PEOPLE.to_string();
    for (sql, expected) in [
        (format!("SELECT count(*) FROM people WHERE ssn = '{SSN}'"), "0"),
        ("SELECT count(*) FROM people WHERE ssn = '***'".to_owned(), all.as_str()),
        ("SELECT count(DISTINCT ssn) FROM people".to_owned(), "1"),
        ("SELECT count(*) FROM people WHERE ssn IS NULL".to_owned(), "0"),
        ("SELECT count(*) FROM people p JOIN people q ON p.ssn = q.ssn WHERE p.id = 1".to_owned(), all.as_str()),
        ("SELECT string_agg(ssn, ',') FROM (SELECT ssn FROM people ORDER BY ssn LIMIT 2) p".to_owned(), "***,***"),
        ("SELECT sum(salary) FROM people WHERE salary > 0".to_owned(), ""),
        ("SELECT name FROM people WHERE id = 7 AND ssn LIKE '%'".to_owned(), "Person 7"),
        ("WITH p AS (SELECT * FROM people) SELECT min(ssn) FROM p".to_owned(), "***"),
        ("SELECT born FROM people WHERE id = 3".to_owned(), "2000-01-01"),
        ("SELECT tags FROM people WHERE id = 3".to_owned(), "{}"),
    ] {
        let seen = wire::rows(&client.query(&sql));
        let value = seen.first().and_then(|row| row.first().cloned()).flatten();
        assert_eq!(value.unwrap_or_default(), expected, "{sql}");
    }
    assert_eq!(leaked(&client.seen), None);
}

#[test]
fn prepared_statements_cursors_and_copies_too() {
    let scene = rewriting();
    let token = scene.alice();
    let mut client = Client::login(scene.gateway.port, "alice", &token);
    for sql in [
        "PREPARE p(text) AS SELECT id, ssn FROM people WHERE ssn = $1",
        "EXECUTE p('***')",
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT * FROM people ORDER BY ssn",
        "FETCH 3 FROM c",
        "COMMIT",
        "TABLE people",
        "EXPLAIN SELECT * FROM people WHERE ssn > 'SSN'",
    ] {
        let seen = client.query(sql);
        assert!(!wire::tags(&seen).contains('E'), "{sql}: {seen:?}");
    }
    assert_eq!(leaked(&client.seen), None);
    let parts = [
        wire::parse("s", "SELECT id, ssn FROM people WHERE ssn = $1 AND id = $2::int"),
        wire::bind("", "s", &["***", "9"], 0),
        wire::execute("", 0),
        wire::sync(),
    ];
    client.send_raw(&parts.concat());
    let rows = wire::rows(&client.until_ready());
    assert_eq!(rows, [[Some("9".to_owned()), Some("***".to_owned())]]);
}

#[test]
fn who_may_see_is_not_rewritten_and_the_rest_stays_refused() {
    let scene = rewriting();
    let sql = format!("SELECT ssn FROM people WHERE ssn = '{SSN}'");
    assert_eq!(scene.gateway.query("frank", &scene.frank(), &sql).trim(), SSN);
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    // A change cannot look at constants instead of what it changes.
    let refused = client.query(&format!("UPDATE people SET name = 'x' WHERE ssn = '{SSN}'"));
    assert_eq!(wire::error(&refused).field(b'C').as_deref(), Some("42501"));
    // A mistake is told in the server's words, without a place in a text that the client did not write.
    let mistake = client.query("SELECT nonsense, ssn FROM people");
    assert_eq!(wire::error(&mistake).field(b'C').as_deref(), Some("42703"));
    assert_eq!(wire::error(&mistake).field(b'P'), None);
    assert_eq!(leaked(&client.seen), None);
}

#[test]
fn only_for_the_groups_that_it_is_for() {
    let scene = Scene::with(15, |options| {
        options.target_extra.push_str("\n    rewrite_for: [group:agents]");
        options.policies = options.policies.replace(
            "@id(\"dba-work\")",
            "@id(\"agents-work\")\npermit (principal in Group::\"agents\", action in [Action::\"connect\", Action::\"read\"], resource in Target::\"shop\");\n\n@id(\"dba-work\")",
        );
    });
    let agent = scene.gateway.token("robot", &["agents"]);
    let sql = "SELECT count(*) FROM people WHERE ssn = '***'";
    assert_eq!(scene.gateway.query("robot", &agent, sql).trim(), PEOPLE.to_string());
    let mut client = Client::login(scene.gateway.port, "alice", &scene.alice());
    assert_eq!(wire::error(&client.query(sql)).field(b'C').as_deref(), Some("42501"));
}
