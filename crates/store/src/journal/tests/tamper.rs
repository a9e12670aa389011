//! Tampering by the thousand, from a seed: whatever is flipped, deleted, swapped, repeated or cut off, verification names
//! the recording and the first event it touches. And how far that holds for recordings that are still open.

use super::*;
use lockgate_core::limits::{RECORD_PROGRESS_FRAMES_MAX, RECORD_PROGRESS_MS};
use lockgate_record::{FrameInfo, RecordingReader};
use std::ops::Range;

/// SplitMix64: a seed gives the same run everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}

fn frames(bytes: &[u8]) -> Vec<FrameInfo> {
    let mut reader = RecordingReader::new(bytes, None).unwrap();
    std::iter::from_fn(|| reader.next_frame().unwrap()).collect()
}

fn place_of(frame: &FrameInfo) -> Range<usize> {
    let start = usize::try_from(frame.offset).unwrap();
    start..start + usize::try_from(frame.bytes).unwrap()
}

/// Some frames of different sizes.
fn grow(session: &mut SessionRecorder, from: u64, requests: u64, at: i64) {
    for request in from..from + requests {
        let text = format!("SELECT {request}, '{}'", "x".repeat(usize::try_from(request * 37 % 900).unwrap()));
        session.append_all(&[asked(request, &text), allowed(request)], now(at)).unwrap();
        session.append(done(request), now(at)).unwrap();
    }
}

/// What was done to a recording of `frames`, the bytes it then has, and the first event it touches.
fn tamper(dice: &mut Dice, bytes: &[u8], frames: &[FrameInfo]) -> (String, Vec<u8>, Range<u64>) {
    let events = |frame: &FrameInfo| frame.first_seq..frame.first_seq + u64::from(frame.events);
    let at = dice.below(frames.len() - 1);
    let other = at + 1 + dice.below(frames.len() - at - 1);
    let (first, second) = (place_of(&frames[at]), place_of(&frames[other]));
    let whole = |parts: &[&[u8]]| parts.concat();
    match dice.below(5) {
        0 => {
            let byte = dice.below(bytes.len());
            let mut changed = bytes.to_vec();
            changed[byte] ^= 1 << dice.below(8);
            let hit = frames.iter().find(|frame| place_of(frame).contains(&byte));
            (format!("byte {byte} changed"), changed, hit.map_or(0..1, events))
        }
        1 => {
            let gone = whole(&[&bytes[..first.start], &bytes[first.end..]]);
            (format!("frame {at} deleted"), gone, events(&frames[at]))
        }
        2 => {
            let swapped = whole(&[
                &bytes[..first.start],
                &bytes[second.clone()],
                &bytes[first.end..second.start],
                &bytes[first.clone()],
                &bytes[second.end..],
            ]);
            (format!("frames {at} and {other} swapped"), swapped, events(&frames[at]))
        }
        3 => {
            // Frame `at` moved behind frame `other`.
            let moved = whole(&[
                &bytes[..first.start],
                &bytes[first.end..second.end],
                &bytes[first.clone()],
                &bytes[second.end..],
            ]);
            (format!("frame {at} moved behind {other}"), moved, events(&frames[at]))
        }
        _ => {
            let twice = whole(&[&bytes[..second.end], &bytes[first], &bytes[second.end..]]);
            let next = events(&frames[other]).end;
            (format!("frame {at} repeated behind {other}"), twice, next..next + 1)
        }
    }
}

#[test]
fn a_thousand_of_a_thousand_alterations_are_named() {
    let place = Place::new();
    let journal = place.open();
    for n in 1..=3 {
        let mut session = journal.session(id(n), now(1)).unwrap();
        grow(&mut session, 0, 12, 2);
        session.close(CloseReason::ClientClosed, "", now(4)).unwrap();
    }
    // One that is open, as far as the log knows of it.
    let mut open = journal.session(id(4), now(1)).unwrap();
    grow(&mut open, 0, 12, 2);
    journal.tick(now(RECORD_PROGRESS_MS + 5)).unwrap();
    assert_eq!(first(&place.verify()), None);

    let mut dice = Dice(0x10c6_9a7e);
    let mut named = 0;
    for run in 0..1_000 {
        let session = id(1 + u128::try_from(dice.below(4)).unwrap());
        let file = place.file(session);
        let bytes = fs::read(&file).unwrap();
        let (what, changed, touched) = tamper(&mut dice, &bytes, &frames(&bytes));
        if changed == bytes {
            continue;
        }
        fs::write(&file, changed).unwrap();
        let found = verify(place.path(), place.keys.public(), None, &[]).unwrap();
        let finding = found.first_bad().unwrap_or_else(|| panic!("run {run}, {session}: {what} was not found"));
        assert_eq!(finding.session, Some(session), "run {run}: {what}: {finding}");
        assert!(touched.contains(&finding.damage.seq), "run {run}: {what}, events {touched:?}: {finding}");
        fs::write(&file, bytes).unwrap();
        named += 1;
    }
    assert_eq!(named, 1_000);
    assert_eq!(first(&place.verify()), None);
}

#[test]
fn what_is_cut_off_an_open_recording_is_missed_as_far_as_the_log_knows_of_it() {
    let place = Place::new();
    let journal = place.open();
    let mut session = journal.session(id(1), now(0)).unwrap();
    grow(&mut session, 0, 20, 2);
    let report = place.verify();
    assert_eq!((first(&report), report.open, report.unlogged_events), (None, 1, 60));
    journal.tick(now(RECORD_PROGRESS_MS - 1)).unwrap();
    assert_eq!(place.verify().leaves, 1, "it is too early");
    journal.tick(now(RECORD_PROGRESS_MS)).unwrap();
    journal.tick(now(2 * RECORD_PROGRESS_MS)).unwrap();
    let report = place.verify();
    assert_eq!((report.leaves, report.unlogged_events), (2, 0), "nothing is logged of what has not moved");
    grow(&mut session, 20, 2, 10_001);
    assert_eq!(place.verify().unlogged_events, 6);

    let file = place.file(id(1));
    let bytes = fs::read(&file).unwrap();
    for frame in frames(&bytes) {
        let cut = place_of(&frame).start;
        let damage = (cut > 0 && frame.first_seq < 60).then_some((Some(id(1)), DamageKind::Truncated, frame.first_seq));
        for cut in [cut, cut + 9] {
            fs::write(&file, &bytes[..cut]).unwrap();
            assert_eq!(first(&place.verify()), damage, "cut to {cut} bytes, before event {}", frame.first_seq);
        }
    }

    // A gateway that starts again does not make it look whole.
    let cut = place_of(&frames(&bytes)[30]).start;
    fs::write(&file, &bytes[..cut]).unwrap();
    drop(session);
    drop(journal);
    let journal = place.open();
    let report = journal.recover(now(30_000)).unwrap();
    assert!(report.finished.is_empty() && report.torn.is_empty(), "{report:?}");
    assert!(
        matches!(report.damaged.as_slice(), [(id_, damage)] if *id_ == id(1) && damage.kind == DamageKind::Truncated),
        "{report:?}"
    );
    journal.shutdown(now(30_001)).unwrap();
    assert_eq!(fs::read(&file).unwrap().len(), cut, "what was found is kept as it was found");
    assert_eq!(first(&place.verify()).map(|f| f.1), Some(DamageKind::Truncated));
}

#[test]
fn a_cut_end_that_was_finished_like_a_crash_is_still_found() {
    // Somebody cuts an open recording, and makes the gateway finish it before the log was read: as a recording that was
    // dropped is. The leaf of progress contradicts the leaf of the end.
    let place = Place::new();
    let journal = place.open();
    let mut session = journal.session(id(1), now(0)).unwrap();
    grow(&mut session, 0, 20, 2);
    journal.tick(now(RECORD_PROGRESS_MS)).unwrap();
    let file = place.file(id(1));
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..place_of(&frames(&bytes)[9]).start]).unwrap();
    drop(session);
    journal.tick(now(RECORD_PROGRESS_MS + 2_000)).unwrap();
    let report = place.verify();
    assert!(!report.is_sound() && report.first_bad().unwrap().session == Some(id(1)), "{report:?}");
}

#[test]
fn a_busy_recording_is_logged_by_its_frames() {
    let place = Place::new();
    let journal = place.open();
    let mut session = journal.session(id(1), now(0)).unwrap();
    for _ in 0..RECORD_PROGRESS_FRAMES_MAX * 2 + 10 {
        let note = lockgate_record::Notice {
            request: None,
            severity: "NOTICE".into(),
            code: "00000".into(),
            message: "more".into(),
        };
        session.append(note.into(), now(1)).unwrap();
    }
    let report = place.verify();
    assert_eq!((first(&report), report.leaves, report.unlogged_events), (None, 3, 10));
}

#[test]
fn a_recording_cut_by_any_number_of_bytes_starts_again_with_all_before_it() {
    let place = Place::new();
    let mut session = place.open().session(id(1), now(0)).unwrap();
    grow(&mut session, 0, 30, 2);
    // As a crash leaves it: no end, nothing logged of its progress. The journal's lock stays with what is forgotten, so
    // the runs are in a directory of their own.
    std::mem::forget(session);
    let bytes = fs::read(place.file(id(1))).unwrap();
    let (from, place) = (Layout::new(place.path()), Place { dir: tempfile::tempdir().unwrap(), keys: place.keys });
    let (layout, file) = (Layout::new(place.path()), place.file(id(1)));
    layout.create().unwrap();
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let all = frames(&bytes);
    assert!(bytes.len() - place_of(&all[1]).start > 4_096);
    for cut in 1..=4_096 {
        fs::write(&file, &bytes[..bytes.len() - cut]).unwrap();
        fs::copy(from.leaves(), layout.leaves()).unwrap();
        fs::copy(from.checkpoint(), layout.checkpoint()).unwrap();
        let kept = all.iter().take_while(|frame| place_of(frame).end <= bytes.len() - cut).last().unwrap();
        let (kept_bytes, kept_events) = (place_of(kept).end, kept.first_seq + u64::from(kept.events));
        let journal = place.open();
        let report = journal.recover(now(9)).unwrap();
        assert_eq!(report.finished, [id(1)], "{cut}");
        let torn = report.torn.first().map(|(session, damage)| (*session, damage.seq));
        let clean = kept_bytes == bytes.len() - cut;
        assert_eq!(torn, (!clean).then_some((id(1), kept_events)), "{cut}");
        let now_there = fs::read(&file).unwrap();
        assert_eq!(&now_there[..kept_bytes], &bytes[..kept_bytes], "{cut}: a kept frame was touched");
        drop(journal);
        if cut % 512 == 0 {
            assert_eq!(first(&place.verify()), None, "{cut}");
        }
    }
}
