//! What the sessions on one database share: the catalog as it was last seen, and what was found out about statements.
//!
//! A snapshot belongs to a version of the database's catalog and to the rules that labelled it. A verdict belongs to a
//! statement's text and everything else it was made from; its [`View`] names that. Nothing here is ever a reason to pass
//! something on: a missing entry costs time, a wrong one cannot be found under its key.

use crate::alterations::{Alterations, AsOf, Asked, Course, Weighs};
use crate::prepare::{Known, Prepared};
use lockgate_core::limits::{
    ANALYSIS_CACHE_BYTES_MAX, ANALYSIS_CACHE_ENTRIES_MAX, CATALOG_AGE_MS_MAX, PG_DATABASES_KEPT, SEARCH_PATHS_BYTES_MAX,
};
use lockgate_core::{Identity, Timestamp};
use lockgate_mask::{TypeFact, TypeKind, TypeTable};
use lockgate_session::{Judgement, TargetRules};
use lockgate_sql::facts::CatalogFacts;
use lockgate_sql::{Catalog, ParameterTypes, Shape};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A catalog, and what the mask stage needs of it.
pub(crate) struct Snapshot {
    pub(crate) catalog: Catalog,
    pub(crate) types: TypeTable,
    /// Unique in this process.
    pub(crate) id: u64,
    /// The version of the target's rules that labelled it.
    pub(crate) rules: u64,
    /// The version of the labels that data brought along.
    pub(crate) labels: u64,
    /// A digest of the catalog's version: names mean the same in those of one, however they are labelled.
    pub(crate) names: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Snapshot {
    /// Of a database that was not asked yet: every name in it is unknown.
    pub(crate) fn empty(target: &TargetRules) -> Self {
        Snapshot::new(
            Catalog::build(CatalogFacts::default(), &target.columns, &target.safe_functions),
            target.version,
            0,
        )
    }

    pub(crate) fn new(catalog: Catalog, rules: u64, labels: u64) -> Self {
        let mut types = TypeTable::new();
        for (oid, fact) in catalog.types() {
            let kind = match fact.kind {
                'A' => TypeKind::Array { element: fact.element },
                'd' => TypeKind::Domain { base: fact.base },
                'e' => TypeKind::Enum { labels: fact.labels.clone() },
                'c' => TypeKind::Composite { fields: fact.fields.clone() },
                'r' => TypeKind::Range { subtype: fact.subtype },
                'm' => TypeKind::Multirange { range: fact.subtype },
                _ => TypeKind::Base { name: fact.name.clone() },
            };
            types.insert(TypeFact { oid: *oid, kind });
        }
        let mut names = DefaultHasher::new();
        catalog.version().hash(&mut names);
        let (id, names) = (NEXT_ID.fetch_add(1, Ordering::Relaxed), names.finish());
        Snapshot { catalog, types, id, rules, labels, names }
    }
}

impl Weighs for Arc<Snapshot> {
    fn bytes(&self) -> usize {
        self.catalog.bytes()
    }

    fn is_one_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}

/// Everything besides the text that a verdict was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) snapshot: u64,
    /// [`Snapshot::names`] of it.
    pub(crate) names: u64,
    pub(crate) path: u64,
    pub(crate) identity: u64,
    pub(crate) rules: u64,
    /// The text is one that the target has already: it is taken as it is, where texts are rewritten.
    pub(crate) as_it_is: bool,
    /// The text is a message of several statements that begins outside of a transaction.
    pub(crate) begins: bool,
    /// What the client says of the types of its parameters.
    pub(crate) parameters: ParameterTypes,
}

/// What the sessions of one target on one database share.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    cache: Mutex<Cache>,
    /// How often it was labelled in another way.
    relabelled: AtomicU64,
    /// What sessions sent that may alter the catalog.
    pub(crate) alterations: Alterations<Arc<Snapshot>>,
}

#[derive(Default)]
struct State {
    snapshot: Option<Arc<Snapshot>>,
    confirmed: Timestamp,
    as_of: AsOf,
    paths: HashMap<Vec<String>, u64>,
    /// What these take.
    paths_bytes: usize,
    identities: HashMap<(Identity, IpAddr), u64>,
}

/// What was found out under different views.
type ByView<T> = Vec<(View, Arc<T>)>;

/// What was found out about all texts of one shape that have these numbers in the places that are not idle.
struct Alike {
    view: View,
    /// By the place among the shape's numbers.
    numbers: Vec<(usize, Box<str>)>,
    known: Arc<Known>,
}

impl Alike {
    fn is_of(&self, text: &str, shape: &Shape, view: View) -> bool {
        self.view == view && self.numbers.iter().all(|(at, number)| shape.number(text, *at) == Some(number))
    }
}
/// The number of no search path: names stand for whatever is called so anywhere.
pub(crate) const ANY_PATH: u64 = u64::MAX;

/// What keeping the name of a schema in a path takes besides, in estimate.
const PATH_ENTRY_BYTES: usize = 48;

/// Entries kept of one shape under one view. More means that its numbers are not as idle as hoped, and then looking is no cheaper than
/// analysing.
const ALIKE_MAX: usize = 16;

#[derive(Default)]
struct Cache {
    entries: HashMap<Arc<str>, ByView<Prepared>>,
    /// By the key of the shape.
    shapes: HashMap<Box<[u8]>, Vec<Alike>>,
    /// Judgements by what a text does.
    judgements: HashMap<Box<[u8]>, ByView<Judgement>>,
    judgement_count: usize,
    count: usize,
    bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The last snapshot, whatever its age.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        lock(&self.state).snapshot.clone()
    }

    /// Whether the snapshot was found true a short while ago.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.millis_since(lock(&self.state).confirmed);
        // A clock that went back makes it stale, not young.
        (0..=CATALOG_AGE_MS_MAX).contains(&age)
    }

    /// As of when this snapshot is known, if it is still the one for everybody.
    pub(crate) fn as_of(&self, snapshot: &Arc<Snapshot>) -> Option<AsOf> {
        let state = lock(&self.state);
        state.snapshot.as_ref().is_some_and(|s| Arc::ptr_eq(s, snapshot)).then(|| state.as_of.clone())
    }

    /// The last snapshot, and as of when it is known.
    pub(crate) fn snapshot_as_of(&self) -> Option<(Arc<Snapshot>, AsOf)> {
        let state = lock(&self.state);
        state.snapshot.clone().map(|snapshot| (snapshot, state.as_of.clone()))
    }

    /// The database's catalog still has the snapshot's version.
    pub(crate) fn confirm(&self, snapshot: &Arc<Snapshot>, asked: &Asked, now: Timestamp) {
        self.alterations.answered(asked, Arc::clone(snapshot), snapshot.labels, now);
        let mut state = lock(&self.state);
        let same = state.snapshot.as_ref().is_some_and(|s| Arc::ptr_eq(s, snapshot));
        if same && !asked.as_of.is_before(&state.as_of) {
            // A later question may have been answered before; a clock may have gone back.
            if asked.at.millis_since(state.confirmed) > 0 || state.confirmed.millis_since(now) > 0 {
                state.confirmed = asked.at;
            }
            state.as_of = asked.as_of.clone();
        }
    }

    /// A newer snapshot for everybody.
    pub(crate) fn replace(&self, snapshot: Arc<Snapshot>, asked: &Asked, now: Timestamp) {
        self.relabelled.fetch_add(1, Ordering::Release);
        self.alterations.answered(asked, Arc::clone(&snapshot), snapshot.labels, now);
        self.alterations.course().found(snapshot.catalog.version());
        let mut state = lock(&self.state);
        state.snapshot = Some(snapshot);
        state.confirmed = asked.at;
        state.as_of = asked.as_of.clone();
        drop(state);
        *lock(&self.cache) = Cache::default();
    }

    /// How often the catalog was found or made to be another, for who cannot see it himself.
    pub(crate) fn changes(&self) -> u64 {
        self.relabelled.load(Ordering::Acquire).wrapping_add(self.alterations.course().changes())
    }

    /// Somebody changed the catalog: everybody asks again before the next statement.
    pub(crate) fn doubt(&self) {
        self.alterations.course().changed();
        lock(&self.state).confirmed = Timestamp::default();
    }

    /// A number for a search path: never [`ANY_PATH`].
    pub(crate) fn path_id(&self, path: &[String]) -> u64 {
        let mut state = lock(&self.state);
        if let Some(id) = state.paths.get(path) {
            return *id;
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let bytes = path.iter().map(|schema| schema.len().saturating_add(PATH_ENTRY_BYTES)).sum();
        if state.paths_bytes.saturating_add(bytes) > SEARCH_PATHS_BYTES_MAX {
            // A number that is forgotten comes never again.
            state.paths = HashMap::new();
            state.paths_bytes = 0;
        }
        if bytes <= SEARCH_PATHS_BYTES_MAX {
            state.paths_bytes += bytes;
            state.paths.insert(path.to_vec(), id);
        }
        id
    }

    /// A number for an identity at an address.
    pub(crate) fn identity_id(&self, identity: &Identity, address: IpAddr) -> u64 {
        let mut key = identity.clone();
        // Two tokens of the same person see the same policies.
        key.token_id = None;
        let mut state = lock(&self.state);
        if let Some(id) = state.identities.get(&(key.clone(), address)) {
            return *id;
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        if state.identities.len() < ANALYSIS_CACHE_ENTRIES_MAX {
            state.identities.insert((key, address), id);
        }
        id
    }

    /// What was found out about this text under this view.
    pub(crate) fn find(&self, text: &str, view: View) -> Option<Arc<Prepared>> {
        let cache = lock(&self.cache);
        let found = cache.entries.get(text)?.iter().find(|(v, _)| *v == view)?;
        Some(Arc::clone(&found.1))
    }

    /// What was found out about a text that differs from this one in idle numbers only.
    pub(crate) fn find_alike(&self, text: &str, shape: &Shape, view: View) -> Option<Arc<Known>> {
        let cache = lock(&self.cache);
        let found = cache.shapes.get(shape.key())?.iter().find(|alike| alike.is_of(text, shape, view))?;
        Some(Arc::clone(&found.known))
    }

    /// Keeps what was found out about a text for all that differ from it in idle numbers only.
    pub(crate) fn keep_alike(&self, text: &str, shape: &Shape, idle: &[bool], view: View, known: &Arc<Known>) {
        let numbers: Vec<(usize, Box<str>)> = (0..shape.len())
            .filter(|at| idle.get(*at) != Some(&true))
            .filter_map(|at| Some((at, Box::from(shape.number(text, at)?))))
            .collect();
        let bytes = weight(text.len()).saturating_add(known.parts_bytes());
        if bytes > ENTRY_BYTES_MAX {
            return;
        }
        let mut cache = lock(&self.cache);
        cache.make_room(bytes);
        let alike = cache.shapes.entry(Box::from(shape.key())).or_default();
        if alike.iter().filter(|other| other.view == view).count() >= ALIKE_MAX {
            alike.retain(|other| other.view != view);
        }
        alike.push(Alike { view, numbers, known: Arc::clone(known) });
    }

    /// The judgement of a batch that does this, under this view.
    pub(crate) fn judgement(&self, does: &[u8], view: View) -> Option<Arc<Judgement>> {
        let cache = lock(&self.cache);
        let found = cache.judgements.get(does)?.iter().find(|(v, _)| *v == view)?;
        Some(Arc::clone(&found.1))
    }

    /// Keeps a judgement, unless it may be another one at another time.
    pub(crate) fn keep_judgement(&self, does: Box<[u8]>, view: View, judgement: &Arc<Judgement>) {
        if judgement.depends_on_time || does.len() > ANALYSIS_CACHE_BYTES_MAX / ANALYSIS_CACHE_ENTRIES_MAX {
            return;
        }
        let mut cache = lock(&self.cache);
        if cache.judgement_count >= ANALYSIS_CACHE_ENTRIES_MAX {
            cache.judgements.clear();
            cache.judgement_count = 0;
        }
        cache.judgement_count += 1;
        cache.judgements.entry(does).or_default().push((view, Arc::clone(judgement)));
    }

    /// Keeps what was found out: entries are cheap to make again.
    pub(crate) fn keep(&self, view: View, prepared: &Arc<Prepared>) {
        let bytes = weight(prepared.texts_bytes()).saturating_add(prepared.parts_bytes());
        if bytes > ENTRY_BYTES_MAX {
            return;
        }
        let mut cache = lock(&self.cache);
        cache.make_room(bytes);
        cache.entries.entry(Arc::clone(prepared.asked())).or_default().push((view, Arc::clone(prepared)));
    }
}

/// A text that weighs more is not kept.
const ENTRY_BYTES_MAX: usize = ANALYSIS_CACHE_BYTES_MAX / 32;

/// What is kept of a text of so many bytes, in estimate: the text, what it means, its plan and its certificate. Wide results come
/// on top.
const fn weight(text_bytes: usize) -> usize {
    text_bytes.saturating_mul(16).saturating_add(4_096)
}

impl Cache {
    /// Counts one more entry of so many bytes. A full cache starts over.
    fn make_room(&mut self, bytes: usize) {
        if self.count >= ANALYSIS_CACHE_ENTRIES_MAX || self.bytes.saturating_add(bytes) > ANALYSIS_CACHE_BYTES_MAX {
            self.entries.clear();
            self.shapes.clear();
            self.count = 0;
            self.bytes = 0;
        }
        self.count += 1;
        self.bytes += bytes;
    }
}

/// The databases of all targets.
#[derive(Default)]
pub(crate) struct Databases {
    known: Mutex<ByPlace>,
}

/// By where a target leads and the database's name: what is altered there, and by target what its sessions share.
#[derive(Default)]
struct ByPlace {
    courses: HashMap<(String, String), Arc<Course>>,
    shared: HashMap<(String, String, String), Arc<Shared>>,
    /// At how many it is worth looking for some that nobody uses.
    look_at: usize,
}

impl ByPlace {
    /// Forgets databases that no session is on. Whoever comes next asks the target first, as the first of all did.
    fn forget_unused(&mut self, now: Timestamp) {
        // Nobody gets hold of one meanwhile: that goes through here.
        self.shared.retain(|_, shared| Arc::strong_count(shared) > 1 || !shared.alterations.course().is_quiet(now));
        self.courses.retain(|_, course| Arc::strong_count(course) > 1);
        self.look_at = self.shared.len().saturating_mul(2);
    }
}

impl Databases {
    /// What sessions of this target share on a database at a place.
    pub(crate) fn get(&self, target: &str, place: &str, database: &str, now: Timestamp) -> Arc<Shared> {
        let mut known = lock(&self.known);
        if known.shared.len() >= known.look_at.max(PG_DATABASES_KEPT) {
            known.forget_unused(now);
        }
        let course = known.courses.entry((place.to_owned(), database.to_owned())).or_default();
        let course = Arc::clone(course);
        let key = (target.to_owned(), place.to_owned(), database.to_owned());
        let on = || Arc::new(Shared { alterations: Alterations::on(course), ..Shared::default() });
        Arc::clone(known.shared.entry(key).or_insert_with(on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).plus_millis(ms)
    }

    #[test]
    fn databases_that_nobody_is_on_are_forgotten() {
        let all = Databases::default();
        let used = all.get("shop", "db:5432", "used", at(0));
        for n in 0..PG_DATABASES_KEPT * 3 {
            drop(all.get("shop", "db:5432", &format!("tenant{n}"), at(0)));
        }
        let known = lock(&all.known);
        assert!(known.shared.len() <= PG_DATABASES_KEPT + 1, "{} are kept", known.shared.len());
        assert!(known.courses.len() <= PG_DATABASES_KEPT + 1);
        drop(known);
        assert!(Arc::ptr_eq(&used, &all.get("shop", "db:5432", "used", at(0))), "one in use stays the same for all");
    }

    #[test]
    fn paths_are_counted_by_what_they_take() {
        let shared = Shared::default();
        let path = |n: usize| (0..1_000).map(|at| format!("a_tenant_{}", (n + at) % 1_000)).collect::<Vec<_>>();
        let first = shared.path_id(&path(0));
        assert_eq!(shared.path_id(&path(0)), first);
        for n in 1..1_000 {
            assert_ne!(shared.path_id(&path(n)), first);
        }
        let state = lock(&shared.state);
        let bytes: usize = state.paths.keys().flatten().map(String::len).sum();
        assert!(bytes <= SEARCH_PATHS_BYTES_MAX && state.paths_bytes <= SEARCH_PATHS_BYTES_MAX, "{bytes}");
        assert!(!state.paths.is_empty());
    }

    #[test]
    fn an_answer_is_as_old_as_its_question() {
        let shared = Shared::default();
        let snapshot = |at: i64| {
            let asked = shared.alterations.ask(self::at(at));
            let catalog = Catalog::build(CatalogFacts::default(), &[], &[]);
            (asked, Arc::new(Snapshot::new(catalog, 0, 0)))
        };
        let (asked, first) = snapshot(0);
        shared.replace(Arc::clone(&first), &asked, at(10));
        assert!(shared.is_fresh(at(400)));
        let (asked, _) = snapshot(1_000);
        shared.confirm(&first, &asked, at(9_000));
        assert!(!shared.is_fresh(at(9_001)), "it is of eight seconds ago");
        let (late, _) = snapshot(9_100);
        let (asked, _) = snapshot(9_200);
        shared.confirm(&first, &asked, at(9_210));
        shared.confirm(&first, &late, at(9_220));
        assert!(shared.is_fresh(at(9_650)), "one that was asked later was answered before");
    }

    #[test]
    fn what_a_session_left_running_is_remembered_until_it_must_be_over() {
        let all = Databases::default();
        let left = all.get("shop", "db:5432", "left", at(0));
        let open = left.alterations.begin(crate::alterations::Manner::default(), None);
        left.alterations.abandon(open, at(0));
        drop(left);
        let kept = |now: i64| {
            for n in 0..PG_DATABASES_KEPT * 3 {
                drop(all.get("shop", "db:5432", &format!("tenant{n}"), at(now)));
            }
            lock(&all.known).shared.keys().any(|(.., database)| database == "left")
        };
        assert!(kept(1));
        assert!(!kept(lockgate_core::limits::ALTERATION_LINGER_MS));
    }
}
