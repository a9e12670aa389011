//! One server with the shop in three worlds, one gateway in front of it, and fresh copies for every case.

use crate::case::{Case, data};
use crate::play::{Place, Told};
use lockgate_tests::postgres::{PASSWORD, ROLE, SUPERUSER};
use lockgate_tests::process::{self, Scratch};
use lockgate_tests::wire::{self, Client};
use lockgate_tests::{Gateway, GatewayOptions, Postgres};
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// A database; they differ in the values of labelled columns only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The shop.
    A,
    /// Other values.
    B,
    /// The values of A, spelt so that no pattern knows them.
    O,
}

impl World {
    /// All, A first.
    pub const ALL: [World; 3] = [World::A, World::B, World::O];

    fn template(self) -> &'static str {
        match self {
            World::A => "world_a",
            World::B => "world_b",
            World::O => "world_o",
        }
    }

    /// A copy of it that is asked. To the template itself nobody connects: it could not be copied meanwhile.
    fn asked(self) -> &'static str {
        match self {
            World::A => "asked_a",
            World::B => "asked_b",
            World::O => "asked_o",
        }
    }
}

/// The target whose login role is an ordinary one, and the one whose is a superuser.
const TARGETS: [&str; 2] = ["shop", "shopsu"];

/// Values of a few people that stand out: whoever sees one of them sees what is labelled.
const CANARIES: &str = "\
SELECT DISTINCT v FROM (SELECT unnest(ARRAY[ssn, split_part(replace(email, '#', '@'), '@', 1), credit_card, phone, \
dob::text, salary::text, notes->>'diagnosis', notes->>'mrn', address, ssn_last6]) v FROM customers WHERE id < 4 OR id > 9000 \
UNION ALL SELECT unnest(ARRAY[national_id::text, badge::text, host(home_ip), iban, medical::text, contacts[1], \
(kin).phone, born::text, encode(photo, 'hex'), mac::text, nick::text, path::text, kv->'mother']) FROM hr.employees \
UNION ALL SELECT card_pan FROM payments) q WHERE length(v) > 5";

/// Server, worlds and gateway.
pub struct Stage {
    /// The gateway, with targets `shop` and `shopsu`.
    pub gateway: Gateway,
    /// What user objects' numbers begin with in a copy: below it, they are the template's and the same in every world.
    pub first_new_oid: u32,
    postgres: &'static Postgres,
    /// Of zed, and of ann, for whom columns are masked as they are read.
    tokens: [String; 2],
    scratch: Scratch,
    canaries: [Vec<String>; 3],
    /// Copies of each world that nobody changed.
    unchanged: [Mutex<Vec<String>>; 3],
    /// Connections on which databases are made and dropped.
    admins: Mutex<Vec<Client>>,
}

/// The one stage of this run on a version of the server.
pub fn stage(version: u32) -> &'static Stage {
    static STAGES: [OnceLock<Stage>; 4] = [const { OnceLock::new() }; 4];
    let at = version.checked_sub(15).expect("15 is the oldest") as usize;
    STAGES[at].get_or_init(|| Stage::build(version))
}

impl Stage {
    fn build(version: u32) -> Stage {
        let postgres = Postgres::shared(version);
        postgres.sql("postgres", &format!("REVOKE pg_monitor FROM {ROLE}; ALTER ROLE {ROLE} NOCREATEDB"));
        postgres.sql("postgres", &format!("CREATE ROLE dba LOGIN SUPERUSER PASSWORD '{PASSWORD}'; CREATE ROLE repl"));
        let run = |database: &str, file: &str| {
            process::run(postgres.psql(database).args(["-q", "-f"]).arg(data(file)));
        };
        let a = World::A.template();
        postgres.sql("postgres", &format!("CREATE DATABASE {a}"));
        run(a, "shop.sql");
        for (world, file) in [(World::B, "world_b.sql"), (World::O, "world_o.sql")] {
            let name = world.template();
            postgres.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {a} STRATEGY FILE_COPY"));
            run(name, file);
        }
        // A table that was rewritten lies in another order than one that was not.
        for world in World::ALL {
            postgres.sql(world.template(), "VACUUM (FULL, ANALYZE)");
        }
        let newest = "SELECT max(oid::bigint) FROM (SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_type) o";
        let first_new_oid = postgres.sql(a, newest).parse::<u32>().expect("a number") + 1;
        let canaries = World::ALL.map(|world| {
            let (template, asked) = (world.template(), world.asked());
            postgres.sql("postgres", &format!("CREATE DATABASE {asked} TEMPLATE {template} STRATEGY FILE_COPY"));
            let found = postgres.sql(asked, CANARIES);
            found.lines().map(str::to_owned).collect()
        });
        let scratch = Scratch::make();
        process::run(std::process::Command::new("chmod").arg("777").arg(scratch.path()));
        let gateway = Gateway::start(options(postgres));
        let tokens = [gateway.token("zed", &["engineers"]), gateway.token("ann", &["engineers", "readers"])];
        Stage {
            gateway,
            first_new_oid,
            postgres,
            tokens,
            scratch,
            canaries,
            unchanged: Default::default(),
            admins: Mutex::default(),
        }
    }

    /// What must not be seen in a world.
    pub fn canaries(&self, world: World) -> &[String] {
        &self.canaries[world as usize]
    }

    /// Plays a case through the gateway, in a fresh copy of a world.
    pub fn play(&self, case: &Case, world: World) -> Told {
        self.play_as("zed", &self.tokens[0], case, world)
    }

    /// The same as somebody for whom labelled columns are masked as they are read (`rewrite_for`).
    pub fn play_masked_at_read(&self, case: &Case, world: World) -> Told {
        self.play_as("ann", &self.tokens[1], case, world)
    }

    fn play_as(&self, user: &str, token: &str, case: &Case, world: World) -> Told {
        let target = TARGETS[usize::from(case.superuser)];
        self.play_at(case, world, |database| Place {
            port: self.gateway.port,
            user: user.to_owned(),
            password: token.to_owned(),
            prefix: format!("{target}/"),
            database,
        })
    }

    /// Plays a case without the gateway.
    pub fn play_directly(&self, case: &Case, world: World) -> Told {
        self.play_at(case, world, |database| Place {
            port: self.postgres.port,
            user: if case.superuser { "dba" } else { ROLE }.to_owned(),
            password: PASSWORD.to_owned(),
            prefix: String::new(),
            database,
        })
    }

    fn play_at(&self, case: &Case, world: World, place: impl FnOnce(String) -> Place) -> Told {
        let kept = if case.only_asks() { self.kept(world).pop() } else { None };
        let database = kept.unwrap_or_else(|| self.copy(world));
        let place = place(database.clone());
        let filled = |text: &str| {
            let dir = self.scratch.path().display().to_string();
            text.replace("$DB", &database).replace("$PORT", &self.postgres.port.to_string()).replace("$DIR", &dir)
        };
        let mut side = None;
        for sql in &case.setup {
            done(side.get_or_insert_with(|| self.directly(&database)), &filled(sql));
        }
        if case.alone {
            side = None;
        }
        let meanwhile = case.meanwhile.as_deref().map(|sql| {
            let mut other = self.directly(&database);
            other.send(b'Q', &wire::text(&filled(sql)));
            std::thread::sleep(std::time::Duration::from_millis(300));
            other
        });
        let mut told = Told { database: database.clone(), ..Told::default() };
        let steps: Vec<Value> = case.steps.iter().map(|step| filled_in(step, &filled)).collect();
        let connections = filled_in(&case.connections, &filled);
        let mut oid = |signature: &str| {
            let side = side.get_or_insert_with(|| self.directly(&database));
            side.value(&format!("SELECT '{signature}'::regprocedure::oid")).parse().expect("a number")
        };
        told.play(&steps, &connections, &place, &mut oid);
        if let Some(effect) = &case.effect {
            // A question that fails is about something that is not there.
            let frames = side.get_or_insert_with(|| self.directly(&database)).query(&filled(effect));
            told.effect = wire::rows(&frames).first().and_then(|row| row[0].as_deref()) == Some("t");
        }
        told.hang_up();
        drop(meanwhile);
        for sql in &case.cleanup {
            side.get_or_insert_with(|| self.directly(&database)).query(&filled(sql));
        }
        drop(side);
        if case.only_asks() {
            self.kept(world).push(database);
        } else {
            self.administer(&[format!("DROP DATABASE {database} WITH (FORCE)")]);
        }
        told
    }

    /// The rows that a question directly to a world has.
    pub fn ask(&self, world: World, sql: &str) -> Vec<Vec<Option<String>>> {
        wire::rows(&self.directly(world.asked()).query(sql))
    }

    /// Asks the server itself what statements would give.
    pub fn describer(&self) -> Describer {
        Describer(self.directly(World::A.asked()))
    }

    /// A fresh copy of a world.
    fn copy(&self, world: World) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(10_000);
        let database = format!("copy{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let template = world.template();
        self.administer(&[
            format!("CREATE DATABASE {database} TEMPLATE {template} STRATEGY FILE_COPY"),
            format!("GRANT ALL ON DATABASE {database} TO {ROLE}"),
        ]);
        database
    }

    /// Does something to databases. A connection for each time would cost more than what is done.
    fn administer(&self, statements: &[String]) {
        let waiting = self.admins.lock().expect("nobody panics here").pop();
        let mut admin = waiting.unwrap_or_else(|| self.directly("postgres"));
        for sql in statements {
            done(&mut admin, sql);
        }
        self.admins.lock().expect("nobody panics here").push(admin);
    }

    /// Does something with a copy of world A, as its superuser.
    pub fn in_a_copy<T>(&self, what: impl FnOnce(&mut Client, &mut Describer) -> T) -> T {
        let database = self.copy(World::A);
        let done_there = what(&mut self.directly(&database), &mut Describer(self.directly(&database)));
        self.administer(&[format!("DROP DATABASE {database} WITH (FORCE)")]);
        done_there
    }

    fn kept(&self, world: World) -> MutexGuard<'_, Vec<String>> {
        self.unchanged[world as usize].lock().expect("nobody panics here")
    }

    fn directly(&self, database: &str) -> Client {
        let parameters = [("user", SUPERUSER), ("database", database)];
        Client::login_with(self.postgres.port, &parameters, PASSWORD).unwrap_or_else(|e| panic!("{database}: {e:?}"))
    }
}

/// A connection on which statements are described and never run.
pub struct Describer(Client);

impl Describer {
    /// The names of a statement's columns; `None` for one that the server refuses.
    pub fn columns(&mut self, sql: &str) -> Option<Vec<String>> {
        self.0.send_raw(&[wire::parse("", sql), wire::describe(b'S', ""), wire::sync()].concat());
        let frames = self.0.until_ready();
        let body = &frames.iter().find(|frame| frame.tag == b'T')?.body;
        let mut names = Vec::new();
        let mut rest = &body[2..];
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == 0).expect("the end of a name");
            names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            rest = &rest[end + 19..];
        }
        Some(names)
    }
}

/// The labels of `classify.yaml` and their columns, without the target.
pub fn labelled_columns() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(data("classify.yaml")).unwrap_or_else(|e| panic!("{e}"));
    let mut label = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some((_, name)) = line.split_once("label: ") {
            label = name;
        }
        for pattern in line.split('"').skip(1).step_by(2) {
            found.push((label.to_owned(), pattern.trim_start_matches("*/").to_owned()));
        }
    }
    found
}

fn done(client: &mut Client, sql: &str) {
    let frames = client.query(sql);
    assert!(!frames.iter().any(|f| f.tag == b'E'), "{sql}: {frames:?}");
}

fn filled_in(step: &Value, filled: &dyn Fn(&str) -> String) -> Value {
    match step {
        Value::String(text) => Value::String(filled(text)),
        Value::Array(items) => items.iter().map(|item| filled_in(item, filled)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), filled_in(value, filled)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn options(postgres: &Postgres) -> GatewayOptions {
    let more = format!(
        "    tls: disable\n    rewrite_for: [group:readers]\n    databases: [\"*\"]\n  - name: shopsu\n    protocol: postgres\n    address: 127.0.0.1:{}\n    \
         database: asked_a\n    databases: [\"*\"]\n    username: dba\n    password: ${{env:TEST_TARGET_PASSWORD}}\n    \
         tls: disable\n    rewrite_for: [group:readers]",
        postgres.port
    );
    let read = |file: &str| std::fs::read_to_string(data(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    GatewayOptions {
        target_port: postgres.port,
        database: World::A.asked().to_owned(),
        target_extra: more,
        extra: read("classify.yaml"),
        identity: String::new(),
        policies: read("policy.cedar"),
        data_dir: None,
        environment: Vec::new(),
    }
}
