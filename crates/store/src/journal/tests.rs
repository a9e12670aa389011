//! The journal on a real file system: crashes, full disks, and every way of tampering that verification must name.

mod tamper;

use super::*;
use lockgate_record::{
    Asked, CloseReason, DamageKind, Digest, Done, DoneKind, Event, GatewayStarted, GatewayStopped, Judged, LEAF_BYTES,
    RecordError, RequestKind, VerdictKind,
};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

struct Place {
    dir: tempfile::TempDir,
    keys: Arc<RecordingKeys>,
}

fn now(n: i64) -> Timestamp {
    Timestamp::from_millis(1_795_237_740_000 + n)
}

fn id(n: u128) -> SessionId {
    SessionId::new(now(i64::try_from(n).unwrap()), n)
}

fn asked(request: u64, text: &str) -> Event<'_> {
    Asked::new(request, RequestKind::Simple, text.as_bytes(), Digest::of(text.as_bytes())).into()
}

fn allowed(request: u64) -> Event<'static> {
    Judged::new(request, VerdictKind::Allow).into()
}

fn done(request: u64) -> Event<'static> {
    Done::new(request, DoneKind::Completed).into()
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(load_or_create_keys(dir.path()).unwrap());
        Place { dir, keys }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Journal {
        Journal::open(self.path(), Arc::clone(&self.keys), JournalOptions::default(), now(0)).unwrap()
    }

    fn verify(&self) -> VerifyReport {
        let sealed = verify(self.path(), self.keys.public(), None, &[]).unwrap();
        let opened = verify(self.path(), self.keys.public(), Some(&self.keys), &[]).unwrap();
        assert_eq!(
            sealed.first_bad().map(|f| (f.session, f.damage.seq)),
            opened.first_bad().map(|f| (f.session, f.damage.seq))
        );
        sealed
    }

    fn file(&self, session: SessionId) -> PathBuf {
        Layout::new(self.path()).recording(RecordingKind::Session, session)
    }

    fn events(&self, session: SessionId) -> Vec<Event<'static>> {
        Archive::new(self.path()).read(&self.keys, session).unwrap().map(|e| e.unwrap().event).collect()
    }

    /// Three closed sessions of six events each, and the log signed.
    fn fill(&self) {
        let journal = self.open();
        for n in 1..=3 {
            let mut session = journal.session(id(n), now(1)).unwrap();
            for request in 0..2 {
                session.append_all(&[asked(request, "SELECT 1"), allowed(request)], now(2)).unwrap();
            }
            session.append_all(&[done(0), done(1)], now(3)).unwrap();
            session.close(CloseReason::ClientClosed, "", now(4)).unwrap();
        }
        journal.shutdown(now(5)).unwrap();
    }
}

/// One finding, in a few words.
fn first(report: &VerifyReport) -> Option<(Option<SessionId>, DamageKind, u64)> {
    report.first_bad().map(|finding| (finding.session, finding.damage.kind, finding.damage.seq))
}

#[test]
fn a_quiet_life_is_sound() {
    let place = Place::new();
    place.fill();
    let report = place.verify();
    assert_eq!(first(&report), None);
    assert_eq!((report.sessions, report.open, report.events, report.leaves), (3, 0, 21, 6));
    assert_eq!((report.checkpoints, report.unsigned_leaves), (1, 0));
    assert!(matches!(place.events(id(2)).as_slice(), [Event::Asked(_), Event::Judged(_), .., Event::SessionClosed(_)]));
    assert_eq!(
        Archive::new(place.path()).list().unwrap().iter().map(|e| e.session).collect::<Vec<_>>(),
        [id(1), id(2), id(3)]
    );
    assert!(matches!(Archive::new(place.path()).read(&place.keys, id(9)), Err(JournalError::NoRecording(_))));
    // Opening again finds nothing to repair, and keeps what was signed.
    let journal = place.open();
    assert!(journal.recover(now(9)).unwrap().is_empty());
    assert_eq!(first(&place.verify()), None);
    let public = load_public_key(place.path()).unwrap();
    assert_eq!(&public, place.keys.public());
}

#[test]
fn files_are_for_the_owner_only_and_one_process_writes() {
    let place = Place::new();
    place.fill();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let root = place.path().join("recordings");
    for folder in [root.clone(), root.join("log"), root.join("gateway"), place.path().join("keys")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    for file in [
        place.file(id(1)),
        root.join("log/leaves"),
        root.join("log/checkpoint"),
        place.path().join("keys/recordings.key"),
    ] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    let journal = place.open();
    let second = Journal::open(place.path(), Arc::clone(&place.keys), JournalOptions::default(), now(0));
    assert!(matches!(second, Err(JournalError::InUse(_))));
    drop(journal);
    place.open();
}

#[test]
fn damaged_key_files_are_refused_and_never_replaced() {
    let place = Place::new();
    let path = place.path().join("keys/recordings.key");
    let good = fs::read(&path).unwrap();
    for bad in [b"".as_slice(), b"x", &good[..79], &[good.as_slice(), b"x"].concat(), &[0; 80]] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(load_or_create_keys(place.path()), Err(JournalError::KeyFile { .. })), "{} bytes", bad.len());
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
}

#[test]
fn every_changed_byte_of_every_file_is_found() {
    let place = Place::new();
    place.fill();
    let log = place.path().join("recordings/log");
    for path in [place.file(id(2)), log.join("leaves"), log.join("checkpoint")] {
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x04;
            fs::write(&path, &bad).unwrap();
            let report = verify(place.path(), place.keys.public(), None, &[]).unwrap();
            let (session, kind, _) = first(&report).unwrap_or_else(|| panic!("byte {at} of {}", path.display()));
            if path == place.file(id(2)) {
                assert_eq!((session, kind), (Some(id(2)), DamageKind::Altered), "byte {at}");
            } else {
                assert_eq!(session, None, "byte {at} of {}", path.display());
            }
        }
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(first(&place.verify()), None);
}

#[test]
fn a_closed_recording_cut_anywhere_is_truncated() {
    let place = Place::new();
    place.fill();
    let good = fs::read(place.file(id(3))).unwrap();
    for length in 0..good.len() {
        fs::write(place.file(id(3)), &good[..length]).unwrap();
        let (session, kind, seq) = first(&verify(place.path(), place.keys.public(), None, &[]).unwrap()).unwrap();
        assert_eq!((session, kind), (Some(id(3)), DamageKind::Truncated), "length {length}");
        assert!(seq <= 6);
    }
}

#[test]
fn a_recording_deleted_added_or_exchanged_is_named() {
    let place = Place::new();
    place.fill();
    let good = fs::read(place.file(id(2))).unwrap();
    fs::remove_file(place.file(id(2))).unwrap();
    assert_eq!(first(&place.verify()), Some((Some(id(2)), DamageKind::Deleted, 0)));
    fs::copy(place.file(id(1)), place.file(id(2))).unwrap();
    assert_eq!(first(&place.verify()), Some((Some(id(2)), DamageKind::Altered, 0)));
    fs::write(place.file(id(2)), &good).unwrap();
    fs::write(place.file(id(7)), &good).unwrap();
    assert_eq!(first(&place.verify()), Some((Some(id(7)), DamageKind::Unsigned, 0)));
    fs::remove_file(place.file(id(7))).unwrap();
    assert_eq!(first(&place.verify()), None);
    // An open session's recording too.
    let journal = place.open();
    let mut session = journal.session(id(5), now(6)).unwrap();
    session.append(asked(0, "SELECT 1"), now(6)).unwrap();
    fs::remove_file(place.file(id(5))).unwrap();
    assert_eq!(first(&place.verify()), Some((Some(id(5)), DamageKind::Deleted, 0)));
}

#[test]
fn the_log_cannot_lose_or_exchange_leaves() {
    let place = Place::new();
    place.fill();
    let path = place.path().join("recordings/log/leaves");
    let good = fs::read(&path).unwrap();
    let leaf = |n: usize| &good[n * LEAF_BYTES..(n + 1) * LEAF_BYTES];
    let without_second_session: Vec<u8> = [leaf(0), leaf(1), leaf(4), leaf(5)].concat();
    fs::remove_file(place.file(id(2))).unwrap();
    for (bad, what) in [
        (without_second_session, "a session gone with its leaves"),
        ([leaf(1), leaf(0), leaf(2), leaf(3), leaf(4), leaf(5)].concat(), "leaves swapped"),
        ([leaf(0), leaf(0), leaf(2), leaf(3), leaf(4), leaf(5)].concat(), "a leaf twice"),
        (Vec::new(), "an empty log"),
    ] {
        fs::write(&path, bad).unwrap();
        let report = verify(place.path(), place.keys.public(), None, &[]).unwrap();
        assert_eq!(report.first_bad().unwrap().session, None, "{what}: {report:?}");
        // Starting the gateway on it does not hide it, nor does it stop the gateway.
        let journal = place.open();
        let recovered = journal.recover(now(8)).unwrap();
        assert!(!recovered.log.is_empty(), "{what}");
        journal.shutdown(now(9)).unwrap();
        drop(journal);
        let report = verify(place.path(), place.keys.public(), None, &[]).unwrap();
        assert!(report.findings.iter().any(|f| f.session.is_none()), "{what}: {report:?}");
        fs::write(&path, &good).unwrap();
        fs::remove_file(place.path().join("recordings/log/checkpoint")).unwrap();
        let journal = place.open();
        drop(journal);
        fs::write(&path, &good).unwrap();
        LeafLogMaker::resign(&place, &good);
    }
}

/// Signs a given log again, as only the holder of the key can: puts a test back to its start.
struct LeafLogMaker;

impl LeafLogMaker {
    fn resign(place: &Place, leaves: &[u8]) {
        let mut tree = lockgate_record::MerkleTree::new();
        leaves.chunks(LEAF_BYTES).for_each(|leaf| tree.push(leaf));
        let checkpoint = lockgate_record::Checkpoint { size: tree.size(), root: tree.root() };
        fs::write(place.path().join("recordings/log/checkpoint"), checkpoint.sign(&place.keys)).unwrap();
    }
}

#[test]
fn a_log_rolled_back_with_its_checkpoint_is_found_by_an_anchor() {
    let place = Place::new();
    place.fill();
    let log = place.path().join("recordings/log");
    let (leaves, checkpoint) = (fs::read(log.join("leaves")).unwrap(), fs::read(log.join("checkpoint")).unwrap());
    let journal = place.open();
    let mut session = journal.session(id(8), now(10_000)).unwrap();
    session.append(asked(0, "DROP TABLE evidence"), now(10_000)).unwrap();
    session.close(CloseReason::ClientClosed, "", now(10_001)).unwrap();
    journal.shutdown(now(10_002)).unwrap();
    let anchor = fs::read_to_string(log.join("checkpoint")).unwrap();
    let anchors = [anchor];
    assert_eq!(verify(place.path(), place.keys.public(), None, &anchors).unwrap().checkpoints, 2);
    fs::remove_file(place.file(id(8))).unwrap();
    fs::write(log.join("leaves"), leaves).unwrap();
    fs::write(log.join("checkpoint"), checkpoint).unwrap();
    assert_eq!(first(&place.verify()), None, "without an anchor nothing is left to see");
    let report = verify(place.path(), place.keys.public(), None, &anchors).unwrap();
    assert_eq!(first(&report), Some((None, DamageKind::Truncated, 0)));
}

#[test]
fn a_crash_leaves_every_event_and_an_end_for_every_request() {
    let place = Place::new();
    place.fill();
    let journal = place.open();
    let mut session = journal.session(id(5), now(6)).unwrap();
    session.append_all(&[asked(0, "SELECT 1"), allowed(0)], now(6)).unwrap();
    session.append(done(0), now(6)).unwrap();
    session.append_all(&[asked(1, "DELETE FROM t"), allowed(1)], now(6)).unwrap();
    // As a kill does: nothing runs that would tidy up.
    std::mem::forget(session);
    let good = fs::read(place.file(id(5))).unwrap();
    let leaves = fs::read(place.path().join("recordings/log/leaves")).unwrap();
    let checkpoint = fs::read(place.path().join("recordings/log/checkpoint")).unwrap();
    assert_eq!(place.verify().open, 1);
    // The forgotten session keeps the lock alive through its sink, so go on in a copy of the directory's state.
    let last_frame = 300;
    for length in (good.len() - last_frame..=good.len()).rev() {
        let copy = Place { dir: tempfile::tempdir().unwrap(), keys: Arc::clone(&place.keys) };
        let layout = Layout::new(copy.path());
        layout.create().unwrap();
        for n in 1..=3 {
            let to = copy.file(id(n));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(place.file(id(n)), to).unwrap();
        }
        fs::write(copy.file(id(5)), &good[..length]).unwrap();
        fs::write(layout.leaves(), &leaves).unwrap();
        fs::write(layout.checkpoint(), &checkpoint).unwrap();
        let before = copy.verify();
        assert_eq!(first(&before), None, "length {length}");

        let journal = copy.open();
        let report = journal.recover(now(100)).unwrap();
        assert_eq!((report.finished.as_slice(), report.damaged.len()), ([id(5)].as_slice(), 0), "length {length}");
        assert_eq!(report.torn.len(), before.torn.len(), "length {length}");
        let events = copy.events(id(5));
        assert!(matches!(events.last(), Some(Event::Recovered(_))), "length {length}");
        let asked: BTreeSet<u64> =
            events.iter().filter_map(|e| if let Event::Asked(a) = e { Some(a.request) } else { None }).collect();
        let ended: Vec<u64> =
            events.iter().filter_map(|e| if let Event::Done(d) = e { Some(d.request) } else { None }).collect();
        assert_eq!(asked.iter().copied().collect::<Vec<_>>(), ended, "length {length}");
        assert_eq!(asked.contains(&1), length == good.len());
        journal.shutdown(now(200)).unwrap();
        let after = copy.verify();
        assert_eq!((first(&after), after.open, after.torn.len()), (None, 0, 0), "length {length}");
        assert!(journal.recover(now(300)).unwrap().is_empty());
    }
}

#[test]
fn recovery_cuts_zeros_but_keeps_what_somebody_altered() {
    for (tail, repaired) in [(vec![0; 4096], true), (b"not a frame, and not zeros".repeat(8), false)] {
        let place = Place::new();
        let layout = Layout::new(place.path());
        let journal = place.open();
        let mut session = journal.session(id(5), now(6)).unwrap();
        session.append(asked(0, "SELECT 1"), now(6)).unwrap();
        let bytes = [fs::read(place.file(id(5))).unwrap(), tail].concat();
        fs::write(place.file(id(5)), &bytes).unwrap();
        let mut report = RecoveryReport::default();
        let left = Unfinished { kind: RecordingKind::Session, session: id(5), milestone: Some(Milestone::default()) };
        recover::recover_one(&journal.shared, &left, now(7), &mut report).unwrap();
        assert_eq!(
            (report.torn.len(), report.damaged.len()),
            (usize::from(repaired), usize::from(!repaired)),
            "{report:?}"
        );
        if !repaired {
            assert_eq!(fs::read(layout.recording(RecordingKind::Session, id(5))).unwrap(), bytes);
            assert_eq!(first(&place.verify()), Some((Some(id(5)), DamageKind::Altered, 1)));
        }
    }
}

#[test]
fn a_torn_leaf_and_a_missing_leaf_are_mended() {
    let place = Place::new();
    place.fill();
    let path = place.path().join("recordings/log/leaves");
    let good = fs::read(&path).unwrap();
    // The newest leaves had not been signed when the machine died.
    LeafLogMaker::resign(&place, &good[..LEAF_BYTES * 4]);
    for cut in 1..LEAF_BYTES * 2 {
        fs::write(&path, &good[..good.len() - cut]).unwrap();
        let journal = place.open();
        let report = journal.recover(now(50)).unwrap();
        assert_eq!(report.log.is_empty(), cut % LEAF_BYTES == 0, "cut {cut}");
        assert_eq!(report.finished, [id(3)], "cut {cut}");
        journal.shutdown(now(60)).unwrap();
        let report = place.verify();
        assert_eq!((first(&report), report.leaves, report.open), (None, 6, 0), "cut {cut}");
        drop(journal);
        LeafLogMaker::resign(&place, &good[..LEAF_BYTES * 4]);
    }
}

#[test]
fn a_recorder_that_is_dropped_is_ended_by_the_next_tick() {
    let place = Place::new();
    let journal = place.open();
    let mut session = journal.session(id(1), now(0)).unwrap();
    session.append(asked(0, "SELECT 1"), now(0)).unwrap();
    drop(session);
    let unused = journal.session(id(2), now(0)).unwrap();
    drop(unused);
    assert_eq!(journal.tick(now(5_000)).unwrap().finished, [id(1)]);
    assert!(journal.tick(now(6_000)).unwrap().is_empty());
    let report = place.verify();
    assert_eq!((first(&report), report.sessions, report.open, report.unsigned_leaves), (None, 1, 0, 0));
    assert!(matches!(place.events(id(1)).as_slice(), [Event::Asked(_), Event::Done(_), Event::Recovered(_)]));
}

#[test]
fn the_gateway_has_a_log_of_its_own() {
    let place = Place::new();
    let journal = place.open();
    let mut log = journal.gateway_log(id(1), now(0)).unwrap();
    let started = GatewayStarted { version: "0.1.0".into(), config: Digest::of(b"config") };
    log.append(started.into(), now(0)).unwrap();
    log.close_with(GatewayStopped { reason: "terminated".into() }.into(), now(1)).unwrap();
    journal.shutdown(now(2)).unwrap();
    let report = place.verify();
    assert_eq!((first(&report), report.sessions, report.gateway_logs, report.events), (None, 0, 1, 2));
    assert_eq!(place.events(id(1)).len(), 2);
}

#[test]
fn the_log_is_signed_at_most_once_a_second() {
    let place = Place::new();
    let journal = place.open();
    let checkpoint = || fs::read_to_string(place.path().join("recordings/log/checkpoint")).unwrap();
    let mut notes = BTreeSet::new();
    for n in 0..100_u128 {
        let at = now(i64::try_from(n).unwrap() * 50);
        let mut session = journal.session(id(n), at).unwrap();
        session.append(asked(0, "SELECT 1"), at).unwrap();
        session.close(CloseReason::ClientClosed, "", at).unwrap();
        notes.insert(checkpoint());
    }
    assert!((4..=7).contains(&notes.len()), "{}", notes.len());
    assert!(place.verify().unsigned_leaves > 0);
    journal.tick(now(7_000)).unwrap();
    assert_eq!(place.verify().unsigned_leaves, 0);
}

/// What the child processes below run. Not a test by itself: it acts on the directory it is started in.
#[test]
#[ignore = "run as a child process by the tests around it"]
fn child_writes_until_it_is_killed() {
    let keys = Arc::new(load_or_create_keys(Path::new(".")).unwrap());
    let journal = Journal::open(Path::new("."), keys, JournalOptions::default(), now(0)).unwrap();
    let mut log = fs::OpenOptions::new().create(true).append(true).open("forwarded").unwrap();
    for n in 1..u128::MAX {
        let mut session = journal.session(id(n), now(0)).unwrap();
        for request in 0..20 {
            let text = format!("SELECT {n}.{request}");
            session.append_all(&[asked(request, &text), allowed(request)], now(0)).unwrap();
            // Stands for forwarding it: whatever is in this file must be in the recording.
            std::io::Write::write_all(&mut log, format!("{text}\n").as_bytes()).unwrap();
            session.append(done(request), now(0)).unwrap();
        }
        session.close(CloseReason::ClientClosed, "", now(0)).unwrap();
    }
}

fn child(test: &str, dir: &Path, limit: Option<u32>) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    // Ignored, the signal of the file size limit becomes an error of the write.
    let script = limit.map_or(String::new(), |blocks| format!("trap '' XFSZ; ulimit -f {blocks}; "));
    command.arg("-c").arg(format!("{script}exec \"$0\" \"$@\"")).arg(exe);
    command.args(["--exact", &format!("journal::tests::{test}"), "--ignored", "--nocapture"]);
    command.current_dir(dir).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn a_killed_process_loses_nothing_that_was_forwarded() {
    for round in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut process = child("child_writes_until_it_is_killed", dir.path(), None).spawn().unwrap();
        while fs::metadata(dir.path().join("forwarded")).map_or(0, |m| m.len()) < 2_000 {
            assert!(process.try_wait().unwrap().is_none(), "the child ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::thread::sleep(std::time::Duration::from_millis(7 * round));
        process.kill().unwrap();
        process.wait().unwrap();

        let place = Place { keys: Arc::new(load_keys(dir.path()).unwrap()), dir };
        assert_eq!(first(&place.verify()), None);
        let journal = place.open();
        let report = journal.recover(now(1_000_000)).unwrap();
        assert!(report.damaged.is_empty() && report.finished.len() <= 1, "{report:?}");
        let mut recorded = BTreeSet::new();
        for entry in journal.archive().list().unwrap() {
            let events = place.events(entry.session);
            let count = |wanted: fn(&Event<'_>) -> bool| events.iter().filter(|e| wanted(e)).count();
            assert_eq!(count(|e| matches!(e, Event::Asked(_))), count(|e| matches!(e, Event::Done(_))));
            recorded.extend(
                events
                    .iter()
                    .filter_map(|e| if let Event::Asked(a) = e { Some(a.text.to_text().into_owned()) } else { None }),
            );
        }
        let forwarded = fs::read_to_string(place.path().join("forwarded")).unwrap();
        // The kill may have cut the line that was being written: of it the record has the whole.
        let (whole, cut) = forwarded.rsplit_once('\n').unwrap();
        let lost: Vec<&str> = whole.lines().filter(|text| !recorded.contains(*text)).collect();
        assert_eq!(lost, Vec::<&str>::new());
        assert!(recorded.iter().any(|text| text.starts_with(cut)), "{cut}");
        journal.shutdown(now(1_000_001)).unwrap();
        assert_eq!((first(&place.verify()), place.verify().open), (None, 0));
    }
}

/// Text that does not compress.
fn noise(bytes: usize) -> String {
    (0_u64..)
        .flat_map(|n| Digest::of(&n.to_le_bytes()).0)
        .map(|byte| char::from(b'!' + byte % 90))
        .take(bytes)
        .collect()
}

/// Runs under a limit on file sizes that one recording's file reaches, and expects to be told.
#[test]
#[ignore = "run as a child process by the test below"]
fn child_meets_a_full_disk() {
    let keys = Arc::new(load_or_create_keys(Path::new(".")).unwrap());
    let journal = Journal::open(Path::new("."), keys, JournalOptions::default(), now(0)).unwrap();
    for n in 1..=3 {
        let mut session = journal.session(id(n), now(0)).unwrap();
        let mut request = 0;
        loop {
            // Sizes that meet the limit at different places in a frame.
            let text = "x".repeat(100 + usize::try_from(n).unwrap() * 37 + usize::try_from(request).unwrap() % 11);
            match session.append_all(&[asked(request, &text), allowed(request), done(request)], now(0)) {
                Ok(()) => request += 1,
                Err(RecordError::Sink(SinkError::NoSpace)) => break,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(request > 10);
        // What is too long stays refused, the session's end among it.
        assert!(session.append_all(&[asked(request, &noise(100_000))], now(0)).is_err());
        assert!(session.close(CloseReason::Unrecordable, &noise(20_000), now(0)).is_err());
    }
}

#[test]
fn a_full_disk_refuses_and_leaves_whole_frames() {
    let dir = tempfile::tempdir().unwrap();
    let out = child("child_meets_a_full_disk", dir.path(), Some(16)).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let place = Place { keys: Arc::new(load_keys(dir.path()).unwrap()), dir };
    let report = place.verify();
    assert_eq!((first(&report), report.open, report.torn.len()), (None, 3, 0));
    for n in 1..=3 {
        assert!(fs::metadata(place.file(id(n))).unwrap().len() <= 16 * 1024);
    }
    let journal = place.open();
    assert_eq!(journal.recover(now(9)).unwrap().finished, [id(1), id(2), id(3)]);
    assert_eq!((first(&place.verify()), place.verify().open), (None, 0));
}
