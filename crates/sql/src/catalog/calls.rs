//! Code that the server runs by itself: which functions the stored expressions of a table, a type or a function call.

use super::Catalog;
use super::facts::{Called, Caller};
use crate::builtins::{self, ExtensionFunction};
use crate::taint::Taint;
use lockgate_core::limits::PG_FIRST_USER_OID;

/// The type `event_trigger` (`pg_type.dat`).
const EVENT_TRIGGER: u32 = 3838;

impl Catalog {
    /// The functions that a relation's defaults, checks, keys and indexes call, those of its columns' types included.
    pub(crate) fn called_for(&self, relation: usize) -> Vec<usize> {
        self.called(self.callers_of(relation))
    }

    /// Whether they call functions of the server's own that change settings or run texts.
    pub(crate) fn calls_texts(&self, relation: usize) -> bool {
        self.all_called(self.callers_of(relation)).any(|called| Self::is_servers(&called))
    }

    /// Whether rows are inserted there without any code of users: no trigger, rule, row security, or function of a default, check or index,
    /// nor one that runs texts; partitions included.
    pub(crate) fn takes_rows_as_they_are(&self, relation: usize) -> bool {
        let takes = |index: usize| {
            self.relation(index).is_some_and(|relation| {
                let facts = &relation.facts;
                matches!(facts.kind, 'r' | 'p')
                    && !facts.has_rules
                    && !facts.guarded
                    && !relation.triggers.iter().any(|trigger| trigger.events.insert)
                    && self.called_for(index).is_empty()
                    && !self.calls_texts(index)
            })
        };
        takes(relation) && self.relation(relation).is_some_and(|r| r.descendants.iter().copied().all(takes))
    }

    /// Whether any stored expression does.
    pub(crate) fn any_calls_texts(&self) -> bool {
        self.calls.values().flatten().any(Self::is_servers)
    }

    /// Of the server's own the catalog names no others.
    fn is_servers(called: &Called) -> bool {
        matches!(called, Called::Function(oid) if *oid < PG_FIRST_USER_OID)
    }

    fn callers_of(&self, relation: usize) -> Vec<Caller> {
        let Some(relation) = self.relation(relation) else { return Vec::new() };
        let types = relation.facts.columns.iter().flat_map(|column| self.types_within(column.type_oid));
        std::iter::once(Caller::Relation(relation.facts.oid)).chain(types.map(Caller::Type)).collect()
    }

    /// The functions that a function's stored expressions call.
    pub(crate) fn called_from(&self, function: u32) -> Vec<usize> {
        self.called(vec![Caller::Function(function)])
    }

    /// The functions that defaults and checks of the types of this name call.
    pub(crate) fn called_for_types(&self, name: &str) -> Vec<usize> {
        self.called(self.types_named(name).map(|facts| Caller::Type(facts.oid)).collect())
    }

    /// What checks of domains may speak of. Values go through them in more places than name the type: arguments, parameters,
    /// results.
    pub(crate) fn types_say(&self) -> Taint {
        self.types_say
            .get_or_init(|| {
                let domains = self.calls.keys().filter(|caller| matches!(caller, Caller::Type(_))).copied();
                let mut taint = Taint::CLEAN;
                for function in self.called(domains.collect()) {
                    let summary = self.summary(function, &[], &[], false);
                    taint.join(&summary.value);
                    taint.join(&summary.touches);
                }
                taint
            })
            .clone()
    }

    /// Whether there is code of users that event triggers may set off: nothing else calls a function with their result.
    pub(crate) fn has_event_code(&self) -> bool {
        self.event_functions().next().is_some()
    }

    /// What event triggers may speak of, which definitions set off without naming them.
    pub(crate) fn events_say(&self) -> Taint {
        self.events_say
            .get_or_init(|| {
                let mut taint = Taint::CLEAN;
                for function in self.event_functions() {
                    let summary = self.summary(function, &[], &[], false);
                    taint.join(&summary.value);
                    taint.join(&summary.touches);
                }
                taint
            })
            .clone()
    }

    fn event_functions(&self) -> impl Iterator<Item = usize> {
        let returns = |function: &usize| self.function(*function).is_some_and(|f| f.facts.return_type == EVENT_TRIGGER);
        (0..self.functions.len()).filter(returns).filter(|function| !self.is_plain_extension(*function))
    }

    /// Whether the server, when it reads a literal of whatever type, speaks of nothing that has a label.
    pub fn reading_a_literal_tells_nothing(&self) -> bool {
        self.types_say().is_clean()
    }

    /// The functions that are called where a relation is read or written, without being named: those of row security, and of
    /// a write those of triggers, defaults, checks and indexes, there and wherever it goes on to.
    pub(super) fn set_off_at(&self, relation: usize, writes: bool) -> Vec<usize> {
        let mut functions = Vec::new();
        let mut all = vec![relation];
        let mut at = 0;
        while let Some(index) = all.get(at).copied() {
            at += 1;
            let Some(relation) = self.relation(index) else { continue };
            if writes || relation.facts.guarded {
                functions.extend(self.called_for(index));
            }
            if !writes {
                continue;
            }
            functions.extend(relation.triggers.iter().map(|trigger| trigger.function));
            let referring = self.references_to(index).filter(|r| r.carries_on()).map(|r| r.from);
            let through = self.written_through(index).unwrap_or_default();
            for next in relation.descendants.iter().copied().chain(referring).chain(through) {
                if !all.contains(&next) {
                    all.push(next);
                }
            }
        }
        functions
    }

    fn called(&self, callers: Vec<Caller>) -> Vec<usize> {
        let function = |called: Called| match called {
            Called::Function(oid) => self.functions_by_oid.get(&oid),
            Called::Operator(oid) => self.operator_functions.get(&oid),
            Called::Type(_) => None,
        };
        let functions = self.all_called(callers).filter_map(function).copied();
        let mut functions: Vec<usize> = functions.filter(|f| !self.is_plain_extension(*f)).collect();
        functions.sort_unstable();
        functions.dedup();
        functions
    }

    /// What these call, and the types that they name.
    fn all_called(&self, mut callers: Vec<Caller>) -> impl Iterator<Item = Called> {
        let mut all = Vec::new();
        let mut at = 0;
        while let Some(caller) = callers.get(at) {
            at += 1;
            for called in self.calls.get(caller).into_iter().flatten() {
                if let Called::Type(oid) = called {
                    for within in self.types_within(*oid).into_iter().map(Caller::Type) {
                        if !callers.contains(&within) {
                            callers.push(within);
                        }
                    }
                }
                all.push(*called);
            }
        }
        all.into_iter()
    }

    /// The code of an extension was installed by who administers the database; only what runs texts can be turned.
    pub(super) fn is_plain_extension(&self, function: usize) -> bool {
        let Some(facts) = self.function(function).map(|f| &f.facts) else { return false };
        facts.extension.as_ref().is_some_and(|extension| {
            !matches!(
                builtins::extension_function(extension, &facts.name),
                ExtensionFunction::Dynamic | ExtensionFunction::Administers
            )
        })
    }

    /// A type and those it is made of.
    pub(crate) fn types_within(&self, type_oid: u32) -> Vec<u32> {
        let mut within = vec![type_oid];
        let mut at = 0;
        while let Some(facts) = within.get(at).map(|oid| self.types.get(oid)) {
            at += 1;
            let Some(facts) = facts else { continue };
            let fields = facts.fields.iter().map(|(_, oid)| *oid);
            for oid in [facts.element, facts.base, facts.subtype].into_iter().chain(fields) {
                if oid != 0 && !within.contains(&oid) {
                    within.push(oid);
                }
            }
        }
        within
    }
}
