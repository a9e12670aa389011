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
    RECORD_COMPRESS_LARGE_BYTES, RECORD_EVENT_BYTES_MAX, RECORD_FRAME_BYTES_FULL, RECORD_FRAME_BYTES_MAX,
    RECORD_PARAMETER_BYTES_MAX, RECORD_PIECE_BYTES_MAX, RECORD_PLAIN_FRAMES, RECORD_RESULT_BYTES_MAX,
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
    /// An event is larger than a frame may be.
    #[error("an event of {0} bytes does not fit a frame")]
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

/// The frames that one append makes: where the chain stands behind them, and what is to be sealed next.
struct Run {
    previous: Digest,
    next_seq: u64,
    /// Of the frames that are sealed.
    bytes: usize,
    /// Of the frame that is being made.
    events: u32,
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

    /// Records several events: all of them or none. They come in one frame, or where they are too long for one, in several.
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
        let outcome = self.write_frames(&mut scratch, events, now, last);
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

    /// Writes the events in as many frames as they need, which is nearly always one, and hands them to the sink together.
    fn write_frames(
        &mut self,
        scratch: &mut Scratch,
        events: &[Event<'_>],
        now: Timestamp,
        last: bool,
    ) -> Result<Tally, RecordError> {
        let mut tally = self.tally;
        let mut run = Run { previous: self.previous, next_seq: self.next_seq, bytes: 0, events: 0 };
        let limit = self.options.result_bytes_max;
        scratch.plain.clear();
        for event in events {
            put_bounded(event, &mut tally, limit, &mut |event| {
                if scratch.plain.len() >= RECORD_FRAME_BYTES_FULL {
                    self.seal(scratch, &mut run, false)?;
                }
                put_event(&mut scratch.plain, event, now);
                run.events = run.events.saturating_add(1);
                Ok(())
            })?;
        }
        if run.events == 0 {
            return Ok(tally);
        }
        self.seal(scratch, &mut run, last)?;
        let frames = scratch.frame.get(..run.bytes).ok_or(RecordError::TooLarge(run.bytes))?;
        self.sink.append(frames, &Head { hash: run.previous, events: run.next_seq, time: now })?;
        self.previous = run.previous;
        self.next_seq = run.next_seq;
        self.written_bytes = self.written_bytes.saturating_add(length(frames));
        Ok(tally)
    }

    /// Makes a frame of the events that are in `scratch`, behind the frames that are there already.
    fn seal(&mut self, scratch: &mut Scratch, run: &mut Run, last: bool) -> Result<(), RecordError> {
        let plain_bytes = scratch.plain.len();
        if plain_bytes > RECORD_FRAME_BYTES_MAX {
            return Err(RecordError::TooLarge(plain_bytes));
        }
        let large = plain_bytes >= RECORD_COMPRESS_LARGE_BYTES;
        let compress = !large || self.plain_frames == 0;
        let after = TAG_BYTES.saturating_add(CHECK_BYTES);
        let (payload_bytes, compressed) =
            scratch.place_payload(run.bytes.saturating_add(HEADER_BYTES), after, compress);
        if large && !compress {
            self.plain_frames -= 1;
        } else if large && payload_bytes > plain_bytes / 4 * 3 {
            // Compressing takes longer than everything else that is done to a frame: results of random values are not worth it.
            self.plain_frames = RECORD_PLAIN_FRAMES;
        }
        let header = FrameHeader {
            compressed,
            last,
            payload_bytes: u32::try_from(payload_bytes).map_err(|_| RecordError::TooLarge(payload_bytes))?,
            plain_bytes: u32::try_from(plain_bytes).map_err(|_| RecordError::TooLarge(payload_bytes))?,
            events: run.events,
            first_seq: run.next_seq,
            nonce: self.next_nonce(),
            previous: run.previous,
        };
        let head = header.encode();
        let end = run.bytes.saturating_add(HEADER_BYTES).saturating_add(header.rest_bytes());
        let too_large = RecordError::TooLarge(end);
        let frame = scratch.frame.get_mut(run.bytes..end).ok_or(too_large.clone())?;
        let (head_slot, rest) = frame.split_at_mut_checked(HEADER_BYTES).ok_or(too_large.clone())?;
        let (payload, rest) = rest.split_at_mut_checked(payload_bytes).ok_or(too_large.clone())?;
        let (tag_slot, _) = rest.split_at_mut_checked(TAG_BYTES).ok_or(too_large.clone())?;
        head_slot.copy_from_slice(&head);
        let summed = head.get(..HEADER_SUMMED_BYTES).unwrap_or(&head);
        tag_slot.copy_from_slice(&self.cipher.seal(header.nonce, summed, payload)?);

        let (hashed, check) = frame.split_at_mut_checked(frame.len().saturating_sub(CHECK_BYTES)).ok_or(too_large)?;
        let hash = Digest::of(hashed);
        check.copy_from_slice(hash.0.get(..CHECK_BYTES).unwrap_or_default());

        *run = Run { previous: hash, next_seq: header.next_seq(), bytes: end, events: 0 };
        scratch.plain.clear();
        Ok(())
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

/// Takes an event into the frame that is being made.
type Put<'p> = dyn FnMut(&Event<'_>) -> Result<(), RecordError> + 'p;

/// Puts an event within the limits: cut where it is too long, in pieces where it is a stream.
fn put_bounded(event: &Event<'_>, tally: &mut Tally, limit: u64, put: &mut Put<'_>) -> Result<(), RecordError> {
    match event {
        Event::Asked(asked) => {
            tally.requests = tally.requests.saturating_add(1);
            put_asked(asked, put)
        }
        Event::Done(done) => {
            tally.rows = tally.rows.saturating_add(done.rows);
            tally.bytes = tally.bytes.saturating_add(done.bytes);
            put(event)
        }
        Event::Rows(Rows { request, count, data }) => {
            let pieces = Pieces { request: *request, limit, what: "rows", data: data.as_bytes() };
            pieces.put(&mut tally.results, put, |piece, last| {
                Event::Rows(Rows { request: *request, count: if last { *count } else { 0 }, data: Blob::from(piece) })
            })
        }
        Event::Input(Input { request, data }) => {
            let pieces = Pieces { request: *request, limit, what: "input", data: data.as_bytes() };
            pieces.put(&mut tally.inputs, put, |piece, _| {
                Event::Input(Input { request: *request, data: Blob::from(piece) })
            })
        }
        _ => put(event),
    }
}

/// Part of one request's stream, to be recorded in pieces up to the stream's limit.
struct Pieces<'p> {
    request: u64,
    limit: u64,
    what: &'static str,
    data: &'p [u8],
}

impl<'p> Pieces<'p> {
    fn put(
        &self,
        meter: &mut Meter,
        put: &mut Put<'_>,
        make: impl Fn(&'p [u8], bool) -> Event<'p>,
    ) -> Result<(), RecordError> {
        let mut rest = self.data;
        loop {
            let (piece, after) = rest.split_at_checked(RECORD_PIECE_BYTES_MAX).unwrap_or((rest, &[]));
            match meter.admit(self.request, length(piece), self.limit) {
                Some(true) => put(&make(piece, after.is_empty()))?,
                Some(false) => {
                    let cut = RowsCut { request: self.request, limit: self.limit, what: self.what.into() };
                    return put(&Event::RowsCut(cut));
                }
                None => return Ok(()),
            }
            if after.is_empty() {
                return Ok(());
            }
            rest = after;
        }
    }
}

/// A statement is cut to what an event may hold, its parameters to their own limit; lengths and digest stay whole.
fn put_asked(asked: &Asked<'_>, put: &mut Put<'_>) -> Result<(), RecordError> {
    let parameter_bytes: usize =
        asked.parameters.iter().map(|p| p.value.as_ref().map_or(0, |v| v.as_bytes().len())).sum();
    let text = asked.text.as_bytes();
    if text.len() <= RECORD_EVENT_BYTES_MAX && parameter_bytes <= RECORD_PARAMETER_BYTES_MAX {
        // Borrowed again rather than cloned: this is the hot path.
        return put(&Event::Asked(reborrow(asked, text, List::Borrowed(&asked.parameters), asked.parameters_cut)));
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
    put(&Event::Asked(reborrow(asked, text, parameters.collect(), cut)))
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
