//! What two streams of server bytes have to have in common, and what a stream may not hold.
//!
//! Only this may differ between two worlds, because it does not come from the data:
//! * BackendKeyData, which is random;
//! * the session's number in the gateway's own messages;
//! * the database's own name, since the copies have to have names of their own;
//! * the numbers of tables and types that the case itself made: one counter serves all databases of a server;
//! * the process that sent a notification.

use crate::case::Case;
use crate::play::{Heard, Told, unhex};
use crate::stage::Stage;
use lockgate_tests::wire::Frame;

/// The first difference between the streams of two worlds.
pub fn differences(one: &Told, other: &Told, stage: &Stage) -> Option<String> {
    first_difference(&lines(one, stage, true), &lines(other, stage, true))
}

fn first_difference(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<String> {
    let at = (0..left.len().max(right.len())).find(|at| left.get(*at) != right.get(*at))?;
    Some(format!("{} but {}", shown(left.get(at)), shown(right.get(at))))
}

fn shown(line: Option<&Vec<u8>>) -> String {
    let text = line.map_or("nothing".into(), |bytes| String::from_utf8_lossy(bytes).escape_debug().to_string());
    text.chars().take(200).collect()
}

/// The stream, message by message, without what may differ.
fn lines(told: &Told, stage: &Stage, login: bool) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for Heard { parameters, frames, .. } in told.heard.values() {
        let parameters = parameters.iter().filter(|_| login);
        lines.extend(parameters.map(|(name, value)| format!("{name}={value}").into_bytes()));
        lines.extend(frames.iter().filter(|frame| frame.tag != b'K').map(|frame| {
            let mut body = frame.body.clone();
            match frame.tag {
                b'T' => without_new_oids(&mut body, stage.first_new_oid),
                b'A' => body[..4].fill(0),
                b'E' | b'N' => body = without_session(&body),
                _ => {}
            }
            let body = replaced(&body, told.database.as_bytes(), b"$DB");
            [&[frame.tag][..], &body].concat()
        }));
    }
    lines
}

/// Zeroes the numbers of new relations and types in a RowDescription.
fn without_new_oids(body: &mut [u8], first_new: u32) {
    let mut at = 2;
    while at < body.len() {
        let Some(end) = body[at..].iter().position(|byte| *byte == 0) else { return };
        at += end + 1;
        for place in [at, at + 6] {
            let oid: [u8; 4] = body[place..place + 4].try_into().expect("four bytes");
            if u32::from_be_bytes(oid) >= first_new {
                body[place..place + 4].fill(0);
            }
        }
        at += 18;
    }
}

/// Replaces what looks like a session's number: 26 digits of Crockford's base 32.
fn without_session(body: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let mut out = body.to_vec();
    let mut run = 0;
    for at in 0..out.len() {
        run = if digit(out[at]) { run + 1 } else { 0 };
        if run == 26 {
            out[at + 1 - run..=at].fill(b'#');
            run = 0;
        }
    }
    out
}

/// Which line of the server's own source an error came from, and where in the statement, is not told of an error that the
/// gateway's parser found first.
fn without_source(line: Vec<u8>) -> Vec<u8> {
    if line.first() != Some(&b'E') {
        return line;
    }
    let fields = line[1..].split(|byte| *byte == 0).filter(|field| !field.first().is_some_and(|f| b"PFLR".contains(f)));
    fields.collect::<Vec<_>>().join(&0)
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = find(rest, old) {
        out.extend(&rest[..at]);
        out.extend(new);
        rest = &rest[at + old.len()..];
    }
    out.extend(rest);
    out
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len().max(1)).position(|window| window == part)
}

/// What the client was told that it should not have been: the case's own secrets and, unless the client said it itself, any
/// canary of the world.
pub fn leaks(case: &Case, told: &Told, canaries: &[String]) -> Vec<String> {
    let streams: Vec<Vec<u8>> =
        told.heard.values().map(|h| h.frames.iter().flat_map(|f| f.body.iter().copied()).collect()).collect();
    let joined = joined(told);
    let mut found = Vec::new();
    let secrets = case.secrets.iter().flat_map(|secret| [secret.clone(), opaque(secret)]);
    for secret in secrets {
        if streams.iter().any(|stream| find(stream, secret.as_bytes()).is_some()) {
            found.push(secret);
        }
    }
    for hex in &case.secrets_hex {
        if streams.iter().any(|stream| find(stream, &unhex(hex)).is_some()) {
            found.push(hex.clone());
        }
    }
    for secret in case.secrets_joined.iter().flat_map(|secret| [secret.clone(), opaque(secret)]) {
        if joined.iter().any(|text| find(text, secret.as_bytes()).is_some()) {
            found.push(secret);
        }
    }
    let said: String = case.steps.iter().map(ToString::to_string).collect();
    for canary in canaries {
        if !said.contains(canary.as_str()) && streams.iter().any(|stream| find(stream, canary.as_bytes()).is_some()) {
            found.push(canary.clone());
        }
    }
    found.dedup();
    found
}

/// The spelling of world O.
fn opaque(text: &str) -> String {
    let pairs: Vec<(char, char)> = "0123456789@.+".chars().zip("qwzxvkjyhm#_=".chars()).collect();
    text.chars().map(|c| pairs.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to)).collect()
}

/// The cells of each column, of all rows, and the command tags, each put together without and with commas.
fn joined(told: &Told) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for heard in told.heard.values() {
        let rows: Vec<Vec<Option<Vec<u8>>>> = heard.frames.iter().filter(|f| f.tag == b'D').map(cells).collect();
        let cell = |row: &Vec<Option<Vec<u8>>>, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        for at in 0..rows.iter().map(Vec::len).max().unwrap_or(0) {
            let column: Vec<Vec<u8>> = rows.iter().map(|row| cell(row, at)).collect();
            out.push(column.concat());
            out.push(column.join(&b','));
        }
        out.push(rows.iter().flatten().flatten().flatten().copied().collect());
        let tags: Vec<&[u8]> = heard.frames.iter().filter(|f| f.tag == b'C').map(|f| f.body.as_slice()).collect();
        out.push(tags.join(&b','));
    }
    out
}

fn cells(frame: &Frame) -> Vec<Option<Vec<u8>>> {
    let mut rest = &frame.body[2..];
    let mut cells = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                cells.push(Some(after[..length].to_vec()));
                rest = &after[length..];
            }
            Err(_) => {
                cells.push(None);
                rest = after;
            }
        }
    }
    cells
}

/// What keeps a legitimate use from being what it is without a gateway.
pub fn exact(case: &Case, told: &Told, direct: &Told, stage: &Stage) -> Vec<String> {
    if case.masked.is_empty() {
        // Parameters at login are the gateway's own; all that follows has to be the server's.
        let [ours, theirs] =
            [told, direct].map(|told| lines(told, stage, false).into_iter().map(without_source).collect::<Vec<_>>());
        return first_difference(&ours, &theirs).into_iter().collect();
    }
    let mut bad = Vec::new();
    let (ours, theirs): (Vec<&Frame>, Vec<&Frame>) = (told.frames().collect(), direct.frames().collect());
    if ours.len() != theirs.len() {
        return vec![format!("{} messages and not {}: {:?}", ours.len(), theirs.len(), ours.first())];
    }
    for (our, their) in ours.iter().zip(theirs) {
        if our.tag != b'D' || their.tag != b'D' {
            if our.tag != b'T' && *our != their {
                bad.push(format!("{our:?} and not {their:?}"));
            }
            continue;
        }
        for (at, (masked, plain)) in cells(our).into_iter().zip(cells(their)).enumerate() {
            let hidden = case.masked.contains(&at);
            if hidden && plain.is_some() && masked == plain {
                bad.push(format!("column {at} is not masked"));
            }
            if hidden && plain.is_none() && masked.is_some() || !hidden && masked != plain {
                bad.push(format!("column {at} is {masked:?} and not {plain:?}"));
            }
        }
    }
    bad.truncate(3);
    bad
}
