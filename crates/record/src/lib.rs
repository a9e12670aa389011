//! Sealed, tamper-evident recordings of sessions (DESIGN section 9): what happened, in an order that cannot be altered
//! unseen.
//!
//! The layers, from the inside out: [`Event`] is what can be said; a frame is one or more events compressed, encrypted
//! and chained to the frame before ([`SessionRecorder`] writes them, [`RecordingReader`] reads them); a recording is the
//! frames of one session; the Merkle log ([`Leaf`], [`MerkleTree`]) has a leaf for each recording's beginning and end;
//! a [`Checkpoint`] signs the log. [`Replay`] and [`JsonLines`] turn events into something to read.
//!
//! Nothing here opens a file, reads a clock or starts a thread: bytes leave through a [`Sink`], time and randomness come
//! in as arguments. Files are `lockgate-store`'s journal. The format is described in `docs/recordings.md`.

mod buffers;
mod certificates;
mod event;
mod export;
mod frame;
mod keys;
mod leaf;
mod merkle;
mod note;
mod reader;
mod recorder;
mod replay;
mod result;
mod sink;
mod visible;
mod wire;

pub use buffers::RecordingBuffers;
pub use certificates::{Certificates, Certified};
pub use event::{
    Administered, ApprovalDecided, Asked, Cancelled, Certificate, CertifiedColumn, CertifiedRule, CertifiedStatement,
    CertifiedUse, CloseReason, Column, Columns, ConfigReloaded, Decided, Detokenized, Done, DoneKind, Event, Failure,
    GatewayStarted, GatewayStopped, Held, HoldOutcome, Input, Judged, LoginFailed, MaskUse, Notice, Origin, Parameter,
    Party, PolicyLoaded, PolicyRef, Recorded, Recovered, RequestKind, Rows, RowsCut, SessionClosed, SessionCut,
    SessionOpened, Setting, TokenCreated, TokenRevoked, TokenUsed, Touch, VerdictKind, decode_events, encode_event,
};

pub use export::JsonLines;
pub use frame::{FILE_HEADER_BYTES, FileHeader, RecordingKind};
pub use keys::{KeyError, RecordingKeys, RecordingPublicKey};
pub use leaf::{LEAF_BYTES, Leaf, LeafKind};
pub use merkle::MerkleTree;
pub use note::{Checkpoint, NoteError};
pub use reader::{ChainEnd, Damage, DamageKind, FrameInfo, ReadError, RecordingReader};
pub use recorder::{RecordError, RecorderOptions, SessionRecorder};

pub use replay::Replay;
pub use sink::{Head, MemorySink, Segment, Sink, SinkError};
pub use visible::{visible, visible_line};
pub use wire::{Blob, DecodeError, Digest, List};
