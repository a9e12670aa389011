//! `lockgate sessions`: list, show, replay, export, end. The recordings are read on the gateway's machine, or as the API
//! hands them out.

use crate::cli::{Global, SessionFilter, SessionsVerb};
use crate::client::Client;
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::place::Place;
use crate::verbs::requests::{self, RequestView};
use crate::view::{SessionView, names, short};
use lockgate_config::Loaded;
use lockgate_core::SessionId;
use lockgate_record::{DamageKind, JsonLines, ReadError, Recorded, Replay, visible_line};
use lockgate_store::journal::{Archive, Events, JournalError, load_keys};
use lockgate_store::{SessionFilter as StoreFilter, Store};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

/// How often a session that is followed is looked at.
const TAIL_LOOK: Duration = Duration::from_millis(250);

/// Runs the verb.
pub async fn run(global: &Global, output: Output, verb: SessionsVerb) -> anyhow::Result<()> {
    match verb {
        SessionsVerb::List { filter, live, limit } => {
            let sessions = match Place::find(global)? {
                Place::Here(loaded) => list_here(&loaded, &filter, live, limit).await?,
                Place::There(client) => list_there(&client, &filter, live, limit).await?,
            };
            let head = ["id", "user", "target", "client", "opened", "ended", "requests", "denied", "rows"];
            output.list(&sessions, &head, row, "there are no sessions")
        }
        SessionsVerb::Show { id } => {
            let mut requests = Vec::new();
            let session = match Place::find(global)? {
                Place::Here(loaded) => {
                    let session = show_here(&loaded, id).await?;
                    let mut lines = JsonLines::new(id);
                    each_event(events(&loaded, id)?, |event| {
                        requests::take(&mut requests, &serde_json::from_str(&lines.line(event)?)?);
                        Ok(())
                    })?;
                    session
                }
                Place::There(client) => {
                    let session = client.get(&format!("/api/v1/sessions/{id}"), &[]).await?;
                    let path = format!("/api/v1/sessions/{id}/events");
                    let take = |line: &str| {
                        requests::take(&mut requests, &serde_json::from_str(line)?);
                        Ok(())
                    };
                    client.lines(&path, take).await?;
                    session
                }
            };
            show(output, Shown { session, statements: requests })
        }
        SessionsVerb::Replay { id } => match Place::find(global)? {
            Place::Here(loaded) => replay_here(&loaded, id),
            Place::There(client) => replay_there(&client, id).await,
        },
        SessionsVerb::Tail { id } => match Place::find(global)? {
            Place::Here(loaded) => tail_here(&loaded, id).await,
            Place::There(client) => tail_there(&client, id).await,
        },
        SessionsVerb::Export { id } => match Place::find(global)? {
            Place::Here(loaded) => export_here(&loaded, id),
            Place::There(client) => client.stream(&format!("/api/v1/sessions/{id}/events")).await,
        },
        SessionsVerb::Kill { id } => {
            // Only a running gateway can end a session.
            let client = Client::new(global)?;
            let path = format!("/api/v1/sessions/{id}/kill");
            let _: Value = client.send_json(Method::POST, &path, None::<&()>).await?;
            output::words(&format!("session {id} was told to end"))
        }
    }
}

fn row(session: &SessionView) -> Vec<String> {
    vec![
        session.id.clone(),
        session.identity.chain(),
        match &session.database {
            Some(database) => format!("{}/{database}", session.target),
            None => session.target.clone(),
        },
        session.client.clone(),
        short(&session.opened),
        ended(session),
        session.requests.to_string(),
        session.denied.to_string(),
        session.rows.to_string(),
    ]
}

/// When it ended. The index learns of an end a moment after the gateway knows of it.
fn ended(session: &SessionView) -> String {
    match (&session.closed, session.live) {
        (Some(closed), _) => short(closed),
        (None, Some(false)) => "just now".to_owned(),
        (None, _) => "open".to_owned(),
    }
}

/// A session with what was asked for in it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    session: SessionView,
    statements: Vec<RequestView>,
}

fn show(output: Output, shown: Shown) -> anyhow::Result<()> {
    let session = &shown.session;
    let statements: Vec<String> = shown.statements.iter().map(RequestView::told).collect();
    let fields = [
        ("session", session.id.clone()),
        ("user", session.identity.chain()),
        ("groups", names(&session.identity.groups)),
        ("kind", session.identity.kind.clone()),
        ("protocol", session.protocol.clone()),
        ("target", session.target.clone()),
        ("database", session.database.clone().unwrap_or_default()),
        ("client", session.client.clone()),
        ("opened", short(&session.opened)),
        ("ended", ended(session)),
        ("why", session.reason.clone().unwrap_or_default()),
        ("requests", session.requests.to_string()),
        ("denied", session.denied.to_string()),
        ("rows", session.rows.to_string()),
        ("asked", statements.join("\n\n")),
    ];
    output.item(&shown, &fields)
}

/// The filter as the store takes it.
pub fn store_filter(filter: &SessionFilter) -> StoreFilter {
    StoreFilter {
        user: filter.user.clone(),
        target: filter.target.clone(),
        since: filter.since,
        until: filter.until,
        ..StoreFilter::default()
    }
}

/// The filter as the API takes it.
pub fn query(filter: &SessionFilter) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    query.extend(filter.user.clone().map(|user| ("user", user)));
    query.extend(filter.target.clone().map(|target| ("target", target)));
    query.extend(filter.since.map(|since| ("since", since.millis().to_string())));
    query.extend(filter.until.map(|until| ("until", until.millis().to_string())));
    query
}

async fn list_here(
    loaded: &Loaded,
    filter: &SessionFilter,
    live: bool,
    limit: u32,
) -> anyhow::Result<Vec<SessionView>> {
    if !Store::exists(&loaded.config.data_dir) {
        return Ok(Vec::new());
    }
    let store = Store::open(&loaded.config.data_dir).await?;
    let filter =
        StoreFilter { live: live.then_some(true), limit: usize::try_from(limit).unwrap_or(0), ..store_filter(filter) };
    let rows = store.list_sessions(&filter).await;
    store.close().await;
    Ok(rows?.iter().map(SessionView::from).collect())
}

async fn list_there(
    client: &Client,
    filter: &SessionFilter,
    live: bool,
    limit: u32,
) -> anyhow::Result<Vec<SessionView>> {
    let mut query = query(filter);
    query.extend(live.then(|| ("live", "true".to_owned())));
    query.push(("limit", limit.to_string()));
    let at_most = usize::try_from(limit).unwrap_or(usize::MAX);
    client.list("/api/v1/sessions", "sessions", &query, "before", at_most).await
}

async fn show_here(loaded: &Loaded, id: SessionId) -> anyhow::Result<SessionView> {
    let missing = || no_recording(id);
    if !Store::exists(&loaded.config.data_dir) {
        return Err(missing().into());
    }
    let store = Store::open(&loaded.config.data_dir).await?;
    let row = store.session(id).await;
    store.close().await;
    let row = row?.ok_or_else(missing)?;
    let mut session = SessionView::from(&row);
    // The recording knows what a session did that is still open, or that the index missed.
    if let Ok(keys) = load_keys(&loaded.config.data_dir) {
        let summary = crate::gateway::summarize(&Archive::new(&loaded.config.data_dir), &keys, id);
        session.requests = summary.counts.requests;
        session.denied = summary.counts.denied;
        session.rows = summary.counts.rows;
        if let (None, Some((why, at))) = (&session.closed, summary.closed) {
            session.closed = Some(at.to_string());
            session.reason = Some(why);
        }
    }
    Ok(session)
}

fn no_recording(id: SessionId) -> Ended {
    Ended::new(Code::Failed, format!("there is no session {id}")).with_hint("lockgate sessions list shows the ids")
}

/// The events of a recording in this data directory.
pub fn events(loaded: &Loaded, id: SessionId) -> anyhow::Result<Events> {
    let keys = load_keys(&loaded.config.data_dir)?;
    match Archive::new(&loaded.config.data_dir).read(&keys, id) {
        Err(JournalError::NoRecording(id)) => Err(no_recording(id).into()),
        other => Ok(other?),
    }
}

/// Plays a session, and what is added to it, until it ends.
async fn tail_here(loaded: &Loaded, id: SessionId) -> anyhow::Result<()> {
    let mut replay = Replay::new();
    let mut events = events(loaded, id)?;
    loop {
        each_event(&mut events, |event| output::print(&replay.text(event)))?;
        tokio::time::sleep(TAIL_LOOK).await;
        if !events.look_again()? {
            return Ok(());
        }
    }
}

async fn tail_there(client: &Client, id: SessionId) -> anyhow::Result<()> {
    client
        .lines(&format!("/api/v1/sessions/{id}/events?follow=true"), |line| match line {
            "" => Ok(()),
            line => output::print(&played(&serde_json::from_str(line)?)),
        })
        .await
}

/// Hands every sound event to `each`. A tail that is being written ends quietly; damage is an error after the last sound
/// event.
pub fn each_event(
    events: impl Iterator<Item = Result<Recorded<'static>, ReadError>>,
    mut each: impl FnMut(&Recorded<'static>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for event in events {
        match event {
            Ok(event) => each(&event)?,
            Err(ReadError::Damaged(damage)) if damage.kind == DamageKind::Torn => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn replay_here(loaded: &Loaded, id: SessionId) -> anyhow::Result<()> {
    let mut replay = Replay::new();
    let mut out = BufWriter::new(io::stdout().lock());
    let read = each_event(events(loaded, id)?, |event| Ok(out.write_all(replay.text(event).as_bytes())?));
    out.flush()?;
    read
}

/// Plays what the API hands out. It keeps result rows back from whoever did not have the session.
async fn replay_there(client: &Client, id: SessionId) -> anyhow::Result<()> {
    client
        .lines(&format!("/api/v1/sessions/{id}/events"), |line| {
            let event: Value = serde_json::from_str(line)?;
            output::print(&played(&event))
        })
        .await
}

/// One event in a line.
fn played(event: &Value) -> String {
    let word = |name: &str| event.get(name).map(plain).unwrap_or_default();
    let time = word("time");
    let clock = time.get(11..23).unwrap_or(&time).to_owned();
    let mut rest: Vec<String> = Vec::new();
    for name in [
        "user", "target", "text", "verdict", "reason", "policies", "lineage", "approval", "outcome", "by", "tag",
        "rows", "error", "message",
    ] {
        let text = word(name);
        if !text.is_empty() {
            rest.push(format!("{name} {text}"));
        }
    }
    let line = format!("{clock}  {}  {}", word("event"), rest.join("  "));
    format!("{}\n", visible_line(line.trim_end()))
}

/// A value in words: lists joined, a policy as its id and place.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match (fields.get("id"), fields.get("place")) {
            (Some(id), Some(place)) => format!("\"{}\" ({})", plain(id), plain(place)),
            _ => value.to_string(),
        },
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn export_here(loaded: &Loaded, id: SessionId) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let exported = export_events(events(loaded, id)?, id, &mut out);
    out.flush()?;
    exported
}

/// A recording as JSON lines.
pub fn export_events(events: Events, id: SessionId, out: &mut impl Write) -> anyhow::Result<()> {
    let mut lines = JsonLines::new(id);
    each_event(events, |event| Ok(writeln!(out, "{}", lines.line(event)?)?))
}
