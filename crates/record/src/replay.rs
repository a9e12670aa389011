//! Recordings as a transcript for a person at a terminal: what was asked, what policy said, what came back.
//!
//! Everything that came from outside passes [`visible`](crate::visible()) first, so that playing a hostile session does not
//! act on the auditor's terminal. Tables are shown to a limit, and say what they leave out; the whole is in the export.

use crate::certificates::Seen;
use crate::event::{
    Asked, Certificate, Column, Decided, Done, Event, Failure, Held, Judged, PolicyRef, Recorded, SessionOpened,
    VerdictKind,
};
use crate::result::{Item, ResultStream};
use crate::visible::{visible, visible_line};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Rows of one result that are shown, by default.
const ROWS_SHOWN: usize = 200;
/// Characters of one cell that are shown.
const CELL_CHARS_SHOWN: usize = 60;

/// Turns the events of one recording, given in order, into text.
pub struct Replay {
    rows_shown: usize,
    results: BTreeMap<u64, Table>,
    certificates: Seen,
    /// The content rules that were shown last.
    content: Vec<String>,
}

#[derive(Default)]
struct Table {
    stream: ResultStream,
    names: Vec<String>,
    binary: Vec<bool>,
    rows: Vec<Vec<String>>,
    copy: String,
    left_out: u64,
    opaque_bytes: usize,
}

impl Default for Replay {
    fn default() -> Self {
        Replay::new()
    }
}

impl Replay {
    /// With the usual limit on rows.
    pub fn new() -> Self {
        Replay::with_rows_shown(ROWS_SHOWN)
    }

    /// With another limit on the rows shown of each result.
    pub fn with_rows_shown(rows_shown: usize) -> Self {
        Replay { rows_shown, results: BTreeMap::new(), certificates: Seen::default(), content: Vec::new() }
    }

    /// The text for one event, in whole lines; empty for one that only shows with a later one.
    pub fn text(&mut self, recorded: &Recorded<'_>) -> String {
        let mut out = String::new();
        let clock = recorded.time.to_string();
        let clock = clock.get(11..23).unwrap_or(&clock);
        // Writing to a String cannot fail.
        let _ = self.show(&mut out, clock, &recorded.event);
        out
    }

    fn show(&mut self, out: &mut String, clock: &str, event: &Event<'_>) -> std::fmt::Result {
        match event {
            Event::SessionOpened(opened) => show_opened(out, clock, opened),
            Event::Asked(asked) => show_asked(out, clock, asked),
            Event::Judged(judged) => show_judged(out, judged, &self.certificates.of(judged)),
            Event::Certificate(certificate) => {
                self.certificates.see(event);
                // The rules are mostly the same for all of a session.
                let content = certificate.content_lines();
                if content != self.content {
                    for line in &content {
                        writeln!(out, "    -- {}", visible_line(line))?;
                    }
                    self.content = content;
                }
                Ok(())
            }
            Event::Held(Held { approval, approvers, quorum, expires, .. }) => {
                let approvers = visible_line(&approvers.join(", ")).into_owned();
                writeln!(
                    out,
                    "{clock}    held for {quorum} of {approvers}, approval {}, until {expires}",
                    visible_line(approval)
                )
            }
            Event::Decided(Decided { outcome, by, reason, .. }) => {
                write!(out, "{clock}    {outcome}")?;
                if !by.is_empty() {
                    write!(out, " by {}", visible_line(&by.join(", ")))?;
                }
                if reason.is_empty() { writeln!(out) } else { writeln!(out, ": {}", visible_line(reason)) }
            }
            Event::Columns(columns) => {
                self.columns(columns.request, &columns.columns);
                Ok(())
            }
            Event::Rows(rows) => {
                let limit = self.rows_shown;
                self.results.entry(rows.request).or_default().take(rows.data.as_bytes(), limit);
                Ok(())
            }
            Event::Input(input) => writeln!(out, "    sent {} bytes of data", input.data.as_bytes().len()),
            Event::RowsCut(cut) => {
                writeln!(
                    out,
                    "    (more than {} bytes of {}: the rest was not recorded)",
                    cut.limit,
                    visible_line(&cut.what)
                )
            }
            Event::Notice(notice) => {
                writeln!(out, "    {}: {}", visible_line(&notice.severity), visible_line(&notice.message))
            }
            Event::Done(done) => {
                if let Some(table) = self.results.remove(&done.request) {
                    table.show(out)?;
                }
                show_done(out, clock, done)
            }
            Event::Cancelled(cancelled) => {
                writeln!(out, "{clock}    cancel asked for by {}", visible_line(&cancelled.by))
            }
            Event::SessionClosed(closed) => {
                write!(out, "{clock} session closed: {}", closed.reason)?;
                if !closed.detail.is_empty() {
                    write!(out, " ({})", visible_line(&closed.detail))?;
                }
                writeln!(out, ", {} requests, {} rows, {} bytes", closed.requests, closed.rows, closed.bytes)
            }
            Event::Recovered(recovered) => {
                let (reason, torn) = (visible_line(&recovered.reason), recovered.torn_bytes);
                writeln!(
                    out,
                    "{clock} recovered: {reason}; {} requests aborted, {torn} torn bytes cut",
                    recovered.requests
                )
            }
            Event::GatewayStarted(started) => {
                writeln!(out, "{clock} gateway {} started", visible_line(&started.version))
            }
            Event::GatewayStopped(stopped) => {
                writeln!(out, "{clock} gateway stopped: {}", visible_line(&stopped.reason))
            }
            Event::ConfigReloaded(reloaded) => {
                let word = if reloaded.accepted { "taken" } else { "refused" };
                writeln!(out, "{clock} configuration {word}: {}", visible_line(&reloaded.detail))
            }
            Event::PolicyLoaded(loaded) => {
                let word = if loaded.accepted { "taken" } else { "refused" };
                writeln!(out, "{clock} {} policies {word}: {}", loaded.count, visible_line(&loaded.detail))
            }
            Event::TokenCreated(token) => {
                let (id, user, by) =
                    (visible_line(&token.token_id), visible_line(&token.user), visible_line(&token.by));
                writeln!(out, "{clock} token {id} for {user} ({}) created by {by}", token.kind)
            }
            Event::TokenRevoked(token) => {
                writeln!(out, "{clock} token {} revoked by {}", visible_line(&token.token_id), visible_line(&token.by))
            }
            Event::LoginFailed(login) => {
                let (user, target, client) =
                    (visible_line(&login.user), visible_line(&login.target), visible_line(&login.client));
                let (protocol, reason) = (visible_line(&login.protocol), visible_line(&login.reason));
                writeln!(out, "{clock} login failed: `{user}` to `{target}` ({protocol}) from {client}: {reason}")
            }
            Event::ApprovalDecided(decided) => {
                let (approval, session) = (visible_line(&decided.approval), visible_line(&decided.session));
                let (by, reason) = (visible_line(&decided.by), visible_line(&decided.reason));
                writeln!(out, "{clock} approval {approval} of session {session}: {} by {by}: {reason}", decided.outcome)
            }
            Event::SessionCut(cut) => {
                let (session, by, reason) =
                    (visible_line(&cut.session), visible_line(&cut.by), visible_line(&cut.reason));
                writeln!(out, "{clock} session {session} cut by {by}: {reason}")
            }
            Event::TokenUsed(used) => {
                let (id, user) = (visible_line(&used.token_id), visible_line(&used.user));
                let (client, purpose) = (visible_line(&used.client), visible_line(&used.purpose));
                writeln!(out, "{clock} token {id} of {user} used from {client}: {purpose}")
            }
            Event::Administered(act) => {
                let (what, subject) = (visible_line(&act.what), visible_line(&act.subject));
                let (detail, by) = (visible_line(&act.detail), visible_line(&act.by));
                writeln!(out, "{clock} {what} `{subject}` by {by}: {detail}")
            }
            Event::Detokenized(asked) => {
                let (label, by, reason) =
                    (visible_line(&asked.label), visible_line(&asked.by), visible_line(&asked.reason));
                match asked.allowed {
                    true => writeln!(out, "{clock} {} of {} tokens of {label} read by {by}", asked.read, asked.tokens),
                    false => writeln!(out, "{clock} {} tokens of {label} refused to {by}: {reason}", asked.tokens),
                }
            }
        }
    }

    fn columns(&mut self, request: u64, columns: &[Column<'_>]) {
        let table = self.results.entry(request).or_default();
        table.names = columns.iter().map(|column| cut_cell(&column.name)).collect();
        table.binary = columns.iter().map(|column| column.format == 1).collect();
    }
}

fn show_opened(out: &mut String, clock: &str, opened: &SessionOpened<'_>) -> std::fmt::Result {
    write!(out, "{clock} session {}: {}", visible_line(&opened.session), visible_line(&opened.user))?;
    for party in opened.on_behalf_of.iter() {
        write!(out, " for {}", visible_line(&party.user))?;
    }
    write!(out, " ({}", opened.kind)?;
    if !opened.groups.is_empty() {
        write!(out, "; {}", visible_line(&opened.groups.join(", ")))?;
    }
    let (target, database) = (visible_line(&opened.target), visible_line(&opened.database));
    let (protocol, client) = (visible_line(&opened.protocol), visible_line(&opened.client));
    write!(out, ") to {target}")?;
    if !database.is_empty() {
        write!(out, "/{database}")?;
    }
    write!(out, " ({protocol}) from {client}")?;
    for setting in opened.parameters.iter() {
        write!(out, ", {}={}", visible_line(&setting.name), visible_line(&setting.value))?;
    }
    writeln!(out)
}

fn show_asked(out: &mut String, clock: &str, asked: &Asked<'_>) -> std::fmt::Result {
    write!(out, "\n{clock} #{} {}", asked.request, asked.kind)?;
    for name in [&asked.statement, &asked.portal].into_iter().flatten().filter(|name| !name.is_empty()) {
        write!(out, " \"{}\"", visible_line(name))?;
    }
    writeln!(out)?;
    let text = asked.text.to_text();
    for line in visible(&text).lines() {
        writeln!(out, "    {line}")?;
    }
    let recorded = asked.text.as_bytes().len();
    if u64::try_from(recorded).unwrap_or(u64::MAX) < asked.text_bytes {
        writeln!(out, "    (cut: {recorded} of {} bytes)", asked.text_bytes)?;
    }
    for (number, parameter) in (1_u32..).zip(asked.parameters.iter()) {
        match &parameter.value {
            None => writeln!(out, "    ${number} = NULL")?,
            Some(value) => {
                let text = if parameter.format == 1 { hex(value.as_bytes()) } else { cut_cell(&value.to_text()) };
                writeln!(out, "    ${number} = {text}")?;
            }
        }
    }
    if asked.parameters_cut { writeln!(out, "    (parameters cut)") } else { Ok(()) }
}

fn show_judged(out: &mut String, judged: &Judged<'_>, certificates: &[&Certificate<'_>]) -> std::fmt::Result {
    let word = match judged.verdict {
        VerdictKind::Allow => "allowed",
        VerdictKind::Deny => "denied",
        VerdictKind::Hold => "to be approved",
    };
    write!(out, "    -- {word}")?;
    let policies: Vec<String> = judged
        .policies
        .iter()
        .map(|PolicyRef { id, place }| format!("\"{}\" ({})", visible_line(id), visible_line(place)))
        .collect();
    if !policies.is_empty() {
        write!(out, " by {}", policies.join(", "))?;
    }
    if !judged.reason.is_empty() {
        write!(out, ": {}", visible_line(&judged.reason))?;
    }
    writeln!(out)?;
    for line in certificates.iter().flat_map(|certificate| certificate.lines()) {
        writeln!(out, "    -- {}", visible_line(&line))?;
    }
    if !certificates.is_empty() {
        return Ok(());
    }
    for mask in judged.masks.iter() {
        let (name, label, method) = (visible_line(&mask.name), visible_line(&mask.label), visible_line(&mask.method));
        writeln!(out, "    -- column {} \"{name}\" masked: {label}, {method}", mask.column)?;
    }
    Ok(())
}

fn show_done(out: &mut String, clock: &str, done: &Done<'_>) -> std::fmt::Result {
    write!(out, "{clock} #{} {}", done.request, done.outcome)?;
    if !done.tag.is_empty() {
        write!(out, " {}", visible_line(&done.tag))?;
    }
    write!(
        out,
        " ({} rows, {} bytes, {}.{:03} ms)",
        done.rows,
        done.bytes,
        done.duration_us / 1_000,
        done.duration_us % 1_000
    )?;
    if let Some(Failure { code, message, fault }) = &done.error {
        write!(out, ": {} {} (fault: {})", visible_line(code), visible_line(message), visible_line(fault))?;
    }
    writeln!(out)
}

/// A cell as it stands in a table: on one line, and not too long.
fn cut_cell(text: &str) -> String {
    let mut chars = text.chars();
    let kept: String = chars.by_ref().take(CELL_CHARS_SHOWN).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{}{more}", visible_line(&kept))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("\\x");
    for byte in bytes.iter().take(CELL_CHARS_SHOWN / 2) {
        text.push_str(&format!("{byte:02x}"));
    }
    if bytes.len() > CELL_CHARS_SHOWN / 2 {
        text.push('…');
    }
    text
}

impl Table {
    fn take(&mut self, piece: &[u8], limit: usize) {
        for item in self.stream.push(piece) {
            match item {
                Item::Row(_) | Item::Copy(_)
                    if self.rows.len() >= limit || self.copy.len() > limit.saturating_mul(80) =>
                {
                    self.left_out = self.left_out.saturating_add(1);
                }
                Item::Row(cells) => {
                    let cells = cells.into_iter().enumerate().map(|(at, cell)| match cell {
                        None => "NULL".to_owned(),
                        Some(bytes) if self.binary.get(at) == Some(&true) => hex(&bytes),
                        Some(bytes) => cut_cell(&String::from_utf8_lossy(&bytes)),
                    });
                    let row = cells.collect();
                    self.rows.push(row);
                }
                Item::Copy(data) => self.copy.push_str(&visible(&String::from_utf8_lossy(&data))),
                Item::Opaque(data) => self.opaque_bytes = self.opaque_bytes.saturating_add(data.len()),
            }
        }
    }

    fn show(mut self, out: &mut String) -> std::fmt::Result {
        if let Some(Item::Opaque(data)) = self.stream.finish() {
            self.opaque_bytes = self.opaque_bytes.saturating_add(data.len());
        }
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.chars().count()).collect();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.names.is_empty() {
            show_row(out, &widths, &self.names)?;
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            writeln!(out, "    {}", rule.join("-+-"))?;
        }
        for row in &self.rows {
            show_row(out, &widths, row)?;
        }
        for line in self.copy.lines() {
            writeln!(out, "    {line}")?;
        }
        if self.left_out > 0 {
            writeln!(out, "    (… {} more, not shown)", self.left_out)?;
        }
        if self.opaque_bytes > 0 {
            writeln!(out, "    ({} bytes that are no rows)", self.opaque_bytes)?;
        }
        Ok(())
    }
}

fn show_row(out: &mut String, widths: &[usize], cells: &[String]) -> std::fmt::Result {
    let mut line = String::new();
    for (at, width) in widths.iter().enumerate() {
        let cell = cells.get(at).map_or("", String::as_str);
        let gap = width.saturating_sub(cell.chars().count());
        write!(line, "{}{cell}{}", if at == 0 { "" } else { " | " }, " ".repeat(gap))?;
    }
    writeln!(out, "    {}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        CertifiedColumn, CertifiedRule, CertifiedStatement, CertifiedUse, Columns, DoneKind, MaskUse, Origin,
        Parameter, RequestKind, Rows,
    };
    use crate::result::tests::data_row;
    use crate::wire::{Digest, List};
    use lockgate_core::{Identity, IdentityKind, Timestamp};
    use std::collections::BTreeSet;

    fn play(replay: &mut Replay, events: Vec<Event<'_>>) -> String {
        let time = Timestamp::from_millis(1_795_237_740_123);
        (0..).zip(events).map(|(seq, event)| replay.text(&Recorded { seq, time, event })).collect()
    }

    #[test]
    fn a_session_reads_as_a_transcript() {
        let identity = Identity {
            user: "alice".to_owned(),
            groups: BTreeSet::from(["engineers".to_owned()]),
            kind: IdentityKind::Human,
            directories: Vec::new(),
            on_behalf_of: Vec::new(),
            token_id: Some("t1".to_owned()),
            actions: None,
        };
        let mut judged = Judged::new(1, VerdictKind::Allow);
        judged.policies = vec![PolicyRef { id: "engineers".into(), place: "orders.cedar:1".into() }].into();
        let mask = MaskUse { column: 1, name: "ssn".into(), label: "pii/ssn".into(), method: "redact".into() };
        judged.masks = vec![mask].into();
        let mut asked =
            Asked::new(1, RequestKind::Execute, b"SELECT id, ssn\nFROM customers WHERE id < $1", Digest([0; 32]));
        let parameters = [Parameter::new(Some(b"3"), 0), Parameter::new(Some(b"\0\x07"), 1), Parameter::new(None, 0)];
        asked.parameters = parameters.as_slice().into();
        let column = |name: &'static str| Column { name: name.into(), type_id: 25, format: 0 };
        let rows = [data_row(&[Some("1"), Some("****")]), data_row(&[Some("22"), None])].concat();
        let mut done = Done::new(1, DoneKind::Completed);
        (done.tag, done.rows, done.bytes, done.duration_us) = ("SELECT 2".into(), 2, 40, 1_234);
        let text = play(
            &mut Replay::new(),
            vec![
                SessionOpened::of("S", &identity, "127.0.0.1:5", "orders", "shop", "postgres").into(),
                asked.into(),
                judged.into(),
                Columns { request: 1, columns: vec![column("id"), column("ssn")].into() }.into(),
                Rows { request: 1, count: 2, data: rows.into() }.into(),
                done.into(),
            ],
        );
        let expected = "\
05:09:00.123 session S: alice (human; engineers) to orders/shop (postgres) from 127.0.0.1:5

05:09:00.123 #1 execute
    SELECT id, ssn
    FROM customers WHERE id < $1
    $1 = 3
    $2 = \\x0007
    $3 = NULL
    -- allowed by \"engineers\" (orders.cedar:1)
    -- column 1 \"ssn\" masked: pii/ssn, redact
    id | ssn
    ---+-----
    1  | ****
    22 | NULL
05:09:00.123 #1 completed SELECT 2 (2 rows, 40 bytes, 1.234 ms)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_certificate_says_why_a_column_is_as_it_is() {
        let origin = Origin { column: "public.people.ssn".into(), labels: vec!["pii/ssn".into()].into() };
        let column = |column, name: &'static str, label: Option<&'static str>| CertifiedColumn {
            column,
            name: name.into(),
            from: if name == "id" { List::default() } else { vec![origin.clone()].into() },
            derived: name == "upper",
            method: label.map_or("clear", |_| "redact").into(),
            label: label.map(Into::into),
            why: if name == "shown" { "it may be revealed" } else { "policy \"mask\" (a.cedar:1)" }.into(),
            checked: label.is_none(),
        };
        let columns = vec![column(0, "id", None), column(1, "upper", Some("pii/ssn")), column(2, "shown", None)];
        let used = CertifiedUse { how: "predicate".into(), place: "WHERE".into(), from: vec![origin.clone()].into() };
        let statement =
            CertifiedStatement { verb: "select".into(), columns: columns.into(), uses: vec![used].into(), unlisted: 2 };
        let rule =
            CertifiedRule { label: "pii/email".into(), detectors: vec!["email".into()].into(), method: "token".into() };
        let certificate = Certificate {
            number: 4,
            policies: 1,
            catalog: "v".into(),
            statements: vec![statement].into(),
            content: vec![rule].into(),
        };
        let mut judged = Judged::new(1, VerdictKind::Allow);
        judged.certificates = vec![4].into();
        let events = || vec![certificate.clone().into(), judged.clone().into(), judged.clone().into()];
        let column = "    -- column 1 \"upper\" masked: pii/ssn, redact (policy \"mask\" (a.cedar:1)), made from \
            public.people.ssn (pii/ssn)\n    -- column 2 \"shown\" clear (it may be revealed), from \
            public.people.ssn (pii/ssn), content rules look into it\n    -- predicate in WHERE: public.people.ssn (pii/ssn)\n    \
            -- 1 column: clear, nothing labelled, content rules look into them\n    -- 2 more columns and uses are not listed\n";
        let verdict = format!("    -- allowed\n{column}");
        let expected = format!("    -- content: email wherever found, pii/email, token\n{verdict}{verdict}");
        assert_eq!(play(&mut Replay::new(), events()), expected);
        // The export has it in place of its number.
        let mut lines = crate::JsonLines::new(lockgate_core::SessionId::new(Timestamp::from_millis(0), 1));
        let time = Timestamp::from_millis(0);
        let lines: Vec<serde_json::Value> = (0..)
            .zip(events())
            .map(|(seq, event)| serde_json::from_str(&lines.line(&Recorded { seq, time, event }).unwrap()).unwrap())
            .collect();
        assert_eq!(lines[0]["event"], "certificate");
        for line in &lines[1..] {
            assert_eq!(line["event"], "judged");
            assert_eq!(
                line["certificates"][0]["statements"][0]["columns"][1]["from"][0]["column"],
                "public.people.ssn"
            );
            assert!(line["lineage"].as_str().unwrap().contains("column 1 \"upper\" masked: pii/ssn"), "{line}");
        }
    }

    #[test]
    fn hostile_content_does_nothing_to_the_terminal() {
        let evil = "\x1b]52;c;QUJD\x07\u{202e}\u{9b}2J";
        let rows = data_row(&[Some(evil), Some(&"x".repeat(1_000_000))]);
        let mut done = Done::new(1, DoneKind::Failed);
        done.tag = evil.into();
        done.error = Some(Failure { code: evil.into(), message: evil.into(), fault: evil.into() });
        let text = play(
            &mut Replay::new(),
            vec![
                Asked::new(1, RequestKind::Simple, evil.as_bytes(), Digest([0; 32])).into(),
                Columns { request: 1, columns: vec![Column { name: evil.into(), type_id: 0, format: 0 }].into() }
                    .into(),
                Rows { request: 1, count: 1, data: rows.into() }.into(),
                done.into(),
            ],
        );
        assert!(text.contains("\\e]52;c;QUJD\\u{7}\\u{202e}\\u{9b}2J"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        assert!(!text.contains('\u{202e}'));
        assert!(text.len() < 2_000, "{}", text.len());
    }

    #[test]
    fn long_results_are_shown_in_part_and_say_so() {
        let rows = data_row(&[Some("r")]).repeat(1_000);
        let text = play(
            &mut Replay::with_rows_shown(3),
            vec![
                Rows { request: 1, count: 1_000, data: rows.as_slice().into() }.into(),
                Done::new(1, DoneKind::Completed).into(),
            ],
        );
        assert_eq!(text.matches("    r\n").count(), 3, "{text}");
        assert!(text.contains("(… 997 more, not shown)"), "{text}");
    }
}
