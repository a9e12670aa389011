//! The outbox as a buffer: marks, taking, memory, and the messages that carry no values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod support;

use lockgate_mask::{Diagnostic, Format, MessageError, MessageKind, Outbox, OwnMessage, Touch};
use support::{body, messages, pass, plan};

#[test]
fn messages_are_framed_and_errors_leave_nothing() {
    let mut outbox = Outbox::new();
    outbox.protocol(MessageKind::CommandComplete, b"SELECT 1\0").unwrap();
    outbox.protocol(MessageKind::ReadyForQuery, b"I").unwrap();
    outbox.diagnostic(Diagnostic::Error, b"SERROR\0C22P02\0Mwords\0\0", Touch::Clean).unwrap();
    outbox.diagnostic(Diagnostic::Notice, b"SNOTICE\0C00000\0Mwords\0\0", Touch::Labelled).unwrap();
    outbox.notification(b"\0\0\0\x01c\0p\0", Touch::Labelled).unwrap();
    outbox.parameter_status(b"TimeZone\0UTC\0", Touch::Clean).unwrap();
    outbox.parameter_status(b"TimeZone\0<123-45-6789>0\0", Touch::Labelled).unwrap();
    outbox.own(&OwnMessage::not_target_data(support::message(b'K', &[0; 8])));

    let before = outbox.len();
    assert_eq!(outbox.protocol(MessageKind::NoData, b"x"), Err(MessageError::Malformed("NoData")));
    assert!(outbox.diagnostic(Diagnostic::Error, b"Mwords", Touch::Clean).is_err());
    assert!(outbox.notification(b"\0\0\0", Touch::Clean).is_err());
    assert_eq!(outbox.len(), before);

    let sent = messages(&outbox.take());
    assert_eq!(sent.iter().map(|(tag, _)| char::from(*tag)).collect::<String>(), "CZENASK");
    assert_eq!(sent[2].1, b"SERROR\0C22P02\0Mwords\0\0");
    assert!(!support::contains(&sent[3].1, b"words"));
    assert_eq!(sent[4].1, b"\0\0\0\x01c\0\0");
}

#[test]
fn marks_show_what_was_appended() {
    let mut outbox = Outbox::new();
    let ready = |outbox: &mut Outbox| outbox.protocol(MessageKind::ReadyForQuery, b"I").unwrap();
    ready(&mut outbox);
    let mark = outbox.mark();
    assert_eq!(outbox.bytes_since(mark), b"");
    ready(&mut outbox);
    assert_eq!(outbox.bytes_since(mark), b"Z\0\0\0\x05I");
    let taken = outbox.take();
    assert_eq!(taken.len(), 12);
    assert!(outbox.is_empty());
    // What is gone is not shown again, and later bytes are.
    assert_eq!(outbox.bytes_since(mark), b"");
    let later = outbox.mark();
    ready(&mut outbox);
    assert_eq!(outbox.bytes_since(later), b"Z\0\0\0\x05I");
    assert_eq!(outbox.bytes_since(mark), b"Z\0\0\0\x05I");
    assert_eq!(&*taken.into_bytes(), b"Z\0\0\0\x05IZ\0\0\0\x05I");
}

#[test]
fn taken_memory_is_used_again() {
    let plan = plan(&[pass(25, Format::Text)]);
    let row = body(&vec![Some(vec![b'x'; 1_000])]);
    let mut outbox = Outbox::new();
    let mut places = std::collections::BTreeSet::new();
    for _ in 0..1_000 {
        for _ in 0..30 {
            outbox.row(&plan, &row).unwrap();
        }
        places.insert(outbox.take().as_ptr());
    }
    assert!(places.len() < 100, "{} allocations", places.len());
}

#[test]
fn shrinking_keeps_what_waits() {
    let mut outbox = Outbox::new();
    outbox.protocol(MessageKind::ReadyForQuery, b"T").unwrap();
    outbox.shrink();
    assert_eq!(outbox.len(), 6);
    let mark = outbox.mark();
    outbox.take();
    outbox.shrink();
    assert!(outbox.is_empty());
    assert_eq!(outbox.mark(), mark);
}
