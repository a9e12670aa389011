//! The proof that policy allowed a request and that it is on record, and the only door to the target, which takes it.
//!
//! A [`Permit`] has private fields and no `Clone`; only [`crate::Session`] makes one, after the request and its verdict
//! have been written. [`TargetOutbox::request`] consumes it. Frames that carry no request of their own pass through
//! [`TargetOutbox::plumbing`], which names each kind.

use bytes::{Bytes, BytesMut};
use lockgate_core::limits::BUFFER_KEPT_BYTES;

/// Leave to send one request to the target, once.
///
/// ```
/// fn once(permit: lockgate_session::Permit, out: &mut lockgate_session::TargetOutbox) {
///     out.request(permit, b"Q");
/// }
/// ```
/// ```compile_fail
/// fn twice(permit: lockgate_session::Permit, out: &mut lockgate_session::TargetOutbox) {
///     out.request(permit, b"Q");
///     out.request(permit, b"Q");
/// }
/// ```
/// It is not copied, and nobody else makes one:
/// ```compile_fail
/// fn twice(permit: lockgate_session::Permit, out: &mut lockgate_session::TargetOutbox) {
///     out.request(permit.clone(), b"Q");
///     out.request(permit, b"Q");
/// }
/// ```
/// ```compile_fail
/// fn forged(out: &mut lockgate_session::TargetOutbox) {
///     out.request(lockgate_session::Permit { request: 1 }, b"Q");
/// }
/// ```
/// ```compile_fail
/// fn forged(out: &mut lockgate_session::TargetOutbox) {
///     out.request(lockgate_session::Permit::new(1), b"Q");
/// }
/// ```
#[must_use = "a permit that is not spent means that the request is not forwarded"]
pub struct Permit {
    request: u64,
}

impl Permit {
    pub(crate) fn new(request: u64) -> Self {
        Permit { request }
    }

    /// The number of the request in its session.
    pub fn request(&self) -> u64 {
        self.request
    }
}

/// Frames to the target that are not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plumbing {
    /// The gateway's own login with the target's credential.
    Login,
    /// The gateway's own question: about the catalog or the session's state, with texts of this program and no words of the
    /// client; about the columns of a copied query, which is described and never run; about the sizes of groups, where the
    /// conditions are those of a statement that was judged and allowed, which call nothing but built-in functions.
    Inquiry,
    /// End of a batch, or a request to flush: carries nothing.
    Sync,
    /// Describe or Close of something that was permitted when it was made.
    Reference,
    /// Parameters for a statement; it runs only with an Execute, which needs a permit.
    Bind,
    /// Rows that follow a permitted COPY FROM, and what a client says within a permitted replication stream.
    CopyData,
    /// BEGIN, COMMIT or ROLLBACK around one statement whose labels have to be kept before anybody sees what it wrote.
    Bracket,
    /// Makes the target fail the open transaction after a refusal; its text is a constant of this program.
    Abort,
    /// The end of the connection.
    Terminate,
}

/// Bytes on their way to the target.
#[derive(Default)]
pub struct TargetOutbox {
    bytes: BytesMut,
    /// More was in it than what an idle session's memory is kept for.
    grown: bool,
}

impl TargetOutbox {
    /// An empty one.
    pub fn new() -> Self {
        TargetOutbox::default()
    }

    /// Sends a request, and with it spends its permit.
    pub fn request(&mut self, permit: Permit, frame: &[u8]) {
        let Permit { request: _ } = permit;
        self.bytes.extend_from_slice(frame);
    }

    /// Sends what is no request.
    pub fn plumbing(&mut self, kind: Plumbing, frame: &[u8]) {
        let _ = kind;
        self.bytes.extend_from_slice(frame);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes what waits, for the relay to write.
    pub fn take(&mut self) -> Bytes {
        self.grown |= self.bytes.len() > BUFFER_KEPT_BYTES;
        self.bytes.split().freeze()
    }

    /// Gives memory back when idle; what is little anyway is kept for the next message.
    pub fn shrink(&mut self) {
        if self.grown && self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.grown = false;
        }
    }
}
