//! The show itself: seven scenes, each of which prints what it does and checks that it did.

use super::postgres::ThrowAwayPostgres;
use super::setting::{Setting, finish};
use super::stage::Stage;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};

const PEOPLE: &str = "SELECT id, name, email, ssn, card, born FROM customers ORDER BY id LIMIT 5";
const SECRETS: &str = "SELECT ssn, card, born FROM customers ORDER BY id LIMIT 5";
const CONTACTS: &str = "SELECT email FROM customers ORDER BY id LIMIT 5";
const NAMES: &str = "SELECT name FROM customers ORDER BY id LIMIT 5";
const EXPORT: &str = "COPY customers TO STDOUT";
const DROP: &str = "DROP TABLE customers";
const DELETE: &str = "DELETE FROM orders WHERE id <= 500";
const COUNT_ORDERS: &str = "SELECT count(*) FROM orders";
const COUNT_CUSTOMERS: &str = "SELECT count(*) FROM customers";
/// How long the held statement may take to say that it waits.
const HELD_SECONDS_MAX: u64 = 20;

/// Plays all scenes. `true` if every check held; an error if the show could not go on.
pub async fn run(stage: &Stage, server: &ThrowAwayPostgres, setting: &Setting) -> anyhow::Result<bool> {
    masking(stage, server, setting).await?;
    guessing(stage, server, setting).await?;
    blocking(stage, server, setting).await?;
    let session = holding(stage, server, setting).await?;
    replaying(stage, setting, session.as_deref()).await?;
    verifying(stage, setting).await?;
    let failures = stage.failures();
    if failures > 0 {
        stage.say(&format!("\n   {failures} of the checks above FAILED; the gateway's log is:"));
        stage.output(&std::fs::read_to_string(setting.home.join("gateway.log")).unwrap_or_default());
    } else {
        stage.say("");
        stage.say("Every step did what it says.");
    }
    Ok(failures == 0)
}

async fn masking(stage: &Stage, server: &ThrowAwayPostgres, setting: &Setting) -> anyhow::Result<()> {
    stage.heading("The same question, directly and through the gateway");
    stage.command("direct", &format!("psql -c \"{PEOPLE}\""));
    let direct = finish(server.psql("shop").args(["-c", PEOPLE])).await?;
    stage.output(&words(&direct));

    stage.command("alice", &format!("psql \"host=127.0.0.1 port={} …\" -c \"{PEOPLE}\"", setting.postgres_port));
    let masked = finish(setting.psql("alice").args(["-c", PEOPLE])).await?;
    stage.output(&words(&masked));
    let secrets = cells(server, SECRETS).await?;
    let contacts = cells(server, CONTACTS).await?;
    let text = words(&masked);
    let names = cells(server, NAMES).await?;
    stage.check("alice (engineers) gets the rows", contains_all(&masked, &names));
    stage.check(
        "and no real SSN, card number, birthday or e-mail address",
        contains_none(&text, &[secrets.clone(), contacts].concat()),
    );

    stage.command("frank", &format!("psql \"…\" -c \"{SECRETS}\""));
    let revealed = finish(setting.psql("frank").args(["-c", SECRETS])).await?;
    stage.output(&words(&revealed));
    stage.check(
        "frank (fraud) sees what his work needs: policy decides per label and person",
        contains_all(&revealed, &secrets),
    );
    Ok(())
}

async fn guessing(stage: &Stage, server: &ThrowAwayPostgres, setting: &Setting) -> anyhow::Result<()> {
    stage.heading("A masked value cannot be guessed by asking around it");
    let ssn = server.value("SELECT ssn FROM customers WHERE id = 1").await?;
    let guess = format!("SELECT name FROM customers WHERE ssn LIKE '{}%'", ssn.get(..3).unwrap_or("1"));
    stage.command("alice", &format!("psql \"…\" -c \"{guess}\""));
    let answer = finish(setting.psql("alice").args(["-c", &guess])).await?;
    stage.output(&words(&answer));
    stage.check("a condition on a masked column is refused, and the column is named", refused(&answer, &["ssn"]));
    Ok(())
}

async fn blocking(stage: &Stage, server: &ThrowAwayPostgres, setting: &Setting) -> anyhow::Result<()> {
    stage.heading("What policy forbids never reaches the server");
    let before = server.value(COUNT_CUSTOMERS).await?;
    stage.command("alice", &format!("psql \"…\" -c \"{EXPORT}\""));
    let export = finish(setting.psql("alice").args(["-c", EXPORT])).await?;
    stage.output(&words(&export));
    stage.check(
        "the bulk export is refused, with the policy's name and place",
        refused(&export, &["no-bulk-export", "shop.cedar:"]),
    );
    stage.command("alice", &format!("psql \"…\" -c \"{DROP}\""));
    let drop = finish(setting.psql("alice").args(["-c", DROP])).await?;
    stage.output(&words(&drop));
    stage.check("the DROP is refused: nothing permits it", refused(&drop, &["define"]));
    let after = server.value(COUNT_CUSTOMERS).await?;
    stage.check(&format!("all {before} customers are still there"), same(&before, &after));
    Ok(())
}

/// Plays the held DELETE; the session's id, if the client was told one.
async fn holding(stage: &Stage, server: &ThrowAwayPostgres, setting: &Setting) -> anyhow::Result<Option<String>> {
    stage.heading("A risky statement waits for a second person");
    let before = server.value(COUNT_ORDERS).await?;
    stage.command("alice", &format!("psql \"…\" -c \"{DELETE}\""));
    let mut alice = setting
        .psql("alice")
        .args(["-c", DELETE])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("psql could not be started")?;
    let mut notices = BufReader::new(alice.stderr.take().context("psql has no standard error")?).lines();

    let mut said = String::new();
    let waiting = tokio::time::timeout(Duration::from_secs(HELD_SECONDS_MAX), async {
        while let Some(line) = notices.next_line().await? {
            stage.output(&line);
            said.push_str(&line);
            said.push('\n');
            if let Some(id) = after_mark(&said, "/approvals/") {
                return Ok(Some(id));
            }
        }
        anyhow::Ok(None)
    })
    .await;
    let approval = match waiting {
        Ok(Ok(Some(id))) => id,
        Ok(Err(error)) => return Err(error),
        Ok(Ok(None)) | Err(_) => {
            stage.check("the DELETE waits for approval", Err("no notice with an approval's address came".to_owned()));
            return Ok(None);
        }
    };
    stage.check("nothing was deleted yet", same(&before, &server.value(COUNT_ORDERS).await?));

    stage.command("alice", &format!("lockgate approvals approve {approval}"));
    let own = finish(&mut setting.lockgate("alice", &["approvals", "approve", &approval])).await?;
    stage.output(&words(&own));
    stage.check("alice cannot approve her own request", failed_saying(&own, &["by or for `alice`", "somebody else"]));

    stage.command("dana", "lockgate approvals list");
    let list = finish(&mut setting.lockgate("dana", &["approvals", "list"])).await?;
    stage.output(&words(&list));
    stage.check("dana (dba) sees who asks for what", contains_all(&list, &["alice".to_owned()]));
    stage.command("dana", &format!("lockgate approvals approve {approval}"));
    let approve = finish(&mut setting.lockgate("dana", &["approvals", "approve", &approval])).await?;
    stage.output(&words(&approve));
    stage.check("dana approves exactly this statement, once", succeeded(&approve));

    // Standard error goes on to be read, or psql would wait for room in the pipe.
    let rest = tokio::spawn(async move {
        let mut rest = String::new();
        while let Ok(Some(line)) = notices.next_line().await {
            rest.push_str(&line);
            rest.push('\n');
        }
        rest
    });
    let ended = tokio::time::timeout(Duration::from_secs(HELD_SECONDS_MAX), alice.wait_with_output()).await;
    let outcome = match ended {
        Ok(output) => {
            let output = output?;
            stage.output(&words(&output));
            contains_all(&output, &["DELETE 500".to_owned()])
        }
        Err(_) => Err("psql still waits".to_owned()),
    };
    stage.check("alice's psql, which waited all the while, goes on", outcome);
    said.push_str(&rest.await.unwrap_or_default());
    let removed = server.value(&format!("SELECT {before} - count(*) FROM orders")).await?;
    stage.check("500 orders are gone, no more and no fewer", same("500", &removed));

    match session_id(&said) {
        Some(id) => Ok(Some(id)),
        None => {
            stage.check("the notices carry the session's id", Err(said));
            Ok(None)
        }
    }
}

async fn replaying(stage: &Stage, setting: &Setting, session: Option<&str>) -> anyhow::Result<()> {
    stage.heading("Every session can be replayed");
    stage.command("olga", "lockgate sessions list");
    let list = finish(&mut setting.lockgate("olga", &["sessions", "list"])).await?;
    stage.output(&words(&list));
    stage.check(
        "the list names the people of this show",
        contains_all(&list, &["alice".to_owned(), "frank".to_owned()]),
    );
    let Some(session) = session else { return Ok(()) };
    stage.command("olga", &format!("lockgate sessions replay {session}"));
    let replay = finish(&mut setting.lockgate("olga", &["sessions", "replay", session])).await?;
    stage.output(&words(&replay));
    let expected = [DELETE, "deletes-need-a-dba", "dana", "DELETE 500"].map(str::to_owned);
    stage.check(
        "the replay shows the statement, the policy, the approver and the result",
        contains_all(&replay, &expected),
    );
    Ok(())
}

async fn verifying(stage: &Stage, setting: &Setting) -> anyhow::Result<()> {
    stage.heading("And proved unaltered");
    stage.command("anyone", "lockgate audit verify");
    let verify = finish(&mut setting.lockgate_with(&setting.config, &["audit", "verify"])).await?;
    stage.output(&words(&verify));
    stage.check("every recording is as it was written", succeeded(&verify));

    let copy = setting.home.with_file_name("copy");
    copy_tree(&setting.home, &copy)?;
    let config = copy.join("lockgate.yaml");
    let verify = finish(&mut setting.lockgate_with(&config, &["audit", "verify"])).await?;
    stage.check("so is a copy of it all", succeeded(&verify));
    let (file, at) = flip_one_byte(&copy.join("data"))?;
    let shown = file.strip_prefix(&copy).unwrap_or(&file).display().to_string();
    stage.command("mallory", &format!("flip one bit of byte {at} of {shown}, in a copy"));
    stage.command("anyone", "lockgate audit verify");
    let verify = finish(&mut setting.lockgate_with(&config, &["audit", "verify"])).await?;
    stage.output(&words(&verify));
    let session = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stage.check(
        "the altered byte is found: in which session, at which event",
        failed_saying(&verify, &[&session, "event", "altered"]),
    );
    Ok(())
}

/// Copy-paste lines for three identities.
pub fn print_lines_to_try(stage: &Stage, server: &ThrowAwayPostgres, setting: &Setting) {
    stage.heading("Now you: the servers stay up until Ctrl-C");
    for (user, what) in [
        ("alice", "engineer: personal data is masked, DELETE waits, COPY and DROP are refused"),
        ("dana", "dba: approves, and may change structure"),
        ("frank", "fraud: sees personal data"),
    ] {
        stage.say("");
        stage.say(what);
        stage.say(&format!(
            "  PGPASSWORD={} psql \"host=127.0.0.1 port={} dbname=shop user={user}\"",
            setting.token(user),
            setting.postgres_port
        ));
    }
    stage.say("");
    stage.say("approve what alice asks for, as dana:");
    stage.say(&format!("  {}", setting.lines_to_approve()));
    stage.say("");
    stage.say("the same database without a gateway:");
    stage.say(&format!(
        "  PGPASSWORD={} psql \"host=127.0.0.1 port={} dbname=shop user=postgres\"",
        server.password, server.port
    ));
    stage.say("");
}

async fn cells(server: &ThrowAwayPostgres, sql: &str) -> anyhow::Result<Vec<String>> {
    let output = finish(server.psql("shop").args(["-At", "-c", sql])).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let cells: Vec<String> = text.lines().flat_map(|line| line.split('|')).map(str::to_owned).collect();
    anyhow::ensure!(!cells.is_empty(), "the direct query yielded nothing: {}", words(&output));
    Ok(cells)
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn succeeded(output: &Output) -> Result<(), String> {
    if output.status.success() { Ok(()) } else { Err(format!("ended with {}", output.status)) }
}

/// A crash also ends without success, and so does a gateway that is gone: what it says tells a refusal from these.
fn failed_saying(output: &Output, expected: &[&str]) -> Result<(), String> {
    if !matches!(output.status.code(), Some(1..=5)) {
        return Err(format!("ended with {}", output.status));
    }
    let text = words(output);
    match expected.iter().find(|part| !text.contains(**part)) {
        Some(missing) => Err(format!("it does not say `{missing}`")),
        None => Ok(()),
    }
}

fn contains_all(output: &Output, expected: &[String]) -> Result<(), String> {
    succeeded(output)?;
    let text = words(output);
    match expected.iter().find(|value| !text.contains(value.as_str())) {
        Some(missing) => Err(format!("`{missing}` is missing")),
        None => Ok(()),
    }
}

fn contains_none(text: &str, forbidden: &[String]) -> Result<(), String> {
    match forbidden.iter().find(|value| text.contains(value.as_str())) {
        Some(leaked) => Err(format!("`{leaked}` came through")),
        None => Ok(()),
    }
}

fn refused(output: &Output, expected: &[&str]) -> Result<(), String> {
    let text = words(output);
    if output.status.success() {
        return Err("it was not refused".to_owned());
    }
    match ["42501", "refused by policy"].iter().chain(expected).find(|part| !text.contains(**part)) {
        Some(missing) => Err(format!("the refusal does not say `{missing}`")),
        None => Ok(()),
    }
}

fn same(expected: &str, seen: &str) -> Result<(), String> {
    if expected == seen { Ok(()) } else { Err(format!("expected {expected}, got {seen}")) }
}

/// The word that follows `mark`, once something ends it.
fn after_mark(text: &str, mark: &str) -> Option<String> {
    let (_, rest) = text.split_once(mark)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')?;
    rest.get(..end).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// A session id is a ULID: 26 characters after the word `session`.
fn session_id(text: &str) -> Option<String> {
    text.match_indices("session ").find_map(|(at, mark)| {
        let rest = text.get(at + mark.len()..)?;
        let id: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        (id.len() == 26).then_some(id)
    })
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Flips a bit in the middle of the largest recording below `data`.
fn flip_one_byte(data: &Path) -> anyhow::Result<(PathBuf, usize)> {
    let mut recordings: Vec<(u64, PathBuf)> = Vec::new();
    let mut directories = vec![data.join("recordings")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                recordings.push((entry.metadata()?.len(), entry.path()));
            }
        }
    }
    let (_, file) = recordings.into_iter().max().context("there is no recording to alter")?;
    let mut bytes = std::fs::read(&file)?;
    let at = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
    std::fs::write(&file, bytes)?;
    Ok((file, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: i32, stdout: &str, stderr: &str) -> Output {
        use std::os::unix::process::ExitStatusExt;
        Output { status: std::process::ExitStatus::from_raw(status), stdout: stdout.into(), stderr: stderr.into() }
    }

    /// Each judgement on what a program did, and what it must not take for done.
    #[test]
    fn no_check_passes_on_something_else() {
        let (fine, failed, killed) = (0, 1 << 8, 9);
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let said = |status, text| ended(status, "", text);
        assert_eq!(succeeded(&said(fine, "")), Ok(()));
        for status in [failed, killed] {
            assert!(succeeded(&said(status, "")).is_err(), "{status}");
        }

        let own = "asked by or for `alice`, so somebody else must decide";
        assert_eq!(failed_saying(&said(failed, own), &["by or for `alice`", "somebody else"]), Ok(()));
        for (status, text) in
            [(fine, own), (killed, own), (127 << 8, own), (failed, "connection refused"), (failed, "")]
        {
            assert!(failed_saying(&said(status, text), &["by or for `alice`"]).is_err(), "{status} {text}");
        }

        assert_eq!(contains_all(&ended(fine, "a b", "c"), &texts(&["a", "c"])), Ok(()));
        for (status, out) in [(fine, "a"), (failed, "a b"), (fine, "")] {
            assert!(contains_all(&ended(status, out, ""), &texts(&["a", "b"])).is_err(), "{status} {out}");
        }

        assert_eq!(contains_none("*** x", &texts(&["123"])), Ok(()));
        assert!(contains_none("x 123", &texts(&["9", "123"])).is_err());

        let refusal = "ERROR:  refused by policy \"no-bulk-export\" (shop.cedar:9) 42501";
        assert_eq!(refused(&said(failed, refusal), &["no-bulk-export", "shop.cedar:"]), Ok(()));
        for (status, text) in
            [(fine, refusal), (failed, "42501 refused by policy"), (failed, "no-bulk-export shop.cedar:")]
        {
            assert!(refused(&said(status, text), &["no-bulk-export", "shop.cedar:"]).is_err(), "{status} {text}");
        }

        assert_eq!(same("500", "500"), Ok(()));
        assert!(same("500", "499").is_err());
    }

    #[test]
    fn finds_ids_in_what_the_client_was_told() {
        let told = "NOTICE:  waiting for approval by dba: https://127.0.0.1:1/approvals/01ABC, expires in 5m0s\nHINT:  session 01ARZ3NDEKTSV4RRFFQ69G5FAV\n";
        assert_eq!(after_mark(told, "/approvals/").as_deref(), Some("01ABC"));
        assert_eq!(after_mark("x/approvals/01AB", "/approvals/"), None, "the word may go on");
        assert_eq!(session_id(told).as_deref(), Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_eq!(session_id("session timed out"), None);
    }
}
