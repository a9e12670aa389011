//! TRUNCATE: its triggers, those of what inherits from a table, and those of the tables that go with it (`CASCADE`).

use std::sync::atomic::AtomicUsize;

use lockgate_core::limits;
use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, RangeVar, TruncateStmt};

use super::{Analyzer, Resolved, tree};
use crate::catalog::Fired;
use crate::statement::{How, Later};

impl<'t> Analyzer<'t> {
    /// What the code says and stores that runs when these tables are emptied.
    pub(super) fn truncates(&mut self, truncate: &'t TruncateStmt) {
        if !self.catalog.has_labels() {
            return;
        }
        let named = truncate.relations.iter().filter_map(|relation| match tree::kind(relation) {
            Some(NodeEnum::RangeVar(var)) => Some(var),
            _ => None,
        });
        let mut all = Vec::new();
        for var in named {
            for index in self.may_stand_for(var) {
                all.push(index);
                if var.inh {
                    all.extend(self.beneath_table(index));
                }
            }
        }
        let cascades = truncate.behavior() == DropBehavior::DropCascade;
        let catalog = self.catalog;
        let mut at = 0;
        while let Some(index) = all.get(at).copied() {
            at += 1;
            if cascades {
                for reference in catalog.references_to(index) {
                    if !all.contains(&reference.from) {
                        all.push(reference.from);
                        all.extend(self.beneath_table(reference.from));
                    }
                }
            }
            if !self.search(all.len()) || !self.truncate_triggers(index) {
                let all = self.unknown();
                self.touches.join(&all);
                return;
            }
        }
    }

    /// The relations that a name may mean.
    fn may_stand_for(&self, var: &'t RangeVar) -> Vec<usize> {
        match self.resolve(&var.schemaname, &var.relname) {
            Resolved::User(index) => vec![index],
            Resolved::System { .. } => Vec::new(),
            Resolved::Unknown => self.catalog.relations_named(&var.relname).to_vec(),
        }
    }

    /// False where it is too much to look into.
    fn truncate_triggers(&mut self, index: usize) -> bool {
        let catalog = self.catalog;
        let Some(relation) = catalog.relation(index) else { return true };
        for trigger in relation.triggers.iter().filter(|trigger| trigger.events.truncate) {
            self.looks_up_beneath(Later::Anything);
            self.puts_off = true;
            let value = self.summary_beneath(trigger.function).value.clone();
            self.touches.join(&value);
            if !self.work(limits::SQL_COMPARISONS_PER_STEP) {
                return false;
            }
            let steps = AtomicUsize::new(self.taken());
            let path = (self.path, self.path_known);
            let lost = catalog.trigger_stores(trigger, &Fired::default(), self.stack, path, &steps);
            self.took(steps.into_inner());
            let name = catalog.function(trigger.function).map_or("", |f| f.facts.name.as_str());
            self.uses(&lost, How::Source, &format!("the trigger function `{name}`"), -1);
        }
        true
    }
}
