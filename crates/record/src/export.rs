//! Recordings as JSON lines: one object per event, with the names of fields that `docs/recordings.md` lists. Results come
//! out as rows of cells where their protocol is known, and as base64 where it is not.

use crate::certificates::Seen;
use crate::event::{Event, Judged, Recorded, Rows};
use crate::result::{Item, ResultStream};
use crate::wire::Blob;
use lockgate_core::SessionId;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Turns the events of one recording, given in order, into JSON lines.
pub struct JsonLines {
    recording: String,
    results: BTreeMap<u64, Stream>,
    certificates: Seen,
}

#[derive(Default)]
struct Stream {
    result: ResultStream,
    /// 1 for each column in binary format.
    formats: Vec<u16>,
}

#[derive(Serialize)]
struct Line<'a> {
    recording: &'a str,
    #[serde(flatten)]
    recorded: &'a Recorded<'a>,
}

impl JsonLines {
    /// For the recording with this id: a session's, or a gateway log's.
    pub fn new(recording: SessionId) -> Self {
        JsonLines { recording: recording.to_string(), results: BTreeMap::new(), certificates: Seen::default() }
    }

    /// The object for one event, without a line end.
    pub fn line(&mut self, recorded: &Recorded<'_>) -> Result<String, serde_json::Error> {
        match &recorded.event {
            Event::Columns(columns) => {
                let stream = self.results.entry(columns.request).or_default();
                stream.formats = columns.columns.iter().map(|column| column.format).collect();
            }
            Event::Done(done) => {
                self.results.remove(&done.request);
            }
            Event::Rows(rows) => return self.rows(recorded, rows),
            Event::Certificate(_) => self.certificates.see(&recorded.event),
            Event::Judged(judged) if !judged.certificates.is_empty() => return self.judged(recorded, judged),
            _ => {}
        }
        serde_json::to_string(&Line { recording: &self.recording, recorded })
    }

    /// A verdict with its certificates in place of their numbers, so that a line says everything itself.
    fn judged(&self, recorded: &Recorded<'_>, judged: &Judged<'_>) -> Result<String, serde_json::Error> {
        let certificates = self.certificates.of(judged);
        let lines: Vec<String> = certificates.iter().flat_map(|certificate| certificate.lines()).collect();
        let mut line = serde_json::to_value(Line { recording: &self.recording, recorded })?;
        if let Value::Object(fields) = &mut line {
            fields.insert("certificates".to_owned(), serde_json::to_value(&certificates)?);
            fields.insert("lineage".to_owned(), Value::String(lines.join("\n")));
        }
        serde_json::to_string(&line)
    }

    fn rows(&mut self, recorded: &Recorded<'_>, piece: &Rows<'_>) -> Result<String, serde_json::Error> {
        let stream = self.results.entry(piece.request).or_default();
        let (mut rows, mut copy, mut opaque) = (Vec::new(), Vec::new(), Vec::new());
        for item in stream.result.push(piece.data.as_bytes()) {
            match item {
                Item::Row(cells) => rows.push(
                    cells
                        .into_iter()
                        .enumerate()
                        .map(|(at, cell)| cell_value(cell, stream.formats.get(at) == Some(&1)))
                        .collect::<Result<Value, _>>()?,
                ),
                Item::Copy(data) => copy.push(serde_json::to_value(Blob::from(data))?),
                Item::Opaque(data) => opaque.extend_from_slice(&data),
            }
        }
        let mut object = Map::new();
        object.insert("recording".to_owned(), self.recording.as_str().into());
        object.insert("seq".to_owned(), recorded.seq.into());
        object.insert("time".to_owned(), recorded.time.to_string().into());
        object.insert("event".to_owned(), "rows".into());
        object.insert("request".to_owned(), piece.request.into());
        object.insert("count".to_owned(), piece.count.into());
        object.insert("rows".to_owned(), Value::Array(rows));
        if !copy.is_empty() {
            object.insert("copy".to_owned(), Value::Array(copy));
        }
        if !opaque.is_empty() {
            object.insert("data".to_owned(), base64_value(&opaque));
        }
        serde_json::to_string(&Value::Object(object))
    }
}

fn cell_value(cell: Option<Vec<u8>>, binary: bool) -> Result<Value, serde_json::Error> {
    match cell {
        None => Ok(Value::Null),
        Some(bytes) if binary => Ok(base64_value(&bytes)),
        Some(bytes) => serde_json::to_value(Blob::from(bytes)),
    }
}

fn base64_value(bytes: &[u8]) -> Value {
    use base64::Engine;
    let coded = base64::engine::general_purpose::STANDARD.encode(bytes);
    Value::Object(Map::from_iter([("base64".to_owned(), Value::String(coded))]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Asked, Column, Columns, Done, DoneKind, Parameter, RequestKind};
    use crate::result::tests::data_row;
    use crate::wire::Digest;
    use lockgate_core::Timestamp;

    #[test]
    fn lines_have_the_documented_fields() {
        let mut lines = JsonLines::new(SessionId::new(Timestamp::from_millis(0), 1));
        let mut show = |seq, event| lines.line(&Recorded { seq, time: Timestamp::from_millis(0), event }).unwrap();
        let mut asked = Asked::new(1, RequestKind::Execute, b"SELECT $1", Digest([0xab; 32]));
        let parameters = [Parameter::new(Some(b"\xff"), 1), Parameter::new(None, 0), Parameter::new(Some(b"x"), 0)];
        asked.parameters = parameters.as_slice().into();
        let digest = "ab".repeat(32);
        let recording = "00000000000000000000000001";
        assert_eq!(
            show(1, Event::Asked(asked)),
            format!(
                r#"{{"recording":"{recording}","seq":1,"time":"1970-01-01T00:00:00.000Z","event":"asked","request":1,"kind":"execute","text":"SELECT $1","text_bytes":9,"digest":"{digest}","statement":null,"portal":null,"parameters":[{{"value":{{"base64":"/w=="}},"format":1,"bytes":1}},{{"value":null,"format":0,"bytes":0}},{{"value":"x","format":0,"bytes":1}}],"parameters_cut":false}}"#
            )
        );
        let column = |name: &'static str, format| Column { name: name.into(), type_id: 25, format };
        let columns = vec![column("id", 1), column("name", 0)];
        show(2, Event::Columns(Columns { request: 1, columns: columns.into() }));
        let rows = [data_row(&[Some("ab"), Some("Zoë")]), data_row(&[None, None])].concat();
        let (head, tail) = rows.split_at(20);
        let head = show(3, Event::Rows(Rows { request: 1, count: 0, data: head.into() }));
        assert!(head.contains(r#""rows":[]"#), "{head}");
        let tail = show(4, Event::Rows(Rows { request: 1, count: 2, data: tail.into() }));
        let tail: Value = serde_json::from_str(&tail).unwrap();
        assert_eq!(tail["rows"], serde_json::json!([[{"base64": "YWI="}, "Zoë"], [null, null]]));
        assert_eq!(tail["event"], "rows");
        let done = show(5, Event::Done(Done::new(1, DoneKind::Completed)));
        assert!(done.contains(r#""event":"done","request":1,"outcome":"completed","tag":"","rows":0"#), "{done}");
        let cut = crate::event::SessionCut { session: "S".into(), by: "root".into(), reason: "".into() };
        let cut = show(7, Event::SessionCut(cut));
        assert_eq!(cut.matches(r#""session":"#).count(), 1, "no field stands twice: {cut}");
        let opaque = show(6, Event::Rows(Rows { request: 2, count: 0, data: b"\0\xff".as_slice().into() }));
        assert!(opaque.contains(r#""data":{"base64":"AP8="}"#), "{opaque}");
    }
}
