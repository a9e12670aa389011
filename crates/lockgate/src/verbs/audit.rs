//! `lockgate audit`: prove that recordings are unaltered, search them, export them. All of it reads the gateway's own
//! files: a proof that is handed out by what is to be proved would be worth little.

use crate::cli::{AuditVerb, EventFilter, Global, SessionFilter, Verdict};
use crate::exit::{Code, Ended};
use crate::output::{self, Output};
use crate::place;
use crate::verbs::sessions::{each_event, export_events};
use crate::view::short;
use anyhow::Context;
use lockgate_config::Loaded;
use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{Event, Recorded, RecordingKind, VerdictKind};
use lockgate_store::journal::{Archive, Finding, VerifyReport, load_keys, load_public_key, newest_checkpoint, verify};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

/// Findings that are said; JSON has all of them.
const SAID_MAX: usize = 20;

/// A checkpoint is a few hundred bytes; a file that holds more is none.
const CHECKPOINT_BYTES_MAX: u64 = 64 * 1024;

/// Runs the verb.
pub async fn run(global: &Global, output: Output, verb: AuditVerb) -> anyhow::Result<()> {
    let (loaded, _) = place::load_here(&place::config_path(global)?)?;
    match verb {
        AuditVerb::Verify { checkpoints } => verify_here(&loaded, output, &checkpoints),
        AuditVerb::Checkpoint => checkpoint(&loaded),
        AuditVerb::Search { text, filter } => search(&loaded, output, &text, &filter),
        AuditVerb::Export { filter } => export(&loaded, &filter),
    }
}

/// What verification found, for programs.
#[derive(Serialize)]
struct Verified {
    sound: bool,
    sessions: u64,
    gateway_logs: u64,
    open: u64,
    events: u64,
    checkpoints: u64,
    unsigned: u64,
    unlogged_events: u64,
    findings: Vec<FindingView>,
    findings_unlisted: u64,
    torn: Vec<FindingView>,
}

#[derive(Serialize)]
struct FindingView {
    session: Option<String>,
    event: u64,
    byte: u64,
    kind: String,
    detail: String,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        FindingView {
            session: finding.session.map(|id| id.to_string()),
            event: finding.damage.seq,
            byte: finding.damage.offset,
            kind: finding.damage.kind.to_string(),
            detail: finding.damage.detail.clone(),
        }
    }
}

/// Prints the newest checkpoint, to be kept where the gateway's administrators cannot write.
fn checkpoint(loaded: &Loaded) -> anyhow::Result<()> {
    let data_dir = &loaded.config.data_dir;
    let public = load_public_key(data_dir).with_context(|| format!("no log in `{}`", data_dir.display()))?;
    let note = newest_checkpoint(data_dir, &public)?
        .ok_or_else(|| Ended::new(Code::Failed, "the log of recordings has no checkpoint that its key signed"))?;
    output::print(&note)
}

/// Checkpoints that were kept elsewhere.
fn anchors(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    files
        .iter()
        .map(|file| {
            let named = || format!("cannot read the checkpoint `{}`", file.display());
            let note = std::fs::File::open(file).with_context(named)?;
            let mut text = String::new();
            note.take(CHECKPOINT_BYTES_MAX).read_to_string(&mut text).with_context(named)?;
            Ok(text)
        })
        .collect()
}

fn verify_here(loaded: &Loaded, output: Output, checkpoints: &[PathBuf]) -> anyhow::Result<()> {
    let data_dir = &loaded.config.data_dir;
    let public = load_public_key(data_dir).with_context(|| format!("nothing to verify in `{}`", data_dir.display()))?;
    // Without the encryption keys the chains are verified all the same, and only the frames stay shut.
    let keys = load_keys(data_dir).ok();
    let report = verify(data_dir, &public, keys.as_ref(), &anchors(checkpoints)?)?;
    if !output.is_table() {
        output.data(&Verified {
            sound: report.is_sound(),
            sessions: report.sessions,
            gateway_logs: report.gateway_logs,
            open: report.open,
            events: report.events,
            checkpoints: report.checkpoints,
            unsigned: report.unsigned_leaves,
            unlogged_events: report.unlogged_events,
            findings: report.findings.iter().map(FindingView::from).collect(),
            findings_unlisted: report.findings_unlisted,
            torn: report.torn.iter().map(FindingView::from).collect(),
        })?;
        return if report.is_sound() { Ok(()) } else { Err(Ended::quietly(Code::Failed).into()) };
    }
    for torn in report.torn.iter().take(SAID_MAX) {
        output::words(&format!("unfinished: {torn}"))?;
    }
    let Some(first) = report.first_bad() else { return output::print(&summary(&report)) };
    for finding in report.findings.iter().skip(1).take(SAID_MAX) {
        output::words(&format!("also: {finding}"))?;
    }
    let more = u64::try_from(report.findings.len().saturating_sub(SAID_MAX + 1)).unwrap_or(0);
    if let Some(more) = more.checked_add(report.findings_unlisted).filter(|more| *more > 0) {
        output::words(&format!("and {more} more; -o json lists them"))?;
    }
    Err(Ended::new(Code::Failed, format!("not as it was written: {first}")).into())
}

fn summary(report: &VerifyReport) -> String {
    let some = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let mut text = format!(
        "verified: {} and {}, {}, all as they were written\n",
        some(report.sessions, "session"),
        some(report.gateway_logs, "gateway log"),
        some(report.events, "event")
    );
    if report.open > 0 {
        text.push_str(&format!(
            "{} without an end: still open, or left by a gateway that died\n",
            some(report.open, "recording")
        ));
    }
    if report.unlogged_events > 0 {
        text.push_str(&format!(
            "{} of open recordings newer than the log knows of, which nothing would miss yet\n",
            some(report.unlogged_events, "event")
        ));
    }
    if report.unsigned_leaves > 0 {
        text.push_str(&format!(
            "{} newer than the signed checkpoint\n",
            some(report.unsigned_leaves, "log leaf").replace("leafs", "leaves")
        ));
    }
    text
}

/// A place where the text was found.
#[derive(Serialize)]
struct Hit {
    session: String,
    event: u64,
    time: String,
    user: String,
    target: String,
    kind: String,
    text: String,
}

fn search(loaded: &Loaded, output: Output, text: &str, filter: &EventFilter) -> anyhow::Result<()> {
    let needle = text.to_lowercase();
    let wanted = filter.verdict.map(|verdict| match verdict {
        Verdict::Allow => VerdictKind::Allow,
        Verdict::Deny => VerdictKind::Deny,
        Verdict::Hold => VerdictKind::Hold,
    });
    let mut hits = Vec::new();
    // Of the recording that is read: how its requests were judged, and what was asked and is not judged yet.
    let mut verdicts = HashMap::new();
    let mut asked: Vec<(u64, Hit)> = Vec::new();
    let mut recording = None;
    for_each_event(loaded, filter, |seen| {
        if recording.replace(seen.id) != Some(seen.id) {
            verdicts.clear();
            asked.clear();
        }
        if let Event::Judged(judged) = &seen.recorded.event {
            verdicts.insert(judged.request, judged.verdict);
            for (_, hit) in asked.extract_if(.., |(request, _)| *request == judged.request) {
                if wanted == Some(judged.verdict) {
                    hits.push(hit);
                }
            }
        }
        if !happened(filter, seen.recorded.time) {
            return;
        }
        for found in texts(&seen.recorded.event) {
            if !found.to_lowercase().contains(&needle) {
                continue;
            }
            let hit = Hit {
                session: seen.id.to_string(),
                event: seen.recorded.seq,
                time: seen.recorded.time.to_string(),
                user: seen.user.to_owned(),
                target: seen.target.to_owned(),
                kind: as_exported(seen.recorded.event.name()),
                text: found,
            };
            match (wanted, request_of(&seen.recorded.event)) {
                (None, _) => hits.push(hit),
                (Some(_), None) => {}
                (Some(wanted), Some(request)) => match verdicts.get(&request) {
                    Some(verdict) if *verdict == wanted => hits.push(hit),
                    Some(_) => {}
                    None => asked.push((request, hit)),
                },
            }
        }
    })?;
    let head = ["time", "session", "event", "user", "target", "kind", "text"];
    let row = |hit: &Hit| {
        vec![
            short(&hit.time),
            hit.session.clone(),
            hit.event.to_string(),
            hit.user.clone(),
            hit.target.clone(),
            hit.kind.clone(),
            hit.text.clone(),
        ]
    };
    output.list(&hits, &head, row, "nothing was found")
}

/// The words of an event that can be searched: what was asked, said and refused, not the rows of results.
fn texts(event: &Event<'_>) -> Vec<String> {
    match event {
        Event::Asked(asked) => vec![asked.text.to_text().into_owned()],
        Event::Judged(judged) => {
            let policies = judged.policies.iter().map(|p| p.id.to_string());
            policies.chain(std::iter::once(judged.reason.to_string())).filter(|text| !text.is_empty()).collect()
        }
        Event::Notice(notice) => vec![notice.message.to_string()],
        Event::Done(done) => done.error.iter().map(|e| format!("{} {}", e.code, e.message)).collect(),
        Event::LoginFailed(failed) => vec![format!("{} {} {}", failed.user, failed.target, failed.reason)],
        Event::ApprovalDecided(decided) => vec![format!("{} {} {}", decided.approval, decided.by, decided.reason)],
        Event::TokenCreated(token) => vec![format!("{} {}", token.token_id, token.user)],
        Event::TokenRevoked(token) => vec![token.token_id.to_string()],
        Event::Detokenized(asked) => vec![format!("{} {} {}", asked.label, asked.by, asked.reason)],
        Event::TokenUsed(used) => vec![format!("{} {} {}", used.token_id, used.user, used.purpose)],
        Event::Administered(act) => vec![format!("{} {} {} by {}", act.what, act.subject, act.detail, act.by)],
        Event::ConfigReloaded(reloaded) => vec![reloaded.detail.to_string()],
        Event::SessionClosed(closed) => vec![closed.detail.to_string()],
        _ => Vec::new(),
    }
}

/// The name of an event as the export writes it: `SessionOpened` is `session_opened`.
fn as_exported(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// The request that an event with words is of.
fn request_of(event: &Event<'_>) -> Option<u64> {
    match event {
        Event::Asked(asked) => Some(asked.request),
        Event::Judged(judged) => Some(judged.request),
        Event::Notice(notice) => notice.request,
        Event::Done(done) => Some(done.request),
        _ => None,
    }
}

fn happened(filter: &EventFilter, at: Timestamp) -> bool {
    filter.since.is_none_or(|since| at >= since) && filter.until.is_none_or(|until| at < until)
}

/// An event, and whose session it is of.
struct Seen<'e> {
    id: SessionId,
    user: &'e str,
    target: &'e str,
    recorded: &'e Recorded<'static>,
}

/// Goes through the events of every recording that can hold what the filter admits; whose session it is is known from its
/// first event. When each event happened is for the caller to look at.
fn for_each_event(loaded: &Loaded, filter: &EventFilter, mut each: impl FnMut(&Seen<'_>)) -> anyhow::Result<()> {
    let data_dir = &loaded.config.data_dir;
    let keys = load_keys(data_dir)?;
    let archive = Archive::new(data_dir);
    let named = filter.user.is_some() || filter.target.is_some();
    for entry in archive.list()? {
        let too_late = filter.until.is_some_and(|until| entry.session.timestamp() >= until);
        if too_late || (entry.kind == RecordingKind::Gateway && named) {
            continue;
        }
        let (mut user, mut target) = (String::new(), String::new());
        let mut admitted = true;
        each_event(archive.read(&keys, entry.session)?, |recorded| {
            if let Event::SessionOpened(opened) = &recorded.event {
                user = opened.user.to_string();
                target = opened.target.to_string();
                admitted = is_of(filter.user.as_deref(), filter.target.as_deref(), &user, &target);
            }
            if admitted {
                each(&Seen { id: entry.session, user: &user, target: &target, recorded });
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn in_time(filter: &SessionFilter, id: SessionId) -> bool {
    let opened = id.timestamp();
    filter.since.is_none_or(|since| opened >= since) && filter.until.is_none_or(|until| opened < until)
}

fn names_session(filter: &SessionFilter) -> bool {
    filter.user.is_some() || filter.target.is_some()
}

fn is_of(wanted_user: Option<&str>, wanted_target: Option<&str>, user: &str, target: &str) -> bool {
    wanted_user.is_none_or(|wanted| wanted == user) && wanted_target.is_none_or(|wanted| wanted == target)
}

fn export(loaded: &Loaded, filter: &SessionFilter) -> anyhow::Result<()> {
    let data_dir = &loaded.config.data_dir;
    let keys = load_keys(data_dir)?;
    let archive = Archive::new(data_dir);
    let mut out = BufWriter::new(io::stdout().lock());
    for entry in archive.list()? {
        if !in_time(filter, entry.session) {
            continue;
        }
        if names_session(filter) {
            let first = archive.read(&keys, entry.session)?.next();
            let Some(Ok(recorded)) = first else { continue };
            let Event::SessionOpened(opened) = &recorded.event else { continue };
            if !is_of(filter.user.as_deref(), filter.target.as_deref(), &opened.user, &opened.target) {
                continue;
            }
        }
        export_events(archive.read(&keys, entry.session)?, entry.session, &mut out)?;
    }
    Ok(out.flush()?)
}
