//! What the sessions on one database sent that may alter what names mean: definitions, and who may find them. Which of it is
//! known to be over, and what the catalog looked like in between.
//!
//! A statement is judged by a snapshot and runs later, when it has got its locks: what it finds then may be what another
//! session committed meanwhile. Every alteration is counted before its bytes go to the target, so whatever was made by its
//! leave comes back after it was counted. The count at the first answer tells whether there is anything to think about; if
//! so, [`Alterations::step`] says by which snapshots the statement has to be judged again before its answer may go out.
//!
//! ```text
//!   asked ──► judged ──► sent ─ ─ ─ waits for locks ─ ─ ─ runs ──► first answer
//!      └──────────── alterations that were open or begun in here are uncertain ──┘
//! ```
//!
//! One alteration is one step between two states of the catalog. Of several in a row, each state between them has to be
//! known: the second may have undone the first, and the last state alone would not show what there was.

use lockgate_core::Timestamp;
use lockgate_core::limits::{
    ALTERATION_LINGER_MS, ALTERATION_STATES_BYTES_MAX, ALTERATION_STATES_MAX, CATALOG_DOUBT_MS_MAX,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As of when a snapshot is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AsOf {
    /// How many alterations had been sent when the target was asked.
    sent: u64,
    /// Which of them were not over then: the snapshot may show them or not.
    open: Option<Arc<[u64]>>,
}

impl AsOf {
    fn open(&self) -> &[u64] {
        self.open.as_deref().unwrap_or_default()
    }

    /// Whether fewer alterations had been sent than by the other.
    pub(crate) fn is_before(&self, other: &AsOf) -> bool {
        self.sent < other.sent
    }
}

/// An alteration on its way: one number, or two where it may become visible in several steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alteration {
    first: u64,
    last: u64,
}

impl Alteration {
    fn has(&self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

/// What one session has on its way: an alteration, and another one where it went on after the first may have been visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    first: Option<Alteration>,
    more: Option<Alteration>,
}

impl Own {
    pub(crate) fn is_none(&self) -> bool {
        self.first.is_none()
    }

    fn has(&self, number: u64) -> bool {
        self.each().any(|alteration| alteration.has(number))
    }

    fn each(&self) -> impl Iterator<Item = Alteration> {
        self.first.into_iter().chain(self.more)
    }
}

/// How an alteration becomes visible to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manner {
    /// In more than one step: it commits more than once.
    pub(crate) several: bool,
    /// Other sessions may look names up in other schemas afterwards.
    pub(crate) moves_paths: bool,
}

/// A question about the catalog on its way.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    number: u64,
    pub(crate) as_of: AsOf,
    /// When: what the answer says may be as old as that, however late it comes.
    pub(crate) at: Timestamp,
}

/// A statement whose first answer came, and what is uncertain about it.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// By what it was judged.
    pub(crate) as_of: AsOf,
    /// The session's own alteration, which it knows of.
    pub(crate) own: Own,
    /// The labels it was judged by.
    pub(crate) labels: u64,
    /// How many alterations had been sent when the answer came. Later ones are nothing to it.
    until: u64,
    /// Questions with higher numbers were asked after the answer came.
    since: u64,
    /// The labels there were when the answer came.
    labels_until: u64,
    /// The relations that it reads, with or without their schemas; `None` where it may read any. A new relation of another
    /// name is nothing to it.
    pub(crate) names: Option<Arc<[Box<str>]>>,
}

/// What is to be done about a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// It ran under what it was judged by.
    Done,
    /// It has to be judged by this as well. If the outcome is the same, it is as good as judged as of then.
    Judge(Next<T>),
    /// A question that is answered from now on may tell.
    Wait,
    /// Nothing will tell any more what it ran under.
    Never,
}

/// What a statement has to be judged by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next<T> {
    pub(crate) snapshot: T,
    /// As of when, for what has come of it.
    pub(crate) as_of: AsOf,
    /// The same for what is still to come of it: what was on its way when that was asked for may be visible later.
    pub(crate) later: AsOf,
    pub(crate) labels: u64,
}

/// What a state of the catalog takes of memory.
pub(crate) trait Weighs {
    /// Bytes, in estimate.
    fn bytes(&self) -> usize;
    /// Whether both are one and take their memory once.
    fn is_one_with(&self, other: &Self) -> bool;
}

/// The alterations of one database, whichever target they go through.
#[derive(Default)]
pub(crate) struct Course {
    sent: AtomicU64,
    /// How often the database's catalog was found or made to be another.
    changes: AtomicU64,
    way: Mutex<Way>,
}

/// The alterations of one database as sessions of one target see them: by its rules, and by what they asked. `T` is a
/// snapshot.
pub(crate) struct Alterations<T> {
    course: Arc<Course>,
    state: Mutex<State<T>>,
}

/// What is on its way to a database, and what is remembered of the latest.
#[derive(Default)]
struct Way {
    open: Vec<Open>,
    /// The catalog's version as it was last found.
    version: String,
    /// The latest alterations that may have moved other sessions' search paths.
    movers: VecDeque<u64>,
    /// Of older ones nobody knows.
    movers_since: u64,
    /// The latest alterations that did nothing but make new relations, and what these are called.
    makers: VecDeque<(u64, Arc<[Box<str>]>)>,
}

impl Way {
    /// Forgets what sessions left behind that the target is no longer at.
    fn forget_over(&mut self, now: Timestamp) {
        let over = |open: &Open| {
            // A clock that went back is no reason to wait for ever.
            open.abandoned.is_some_and(|at| !(0..ALTERATION_LINGER_MS).contains(&now.millis_since(at)))
        };
        self.open.retain(|open| !over(open));
    }
}

struct State<T> {
    questions: u64,
    /// States of the catalog when nothing was on its way, by the number of the last alteration before.
    states: VecDeque<Known<T>>,
    /// The latest answer.
    latest: Option<(Asked, Known<T>)>,
}

impl<T: Weighs> State<T> {
    /// What the states take. Those that follow one another may be one.
    fn bytes(&self) -> usize {
        let mut last: Option<&T> = None;
        self.states.iter().fold(0, |sum, known| {
            let again = last.is_some_and(|last| last.is_one_with(&known.snapshot));
            last = Some(&known.snapshot);
            if again { sum } else { known.snapshot.bytes().saturating_add(sum) }
        })
    }
}

struct Open {
    alteration: Alteration,
    /// When its session went away without an answer.
    abandoned: Option<Timestamp>,
}

#[derive(Clone)]
struct Known<T> {
    sent: u64,
    labels: u64,
    snapshot: T,
    at: Timestamp,
}

/// Before the name of a table among what an alteration makes: an index, or statistics, of it. That is nothing to statements that
/// do not ask for it, also where these may read any table.
pub(crate) const COMPUTED: &str = "\0computed of ";

/// Alterations that move paths and are remembered one by one.
const MOVERS_MAX: usize = 64;
/// The same of those that make relations.
const MAKERS_MAX: usize = 64;

impl Course {
    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// How often the catalog was found or made to be another.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// It was made to be another.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Whether nothing is on its way, so that who asks from now on knows as much as somebody who was here before.
    pub(crate) fn is_quiet(&self, now: Timestamp) -> bool {
        let mut way = self.way();
        way.forget_over(now);
        way.open.is_empty()
    }

    /// It was found to be of this version.
    pub(crate) fn found(&self, version: &str) {
        let mut way = self.way();
        if way.version != version {
            if !way.version.is_empty() {
                self.changed();
            }
            version.clone_into(&mut way.version);
        }
    }

    fn begin(&self, manner: Manner, makes: Option<Vec<Box<str>>>) -> Alteration {
        let mut way = self.way();
        let first = self.sent() + 1;
        let last = first + u64::from(manner.several);
        if let (Some(names), false) = (makes, manner.several || manner.moves_paths) {
            way.makers.push_back((first, Arc::from(names)));
            while way.makers.len() > MAKERS_MAX {
                way.makers.pop_front();
            }
        }
        way.open.push(Open { alteration: Alteration { first, last }, abandoned: None });
        if manner.moves_paths {
            way.movers.extend(first..=last);
            while way.movers.len() > MOVERS_MAX {
                way.movers_since = way.movers.pop_front().unwrap_or_default();
            }
        }
        self.sent.store(last, Ordering::Release);
        Alteration { first, last }
    }
}

impl<T> Default for Alterations<T> {
    fn default() -> Self {
        Alterations::on(Arc::default())
    }
}

impl<T> Alterations<T> {
    /// Those of this database, of which a target's sessions have seen nothing yet.
    pub(crate) fn on(course: Arc<Course>) -> Self {
        let state = Mutex::new(State { questions: 0, states: VecDeque::new(), latest: None });
        Alterations { course, state }
    }

    /// What all targets of the database share.
    pub(crate) fn course(&self) -> &Course {
        &self.course
    }
}

impl<T: Clone + Weighs> Alterations<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> u64 {
        self.course.sent()
    }

    /// Something is about to be sent. `makes`: what new relations are called, if it does nothing but make them.
    pub(crate) fn begin(&self, manner: Manner, makes: Option<Vec<Box<str>>>) -> Own {
        Own { first: Some(self.course.begin(manner, makes)), more: None }
    }

    /// It is about to do more than was said.
    pub(crate) fn widen(&self, own: Own) {
        self.course.way().makers.retain(|(number, _)| !own.has(*number));
    }

    /// It is about to go on after it may have been visible: from here on nobody can say what there is in between.
    pub(crate) fn go_on(&self, own: &mut Own, moves_paths: bool) {
        if own.more.is_none() {
            own.more = Some(self.course.begin(Manner { several: true, moves_paths }, None));
        }
        self.widen(*own);
    }

    /// It was answered: whatever came of it is there.
    pub(crate) fn complete(&self, own: Own) {
        self.course.way().open.retain(|open| !own.each().any(|own| own == open.alteration));
    }

    /// Its session went away before it was answered. The target may still be at it for a while.
    pub(crate) fn abandon(&self, own: Own, now: Timestamp) {
        for open in self.course.way().open.iter_mut().filter(|open| own.each().any(|own| own == open.alteration)) {
            open.abandoned = Some(now);
        }
    }

    /// The target is about to be asked.
    pub(crate) fn ask(&self, now: Timestamp) -> Asked {
        let mut way = self.course.way();
        way.forget_over(now);
        let mut state = self.state();
        state.questions += 1;
        let open: Vec<u64> = way.open.iter().flat_map(|o| o.alteration.first..=o.alteration.last).collect();
        let open = (!open.is_empty()).then(|| Arc::from(open));
        Asked { number: state.questions, as_of: AsOf { sent: self.sent(), open }, at: now }
    }

    /// The target answered with this, which holds for everybody.
    pub(crate) fn answered(&self, asked: &Asked, snapshot: T, labels: u64, now: Timestamp) {
        let mut state = self.state();
        let known = Known { sent: self.sent(), labels, snapshot, at: now };
        if asked.as_of.open.is_none() && asked.as_of.sent == known.sent {
            state.states.retain(|other| {
                other.sent != known.sent && (0..CATALOG_DOUBT_MS_MAX).contains(&now.millis_since(other.at))
            });
            state.states.push_back(known.clone());
            while state.states.len() > ALTERATION_STATES_MAX
                || (state.states.len() > 1 && state.bytes() > ALTERATION_STATES_BYTES_MAX)
            {
                state.states.pop_front();
            }
        }
        if state.latest.as_ref().is_none_or(|(latest, _)| latest.number < asked.number) {
            state.latest = Some((asked.clone(), known));
        }
    }

    /// Whether a snapshot lacks what is known to be there.
    pub(crate) fn is_behind(&self, as_of: &AsOf) -> bool {
        if self.is_all(as_of) {
            return false;
        }
        let way = self.course.way();
        let is_open = |number: u64| way.open.iter().any(|o| o.alteration.has(number));
        let uncertain = self.sent().saturating_sub(as_of.sent);
        let open_since = way.open.iter().flat_map(|o| o.alteration.first..=o.alteration.last);
        let open_since = open_since.filter(|n| *n > as_of.sent).count();
        u64::try_from(open_since).unwrap_or(u64::MAX) < uncertain || as_of.open().iter().any(|n| !is_open(*n))
    }

    /// Whether something that may have moved other sessions' search paths is over that a path which was asked for then may lack.
    pub(crate) fn has_moved_paths_since(&self, as_of: &AsOf) -> bool {
        if self.is_all(as_of) {
            return false;
        }
        let way = self.course.way();
        let is_open = |number: u64| way.open.iter().any(|o| o.alteration.has(number));
        way.movers_since > as_of.sent
            || way
                .movers
                .iter()
                .any(|number| (*number > as_of.sent || as_of.open().contains(number)) && !is_open(*number))
    }

    /// Whether nothing can have happened since: the one question of every answer.
    pub(crate) fn is_all(&self, as_of: &AsOf) -> bool {
        as_of.open.is_none() && as_of.sent == self.sent()
    }

    /// A statement's first answer came, and there are these labels now.
    pub(crate) fn pending(&self, as_of: AsOf, own: Own, labels: u64, labels_until: u64) -> Pending {
        let questions = self.state().questions;
        Pending { as_of, own, labels, until: self.sent(), since: questions, labels_until, names: None }
    }

    /// How a statement comes nearer to certainty.
    pub(crate) fn step(&self, pending: &Pending) -> Step<T> {
        let way = self.course.way();
        let state = self.state();
        let between = |until: u64| -> Vec<u64> {
            let own = |number: &u64| pending.own.has(*number);
            let elsewhere = |number: &u64| {
                let maker = way.makers.iter().find(|(maker, _)| maker == number);
                match (maker, &pending.names) {
                    (Some((_, made)), Some(reads)) => {
                        !made.iter().any(|name| reads.iter().any(|read| is_called(read, name)))
                    }
                    (Some((_, made)), None) => made.iter().all(|name| name.starts_with(COMPUTED)),
                    (None, _) => false,
                }
            };
            let since = pending.as_of.sent.saturating_add(1)..=until;
            let all = pending.as_of.open().iter().copied().chain(since);
            // No more than two are ever of use.
            all.filter(|n| !own(n) && !elsewhere(n)).take(2).collect()
        };
        let left = between(pending.until);
        if left.is_empty() && pending.labels >= pending.labels_until {
            return Step::Done;
        }
        let stays = |numbers: &[u64]| numbers.iter().all(|n| *n > way.movers_since && !way.movers.contains(n));
        let known = state.states.iter().find(|known| {
            let numbers = if known.sent < pending.as_of.sent { return false } else { between(known.sent) };
            let labels = known.labels > pending.labels && known.labels >= pending.labels_until;
            numbers.iter().all(|n| *n <= pending.until)
                && stays(&numbers)
                && (numbers.len() == 1 || (numbers.is_empty() && labels))
        });
        if let Some(known) = known {
            let as_of = AsOf { sent: known.sent, open: None };
            let labels = known.labels.max(pending.labels);
            return Step::Judge(Next { snapshot: known.snapshot.clone(), later: as_of.clone(), as_of, labels });
        }
        if left.len() > 1 || between(self.sent()) != left {
            return Step::Never;
        }
        match &state.latest {
            Some((asked, known))
                if asked.number > pending.since
                    && known.sent >= pending.until
                    && between(known.sent) == left
                    && known.labels >= pending.labels_until
                    && stays(&left) =>
            {
                let as_of = AsOf { sent: known.sent, open: None };
                let (snapshot, labels) = (known.snapshot.clone(), known.labels);
                Step::Judge(Next { snapshot, as_of, later: asked.as_of.clone(), labels })
            }
            _ => Step::Wait,
        }
    }

    /// Whether an answer that the session itself got to a question of its own, asked after the statement's answer came,
    /// tells the rest, whatever schemas it looks names up in now.
    pub(crate) fn tells(&self, asked: &Asked, labels: u64, pending: &Pending) -> bool {
        // Where something was begun that means something to it there is no telling any more.
        asked.number > pending.since && labels >= pending.labels_until && !matches!(self.step(pending), Step::Never)
    }
}

/// Whether a relation is called so, whatever its schema.
fn is_called(relation: &str, name: &str) -> bool {
    relation.strip_suffix(name).is_some_and(|schema| schema.is_empty() || schema.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    type All = Alterations<&'static str>;

    impl Weighs for &'static str {
        fn bytes(&self) -> usize {
            if *self == "large" { ALTERATION_STATES_BYTES_MAX / 2 } else { 1 }
        }

        fn is_one_with(&self, other: &Self) -> bool {
            self == other
        }
    }

    const ONE: Manner = Manner { several: false, moves_paths: false };

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    /// A question that is answered at once.
    fn look(all: &All, name: &'static str) -> AsOf {
        let asked = all.ask(now());
        all.answered(&asked, name, 1, now());
        asked.as_of
    }

    fn change(all: &All, name: &'static str) -> AsOf {
        all.complete(all.begin(ONE, None));
        look(all, name)
    }

    fn pending(all: &All, as_of: &AsOf) -> Pending {
        all.pending(as_of.clone(), Own::default(), 1, 1)
    }

    /// The snapshots by which a statement has to be judged, and how it ends.
    fn steps(all: &All, mut pending: Pending) -> (Vec<&'static str>, Step<&'static str>) {
        let mut judged = Vec::new();
        loop {
            match all.step(&pending) {
                Step::Judge(Next { snapshot: name, as_of, labels, .. }) => {
                    judged.push(name);
                    pending.as_of = as_of;
                    pending.labels = labels;
                }
                end => return (judged, end),
            }
        }
    }

    #[test]
    fn every_state_between_is_judged() {
        let all = All::default();
        let judged = look(&all, "a");
        assert!(all.is_all(&judged));
        change(&all, "b");
        change(&all, "c");
        assert!(!all.is_all(&judged) && all.is_behind(&judged));
        assert_eq!(steps(&all, pending(&all, &judged)), (vec!["b", "c"], Step::Done));
        // What comes later is nothing to it.
        let before = pending(&all, &judged);
        change(&all, "d");
        assert_eq!(steps(&all, before), (vec!["b", "c"], Step::Done));
    }

    #[test]
    fn a_state_that_nobody_saw_cannot_be_judged() {
        let all = All::default();
        let judged = look(&all, "a");
        all.complete(all.begin(ONE, None));
        let waits = pending(&all, &judged);
        assert_eq!(all.step(&waits), Step::Wait);
        change(&all, "c");
        assert_eq!(all.step(&waits), Step::Never);
        assert_eq!(all.step(&pending(&all, &judged)), Step::Never);
        let several = All::default();
        let judged = look(&several, "a");
        several.complete(several.begin(Manner { several: true, moves_paths: false }, None));
        look(&several, "c");
        assert_eq!(several.step(&pending(&several, &judged)), Step::Never);
    }

    #[test]
    fn what_is_on_its_way_is_uncertain_until_it_is_asked_for_behind_the_answer() {
        let all = All::default();
        let open = all.begin(ONE, None);
        let judged = look(&all, "a");
        assert!(!all.is_all(&judged) && !all.is_behind(&judged));
        let answered = pending(&all, &judged);
        assert_eq!(all.step(&answered), Step::Wait);
        look(&all, "b");
        assert_eq!(steps(&all, answered), (vec!["b"], Step::Done));
        // Two at a time could undo one another.
        let other = all.begin(ONE, None);
        let both = look(&all, "c");
        assert_eq!(all.step(&pending(&all, &both)), Step::Never);
        all.complete(other);
        assert!(all.is_behind(&both));
        all.complete(open);
        assert!(all.is_all(&look(&all, "d")));
    }

    #[test]
    fn what_is_still_on_its_way_is_uncertain_for_what_comes_later() {
        let all = All::default();
        let judged = look(&all, "a");
        let open = all.begin(ONE, None);
        let answered = pending(&all, &judged);
        let asked = look(&all, "a");
        let Step::Judge(next) = all.step(&answered) else { panic!("somebody has seen it") };
        assert_eq!(next.later, asked);
        assert!(!all.is_all(&next.later));
        all.complete(open);
        assert!(!all.is_all(&next.later));
        look(&all, "b");
        assert_eq!(steps(&all, pending(&all, &next.later)), (vec!["b"], Step::Done));
    }

    #[test]
    fn a_question_that_was_asked_before_a_change_does_not_know_it() {
        let all = All::default();
        let asked = all.ask(now());
        let change = all.begin(ONE, None);
        all.answered(&asked, "a", 1, now());
        all.complete(change);
        assert!(all.is_behind(&asked.as_of));
        assert_eq!(all.step(&pending(&all, &asked.as_of)), Step::Wait);
    }

    #[test]
    fn the_sessions_own_change_is_known_to_it() {
        let all = All::default();
        let judged = look(&all, "a");
        let own = all.begin(ONE, None);
        let answered = all.pending(judged.clone(), own, 1, 1);
        assert_eq!(all.step(&answered), Step::Done);
        let other = all.begin(ONE, None);
        let answered = all.pending(judged, own, 1, 1);
        assert_eq!(all.step(&answered), Step::Wait);
        all.complete(own);
        all.complete(other);
        look(&all, "b");
        assert_eq!(steps(&all, answered), (vec!["b"], Step::Done));
    }

    #[test]
    fn what_moves_search_paths_is_told_by_the_sessions_own_question_only() {
        let all = All::default();
        let judged = look(&all, "a");
        all.complete(all.begin(Manner { several: false, moves_paths: true }, None));
        let answered = pending(&all, &judged);
        look(&all, "b");
        assert_eq!(all.step(&answered), Step::Wait);
        let asked = all.ask(now());
        assert!(all.tells(&asked, 1, &answered));
        all.begin(ONE, None);
        assert!(!all.tells(&asked, 1, &answered), "it may show what came later");
    }

    #[test]
    fn labels_that_came_are_asked_for() {
        let all = All::default();
        let judged = look(&all, "a");
        let answered = all.pending(judged, Own::default(), 1, 2);
        assert_eq!(all.step(&answered), Step::Wait);
        let asked = all.ask(now());
        all.answered(&asked, "b", 2, now());
        assert_eq!(steps(&all, answered), (vec!["b"], Step::Done));
    }

    #[test]
    fn what_goes_on_after_a_commit_is_told_by_nobody() {
        let all = All::default();
        let judged = look(&all, "a");
        let mut own = all.begin(ONE, None);
        let between = pending(&all, &judged);
        all.go_on(&mut own, false);
        all.go_on(&mut own, false);
        let after = pending(&all, &look(&all, "b"));
        assert_eq!(all.step(&pending(&all, &judged)), Step::Never);
        all.complete(own);
        look(&all, "c");
        assert_eq!(all.step(&between), Step::Never);
        assert_eq!(all.step(&after), Step::Never);
        assert!(all.course.way().open.is_empty());
    }

    #[test]
    fn what_goes_through_one_target_counts_for_the_others_of_its_database() {
        let one = All::default();
        let two = All::on(Arc::clone(&one.course));
        let judged = look(&two, "a of two");
        let own = one.begin(ONE, None);
        assert!(!two.is_all(&judged) && !two.is_behind(&judged));
        one.complete(own);
        look(&one, "b of one");
        assert!(two.is_behind(&judged));
        let answered = pending(&two, &judged);
        assert_eq!(two.step(&answered), Step::Wait, "what others labelled is not for it");
        look(&two, "b of two");
        assert_eq!(steps(&two, answered), (vec!["b of two"], Step::Done));
    }

    #[test]
    fn nobody_waits_for_ever_for_who_went_away() {
        let all = All::default();
        let left = all.begin(ONE, None);
        all.abandon(left, now());
        assert!(!all.is_all(&look(&all, "a")));
        let later = now().plus_millis(ALTERATION_LINGER_MS);
        let asked = all.ask(later);
        assert!(all.is_all(&asked.as_of));
    }

    #[test]
    fn a_new_relation_is_nothing_to_who_names_others() {
        let all = All::default();
        let judged = look(&all, "a");
        let made = |name: &str| all.begin(ONE, Some(vec![name.into()]));
        let (one, two) = (made("one"), made("two"));
        let reads = |names: &[&str]| {
            let names = names.iter().map(|name| Box::from(*name)).collect();
            Pending { names: Some(names), ..pending(&all, &judged) }
        };
        assert_eq!(all.step(&reads(&["people"])), Step::Done);
        assert_eq!(all.step(&reads(&["public.people", "a.b.two"])), Step::Wait);
        assert_eq!(all.step(&reads(&["one", "two"])), Step::Never);
        assert_eq!(all.step(&pending(&all, &judged)), Step::Never, "it may read any");
        all.widen(one);
        assert_eq!(all.step(&reads(&["people"])), Step::Wait);
        all.complete(two);
    }

    #[test]
    fn memory_has_a_bound() {
        let all = All::default();
        for _ in 0..1_000 {
            all.complete(all.begin(Manner { several: false, moves_paths: true }, None));
            look(&all, "a");
        }
        let (way, state) = (all.course.way(), all.state());
        assert!(state.states.len() <= ALTERATION_STATES_MAX && way.movers.len() <= MOVERS_MAX);
        assert!(way.open.is_empty());
        drop((way, state));
        for name in ["large", "large", "b", "large", "c", "large"] {
            change(&all, name);
        }
        let kept: Vec<&str> = all.state().states.iter().map(|known| known.snapshot).collect();
        assert_eq!(kept, ["c", "large"]);
    }
}
