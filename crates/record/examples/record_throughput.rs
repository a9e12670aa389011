//! What recording costs: time per statement and bytes per second of results, with a sink that keeps nothing.
//!
//! `cargo run --release -p lockgate-record --example throughput`

#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

use lockgate_core::{SessionId, Timestamp};
use lockgate_record::{
    Asked, Digest, Done, DoneKind, Event, FileHeader, Judged, PolicyRef, RecorderOptions, RecordingBuffers,
    RecordingKeys, RecordingKind, RequestKind, Segment, SessionRecorder, Sink, SinkError, VerdictKind,
};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Counts bytes, so that nothing is optimised away.
struct Count(Arc<AtomicUsize>);

impl Sink for Count {
    fn append(&mut self, frame: &[u8], _: &lockgate_record::Head) -> Result<(), SinkError> {
        self.0.fetch_add(black_box(frame).len(), Ordering::Relaxed);
        Ok(())
    }
    fn finish(&mut self, _: &Segment) -> Result<(), SinkError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let keys = RecordingKeys::new("throughput", &[1; 32], &[2; 32])?;
    let buffers = Arc::new(RecordingBuffers::new());
    let now = Timestamp::from_millis(1_795_237_740_000);
    let header = FileHeader { kind: RecordingKind::Session, session: SessionId::new(now, 1), began: now };
    let written = Arc::new(AtomicUsize::new(0));
    let recorder = || {
        let sink = Box::new(Count(Arc::clone(&written)));
        let options = RecorderOptions { result_bytes_max: u64::MAX };
        SessionRecorder::new(&keys, &header, sink, Arc::clone(&buffers), options)
    };

    let started = Instant::now();
    for _ in 0..10_000 {
        black_box(recorder()?);
    }
    println!("new recorder                {:>8.2} µs", started.elapsed().as_secs_f64() * 1e6 / 1e4);

    let text = "SELECT abalance, tbalance FROM pgbench_accounts JOIN pgbench_tellers USING (bid) WHERE aid = 48151623";
    let policies = [PolicyRef { id: "engineers-read".into(), place: "policies/orders.cedar:12".into() }];
    let digest = Digest::of(text.as_bytes());
    let statement = |session: &mut SessionRecorder, request: u64| {
        let asked = Asked::new(request, RequestKind::Simple, text.as_bytes(), digest);
        let mut judged = Judged::new(request, VerdictKind::Allow);
        judged.policies = policies.as_slice().into();
        session.append_all(&[Event::Asked(asked), Event::Judged(judged)], now)
    };
    let mut session = recorder()?;
    let (mut before, mut after) = (0.0, 0.0);
    let row = [b"D\0\0\0\x12\0\x01\0\0\0\x08".as_slice(), b"-1234567"].concat();
    written.store(0, Ordering::Relaxed);
    for request in 0..200_000 {
        let started = Instant::now();
        statement(&mut session, request)?;
        before += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let rows = lockgate_record::Rows { request, count: 1, data: row.as_slice().into() };
        session.append_all(&[Event::Rows(rows), Done::new(request, DoneKind::Completed).into()], now)?;
        after += started.elapsed().as_secs_f64();
    }
    println!("before forwarding           {:>8.2} µs a statement (asked, judged)", before * 1e6 / 2e5);
    println!("after the answer            {:>8.2} µs a statement (one row, done)", after * 1e6 / 2e5);
    println!("kept                        {:>8} bytes a statement", written.load(Ordering::Relaxed) / 200_000);

    // Rows as a shop's table has them, and rows that do not compress.
    let mut shop = Vec::new();
    let mut noise = Vec::new();
    for n in 0_u32..200_000 {
        let line = format!(
            "{n},Customer {n},customer{n}@example.com,+1 555 {:07},{} Main Street,Springfield,{n:08x}",
            n % 9_999_999,
            n % 977
        );
        shop.extend_from_slice(&[b"D\0\0\0\x60\0\x01\0\0\0\x58".as_slice(), line.as_bytes()].concat());
        noise.extend_from_slice(&Digest::of(&n.to_le_bytes()).0);
        noise.extend_from_slice(&Digest::of(&n.to_be_bytes()).0);
    }
    for (name, data) in [("shop rows", &shop), ("noise", &noise)] {
        for size in [8 * 1024, 32 * 1024, 128 * 1024] {
            let mut session = recorder()?;
            session.append(Asked::new(0, RequestKind::Simple, b"q", digest).into(), now)?;
            written.store(0, Ordering::Relaxed);
            let mut bytes = 0;
            let started = Instant::now();
            while bytes < 512 << 20 {
                for piece in data.chunks(size) {
                    session.rows(0, piece, 1, now)?;
                    bytes += piece.len();
                }
            }
            let gigabytes = |n: usize| f64::from(u32::try_from(n >> 10).unwrap_or(u32::MAX)) / f64::from(1_u32 << 20);
            let rate = gigabytes(bytes) / started.elapsed().as_secs_f64();
            let kept = 100.0 * gigabytes(written.load(Ordering::Relaxed)) / gigabytes(bytes);
            println!("{name:<10} in {:>3} KiB        {rate:>8.2} GiB/s, {kept:.0} % kept", size / 1024);
        }
    }
    Ok(())
}
