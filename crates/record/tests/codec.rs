//! The event codec under arbitrary events and arbitrary bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use lockgate_core::{IdentityKind, Timestamp};
use lockgate_record::{
    Administered, Asked, Blob, Cancelled, Certificate, CertifiedColumn, CertifiedRule, CertifiedStatement,
    CertifiedUse, CloseReason, Column, Columns, Decided, Detokenized, Digest, Done, DoneKind, Event, Failure,
    FileHeader, Held, HoldOutcome, Input, Judged, Leaf, List, LoginFailed, MaskUse, Notice, Origin, Parameter, Party,
    PolicyLoaded, PolicyRef, RecordingReader, Recovered, RequestKind, Rows, RowsCut, SessionClosed, SessionOpened,
    Setting, TokenCreated, TokenUsed, Touch, VerdictKind, decode_events, encode_event,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::borrow::Cow;

type Text = Cow<'static, str>;

fn text() -> impl Strategy<Value = Text> {
    "\\PC{0,12}".prop_map(Cow::Owned)
}

fn texts() -> impl Strategy<Value = List<'static, Text>> {
    vec(text(), 0..3).prop_map(List::from)
}

fn blob() -> impl Strategy<Value = Blob<'static>> {
    vec(any::<u8>(), 0..40).prop_map(Blob::from)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

fn list<T: std::fmt::Debug + Clone + 'static>(of: impl Strategy<Value = T>) -> impl Strategy<Value = List<'static, T>> {
    vec(of, 0..4).prop_map(List::from)
}

fn kind() -> impl Strategy<Value = IdentityKind> {
    prop_oneof![Just(IdentityKind::Human), Just(IdentityKind::Service), Just(IdentityKind::Agent)]
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

fn parameter() -> impl Strategy<Value = Parameter<'static>> {
    (option::of(blob()), any::<u16>(), any::<u64>()).prop_map(|(value, format, bytes)| Parameter {
        value,
        format,
        bytes,
    })
}

fn asked() -> impl Strategy<Value = Event<'static>> {
    let names = (option::of(text()), option::of(text()), list(parameter()), any::<bool>());
    (any::<u64>(), one_of(RequestKind::ALL), blob(), any::<u64>(), any::<[u8; 32]>(), names).prop_map(
        |(request, kind, text, text_bytes, digest, (statement, portal, parameters, parameters_cut))| {
            let digest = Digest(digest);
            Asked { request, kind, text, text_bytes, digest, statement, portal, parameters, parameters_cut }.into()
        },
    )
}

fn opened() -> impl Strategy<Value = Event<'static>> {
    let party = (text(), texts()).prop_map(|(user, groups)| Party { user, groups });
    let setting = (text(), text()).prop_map(|(name, value)| Setting { name, value });
    let who = (text(), text(), texts(), kind(), list(party), option::of(text()));
    let what = (text(), text(), text(), text(), list(setting), text(), texts());
    (who, what).prop_map(|((session, user, groups, kind, on_behalf_of, token_id), what)| {
        let (client, target, database, protocol, parameters, gateway, actions) = what;
        SessionOpened {
            session,
            user,
            groups,
            kind,
            on_behalf_of,
            token_id,
            client,
            target,
            database,
            protocol,
            parameters,
            gateway,
            actions,
        }
        .into()
    })
}

fn judged() -> impl Strategy<Value = Event<'static>> {
    let policy = (text(), text()).prop_map(|(id, place)| PolicyRef { id, place });
    let touch = (text(), text()).prop_map(|(action, object)| Touch { action, object });
    let mask = (any::<u32>(), text(), text(), text()).prop_map(|(column, name, label, method)| MaskUse {
        column,
        name,
        label,
        method,
    });
    let certificates = list(any::<u64>());
    (any::<u64>(), one_of(VerdictKind::ALL), list(policy), list(touch), list(mask), text(), text(), certificates)
        .prop_map(|(request, verdict, policies, touches, masks, reason, lineage, certificates)| {
            Judged { request, verdict, policies, touches, masks, reason, lineage, certificates }.into()
        })
}

fn certificate() -> impl Strategy<Value = Event<'static>> {
    let origins = || list((text(), texts()).prop_map(|(column, labels)| Origin { column, labels }));
    let column = (any::<u32>(), text(), origins(), any::<bool>(), text(), option::of(text()), text(), any::<bool>())
        .prop_map(|(column, name, from, derived, method, label, why, checked)| CertifiedColumn {
            column,
            name,
            from,
            derived,
            method,
            label,
            why,
            checked,
        });
    let used = (text(), text(), origins()).prop_map(|(how, place, from)| CertifiedUse { how, place, from });
    let statement = (text(), list(column), list(used), any::<u64>())
        .prop_map(|(verb, columns, uses, unlisted)| CertifiedStatement { verb, columns, uses, unlisted });
    let rule =
        (text(), texts(), text()).prop_map(|(label, detectors, method)| CertifiedRule { label, detectors, method });
    (any::<u64>(), any::<u64>(), text(), list(statement), list(rule)).prop_map(
        |(number, policies, catalog, statements, content)| {
            Certificate { number, policies, catalog, statements, content }.into()
        },
    )
}

fn done() -> impl Strategy<Value = Event<'static>> {
    let failure = (text(), text(), text()).prop_map(|(code, message, fault)| Failure { code, message, fault });
    (any::<u64>(), one_of(DoneKind::ALL), text(), any::<u64>(), any::<u64>(), option::of(failure), any::<u64>())
        .prop_map(|(request, outcome, tag, rows, bytes, error, duration_us)| {
            Done { request, outcome, tag, rows, bytes, error, duration_us }.into()
        })
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let n = any::<u64>;
    let column =
        (text(), any::<u32>(), any::<u16>()).prop_map(|(name, type_id, format)| Column { name, type_id, format });
    prop_oneof![
        opened(),
        asked(),
        judged(),
        certificate(),
        done(),
        (n(), text(), texts(), any::<u32>(), time()).prop_map(|(request, approval, approvers, quorum, expires)| Held {
            request,
            approval,
            approvers,
            quorum,
            expires
        }
        .into()),
        (n(), text(), one_of(HoldOutcome::ALL), texts(), text()).prop_map(
            |(request, approval, outcome, by, reason)| Decided { request, approval, outcome, by, reason }.into()
        ),
        (n(), list(column)).prop_map(|(request, columns)| Columns { request, columns }.into()),
        (n(), n(), blob()).prop_map(|(request, count, data)| Rows { request, count, data }.into()),
        (n(), blob()).prop_map(|(request, data)| Input { request, data }.into()),
        (n(), n(), text()).prop_map(|(request, limit, what)| RowsCut { request, limit, what }.into()),
        (option::of(n()), text(), text(), text()).prop_map(|(request, severity, code, message)| Notice {
            request,
            severity,
            code,
            message
        }
        .into()),
        (option::of(n()), text()).prop_map(|(request, by)| Cancelled { request, by }.into()),
        (one_of(CloseReason::ALL), text(), n(), n(), n()).prop_map(|(reason, detail, requests, rows, bytes)| {
            SessionClosed { reason, detail, requests, rows, bytes }.into()
        }),
        (text(), n(), n()).prop_map(|(reason, requests, torn_bytes)| Recovered { reason, requests, torn_bytes }.into()),
        (any::<bool>(), any::<[u8; 32]>(), n(), text()).prop_map(|(accepted, p, count, detail)| PolicyLoaded {
            accepted,
            policies: Digest(p),
            count,
            detail
        }
        .into()),
        (text(), text(), texts(), kind(), texts(), option::of(time()), text(), texts(), texts()).prop_map(
            |(token_id, user, groups, kind, targets, expires, by, actions, on_behalf_of)| {
                TokenCreated { token_id, user, groups, kind, targets, expires, by, actions, on_behalf_of }.into()
            }
        ),
        (text(), text(), text(), text()).prop_map(|(token_id, user, client, purpose)| TokenUsed {
            token_id,
            user,
            client,
            purpose
        }
        .into()),
        (n(), time(), text(), text(), text(), text()).prop_map(|(number, done, what, subject, detail, by)| {
            Administered { number, done, what, subject, detail, by }.into()
        }),
        (text(), text(), text(), n(), n(), any::<bool>(), text()).prop_map(
            |(by, client, label, tokens, read, allowed, reason)| {
                Detokenized { by, client, label, tokens, read, allowed, reason }.into()
            }
        ),
        (text(), text(), text(), text(), text()).prop_map(|(client, protocol, user, target, reason)| LoginFailed {
            client,
            protocol,
            user,
            target,
            reason
        }
        .into()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn events_read_back(events in vec((time(), event()), 1..4)) {
        let bytes: Vec<u8> = events.iter().flat_map(|(time, event)| encode_event(event, *time)).collect();
        prop_assert_eq!(decode_events(&bytes), Ok(events));
    }

    #[test]
    fn changed_or_cut_bytes_never_panic(time in time(), event in event(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let bytes = encode_event(&event, time);
        prop_assert!(decode_events(bytes.get(..at.index(bytes.len())).unwrap()).map_or(true, |events| events.is_empty()));
        let mut changed = bytes;
        let at = at.index(changed.len());
        changed[at] = to;
        let _ = decode_events(&changed);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode_events(&bytes);
        if let Some(head) = bytes.first_chunk() {
            let _ = Leaf::decode(head);
        }
        if let Some(head) = bytes.first_chunk() {
            let _ = FileHeader::decode(head);
        }
        if let Ok(mut reader) = RecordingReader::new(bytes.as_slice(), None) {
            while let Ok(Some(_)) = reader.next_frame() {}
        }
    }
}

/// The bytes of a verdict as they were before verdicts named certificates.
#[test]
fn an_event_from_before_a_field_was_added_reads() {
    let bytes = [3, 9, 0, 0, 0, 0, 7, 1, 0, 0, 0, 2, b'n', b'o', 0];
    let bytes: Vec<u8> = bytes.into_iter().collect();
    let length = u8::try_from(bytes.len() - 5).unwrap();
    let bytes = [&bytes[..1], &[length, 0, 0, 0], &bytes[5..]].concat();
    let mut expected = Judged::new(7, VerdictKind::Deny);
    expected.reason = "no".into();
    assert_eq!(decode_events(&bytes), Ok(vec![(Timestamp::from_millis(0), expected.clone().into())]));
    // What is written today has one byte more: the number of certificates.
    assert_eq!(encode_event(&expected.into(), Timestamp::from_millis(0)).len(), bytes.len() + 1);
}
