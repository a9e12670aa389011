//! Statements by kind: what each needs and does. A kind that is not listed needs `administer`, so a later grammar's
//! statements are refused until someone has thought about them.

use lockgate_core::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DeclareCursorStmt, DiscardMode, DropBehavior, ExplainStmt, IntoClause, ObjectType, RangeVar, ReindexObjectType,
    SelectStmt, TransactionStmt, TransactionStmtKind, VariableSetKind, VariableSetStmt,
};

use super::scope::{Col, Rel, Scope};
use super::size::{self, Rows};
use super::{Analyzer, query, settings, tree, verb};
use crate::statement::{Aggregation, Carry, CarryColumn, Effect, How, NewPath, Object};
use crate::taint::Taint;

/// What is known of a statement besides what the walk gathered.
pub(super) struct Outcome<'t> {
    pub(super) verb: &'static str,
    pub(super) result: Option<Rel<'t>>,
    pub(super) effect: Effect,
    pub(super) has_where: bool,
    pub(super) has_limit: bool,
    pub(super) aggregation: Option<Aggregation>,
}

impl<'t> Outcome<'t> {
    pub(super) fn of(verb: &'static str) -> Outcome<'t> {
        Outcome { verb, result: None, effect: Effect::None, has_where: false, has_limit: false, aggregation: None }
    }

    fn with_effect(verb: &'static str, effect: Effect) -> Outcome<'t> {
        Outcome { effect, ..Outcome::of(verb) }
    }

    /// A change of the catalog.
    pub(super) fn defines(verb: &'static str) -> Outcome<'t> {
        Outcome::with_effect(verb, Effect::Define)
    }

    /// A result of its own columns that hold nothing of any table.
    fn telling(verb: &'static str, columns: &[&'static str]) -> Outcome<'t> {
        let cols = columns.iter().map(|name| Col::new(*name, Taint::CLEAN)).collect();
        Outcome { result: Some(Rel::of_columns(cols)), ..Outcome::of(verb) }
    }

    pub(super) fn unknown() -> Outcome<'t> {
        let rel = Rel::unknown(Taint::UNKNOWN);
        Outcome { result: Some(rel), ..Outcome::of("unknown") }
    }
}

/// `AccessShareLock` of the server's `storage/lockdefs.h`.
const ACCESS_SHARE: i32 = 1;

impl<'t> Analyzer<'t> {
    pub(super) fn command(&mut self, kind: &'t NodeEnum, scope: &Scope<'t, '_>) -> Outcome<'t> {
        match kind {
            NodeEnum::SelectStmt(select) => self.top_select(select, scope),
            NodeEnum::InsertStmt(s) => self.changing("insert", kind, s.returning_clause.is_some(), scope),
            NodeEnum::UpdateStmt(s) => self.changing("update", kind, s.returning_clause.is_some(), scope),
            NodeEnum::DeleteStmt(s) => self.changing("delete", kind, s.returning_clause.is_some(), scope),
            NodeEnum::MergeStmt(s) => self.changing("merge", kind, s.returning_clause.is_some(), scope),
            NodeEnum::CopyStmt(copy) => self.copy(copy, scope),
            NodeEnum::ExplainStmt(explain) => self.explain(explain, scope),
            NodeEnum::PrepareStmt(s) => {
                let parameters = self.prepared_with(&s.argtypes);
                let inner = self.inner(tree::kind_of(&s.query), parameters);
                let effect = Effect::Prepare {
                    name: s.name.clone(),
                    inner: Box::new(inner.clone()),
                    parameters: s.argtypes.len(),
                };
                self.take_over(&inner);
                Outcome {
                    effect,
                    has_where: inner.facts.has_where,
                    has_limit: inner.facts.has_limit,
                    ..Outcome::of("prepare")
                }
            }
            NodeEnum::ExecuteStmt(s) => {
                let arguments = self.execute_arguments(&s.params, scope);
                let values = s.params.iter().map(constant).collect();
                let effect = Effect::Execute { name: s.name.clone(), arguments, values, explain: false };
                Outcome::with_effect("execute", effect)
            }
            NodeEnum::DeallocateStmt(s) => {
                Outcome::with_effect("deallocate", Effect::Deallocate((!s.isall).then(|| s.name.clone())))
            }
            NodeEnum::DeclareCursorStmt(s) => self.declare(s),
            NodeEnum::FetchStmt(s) if s.ismove => {
                Outcome::with_effect("move", Effect::Move { name: s.portalname.clone() })
            }
            NodeEnum::FetchStmt(s) => Outcome::with_effect("fetch", Effect::Fetch { name: s.portalname.clone() }),
            NodeEnum::ClosePortalStmt(s) => {
                let name = (!s.portalname.is_empty()).then(|| s.portalname.clone());
                Outcome::with_effect("close", Effect::CloseCursor(name))
            }
            NodeEnum::TransactionStmt(s) => transaction(s),
            NodeEnum::VariableSetStmt(s) => self.set(s),
            NodeEnum::VariableShowStmt(s) if s.name.eq_ignore_ascii_case("all") => {
                Outcome::telling("show", &["name", "setting", "description"])
            }
            NodeEnum::VariableShowStmt(s) => {
                // The server spells the name its own way.
                let col = Col { guessed: true, ..Col::new(s.name.as_str(), Taint::CLEAN) };
                let rel = Rel::of_columns(vec![col]);
                Outcome { result: Some(rel), ..Outcome::of("show") }
            }
            NodeEnum::ConstraintsSetStmt(_) => Outcome::of("set_constraints"),
            NodeEnum::DiscardStmt(s) => {
                let all = s.target() == DiscardMode::DiscardAll;
                Outcome::with_effect("discard", if all { Effect::DiscardAll } else { Effect::Discard })
            }
            NodeEnum::ListenStmt(s) => Outcome::with_effect("listen", Effect::Listen(s.conditionname.clone())),
            NodeEnum::UnlistenStmt(s) => {
                let name = (!s.conditionname.is_empty()).then(|| s.conditionname.clone());
                Outcome::with_effect("unlisten", Effect::Unlisten(name))
            }
            NodeEnum::NotifyStmt(_) => Outcome::of("notify"),
            NodeEnum::LockStmt(s) => {
                // A lock keeps others from writing; it shows nothing. The weakest is the one that reading takes.
                let action = if s.mode == ACCESS_SHARE { Action::Read } else { Action::Write };
                self.on_relations(&s.relations, action);
                Outcome::of("lock_table")
            }
            NodeEnum::DoStmt(s) => {
                self.cannot_see("DO, whose code cannot be seen into");
                self.touches.join(&self.unknown());
                self.done_by_code(s);
                Outcome::defines("do")
            }
            NodeEnum::CallStmt(s) => {
                let value = s.funccall.as_deref().map(|call| self.call(call, scope).taint).unwrap_or_default();
                self.cannot_see("CALL, whose code cannot be seen into");
                self.touches.join(&self.unknown());
                // The values of INOUT arguments come from the procedure's code.
                let open = Some(value.with(&self.unknown()));
                Outcome {
                    result: Some(Rel { open, bounded: false, rows: Rows::TABLE, ..Rel::default() }),
                    ..Outcome::defines("call")
                }
            }
            NodeEnum::TruncateStmt(s) => {
                self.on_relations(&s.relations, Action::Define);
                self.truncates(s);
                for relation in &s.relations {
                    if let Some(NodeEnum::RangeVar(var)) = tree::kind(relation) {
                        let known = self.found(Some(var)).and_then(|i| self.catalog.relation(i));
                        let title = known.map(|r| format!("{}.{}", r.facts.schema, r.facts.name));
                        self.changes("truncate_table", false, title.unwrap_or_else(|| var.relname.clone()));
                    }
                }
                Outcome::of("truncate_table")
            }
            NodeEnum::CreateTableAsStmt(s) => {
                let verb = match s.objtype() {
                    ObjectType::ObjectMatview => "create_materialized_view",
                    _ if s.is_select_into => "select_into",
                    _ => "create_table_as",
                };
                let made = s.into.as_ref().and_then(|i| i.rel.as_ref());
                self.defines_at(made);
                self.temporary = made.is_some_and(|rel| rel.relpersistence == "t");
                match tree::kind_of(&s.query) {
                    Some(NodeEnum::ExecuteStmt(_)) | None => {
                        self.cannot_see("rows of a prepared statement");
                        self.uses(&self.unknown(), How::Source, "a new table", -1);
                    }
                    Some(query) => {
                        let rel = self.query(query, scope);
                        // A materialized view keeps its labels through its definition; a table does not.
                        if s.objtype() == ObjectType::ObjectMatview {
                            let computed = rel.cols.iter().filter(|col| !col.plain).map(|col| &col.taint);
                            self.sized_by(computed.chain(&rel.open));
                        } else {
                            let into = s.into.as_ref().and_then(|i| i.rel.as_ref());
                            self.stored_in_new_table(&rel, into, s.if_not_exists);
                        }
                    }
                }
                Outcome::defines(verb)
            }
            NodeEnum::ViewStmt(s) => {
                self.defines_at(s.view.as_ref());
                self.replaces_view(s.view.as_ref());
                if s.replace {
                    self.replaces_servers(s.view.as_ref());
                }
                self.defined_query(tree::kind_of(&s.query), scope);
                Outcome::defines("create_view")
            }
            NodeEnum::RefreshMatViewStmt(s) => {
                self.on_relation(s.relation.as_ref(), Action::Write);
                if let Some(index) = self.found(s.relation.as_ref()) {
                    // Its definition runs now.
                    self.user_relation(index);
                    self.works_on(index);
                    let lineage = self.lineage(index);
                    let columns = lineage.columns.iter().zip(&lineage.plain);
                    self.sized_by(columns.filter(|(_, plain)| !**plain).map(|(taint, _)| taint));
                }
                Outcome::of("refresh_materialized_view")
            }
            NodeEnum::IndexStmt(s) => self.index(s, scope),
            NodeEnum::CreateStmt(s) => {
                self.create_table(s, scope);
                let temporary = s.relation.as_ref().is_some_and(|rel| rel.relpersistence == "t");
                self.temporary = temporary && s.inh_relations.is_empty();
                Outcome::defines("create_table")
            }
            NodeEnum::AlterTableStmt(s) => self.alter_table(s, scope),
            NodeEnum::RenameStmt(s) => {
                self.on_relation(s.relation.as_ref(), Action::Define);
                // Labels are found by name: under another name a column would have none.
                match s.rename_type() {
                    ObjectType::ObjectColumn => self.relabels_column(s.relation.as_ref(), &s.subname),
                    ObjectType::ObjectTabconstraint => {}
                    _ => self.relabels(s.relation.as_ref()),
                }
                self.relabels_schema(s.rename_type(), &s.subname);
                self.takes_place(s.rename_type(), "", &s.newname);
                self.takes_known(s.rename_type(), s.object.as_deref());
                if s.rename_type() == ObjectType::ObjectSchema {
                    self.in_servers_schema(&s.subname);
                    self.in_servers_schema(&s.newname);
                }
                self.need_some_define("a new name");
                if verb::administers(s.rename_type()) {
                    self.need_on_target(Action::Administer, "a kind of object that reaches outside the database");
                }
                let kind = match s.rename_type() {
                    ObjectType::ObjectColumn => s.relation_type(),
                    ObjectType::ObjectTabconstraint => ObjectType::ObjectTable,
                    kind => kind,
                };
                Outcome::defines(verb::alter(kind))
            }
            NodeEnum::AlterObjectSchemaStmt(s) => {
                self.on_relation(s.relation.as_ref(), Action::Define);
                self.relabels(s.relation.as_ref());
                self.in_servers_schema(&s.newschema);
                self.takes_known(s.object_type(), s.object.as_deref());
                if let Some(NodeEnum::ObjectWithArgs(object)) = tree::kind_of(&s.object) {
                    let (_, name) = tree::qualified(&object.objname);
                    self.takes_place(s.object_type(), &s.newschema, name);
                }
                self.defined(s.object_type())
            }
            NodeEnum::DropStmt(s) => {
                self.dropped(s.remove_type(), &s.objects);
                self.temporary = s.remove_type() == ObjectType::ObjectTable
                    && s.behavior() == DropBehavior::DropRestrict
                    && s.objects.iter().all(|object| self.is_temporary(object));
                Outcome::defines(verb::drop(s.remove_type()))
            }
            NodeEnum::RuleStmt(s) => {
                self.on_relation(s.relation.as_ref(), Action::Define);
                self.runs_later(s.relation.as_ref(), "a rule");
                self.rule_actions(s, scope);
                Outcome::defines("create_rule")
            }
            NodeEnum::CreateTrigStmt(s) => {
                self.create_trigger(s, scope);
                Outcome::defines("create_trigger")
            }
            NodeEnum::CreateFunctionStmt(s) => self.create_function(s, scope),
            NodeEnum::DefineStmt(s) => {
                let kind = s.kind();
                self.need_on_target(Action::Define, "a new object");
                if verb::administers(kind) || matches!(kind, ObjectType::ObjectType | ObjectType::ObjectAggregate) {
                    self.need_on_target(Action::Administer, "an object made of functions");
                }
                Outcome::defines(verb::create(kind))
            }
            NodeEnum::ClusterStmt(s) => {
                self.on_relation(s.relation.as_ref(), Action::Define);
                if s.relation.is_none() {
                    self.need_on_target(Action::Define, "every clustered table");
                }
                self.works_on_named(s.relation.as_ref());
                if let Some(index) = self.found(s.relation.as_ref()) {
                    // The rows lie in the order of the index then.
                    let row = self.lineage(index).row.clone();
                    self.uses(&row, How::Order, "CLUSTER", -1);
                }
                Outcome::of("cluster")
            }
            NodeEnum::VacuumStmt(s) => {
                for rel in &s.rels {
                    if let Some(NodeEnum::VacuumRelation(rel)) = tree::kind(rel) {
                        self.on_relation(rel.relation.as_ref(), Action::Define);
                        self.works_on_named(rel.relation.as_ref());
                    }
                }
                if s.rels.is_empty() {
                    self.works_on_named(None);
                    self.need_on_target(Action::Define, "every table");
                }
                Outcome::of(if s.is_vacuumcmd { "vacuum" } else { "analyze" })
            }
            NodeEnum::ReindexStmt(s) => {
                self.on_relation(s.relation.as_ref(), Action::Define);
                // An index by its name is of some table.
                let table = s.kind() == ReindexObjectType::ReindexObjectTable;
                self.works_on_named(s.relation.as_ref().filter(|_| table));
                self.need_some_define("REINDEX");
                Outcome::of("reindex")
            }
            NodeEnum::CommentStmt(s) => {
                self.need_on_target(Action::Define, "COMMENT");
                if s.objtype() == ObjectType::ObjectDatabase {
                    self.need_on_target(Action::Administer, "COMMENT ON DATABASE");
                }
                Outcome::of("comment")
            }
            NodeEnum::GrantStmt(s) => {
                for object in &s.objects {
                    self.on_relation_node(object, Action::Define);
                }
                self.need_some_define("privileges");
                if verb::administers(s.objtype()) {
                    self.need_on_target(Action::Administer, "privileges beyond this database's objects");
                }
                Outcome::of(if s.is_grant { "grant" } else { "revoke" })
            }
            NodeEnum::CreateSchemaStmt(s) => {
                self.need_on_target(Action::Define, "a schema");
                for element in &s.schema_elts {
                    if let Some(kind) = tree::kind(element) {
                        self.command(kind, scope);
                    }
                }
                Outcome::defines("create_schema")
            }
            NodeEnum::CreateDomainStmt(s) => {
                for constraint in &s.constraints {
                    self.default_of(constraint, scope);
                }
                self.defined_as("create_domain")
            }
            NodeEnum::CreateEnumStmt(_) | NodeEnum::CompositeTypeStmt(_) | NodeEnum::CreateRangeStmt(_) => {
                self.defined_as("create_type")
            }
            NodeEnum::AlterEnumStmt(_) => self.defined_as("alter_type"),
            // Of types that only a superuser makes: how their values are written and read.
            NodeEnum::AlterTypeStmt(_) => self.administered("alter_type"),
            NodeEnum::AlterDomainStmt(s) => {
                self.alter_domain(s, scope);
                self.defined_as("alter_domain")
            }
            NodeEnum::CreateSeqStmt(s) => {
                self.defines_at(s.sequence.as_ref());
                Outcome::defines("create_sequence")
            }
            NodeEnum::AlterSeqStmt(s) => {
                self.on_relation(s.sequence.as_ref(), Action::Define);
                Outcome::defines("alter_sequence")
            }
            NodeEnum::CreateStatsStmt(s) => {
                self.create_statistics(s, scope);
                self.defined_as("create_statistics")
            }
            NodeEnum::AlterStatsStmt(_) => self.defined_as("alter_statistics"),
            NodeEnum::AlterFunctionStmt(_) => self.administered("alter_function"),
            NodeEnum::AlterOwnerStmt(s) => {
                self.administered_as(verb::alter(s.object_type()), "another owner, with whose rights it works")
            }
            NodeEnum::AlterCollationStmt(_) => self.defined_as("alter_collation"),
            NodeEnum::AlterTsdictionaryStmt(_) => self.defined_as("alter_text_search_dictionary"),
            NodeEnum::AlterTsconfigurationStmt(_) => self.defined_as("alter_text_search_configuration"),
            NodeEnum::AlterObjectDependsStmt(s) => self.defined(s.object_type()),
            NodeEnum::AlterDefaultPrivilegesStmt(_) => self.administered("alter_default_privileges"),
            NodeEnum::AlterTableMoveAllStmt(_) => self.administered("alter_table"),
            NodeEnum::AlterSystemStmt(_) => self.administered("alter_system"),
            NodeEnum::CreateRoleStmt(_) => self.administered("create_role"),
            NodeEnum::AlterRoleStmt(_) | NodeEnum::AlterRoleSetStmt(_) => self.administered("alter_role"),
            NodeEnum::DropRoleStmt(_) => self.administered("drop_role"),
            NodeEnum::GrantRoleStmt(s) => self.administered(if s.is_grant { "grant_role" } else { "revoke_role" }),
            NodeEnum::LoadStmt(_) => self.administered("load"),
            NodeEnum::CreatedbStmt(_) => self.administered("create_database"),
            NodeEnum::DropdbStmt(_) => self.administered("drop_database"),
            NodeEnum::AlterDatabaseStmt(_)
            | NodeEnum::AlterDatabaseSetStmt(_)
            | NodeEnum::AlterDatabaseRefreshCollStmt(_) => self.administered("alter_database"),
            NodeEnum::CheckPointStmt(_) => self.administered("checkpoint"),
            NodeEnum::CreateExtensionStmt(_) => self.administered("create_extension"),
            NodeEnum::AlterExtensionStmt(_) | NodeEnum::AlterExtensionContentsStmt(_) => {
                self.administered("alter_extension")
            }
            NodeEnum::CreateFdwStmt(_) => self.administered("create_foreign_data_wrapper"),
            NodeEnum::AlterFdwStmt(_) => self.administered("alter_foreign_data_wrapper"),
            NodeEnum::CreateForeignServerStmt(_) => self.administered("create_server"),
            NodeEnum::AlterForeignServerStmt(_) => self.administered("alter_server"),
            NodeEnum::CreateForeignTableStmt(_) => self.administered("create_foreign_table"),
            NodeEnum::ImportForeignSchemaStmt(_) => self.administered("import_foreign_schema"),
            NodeEnum::CreateUserMappingStmt(_) => self.administered("create_user_mapping"),
            NodeEnum::AlterUserMappingStmt(_) => self.administered("alter_user_mapping"),
            NodeEnum::DropUserMappingStmt(_) => self.administered("drop_user_mapping"),
            NodeEnum::CreatePolicyStmt(_) => self.administered("create_policy"),
            NodeEnum::AlterPolicyStmt(_) => self.administered("alter_policy"),
            NodeEnum::CreateAmStmt(_) => self.administered("create_access_method"),
            NodeEnum::CreateEventTrigStmt(_) => self.administered("create_event_trigger"),
            NodeEnum::AlterEventTrigStmt(_) => self.administered("alter_event_trigger"),
            NodeEnum::CreatePlangStmt(_) => self.administered("create_language"),
            NodeEnum::CreateTableSpaceStmt(_) => self.administered("create_tablespace"),
            NodeEnum::DropTableSpaceStmt(_) => self.administered("drop_tablespace"),
            NodeEnum::AlterTableSpaceOptionsStmt(_) => self.administered("alter_tablespace"),
            NodeEnum::CreatePublicationStmt(_) => self.administered("create_publication"),
            NodeEnum::AlterPublicationStmt(_) => self.administered("alter_publication"),
            NodeEnum::CreateSubscriptionStmt(_) => self.administered("create_subscription"),
            NodeEnum::AlterSubscriptionStmt(_) => self.administered("alter_subscription"),
            NodeEnum::DropSubscriptionStmt(_) => self.administered("drop_subscription"),
            NodeEnum::CreateOpClassStmt(_) => self.administered("create_operator_class"),
            NodeEnum::CreateOpFamilyStmt(_) => self.administered("create_operator_family"),
            NodeEnum::AlterOpFamilyStmt(_) => self.administered("alter_operator_family"),
            NodeEnum::AlterOperatorStmt(_) => self.administered("alter_operator"),
            NodeEnum::CreateConversionStmt(_) => self.administered("create_conversion"),
            NodeEnum::CreateCastStmt(_) => self.administered("create_cast"),
            NodeEnum::CreateTransformStmt(_) => self.administered("create_transform"),
            NodeEnum::SecLabelStmt(_) => self.administered("security_label"),
            NodeEnum::DropOwnedStmt(_) => self.administered("drop_owned"),
            NodeEnum::ReassignOwnedStmt(_) => self.administered("reassign_owned"),
            _ => {
                self.opaque = true;
                self.looks_up(crate::Later::Anything);
                self.need_on_target(Action::Administer, "a kind of statement that is not known");
                Outcome { effect: Effect::Define, ..Outcome::unknown() }
            }
        }
    }

    fn administered(&mut self, verb: &'static str) -> Outcome<'t> {
        self.administered_as(verb, "the kind of statement")
    }

    fn administered_as(&mut self, verb: &'static str, why: &str) -> Outcome<'t> {
        self.need_on_target(Action::Administer, why);
        Outcome::defines(verb)
    }

    fn defined(&mut self, kind: ObjectType) -> Outcome<'t> {
        if verb::administers(kind) {
            self.need_on_target(Action::Administer, "a kind of object that reaches outside the database");
        }
        self.defined_as(verb::alter(kind))
    }

    fn defined_as(&mut self, verb: &'static str) -> Outcome<'t> {
        self.need_some_define("a change of structure");
        Outcome::defines(verb)
    }

    fn top_select(&mut self, select: &'t SelectStmt, scope: &Scope<'t, '_>) -> Outcome<'t> {
        let rel = self.select(select, scope);
        let target = into_of(select);
        let into = target.is_some();
        if self.needs.is_empty() {
            self.need_on_target(Action::Read, "a query");
        }
        let mut outcome = Outcome {
            has_where: self.filtered,
            has_limit: query::has_limit(select),
            ..Outcome::of(if into { "select_into" } else { "select" })
        };
        if into {
            let made = target.and_then(|i| i.rel.as_ref());
            self.temporary = made.is_some_and(|rel| rel.relpersistence == "t");
            self.stored_in_new_table(&rel, made, false);
            outcome.effect = Effect::Define;
            return outcome;
        }
        if !rel.bounded && !rel.all().is_clean() {
            self.exports("a query without limit or condition that gives out labelled columns");
        }
        outcome.result = Some(rel);
        outcome.aggregation = self.aggregation(select);
        outcome
    }

    /// INSERT, UPDATE, DELETE, MERGE.
    fn changing(
        &mut self,
        verb: &'static str,
        kind: &'t NodeEnum,
        returns: bool,
        scope: &Scope<'t, '_>,
    ) -> Outcome<'t> {
        let rel = self.modify(kind, scope);
        let mut outcome = Outcome { has_where: self.filtered && verb != "insert", ..Outcome::of(verb) };
        if returns {
            if !rel.bounded && !rel.all().is_clean() {
                self.exports("RETURNING without a condition");
            }
            outcome.result = Some(rel);
        }
        outcome
    }

    /// What the prepared statement makes of its parameters was judged without knowing what they hold.
    fn execute_arguments(&mut self, params: &'t [pg_query::protobuf::Node], scope: &Scope<'t, '_>) -> Taint {
        let (mut arguments, mut large) = (Taint::CLEAN, false);
        for param in params {
            let value = self.expr(param, scope);
            // What is written there is no longer than a message.
            large |= value.size > size::PARAMETER && tree::literal(param).is_none();
            arguments.join(&value.taint);
        }
        self.uses(&arguments, How::Source, "an argument of EXECUTE", -1);
        if large {
            // In what was prepared, a parameter counts as what a client sends as one.
            let all = self.unknown();
            self.may_fail(&all, size::PLACE, -1);
        }
        arguments
    }

    /// `SELECT … INTO table`.
    pub(super) fn into(&mut self, into: &'t IntoClause) {
        self.defines_at(into.rel.as_ref());
    }

    fn stored_in_new_table(&mut self, rel: &Rel<'t>, into: Option<&'t RangeVar>, may_exist: bool) {
        let Some(into) = into else { return self.uses(&rel.all(), How::Source, "a new table", -1) };
        let schema =
            if into.schemaname.is_empty() && into.relpersistence == "t" { "pg_temp" } else { &into.schemaname };
        let carry = |column, value: &Taint, plain| Carry {
            schema: schema.to_owned(),
            relation: into.relname.clone(),
            oid: None,
            new: true,
            may_exist,
            column,
            value: value.clone(),
            plain,
        };
        if rel.open.is_some() {
            return self.carry(carry(CarryColumn::Every, &rel.all(), false), "a new table", -1);
        }
        for (at, col) in rel.cols.iter().enumerate().filter(|(_, col)| !col.taint.is_clean()) {
            self.carry(carry(CarryColumn::At(at), &col.taint, col.plain), "a new table", -1);
        }
    }

    /// Bulk data out, of each relation it comes from.
    pub(super) fn exports(&mut self, why: &str) {
        let read: Vec<Object> =
            self.needs.iter().filter(|n| n.action == Action::Read).map(|n| n.object.clone()).collect();
        if !read.iter().any(|o| matches!(o, Object::Table { .. })) {
            self.need_on_target(Action::Export, why);
        }
        for object in read {
            if matches!(object, Object::Table { .. }) {
                self.need(Action::Export, object, why);
            }
        }
    }

    fn explain(&mut self, explain: &'t ExplainStmt, scope: &Scope<'t, '_>) -> Outcome<'t> {
        // Whether it is run is for the options to say.
        self.follows = false;
        let mut outcome = match tree::kind_of(&explain.query) {
            Some(NodeEnum::ExecuteStmt(s)) => {
                let arguments = self.execute_arguments(&s.params, scope);
                let values = s.params.iter().map(constant).collect();
                let effect = Effect::Execute { name: s.name.clone(), arguments, values, explain: true };
                // What the plan shows depends on the prepared statement.
                let open = Some(self.unknown());
                let rel = Rel { open, bounded: true, rows: Rows::TABLE, ..Rel::default() };
                return Outcome { result: Some(rel), ..Outcome::with_effect("explain", effect) };
            }
            // A plan runs functions it takes for constants, and ANALYZE runs it all: the needs are the statement's.
            Some(kind) => self.command(kind, scope),
            None => Outcome::unknown(),
        };
        self.needs.retain(|n| n.action != Action::Export);
        // The plan quotes constants and estimates that come from the tables' statistics.
        let mut shown = self.touches.clone();
        if let Some(rel) = &outcome.result {
            shown.join(&rel.all());
        }
        if self.needs.is_empty() {
            self.need_on_target(Action::Read, "a plan");
        }
        outcome.verb = "explain";
        outcome.aggregation = None;
        if matches!(outcome.effect, Effect::DeclareCursor { .. }) {
            outcome.effect = Effect::None;
        }
        outcome.result = Some(Rel::of_columns(vec![Col::new("QUERY PLAN", shown)]));
        outcome
    }

    fn declare(&mut self, declare: &'t DeclareCursorStmt) -> Outcome<'t> {
        /// `CURSOR_OPT_HOLD` of the server's parsenodes.h.
        const HOLD: i32 = 0x0020;
        let inner = self.inner(tree::kind_of(&declare.query), self.parameters);
        let effect = Effect::DeclareCursor {
            name: declare.portalname.clone(),
            inner: Box::new(inner.clone()),
            hold: declare.options & HOLD != 0,
        };
        self.take_over(&inner);
        Outcome {
            effect,
            has_where: inner.facts.has_where,
            has_limit: inner.facts.has_limit,
            ..Outcome::of("declare_cursor")
        }
    }

    /// What a statement within needs and uses, the statement around it does.
    fn take_over(&mut self, inner: &crate::Statement) {
        for need in &inner.needs {
            self.need(need.action, need.object.clone(), need.why.clone());
        }
        for used in &inner.uses {
            if !self.uses.contains(used) {
                self.uses.push(used.clone());
            }
        }
        self.tables.extend(inner.facts.tables.iter().cloned());
        self.touches.join(&inner.touches);
        self.opaque |= inner.facts.opaque;
        self.looks_up_beneath(inner.facts.later);
        self.keeps |= inner.facts.keeps;
        self.sets_path |= inner.facts.moves_path;
        self.unseen = self.unseen.max(inner.facts.unseen);
        for change in &inner.facts.changes {
            self.changes(change.verb, change.has_where, change.table.clone());
        }
    }

    fn set(&mut self, set: &'t VariableSetStmt) -> Outcome<'t> {
        let name = set.name.to_ascii_lowercase();
        let verb = match set.kind() {
            VariableSetKind::VarReset | VariableSetKind::VarResetAll => "reset",
            _ => "set",
        };
        if set.kind() == VariableSetKind::VarResetAll {
            return Outcome::with_effect(verb, Effect::Set { name: "all".to_owned() });
        }
        if set.kind() == VariableSetKind::VarSetMulti {
            // SET TRANSACTION and SET SESSION CHARACTERISTICS. With a snapshot of another session the catalog would be that of a
            // time before this transaction, which is known of its beginning only; to make one takes `administer` too.
            if !matches!(name.as_str(), "transaction" | "session characteristics") {
                self.need_on_target(Action::Administer, format!("the setting `{name}`"));
            }
            return Outcome::with_effect("set_transaction", Effect::Set { name });
        }
        self.parts(&set.args, &Scope::root());
        let words: Option<Vec<&str>> = set.args.iter().map(|arg| self.literal(arg).or(Some(""))).collect();
        let value = match words.as_deref() {
            Some([one]) if !one.is_empty() => Some(*one),
            _ => None,
        };
        let harmless = settings::is_harmless(&name, value);
        if !harmless {
            self.need_on_target(Action::Administer, format!("the setting `{name}`"));
        }
        if !harmless && settings::changes_reading(&name) {
            // Names are read with the rest of the text: none is certain after that.
            return Outcome::with_effect(verb, Effect::SetPath(NewPath::Unknown));
        }
        if name == "search_path" {
            let shown = set.kind() == VariableSetKind::VarSetValue;
            let path: Option<Vec<String>> = set.args.iter().map(|arg| self.literal(arg).map(str::to_owned)).collect();
            let new = path.filter(|_| shown).map_or(NewPath::Unknown, NewPath::Known);
            return Outcome::with_effect(verb, Effect::SetPath(new));
        }
        Outcome::with_effect(verb, Effect::Set { name })
    }
}

/// INTO stands in the leftmost arm of a set operation.
fn into_of(select: &SelectStmt) -> Option<&IntoClause> {
    let mut select = select;
    loop {
        if let Some(into) = &select.into_clause {
            return Some(into);
        }
        select = select.larg.as_deref()?;
    }
}

/// The text of a constant argument.
fn constant(node: &pg_query::protobuf::Node) -> Option<String> {
    match tree::kind(node)? {
        NodeEnum::AConst(constant) => crate::probe::constant_text(constant),
        _ => None,
    }
}

fn transaction<'t>(s: &'t TransactionStmt) -> Outcome<'t> {
    let name = || s.savepoint_name.clone();
    let (verb, effect) = match s.kind() {
        TransactionStmtKind::TransStmtBegin => ("begin", Effect::Begin),
        TransactionStmtKind::TransStmtStart => ("start_transaction", Effect::Begin),
        TransactionStmtKind::TransStmtCommit => ("commit", Effect::Commit { chain: s.chain }),
        TransactionStmtKind::TransStmtRollback => ("rollback", Effect::Rollback { chain: s.chain }),
        TransactionStmtKind::TransStmtSavepoint => ("savepoint", Effect::Savepoint(name())),
        TransactionStmtKind::TransStmtRelease => ("release", Effect::Release(name())),
        TransactionStmtKind::TransStmtRollbackTo => ("rollback", Effect::RollbackTo(name())),
        TransactionStmtKind::TransStmtPrepare => ("prepare_transaction", Effect::TwoPhase),
        TransactionStmtKind::TransStmtCommitPrepared => ("commit_prepared", Effect::TwoPhase),
        TransactionStmtKind::TransStmtRollbackPrepared => ("rollback_prepared", Effect::TwoPhase),
        TransactionStmtKind::Undefined => return Outcome::unknown(),
    };
    Outcome::with_effect(verb, effect)
}
