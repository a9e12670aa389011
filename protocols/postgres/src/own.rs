//! The messages that the gateway itself sends: to a client in place of a server, and to a target in place of a client.
//!
//! Each function appends one message to a buffer. Text with a NUL would end early on the wire, which turns one string
//! into two; requests refuse it, reports replace it, because a report must always be possible. What passes through
//! unchanged is never encoded again and so is not here.

use crate::message::{Object, TransactionStatus, code};
use bytes::{BufMut, BytesMut};
use lockgate_core::SqlState;

/// The text has a NUL, or is larger than a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text cannot be sent: it has a NUL character or is too long")]
pub struct EncodeError;

/// How bad a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Ends the session.
    Fatal,
    /// Ends the statement.
    Error,
    /// A warning.
    Warning,
    /// A notice.
    Notice,
}

impl Severity {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Fatal => "FATAL",
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        }
    }
}

/// An error or notice of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnReport<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// Its code.
    pub sqlstate: SqlState,
    /// What happened.
    pub message: &'a str,
    /// More about it.
    pub detail: Option<&'a str>,
    /// What to do.
    pub hint: Option<&'a str>,
}

impl<'a> OwnReport<'a> {
    /// A report without detail and hint.
    pub const fn new(severity: Severity, sqlstate: SqlState, message: &'a str) -> Self {
        OwnReport { severity, sqlstate, message, detail: None, hint: None }
    }
}

/// Appends one message whose body `fill` writes. When `fill` fails or the body is larger than a message may be, `out` is as it was.
fn message(
    out: &mut BytesMut,
    tag: u8,
    fill: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u8(tag);
    let length_at = out.len();
    out.put_u32(0);
    let filled = fill(out);
    let length = i32::try_from(out.len().saturating_sub(length_at)).map_err(|_| EncodeError);
    match (filled, length, out.get_mut(length_at..)) {
        (Ok(()), Ok(length), Some(mut at)) => {
            at.put_i32(length);
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(EncodeError)
        }
    }
}

/// Appends a string and its terminator.
pub(crate) fn put_string(out: &mut BytesMut, text: &[u8]) -> Result<(), EncodeError> {
    if memchr::memchr(0, text).is_some() {
        return Err(EncodeError);
    }
    out.put_slice(text);
    out.put_u8(0);
    Ok(())
}

fn put_count(out: &mut BytesMut, count: usize) -> Result<(), EncodeError> {
    out.put_u16(u16::try_from(count).map_err(|_| EncodeError)?);
    Ok(())
}

fn put_value(out: &mut BytesMut, value: Option<&[u8]>) -> Result<(), EncodeError> {
    match value {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).map_err(|_| EncodeError)?);
            out.put_slice(bytes);
        }
    }
    Ok(())
}

/// A message that consists of its header.
fn bare(out: &mut BytesMut, tag: u8) {
    out.put_u8(tag);
    out.put_u32(4);
}

// ---- to a client -------------------------------------------------------------------------------------------------

/// Bytes of one string of a report; what is longer is cut.
const REPORT_TEXT_BYTES_MAX: usize = 64 * 1024;

fn put_report_field(out: &mut BytesMut, field: u8, text: &str) {
    out.put_u8(field);
    let end = text.floor_char_boundary(REPORT_TEXT_BYTES_MAX);
    for byte in text.get(..end).unwrap_or_default().bytes() {
        out.put_u8(if byte == 0 { b'?' } else { byte });
    }
    out.put_u8(0);
}

fn report(out: &mut BytesMut, tag: u8, report: &OwnReport<'_>) {
    let filled = message(out, tag, |out| {
        put_report_field(out, code::SEVERITY, report.severity.name());
        put_report_field(out, code::SEVERITY_PLAIN, report.severity.name());
        put_report_field(out, code::SQLSTATE, report.sqlstate.0);
        put_report_field(out, code::MESSAGE, report.message);
        if let Some(detail) = report.detail {
            put_report_field(out, code::DETAIL, detail);
        }
        if let Some(hint) = report.hint {
            put_report_field(out, code::HINT, hint);
        }
        out.put_u8(0);
        Ok(())
    });
    // Every text is cut, so that the sum is far below the largest message.
    debug_assert!(filled.is_ok());
}

/// ErrorResponse.
pub fn error(out: &mut BytesMut, own: &OwnReport<'_>) {
    report(out, b'E', own);
}

/// ErrorResponse for a text that the grammar refuses, as PostgreSQL words it; `position` counts characters from 1.
pub fn syntax_error(out: &mut BytesMut, text: &str, position: Option<usize>) {
    let filled = message(out, b'E', |out| {
        put_report_field(out, code::SEVERITY, Severity::Error.name());
        put_report_field(out, code::SEVERITY_PLAIN, Severity::Error.name());
        put_report_field(out, code::SQLSTATE, "42601");
        put_report_field(out, code::MESSAGE, text);
        if let Some(position) = position {
            put_report_field(out, code::POSITION, &position.to_string());
        }
        out.put_u8(0);
        Ok(())
    });
    // Every text is cut, so that the sum is far below the largest message.
    debug_assert!(filled.is_ok());
}

/// NoticeResponse.
pub fn notice(out: &mut BytesMut, own: &OwnReport<'_>) {
    report(out, b'N', own);
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut BytesMut) {
    out.put_u8(b'R');
    out.put_u32(8);
    out.put_u32(0);
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut BytesMut) {
    out.put_u8(b'R');
    out.put_u32(8);
    out.put_u32(3);
}

/// AuthenticationSASL with the mechanisms offered, preferred first.
///
/// # Errors
/// When a name has a NUL.
pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&str]) -> Result<(), EncodeError> {
    message(out, b'R', |out| {
        out.put_u32(10);
        for mechanism in mechanisms {
            put_string(out, mechanism.as_bytes())?;
        }
        out.put_u8(0);
        Ok(())
    })
}

/// AuthenticationSASLContinue.
///
/// # Errors
/// When the data is larger than a message may be.
pub fn authentication_sasl_continue(out: &mut BytesMut, data: &[u8]) -> Result<(), EncodeError> {
    message(out, b'R', |out| {
        out.put_u32(11);
        out.put_slice(data);
        Ok(())
    })
}

/// AuthenticationSASLFinal.
///
/// # Errors
/// When the data is larger than a message may be.
pub fn authentication_sasl_final(out: &mut BytesMut, data: &[u8]) -> Result<(), EncodeError> {
    message(out, b'R', |out| {
        out.put_u32(12);
        out.put_slice(data);
        Ok(())
    })
}

/// NegotiateProtocolVersion: the newest version 3.`minor` that is spoken, and the options that are not known.
///
/// # Errors
/// When an option has a NUL.
pub fn negotiate_protocol_version(out: &mut BytesMut, minor: u16, unrecognised: &[String]) -> Result<(), EncodeError> {
    message(out, b'v', |out| {
        out.put_u16(3);
        out.put_u16(minor);
        out.put_u32(u32::try_from(unrecognised.len()).map_err(|_| EncodeError)?);
        for option in unrecognised {
            put_string(out, option.as_bytes())?;
        }
        Ok(())
    })
}

/// BackendKeyData.
///
/// # Errors
/// When the key is larger than a message may be.
pub fn backend_key_data(out: &mut BytesMut, pid: i32, key: &crate::cancel::CancelKey) -> Result<(), EncodeError> {
    message(out, b'K', |out| {
        out.put_i32(pid);
        out.put_slice(key.expose());
        Ok(())
    })
}

/// ParameterStatus.
///
/// # Errors
/// When a text has a NUL.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) -> Result<(), EncodeError> {
    message(out, b'S', |out| {
        put_string(out, name.as_bytes())?;
        put_string(out, value.as_bytes())
    })
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    out.put_u8(b'Z');
    out.put_u32(5);
    out.put_u8(status.byte());
}

/// CommandComplete.
///
/// # Errors
/// When the tag has a NUL.
pub fn command_complete(out: &mut BytesMut, tag: &str) -> Result<(), EncodeError> {
    message(out, b'C', |out| put_string(out, tag.as_bytes()))
}

/// ParseComplete.
pub fn parse_complete(out: &mut BytesMut) {
    bare(out, b'1');
}

/// BindComplete.
pub fn bind_complete(out: &mut BytesMut) {
    bare(out, b'2');
}

/// CloseComplete.
pub fn close_complete(out: &mut BytesMut) {
    bare(out, b'3');
}

/// NoData.
pub fn no_data(out: &mut BytesMut) {
    bare(out, b'n');
}

/// EmptyQueryResponse.
pub fn empty_query_response(out: &mut BytesMut) {
    bare(out, b'I');
}

// ---- to a target -------------------------------------------------------------------------------------------------

/// SSLRequest: asks for TLS before anything else. The answer is one byte.
pub fn ssl_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u32(crate::startup::SSL_REQUEST_CODE);
}

/// StartupMessage of protocol 3.`minor`.
///
/// # Errors
/// When a text has a NUL, a name is empty, or the packet is larger than a server takes.
pub fn startup<'a>(
    out: &mut BytesMut,
    minor: u16,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.put_u32(0);
    out.put_u16(3);
    out.put_u16(minor);
    let filled = parameters.into_iter().try_for_each(|(name, value)| {
        if name.is_empty() {
            return Err(EncodeError);
        }
        put_string(out, name.as_bytes())?;
        put_string(out, value.as_bytes())
    });
    out.put_u8(0);
    let whole = out.len().saturating_sub(start);
    let length = u32::try_from(whole).ok().filter(|_| whole <= lockgate_core::limits::PG_STARTUP_BYTES_MAX);
    match (filled, length, out.get_mut(start..)) {
        (Ok(()), Some(length), Some(mut at)) => {
            at.put_u32(length);
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(EncodeError)
        }
    }
}

/// PasswordMessage, also for a SASLResponse when `data` has no terminator of its own to add.
///
/// # Errors
/// When the password has a NUL.
pub fn password(out: &mut BytesMut, password: &[u8]) -> Result<(), EncodeError> {
    message(out, b'p', |out| put_string(out, password))
}

/// SASLInitialResponse.
///
/// # Errors
/// When the mechanism has a NUL.
pub fn sasl_initial_response(out: &mut BytesMut, mechanism: &str, data: &[u8]) -> Result<(), EncodeError> {
    message(out, b'p', |out| {
        put_string(out, mechanism.as_bytes())?;
        put_value(out, Some(data))
    })
}

/// SASLResponse.
///
/// # Errors
/// When the data is larger than a message may be.
pub fn sasl_response(out: &mut BytesMut, data: &[u8]) -> Result<(), EncodeError> {
    message(out, b'p', |out| {
        out.put_slice(data);
        Ok(())
    })
}

/// Query.
///
/// # Errors
/// When the text has a NUL.
pub fn query(out: &mut BytesMut, text: &[u8]) -> Result<(), EncodeError> {
    message(out, b'Q', |out| put_string(out, text))
}

/// Parse.
///
/// # Errors
/// When a text has a NUL.
pub fn parse(out: &mut BytesMut, name: &[u8], text: &[u8], type_oids: &[u32]) -> Result<(), EncodeError> {
    message(out, b'P', |out| {
        put_string(out, name)?;
        put_string(out, text)?;
        put_count(out, type_oids.len())?;
        type_oids.iter().for_each(|oid| out.put_u32(*oid));
        Ok(())
    })
}

/// Bind. All parameters are in text format; all results in the format that `binary_results` says.
///
/// # Errors
/// When a name has a NUL, or there are more than 65,535 parameters.
pub fn bind(
    out: &mut BytesMut,
    portal: &[u8],
    statement: &[u8],
    values: &[Option<&[u8]>],
    binary_results: bool,
) -> Result<(), EncodeError> {
    message(out, b'B', |out| {
        put_string(out, portal)?;
        put_string(out, statement)?;
        put_count(out, 0)?;
        put_count(out, values.len())?;
        values.iter().try_for_each(|value| put_value(out, *value))?;
        put_count(out, 1)?;
        out.put_u16(u16::from(binary_results));
        Ok(())
    })
}

/// Describe.
///
/// # Errors
/// When the name has a NUL.
pub fn describe(out: &mut BytesMut, object: Object, name: &[u8]) -> Result<(), EncodeError> {
    message(out, b'D', |out| {
        out.put_u8(object.byte());
        put_string(out, name)
    })
}

/// Execute. `row_limit` 0 means all rows.
///
/// # Errors
/// When the name has a NUL.
pub fn execute(out: &mut BytesMut, portal: &[u8], row_limit: i32) -> Result<(), EncodeError> {
    message(out, b'E', |out| {
        put_string(out, portal)?;
        out.put_i32(row_limit);
        Ok(())
    })
}

/// Close.
///
/// # Errors
/// When the name has a NUL.
pub fn close(out: &mut BytesMut, object: Object, name: &[u8]) -> Result<(), EncodeError> {
    message(out, b'C', |out| {
        out.put_u8(object.byte());
        put_string(out, name)
    })
}

/// CopyFail.
///
/// # Errors
/// When the reason has a NUL.
pub fn copy_fail(out: &mut BytesMut, reason: &str) -> Result<(), EncodeError> {
    message(out, b'f', |out| put_string(out, reason.as_bytes()))
}

/// Sync.
pub fn sync(out: &mut BytesMut) {
    bare(out, b'S');
}

/// Flush.
pub fn flush(out: &mut BytesMut) {
    bare(out, b'H');
}

/// Terminate.
pub fn terminate(out: &mut BytesMut) {
    bare(out, b'X');
}
