//! What the target says beside results, as it goes on record: all that reaches the client in words. What code of the database
//! says is its own choice, in every field of a report, in notifications and in settings that are reported.

use super::Pump;
use crate::frame;
use crate::message::{self, code};
use lockgate_core::Timestamp;
use lockgate_record::RecordError;
use std::borrow::Cow;
use std::fmt::Write;

/// The severity of a notification on record.
const NOTIFICATION: &str = "NOTIFICATION";
/// That of a setting that is reported.
const SETTING: &str = "SETTING";
/// Neither has a code.
const NO_CODE: &str = "00000";

/// A report as the client gets it.
pub(super) struct Said {
    /// Not translated, where the target is new enough to say it.
    pub(super) severity: String,
    pub(super) code: String,
    /// The message, and a line for each further field.
    pub(super) text: String,
}

/// The fields besides the message that have something to say.
const FURTHER: [(u8, &str); 9] = [
    (code::DETAIL, "DETAIL"),
    (code::HINT, "HINT"),
    (code::WHERE, "CONTEXT"),
    (code::INTERNAL_QUERY, "QUERY"),
    (code::SCHEMA, "SCHEMA"),
    (code::TABLE, "TABLE"),
    (code::COLUMN, "COLUMN"),
    (code::DATA_TYPE, "DATATYPE"),
    (code::CONSTRAINT, "CONSTRAINT"),
];

/// Whether a notice is one by which the server tells of its own work. How many of those there are follows from the pages and the
/// values that it goes through.
pub(super) fn is_of_work(body: &[u8]) -> bool {
    let severity = message::Report::decode(body)
        .ok()
        .and_then(|report| report.get(code::SEVERITY_PLAIN).or_else(|| report.get(code::SEVERITY)));
    severity.is_none_or(|severity| severity.starts_with(b"DEBUG") || severity == b"LOG")
}

/// Whether it is code of the database that chose to say this (RAISE in PL/pgSQL), and not the server by itself.
pub(super) fn is_raised(body: &[u8]) -> bool {
    let routine = message::Report::decode(body).ok().and_then(|report| report.get(code::ROUTINE));
    routine == Some(b"exec_stmt_raise")
}

/// Files of the server's source in which an error of class 42 is one of definitions and names that the statement itself gave. What
/// looks a name up that may have been computed is in others (`namespace.c`, `regproc.c`, `parse_type.c`).
const OF_DEFINITIONS: [&[u8]; 9] = [
    b"tablecmds.c",
    b"heap.c",
    b"index.c",
    b"indexcmds.c",
    b"plancat.c",
    b"rewriteHandler.c",
    b"copy.c",
    b"analyze.c",
    b"vacuum.c",
];

/// An error, unless it came up within code or within a text that code made.
fn error_outside_code(body: &[u8]) -> Option<message::Report<'_>> {
    let by_code = [code::WHERE, code::INTERNAL_QUERY, code::INTERNAL_POSITION];
    let report = message::Report::decode(body).ok()?;
    let outside = by_code.into_iter().all(|field| report.get(field).is_none());
    (outside && report.get(code::SEVERITY_PLAIN) == Some(b"ERROR")).then_some(report)
}

/// Whether an error is one that the server found when it analysed the client's text, before it ran any of it: such a one follows from
/// that text and from the catalog alone. It either points into the text (the analysis of a text that code makes points into that one, or
/// tells its context, and what goes wrong while a statement runs points nowhere), or is of a definition, and no code was running.
pub(super) fn is_of_analysis(body: &[u8]) -> bool {
    let Some(report) = error_outside_code(body) else { return false };
    let get = |field: u8| report.get(field);
    let class = get(code::SQLSTATE).and_then(|state| state.get(..2)).unwrap_or_default();
    let of_a_definition = || get(code::FILE).is_some_and(|file| OF_DEFINITIONS.contains(&file));
    match class {
        b"42" => get(code::POSITION).is_some() || of_a_definition(),
        // A literal that is none of its type; what the server does not have.
        b"22" | b"0A" => get(code::POSITION).is_some(),
        _ => false,
    }
}

/// Files of the server's source in which an error of class 23 is one of a row that was to be stored.
const OF_ROWS: [&[u8]; 4] = [b"nbtinsert.c", b"execMain.c", b"execIndexing.c", b"ri_triggers.c"];

/// Whether an error is of a key, a check or NOT NULL that a row does not meet, found by the server itself. Which other row an exclusion
/// constraint compares with, its detail tells.
pub(super) fn is_of_a_row(body: &[u8]) -> bool {
    let Some(report) = error_outside_code(body) else { return false };
    let get = |field: u8| report.get(field);
    get(code::SQLSTATE).is_some_and(|state| state.starts_with(b"23") && state != b"23P01")
        && get(code::FILE).is_some_and(|file| OF_ROWS.contains(&file))
}

/// A report without the places of rows (`tuple (3,17) in relation …`), which follow from the widths of what is stored before them. The server
/// names the row that a statement waits for, in whatever language: foreign keys bring that to statements that read nothing labelled.
pub(super) fn without_places(body: &[u8]) -> Cow<'_, [u8]> {
    let Ok(report) = message::Report::decode(body) else { return Cow::Borrowed(body) };
    let deadlock = report.sqlstate() == Some(b"40P01");
    let tells = |field: u8| field == code::WHERE || (deadlock && field == code::DETAIL);
    if !report.fields().any(|(field, text)| tells(field) && text.contains(&b'(')) {
        return Cow::Borrowed(body);
    }
    let mut out = Vec::with_capacity(body.len());
    for (field, text) in report.fields() {
        out.push(field);
        if tells(field) {
            put_without_places(text, &mut out);
        } else {
            out.extend_from_slice(text);
        }
        out.push(0);
    }
    out.push(0);
    Cow::Owned(out)
}

/// Each `(3,17)` becomes `(0,0)`.
fn put_without_places(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'(', text) {
        let (before, from) = text.split_at(at);
        out.extend_from_slice(before);
        let place = place_length(from);
        out.extend_from_slice(if place.is_some() { b"(0,0)" } else { b"(" });
        text = from.get(place.unwrap_or(1)..).unwrap_or_default();
    }
    out.extend_from_slice(text);
}

/// The length of the place of a row that a text begins with.
fn place_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text.get(from..).map_or(0, |t| t.iter().take_while(|b| b.is_ascii_digit()).count());
    let page = digits(1);
    let comma = page.checked_add(1)?;
    let row = digits(comma.checked_add(1)?);
    let end = comma.checked_add(row)?.checked_add(1)?;
    let is_place = page > 0 && row > 0 && text.get(comma) == Some(&b',') && text.get(end) == Some(&b')');
    if is_place { end.checked_add(1) } else { None }
}

impl Said {
    /// Of a frame.
    pub(super) fn of(frame: &[u8]) -> Said {
        let report = frame.get(frame::HEADER_BYTES..).and_then(|body| message::Report::decode(body).ok());
        let get = |which: u8| report.as_ref().and_then(|r| r.get(which));
        let field = |which: u8| String::from_utf8_lossy(get(which).unwrap_or_default()).into_owned();
        let severity = match field(code::SEVERITY_PLAIN) {
            plain if plain.is_empty() => field(code::SEVERITY),
            plain => plain,
        };
        let sqlstate = field(code::SQLSTATE);
        let mut text = lockgate_sql::redact_error(&sqlstate, &field(code::MESSAGE)).into_owned();
        for (which, name) in FURTHER {
            let Some(value) = get(which) else { continue };
            let value = String::from_utf8_lossy(value);
            let value = match which {
                // Statements that code has put together: their strings may be passwords.
                code::WHERE | code::INTERNAL_QUERY => lockgate_sql::redact_unreadable(&value),
                _ => Cow::Borrowed(&*value),
            };
            let _ = write!(text, "\n{name}: {value}");
        }
        Said { severity, code: sqlstate, text }
    }
}

impl Pump {
    /// Puts a notification on record, as the client gets it.
    pub(super) fn record_notification(&mut self, frame: &[u8], now: Timestamp) -> Result<(), RecordError> {
        let body = frame.get(frame::HEADER_BYTES..).unwrap_or_default();
        let Ok(notification) = message::NotificationResponse::decode(body) else { return Ok(()) };
        let text = format!(
            "{}: {}",
            String::from_utf8_lossy(notification.channel),
            String::from_utf8_lossy(notification.payload)
        );
        self.session.notice(None, NOTIFICATION, NO_CODE, &text, now)
    }

    /// The same of a setting.
    pub(super) fn record_setting(&mut self, frame: &[u8], now: Timestamp) -> Result<(), RecordError> {
        let body = frame.get(frame::HEADER_BYTES..).unwrap_or_default();
        let Ok(status) = message::ParameterStatus::decode(body) else { return Ok(()) };
        let text = format!("{} = {}", String::from_utf8_lossy(status.name), String::from_utf8_lossy(status.value));
        let running = self.running();
        self.session.notice(running, SETTING, NO_CODE, &text, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &[u8]) -> Said {
        Said::of(&[b"E\0\0\0\0", body].concat())
    }

    #[test]
    fn everything_in_words_is_kept() {
        let said = said(b"SFEHLER\0VERROR\0CP0001\0Mno\0Dmore\0Hdo\0Wline 1\0tpeople\0P7\0Fx.c\0L1\0Rf\0\0");
        assert_eq!((said.severity.as_str(), said.code.as_str()), ("ERROR", "P0001"));
        assert_eq!(said.text, "no\nDETAIL: more\nHINT: do\nCONTEXT: line 1\nTABLE: people");
    }

    #[test]
    fn places_of_rows_are_not_told() {
        let told = |body: &[u8]| String::from_utf8(without_places(body).into_owned()).unwrap();
        let context =
            b"SFEHLER\0VERROR\0C55P03\0Mf(1,2)\0Wbeim Sperren von Tupel (71,12) in Relation (1,) (,2) (3,4) ((5,6\0\0";
        let expected =
            "SFEHLER\0VERROR\0C55P03\0Mf(1,2)\0Wbeim Sperren von Tupel (0,0) in Relation (1,) (,2) (0,0) ((5,6\0\0";
        assert_eq!(told(context), expected);
        let key = b"SERROR\0C23505\0DKey (a, b)=(1,2) exists.\0\0";
        assert_eq!(told(key), String::from_utf8_lossy(key));
        let deadlock = b"SERROR\0C40P01\0DProcess 1 waits for ExclusiveLock on tuple (7,12) of relation 5.\0\0";
        assert!(told(deadlock).contains("tuple (0,0) of relation 5"), "{}", told(deadlock));
        assert_eq!(told(b"no report (1,2)"), "no report (1,2)");
    }

    #[test]
    fn what_analysis_says_is_known_by_where_it_points() {
        let of = |fields: &str| is_of_analysis([fields.replace(' ', "\0").as_bytes(), b"\0\0"].concat().as_slice());
        assert!(of("SFEHLER VERROR C42703 Mno P8 Fparse_relation.c"));
        assert!(of("SERROR VERROR C22P02 Mno P8 Fnumutils.c"));
        assert!(of("SERROR VERROR C0A000 Mno P8 Fparse_clause.c"));
        assert!(of("SERROR VERROR C42701 Mno Ftablecmds.c"));
        for not in [
            "SERROR VERROR C22P02 Mno Fnumutils.c",
            "SERROR VERROR C42P01 Mno Fnamespace.c",
            "SERROR VERROR C23514 Mno P8 Fdomains.c",
            "SERROR VERROR C23505 Mno Fnbtinsert.c",
            "SERROR VERROR C42703 Mno P8 Wfunction",
            "SERROR VERROR C42703 Mno P8 W",
            "SERROR VERROR C42703 Mno p8 qSELECT",
            "SERROR VERROR C42701 Mno Ftablecmds.c Wfunction",
            "SWARNING VWARNING C42703 Mno P8",
            "SERROR C42703 Mno P8",
            "VERROR P8",
            "",
        ] {
            assert!(!of(not), "{not}");
        }
    }

    #[test]
    fn what_is_said_of_a_row_is_known_by_who_says_it() {
        let of = |fields: &str| is_of_a_row([fields.replace(' ', "\0").as_bytes(), b"\0\0"].concat().as_slice());
        assert!(of("SERROR VERROR C23505 Mno Dkey nk Fnbtinsert.c"));
        assert!(of("SERROR VERROR C23502 Mno Drow FexecMain.c"));
        for not in [
            "SERROR VERROR C23505 Mno nk Wfunction Fnbtinsert.c",
            "SERROR VERROR C23P01 Mno Dkey FexecIndexing.c",
            "SERROR VERROR C23505 Mno Fpl_exec.c",
            "SERROR VERROR C22001 Mno FexecMain.c",
            "SWARNING VWARNING C23505 Mno Fnbtinsert.c",
        ] {
            assert!(!of(not), "{not}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_not() {
        let said = said(b"VERROR\0C42601\0Msyntax error at or near \"secret\"\0qALTER ROLE x PASSWORD 'secret'\0\0");
        assert!(!said.text.contains("secret"), "{}", said.text);
        assert!(said.text.contains("QUERY: ALTER ROLE x PASSWORD '***'"), "{}", said.text);
    }
}
