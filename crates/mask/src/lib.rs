//! The mask stage: the only maker of bytes that may reach a client (promise 2).
//!
//! A session gives every message of its target to its [`Outbox`], and the client's writer takes only the [`Masked`] bytes
//! that an outbox yields. There is no other way to make a `Masked`. What a row or a COPY may show is a plan
//! ([`RowMasker`], [`CopyMasker`]) that is made once per result: per column pass, or a [`Method`]. Masked values keep the
//! type, the format and NULL of what they stand for, so that clients decode them.
//!
//! This crate does not decide what is sensitive, and it does no I/O. Everything that does not fit its plan is an error, and
//! the session ends: nothing is passed on in doubt (promise 4).

mod builtin;
mod cell;
mod condition;
mod content;
mod content_copy;
mod content_parts;
mod content_pieces;
mod content_rows;
mod copy;
mod copy_binary;
mod copy_text;
mod derived;
mod detokenize;
mod diagnostic;
mod ff1;
mod keys;
mod message;
mod method;
mod nested;
mod numeral;
mod outbox;
mod partial;
mod redacted;
mod row;
mod stream;
mod token;
mod types;

pub use content::{ContentPlan, ContentRule};
pub use copy::{CopyError, CopyFormat, CopyMasker};
pub use detokenize::{Original, TokenError, ValueKind};
pub use diagnostic::{Diagnostic, Touch};
pub use keys::MaskKeys;
pub use message::{MessageError, MessageKind, OwnMessage, described};
pub use method::{Method, UnknownMethod};
pub use outbox::{Mark, Masked, Outbox};
pub use row::{Column, Format, RowError, RowMasker, Rule};
pub use stream::RowStream;
pub use types::{TypeFact, TypeKind, TypeTable};
