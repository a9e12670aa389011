//! PostgreSQL clusters for tests: SCRAM passwords, TLS from a throw-away authority, one shared cluster a version and run.

use crate::places;
use crate::process::{self, Scratch, eventually, mortal, run};
use crate::wire::Client;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// The superuser of every test cluster.
pub const SUPERUSER: &str = "postgres";
/// The role that the gateway logs in as.
pub const ROLE: &str = "app";
/// Both roles' password. It must never be seen by a client or stand in a recording or log.
pub const PASSWORD: &str = "canary-target-password-7741";

/// How long [`Postgres::sql`] waits for an answer.
const SQL_SECONDS_MAX: u64 = 300;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    /// 15, 16, 17 or 18.
    pub version: u32,
    /// The port on 127.0.0.1.
    pub port: u16,
    bin: PathBuf,
    server: Option<Child>,
    dir: Scratch,
}

impl Postgres {
    /// The cluster that all tests of this run share; they make databases of their own in it.
    pub fn shared(version: u32) -> &'static Postgres {
        static SHARED: [OnceLock<Postgres>; 4] = [const { OnceLock::new() }; 4];
        let at = version.checked_sub(15).expect("15 is the oldest") as usize;
        SHARED[at].get_or_init(|| Postgres::start(version))
    }

    /// A cluster of the test's own, which it may stop.
    pub fn start(version: u32) -> Postgres {
        // Two initdb at once only make each other slow.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let dir = Scratch::make_fast();
        let mut this =
            Postgres { version, port: process::free_port(), bin: places::postgres_bin(version), server: None, dir };
        let cluster = this.path("cluster");
        let pwfile = this.path("password");
        std::fs::create_dir(&cluster).expect("a new directory");
        std::fs::write(&pwfile, PASSWORD).expect("a new file");
        certificates(this.dir.path());
        if places::is_root() {
            run(Command::new("chown").args(["-R", SUPERUSER]).arg(this.dir.path()));
        }
        let mut initdb = this.server_program("KILL", "initdb");
        initdb.arg("-D").arg(&cluster).arg("--pwfile").arg(&pwfile);
        initdb.args(["-U", SUPERUSER, "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]);
        run(&mut initdb);
        this.resume();
        let role = format!("CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{PASSWORD}'; GRANT pg_monitor TO {ROLE}");
        this.sql("postgres", &role);
        this
    }

    /// Starts the server of this cluster, again if it was stopped.
    pub fn resume(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let mut command = self.server_program("QUIT", "postgres");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).expect("a log file");
        let file = |name: &str| self.path(name).display().to_string();
        command.arg("-D").arg(self.path("cluster")).args(["-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "fsync=off".to_owned(),
            // Files that are kept to be used again: the clusters are in memory.
            "max_wal_size=160MB".to_owned(),
            "max_prepared_transactions=2".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("server.crt")),
            format!("ssl_key_file={}", file("server.key")),
            "log_connections=on".to_owned(),
            "log_statement=all".to_owned(),
            "log_line_prefix=%m [%p] %u@%d app=%a ".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file handle")).stderr(log);
        self.server = Some(process::spawn(command));
        eventually("PostgreSQL answers", Duration::from_secs(60), || {
            process::output(self.psql("postgres").args(["-c", "SELECT 1"])).status.success()
        });
    }

    /// Stops the server at once, as a crash of its machine would.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            process::signal(server.id(), "QUIT");
            if !process::ends_within(&mut server, Duration::from_secs(20)) {
                let _ = server.kill();
                let _ = server.wait();
            }
        }
    }

    /// Puts lines before those that say who has to prove themselves how (`pg_hba.conf`), and starts the server anew.
    pub fn ask_first(&mut self, lines: &str) {
        let file = self.path("cluster").join("pg_hba.conf");
        let rules = std::fs::read_to_string(&file).expect("pg_hba.conf");
        std::fs::write(&file, format!("{lines}{rules}")).expect("pg_hba.conf");
        self.stop();
        self.resume();
    }

    /// The authority that signed the server's certificate.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// A new database, owned by the gateway's role and filled by `sql` as that role.
    pub fn database(&self, sql: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("db{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE}"));
        self.sql_as(ROLE, &name, sql);
        name
    }

    /// Runs SQL directly as the superuser; yields the rows, unaligned, and the tags of what has none. The same as
    /// `psql -At -c`, without a process for each time.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.sql_as(SUPERUSER, database, sql)
    }

    fn sql_as(&self, user: &str, database: &str, sql: &str) -> String {
        let login = Client::login_with(self.port, &[("user", user), ("database", database)], PASSWORD);
        let mut client = login.unwrap_or_else(|refused| panic!("{database}: {refused:?}"));
        client.set_patience(Duration::from_secs(SQL_SECONDS_MAX));
        let mut said = Vec::new();
        let mut has_rows = false;
        for frame in client.query(sql) {
            match frame.tag {
                b'T' => has_rows = true,
                b'D' => {
                    let cells: Vec<String> = frame.cells().into_iter().map(Option::unwrap_or_default).collect();
                    said.push(cells.join("|"));
                }
                b'C' => {
                    let tag = String::from_utf8_lossy(&frame.body).trim_end_matches('\0').to_owned();
                    let asks = ["SELECT", "FETCH", "SHOW", "EXPLAIN"].iter().any(|verb| tag.starts_with(verb));
                    if !(has_rows && asks) {
                        said.push(tag);
                    }
                    has_rows = false;
                }
                b'E' => panic!("{sql}: {frame:?}"),
                _ => {}
            }
        }
        client.send(b'X', &[]);
        said.join("\n").trim_end().to_owned()
    }

    /// `psql`, connected directly as the superuser.
    pub fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(places::psql());
        psql.env("PGPASSWORD", PASSWORD).arg(self.address(database, SUPERUSER)).args(["-X", "-v", "ON_ERROR_STOP=1"]);
        psql
    }

    fn address(&self, database: &str, user: &str) -> String {
        format!(
            "host=127.0.0.1 port={} dbname={database} user={user} connect_timeout=20 sslmode=disable gssencmode=disable",
            self.port
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn server_program(&self, signal: &str, name: &str) -> Command {
        let user = places::is_root().then_some(SUPERUSER);
        let mut command = mortal(signal, &self.bin.join(name), user);
        command.current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An authority and a server certificate for localhost and 127.0.0.1.
fn certificates(dir: &Path) {
    let script = r#"
        set -e
        openssl ecparam -name prime256v1 -genkey -noout -out ca.key
        openssl req -x509 -new -key ca.key -subj '/CN=throw-away authority' -days 2 -out ca.crt \
          -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        openssl ecparam -name prime256v1 -genkey -noout -out server.key
        openssl req -new -key server.key -subj /CN=localhost -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' > ext
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -set_serial 2 -days 2 -extfile ext -out server.crt
        chmod 600 server.key
        chmod 644 ca.crt"#;
    run(Command::new("sh").args(["-c", script]).current_dir(dir));
}
