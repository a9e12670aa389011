//! Approvals: who may decide, what a race leaves behind, and what a restart does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use lockgate_core::{Identity, IdentityKind, Principal, SessionId, Timestamp};
use lockgate_store::approvals::{
    ApprovalFilter, ApprovalState, Approvals, Choice, DecideError, Decision, Need, NewApproval, OpenError,
};
use lockgate_store::{Store, clock};
use std::time::Duration;

fn identity(user: &str, groups: &[&str]) -> Identity {
    Identity {
        user: user.to_owned(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        kind: IdentityKind::Human,
        directories: Vec::new(),
        on_behalf_of: Vec::new(),
        token_id: None,
        actions: None,
    }
}

fn acting_for(mut identity: Identity, kind: IdentityKind, users: &[&str]) -> Identity {
    identity.kind = kind;
    identity.on_behalf_of = users
        .iter()
        .map(|u| Principal {
            user: (*u).to_owned(),
            kind: IdentityKind::Human,
            groups: Some(identity.groups.clone()),
            directories: Vec::new(),
        })
        .collect();
    identity
}

fn need(groups: &[&str], quorum: u32) -> Need {
    Need { groups: groups.iter().map(|g| (*g).to_owned()).collect(), quorum }
}

fn request(needs: Vec<Need>) -> NewApproval {
    NewApproval {
        session: SessionId::new(clock::now(), 7),
        requester: acting_for(identity("bot", &["engineers", "dba"]), IdentityKind::Agent, &["alice"]),
        target: "orders".parse().unwrap(),
        database: None,
        statement: "DELETE FROM customers".to_owned(),
        parameters: None,
        digest: [9; 32],
        policies: vec!["delete-without-where".to_owned()],
        needs,
        expires: clock::now().plus_millis(60_000),
    }
}

async fn hub() -> (tempfile::TempDir, Store, Approvals) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    (dir, store.clone(), Approvals::new(store))
}

async fn state(approvals: &Approvals, id: &str) -> ApprovalState {
    approvals.find(id).await.unwrap().unwrap().state
}

/// A dropped ticket writes in the background.
async fn becomes(approvals: &Approvals, id: &str, wanted: ApprovalState) {
    for _ in 0..200 {
        if state(approvals, id).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{id} is {:?}, not {wanted:?}", state(approvals, id).await);
}

#[tokio::test]
async fn approved_once_and_used_once() {
    let (_dir, _store, approvals) = hub().await;
    let mut ticket = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
    let id = ticket.id().to_owned();
    assert_eq!(approvals.live_count(), 1);
    // A wait that is dropped loses nothing.
    assert!(tokio::time::timeout(Duration::from_millis(20), ticket.wait()).await.is_err());
    let said = approvals.decide(&id, &identity("dora", &["dba"]), Choice::Approve, Some("fine"), clock::now()).await;
    assert_eq!(said.unwrap(), ApprovalState::Approved);
    let Decision::Approved(approved) = ticket.wait().await else { panic!("not approved") };
    assert_eq!(approved.by(), ["dora"]);
    assert_eq!(approved.digest(), &[9; 32]);
    assert_eq!(state(&approvals, &id).await, ApprovalState::Used);
    assert!(matches!(ticket.wait().await, Decision::Withdrawn), "the second time there is nothing left");
    drop(ticket);
    assert_eq!(state(&approvals, &id).await, ApprovalState::Used);
    assert_eq!(approvals.live_count(), 0);
    let late = approvals.decide(&id, &identity("dan", &["dba"]), Choice::Deny, None, clock::now()).await;
    assert!(matches!(late, Err(DecideError::NotPending(ApprovalState::Used))));
}

#[tokio::test]
async fn who_may_decide() {
    let (_dir, _store, approvals) = hub().await;
    let ticket = approvals.open(request(vec![need(&["dba"], 2)]), clock::now()).await.unwrap();
    let human = IdentityKind::Human;
    type Expected = fn(&DecideError) -> bool;
    let mut stranger = acting_for(identity("x", &["dba"]), human, &["eve"]);
    stranger.on_behalf_of[0].groups = Some(["engineers".to_owned()].into());
    let cases: Vec<(&str, Identity, Expected)> = vec![
        ("the requester", identity("bot", &["dba"]), |e| matches!(e, DecideError::OwnRequest(_))),
        ("whom it acts for", identity("alice", &["dba"]), |e| matches!(e, DecideError::OwnRequest(_))),
        ("acting for the requester", acting_for(identity("x", &["dba"]), human, &["bot"]), |e| {
            matches!(e, DecideError::OwnRequest(_))
        }),
        ("acting for whom it acts for", acting_for(identity("x", &["dba"]), human, &["y", "alice"]), |e| {
            matches!(e, DecideError::OwnRequest(_))
        }),
        ("another group", identity("eve", &["engineers"]), |e| matches!(e, DecideError::NotInGroup(_))),
        ("no group", identity("eve", &[]), |e| matches!(e, DecideError::NotInGroup(_))),
        ("acting for somebody", acting_for(identity("x", &["dba"]), human, &["eve"]), |e| {
            matches!(e, DecideError::NotAPerson)
        }),
        ("in a group that whom it acts for is not in", stranger, |e| matches!(e, DecideError::NotAPerson)),
        (
            "a service that acts for somebody",
            acting_for(identity("x", &["dba"]), IdentityKind::Service, &["eve"]),
            |e| matches!(e, DecideError::NotAPerson),
        ),
        ("a service", acting_for(identity("x", &["dba"]), IdentityKind::Service, &[]), |e| {
            matches!(e, DecideError::NotAPerson)
        }),
        ("an agent", acting_for(identity("x", &["dba"]), IdentityKind::Agent, &[]), |e| {
            matches!(e, DecideError::NotAPerson)
        }),
    ];
    for choice in [Choice::Approve, Choice::Deny] {
        for (name, who, expected) in &cases {
            let said = approvals.decide(ticket.id(), who, choice, None, clock::now()).await;
            assert!(said.as_ref().is_err_and(expected), "{name}: {said:?}");
        }
    }
    let approve = async |who: &Identity| approvals.decide(ticket.id(), who, Choice::Approve, None, clock::now()).await;
    assert_eq!(approve(&identity("dora", &["dba"])).await.unwrap(), ApprovalState::Pending);
    assert!(matches!(approve(&identity("dora", &["dba"])).await, Err(DecideError::AlreadyVoted(_))));
    let puppet = acting_for(identity("dora2", &["dba"]), human, &["dora"]);
    assert!(matches!(approve(&puppet).await, Err(DecideError::NotAPerson)), "nobody votes by somebody else");
    assert_eq!(approve(&identity("dan", &["dba"])).await.unwrap(), ApprovalState::Approved);
    assert!(matches!(approve(&identity("dina", &["dba"])).await, Err(DecideError::NotPending(_))));
    assert!(matches!(
        approvals.decide("nonsense", &identity("dan", &["dba"]), Choice::Approve, None, clock::now()).await,
        Err(DecideError::Unknown(_))
    ));
}

#[tokio::test]
async fn every_need_must_be_met() {
    let (_dir, _store, approvals) = hub().await;
    let ticket =
        approvals.open(request(vec![need(&["dba"], 1), need(&["security", "legal"], 1)]), clock::now()).await.unwrap();
    let approve = async |who: &Identity| approvals.decide(ticket.id(), who, Choice::Approve, None, clock::now()).await;
    assert_eq!(approve(&identity("dora", &["dba"])).await.unwrap(), ApprovalState::Pending);
    // The dba need is met: another dba has nothing to say any more.
    assert!(matches!(approve(&identity("dan", &["dba"])).await, Err(DecideError::NotInGroup(g)) if g.len() == 2));
    assert_eq!(approve(&identity("lea", &["legal"])).await.unwrap(), ApprovalState::Approved);
}

#[tokio::test]
async fn denial_ends_it() {
    let (_dir, _store, approvals) = hub().await;
    let mut ticket = approvals.open(request(vec![need(&["dba"], 2)]), clock::now()).await.unwrap();
    let said = approvals.decide(ticket.id(), &identity("dora", &["dba"]), Choice::Deny, Some("no"), clock::now()).await;
    assert_eq!(said.unwrap(), ApprovalState::Denied);
    match ticket.wait().await {
        Decision::Denied { by, reason } => assert_eq!((by.as_str(), reason.as_deref()), ("dora", Some("no"))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn time_ends_it() {
    let (_dir, _store, approvals) = hub().await;
    let mut short = request(vec![need(&["dba"], 1)]);
    short.expires = clock::now().plus_millis(80);
    let mut ticket = approvals.open(short, clock::now()).await.unwrap();
    assert!(ticket.remaining() <= Duration::from_millis(80));
    assert!(matches!(ticket.wait().await, Decision::Expired));
    assert_eq!(state(&approvals, ticket.id()).await, ApprovalState::Expired);

    // A clock on the wall that jumped ahead ends it as well, even before the session looks.
    let ticket = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
    let later = clock::now().plus_millis(3_600_000);
    let said = approvals.decide(ticket.id(), &identity("dora", &["dba"]), Choice::Approve, None, later).await;
    assert!(matches!(said, Err(DecideError::NotPending(ApprovalState::Expired))));
    assert_eq!(state(&approvals, ticket.id()).await, ApprovalState::Expired);
}

#[tokio::test]
async fn leaving_withdraws_it() {
    let (_dir, _store, approvals) = hub().await;
    let dora = identity("dora", &["dba"]);
    let ticket = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
    let dropped = ticket.id().to_owned();
    drop(ticket);
    let said = approvals.decide(&dropped, &dora, Choice::Approve, None, clock::now()).await;
    assert!(matches!(said, Err(DecideError::NotPending(_))), "{said:?}");
    becomes(&approvals, &dropped, ApprovalState::Withdrawn).await;

    // Approved, but the client was gone before it was taken up: nothing may run, and the record says so.
    let ticket = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
    let id = ticket.id().to_owned();
    approvals.decide(&id, &dora, Choice::Approve, None, clock::now()).await.unwrap();
    ticket.withdraw().await.unwrap();
    assert_eq!(state(&approvals, &id).await, ApprovalState::Withdrawn);
    assert_eq!(approvals.live_count(), 0);
}

#[tokio::test]
async fn a_restart_aborts_what_waited() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let claim = store.claim(clock::now()).await.unwrap();
    let approvals = Approvals::new(store.clone());
    let dora = identity("dora", &["dba"]);
    let pending = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
    let approved = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
    approvals.decide(approved.id(), &dora, Choice::Approve, None, clock::now()).await.unwrap();
    let ids = [pending.id().to_owned(), approved.id().to_owned()];
    // As after kill -9: no destructor runs.
    std::mem::forget((pending, approved));
    drop(claim);

    let next = Store::open(dir.path()).await.unwrap();
    let _claim = next.claim(clock::now()).await.unwrap();
    let approvals = Approvals::new(next);
    for id in &ids {
        let row = approvals.find(id).await.unwrap().unwrap();
        assert_eq!(row.state, ApprovalState::Aborted);
        assert_eq!(row.reason.as_deref(), Some("gateway restarted; nothing ran"));
        let said = approvals.decide(id, &dora, Choice::Approve, None, clock::now()).await;
        assert!(matches!(said, Err(DecideError::NotPending(ApprovalState::Aborted))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_races_leave_one_end_each() {
    let (_dir, _store, approvals) = hub().await;
    let dora = identity("dora", &["dba"]);
    let dan = identity("dan", &["dba"]);
    let mut ends = std::collections::BTreeMap::<&'static str, u32>::new();
    for round in 0..1_000_u64 {
        let mut ticket = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
        let id = ticket.id().to_owned();
        let decide = |who: &Identity, choice| {
            let (approvals, id, who) = (approvals.clone(), id.clone(), who.clone());
            tokio::spawn(async move { approvals.decide(&id, &who, choice, None, clock::now()).await })
        };
        let (yes, no) = (decide(&dora, Choice::Approve), decide(&dan, Choice::Deny));
        let ran = if round % 3 == 0 {
            tokio::time::sleep(Duration::from_micros(round % 7 * 100)).await;
            ticket.withdraw().await.unwrap();
            false
        } else {
            matches!(ticket.wait().await, Decision::Approved(_))
        };
        let wins = [yes.await.unwrap(), no.await.unwrap()].into_iter().filter(Result::is_ok).count();
        assert!(wins <= 1, "round {round}: {wins} decisions won");
        let end = state(&approvals, &id).await;
        assert_eq!(ran, end == ApprovalState::Used, "round {round}: {end:?}");
        assert!(!matches!(end, ApprovalState::Pending | ApprovalState::Approved), "round {round}: {end:?}");
        *ends.entry(end.name()).or_default() += 1;
    }
    assert_eq!(approvals.live_count(), 0);
    assert!(ends.len() >= 2, "the race was none: {ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_pairs_of_approvals_in_the_same_instant_one_counts() {
    let (_dir, _store, approvals) = hub().await;
    let pair = [identity("dora", &["dba"]), identity("dan", &["dba"])];
    let mut winners = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..1_000_u64 {
        let mut new = request(vec![need(&["dba"], 1)]);
        // Now and then its time is over in the same instant too.
        if round % 5 == 0 {
            new.expires = clock::now().plus_millis(2);
        }
        let mut ticket = approvals.open(new, clock::now()).await.unwrap();
        let id = ticket.id().to_owned();
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(pair.len()));
        let deciding = pair.clone().map(|who| {
            let (approvals, id, start) = (approvals.clone(), id.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                approvals.decide(&id, &who, Choice::Approve, None, clock::now()).await
            })
        });
        let decision = ticket.wait().await;
        let mut won = 0;
        for said in deciding {
            match said.await.unwrap() {
                Ok(ApprovalState::Approved) => won += 1,
                Err(DecideError::NotPending(_)) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
        let row = approvals.find(&id).await.unwrap().unwrap();
        match decision {
            Decision::Approved(approved) => {
                assert_eq!((won, row.state), (1, ApprovalState::Used), "round {round}");
                assert_eq!(row.votes.len(), 1, "round {round}");
                assert_eq!(approved.by(), [row.votes[0].user.clone()], "round {round}");
                *winners.entry(row.votes[0].user.clone()).or_default() += 1;
            }
            Decision::Expired => {
                assert_eq!((won, row.state), (0, ApprovalState::Expired), "round {round}");
                assert!(row.votes.is_empty(), "round {round}");
            }
            other => panic!("round {round}: {other:?}"),
        }
        assert!(matches!(ticket.wait().await, Decision::Withdrawn), "round {round}: used twice");
    }
    assert!(winners.values().sum::<u32>() >= 800, "{winners:?}");
}

#[tokio::test]
async fn what_cannot_be_approved_cannot_wait() {
    let (_dir, _store, approvals) = hub().await;
    let now = clock::now();
    for needs in [
        vec![],
        vec![need(&[], 1)],
        vec![need(&["dba"], 0)],
        vec![need(&["dba"], 33)],
        vec![need(&["dba"], 1), need(&[""], 1)],
    ] {
        assert!(matches!(approvals.open(request(needs), now).await, Err(OpenError::NoApprovers)));
    }
    let mut late = request(vec![need(&["dba"], 1)]);
    late.expires = Timestamp::from_millis(now.millis());
    assert!(matches!(approvals.open(late, now).await, Err(OpenError::NoTime)));
    assert_eq!(approvals.live_count(), 0);
    assert!(approvals.list(&ApprovalFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_by_state_and_person() {
    let (_dir, _store, approvals) = hub().await;
    let first = approvals.open(request(vec![need(&["dba"], 1)]), clock::now()).await.unwrap();
    let mut theirs = request(vec![need(&["dba"], 1)]);
    theirs.requester = identity("carol", &[]);
    theirs.statement = "x".repeat(1 << 20);
    let second = approvals.open(theirs, clock::now()).await.unwrap();
    approvals.decide(first.id(), &identity("dora", &["dba"]), Choice::Deny, None, clock::now()).await.unwrap();
    let ids = async |f: ApprovalFilter| -> Vec<String> {
        approvals.list(&f).await.unwrap().into_iter().map(|a| a.id).collect()
    };
    assert_eq!(ids(ApprovalFilter { state: Some(ApprovalState::Pending), ..Default::default() }).await, [second.id()]);
    assert_eq!(ids(ApprovalFilter { user: Some("bot".to_owned()), ..Default::default() }).await, [first.id()]);
    assert_eq!(ids(ApprovalFilter::default()).await.len(), 2);
    let shown = approvals.find(second.id()).await.unwrap().unwrap().statement;
    assert!(shown.len() < 300_000 && shown.ends_with("more bytes not shown"));
}

#[tokio::test]
async fn another_spelling_of_a_name_is_no_other_person() {
    let (_dir, _store, approvals) = hub().await;
    let ticket = approvals.open(request(vec![need(&["dba"], 2)]), clock::now()).await.unwrap();
    for spelt in ["ALICE", "Alice", "\u{ff21}lice", "alice\u{200b}", "BOT"] {
        let own = approvals.decide(ticket.id(), &identity(spelt, &["dba"]), Choice::Approve, None, clock::now()).await;
        assert!(matches!(own, Err(DecideError::OwnRequest(_))), "{spelt:?}: {own:?}");
        let info = approvals.find(ticket.id()).await.unwrap().unwrap();
        assert!(!info.is_asked(&identity(spelt, &["dba"])), "{spelt:?}");
    }
    approvals.decide(ticket.id(), &identity("dora", &["dba"]), Choice::Approve, None, clock::now()).await.unwrap();
    let twice = approvals.decide(ticket.id(), &identity("DORA", &["dba"]), Choice::Approve, None, clock::now()).await;
    assert!(matches!(twice, Err(DecideError::AlreadyVoted(_))), "{twice:?}");
    approvals.decide(ticket.id(), &identity("eve", &["dba"]), Choice::Approve, None, clock::now()).await.unwrap();
}
