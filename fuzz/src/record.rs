//! Recordings: the events of a frame, the file of a session, and the signed note of the log.

use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{
    Checkpoint, Digest, FILE_HEADER_BYTES, FileHeader, JsonLines, LEAF_BYTES, Leaf, MemorySink, Recorded,
    RecorderOptions, RecordingBuffers, RecordingKeys, RecordingKind, RecordingReader, Replay, SessionRecorder,
    decode_events, encode_event,
};
use std::sync::{Arc, OnceLock};

fn keys() -> &'static RecordingKeys {
    static KEYS: OnceLock<RecordingKeys> = OnceLock::new();
    KEYS.get_or_init(|| RecordingKeys::new("fuzz", &[7; 32], &[8; 32]).expect("a name"))
}

/// What is read can be written again, told to a person without a control character, and exported as one line of JSON.
pub fn events(data: &[u8]) {
    let Ok(events) = decode_events(data) else { return };
    assert!(events.len() <= data.len());
    let mut replay = Replay::new();
    let mut lines = JsonLines::new(SessionId::new(Timestamp::from_millis(0), 1));
    for (seq, (time, event)) in events.into_iter().enumerate() {
        let encoded = encode_event(&event, time);
        assert_eq!(decode_events(&encoded), Ok(vec![(time, event.clone())]));
        let recorded = Recorded { seq: u64::try_from(seq).expect("few"), time, event };
        let shown = replay.text(&recorded);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        let line = lines.line(&recorded).expect("an event is JSON");
        assert!(!line.trim_end_matches('\n').contains('\n'));
    }
}

/// A file, with and without the keys: it ends, and never says more than there is. The same bytes are then planted into a true
/// recording, where they must be found.
pub fn file(data: &[u8]) {
    for keys in [None, Some(keys())] {
        read(data, keys);
    }
    if let Some((header, rest)) = data.split_first_chunk::<FILE_HEADER_BYTES>() {
        if let Some(header) = FileHeader::decode(header) {
            assert_eq!(header.encode(), data[..FILE_HEADER_BYTES]);
        }
        if let Some(leaf) = rest.first_chunk::<LEAF_BYTES>().and_then(Leaf::decode) {
            assert_eq!(leaf.encode(), rest[..LEAF_BYTES]);
        }
    }
    let genuine = genuine();
    let at = usize::from(data.first().copied().unwrap_or_default()) * genuine.len() / 256;
    let planted = [&genuine[..at], data, &genuine[at..]].concat();
    if planted != *genuine && !data.is_empty() {
        assert!(!read(&planted, Some(keys())), "a recording with something planted in it reads to its end");
    }
}

/// Whether it reads to a clean end of a closed recording.
fn read(data: &[u8], keys: Option<&RecordingKeys>) -> bool {
    let Ok(mut reader) = RecordingReader::new(data, keys) else { return false };
    for _ in 0..=data.len() {
        let more = if keys.is_some() {
            reader.next_events().map(|events| events.map(|_| ()))
        } else {
            reader.next_frame().map(|frame| frame.map(|_| ()))
        };
        match more {
            Ok(Some(())) => assert!(reader.end().bytes <= u64::try_from(data.len()).expect("a length")),
            Ok(None) => return reader.end().closed,
            Err(_) => {
                assert!(matches!(reader.next_frame(), Ok(None)), "it goes on after an error");
                return false;
            }
        }
    }
    panic!("more frames than bytes");
}

/// A closed recording of two statements.
fn genuine() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let began = Timestamp::from_millis(1_795_237_740_123);
        let header = FileHeader { kind: RecordingKind::Session, session: SessionId::new(began, 42), began };
        let (sink, buffers) = (MemorySink::new(), Arc::new(RecordingBuffers::new()));
        let options = RecorderOptions { result_bytes_max: 1 << 20 };
        let mut recorder =
            SessionRecorder::new(keys(), &header, Box::new(sink.clone()), buffers, options).expect("a recorder");
        for request in 0..2 {
            let text = b"SELECT 1";
            let kind = lockgate_record::RequestKind::Simple;
            recorder
                .append(lockgate_record::Asked::new(request, kind, text, Digest::of(text)).into(), began)
                .expect("asked");
            recorder.rows(request, b"D\0\0\0\x0b\0\x01\0\0\0\x011", 1, began).expect("rows");
            let done = lockgate_record::Done::new(request, lockgate_record::DoneKind::Completed);
            recorder.append(done.into(), began).expect("done");
        }
        recorder.close(lockgate_record::CloseReason::ClientClosed, "", began).expect("closed");
        [header.encode().as_slice(), &sink.bytes()].concat()
    })
}

/// No text but one that the key signed is a checkpoint.
pub fn checkpoint(data: &[u8]) {
    let Ok(note) = std::str::from_utf8(data) else { return };
    let genuine = Checkpoint { size: 7, root: Digest([0xab; 32]) };
    if let Ok(checkpoint) = Checkpoint::open(note, keys().public()) {
        assert_eq!(checkpoint, genuine, "a forged checkpoint: {note:?}");
    }
    // Signatures of others may stand beside ours, and nothing else may be added.
    let signed = genuine.sign(keys());
    if let Ok(checkpoint) = Checkpoint::open(&format!("{signed}{note}"), keys().public()) {
        assert_eq!(checkpoint, genuine);
    }
    assert!(Checkpoint::open(&format!("{note}x{signed}"), keys().public()).is_err(), "{note:?}");
}
