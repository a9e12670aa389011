//! Writes one recording: events in, sealed and chained frames out to a [`Sink`].
//!
//! It holds the invariants that a reader relies on: numbers without gaps, exactly one [`Done`] for every
//! [`Asked`], texts and results within their limits and marked where they were cut, no nonce used twice.
//! A failed append leaves it as it was, so that the next one may succeed once there is space again. It is not a queue:
//! when a call returns `Ok`, the sink has the frame.

use crate::buffers::{RecordingBuffers, Scratch};
use crate::event::{
    Asked, CloseReason, Done, DoneKind, Event, Input, Parameter, Recovered, Rows, RowsCut, SessionClosed, length,
    put_event,
};
use crate::frame::{
    CHECK_BYTES, FILE_HEADER_BYTES, FileHeader, FrameHeader, HEADER_BYTES, HEADER_SUMMED_BYTES, TAG_BYTES,
};
use crate::keys::{Cipher, KeyError, RecordingKeys};
use crate::reader::ChainEnd;
use crate::sink::{Head, Segment, Sink, SinkError};
use crate::wire::{Blob, Digest, List};
use lockgate_core::Timestamp;
use lockgate_core::limits::{
    RECORD_COMPRESS_LARGE_BYTES, RECORD_EVENT_BYTES_MAX, RECORD_FRAME_BYTES_MAX, RECORD_PARAMETER_BYTES_MAX,
    RECORD_PIECE_BYTES_MAX, RECORD_PLAIN_FRAMES, RECORD_RESULT_BYTES_MAX,
};
use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// An event could not be recorded. What it was about must not be forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The sink did not take the frame.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The recording has been closed.
    #[error("the recording is closed")]
    Closed,
    /// The events of one append are larger than a frame may be.
    #[error("events of {0} bytes do not fit a frame")]
    TooLarge(usize),
    /// A request number was asked twice, or ended without having been asked.
    #[error("request {0} is out of order in the recording")]
    Order(u64),
    /// The keys do not work.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What an administrator may set about recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderOptions {
    /// Result bytes, and apart from them bulk input bytes, that are recorded of one request.
    pub result_bytes_max: u64,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        RecorderOptions { result_bytes_max: RECORD_RESULT_BYTES_MAX }
    }
}

/// How much of one request's stream was recorded.
#[derive(Clone, Copy, Default)]
struct Meter {
    request: u64,
    bytes: u64,
    cut: bool,
}

impl Meter {
    /// Counts a piece. `Some(true)`: record it; `Some(false)`: say that the rest is cut; `None`: say nothing more.
    fn admit(&mut self, request: u64, bytes: u64, limit: u64) -> Option<bool> {
        if self.request != request {
            *self = Meter { request, bytes: 0, cut: false };
        }
        if self.cut {
            return None;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.cut = self.bytes > limit;
        Some(!self.cut)
    }
}

/// What an append changes. Worked on as a copy, and kept only when the sink has taken the frame.
#[derive(Clone, Copy, Default)]
struct Tally {
    results: Meter,
    inputs: Meter,
    requests: u64,
    rows: u64,
    bytes: u64,
}

/// The writer of one recording.
pub struct SessionRecorder {
    sink: Box<dyn Sink>,
    cipher: Cipher,
    buffers: Arc<RecordingBuffers>,
    options: RecorderOptions,
    previous: Digest,
    next_seq: u64,
    /// The first four bytes of every nonce: 0 for the first writer of a file, random for one that recovers it.
    nonce_epoch: u32,
    nonce_count: u64,
    written_bytes: u64,
    /// Requests without an end, oldest first.
    open: VecDeque<u64>,
    tally: Tally,
    /// Large frames to be written without trying to compress them.
    plain_frames: u32,
    /// The time of the last event: a recording's times do not go back.
    latest: Timestamp,
    closed: bool,
}

impl SessionRecorder {
    /// A recorder for a new recording. The sink's file starts with `header` (see [`FileHeader::encode`]).
    pub fn new(
        keys: &RecordingKeys,
        header: &FileHeader,
        sink: Box<dyn Sink>,
        buffers: Arc<RecordingBuffers>,
        options: RecorderOptions,
    ) -> Result<Self, KeyError> {
        let start = ChainEnd {
            hash: header.hash(),
            next_seq: 0,
            bytes: length(&[0; FILE_HEADER_BYTES]),
            open: BTreeSet::new(),
            closed: false,
        };
        SessionRecorder::resume(keys, header, start, 0, sink, buffers, options)
    }

    /// A recorder that goes on behind `end`. `nonce_epoch` must be random and not 0: what the first writer may have
    /// written beyond `end`, and lost, must not share a nonce with what is written now.
    pub fn resume(
        keys: &RecordingKeys,
        header: &FileHeader,
        end: ChainEnd,
        nonce_epoch: u32,
        sink: Box<dyn Sink>,
        buffers: Arc<RecordingBuffers>,
        options: RecorderOptions,
    ) -> Result<Self, KeyError> {
        Ok(SessionRecorder {
            sink,
            cipher: keys.cipher(header.session)?,
            buffers,
            options,
            previous: end.hash,
            next_seq: end.next_seq,
            nonce_epoch,
            nonce_count: 0,
            written_bytes: end.bytes,
            open: end.open.into_iter().collect(),
            tally: Tally::default(),
            plain_frames: 0,
            latest: Timestamp::default(),
            closed: end.closed,
        })
    }

    /// Records one event.
    pub fn append(&mut self, event: Event<'_>, now: Timestamp) -> Result<(), RecordError> {
        self.append_all(&[event], now)
    }

    /// Records several events in one frame: all of them or none.
    pub fn append_all(&mut self, events: &[Event<'_>], now: Timestamp) -> Result<(), RecordError> {
        self.check_order(events)?;
        self.write(events, now, false)
    }

    /// Records part of a result: `data` in the frames of the client's protocol, after masking, with `count` rows that
    /// end in it. Beyond the limit of the request nothing is written but, once, that it was reached.
    pub fn rows(&mut self, request: u64, data: &[u8], count: u64, now: Timestamp) -> Result<(), RecordError> {
        self.append(Event::Rows(Rows { request, count, data: Blob::from(data) }), now)
    }

    /// Whether the limit of this request's result is reached, so that [`Self::rows`] would write nothing more of it.
    pub fn has_cut_rows(&self, request: u64) -> bool {
        self.tally.results.request == request && self.tally.results.cut
    }

    /// Records part of what the client sent in bulk, under the same limit.
    pub fn input(&mut self, request: u64, data: &[u8], now: Timestamp) -> Result<(), RecordError> {
        self.append(Event::Input(Input { request, data: Blob::from(data) }), now)
    }

    /// Ends the recording: every request still open is `aborted`, then the totals, then the leaf in the Merkle log.
    /// After an error it may be called again.
    pub fn close(&mut self, reason: CloseReason, detail: &str, now: Timestamp) -> Result<(), RecordError> {
        if !self.closed {
            let mut events = self.ends_of_open();
            events.push(Event::SessionClosed(SessionClosed {
                reason,
                detail: detail.into(),
                requests: self.tally.requests,
                rows: self.tally.rows,
                bytes: self.tally.bytes,
            }));
            self.write(&events, now, true)?;
            self.closed = true;
        }
        self.finish(now)
    }

    /// Ends a gateway log: `last` is its last event.
    pub fn close_with(&mut self, last: Event<'_>, now: Timestamp) -> Result<(), RecordError> {
        if !self.closed {
            self.write(&[last], now, true)?;
            self.closed = true;
        }
        self.finish(now)
    }

    /// Finishes a recording whose gateway died.
    pub fn recover(&mut self, reason: &str, torn_bytes: u64, now: Timestamp) -> Result<(), RecordError> {
        if !self.closed {
            let mut events = self.ends_of_open();
            let requests = u64::try_from(events.len()).unwrap_or(u64::MAX);
            events.push(Event::Recovered(Recovered { reason: reason.into(), requests, torn_bytes }));
            self.write(&events, now, true)?;
            self.closed = true;
        }
        self.finish(now)
    }

    /// Requests that have no end yet, oldest first.
    pub fn open_requests(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.iter().copied()
    }

    /// The number that the next event will have.
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    fn ends_of_open(&self) -> Vec<Event<'static>> {
        self.open.iter().map(|request| Event::Done(Done::new(*request, DoneKind::Aborted))).collect()
    }

    fn finish(&mut self, now: Timestamp) -> Result<(), RecordError> {
        let segment = Segment { hash: self.previous, events: self.next_seq, bytes: self.written_bytes, time: now };
        Ok(self.sink.finish(&segment)?)
    }

    fn write(&mut self, events: &[Event<'_>], now: Timestamp, last: bool) -> Result<(), RecordError> {
        if self.closed {
            return Err(RecordError::Closed);
        }
        // Of two who write one after the other, the second may have looked at the clock first.
        let now = now.max(self.latest);
        let mut scratch = self.buffers.take();
        let outcome = self.write_frame(&mut scratch, events, now, last);
        self.buffers.give_back(scratch);
        self.tally = outcome?;
        self.latest = now;
        self.note_order(events);
        Ok(())
    }

    /// Every end belongs to a request that was asked, here or before, and has no end. What a recorder appends of itself
    /// when it closes is right by construction and may be long, so it does not come by here.
    fn check_order(&self, events: &[Event<'_>]) -> Result<(), RecordError> {
        for (at, event) in events.iter().enumerate() {
            let earlier = events.get(..at).unwrap_or_default();
            let asked = |request| earlier.iter().any(|e| matches!(e, Event::Asked(a) if a.request == request));
            let ended = |request| earlier.iter().any(|e| matches!(e, Event::Done(d) if d.request == request));
            let wrong = match event {
                Event::Asked(Asked { request, .. }) => (self.is_open(*request) || asked(*request)).then_some(*request),
                Event::Done(Done { request, .. }) => {
                    (ended(*request) || !(self.is_open(*request) || asked(*request))).then_some(*request)
                }
                _ => None,
            };
            if let Some(request) = wrong {
                return Err(RecordError::Order(request));
            }
        }
        Ok(())
    }

    /// Requests mostly end in the order they were asked, so the one looked for is mostly the first or the last.
    fn is_open(&self, request: u64) -> bool {
        self.open.front() == Some(&request) || (self.open.back() >= Some(&request) && self.open.contains(&request))
    }

    fn note_order(&mut self, events: &[Event<'_>]) {
        for event in events {
            match event {
                Event::Asked(asked) => self.open.push_back(asked.request),
                Event::Done(done) => {
                    if let Some(at) = self.open.iter().position(|open| *open == done.request) {
                        self.open.remove(at);
                    }
                }
                _ => {}
            }
        }
        if self.open.is_empty() && self.open.capacity() > 64 {
            self.open = VecDeque::new();
        }
    }

    fn write_frame(
        &mut self,
        scratch: &mut Scratch,
        events: &[Event<'_>],
        now: Timestamp,
        last: bool,
    ) -> Result<Tally, RecordError> {
        let mut tally = self.tally;
        scratch.plain.clear();
        let mut count: u32 = 0;
        for event in events {
            let added = put_bounded(&mut scratch.plain, event, now, &mut tally, self.options.result_bytes_max);
            count = count.saturating_add(added);
            if scratch.plain.len() > RECORD_FRAME_BYTES_MAX {
                return Err(RecordError::TooLarge(scratch.plain.len()));
            }
        }
        if count == 0 {
            return Ok(tally);
        }

        let large = scratch.plain.len() >= RECORD_COMPRESS_LARGE_BYTES;
        let compress = !large || self.plain_frames == 0;
        let after = TAG_BYTES.saturating_add(CHECK_BYTES);
        let (payload_bytes, compressed) = scratch.place_payload(HEADER_BYTES, after, compress);
        if large && !compress {
            self.plain_frames -= 1;
        } else if large && payload_bytes > scratch.plain.len() / 4 * 3 {
            // Compressing takes longer than everything else that is done to a frame: results of random values are not worth it.
            self.plain_frames = RECORD_PLAIN_FRAMES;
        }
        let header = FrameHeader {
            compressed,
            last,
            payload_bytes: u32::try_from(payload_bytes).map_err(|_| RecordError::TooLarge(payload_bytes))?,
            plain_bytes: u32::try_from(scratch.plain.len()).map_err(|_| RecordError::TooLarge(payload_bytes))?,
            events: count,
            first_seq: self.next_seq,
            nonce: self.next_nonce(),
            previous: self.previous,
        };
        let head = header.encode();
        let frame_bytes = HEADER_BYTES.saturating_add(header.rest_bytes());
        let too_large = RecordError::TooLarge(frame_bytes);
        let frame = scratch.frame.get_mut(..frame_bytes).ok_or(too_large.clone())?;
        let (head_slot, rest) = frame.split_at_mut_checked(HEADER_BYTES).ok_or(too_large.clone())?;
        let (payload, rest) = rest.split_at_mut_checked(payload_bytes).ok_or(too_large.clone())?;
        let (tag_slot, _) = rest.split_at_mut_checked(TAG_BYTES).ok_or(too_large.clone())?;
        head_slot.copy_from_slice(&head);
        let summed = head.get(..HEADER_SUMMED_BYTES).unwrap_or(&head);
        tag_slot.copy_from_slice(&self.cipher.seal(header.nonce, summed, payload)?);

        let (hashed, check) = frame.split_at_mut_checked(frame_bytes.saturating_sub(CHECK_BYTES)).ok_or(too_large)?;
        let hash = Digest::of(hashed);
        check.copy_from_slice(hash.0.get(..CHECK_BYTES).unwrap_or_default());

        self.sink.append(frame, &Head { hash, events: header.next_seq(), time: now })?;
        self.previous = hash;
        self.next_seq = header.next_seq();
        self.written_bytes = self.written_bytes.saturating_add(length(frame));
        Ok(tally)
    }

    /// Counts up whether or not the frame is taken: after a failed append other bytes go out, and they may not share
    /// the nonce of bytes that may have touched the disk.
    fn next_nonce(&mut self) -> [u8; 12] {
        let count = self.nonce_count;
        self.nonce_count = self.nonce_count.saturating_add(1);
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(self.nonce_epoch.to_le_bytes().into_iter().chain(count.to_le_bytes())) {
            *to = from;
        }
        nonce
    }
}

/// Appends an event within the limits and returns how many it became.
fn put_bounded(out: &mut Vec<u8>, event: &Event<'_>, now: Timestamp, tally: &mut Tally, limit: u64) -> u32 {
    match event {
        Event::Asked(asked) => {
            tally.requests = tally.requests.saturating_add(1);
            put_asked(out, asked, now);
            1
        }
        Event::Done(done) => {
            tally.rows = tally.rows.saturating_add(done.rows);
            tally.bytes = tally.bytes.saturating_add(done.bytes);
            put_event(out, event, now);
            1
        }
        Event::Rows(Rows { request, count, data }) => {
            match tally.results.admit(*request, length(data.as_bytes()), limit) {
                Some(true) => put_pieces(out, data.as_bytes(), now, |piece, last| {
                    Event::Rows(Rows {
                        request: *request,
                        count: if last { *count } else { 0 },
                        data: Blob::from(piece),
                    })
                }),
                Some(false) => put_cut(out, *request, limit, "rows", now),
                None => 0,
            }
        }
        Event::Input(Input { request, data }) => match tally.inputs.admit(*request, length(data.as_bytes()), limit) {
            Some(true) => put_pieces(out, data.as_bytes(), now, |piece, _| {
                Event::Input(Input { request: *request, data: Blob::from(piece) })
            }),
            Some(false) => put_cut(out, *request, limit, "input", now),
            None => 0,
        },
        _ => {
            put_event(out, event, now);
            1
        }
    }
}

fn put_cut(out: &mut Vec<u8>, request: u64, limit: u64, what: &'static str, now: Timestamp) -> u32 {
    put_event(out, &Event::RowsCut(RowsCut { request, limit, what: what.into() }), now);
    1
}

fn put_pieces<'p>(
    out: &mut Vec<u8>,
    data: &'p [u8],
    now: Timestamp,
    make: impl Fn(&'p [u8], bool) -> Event<'p>,
) -> u32 {
    let mut added = 0;
    let mut pieces = data.chunks(RECORD_PIECE_BYTES_MAX).peekable();
    if pieces.peek().is_none() {
        put_event(out, &make(&[], true), now);
        return 1;
    }
    while let Some(piece) = pieces.next() {
        put_event(out, &make(piece, pieces.peek().is_none()), now);
        added += 1;
    }
    added
}

/// A statement is cut to what an event may hold, its parameters to their own limit; lengths and digest stay whole.
fn put_asked(out: &mut Vec<u8>, asked: &Asked<'_>, now: Timestamp) {
    let parameter_bytes: usize =
        asked.parameters.iter().map(|p| p.value.as_ref().map_or(0, |v| v.as_bytes().len())).sum();
    let text = asked.text.as_bytes();
    if text.len() <= RECORD_EVENT_BYTES_MAX && parameter_bytes <= RECORD_PARAMETER_BYTES_MAX {
        // Borrowed again rather than cloned: this is the hot path.
        put_event(
            out,
            &Event::Asked(reborrow(asked, text, List::Borrowed(&asked.parameters), asked.parameters_cut)),
            now,
        );
        return;
    }
    let text = text.get(..RECORD_EVENT_BYTES_MAX).unwrap_or(text);
    let mut room = RECORD_PARAMETER_BYTES_MAX;
    let parameters = asked.parameters.iter().map(|parameter| {
        let value = parameter.value.as_ref().map(|value| {
            let bytes = value.as_bytes();
            let kept = bytes.get(..room).unwrap_or(bytes);
            room = room.saturating_sub(kept.len());
            Blob::from(kept)
        });
        Parameter { value, format: parameter.format, bytes: parameter.bytes }
    });
    let cut = asked.parameters_cut || parameter_bytes > RECORD_PARAMETER_BYTES_MAX;
    put_event(out, &Event::Asked(reborrow(asked, text, parameters.collect(), cut)), now);
}

fn reborrow<'b>(asked: &'b Asked<'_>, text: &'b [u8], parameters: List<'b, Parameter<'b>>, cut: bool) -> Asked<'b> {
    Asked {
        request: asked.request,
        kind: asked.kind,
        text: Blob::from(text),
        text_bytes: asked.text_bytes,
        digest: asked.digest,
        statement: asked.statement.as_deref().map(Cow::Borrowed),
        portal: asked.portal.as_deref().map(Cow::Borrowed),
        parameters,
        parameters_cut: cut,
    }
}
