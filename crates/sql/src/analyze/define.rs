//! Statements that change structure: on which relations, whether labels could come off by it, and whether code is left
//! behind that runs in the statements of others.

use lockgate_core::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableType, Constraint, CreateFunctionStmt, IndexStmt, Node, ObjectType, RangeVar};

use super::command::Outcome;
use super::scope::{From, Rel, Scope};
use super::{Analyzer, Resolved, tree, verb};
use crate::statement::{How, Object};
use crate::taint::Taint;

impl<'t> Analyzer<'t> {
    /// What a column's default or check brings: it runs in statements of others, which are not asked about it. Names of
    /// the columns themselves mean nothing here.
    pub(super) fn default_of(&mut self, node: &'t Node, scope: &Scope<'t, '_>) {
        match tree::kind(node) {
            Some(NodeEnum::ColumnDef(column)) => {
                for constraint in &column.constraints {
                    self.default_of(constraint, scope);
                }
            }
            Some(NodeEnum::Constraint(constraint)) => {
                let taint = self.part(&constraint.raw_expr, scope);
                self.uses(&taint, How::Source, "a column's default or check", -1);
                self.referenced(constraint);
            }
            _ => {}
        }
    }

    /// A foreign key tells of each value that is written whether the referenced column has it.
    fn referenced(&mut self, constraint: &'t Constraint) {
        let Some(index) = self.found(constraint.pktable.as_ref()) else { return };
        let Some(relation) = self.catalog.relation(index) else { return };
        let lineage = self.lineage(index);
        let mut taint = Taint::CLEAN;
        for name in tree::texts(&constraint.pk_attrs) {
            let at = relation.facts.columns.iter().position(|c| c.name == name);
            taint.join(at.and_then(|at| lineage.columns.get(at)).unwrap_or(&lineage.row));
        }
        if constraint.pk_attrs.is_empty() {
            taint.clone_from(&lineage.row);
        }
        self.uses(&taint, How::Predicate, "the columns that a foreign key refers to", -1);
    }

    /// `define` on the target, unless it is needed on a relation already.
    pub(super) fn need_some_define(&mut self, why: &str) {
        if !self.needs.iter().any(|n| n.action == Action::Define) {
            self.need_on_target(Action::Define, why);
        }
    }

    pub(super) fn create_function(&mut self, create: &'t CreateFunctionStmt) -> Outcome<'t> {
        let verb = if create.is_procedure { "create_procedure" } else { "create_function" };
        self.need_on_target(Action::Define, "a function");
        let mut language = "sql";
        let mut body = "";
        for option in &create.options {
            if let Some(NodeEnum::DefElem(option)) = tree::kind(option)
                && let Some(arg) = option.arg.as_deref()
            {
                match option.defname.as_str() {
                    "language" => language = tree::text(arg),
                    "as" => body = tree::items(arg).first().map(tree::text).unwrap_or_default(),
                    // A definer's rights or settings of its own: it may do what its caller may not.
                    "security" if !matches!(tree::kind(arg), Some(NodeEnum::Boolean(b)) if !b.boolval) => {
                        self.need_on_target(Action::Administer, "a function with its owner's rights");
                    }
                    "set" => self.need_on_target(Action::Administer, "a function with settings of its own"),
                    _ => {}
                }
            }
        }
        if language.eq_ignore_ascii_case("plpgsql") {
            // A trigger may call it in statements of others, which are not asked about it.
            let reach = self.catalog.reach(body, self.stack);
            self.uses(&reach, How::Source, "a function's body", -1);
        } else if !language.eq_ignore_ascii_case("sql") {
            self.need_on_target(Action::Administer, format!("a function in the language `{language}`"));
        }
        Outcome::defines(verb)
    }

    pub(super) fn index(&mut self, index: &'t IndexStmt, scope: &Scope<'t, '_>) -> Outcome<'t> {
        self.on_relation(index.relation.as_ref(), Action::Define);
        if let Some(found) = self.found(index.relation.as_ref()) {
            let rel = self.user_relation(found);
            let mut taint = Taint::CLEAN;
            for param in &index.index_params {
                if let Some(NodeEnum::IndexElem(element)) = tree::kind(param)
                    && index.unique
                {
                    for col in rel.cols.iter().filter(|c| c.name == element.name) {
                        taint.join(&col.taint);
                    }
                }
            }
            let alias = index.relation.as_ref().map_or("", |r| r.relname.as_str());
            let inner = Scope::within(scope, From::one(alias.into(), rel));
            for param in &index.index_params {
                if let Some(NodeEnum::IndexElem(element)) = tree::kind(param) {
                    taint.join(&self.part(&element.expr, &inner));
                }
            }
            taint.join(&self.part(&index.where_clause, &inner));
            // Whether it can be built, and how large it is, tells the values.
            self.uses(&taint, How::Predicate, "an index", -1);
        }
        Outcome::defines("create_index")
    }

    /// A view's query: it is not run now, so what it uses counts when the view is read.
    pub(super) fn defined_query(&mut self, query: Option<&'t NodeEnum>, scope: &Scope<'t, '_>) {
        let uses = self.uses.len();
        if let Some(query) = query {
            self.query(query, scope);
        }
        self.uses.truncate(uses);
    }

    /// The user relation that a name stands for.
    pub(super) fn found(&self, var: Option<&'t RangeVar>) -> Option<usize> {
        let var = var?;
        match self.resolve(&var.schemaname, &var.relname) {
            Resolved::User(index) => Some(index),
            _ => None,
        }
    }

    /// An action on an existing relation.
    pub(super) fn on_relation(&mut self, var: Option<&'t RangeVar>, action: Action) {
        let Some(var) = var else { return };
        match self.resolve(&var.schemaname, &var.relname) {
            Resolved::User(index) => self.reads(index, action),
            Resolved::System { schema, .. } => {
                self.need_on_target(Action::Administer, format!("`{schema}.{}`", var.relname));
            }
            Resolved::Unknown => {
                self.tables.push(var.relname.clone());
                self.may_be(&var.schemaname, &var.relname, action);
                self.need_on_target(action, format!("`{}`, which is not known", var.relname));
            }
        }
    }

    pub(super) fn on_relation_node(&mut self, node: &'t Node, action: Action) {
        if let Some(NodeEnum::RangeVar(var)) = tree::kind(node) {
            self.on_relation(Some(var), action);
        }
    }

    pub(super) fn on_relations(&mut self, nodes: &'t [Node], action: Action) {
        for node in nodes {
            self.on_relation_node(node, action);
        }
    }

    /// A new relation: named in its schema, or on the target when the schema is not written.
    pub(super) fn defines_at(&mut self, var: Option<&'t RangeVar>) {
        let Some(var) = var else { return self.need_on_target(Action::Define, "a new relation") };
        if var.relpersistence == "t" {
            // A temporary relation is the session's own, and changes what a name means in it.
            return self.need_on_target(Action::Define, "a temporary relation");
        }
        if var.schemaname.is_empty() {
            let schema = self.path.iter().find(|s| !s.starts_with("pg_")).filter(|_| self.path_known);
            match schema {
                Some(schema) => {
                    let object = Object::Table { schema: schema.clone(), name: var.relname.clone() };
                    self.need(Action::Define, object, "a new relation");
                }
                None => self.need_on_target(Action::Define, "a new relation"),
            }
        } else {
            let object = Object::Table { schema: var.schemaname.clone(), name: var.relname.clone() };
            self.need(Action::Define, object, "a new relation");
        }
    }

    pub(super) fn dropped(&mut self, kind: ObjectType, objects: &'t [Node]) {
        if verb::administers(kind) {
            self.need_on_target(Action::Administer, "a kind of object that reaches outside the database");
        }
        let relation = matches!(
            kind,
            ObjectType::ObjectTable
                | ObjectType::ObjectView
                | ObjectType::ObjectMatview
                | ObjectType::ObjectSequence
                | ObjectType::ObjectForeignTable
        );
        // The last name of a rule, trigger or policy is its own; the relation stands before it.
        let of_relation = matches!(kind, ObjectType::ObjectRule | ObjectType::ObjectTrigger | ObjectType::ObjectPolicy);
        for object in objects {
            let names = match tree::items(object) {
                [names @ .., _] if of_relation => names,
                names => names,
            };
            let (schema, name) = tree::qualified(names);
            match self.resolve(schema, name) {
                Resolved::User(index) if relation || of_relation => self.reads(index, Action::Define),
                _ => {
                    self.may_be(schema, name, Action::Define);
                    self.need_on_target(Action::Define, "an object to drop");
                }
            }
        }
    }

    /// After this, labels might no longer be found on the relation's columns.
    pub(super) fn relabels(&mut self, var: Option<&'t RangeVar>) {
        if let Some(index) = self.found(var) {
            let row = self.lineage(index).row.clone();
            let name = self.catalog.relation(index).map_or("", |r| r.facts.name.as_str());
            self.uses(&row, How::Source, &format!("a change that takes labels off `{name}`"), -1);
        }
    }

    pub(super) fn relabels_schema(&mut self, kind: ObjectType, schema: &str) {
        if kind != ObjectType::ObjectSchema {
            return;
        }
        let mut taint = Taint::CLEAN;
        for (index, relation) in self.catalog.relations() {
            if relation.facts.schema == schema {
                taint.join(&self.lineage(index).row);
            }
        }
        self.uses(&taint, How::Source, "a change that takes labels off a schema", -1);
    }

    /// Code that will run on the relation's rows for others.
    pub(super) fn runs_later(&mut self, var: Option<&'t RangeVar>, what: &str) {
        match self.found(var) {
            Some(index) => {
                let row = self.lineage(index).row.clone();
                self.uses(&row, How::Source, what, -1);
            }
            None => self.need_on_target(Action::Administer, format!("{what} on an unknown relation")),
        }
    }

    /// COPY of a table leaves generated columns out.
    pub(super) fn without_generated(&self, var: &'t RangeVar, rel: &mut Rel<'t>) {
        if let Some(index) = self.found(Some(var))
            && let Some(relation) = self.catalog.relation(index)
        {
            rel.cols.retain(|col| !relation.facts.columns.iter().any(|c| c.generated.is_some() && c.name == col.name));
        }
    }
}

/// Whether a change of a table leaves every column's values and name as they were, and tells nothing of them.
pub(super) fn keeps_values(kind: AlterTableType) -> bool {
    matches!(
        kind,
        AlterTableType::AtAddColumn
            | AlterTableType::AtColumnDefault
            | AlterTableType::AtDropNotNull
            | AlterTableType::AtSetStatistics
            | AlterTableType::AtSetOptions
            | AlterTableType::AtResetOptions
            | AlterTableType::AtSetStorage
            | AlterTableType::AtSetCompression
            | AlterTableType::AtDropColumn
            | AlterTableType::AtDropConstraint
            | AlterTableType::AtChangeOwner
            | AlterTableType::AtDropCluster
            | AlterTableType::AtSetLogged
            | AlterTableType::AtSetUnLogged
            | AlterTableType::AtSetAccessMethod
            | AlterTableType::AtSetTableSpace
            | AlterTableType::AtSetRelOptions
            | AlterTableType::AtResetRelOptions
            | AlterTableType::AtEnableTrig
            | AlterTableType::AtDisableTrig
            | AlterTableType::AtEnableTrigUser
            | AlterTableType::AtDisableTrigUser
            | AlterTableType::AtEnableRowSecurity
            | AlterTableType::AtForceRowSecurity
            | AlterTableType::AtAddIdentity
            | AlterTableType::AtSetIdentity
            | AlterTableType::AtDropIdentity
    )
}

/// Whether a change of a table takes a protection away.
pub(super) fn weakens(kind: AlterTableType) -> bool {
    matches!(
        kind,
        AlterTableType::AtDisableRowSecurity
            | AlterTableType::AtNoForceRowSecurity
            | AlterTableType::AtReplicaIdentity
            | AlterTableType::AtChangeOwner
            | AlterTableType::AtEnableAlwaysTrig
            | AlterTableType::AtEnableReplicaTrig
            | AlterTableType::AtDisableTrigAll
            | AlterTableType::AtEnableAlwaysRule
            | AlterTableType::AtEnableReplicaRule
            | AlterTableType::AtDisableRule
    )
}
