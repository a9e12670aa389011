//! The bytes that wait for one client. Its only ways in are the mask stage's, and [`Masked`] is its only way out.
//!
//! A client's writer that accepts only `Masked` cannot be given a target's bytes by any mistake of its caller:
//!
//! ```
//! fn sent(masked: &lockgate_mask::Masked) -> &[u8] {
//!     masked
//! }
//! ```
//! ```compile_fail
//! let forged = lockgate_mask::Masked(bytes::Bytes::from_static(b"a target's bytes"));
//! ```
//! An error leaves the outbox as it was before the call; what it held already may still be sent before the session ends.

use crate::content::ContentPlan;
use crate::content_rows::{Content, Strings};
use crate::copy::{CopyError, CopyMasker};
use crate::diagnostic::{self, Diagnostic, Touch};
use crate::message::{self, MessageError, MessageKind, OwnMessage};
use crate::row::{RowError, RowMasker};
use crate::stream::RowStream;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use lockgate_core::limits::{BUFFER_KEPT_BYTES, PG_MESSAGE_BYTES_MAX};
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that a client may see. Only an [`Outbox`] makes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Masked(Bytes);

impl Masked {
    /// The bytes, for a writer.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Masked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Masked {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// For writers that take a buffer from its front.
impl Buf for Masked {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }
}

/// A place in the stream of bytes that an outbox has taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// The bytes that wait for one client.
#[derive(Default)]
pub struct Outbox {
    bytes: BytesMut,
    /// The bytes that were taken out.
    taken: u64,
    /// More was in it than what an idle client's memory is kept for.
    grown: bool,
    /// Content rules; `None` where there are none for this identity.
    content: Option<Box<Content>>,
}

impl Outbox {
    /// An empty outbox; it allocates with its first message.
    pub fn new() -> Self {
        Outbox::default()
    }

    /// From now on, what the target says is looked into by these rules.
    pub fn set_content(&mut self, plan: Option<Arc<ContentPlan>>) {
        self.content = plan.map(|plan| Box::new(Content::new(plan)));
    }

    /// The content rules that apply.
    pub fn content(&self) -> Option<&Arc<ContentPlan>> {
        self.content.as_ref().map(|content| content.plan())
    }

    /// Appends a row, masked. `body` is a DataRow without its tag and length.
    pub fn row(&mut self, masker: &RowMasker, body: &[u8]) -> Result<(), RowError> {
        let start = self.bytes.len();
        masker.mask(body, &mut self.bytes)?;
        self.look_at_rows(masker, start)
    }

    /// Appends whole DataRow messages that follow one another, masked. A plan that passes every column costs a look at each
    /// message's field count and one copy of the whole.
    pub fn rows(&mut self, masker: &RowMasker, frames: &[u8]) -> Result<(), RowError> {
        if masker.passes_everything() {
            masker.check_frames(frames)?;
            let start = self.bytes.len();
            self.bytes.put_slice(frames);
            return self.look_at_rows(masker, start);
        }
        let start = self.bytes.len();
        self.whole(|out| masker.mask_frames(frames, out))?;
        self.look_at_rows(masker, start)
    }

    /// Applies content rules to the rows from `start` on.
    #[inline]
    fn look_at_rows(&mut self, masker: &RowMasker, start: usize) -> Result<(), RowError> {
        match &mut self.content {
            None => Ok(()),
            Some(content) => content.rows(masker, &mut self.bytes, start),
        }
    }

    /// Appends what may be sent of the next piece of a row that comes in pieces.
    pub fn row_piece(&mut self, row: &mut RowStream, piece: &[u8]) -> Result<(), RowError> {
        match &mut self.content {
            None => row.feed(piece, &mut self.bytes),
            Some(content) => content.row_piece(row, piece, &mut self.bytes),
        }
    }

    /// Appends the next piece of a copy, masked, as one CopyData message, or as none where nothing of it can be sent yet.
    /// `piece` is any part of the copy's data, without the tag and length of CopyData.
    pub fn copy(&mut self, masker: &mut CopyMasker, piece: &[u8]) -> Result<(), CopyError> {
        self.whole(|out| {
            let start = out.len();
            out.reserve(piece.len().saturating_add(5));
            out.put_slice(b"d\0\0\0\0");
            masker.feed(piece, out)?;
            if out.len() == start + 5 {
                out.truncate(start);
                return Ok(());
            }
            set_length(out, start).map_err(|bytes| CopyError::TooLong { bytes, limit: PG_MESSAGE_BYTES_MAX })
        })
    }

    /// Appends a message that carries no values. `body` is without the tag and length.
    pub fn protocol(&mut self, kind: MessageKind, body: &[u8]) -> Result<(), MessageError> {
        kind.check(body)?;
        if let Some(content) = &mut self.content {
            if kind == MessageKind::CommandComplete {
                content.result_ends();
            }
            if kind == MessageKind::RowDescription
                && let Some(body) = content.names(body)
            {
                return self.message(kind.tag(), kind.name(), body.len(), |out| {
                    out.put_slice(&body);
                    Ok(())
                });
            }
        }
        self.message(kind.tag(), kind.name(), body.len(), |out| {
            out.put_slice(body);
            Ok(())
        })
    }

    /// Appends a RowDescription. Columns that are `hidden` are told as `column1`, `column2`, … by their position; columns
    /// beyond the list keep their names.
    pub fn row_description(&mut self, body: &[u8], hidden: &[bool]) -> Result<(), MessageError> {
        let told = message::described(body, hidden)?;
        self.protocol(MessageKind::RowDescription, &told)
    }

    /// Appends an error or a notice of the target: as it is, or without the target's words.
    pub fn diagnostic(&mut self, kind: Diagnostic, body: &[u8], touch: Touch) -> Result<(), MessageError> {
        if let Some(content) = &mut self.content
            && kind == Diagnostic::Error
        {
            content.result_ends();
        }
        let start = self.bytes.len();
        self.message(kind.tag(), kind.name(), body.len(), |out| diagnostic::put(kind, body, touch, out))?;
        self.look_at_strings(start, Strings::Coded)
    }

    /// Appends a NotificationResponse: as it is, or without its payload.
    pub fn notification(&mut self, body: &[u8], touch: Touch) -> Result<(), MessageError> {
        let start = self.bytes.len();
        self.message(b'A', "NotificationResponse", body.len(), |out| diagnostic::put_notification(body, touch, out))?;
        // The process that notifies is a number of four bytes.
        self.look_at_strings(start, Strings::After(4))
    }

    /// Appends a ParameterStatus, or nothing where its value may be a labelled one.
    pub fn parameter_status(&mut self, body: &[u8], touch: Touch) -> Result<(), MessageError> {
        if !diagnostic::shows_parameter(body, touch)? {
            return Ok(());
        }
        let start = self.bytes.len();
        self.message(b'S', "ParameterStatus", body.len(), |out| {
            out.put_slice(body);
            Ok(())
        })?;
        self.look_at_strings(start, Strings::After(0))
    }

    /// Applies content rules to the strings of the message from `start` on.
    fn look_at_strings(&mut self, start: usize, which: Strings) -> Result<(), MessageError> {
        match &mut self.content {
            None => Ok(()),
            Some(content) => content.strings(&mut self.bytes, start, which),
        }
    }

    /// Appends the result of a function call, masked by a plan of one column.
    pub fn function_result(&mut self, masker: &RowMasker, body: &[u8]) -> Result<(), RowError> {
        if masker.columns() != 1 {
            return Err(RowError::FieldCount { expected: masker.columns(), got: 1 });
        }
        let start = self.bytes.len();
        self.whole(|out| {
            out.put_slice(b"V\0\0\0\0");
            masker.mask_fields(body, out)?;
            set_length(out, start).map_err(|bytes| RowError::TooLong { bytes, limit: PG_MESSAGE_BYTES_MAX })
        })?;
        match &mut self.content {
            None => Ok(()),
            Some(content) => content.function_result(masker, &mut self.bytes, start),
        }
    }

    /// Appends bytes of a stream that cannot be taken apart (replication), where nothing in it has to be masked.
    pub fn opaque(&mut self, bytes: &[u8], touch: Touch) -> Result<(), MessageError> {
        match touch {
            Touch::Clean => {
                self.bytes.put_slice(bytes);
                Ok(())
            }
            Touch::Labelled => Err(MessageError::Unmaskable),
        }
    }

    /// Appends a message of the gateway's own.
    pub fn own(&mut self, message: &OwnMessage) {
        self.bytes.put_slice(message.as_bytes());
    }

    /// Everything that waits, to be written; the outbox is empty afterwards. Its memory is used again once the taken bytes
    /// are dropped.
    pub fn take(&mut self) -> Masked {
        self.taken = self.taken.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX));
        self.grown |= self.bytes.len() > BUFFER_KEPT_BYTES;
        Masked(self.bytes.split().freeze())
    }

    /// The number of bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Gives the memory of an empty outbox back, for a client that is idle; what is little anyway is kept for its next message.
    pub fn shrink(&mut self) {
        if self.grown && self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.grown = false;
        }
    }

    /// The place after the last byte that was appended.
    pub fn mark(&self) -> Mark {
        Mark(self.taken.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)))
    }

    /// What was appended after `mark` and still waits: what the client will see of it, for the recording.
    pub fn bytes_since(&self, mark: Mark) -> &[u8] {
        usize::try_from(mark.0.saturating_sub(self.taken))
            .ok()
            .and_then(|from| self.bytes.get(from..))
            .unwrap_or_default()
    }

    /// Lets `put` append; what it appended before an error goes again.
    fn whole<E>(&mut self, put: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<(), E> {
        let before = self.bytes.len();
        let result = put(&mut self.bytes);
        if result.is_err() {
            self.bytes.truncate(before);
        }
        result
    }

    /// Appends one message whose body `put` makes.
    fn message(
        &mut self,
        tag: u8,
        kind: &'static str,
        bytes: usize,
        put: impl FnOnce(&mut BytesMut) -> Result<(), MessageError>,
    ) -> Result<(), MessageError> {
        if bytes > PG_MESSAGE_BYTES_MAX - 4 {
            return Err(MessageError::TooLong { kind, bytes, limit: PG_MESSAGE_BYTES_MAX - 4 });
        }
        self.whole(|out| {
            let start = out.len();
            out.reserve(bytes.saturating_add(5));
            out.put_u8(tag);
            out.put_i32(0);
            put(out)?;
            set_length(out, start).map_err(|bytes| MessageError::TooLong { kind, bytes, limit: PG_MESSAGE_BYTES_MAX })
        })
    }
}

/// Writes the length of the message that begins at `start` and ends with the buffer; its length where that is too long.
pub(crate) fn set_length(out: &mut BytesMut, start: usize) -> Result<(), usize> {
    let bytes = out.len().saturating_sub(start + 1);
    let length = i32::try_from(bytes).ok().filter(|_| bytes <= PG_MESSAGE_BYTES_MAX).ok_or(bytes)?;
    if let Some(place) = out.get_mut(start + 1..start + 5) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}
