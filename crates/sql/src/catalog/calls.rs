//! Code that the server runs by itself: which functions the stored expressions of a table, a type or a function call.

use super::Catalog;
use super::facts::{Called, Caller};
use crate::builtins::{self, ExtensionFunction};

impl Catalog {
    /// The functions that a relation's defaults, checks, keys and indexes call, those of its columns' types included.
    pub(crate) fn called_for(&self, relation: usize) -> Vec<usize> {
        let Some(relation) = self.relation(relation) else { return Vec::new() };
        let mut callers = vec![Caller::Relation(relation.facts.oid)];
        for column in &relation.facts.columns {
            callers.extend(self.types_within(column.type_oid).into_iter().map(Caller::Type));
        }
        self.called(callers)
    }

    /// The functions that a function's stored expressions call.
    pub(crate) fn called_from(&self, function: u32) -> Vec<usize> {
        self.called(vec![Caller::Function(function)])
    }

    fn called(&self, mut callers: Vec<Caller>) -> Vec<usize> {
        let mut functions = Vec::new();
        let mut at = 0;
        while let Some(caller) = callers.get(at) {
            at += 1;
            for called in self.calls.get(caller).into_iter().flatten() {
                let function = match called {
                    Called::Function(oid) => self.functions_by_oid.get(oid),
                    Called::Operator(oid) => self.operator_functions.get(oid),
                    Called::Type(oid) => {
                        for within in self.types_within(*oid).into_iter().map(Caller::Type) {
                            if !callers.contains(&within) {
                                callers.push(within);
                            }
                        }
                        None
                    }
                };
                functions.extend(function.filter(|f| !self.is_plain_extension(**f)));
            }
        }
        functions.sort_unstable();
        functions.dedup();
        functions
    }

    /// The code of an extension was installed by who administers the database; only what runs texts can be turned.
    fn is_plain_extension(&self, function: usize) -> bool {
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
