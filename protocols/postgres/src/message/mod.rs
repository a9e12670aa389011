//! What the messages of the protocol say: borrowed views of their bodies (PostgreSQL 18 documentation, 54.7 to 54.9).
//!
//! A view is made by `decode`, which checks the whole body once; afterwards its iterators cannot fail. Views own nothing
//! and convert nothing: text is bytes, because its encoding is the session's affair. Rows are the exception: they are
//! read cell by cell ([`Cells`]), so that a wide one is walked once. Encoding is in [`crate::own`].

mod auth;
mod backend;
mod frontend;
mod reader;
mod report;

pub use auth::{Authentication, BackendKeyData, Mechanisms, NegotiateProtocolVersion, SaslInitialResponse, password};
pub use backend::{
    CommandComplete, CopyResponse, Field, Fields, FunctionCallResponse, NotificationResponse, ParameterDescription,
    ParameterStatus, ReadyForQuery, RowDescription, TransactionStatus,
};
pub use frontend::{Bind, Close, CopyFail, Describe, Execute, FunctionCall, Object, Parse, Query, empty};
pub use reader::{Cells, DecodeError, FormatCode, Formats, Oids, Reader, Values};
pub use report::{Report, ReportFields, code};
