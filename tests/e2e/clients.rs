//! The drivers that people use, unchanged, through the gateway.

use lockgate_tests::process::run;
use lockgate_tests::{api, places, scene};
use std::process::Command;

#[test]
fn psycopg_3_and_2() {
    let scene = scene();
    let script = r#"
import sys, os, psycopg, psycopg2
dsn, token = sys.argv[1], os.environ["TOKEN"]
with psycopg.connect(dsn, password=token, autocommit=True) as c:
    assert c.execute("SELECT count(*) FROM notes").fetchone() == (20,)
    for _ in range(10):  # server-side prepared from the fifth on
        row = c.execute("SELECT id, ssn FROM people WHERE id = %s", (7,)).fetchone()
        assert row[0] == 7 and "CANARY" not in row[1], row
    with c.pipeline():
        cursors = [c.execute("SELECT %s::int", (i,)) for i in range(50)]
        assert [q.fetchone()[0] for q in cursors] == list(range(50))
    with c.cursor().copy("COPY log FROM STDIN") as copy:
        for i in range(100): copy.write_row((i, f"who {i}"))
    try:
        c.execute("DELETE FROM notes"); raise SystemExit("was not refused")
    except psycopg.errors.InsufficientPrivilege as e:
        assert "refused by policy" in str(e) and "delete-without-where" in e.diag.message_detail, e
    assert c.execute("SELECT count(*) FROM log").fetchone() == (100,)
with psycopg2.connect(dsn, password=token) as c:
    q = c.cursor("server_side"); q.execute("SELECT ssn FROM people LIMIT 50"); rows = q.fetchall()
    assert len(rows) == 50 and "CANARY" not in repr(rows)
print("fine")
"#;
    let mut python = Command::new(places::python());
    python.args(["-c", script, &scene.gateway.conninfo("alice")]).env("TOKEN", scene.alice());
    assert_eq!(run(&mut python).trim(), "fine");
}

#[test]
fn asyncpg() {
    let scene = scene();
    let script = r#"
import asyncio, asyncpg, os, sys
async def main():
    c = await asyncpg.connect(host="127.0.0.1", port=int(sys.argv[1]), user="alice", database="shop", password=os.environ["TOKEN"])
    assert await c.fetchval("SELECT count(*) FROM notes") == 20
    rows = await c.fetch("SELECT id, ssn, salary, born, uid, tags FROM people WHERE id < $1", 10)
    assert len(rows) == 9 and "CANARY" not in repr(rows), rows
    try: await c.execute("DELETE FROM notes"); raise SystemExit("was not refused")
    except asyncpg.InsufficientPrivilegeError as e: assert "delete-without-where" in e.detail
    async with c.transaction():
        await c.executemany("INSERT INTO log VALUES ($1, $2)", [(i, str(i)) for i in range(200)])
    assert await c.fetchval("SELECT count(*) FROM log") == 200
    try: await asyncio.wait_for(c.execute("SELECT pg_sleep(30)"), 1); raise SystemExit("no timeout")
    except asyncio.TimeoutError: pass
    assert await c.fetchval("SELECT 1") == 1
    await c.close()
asyncio.run(main()); print("fine")
"#;
    let mut python = Command::new(places::python());
    python.args(["-c", script, &scene.gateway.port.to_string()]).env("TOKEN", scene.alice());
    assert_eq!(run(&mut python).trim(), "fine");
}

#[test]
fn node_postgres() {
    let scene = scene();
    let script = r#"
const { Client } = require('pg');
(async () => {
  const c = new Client({ host: '127.0.0.1', port: +process.argv[1], user: 'alice', database: 'shop', password: process.env.TOKEN });
  await c.connect();
  const n = await c.query('SELECT count(*)::int AS n FROM notes');
  if (n.rows[0].n !== 20) throw new Error(JSON.stringify(n.rows));
  for (let i = 0; i < 3; i++) {
    const r = await c.query({ name: 'by-id', text: 'SELECT id, ssn, tags FROM people WHERE id = $1', values: [7] });
    if (r.rows.length !== 1 || JSON.stringify(r.rows).includes('CANARY')) throw new Error(JSON.stringify(r.rows));
  }
  try { await c.query('DELETE FROM notes'); throw new Error('was not refused'); }
  catch (e) { if (e.code !== '42501' || !e.detail.includes('delete-without-where')) throw e; }
  await c.end(); console.log('fine');
})().catch((e) => { console.error(e); process.exit(1); });
"#;
    let mut node = Command::new("node");
    node.args(["-e", script, &scene.gateway.port.to_string()])
        .env("TOKEN", scene.alice())
        .env("NODE_PATH", places::node_modules());
    assert_eq!(run(&mut node).trim(), "fine");
}

#[test]
fn pgjdbc() {
    let scene = scene();
    let source = r#"
import java.sql.*;
import java.util.Properties;
public class Check {
  public static void main(String[] args) throws Exception {
    for (String mode : new String[] {"simple", "extended", "extendedCacheEverything"}) {
      Properties p = new Properties();
      p.put("user", "alice"); p.put("password", System.getenv("TOKEN")); p.put("preferQueryMode", mode); p.put("prepareThreshold", "2");
      try (Connection c = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + args[0] + "/shop", p)) {
        for (int i = 0; i < 6; i++) {
          try (PreparedStatement s = c.prepareStatement("SELECT id, ssn, salary, born FROM people WHERE id = ?")) {
            s.setInt(1, 7);
            try (ResultSet r = s.executeQuery()) {
              if (!r.next() || r.getInt(1) != 7 || String.valueOf(r.getString(2)).contains("CANARY")) throw new Exception(mode + " " + r.getString(2));
              r.getBigDecimal(3); r.getDate(4);
            }
          }
        }
        try (Statement s = c.createStatement()) { s.executeUpdate("DELETE FROM notes"); throw new Exception("was not refused"); }
        catch (SQLException e) { if (!"42501".equals(e.getSQLState())) throw e; }
        c.setAutoCommit(false);
        try (PreparedStatement s = c.prepareStatement("INSERT INTO log VALUES (?, ?)")) {
          for (int i = 0; i < 100; i++) { s.setLong(1, i); s.setString(2, mode); s.addBatch(); }
          s.executeBatch();
        }
        c.rollback();
        try (Statement s = c.createStatement()) {
          s.setFetchSize(10);
          int n = 0;
          try (ResultSet r = s.executeQuery("SELECT * FROM notes")) { while (r.next()) n++; }
          if (n != 20) throw new Exception("rows: " + n);
        }
        c.commit();
      }
    }
    System.out.println("fine");
  }
}
"#;
    let file = scene.gateway.home().join("Check.java");
    std::fs::write(&file, source).unwrap();
    let mut java = Command::new("java");
    java.args(["-cp", "/usr/share/java/postgresql.jar"])
        .arg(&file)
        .arg(scene.gateway.port.to_string())
        .env("TOKEN", scene.alice());
    assert_eq!(run(&mut java).trim(), "fine");
}

#[test]
fn tokio_postgres() {
    let scene = scene();
    let config = format!("{} password={}", scene.gateway.conninfo("alice"), scene.alice());
    api::wait(async {
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let statement = client.prepare("SELECT id, ssn, tags FROM people WHERE id = $1").await.unwrap();
        let row = client.query_one(&statement, &[&7i32]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 7);
        assert!(!row.get::<_, Option<String>>(1).unwrap_or_default().contains("CANARY"));
        assert!(!format!("{:?}", row.get::<_, Option<Vec<Option<String>>>>(2)).contains("CANARY"));
        let queries = (0..50i32).map(|i| {
            let client = &client;
            async move { client.query_one("SELECT $1::int", &[&i]).await.unwrap().get::<_, i32>(0) }
        });
        for (i, query) in queries.enumerate() {
            assert_eq!(usize::try_from(query.await).unwrap(), i);
        }
        let refused = client.execute("DELETE FROM notes", &[]).await.unwrap_err();
        let refused = refused.as_db_error().unwrap();
        assert_eq!(refused.code().code(), "42501");
        assert!(refused.detail().unwrap().contains("delete-without-where"));
        let token = client.cancel_token();
        let sleep = client.simple_query("SELECT pg_sleep(30)");
        let cancel = async {
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        };
        let (slept, ()) = tokio::join!(sleep, cancel);
        assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    });
}

#[test]
fn pg_dump_through_a_permissive_target() {
    let scene = lockgate_tests::Scene::permit_all(15);
    let token = scene.gateway.token("root", &["root"]);
    let mut dump = Command::new("pg_dump");
    dump.args(["-h", "127.0.0.1", "-p", &scene.gateway.port.to_string(), "-U", "root", "-t", "people", "shop"]);
    let text = run(dump.env("PGPASSWORD", token));
    assert!(text.contains("COPY public.people") && text.contains("SSN-CANARY-0007"));
}
