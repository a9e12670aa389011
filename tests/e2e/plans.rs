//! The server keeps plans, and does not notice that something new comes first in the same path: what it runs is judged as what
//! it runs, and not as what the text would mean today.

use crate::waiting::{dana, done, leaked};
use lockgate_tests::scene;
use lockgate_tests::scene::Scene;
use lockgate_tests::wire::{self, Client, Frame, bind, execute, parse, sync};
use std::time::Duration;

/// An expression, so that the server's word on the column's origin says nothing.
const SECRET: &str = "SELECT ssn || '' FROM people WHERE id < 4";

const TEMPORARY: &str = "CREATE TEMP TABLE people AS SELECT 1 AS id, 'own'::text AS ssn";

#[track_caller]
fn silent(what: &str, frames: &[Frame]) {
    assert_eq!(leaked(frames), None, "{what}: {frames:?}");
}

#[track_caller]
fn answers(what: &str, frames: &[Frame], value: &str) {
    silent(what, frames);
    assert_eq!(wire::rows(frames), [[Some(value.to_owned())]], "{what}: {frames:?}");
}

fn sent(client: &mut Client, frames: &[Vec<u8>]) -> Vec<Frame> {
    client.send_raw(&[frames.concat(), sync()].concat());
    client.until_ready()
}

/// Runs `s`, by every way there is.
fn runs(client: &mut Client, how: &str) -> Vec<Frame> {
    match how {
        "EXECUTE" => client.query("EXECUTE s"),
        "EXECUTE in pieces" => {
            sent(client, &[parse("", "EXECUTE s"), bind("", "", &[], 0), execute("", 1), execute("", 0)])
        }
        "Bind" => sent(client, &[bind("", "s", &[], 0), execute("", 0)]),
        "FETCH" => {
            done(client, "BEGIN");
            silent(how, &sent(client, &[bind("c", "s", &[], 0)]));
            let frames = client.query("FETCH ALL FROM c");
            done(client, "COMMIT");
            frames
        }
        _ => client.query("BEGIN; EXECUTE s; COMMIT"),
    }
}

const WAYS: [&str; 5] = ["EXECUTE", "EXECUTE in pieces", "Bind", "FETCH", "several"];

#[test]
fn a_temporary_table_of_the_same_name_leaves_no_plan_behind() {
    let scene = scene();
    for how in WAYS {
        for by in ["SQL", "protocol"] {
            let mut client = dana(&scene.gateway);
            done(&mut client, "CREATE TEMP TABLE any_other (i int)");
            if by == "SQL" {
                done(&mut client, &format!("PREPARE s AS {SECRET}"));
            } else {
                silent(how, &sent(&mut client, &[parse("s", SECRET)]));
            }
            let frames = runs(&mut client, how);
            silent(how, &frames);
            done(&mut client, TEMPORARY);
            let frames = runs(&mut client, how);
            silent(how, &frames);
            if how != "several" && how != "EXECUTE in pieces" {
                answers(how, &frames, "own");
            }
            done(&mut client, "DROP TABLE pg_temp.people");
            silent(how, &runs(&mut client, how));
        }
    }
    scene.gateway.verify();
}

#[test]
fn within_one_pipeline_it_is_the_same() {
    let scene = scene();
    let mut client = dana(&scene.gateway);
    done(&mut client, "CREATE TEMP TABLE any_other (i int)");
    let pipeline = [
        parse("s", SECRET),
        bind("", "s", &[], 0),
        execute("", 0),
        parse("t", TEMPORARY),
        bind("", "t", &[], 0),
        execute("", 0),
        bind("", "s", &[], 0),
        execute("", 0),
    ];
    let frames = sent(&mut client, &pipeline);
    silent("a pipeline", &frames);
    assert_eq!(wire::rows(&frames).last(), Some(&vec![Some("own".to_owned())]), "{frames:?}");
}

/// Somebody else makes the table, in a schema that comes first.
#[test]
fn a_table_of_anybody_s_leaves_no_plan_behind() {
    let scene = scene();
    scene.directly("CREATE SCHEMA first; GRANT ALL ON SCHEMA first TO PUBLIC");
    for past_the_gateway in [false, true] {
        for how in WAYS {
            let (mut client, mut other) = (dana(&scene.gateway), dana(&scene.gateway));
            done(&mut client, "SET search_path = first, public");
            done(&mut client, &format!("PREPARE s AS {SECRET}"));
            silent(how, &runs(&mut client, how));
            let made = "CREATE TABLE first.people AS SELECT 1 AS id, 'own'::text AS ssn";
            if past_the_gateway {
                scene.directly(&format!("{made}; GRANT SELECT ON first.people TO PUBLIC"));
                std::thread::sleep(Duration::from_millis(600));
            } else {
                done(&mut other, made);
            }
            let frames = runs(&mut client, how);
            silent(how, &frames);
            scene.directly("DROP TABLE first.people");
            std::thread::sleep(Duration::from_millis(600));
            silent(how, &runs(&mut client, how));
        }
    }
}

/// From version 18 on the server keeps plans of SQL functions too.
#[test]
fn code_of_functions_leaves_no_plan_behind() {
    for version in [15, 18] {
        let scene = Scene::with(version, |_| ());
        scene.directly(
            "CREATE FUNCTION found() RETURNS SETOF text LANGUAGE sql VOLATILE AS 'SELECT ssn FROM people WHERE id < 4'",
        );
        let mut client = dana(&scene.gateway);
        done(&mut client, "CREATE TEMP TABLE any_other (i int)");
        let read = "SELECT f || '' FROM found() f LIMIT 3";
        silent("before", &client.query(read));
        done(&mut client, TEMPORARY);
        answers("after", &client.query(read), "own");
        done(&mut client, "DROP TABLE pg_temp.people");
        silent("again", &client.query(read));
    }
}
