//! People against real stores in temporary directories: local users and those of a directory, groups, what live sessions hear,
//! what is put on record.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at what it did not expect"
)]

use lockgate_core::{IdentityKind, Principal, Secret, Timestamp, limits};
use lockgate_store::{
    GroupChange, GroupFilter, LOCAL, NewGroup, NewLogin, NewPerson, NewToken, PeopleFilter, Person, PersonChange,
    Store, StoreError,
};
use std::collections::BTreeSet;
use std::time::Duration;

const CORP: &str = "scim:corp";
const BY: &str = "root";

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn local(user: &str, groups: &[&str]) -> NewPerson {
    NewPerson {
        source: LOCAL.to_owned(),
        user: user.to_owned(),
        active: true,
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        ..NewPerson::default()
    }
}

fn pushed(user: &str) -> NewPerson {
    NewPerson { source: CORP.to_owned(), user: user.to_owned(), active: true, ..NewPerson::default() }
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

fn active(active: bool) -> PersonChange {
    PersonChange { active: Some(active), ..PersonChange::default() }
}

async fn fresh() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    (dir, store)
}

async fn told(store: &Store) -> Vec<String> {
    let acts = store.acts_waiting().await.unwrap();
    acts.iter().map(|act| format!("{} {} ({}) by {}", act.what, act.subject, act.detail, act.by)).collect()
}

#[tokio::test]
async fn a_person_is_made_changed_and_removed_and_each_act_waits_to_be_recorded() {
    let (_dir, store) = fresh().await;
    let alice = store.create_person(local("alice", &["dba", "staff"]), BY, at(1)).await.unwrap();
    assert_eq!((alice.user.as_str(), alice.active, alice.created), ("alice", true, at(1)));
    assert_eq!(store.person(LOCAL, &alice.id).await.unwrap().as_ref(), Some(&alice));
    assert_eq!(store.person_named(LOCAL, "ALICE").await.unwrap().as_ref(), Some(&alice));
    assert_eq!(store.account("alice").await.unwrap().in_source(LOCAL).unwrap().groups, names(&["dba", "staff"]));

    let change = PersonChange { display: Some(Some("Alice A.".to_owned())), ..active(false) };
    let changed = store.change_person(LOCAL, &alice.id, change.clone(), "bob", at(2)).await.unwrap().unwrap();
    assert_eq!((changed.display.as_deref(), changed.active, changed.updated), (Some("Alice A."), false, at(2)));
    // The same again is no act.
    store.change_person(LOCAL, &alice.id, change, "bob", at(3)).await.unwrap().unwrap();

    assert!(store.remove_person(LOCAL, &alice.id, "bob", at(4)).await.unwrap());
    assert!(!store.remove_person(LOCAL, &alice.id, "bob", at(4)).await.unwrap());
    assert_eq!(store.person(LOCAL, &alice.id).await.unwrap(), None);
    assert_eq!(store.list_people(&PeopleFilter::default()).await.unwrap(), []);
    assert!(store.change_person(LOCAL, &alice.id, active(true), BY, at(5)).await.unwrap().is_none());
    assert_eq!(
        told(&store).await,
        [
            "user.created alice (in `local`, groups dba, staff) by root",
            "user.disabled alice (in `local`) by bob",
            "user.changed alice (in `local`) by bob",
            "user.revoked alice (what identity providers signed until now counts no more: the user was removed) by bob",
            "user.removed alice (from `local`) by bob",
        ]
    );
    store.settle_acts(store.acts_waiting().await.unwrap()[1].number).await.unwrap();
    assert_eq!(told(&store).await.len(), 3);
}

#[tokio::test]
async fn a_name_is_one_persons_in_whatever_case_and_each_source_has_its_own() {
    let (_dir, store) = fresh().await;
    let alice = store.create_person(local("alice", &[]), BY, at(1)).await.unwrap();
    for user in ["alice", "Alice", "ALICE"] {
        let taken = store.create_person(local(user, &[]), BY, at(2)).await;
        assert!(matches!(taken, Err(StoreError::Taken(_))), "{user}");
    }
    store.create_person(pushed("Alice"), BY, at(2)).await.unwrap();
    let bob = store.create_person(local("bob", &[]), BY, at(2)).await.unwrap();
    let rename = |to: &str| PersonChange { user: Some(to.to_owned()), ..PersonChange::default() };
    let taken = store.change_person(LOCAL, &bob.id, rename("ALICE"), BY, at(3)).await;
    assert!(matches!(taken, Err(StoreError::Taken(_))));
    // Another case of one's own name is free.
    assert_eq!(store.change_person(LOCAL, &alice.id, rename("Alice"), BY, at(3)).await.unwrap().unwrap().user, "Alice");
    // A person of one source is not there for another.
    assert!(store.change_person(CORP, &alice.id, active(false), BY, at(3)).await.unwrap().is_none());
    assert!(!store.remove_person(CORP, &alice.id, BY, at(3)).await.unwrap());
    assert_eq!(
        store.count_people(&PeopleFilter { user: Some("aLICE".into()), ..PeopleFilter::default() }).await.unwrap(),
        2
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_leaves_nothing() {
    let (_dir, store) = fresh().await;
    let good = local("alice", &[]);
    for (what, new) in [
        ("empty name", NewPerson { user: String::new(), ..good.clone() }),
        ("control character", NewPerson { user: "a\nb".into(), ..good.clone() }),
        ("outer space", NewPerson { user: " a".into(), ..good.clone() }),
        ("long name", NewPerson { user: "a".repeat(257), ..good.clone() }),
        ("long display name", NewPerson { display: Some("a".repeat(1_025)), ..good.clone() }),
        ("long external id", NewPerson { external_id: Some("a".repeat(1_025)), ..good.clone() }),
        ("bad group", NewPerson { groups: vec!["a\0".into()], ..good.clone() }),
        (
            "many groups",
            NewPerson { groups: (0..=limits::GROUPS_MAX).map(|n| n.to_string()).collect(), ..good.clone() },
        ),
        ("no such source", NewPerson { source: "elsewhere".into(), ..good.clone() }),
        ("source without a name", NewPerson { source: "scim:".into(), ..good.clone() }),
    ] {
        assert!(matches!(store.create_person(new, BY, at(1)).await, Err(StoreError::Refused(_))), "{what}");
    }
    assert_eq!(store.count_people(&PeopleFilter::default()).await.unwrap(), 0);
    assert_eq!(store.count_groups(&GroupFilter::default()).await.unwrap(), 0);
    assert_eq!(told(&store).await, [""; 0]);
    assert_eq!(store.people_changed_since(0).await.unwrap().users, [""; 0]);
}

#[tokio::test]
async fn an_account_refuses_who_is_disabled_anywhere_or_left_a_name_behind() {
    let (_dir, store) = fresh().await;
    let refusal = async |user: &str| store.account(user).await.unwrap().refusal();
    assert_eq!(refusal("alice").await, None, "who is not known is for others to judge");
    let here = store.create_person(local("alice", &[]), BY, at(1)).await.unwrap();
    let there = store.create_person(pushed("Alice"), BY, at(1)).await.unwrap();
    assert_eq!(refusal("alice").await, None);
    store.change_person(CORP, &there.id, active(false), BY, at(2)).await.unwrap();
    assert_eq!(refusal("ALICE").await.as_deref(), Some("`Alice` is disabled in `scim:corp`"));
    store.change_person(CORP, &there.id, active(true), BY, at(3)).await.unwrap();
    assert_eq!(refusal("alice").await, None);

    // Removed from one of two: the other still vouches.
    store.remove_person(CORP, &there.id, BY, at(4)).await.unwrap();
    assert_eq!(refusal("alice").await, None);
    store.remove_person(LOCAL, &here.id, BY, at(5)).await.unwrap();
    assert_eq!(refusal("alice").await.as_deref(), Some("`alice` was removed from `local`"));
    // Made again, with another id and nothing of before.
    let again = store.create_person(local("alice", &[]), BY, at(6)).await.unwrap();
    assert_ne!(again.id, here.id);
    assert_eq!(refusal("alice").await, None);

    // Renamed: the old name is nobody's.
    let rename = PersonChange { user: Some("alice.smith".to_owned()), ..PersonChange::default() };
    store.change_person(LOCAL, &again.id, rename, BY, at(7)).await.unwrap();
    assert_eq!(refusal("alice").await.as_deref(), Some("`alice` was removed from `local`"));
    assert_eq!(refusal("alice.smith").await, None);
}

#[tokio::test]
async fn groups_have_members_of_their_source_only() {
    let (_dir, store) = fresh().await;
    let mut people: Vec<Person> = Vec::new();
    for user in ["ann", "ben", "cat"] {
        people.push(store.create_person(pushed(user), BY, at(1)).await.unwrap());
    }
    let stranger = store.create_person(local("dan", &[]), BY, at(1)).await.unwrap();
    let [ann, ben, cat] = [&people[0].id, &people[1].id, &people[2].id];
    let ids = |list: &[&String]| list.iter().map(|id| (*id).clone()).collect::<BTreeSet<String>>();
    let new = |name: &str, members| NewGroup {
        source: CORP.to_owned(),
        name: name.to_owned(),
        members,
        ..NewGroup::default()
    };
    let group = store.create_group(new("dba", ids(&[ann, ben])), BY, at(2)).await.unwrap();
    assert!(matches!(store.create_group(new("DBA", ids(&[])), BY, at(2)).await, Err(StoreError::Taken(_))));
    for members in [ids(&[&stranger.id]), ids(&[&"nobody".to_owned()])] {
        let refused = store.create_group(new("other", members), BY, at(2)).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))));
    }
    let members = async || {
        let filter = PeopleFilter { group: Some(group.id.clone()), ..PeopleFilter::default() };
        let people = store.list_people(&filter).await.unwrap();
        people.into_iter().map(|p| p.user).collect::<BTreeSet<String>>()
    };
    assert_eq!(members().await, names(&["ann", "ben"]));
    let change = async |change: GroupChange| store.change_group(CORP, &group.id, change, BY, at(3)).await;
    change(GroupChange { add: ids(&[cat, ann]), remove: ids(&[ben]), ..GroupChange::default() })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(members().await, names(&["ann", "cat"]));
    change(GroupChange { members: Some(ids(&[ben])), ..GroupChange::default() }).await.unwrap().unwrap();
    assert_eq!(members().await, names(&["ben"]));
    assert!(
        change(GroupChange { add: ids(&[&stranger.id]), members: Some(ids(&[])), ..GroupChange::default() })
            .await
            .is_err()
    );
    assert_eq!(members().await, names(&["ben"]), "all of a change or nothing");
    change(GroupChange { name: Some("admins".into()), ..GroupChange::default() }).await.unwrap().unwrap();
    assert_eq!(store.account("ben").await.unwrap().records[0].groups, names(&["admins"]));
    assert_eq!(
        store.list_groups(&GroupFilter { member: Some(ben.clone()), ..GroupFilter::default() }).await.unwrap().len(),
        1
    );

    // Who goes is in no group, and a group that goes has nobody.
    store.remove_person(CORP, ben, BY, at(4)).await.unwrap();
    assert_eq!(members().await, names(&[]));
    change(GroupChange { add: ids(&[ann]), ..GroupChange::default() }).await.unwrap().unwrap();
    assert!(store.remove_group(CORP, &group.id, BY, at(5)).await.unwrap());
    assert_eq!(store.account("ann").await.unwrap().records[0].groups, names(&[]));
    assert!(change(GroupChange::default()).await.unwrap().is_none());

    let told = told(&store).await;
    let told: Vec<&str> = told.iter().filter(|act| act.starts_with("group.")).map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "group.created dba (in `scim:corp`; members: ann, ben) by root",
            "group.members dba (in `scim:corp`; in: cat; out: ben) by root",
            "group.members dba (in `scim:corp`; in: ben; out: ann, cat) by root",
            "group.renamed admins (in `scim:corp`, was `dba`) by root",
            "group.members admins (in `scim:corp`; in: ann) by root",
            "group.removed admins (in `scim:corp`; out: ann) by root",
        ]
    );
}

#[tokio::test]
async fn groups_are_set_by_name() {
    let (_dir, store) = fresh().await;
    let ann = store.create_person(local("ann", &["a", "b"]), BY, at(1)).await.unwrap();
    let set =
        async |list: &[&str]| store.set_groups(LOCAL, &ann.id, &names(list), "bob", at(2)).await.unwrap().unwrap();
    assert_eq!(set(&["B", "c"]).await, names(&["b", "c"]), "a group keeps its name");
    assert_eq!(set(&["b", "c"]).await, names(&["b", "c"]));
    assert_eq!(set(&[]).await, names(&[]));
    assert!(store.set_groups(LOCAL, "nobody", &names(&[]), BY, at(2)).await.unwrap().is_none());
    assert_eq!(
        told(&store).await[1..],
        ["user.groups ann (in `local`; in: c; out: a) by bob", "user.groups ann (in `local`; out: b, c) by bob"]
    );
}

#[tokio::test]
async fn pages_follow_each_other() {
    let (_dir, store) = fresh().await;
    for n in 0..7 {
        store.create_person(pushed(&format!("user{n}")), BY, at(1)).await.unwrap();
    }
    store.create_person(local("other", &[]), BY, at(1)).await.unwrap();
    let mut seen = BTreeSet::new();
    let mut filter = PeopleFilter { source: Some(CORP.to_owned()), limit: 3, ..PeopleFilter::default() };
    assert_eq!(store.count_people(&filter).await.unwrap(), 7);
    for expected in [3, 3, 1, 0] {
        let page = store.list_people(&filter).await.unwrap();
        assert_eq!(page.len(), expected);
        filter.skip += page.len();
        seen.extend(page.into_iter().map(|p| p.user));
    }
    assert_eq!(seen.len(), 7);
}

#[tokio::test]
async fn a_password_is_a_local_users_and_only_its_verifier_is_kept() {
    let (_dir, store) = fresh().await;
    store.create_person(local("alice", &[]), BY, at(1)).await.unwrap();
    store.create_person(pushed("bob"), BY, at(1)).await.unwrap();
    let verifier = Secret::new("$argon2id$made-up".to_owned());
    assert!(store.set_password("Alice", &verifier, "alice", at(2)).await.unwrap());
    assert!(!store.set_password("bob", &verifier, BY, at(2)).await.unwrap());
    assert!(!store.set_password("carol", &verifier, BY, at(2)).await.unwrap());
    let (alice, kept) = store.password_of("alice").await.unwrap().unwrap();
    assert_eq!(alice.password_set, Some(at(2)));
    assert_eq!(kept.unwrap().expose(), verifier.expose());
    assert!(store.password_of("bob").await.unwrap().is_none());
    let told = told(&store).await;
    assert_eq!(told.last().unwrap(), "user.password Alice () by alice");
    assert!(!told.concat().contains("argon2"), "not even the verifier is told");
    // Gone with the user.
    let alice = store.person_named(LOCAL, "alice").await.unwrap().unwrap();
    store.remove_person(LOCAL, &alice.id, BY, at(3)).await.unwrap();
    assert!(store.password_of("alice").await.unwrap().is_none());
}

#[tokio::test]
async fn live_sessions_hear_of_changes_by_this_and_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let serve = Store::open(dir.path()).await.unwrap();
    let other = Store::open(dir.path()).await.unwrap();
    let alice = serve.create_person(pushed("Alice"), BY, at(1)).await.unwrap();
    let watching = tokio::spawn({
        let serve = serve.clone();
        async move { serve.watch_tokens().await }
    });
    let lease = serve.lease_person("alice").await.unwrap();
    let unknown = serve.lease_person("zoe").await.unwrap();
    assert_eq!(lease.account().unwrap().refusal(), None);
    let mut news = lease.news();

    // By another process: within the look-out's interval.
    other.change_person(CORP, &alice.id, active(false), BY, at(2)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), news.changed()).await.expect("heard within a second").unwrap();
    assert!(lease.account().unwrap().refusal().unwrap().contains("disabled"));
    let changes = lease.changes();
    // By this one: at once.
    serve.change_person(CORP, &alice.id, active(true), BY, at(3)).await.unwrap();
    assert_eq!(lease.account().unwrap().refusal(), None);
    assert_eq!(lease.changes(), changes + 1);
    // By a group that comes and goes.
    let members = [alice.id.clone()].into();
    let group = NewGroup { source: CORP.to_owned(), name: "dba".to_owned(), members, ..NewGroup::default() };
    let group = serve.create_group(group, BY, at(4)).await.unwrap();
    assert_eq!(lease.account().unwrap().records[0].groups, names(&["dba"]));
    serve.remove_group(CORP, &group.id, BY, at(5)).await.unwrap();
    assert_eq!(lease.account().unwrap().records[0].groups, names(&[]));
    // A name that nobody had comes to be known, and removed.
    let zoe = serve.create_person(pushed("ZOE"), BY, at(6)).await.unwrap();
    assert_eq!(unknown.account().unwrap().records.len(), 1);
    serve.remove_person(CORP, &zoe.id, BY, at(7)).await.unwrap();
    assert!(unknown.account().unwrap().refusal().unwrap().contains("removed"));
    watching.abort();
}

#[tokio::test]
async fn changes_side_by_side_are_all_heard() {
    let (_dir, store) = fresh().await;
    let lease = store.lease_person("user0").await.unwrap();
    let person = store.create_person(local("user0", &[]), BY, at(1)).await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..40 {
        let (store, id) = (store.clone(), person.id.clone());
        tasks.push(tokio::spawn(async move {
            let change = PersonChange { display: Some(Some(format!("name {n}"))), ..active(n % 2 == 0) };
            store.change_person(LOCAL, &id, change, BY, at(n)).await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*lease.account().unwrap(), store.account("user0").await.unwrap());
}

/// A token of `user`, or of an agent that acts for `user`.
async fn token(store: &Store, user: &str, agent: bool) -> Secret {
    let party = |user: &str| Principal {
        user: user.to_owned(),
        kind: IdentityKind::Human,
        groups: Some(names(&["staff"])),
        directories: Vec::new(),
    };
    let new = NewToken {
        user: if agent { "bot".to_owned() } else { user.to_owned() },
        groups: names(&["staff"]),
        kind: if agent { IdentityKind::Agent } else { IdentityKind::Human },
        on_behalf_of: if agent { vec![party(user)] } else { Vec::new() },
        targets: None,
        actions: None,
        expires: at(1_000_000),
    };
    store.create_token(new, BY, at(1)).await.unwrap().0
}

/// A browser that is signed in.
async fn signed_in(store: &Store, user: &str, provider: &str) -> Secret {
    let new = NewLogin {
        provider: provider.to_owned(),
        issuer: provider.to_owned(),
        subject: user.to_owned(),
        user: user.to_owned(),
        groups: names(&["staff"]),
        kind: IdentityKind::Human,
        on_behalf_of: Vec::new(),
        source: "192.0.2.1".to_owned(),
        expires: at(1_000_000),
        refresh_token: None,
    };
    store.sign_in(new, None, at(1)).await.unwrap().0
}

#[tokio::test]
async fn who_gets_a_name_later_gets_nothing_of_who_had_it_before() {
    for renamed in [false, true] {
        let (_dir, store) = fresh().await;
        let dora = store.create_person(pushed("Dora"), BY, at(1)).await.unwrap();
        let (own, agents) = (token(&store, "dora", false).await, token(&store, "DORA", true).await);
        let (other, browser) = (token(&store, "dorothy", false).await, signed_in(&store, "dora", "corp").await);
        match renamed {
            true => {
                let change = PersonChange { user: Some("dora.old".to_owned()), ..PersonChange::default() };
                store.change_person(CORP, &dora.id, change, BY, at(2)).await.unwrap().unwrap();
            }
            false => assert!(store.remove_person(CORP, &dora.id, BY, at(2)).await.unwrap()),
        }
        store.create_person(pushed("dora"), BY, at(3)).await.unwrap();
        assert_eq!(store.account("dora").await.unwrap().refusal(), None);
        for gone in [&own, &agents] {
            let refused = store.verify_token(gone.expose(), at(4)).await.unwrap_err().to_string();
            assert!(refused.contains("revoked"), "{refused}");
        }
        assert_eq!(store.browser_login(browser.expose(), at(4)).await.unwrap(), None);
        assert_eq!(store.name_left(["bot", "DORA"].into_iter()).await.unwrap(), Some(at(2)));
        assert_eq!(store.name_left(["dorothy"].into_iter()).await.unwrap(), None);
        store.verify_token(other.expose(), at(4)).await.unwrap();
    }
    // Whom another source still has keeps what is theirs.
    let (_dir, store) = fresh().await;
    let pushed = store.create_person(pushed("dora"), BY, at(1)).await.unwrap();
    store.create_person(local("dora", &[]), BY, at(1)).await.unwrap();
    let own = token(&store, "dora", false).await;
    assert!(store.remove_person(CORP, &pushed.id, BY, at(2)).await.unwrap());
    store.verify_token(own.expose(), at(4)).await.unwrap();
    assert_eq!(store.name_left(["dora"].into_iter()).await.unwrap(), None);
}

#[tokio::test]
async fn a_changed_password_signs_out_whoever_used_the_old_one() {
    let (_dir, store) = fresh().await;
    store.create_person(local("alice", &[]), BY, at(1)).await.unwrap();
    let (old, elsewhere) = (signed_in(&store, "Alice", LOCAL).await, signed_in(&store, "alice", "corp").await);
    assert!(store.set_password("ALICE", &Secret::new("v".to_owned()), BY, at(2)).await.unwrap());
    assert_eq!(store.browser_login(old.expose(), at(3)).await.unwrap(), None);
    assert!(store.browser_login(elsewhere.expose(), at(3)).await.unwrap().is_some(), "another provider's word stands");
    let new = signed_in(&store, "alice", LOCAL).await;
    assert!(store.browser_login(new.expose(), at(3)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_name_is_one_persons_however_it_is_spelt() {
    let (_dir, store) = fresh().await;
    let off = NewPerson { active: false, ..pushed("m\u{fc}ller@example.com") };
    store.create_person(off, BY, at(1)).await.unwrap();
    for spelt in [
        "M\u{dc}LLER@EXAMPLE.COM",
        "mu\u{308}ller@example.com",
        "m\u{fc}ller@example.com\u{200b}",
        "\u{ff4d}\u{fc}ller@example.com",
    ] {
        assert!(store.account(spelt).await.unwrap().refusal().is_some(), "{spelt:?}");
        assert!(matches!(store.create_person(pushed(spelt), BY, at(2)).await, Err(StoreError::Taken(_))), "{spelt:?}");
    }
    let (one, agents) = (token(&store, "Eve", false).await, token(&store, "EVE", true).await);
    let (wide, other) = (token(&store, "\u{ff25}ve", false).await, token(&store, "eva", false).await);
    assert_eq!(store.revoke_tokens_of("\u{ff45}VE", BY, at(3)).await.unwrap().len(), 3);
    // What providers signed for her until then is told of her account, however she is spelt; an earlier moment takes nothing back.
    store.revoke_tokens_of("eve", BY, at(2)).await.unwrap();
    assert_eq!(store.account("\u{ff25}VE").await.unwrap().revoked_until, Some(at(3)));
    assert_eq!(store.account("eva").await.unwrap().revoked_until, None);
    store.verify_token(other.expose(), at(4)).await.unwrap();
    for gone in [&one, &agents, &wide] {
        assert!(store.verify_token(gone.expose(), at(4)).await.is_err());
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_version_learns_how_names_are_compared() {
    let (dir, store) = fresh().await;
    for user in ["stra\u{df}e", "plain"] {
        store.create_person(NewPerson { active: false, ..pushed(user) }, BY, at(1)).await.unwrap();
    }
    store.close().await;
    // As an earlier version wrote it.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("lockgate.db"));
    let pool = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE people SET user_key = 'stra\u{df}e' WHERE user_name = 'stra\u{df}e'")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("DELETE FROM meta WHERE name = 'name_keys'").execute(&pool).await.unwrap();
    pool.close().await;
    let store = Store::open(dir.path()).await.unwrap();
    for spelt in ["STRASSE", "stra\u{df}e", "PLAIN"] {
        assert!(store.account(spelt).await.unwrap().refusal().is_some(), "{spelt:?}");
    }
}

#[tokio::test]
async fn a_directory_is_forgotten_with_what_those_had_whom_it_refused() {
    let (_dir, store) = fresh().await;
    for (user, is_active) in [("alice", false), ("bob", true), ("gone", true)] {
        store.create_person(NewPerson { active: is_active, ..pushed(user) }, BY, at(1)).await.unwrap();
    }
    let gone = store.person_named(CORP, "gone").await.unwrap().unwrap();
    store.remove_person(CORP, &gone.id, BY, at(1)).await.unwrap();
    store.create_person(local("carol", &[]), BY, at(1)).await.unwrap();
    let known = store.directories().await.unwrap();
    assert_eq!(known.iter().map(|d| (d.directory.as_str(), d.people, d.refused)).collect::<Vec<_>>(), [("corp", 2, 2)]);
    let (hers, his) = (token(&store, "alice", false).await, token(&store, "bob", false).await);
    let watched = store.lease_person("bob").await.unwrap();
    assert_eq!(watched.account().unwrap().records.len(), 1);

    assert_eq!(store.forget_directory("other", BY, at(2)).await.unwrap(), None);
    assert_eq!(store.forget_directory("corp", BY, at(2)).await.unwrap(), known.first().cloned());
    assert_eq!(watched.account().unwrap().records, [], "who is watched is told");
    assert!(store.verify_token(hers.expose(), at(3)).await.is_err());
    store.verify_token(his.expose(), at(3)).await.unwrap();
    for user in ["alice", "bob", "gone"] {
        assert_eq!(store.account(user).await.unwrap().refusal(), None, "{user}");
    }
    assert!(store.account("carol").await.unwrap().in_source(LOCAL).is_some());
    assert_eq!(store.directories().await.unwrap(), []);
    assert_eq!(
        told(&store).await.last().unwrap(),
        "directory.forgotten corp (2 people, 2 of them disabled or removed) by root"
    );
}
