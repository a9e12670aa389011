//! The usual scene: a PostgreSQL with a small shop in it, a gateway in front, and the policies that the design shows.

use crate::{Gateway, GatewayOptions, Postgres, process};
use std::process::Output;
use std::time::Duration;

/// Rows of `people`.
pub const PEOPLE: usize = 50;

/// Values that only who may see personal data may ever see. Row 7 has this one; every row's begins with `SSN-CANARY-`.
pub const SSN: &str = "SSN-CANARY-0007";

/// What is in the database.
pub const SHOP: &str = r#"
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, email text, ssn text, salary numeric(10,2), born date,
  uid uuid, doc jsonb, tags text[], points int);
INSERT INTO people SELECT i, 'Person ' || i, 'canary' || i || '@leak.example', 'SSN-CANARY-' || lpad(i::text, 4, '0'),
  71000 + i + 0.56, date '1971-02-03' + i, lpad(i::text, 32, 'abcdef0123456789')::uuid, jsonb_build_object('ssn', 'DOC-CANARY-' || i),
  ARRAY['TAG-CANARY-' || i, 'x'], i FROM generate_series(1, 50) i;
CREATE VIEW contacts AS SELECT id, name AS who, ssn AS number FROM people;
CREATE TABLE notes (id serial PRIMARY KEY, body text);
INSERT INTO notes (body) SELECT 'note ' || i FROM generate_series(1, 20) i;
CREATE TABLE log (id bigint PRIMARY KEY, who text);
"#;

/// What the columns hold. The label `pii` is masked for everybody but group `fraud`.
pub const CLASSIFY: &str = "\
classify:
  - label: pii/ssn
    columns: [shop/public.people.ssn]
  - label: pii/email
    columns: [shop/public.people.email]
  - label: pii/salary
    columns: [shop/public.people.salary]
  - label: pii/other
    columns: [shop/public.people.born, shop/public.people.uid, shop/public.people.doc, shop/public.people.tags]
";

/// The policies of the scene. Lines count: denials name them.
pub const POLICIES: &str = r#"@id("work")
permit (principal in Group::"engineers", action in [Action::"connect", Action::"read", Action::"write", Action::"define"], resource in Target::"shop");

@id("dba-work")
permit (principal in Group::"dba", action in [Action::"connect", Action::"read", Action::"write", Action::"define", Action::"export", Action::"execute", Action::"administer"], resource in Target::"shop");

@id("fraud-work")
permit (principal in Group::"fraud", action in [Action::"connect", Action::"read"], resource in Target::"shop");

@id("fraud-sees")
permit (principal in Group::"fraud", action == Action::"reveal", resource in Label::"pii");

@id("fraud-searches")
@mode("any")
permit (principal in Group::"fraud", action == Action::"infer", resource in Label::"pii");

@id("no-bulk-export")
forbid (principal, action == Action::"export", resource in Target::"shop") unless { principal in Group::"dba" };

@id("ddl-needs-a-dba")
@approve("dba")
forbid (principal, action == Action::"define", resource in Target::"shop") unless { principal in Group::"dba" };

@id("delete-without-where")
forbid (principal, action == Action::"write", resource in Target::"shop") when { context.sql.verb == "delete" && !context.sql.has_where };

@id("delete-needs-a-dba")
@approve("dba")
forbid (principal, action == Action::"write", resource in Target::"shop") when { context.sql.verb == "delete" && context.sql.has_where } unless { principal in Group::"dba" };

@id("mask-pii")
@mask("redact")
forbid (principal, action == Action::"reveal", resource in Label::"pii") unless { principal in Group::"fraud" };
"#;

/// Everything is permitted to everybody; nothing is labelled. A relay, as far as policy goes.
pub const PERMIT_ALL: &str = "@id(\"all\")\npermit (principal, action, resource);\n";

/// Server, database and gateway of one test.
#[derive(Debug)]
pub struct Scene {
    /// The gateway.
    pub gateway: Gateway,
    /// The server.
    pub postgres: &'static Postgres,
    /// The database of target `shop`.
    pub database: String,
}

/// The usual scene on PostgreSQL 15.
pub fn scene() -> Scene {
    Scene::with(15, |_| ())
}

impl Scene {
    /// The scene on another version, or with another gateway.
    pub fn with(version: u32, change: impl FnOnce(&mut GatewayOptions)) -> Scene {
        Scene::with_database(version, SHOP, change)
    }

    /// The scene with another database, which `sql` fills.
    pub fn with_database(version: u32, sql: &str, change: impl FnOnce(&mut GatewayOptions)) -> Scene {
        let postgres = Postgres::shared(version);
        let database = postgres.database(sql);
        let mut options = Scene::options(postgres, &database);
        change(&mut options);
        Scene { gateway: Gateway::start(options), postgres, database }
    }

    /// What the usual gateway is told.
    pub fn options(postgres: &Postgres, database: &str) -> GatewayOptions {
        GatewayOptions {
            target_port: postgres.port,
            database: database.to_owned(),
            target_extra: format!("    tls: verify-full\n    ca: {}", postgres.authority().display()),
            extra: CLASSIFY.to_owned(),
            identity: String::new(),
            policies: POLICIES.to_owned(),
            data_dir: None,
            environment: Vec::new(),
        }
    }

    /// The scene with everything permitted and nothing labelled.
    pub fn permit_all(version: u32) -> Scene {
        Scene::with(version, |options| {
            options.policies = PERMIT_ALL.to_owned();
            options.extra = String::new();
        })
    }

    /// The usual scene with something between the gateway and the server, at `port`, without TLS.
    pub fn through(port: u16) -> Scene {
        Scene::with(15, |options| {
            options.target_port = port;
            options.target_extra = "    tls: disable".to_owned();
        })
    }

    /// A token of alice, an engineer.
    pub fn alice(&self) -> String {
        self.gateway.token("alice", &["engineers"])
    }

    /// A token of dana, a DBA.
    pub fn dana(&self) -> String {
        self.gateway.token("dana", &["dba"])
    }

    /// A token of frank, who may see personal data.
    pub fn frank(&self) -> String {
        self.gateway.token("frank", &["fraud"])
    }

    /// A token of olga, who administers the gateway.
    pub fn olga(&self) -> String {
        self.gateway.token("olga", &["platform"])
    }

    /// The id of the one approval that waits; panics if none comes.
    pub fn pending(&self, token: &str) -> String {
        let mut found = None;
        crate::process::eventually("an approval waits", std::time::Duration::from_secs(20), || {
            let listed = self.gateway.as_user(token, &["approvals", "list", "-o", "json"]);
            let json: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
            found = first_id(&json);
            found.is_some()
        });
        found.expect("it was found")
    }

    /// `lockgate approvals approve ID` as the owner of a token.
    pub fn approve(&self, token: &str, id: &str) -> Output {
        self.gateway.as_user(token, &["approvals", "approve", id])
    }

    /// What the database holds, asked directly.
    pub fn directly(&self, sql: &str) -> String {
        self.postgres.sql(&self.database, sql)
    }

    /// Does something while somebody else holds a table, which they let go of a few seconds after they got it.
    pub fn while_locked<T>(&self, table: &str, seconds: u32, during: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let locked = scope.spawn(move || {
                self.directly(&format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep({seconds}); COMMIT"))
            });
            let held = format!(
                "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND mode = 'AccessExclusiveLock' AND granted"
            );
            process::eventually("the table is locked", Duration::from_secs(20), || self.directly(&held) == "1");
            let done = during();
            locked.join().expect("it was locked");
            done
        })
    }
}

fn first_id(json: &serde_json::Value) -> Option<String> {
    match json {
        serde_json::Value::Array(items) => items.iter().find_map(first_id),
        serde_json::Value::Object(fields) => match fields.get("id").and_then(|id| id.as_str()) {
            Some(id) => Some(id.to_owned()),
            None => fields.values().find_map(first_id),
        },
        _ => None,
    }
}
