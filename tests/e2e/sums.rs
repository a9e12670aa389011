//! What sums of labelled numbers tell together, and who may have them: groups add up, rows move between them, and what somebody may do in
//! another way counts.

use crate::infer::{client, one, policies, refused};
use lockgate_tests::Scene;
use lockgate_tests::wire::{self, Client};
use std::time::Duration;

const HALVES: &str =
    "ALTER TABLE people ADD COLUMN half text; UPDATE people SET half = CASE WHEN id <= 20 THEN 'a' ELSE 'b' END";
const ALL: &str = "SELECT sum(salary) FROM people";
const BY_HALF: &str = "SELECT half, sum(salary) FROM people GROUP BY half ORDER BY half LIMIT 9";

fn scene_with(policy: &str) -> Scene {
    Scene::with(15, |options| options.policies = format!("{}{policy}", policies()))
}

fn answered(client: &mut Client, sql: &str) -> usize {
    let frames = client.query(sql);
    assert!(!wire::tags(&frames).contains('E'), "{sql}: {frames:?}");
    wire::rows(&frames).len()
}

#[test]
fn groups_of_an_answer_add_up() {
    let scene = scene_with("");
    scene.directly(HALVES);
    let without = "SELECT half, sum(salary) FROM people WHERE id <> 7 GROUP BY half LIMIT 9";
    let more = "SELECT sum(salary) FROM people WHERE half = 'a' OR id = 30";
    for (user, first, second) in
        [("ana", ALL, without), ("bea", without, ALL), ("cat", more, BY_HALF), ("dot", BY_HALF, more)]
    {
        let mut client = client(&scene, user, "analysts");
        answered(&mut client, first);
        refused(&client.query(second), &["public.people.salary", "difference"]);
    }
    // Whole groups, and enough of each, tell nobody's.
    let mut eve = client(&scene, "eve", "analysts");
    for sql in [
        ALL,
        BY_HALF,
        "SELECT sum(salary) FROM people WHERE half = 'a'",
        "SELECT sum(salary) FROM people WHERE points BETWEEN 11 AND 30",
    ] {
        answered(&mut eve, sql);
    }
}

#[test]
fn who_moves_from_group_to_group_is_in_no_difference() {
    let scene = scene_with("");
    scene.directly(HALVES);
    let mut ana = client(&scene, "ana", "analysts");
    assert_eq!(answered(&mut ana, BY_HALF), 2);
    assert_eq!(answered(&mut ana, BY_HALF), 2, "the same again tells the same");
    scene.directly("UPDATE people SET half = 'b' WHERE id = 7");
    refused(&ana.query(BY_HALF), &["public.people.salary", "added or taken away"]);
    // What cannot be told apart is not given out, and nothing comes of it.
    scene.directly("ALTER TABLE people ADD COLUMN bits bit(1) DEFAULT B'1'");
    std::thread::sleep(Duration::from_millis(600));
    for begin in ["SELECT 1", "BEGIN"] {
        ana.query(begin);
        refused(&ana.query("SELECT bits, sum(salary) FROM people GROUP BY bits LIMIT 9"), &["public.people.salary"]);
        ana.query("ROLLBACK");
    }
    let mut bea = client(&scene, "bea", "analysts");
    assert_eq!(answered(&mut bea, BY_HALF), 2);
}

/// Which rows there are for a session may hang on its settings.
#[test]
fn rows_that_settings_choose_are_not_added_up() {
    let scene = scene_with("");
    scene.directly(HALVES);
    scene.directly(
        "ALTER TABLE people ENABLE ROW LEVEL SECURITY; ALTER TABLE people FORCE ROW LEVEL SECURITY;
         CREATE POLICY p ON people USING (half = ANY (string_to_array(current_setting('app.halves', true), ',')))",
    );
    let mut ana = client(&scene, "ana", "analysts");
    ana.query("SET app.halves = 'a'");
    let told = one(&ana.query(ALL));
    ana.query("SET app.halves = 'a,b'");
    let frames = ana.query("SELECT sum(salary) FROM people WHERE half = 'a' AND id <> 7");
    assert!(told == "0" || wire::tags(&frames).contains('E') || one(&frames) == "0", "{told} {frames:?}");
}

#[test]
fn an_agent_of_somebody_who_writes_is_given_no_sum() {
    let scene = scene_with("");
    let sum = scene.directly(ALL);
    let token = |own: &[&str], bobs: &[&str]| {
        let mut flags = vec!["--kind", "agent", "--on-behalf-of", "bob"];
        for group in bobs {
            flags.extend(["--on-behalf-of-group", group]);
        }
        scene.gateway.token_with("bot", own, &flags)["token"].as_str().unwrap().to_owned()
    };
    for (own, bobs, told) in [
        (&["analysts"][..], &["analysts"][..], true),
        (&["analysts"], &["analysts", "clerks"], false),
        (&["analysts", "clerks"], &["analysts"], false),
    ] {
        let mut bot = Client::login(scene.gateway.port, "bot", &token(own, bobs));
        assert_eq!(one(&bot.query(ALL)) == sum, told, "{own:?} for {bobs:?}");
    }
}

/// Which way of writing a policy permits does not matter.
#[test]
fn who_may_write_in_one_way_is_given_no_sum() {
    let policy = r#"
permit (principal in Group::"adders", action == Action::"write", resource in Target::"shop") when { context.sql.verb == "insert" };
permit (principal in Group::"shapers", action == Action::"define", resource == Table::"shop/public.people");
permit (principal in Group::"runners", action == Action::"execute", resource in Target::"shop");
"#;
    let scene = scene_with(policy);
    let sum = scene.directly(ALL);
    for (group, told) in [("linkers", true), ("adders", false), ("shapers", false), ("runners", false)] {
        let token = scene.gateway.token("abe", &["analysts", group]);
        let mut abe = Client::login(scene.gateway.port, "abe", &token);
        assert_eq!(one(&abe.query(ALL)) == sum, told, "{group}");
    }
    let token = scene.gateway.token("abe", &["analysts", "adders"]);
    let mut abe = Client::login(scene.gateway.port, "abe", &token);
    answered(&mut abe, "INSERT INTO people (id, name) VALUES (99, 'x')");
}

/// What somebody writes may be written on by triggers and rules, and a child's rows are its parent's.
#[test]
fn who_may_write_what_writes_the_table_is_given_no_sum() {
    let policy = r#"
permit (principal in Group::"clerks-of-desk", action == Action::"write", resource == Table::"shop/public.desk");
"#;
    let writes = "INSERT INTO people (id, name, salary) VALUES (NEW.id, 'x', 1)";
    let trigger = |body: &str| {
        format!(
            "CREATE FUNCTION on_desk() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN {body}; RETURN NEW; END $f$;
             CREATE TRIGGER t BEFORE INSERT ON desk FOR EACH ROW EXECUTE FUNCTION on_desk()"
        )
    };
    let desk = "CREATE TABLE desk (id int, at timestamptz)";
    for (what, setup, told) in [
        ("a table of its own", desk.to_owned(), true),
        ("a trigger that writes its own row", format!("{desk}; {}", trigger("NEW.at := now()")), true),
        ("a trigger that reads", format!("{desk}; {}", trigger("NEW.id := (SELECT count(*) FROM people)")), true),
        ("a trigger that writes", format!("{desk}; {}", trigger(writes)), false),
        ("a trigger that may write", format!("{desk}; {}", trigger("EXECUTE 'SELECT 1'")), false),
        (
            "a trigger that calls what writes",
            format!(
                "{desk}; CREATE FUNCTION adds(int) RETURNS int LANGUAGE sql BEGIN ATOMIC INSERT INTO people (id) VALUES ($1); SELECT 1; END;
                 {}",
                trigger("PERFORM adds(NEW.id)")
            ),
            false,
        ),
        ("a rule", format!("{desk}; CREATE RULE r AS ON INSERT TO desk DO ALSO {writes}"), false),
        ("a child", "CREATE TABLE desk () INHERITS (people)".to_owned(), false),
    ] {
        let scene = scene_with(policy);
        scene.directly(&setup);
        let sum = scene.directly(ALL);
        let token = scene.gateway.token("abe", &["analysts", "clerks-of-desk"]);
        let mut abe = Client::login(scene.gateway.port, "abe", &token);
        assert_eq!(one(&abe.query(ALL)) == sum, told, "{what}");
        let token = scene.gateway.token("ana", &["analysts"]);
        let mut ana = Client::login(scene.gateway.port, "ana", &token);
        assert_eq!(one(&ana.query(ALL)), sum, "{what}");
    }
}

/// Whoever writes through a view writes the table.
#[test]
fn what_may_not_be_written_is_not_written_through_views() {
    let views = "CREATE VIEW wages AS SELECT id, name, points FROM people;
        CREATE VIEW again AS SELECT id, points FROM wages WHERE id IN (SELECT id FROM notes);
        CREATE FUNCTION through() RETURNS void LANGUAGE sql AS 'UPDATE wages SET points = 9 WHERE id = 7';";
    let scene = Scene::with_database(15, &format!("{}{views}", lockgate_tests::scene::SHOP), |options| {
        options.policies = policies();
        options.policies.push_str(
            r#"@id("not-people") forbid (principal in Group::"engineers", action == Action::"write", resource == Table::"shop/public.people");
               @id("calls") permit (principal in Group::"engineers", action == Action::"execute", resource in Target::"shop");
               @id("views") permit (principal in Group::"wagers", action == Action::"write", resource == Table::"shop/public.wages");"#,
        );
    });
    let mut alice = Client::login(scene.gateway.port, "alice", &scene.alice());
    for sql in [
        "UPDATE people SET points = 9 WHERE id = 7",
        "UPDATE wages SET points = 9 WHERE id = 7",
        "UPDATE again SET points = 9 WHERE id = 7",
        "INSERT INTO wages VALUES (99, 'x', 1)",
        "WITH w AS (UPDATE wages SET points = 9 WHERE id = 7 RETURNING 1) SELECT 1 FROM w",
        "MERGE INTO wages USING (VALUES (7)) v (i) ON id = i WHEN MATCHED THEN UPDATE SET points = 9",
        "PREPARE w AS UPDATE wages SET points = 9 WHERE id = 7",
        "SELECT through()",
    ] {
        refused(&alice.query(sql), &["not-people"]);
    }
    // What a view only looks at is not written.
    answered(&mut alice, "INSERT INTO notes (body) VALUES ('x')");
    let token = scene.gateway.token("wes", &["analysts", "wagers"]);
    let mut wes = Client::login(scene.gateway.port, "wes", &token);
    refused(&wes.query("UPDATE wages SET points = 9 WHERE id = 7"), &["public.people"]);
    assert_eq!(scene.directly("SELECT count(*) FROM people WHERE points = 9"), "1");
    let token = scene.gateway.token("cleo", &["clerks"]);
    let mut cleo = Client::login(scene.gateway.port, "cleo", &token);
    answered(&mut cleo, "UPDATE again SET points = 10 WHERE id = 7");
    assert_eq!(scene.directly("SELECT points FROM people WHERE id = 7"), "10");
}
