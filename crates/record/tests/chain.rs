//! Whole recordings in memory: what was written comes back, and nothing can be changed in it unseen.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{
    Asked, ChainEnd, CloseReason, Damage, DamageKind, Digest, Done, DoneKind, Event, FILE_HEADER_BYTES, FileHeader,
    Judged, MemorySink, Parameter, ReadError, RecordError, Recorded, RecorderOptions, RecordingBuffers, RecordingKeys,
    RecordingKind, RecordingReader, RequestKind, Rows, SessionRecorder, Sink, SinkError, VerdictKind,
};
use std::sync::Arc;

fn keys() -> RecordingKeys {
    RecordingKeys::new("test", &[7; 32], &[8; 32]).unwrap()
}

fn header() -> FileHeader {
    let began = Timestamp::from_millis(1_795_237_740_123);
    FileHeader { kind: RecordingKind::Session, session: SessionId::new(began, 42), began }
}

fn now(n: i64) -> Timestamp {
    header().began.plus_millis(n)
}

fn recorder(sink: &MemorySink, result_bytes_max: u64) -> SessionRecorder {
    let buffers = Arc::new(RecordingBuffers::new());
    let options = RecorderOptions { result_bytes_max };
    SessionRecorder::new(&keys(), &header(), Box::new(sink.clone()), buffers, options).unwrap()
}

fn asked(request: u64, text: &str) -> Event<'_> {
    Asked::new(request, RequestKind::Simple, text.as_bytes(), Digest::of(text.as_bytes())).into()
}

fn done(request: u64) -> Event<'static> {
    Done::new(request, DoneKind::Completed).into()
}

fn file(sink: &MemorySink) -> Vec<u8> {
    [header().encode().as_slice(), &sink.bytes()].concat()
}

fn read(bytes: &[u8], keys: Option<&RecordingKeys>) -> (Vec<Recorded<'static>>, ChainEnd, Option<Damage>) {
    let mut reader = match RecordingReader::new(bytes, keys) {
        Ok(reader) => reader,
        Err(ReadError::Damaged(damage)) => {
            let end = ChainEnd {
                hash: Digest::default(),
                next_seq: 0,
                bytes: 0,
                open: std::collections::BTreeSet::new(),
                closed: false,
            };
            return (Vec::new(), end, Some(damage));
        }
        Err(other) => panic!("{other}"),
    };
    let mut events = Vec::new();
    loop {
        match reader.next_events() {
            Ok(Some(more)) => events.extend(more),
            Ok(None) => return (events, reader.end().clone(), None),
            Err(ReadError::Damaged(damage)) => return (events, reader.end().clone(), Some(damage)),
            Err(other) => panic!("{other}"),
        }
    }
}

/// A closed recording of eleven events in seven frames, one of them compressed.
fn sample() -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 1 << 20);
    for request in 0..3 {
        let judged = Judged::new(request, VerdictKind::Allow).into();
        recorder.append_all(&[asked(request, "SELECT 1"), judged], now(1)).unwrap();
        if request == 1 {
            recorder.rows(1, &b"D0123456789".repeat(200), 200, now(2)).unwrap();
        }
        recorder.append(done(request), now(3)).unwrap();
    }
    recorder.close(CloseReason::ClientClosed, "", now(4)).unwrap();
    let mut at = FILE_HEADER_BYTES;
    let frames = sink.frames().into_iter().map(|length| {
        at += length;
        at - length..at
    });
    let frames = frames.collect();
    (file(&sink), frames)
}

/// Number of the first event of each frame of the sample.
const FIRST: [u64; 8] = [0, 2, 3, 5, 6, 7, 9, 10];

#[test]
fn what_was_recorded_comes_back() {
    let (bytes, frames) = sample();
    let (events, end, damage) = read(&bytes, Some(&keys()));
    assert_eq!(damage, None);
    assert_eq!(frames.len(), FIRST.len());
    assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), (0..11).collect::<Vec<_>>());
    assert_eq!(events[0].event, asked(0, "SELECT 1"));
    assert_eq!(events[5].event, Event::Rows(Rows { request: 1, count: 200, data: b"D0123456789".repeat(200).into() }));
    assert!(matches!(&events[10].event, Event::SessionClosed(c) if c.requests == 3));
    assert_eq!((end.closed, end.next_seq, end.bytes), (true, 11, u64::try_from(bytes.len()).unwrap()));
    assert!(end.open.is_empty());
    // Without keys the chain is followed all the same.
    assert_eq!(read(&bytes, None), (Vec::new(), end, None));
    assert!(!bytes.windows(8).any(|w| w == b"SELECT 1"), "statements are not in the clear");
}

#[test]
fn times_do_not_go_back_whoever_looked_at_the_clock_first() {
    let sink = MemorySink::default();
    let mut recorder = recorder(&sink, u64::MAX);
    for (request, at) in [(1, 20), (2, 14), (3, 26)] {
        recorder.append(asked(request, "SELECT 1"), now(at)).unwrap();
    }
    recorder.close(CloseReason::ClientClosed, "", now(3)).unwrap();
    let (events, _, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!(damage, None);
    let times: Vec<Timestamp> = events.iter().map(|event| event.time).collect();
    assert_eq!(times[..3], [now(20), now(20), now(26)]);
    assert!(times.is_sorted() && times.len() > 3, "{times:?}");
}

#[test]
fn every_changed_byte_is_found_and_named_without_keys() {
    let (bytes, frames) = sample();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            let damage = read(&bad, None).2.unwrap_or_else(|| panic!("byte {at} unseen"));
            assert_eq!(damage.kind, DamageKind::Altered, "byte {at}: {damage}");
            let frame = frames.iter().position(|range| range.contains(&at));
            assert_eq!(damage.seq, frame.map_or(0, |frame| FIRST[frame]), "byte {at}: {damage}");
        }
    }
}

#[test]
fn deleted_swapped_and_repeated_frames_are_named() {
    let (bytes, frames) = sample();
    let join = |order: &[usize]| {
        let mut out = bytes[..FILE_HEADER_BYTES].to_vec();
        order.iter().for_each(|frame| out.extend_from_slice(&bytes[frames[*frame].clone()]));
        out
    };
    for keys in [None, Some(keys())] {
        for gone in 0..frames.len() - 1 {
            let order: Vec<usize> = (0..frames.len()).filter(|n| *n != gone).collect();
            let damage = read(&join(&order), keys.as_ref()).2.unwrap();
            assert_eq!((damage.kind, damage.seq), (DamageKind::Missing, FIRST[gone]), "without frame {gone}");

            let mut order: Vec<usize> = (0..frames.len()).collect();
            order.swap(gone, gone + 1);
            let damage = read(&join(&order), keys.as_ref()).2.unwrap();
            assert_eq!((damage.kind, damage.seq), (DamageKind::Reordered, FIRST[gone]), "swapped {gone}");

            let mut order: Vec<usize> = (0..frames.len()).collect();
            order.insert(gone + 1, gone);
            let damage = read(&join(&order), keys.as_ref()).2.unwrap();
            assert_eq!((damage.kind, damage.seq), (DamageKind::Reordered, FIRST[gone + 1]), "repeated {gone}");
        }
    }
}

#[test]
fn a_frame_remade_without_the_key_is_found() {
    // Somebody who can write the file but has no key alters a frame and mends every hash that he can.
    let (bytes, frames) = sample();
    let victim = frames[2].clone();
    let mut bad = bytes.clone();
    bad[victim.start + 80] ^= 0xff;
    let hash = Digest::of(&bad[victim.start..victim.end - 8]);
    bad[victim.end - 8..victim.end].copy_from_slice(&hash.0[..8]);
    for keys in [None, Some(keys())] {
        let damage = read(&bad, keys.as_ref()).2.unwrap();
        assert_eq!((damage.kind, damage.seq), (DamageKind::Altered, FIRST[2]), "{damage}");
    }
}

#[test]
fn a_tail_cut_anywhere_is_torn_or_ends_at_a_frame() {
    let (bytes, frames) = sample();
    for length in 0..bytes.len() {
        let (_, end, damage) = read(&bytes[..length], Some(&keys()));
        let whole = frames.iter().filter(|frame| frame.end <= length).count();
        if length == FILE_HEADER_BYTES || frames.iter().any(|frame| frame.end == length) {
            assert_eq!(damage, None, "length {length}");
            assert!(!end.closed);
        } else {
            let damage = damage.unwrap();
            assert_eq!((damage.kind, damage.seq), (DamageKind::Torn, FIRST[whole]), "length {length}");
        }
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let (mut bytes, frames) = sample();
    bytes.extend_from_within(frames[1].clone());
    let damage = read(&bytes, None).2.unwrap();
    assert_eq!((damage.kind, damage.seq), (DamageKind::Altered, 11));
}

#[test]
fn an_append_that_fails_changes_nothing() {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 1 << 20);
    for round in 0..20_u64 {
        sink.fail_with(Some(SinkError::NoSpace));
        let failed = recorder.append_all(&[asked(round, "DELETE FROM t"), done(round)], now(0));
        assert_eq!(failed, Err(RecordError::Sink(SinkError::NoSpace)));
        assert_eq!(recorder.next_seq(), round * 2);
        sink.fail_with(None);
        recorder.append_all(&[asked(round, "SELECT 1"), done(round)], now(0)).unwrap();
    }
    sink.fail_with(Some(SinkError::NoSpace));
    assert!(recorder.close(CloseReason::ClientClosed, "", now(1)).is_err());
    assert_eq!(recorder.append(asked(99, "x"), now(1)), Err(RecordError::Sink(SinkError::NoSpace)));
    sink.fail_with(None);
    recorder.close(CloseReason::ClientClosed, "", now(1)).unwrap();
    let (events, _, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!((events.len(), damage), (41, None));
    assert!(!events.iter().any(|e| format!("{e:?}").contains("DELETE")));
    let segment = sink.segment().unwrap();
    assert_eq!((segment.events, segment.bytes), (41, u64::try_from(file(&sink).len()).unwrap()));
}

/// Fails after having kept part of the frame, as a full disk does.
struct Leaky(Arc<std::sync::Mutex<Vec<Vec<u8>>>>);

impl Sink for Leaky {
    fn append(&mut self, frame: &[u8], _: &lockgate_record::Head) -> Result<(), SinkError> {
        let mut seen = self.0.lock().unwrap();
        seen.push(frame.to_vec());
        if seen.len() % 2 == 1 { Err(SinkError::NoSpace) } else { Ok(()) }
    }
    fn finish(&mut self, _: &lockgate_record::Segment) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn no_nonce_is_used_twice_even_for_frames_that_failed() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let buffers = Arc::new(RecordingBuffers::new());
    let sink = Box::new(Leaky(Arc::clone(&seen)));
    let mut recorder = SessionRecorder::new(&keys(), &header(), sink, buffers, RecorderOptions::default()).unwrap();
    for request in 0..50 {
        let _ = recorder.append(asked(request, "one"), now(0));
        let _ = recorder.append(asked(request, "another"), now(0));
    }
    let mut nonces: Vec<Vec<u8>> = seen.lock().unwrap().iter().map(|frame| frame[24..36].to_vec()).collect();
    let count = nonces.len();
    nonces.sort();
    nonces.dedup();
    assert_eq!((nonces.len(), count), (100, 100));
}

#[test]
fn every_request_ends_exactly_once() {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 1 << 20);
    let order = |request| Err(RecordError::Order(request));
    assert_eq!(recorder.append(done(0), now(0)), order(0));
    recorder.append(asked(0, "a"), now(0)).unwrap();
    assert_eq!(recorder.append(asked(0, "a"), now(0)), order(0));
    recorder.append_all(&[asked(1, "b"), asked(2, "c"), done(1)], now(0)).unwrap();
    assert_eq!(recorder.append(done(1), now(0)), order(1));
    assert_eq!(recorder.append_all(&[done(2), done(2)], now(0)), order(2));
    assert_eq!(recorder.open_requests().collect::<Vec<_>>(), [0, 2]);
    recorder.close(CloseReason::ClientLost, "reset by peer", now(9)).unwrap();
    assert_eq!(recorder.append(asked(3, "d"), now(9)), Err(RecordError::Closed));
    recorder.close(CloseReason::ClientLost, "", now(9)).unwrap();

    let (events, end, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!((damage, end.open.len()), (None, 0));
    let count = |wanted: fn(&Event<'_>) -> bool| events.iter().filter(|e| wanted(&e.event)).count();
    assert_eq!(count(|e| matches!(e, Event::Asked(_))), 3);
    assert_eq!(count(|e| matches!(e, Event::Done(_))), 3);
    assert_eq!(count(|e| matches!(e, Event::Done(d) if d.outcome == DoneKind::Aborted)), 2);
}

#[test]
fn results_are_recorded_to_the_limit_and_say_so_once() {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 1_000);
    for request in 0..2 {
        recorder.append(asked(request, "q"), now(0)).unwrap();
        for _ in 0..5 {
            recorder.rows(request, &[b'x'; 400], 1, now(0)).unwrap();
            recorder.input(request, &[b'y'; 500], now(0)).unwrap();
        }
        recorder.append(done(request), now(0)).unwrap();
    }
    let (events, _, _) = read(&file(&sink), Some(&keys()));
    let names: Vec<_> = events.iter().map(|e| e.event.name()).collect();
    let one = ["Asked", "Rows", "Input", "Rows", "Input", "RowsCut", "RowsCut", "Done"];
    assert_eq!(names, [one, one].concat());
    assert!(events.iter().any(|e| matches!(&e.event, Event::RowsCut(c) if c.limit == 1_000 && c.what == "rows")));
}

#[test]
fn results_that_hardly_become_shorter_are_written_as_they_are() {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 1 << 30);
    recorder.append(asked(1, "SELECT"), now(1)).unwrap();
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..20_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .collect();
    let even = vec![b'a'; 20_000];
    assert!(!recorder.has_cut_rows(1));
    // Compressing is tried, then not for a while, then again; small frames are compressed all the while.
    recorder.rows(1, &noise, 1, now(1)).unwrap();
    for _ in 0..15 {
        recorder.rows(1, &even, 1, now(1)).unwrap();
    }
    recorder.rows(1, &even, 1, now(1)).unwrap();
    recorder.rows(1, &even, 1, now(1)).unwrap();
    recorder.rows(1, &noise, 1, now(1)).unwrap();
    recorder.rows(1, &even[..1_000], 1, now(1)).unwrap();
    let frames = sink.frames();
    assert!(frames[1..17].iter().all(|bytes| *bytes > 20_000), "{frames:?}");
    assert!(frames[17..19].iter().all(|bytes| *bytes < 1_000), "{frames:?}");
    assert!(frames[19] > 20_000 && frames[20] < 500, "{frames:?}");
    let (events, _, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!(damage, None);
    let rows: Vec<&[u8]> = events
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Rows(rows) => Some(rows.data.as_bytes()),
            _ => None,
        })
        .collect();
    assert_eq!(rows.len(), 20);
    assert!(rows[0] == noise && rows[18] == noise && rows[1..18].iter().all(|data| *data == even));
}

#[test]
fn long_texts_and_parameters_are_cut_with_their_true_length_kept() {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 64 << 20);
    let text = "é".repeat(3 << 20);
    let value = vec![b'v'; 100_000];
    let parameters = [Parameter::new(Some(b"a"), 0), Parameter::new(Some(&value), 1), Parameter::new(Some(&value), 0)];
    let mut long = Asked::new(0, RequestKind::Parse, text.as_bytes(), Digest::of(text.as_bytes()));
    long.parameters = parameters.as_slice().into();
    recorder.append(long.into(), now(0)).unwrap();
    recorder.rows(0, &vec![b'r'; 1_000_000], 10, now(0)).unwrap();
    recorder.append(done(0), now(0)).unwrap();

    let (events, _, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!(damage, None);
    let Event::Asked(asked) = &events[0].event else { panic!() };
    assert_eq!((asked.text.as_bytes().len(), asked.text_bytes), (1 << 20, 6 << 20));
    let kept: Vec<_> = asked.parameters.iter().map(|p| (p.value.as_ref().unwrap().as_bytes().len(), p.bytes)).collect();
    assert_eq!(kept, [(1, 1), (64 * 1024 - 1, 100_000), (0, 100_000)]);
    assert!(asked.parameters_cut);
    let pieces: Vec<u64> =
        events.iter().filter_map(|e| if let Event::Rows(r) = &e.event { Some(r.count) } else { None }).collect();
    assert_eq!(pieces, [0, 0, 0, 10]);
}

#[test]
fn what_is_too_long_for_one_frame_goes_on_in_another() {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 16 << 20);
    let text = "é".repeat(1 << 19);
    let many: Vec<Event<'_>> = (0..20).map(|n| asked(n, &text)).collect();
    let result = |n: u8| vec![n; 9 << 20];
    // All of it or nothing, although it is several frames.
    sink.fail_with(Some(SinkError::NoSpace));
    assert!(recorder.append_all(&many, now(0)).is_err());
    sink.fail_with(None);
    recorder.append_all(&many, now(0)).unwrap();
    recorder.append(done(0), now(0)).unwrap();
    sink.fail_with(Some(SinkError::NoSpace));
    assert!(recorder.rows(1, &result(1), 7, now(0)).is_err());
    sink.fail_with(None);
    recorder.rows(1, &result(1), 7, now(0)).unwrap();
    assert!(!recorder.has_cut_rows(1));
    // What goes beyond the limit is recorded up to there.
    recorder.rows(1, &result(2), 7, now(0)).unwrap();
    assert!(recorder.has_cut_rows(1));
    recorder.input(2, &vec![3; 40 << 20], now(0)).unwrap();
    recorder.close(CloseReason::ClientClosed, "", now(0)).unwrap();

    let (events, _, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!(damage, None);
    assert_eq!(events.iter().filter(|e| matches!(e.event, Event::Asked(_))).count(), 20);
    let (mut rows, mut counted, mut input, mut cuts) = (Vec::new(), Vec::new(), 0, Vec::new());
    for recorded in &events {
        match &recorded.event {
            Event::Rows(piece) => {
                rows.extend_from_slice(piece.data.as_bytes());
                counted.extend((piece.count > 0).then_some(piece.count));
            }
            Event::Input(piece) => input += piece.data.as_bytes().len(),
            Event::RowsCut(cut) => cuts.push((cut.request, cut.what.to_string())),
            _ => {}
        }
    }
    assert_eq!((rows.len(), counted, input), (16 << 20, vec![7], 16 << 20));
    assert!(rows.iter().take(9 << 20).all(|byte| *byte == 1) && rows.iter().skip(9 << 20).all(|byte| *byte == 2));
    assert_eq!(cuts, [(1, "rows".to_owned()), (2, "input".to_owned())]);
}

#[test]
fn a_recovered_recording_goes_on_with_its_chain() {
    let sink = MemorySink::new();
    let mut first = recorder(&sink, 1 << 20);
    first.append(asked(0, "SELECT pg_sleep(9)"), now(0)).unwrap();
    let (_, end, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!((damage, end.open.iter().copied().collect::<Vec<_>>()), (None, vec![0]));
    drop(first);

    let buffers = Arc::new(RecordingBuffers::new());
    let options = RecorderOptions::default();
    let mut second =
        SessionRecorder::resume(&keys(), &header(), end, 0xfeed, Box::new(sink.clone()), buffers, options).unwrap();
    second.recover("the recording had no end", 17, now(5)).unwrap();
    let (events, end, damage) = read(&file(&sink), Some(&keys()));
    assert_eq!((damage, end.closed, events.len()), (None, true, 3));
    assert!(matches!(&events[1].event, Event::Done(d) if d.request == 0 && d.outcome == DoneKind::Aborted));
    assert!(matches!(&events[2].event, Event::Recovered(r) if r.requests == 1 && r.torn_bytes == 17));
}

#[test]
fn a_long_pipeline_is_ended_at_once() {
    let sink = MemorySink::new();
    let mut recorder = recorder(&sink, 1 << 20);
    for request in 0..65_536 {
        recorder.append(asked(request, "q"), now(0)).unwrap();
    }
    recorder.close(CloseReason::ClientLost, "", now(1)).unwrap();
    let end = read(&file(&sink), Some(&keys())).1;
    assert_eq!((end.next_seq, end.open.len()), (2 * 65_536 + 1, 0));
}

#[test]
fn an_idle_recorder_is_small() {
    let recorder = recorder(&MemorySink::new(), 1);
    assert!(std::mem::size_of_val(&recorder) < 1_536, "{}", std::mem::size_of_val(&recorder));
}
