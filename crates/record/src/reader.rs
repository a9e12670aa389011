//! Reads a recording and judges it: frame by frame, from anything that can be read, holding one frame at a time.
//!
//! Without keys it follows the chain: lengths, numbers, hashes. With keys it opens each frame and yields its events. It
//! stops at the first thing that is wrong and names it by the number of the first event it touches; whether that is a
//! torn tail after a crash or somebody's work is decided from whole files, by what comes behind it.

use crate::event::{Event, Recorded, read_event};
use crate::frame::{CHECK_BYTES, FILE_HEADER_BYTES, FileHeader, FrameHeader, HEADER_BYTES, HEADER_SUMMED_BYTES};
use crate::keys::{Cipher, KeyError, RecordingKeys};
use crate::wire::{Decoder, Digest};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

/// What is wrong with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DamageKind {
    /// Bytes were changed.
    Altered,
    /// Events are gone from the middle.
    Missing,
    /// Events stand in another order, or twice.
    Reordered,
    /// The end is gone.
    Truncated,
    /// The last write was cut short, as a crash does; nothing before it is touched.
    Torn,
    /// The whole recording is gone.
    Deleted,
    /// The recording is not in the Merkle log, or the log's signature does not hold.
    Unsigned,
}

impl DamageKind {
    /// The word for it in reports.
    pub const fn name(self) -> &'static str {
        match self {
            DamageKind::Altered => "altered",
            DamageKind::Missing => "missing",
            DamageKind::Reordered => "reordered",
            DamageKind::Truncated => "truncated",
            DamageKind::Torn => "torn",
            DamageKind::Deleted => "deleted",
            DamageKind::Unsigned => "unsigned",
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first thing wrong with a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What it is.
    pub kind: DamageKind,
    /// The number of the first event that it touches.
    pub seq: u64,
    /// Where in the file, in bytes from its start.
    pub offset: u64,
    /// What was found, in words.
    pub detail: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} {} (byte {}): {}", self.seq, self.kind, self.offset, self.detail)
    }
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the recording cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The recording is not as it was written.
    #[error("the recording is damaged: {0}")]
    Damaged(Damage),
    /// The keys do not work.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Where a chain stands after its last sound frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEnd {
    /// The last frame's hash, or the file header's where there is no frame.
    pub hash: Digest,
    /// The number that the next event would have.
    pub next_seq: u64,
    /// Length in bytes up to here.
    pub bytes: u64,
    /// Requests without an end; known only when the frames were opened.
    pub open: BTreeSet<u64>,
    /// Whether the last frame says that no other follows.
    pub closed: bool,
}

/// A sound frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameInfo {
    /// Where it begins, in bytes from the file's start.
    pub offset: u64,
    /// Its length with header and check.
    pub bytes: u64,
    /// The number of its first event.
    pub first_seq: u64,
    /// How many events it holds.
    pub events: u32,
}

/// Reads one recording from its start.
pub struct RecordingReader<R> {
    from: R,
    header: FileHeader,
    cipher: Option<Cipher>,
    end: ChainEnd,
    /// Header, payload, tag and check of the frame at hand.
    frame: Vec<u8>,
    plain: Vec<u8>,
    /// The first event of the frame before the one at hand.
    last_first_seq: u64,
    stopped: bool,
    /// Stopped by what no writing explains.
    damaged: bool,
}

impl<R: Read> RecordingReader<R> {
    /// Reads the file's header. With `keys`, frames will be opened; without, only followed.
    pub fn new(mut from: R, keys: Option<&RecordingKeys>) -> Result<Self, ReadError> {
        let mut bytes = [0; FILE_HEADER_BYTES];
        let got = fill(&mut from, &mut bytes)?;
        let damaged =
            |kind, detail: &str| ReadError::Damaged(Damage { kind, seq: 0, offset: 0, detail: detail.to_owned() });
        if got < FILE_HEADER_BYTES {
            return Err(damaged(DamageKind::Torn, "the file ends inside its header"));
        }
        let header = FileHeader::decode(&bytes)
            .ok_or_else(|| damaged(DamageKind::Altered, "the file's header is not what was written"))?;
        let cipher = keys.map(|keys| keys.cipher(header.session)).transpose()?;
        let end = ChainEnd {
            hash: header.hash(),
            next_seq: 0,
            bytes: u64::try_from(FILE_HEADER_BYTES).unwrap_or(u64::MAX),
            open: BTreeSet::new(),
            closed: false,
        };
        Ok(RecordingReader {
            from,
            header,
            cipher,
            end,
            frame: Vec::new(),
            plain: Vec::new(),
            last_first_seq: 0,
            stopped: false,
            damaged: false,
        })
    }

    /// The file's header.
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Where the chain stands after the frames read so far.
    pub const fn end(&self) -> &ChainEnd {
        &self.end
    }

    /// Checks the next frame; `None` at a clean end. After an error it yields `None` for ever.
    pub fn next_frame(&mut self) -> Result<Option<FrameInfo>, ReadError> {
        if self.stopped {
            return Ok(None);
        }
        let outcome = self.check_frame();
        if !matches!(outcome, Ok(Some(_))) {
            self.stopped = true;
        }
        let torn = |damage: &Damage| damage.kind == DamageKind::Torn;
        self.damaged = matches!(&outcome, Err(error) if !matches!(error, ReadError::Damaged(damage) if torn(damage)));
        outcome
    }

    /// The events of the next frame, in order; `None` at a clean end. Needs keys: without, it yields no events.
    pub fn next_events(&mut self) -> Result<Option<Vec<Recorded<'static>>>, ReadError> {
        let Some(info) = self.next_frame()? else { return Ok(None) };
        let mut events = Vec::new();
        if self.cipher.is_some() {
            let undecodable = |detail: String| {
                let kind = DamageKind::Altered;
                ReadError::Damaged(Damage { kind, seq: info.first_seq, offset: info.offset, detail })
            };
            let mut from = Decoder::new(&self.plain);
            for seq in (info.first_seq..).take(usize::try_from(info.events).unwrap_or(0)) {
                let (time, event) = read_event(&mut from).map_err(|error| undecodable(error.to_string()))?;
                events.push(Recorded { seq, time, event });
            }
            from.finish().map_err(|error| undecodable(error.to_string()))?;
            for recorded in &events {
                match &recorded.event {
                    Event::Asked(asked) => {
                        self.end.open.insert(asked.request);
                    }
                    Event::Done(done) => {
                        self.end.open.remove(&done.request);
                    }
                    _ => {}
                }
            }
        }
        Ok(Some(events))
    }

    fn damage(&self, kind: DamageKind, detail: impl Into<String>) -> ReadError {
        ReadError::Damaged(Damage { kind, seq: self.end.next_seq, offset: self.end.bytes, detail: detail.into() })
    }

    fn check_frame(&mut self) -> Result<Option<FrameInfo>, ReadError> {
        let mut head = [0; HEADER_BYTES];
        let got = fill(&mut self.from, &mut head)?;
        if got == 0 {
            return Ok(None);
        }
        if self.end.closed {
            return Err(self.damage(DamageKind::Altered, "something follows the last frame"));
        }
        if got < HEADER_BYTES {
            return Err(self.damage(DamageKind::Torn, format!("the file ends after {got} bytes of a frame's header")));
        }
        let Some(header) = FrameHeader::decode(&head) else {
            return Err(self.damage(DamageKind::Altered, "no sound frame header where one must be"));
        };
        self.frame.clear();
        self.frame.extend_from_slice(&head);
        let rest = header.rest_bytes();
        let room = u64::try_from(rest).unwrap_or(u64::MAX);
        let read = (&mut self.from).take(room).read_to_end(&mut self.frame)?;
        if read < rest {
            return Err(self.damage(
                DamageKind::Torn,
                format!("the file ends {} bytes before the end of a frame", rest.saturating_sub(read)),
            ));
        }
        let hash = self.judge(&header)?;
        self.open(&header)?;

        let bytes = u64::try_from(self.frame.len()).unwrap_or(u64::MAX);
        let info = FrameInfo { offset: self.end.bytes, bytes, first_seq: header.first_seq, events: header.events };
        self.end.hash = hash;
        self.last_first_seq = header.first_seq;
        self.end.next_seq = header.next_seq();
        self.end.bytes = self.end.bytes.saturating_add(bytes);
        self.end.closed = header.last;
        // A frame may be large; a reader that goes on does not keep the room for it.
        if self.frame.capacity() > lockgate_core::limits::RECORD_BUFFER_BYTES_KEPT {
            self.frame = Vec::new();
        }
        Ok(Some(info))
    }

    /// The frame by itself, then its place. Returns its hash.
    fn judge(&mut self, header: &FrameHeader) -> Result<Digest, ReadError> {
        let hashed = self.frame.len().saturating_sub(CHECK_BYTES);
        let (hashed, check) = self.frame.split_at_checked(hashed).unwrap_or_default();
        let hash = Digest::of(hashed);
        if hash.0.get(..CHECK_BYTES) != Some(check) {
            return Err(self.damage(DamageKind::Altered, "the frame does not match its own hash"));
        }
        if header.previous != self.end.hash || header.first_seq != self.end.next_seq {
            let (expected, found) = (self.end.next_seq, header.first_seq);
            return Err(if found > expected {
                if self.stands_later(expected)? {
                    self.damage(DamageKind::Reordered, format!("event {found} stands before event {expected}"))
                } else {
                    self.damage(DamageKind::Missing, format!("event {found} follows where event {expected} must be"))
                }
            } else if found < expected {
                self.damage(DamageKind::Reordered, format!("event {found} stands again where event {expected} must be"))
            } else {
                // Sound in itself and in its number, but made for another neighbour: the one before was replaced.
                let mut damage = Damage {
                    kind: DamageKind::Altered,
                    seq: self.last_first_seq,
                    offset: self.end.bytes,
                    detail: format!("event {expected} is not chained to what stands before it"),
                };
                if expected == 0 {
                    damage.detail = "the first frame belongs to another file header".to_owned();
                }
                ReadError::Damaged(damage)
            });
        }
        Ok(hash)
    }

    /// Whether a frame that begins with event `seq` comes somewhere behind the one at hand.
    fn stands_later(&mut self, seq: u64) -> io::Result<bool> {
        let mut head = [0; HEADER_BYTES];
        while fill(&mut self.from, &mut head)? == HEADER_BYTES {
            let Some(header) = FrameHeader::decode(&head) else { return Ok(false) };
            if header.first_seq == seq {
                return Ok(true);
            }
            let rest = u64::try_from(header.rest_bytes()).unwrap_or(u64::MAX);
            io::copy(&mut (&mut self.from).take(rest), &mut io::sink())?;
        }
        Ok(false)
    }

    fn open(&mut self, header: &FrameHeader) -> Result<(), ReadError> {
        let Some(cipher) = &self.cipher else { return Ok(()) };
        let sealed_end = self.frame.len().saturating_sub(CHECK_BYTES);
        let (head, sealed) =
            self.frame.get_mut(..sealed_end).and_then(|f| f.split_at_mut_checked(HEADER_BYTES)).unwrap_or_default();
        let summed = head.get(..HEADER_SUMMED_BYTES).unwrap_or_default();
        let opened = match cipher.open(header.nonce, summed, sealed) {
            None => Err("the frame was not sealed with this gateway's key"),
            Some(payload) if header.compressed => {
                self.plain.clear();
                self.plain.resize(usize::try_from(header.plain_bytes).unwrap_or(0), 0);
                match lz4_flex::block::decompress_into(payload, &mut self.plain) {
                    Ok(length) if length == self.plain.len() => Ok(()),
                    Ok(_) | Err(_) => Err("the frame's payload does not decompress"),
                }
            }
            Some(payload) => {
                self.plain.clear();
                self.plain.extend_from_slice(payload);
                Ok(())
            }
        };
        opened.map_err(|detail| self.damage(DamageKind::Altered, detail))
    }
}

impl<R: Read + Seek> RecordingReader<R> {
    /// Goes back to the end of the last sound frame, to read what was added behind it since. False where nothing can
    /// follow, because the recording has ended or is damaged.
    pub fn again(&mut self) -> io::Result<bool> {
        if self.end.closed || self.damaged {
            return Ok(false);
        }
        self.from.seek(SeekFrom::Start(self.end.bytes))?;
        self.stopped = false;
        Ok(true)
    }
}

/// Fills `to` as far as the source goes and returns how far that was.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(room) = to.get_mut(got..).filter(|room| !room.is_empty()) {
        match from.read(room) {
            Ok(0) => break,
            Ok(count) => got = got.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
