//! Statements that change structure: on which relations, whether labels could come off by it, and whether code is left
//! behind that runs in the statements of others.

use lockgate_core::{Action, limits};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterDomainStmt, AlterTableCmd, AlterTableStmt, AlterTableType, Constraint, CreateFunctionStmt, CreateStatsStmt,
    CreateStmt, CreateTrigStmt, DoStmt, IndexStmt, Node, ObjectType, PartitionBoundSpec, RangeVar, RuleStmt,
};

use super::command::Outcome;
use super::scope::{From, Item, Rel, Scope};
use super::{Analyzer, Context, Resolved, size, tree, verb};
use crate::builtins;
use crate::catalog::is_among;
use crate::statement::{How, Object};
use crate::taint::Taint;

impl<'t> Analyzer<'t> {
    /// What a column's default, check or key brings: it runs in statements of others, which are not asked about it.
    pub(super) fn default_of(&mut self, node: &'t Node, scope: &Scope<'t, '_>) {
        match tree::kind(node) {
            Some(NodeEnum::ColumnDef(column)) => {
                // Of ALTER … TYPE, this is what USING says.
                let taint = self.part(&column.raw_default, scope);
                self.uses(&taint, How::Source, "a column's default", -1);
                for constraint in &column.constraints {
                    self.default_of(constraint, scope);
                }
            }
            Some(NodeEnum::Constraint(constraint)) => {
                let mut taint = self.part(&constraint.raw_expr, scope);
                taint.join(&self.part(&constraint.where_clause, scope));
                for exclusion in &constraint.exclusions {
                    // The element and its operator.
                    for part in tree::items(exclusion) {
                        if let Some(NodeEnum::IndexElem(element)) = tree::kind(part) {
                            taint.join(&self.part(&element.expr, scope));
                        }
                    }
                }
                self.uses(&taint, How::Source, "a column's default or check", -1);
                self.referenced(constraint);
            }
            _ => {}
        }
    }

    /// A new table. Names of its own columns mean nothing here.
    pub(super) fn create_table(&mut self, create: &'t CreateStmt, scope: &Scope<'t, '_>) {
        self.defines_at(create.relation.as_ref());
        for parent in &create.inh_relations {
            self.on_relation_node(parent, Action::Define);
        }
        for element in create.table_elts.iter().chain(&create.constraints) {
            self.default_of(element, scope);
        }
        for element in create.partspec.iter().flat_map(|spec| &spec.part_params) {
            if let Some(NodeEnum::PartitionElem(element)) = tree::kind(element) {
                let taint = self.part(&element.expr, scope);
                self.uses(&taint, How::Source, "a partition's key", -1);
            }
        }
        let Some(bound) = &create.partbound else { return };
        self.bound(bound, scope);
        for parent in &create.inh_relations {
            if let Some(NodeEnum::RangeVar(parent)) = tree::kind(parent)
                && let Some(index) = self.found(Some(parent))
            {
                // Whether a row of the default partition belongs here is found out.
                let row = self.lineage(index).row.clone();
                self.uses(&row, How::Predicate, "the bound of a partition", -1);
            }
        }
    }

    /// A partition's bound is kept as the value it has now.
    fn bound(&mut self, bound: &'t PartitionBoundSpec, scope: &Scope<'t, '_>) {
        let mut taint = self.parts(&bound.listdatums, scope);
        taint.join(&self.parts(&bound.lowerdatums, scope));
        taint.join(&self.parts(&bound.upperdatums, scope));
        self.uses(&taint, How::Source, "the bound of a partition", -1);
    }

    pub(super) fn alter_table(&mut self, alter: &'t AlterTableStmt, scope: &Scope<'t, '_>) -> Outcome<'t> {
        self.on_relation(alter.relation.as_ref(), Action::Define);
        let inner = self.of_table(alter.relation.as_ref(), scope);
        let mut relabels = false;
        for cmd in &alter.cmds {
            if let Some(NodeEnum::AlterTableCmd(cmd)) = tree::kind(cmd) {
                relabels |= !(keeps_values(cmd.subtype()) || self.looks_at_columns(cmd, alter.relation.as_ref()));
                let before = self.parts_size;
                self.alter_table_by(cmd, &inner);
                // It may stand in one row with labelled values.
                if self.parts_size.saturating_sub(before) > limits::SQL_GROWTH_BYTES_MAX
                    && let Some(index) = self.found(alter.relation.as_ref())
                {
                    let row = self.lineage(index).row.clone();
                    self.may_fail(&row, size::PLACE, -1);
                }
            }
        }
        self.works_on_named(alter.relation.as_ref());
        if relabels {
            self.relabels(alter.relation.as_ref());
        }
        if verb::administers(alter.objtype()) {
            self.need_on_target(Action::Administer, "a kind of object that reaches outside the database");
        }
        Outcome::defines(verb::alter(alter.objtype()))
    }

    /// Some changes look at the values of certain columns, and keep names and labels as they are. Whether it is such a change.
    fn looks_at_columns(&mut self, cmd: &'t AlterTableCmd, table: Option<&'t RangeVar>) -> bool {
        let Some(index) = self.found(table) else { return false };
        match (cmd.subtype(), cmd.def.as_deref().and_then(tree::kind)) {
            (AlterTableType::AtSetNotNull, _) => {
                let taint = self.held_in(index, &cmd.name);
                self.uses(&taint, How::Predicate, &format!("NOT NULL of `{}`", cmd.name), -1);
                true
            }
            // Each row's value is replaced by what becomes of it.
            (AlterTableType::AtAlterColumnType, _) => {
                let mut taint = self.held_in(index, &cmd.name);
                taint.join(&self.in_keys_with(index, &cmd.name));
                self.uses(&taint, How::Source, &format!("another type of `{}`", cmd.name), -1);
                self.replaces(Some(index), &[cmd.name.as_str()]);
                true
            }
            (AlterTableType::AtAddConstraint, Some(NodeEnum::Constraint(constraint))) => {
                // What is in an index that is there already, its name does not say.
                if !constraint.indexname.is_empty() {
                    return false;
                }
                let elements = constraint.exclusions.iter().flat_map(tree::items);
                let excluded = elements.filter_map(|part| match tree::kind(part) {
                    Some(NodeEnum::IndexElem(element)) if element.expr.is_none() => Some(element.name.as_str()),
                    _ => None,
                });
                let named = tree::texts(&constraint.keys)
                    .chain(tree::texts(&constraint.including))
                    .chain(tree::texts(&constraint.fk_attrs));
                let mut taint = Taint::CLEAN;
                for name in named.chain(excluded) {
                    taint.join(&self.held_in(index, name));
                }
                self.uses(&taint, How::Predicate, "a key", -1);
                true
            }
            (AlterTableType::AtValidateConstraint, _) => {
                let Some(constrained) = self.catalog.constrained_by(index, &cmd.name) else { return false };
                // What code of users looks at, the constraint does not say.
                if constrained.iter().any(|(at, _)| !self.catalog.called_for(*at).is_empty()) {
                    return false;
                }
                let mut taint = Taint::CLEAN;
                for (at, columns) in constrained {
                    taint.join(&self.held_among(at, columns));
                }
                self.uses(&taint, How::Predicate, &format!("the constraint `{}`", cmd.name), -1);
                true
            }
            _ => false,
        }
    }

    /// A table and those that hold rows of it.
    fn with_beneath(&mut self, index: usize) -> Vec<usize> {
        let mut all = vec![index];
        all.extend(self.beneath_table(index));
        all
    }

    /// What a column of this name holds, here and in the tables that hold rows of this one. One that is not known may be any.
    fn held_in(&mut self, index: usize, name: &str) -> Taint {
        let mut taint = Taint::CLEAN;
        for at in self.with_beneath(index) {
            let Some(relation) = self.catalog.relation(at) else { continue };
            let lineage = self.lineage(at);
            let column = relation.facts.columns.iter().position(|c| c.name == name);
            taint.join(column.and_then(|column| lineage.columns.get(column)).unwrap_or(&lineage.row));
        }
        taint
    }

    /// What columns of these numbers hold, here and in the tables that hold rows of this one.
    fn held_among(&mut self, index: usize, numbers: &[i16]) -> Taint {
        let mut taint = Taint::CLEAN;
        for column in self.catalog.relation(index).map(|r| r.facts.columns.as_slice()).unwrap_or_default() {
            if is_among(column.number, numbers) {
                taint.join(&self.held_in(index, &column.name));
            }
        }
        taint
    }

    /// What stands beside a column in keys: two rows that become alike in it tell whether they are so in the others.
    fn in_keys_with(&mut self, index: usize, name: &str) -> Taint {
        let mut taint = Taint::CLEAN;
        for at in self.with_beneath(index) {
            let Some(relation) = self.catalog.relation(at) else { continue };
            let lineage = self.lineage(at);
            let columns = || relation.facts.columns.iter().zip(&lineage.columns);
            let own = columns().find(|(column, _)| column.name == name).map(|(column, _)| column.number);
            for key in relation.facts.keys.iter().filter(|key| own.is_some_and(|own| key.contains(&own))) {
                for (_, held) in columns().filter(|(column, _)| key.contains(&column.number)) {
                    taint.join(held);
                }
            }
        }
        taint
    }

    fn alter_table_by(&mut self, cmd: &'t AlterTableCmd, scope: &Scope<'t, '_>) {
        if weakens(cmd.subtype()) {
            self.need_on_target(Action::Administer, "a change of row security or replication");
        }
        let Some(node) = cmd.def.as_deref() else { return };
        if let Some(NodeEnum::PartitionCmd(part)) = tree::kind(node) {
            self.on_relation(part.name.as_ref(), Action::Define);
            self.relabels(part.name.as_ref());
            if let Some(bound) = &part.bound {
                self.bound(bound, scope);
            }
        }
        self.on_relation_node(node, Action::Define);
        self.default_of(node, scope);
        if matches!(cmd.subtype(), AlterTableType::AtColumnDefault | AlterTableType::AtSetExpression) {
            let taint = self.expr(node, scope).taint;
            self.uses(&taint, How::Source, "a column's default", -1);
        }
    }

    /// Within a table's own expressions, its columns have their names.
    fn of_table<'s>(&mut self, var: Option<&'t RangeVar>, scope: &'s Scope<'t, '_>) -> Scope<'t, 's> {
        let from = match (var, self.found(var)) {
            (Some(var), Some(index)) => {
                let rel = self.user_relation(index);
                From::one(var.relname.as_str().into(), rel, &mut self.numbers)
            }
            _ => From::empty(),
        };
        Scope::within(scope, from)
    }

    pub(super) fn create_trigger(&mut self, create: &'t CreateTrigStmt, scope: &Scope<'t, '_>) {
        self.on_relation(create.relation.as_ref(), Action::Define);
        self.runs_later(create.relation.as_ref(), "a trigger");
        let (schema, name) = tree::qualified(&create.funcname);
        for function in self.candidates(schema, name, 0) {
            let reach = self.summary(function).value.clone();
            self.uses(&reach, How::Source, "a trigger's function", -1);
        }
        let mut inner = Scope::within(scope, From::empty());
        if let Some(index) = self.found(create.relation.as_ref()) {
            let rel = std::rc::Rc::new(self.user_relation(index));
            for alias in ["old", "new"] {
                inner.from.items.push(Item::new(alias, std::rc::Rc::clone(&rel)));
            }
        }
        // Whether it fires tells what its condition says.
        let condition = self.part(&create.when_clause, &inner);
        self.uses(&condition, How::Source, "a trigger's condition", -1);
    }

    /// What an expression gives is kept for each table, and shown.
    pub(super) fn create_statistics(&mut self, create: &'t CreateStatsStmt, scope: &Scope<'t, '_>) {
        let relation = create.relations.first().and_then(|node| match tree::kind(node) {
            Some(NodeEnum::RangeVar(var)) => Some(var),
            _ => None,
        });
        self.on_relation(relation, Action::Define);
        let inner = self.of_table(relation, scope);
        let mut taint = Taint::CLEAN;
        for element in &create.exprs {
            if let Some(NodeEnum::StatsElem(element)) = tree::kind(element) {
                taint.join(&self.part(&element.expr, &inner));
            }
        }
        self.uses(&taint, How::Source, "an expression of statistics", -1);
    }

    pub(super) fn alter_domain(&mut self, alter: &'t AlterDomainStmt, scope: &Scope<'t, '_>) {
        let (schema, name) = tree::qualified(&alter.type_name);
        self.takes_known_type(schema, name);
        if let Some(node) = alter.def.as_deref() {
            match tree::kind(node) {
                Some(NodeEnum::Constraint(_)) => self.default_of(node, scope),
                _ => {
                    let taint = self.expr(node, scope).taint;
                    self.uses(&taint, How::Source, "a domain's default", -1);
                }
            }
        }
        // A constraint (C), NOT NULL (O), a validation (V): every value of the domain is looked at.
        if matches!(alter.subtype.as_str(), "C" | "O" | "V") {
            let (_, name) = tree::qualified(&alter.type_name);
            let mut taint = Taint::CLEAN;
            for domain in self.catalog.types_named(name) {
                taint.join(&self.catalog.held_as(domain.oid, self.stack));
            }
            self.uses(&taint, How::Predicate, "a constraint of a domain", -1);
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
            // Its primary key is meant.
            let primary = &relation.facts.primary;
            let columns = relation.facts.columns.iter().zip(&lineage.columns);
            for (_, held) in columns.filter(|(column, _)| primary.contains(&column.number)) {
                taint.join(held);
            }
            if primary.is_empty() {
                taint.clone_from(&lineage.row);
            }
        }
        self.uses(&taint, How::Predicate, "the columns that a foreign key refers to", -1);
    }

    /// `define` on the target, unless it is needed on a relation already.
    pub(super) fn need_some_define(&mut self, why: &str) {
        if !self.needs.iter().any(|n| n.action == Action::Define) {
            self.need_on_target(Action::Define, why);
        }
    }

    pub(super) fn create_function(&mut self, create: &'t CreateFunctionStmt, scope: &Scope<'t, '_>) -> Outcome<'t> {
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
        let (schema, name) = tree::qualified(&create.funcname);
        self.named_as_declared(name);
        self.run_by_others(schema, name);
        self.in_servers_schema(schema);
        if create.replace {
            self.takes_known_function(schema, name);
        }
        // A trigger, a default or a view may call it in statements of others, which are not asked about it.
        if language.eq_ignore_ascii_case("plpgsql") {
            let reach = self.catalog.reach(body, self.stack);
            self.uses(&reach, How::Source, "a function's body", -1);
        } else if language.eq_ignore_ascii_case("sql") {
            let made = self.sql_body(create, body);
            self.uses(&made, How::Source, "a function's body", -1);
        } else {
            self.need_on_target(Action::Administer, format!("a function in the language `{language}`"));
        }
        for parameter in &create.parameters {
            if let Some(NodeEnum::FunctionParameter(parameter)) = tree::kind(parameter) {
                let taint = self.part(&parameter.defexpr, scope);
                self.uses(&taint, How::Source, "a parameter's default", -1);
            }
        }
        Outcome::defines(verb)
    }

    /// What a body in SQL can give its caller.
    fn sql_body(&mut self, create: &'t CreateFunctionStmt, text: &str) -> Taint {
        let names: Vec<String> = create
            .parameters
            .iter()
            .filter_map(|parameter| match tree::kind(parameter) {
                Some(NodeEnum::FunctionParameter(parameter)) => Some(parameter.name.clone()),
                _ => None,
            })
            .collect();
        let Some(body) = create.sql_body.as_deref() else {
            // Its names will mean what the path of whoever calls it makes of them.
            return self.catalog.text_gives(text, &names, self.stack);
        };
        let mut taint = Taint::CLEAN;
        let mut open = vec![body];
        while let Some(node) = open.pop() {
            if let Some(NodeEnum::List(list)) = tree::kind(node) {
                open.extend(&list.items);
                continue;
            }
            let context = Context { catalog: self.catalog, search_path: self.path, path_known: self.path_known };
            let mut inner = Analyzer::new(&context, self.stack);
            inner.arguments = &names;
            inner.steps = self.steps;
            let statement = match tree::kind(node) {
                Some(NodeEnum::ReturnStmt(give)) => {
                    let root = Scope::root();
                    taint.join(&inner.part(&give.returnval, &root));
                    inner.finish(Outcome::of("select"))
                }
                _ => inner.statement(node),
            };
            self.steps = inner.steps;
            self.seen.append(&mut inner.seen);
            taint.join(&statement.gives());
        }
        taint
    }

    /// How many pages a materialized view takes is there for everybody to see, and what is computed can be as long as a guess is right.
    pub(super) fn sized_by<'a>(&mut self, computed: impl Iterator<Item = &'a Taint>) {
        let mut taint = Taint::CLEAN;
        computed.for_each(|one| taint.join(one));
        self.uses(&taint, How::Source, "the size of a materialized view", -1);
    }

    /// What an administrator declared free of labelled data is known by its name.
    pub(super) fn named_as_declared(&mut self, name: &str) {
        if self.catalog.is_declared(name) {
            self.need_on_target(Action::Administer, format!("the name `{name}`, which is declared safe"));
        }
    }

    /// Who puts a function where triggers or stored expressions of others call one puts code on their rows, as with a trigger.
    pub(super) fn run_by_others(&mut self, schema: &str, name: &str) {
        let given = self.catalog.given_by_others(schema, name, self.stack);
        self.uses(
            &given,
            How::Source,
            "code of a trigger or a stored expression that calls a function of this name",
            -1,
        );
    }

    /// What the server's own schemas hold is known by its name alone, and so is what extensions brought. Who puts something else
    /// there, or takes such a name for something else, administers the database.
    pub(super) fn in_servers_schema(&mut self, schema: &str) {
        if is_servers_schema(schema) {
            self.need_on_target(Action::Administer, format!("a change in the schema `{schema}`"));
        }
    }

    /// The same of a function that is replaced, renamed or moved.
    fn takes_known_function(&mut self, schema: &str, name: &str) {
        self.in_servers_schema(schema);
        let here = |other: &str| schema.is_empty() || other == schema;
        // Which schema it is in, a name alone does not say.
        let own = schema.is_empty() && self.catalog.has_labels() && builtins::function(name).is_some();
        let of_extension = self.catalog.functions_named(name).iter().any(|function| {
            let facts = self.catalog.function(*function).map(|f| &f.facts);
            facts.is_none_or(|facts| facts.extension.is_some() && here(&facts.schema))
        });
        if own || of_extension {
            self.need_on_target(
                Action::Administer,
                format!("the function `{name}`, which the server or an extension brought"),
            );
        }
    }

    /// The same of a type. What stands below all others is made by who administers the database.
    fn takes_known_type(&mut self, schema: &str, name: &str) {
        self.in_servers_schema(schema);
        let here = |other: &str| schema.is_empty() || other == schema;
        let mut found = self.catalog.types_named(name).filter(|facts| here(&facts.schema)).peekable();
        let unknown = found.peek().is_none() && self.catalog.has_labels();
        if unknown || found.any(|facts| facts.kind == 'b') {
            self.need_on_target(Action::Administer, format!("the type `{name}`, which is none of the users' own"));
        }
    }

    /// An object gets another name or schema: this one.
    pub(super) fn takes_place(&mut self, kind: ObjectType, schema: &str, name: &str) {
        self.named_as_declared(name);
        if matches!(kind, ObjectType::ObjectFunction | ObjectType::ObjectProcedure | ObjectType::ObjectRoutine) {
            self.run_by_others(schema, name);
        }
    }

    /// An object gets another name or schema.
    pub(super) fn takes_known(&mut self, kind: ObjectType, object: Option<&'t Node>) {
        let Some(object) = object else { return };
        let (schema, name) = named(object);
        match kind {
            ObjectType::ObjectFunction
            | ObjectType::ObjectProcedure
            | ObjectType::ObjectRoutine
            | ObjectType::ObjectAggregate => self.takes_known_function(schema, name),
            ObjectType::ObjectType | ObjectType::ObjectDomain => self.takes_known_type(schema, name),
            ObjectType::ObjectSchema => self.in_servers_schema(name),
            _ => self.in_servers_schema(schema),
        }
    }

    /// A view that takes the place of one of the server's own.
    pub(super) fn replaces_servers(&mut self, var: Option<&'t RangeVar>) {
        let Some(var) = var else { return };
        if matches!(self.resolve(&var.schemaname, &var.relname), Resolved::System { .. }) {
            self.need_on_target(Action::Administer, format!("the view `{}`, which is the server's own", var.relname));
        }
    }

    /// What a DO block stores where labels are lost. Its code is the client's own.
    pub(super) fn done_by_code(&mut self, code: &'t DoStmt) {
        let mut language = "plpgsql";
        let mut body = "";
        for option in &code.args {
            if let Some(NodeEnum::DefElem(option)) = tree::kind(option)
                && let Some(arg) = option.arg.as_deref()
            {
                match option.defname.as_str() {
                    "language" => language = tree::text(arg),
                    "as" => body = tree::text(arg),
                    _ => {}
                }
            }
        }
        let lost = if language.eq_ignore_ascii_case("plpgsql") {
            let steps = std::sync::atomic::AtomicUsize::new(self.taken());
            let stored = self.catalog.code_stores(body, self.stack, (self.path, self.path_known), &steps);
            self.took(steps.into_inner());
            if stored.dynamic { self.unknown() } else { stored.lost }
        } else {
            self.unknown()
        };
        self.uses(&lost, How::Source, "a DO block", -1);
    }

    /// What a rule will do in statements of others, which are not asked about it.
    pub(super) fn rule_actions(&mut self, rule: &'t RuleStmt, scope: &Scope<'t, '_>) {
        let rel = self.found(rule.relation.as_ref()).map(|index| std::rc::Rc::new(self.user_relation(index)));
        let mut inner = Scope::within(scope, From::empty());
        // It is others who will run it.
        let follows = std::mem::replace(&mut self.follows, false);
        for alias in ["old", "new"] {
            if let Some(rel) = &rel {
                inner.from.items.push(Item::new(alias, std::rc::Rc::clone(rel)));
            }
        }
        let taint = self.part(&rule.where_clause, &inner);
        self.uses(&taint, How::Source, "a rule", -1);
        for action in &rule.actions {
            if let Some(kind) = tree::kind(action) {
                let result = self.command(kind, &inner).result;
                let taint = result.map_or(Taint::CLEAN, |rel| rel.all());
                self.uses(&taint, How::Source, "a rule", -1);
            }
        }
        self.follows = follows;
    }

    pub(super) fn index(&mut self, index: &'t IndexStmt, scope: &Scope<'t, '_>) -> Outcome<'t> {
        self.on_relation(index.relation.as_ref(), Action::Define);
        if let Some(found) = self.found(index.relation.as_ref()) {
            self.works_on(found);
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
            let inner = Scope::within(scope, From::one(alias.into(), rel, &mut self.numbers));
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
        self.in_servers_schema(&var.schemaname);
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
            match kind {
                ObjectType::ObjectSchema => self.in_servers_schema(name),
                _ => self.in_servers_schema(named(object).0),
            }
            match self.resolve(schema, name) {
                Resolved::User(index) if relation || of_relation => self.reads(index, Action::Define),
                Resolved::System { schema, .. } if relation || of_relation => self.in_servers_schema(schema),
                _ => {
                    self.may_be(schema, name, Action::Define);
                    self.need_on_target(Action::Define, "an object to drop");
                }
            }
        }
    }

    /// Whether a name to drop is that of a temporary relation of the session.
    pub(super) fn is_temporary(&self, object: &'t Node) -> bool {
        let (schema, name) = tree::qualified(tree::items(object));
        match self.resolve(schema, name) {
            Resolved::User(index) => {
                self.catalog.relation(index).is_some_and(|r| r.facts.schema.starts_with("pg_temp_"))
            }
            _ => false,
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

    /// The same of one of its columns; the others keep their names.
    pub(super) fn relabels_column(&mut self, var: Option<&'t RangeVar>, column: &str) {
        let Some(index) = self.found(var) else { return };
        let Some(relation) = self.catalog.relation(index) else { return };
        let lineage = self.lineage(index);
        let at = relation.facts.columns.iter().position(|c| c.name == column);
        let taint = at.and_then(|at| lineage.columns.get(at)).unwrap_or(&lineage.row).clone();
        self.uses(&taint, How::Source, &format!("a change that takes labels off `{column}`"), -1);
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

    /// What the server runs by itself on the relation's rows: its errors speak of the row, and what it calls is code that
    /// its caller does not see.
    pub(super) fn works_on(&mut self, index: usize) {
        self.touches.join(&self.lineage(index).row.clone());
        let name = self.catalog.relation(index).map_or("", |r| r.facts.name.as_str());
        for function in self.catalog.called_for(index) {
            let summary = self.summary_beneath(function);
            let mut taint = summary.value.clone();
            for (_, used) in &summary.uses {
                taint.join(used);
            }
            self.uses(&taint, How::Source, &format!("what defaults, checks and indexes of `{name}` call"), -1);
        }
    }

    /// The same of a relation by its name; without one, of all there are.
    pub(super) fn works_on_named(&mut self, var: Option<&'t RangeVar>) {
        match (var, self.found(var)) {
            (_, Some(index)) => self.works_on(index),
            (Some(_), None) => {}
            (None, None) => {
                self.calls_later = true;
                for (index, relation) in self.catalog.relations() {
                    if matches!(relation.facts.kind, 'r' | 'm' | 'p') {
                        self.works_on(index);
                    }
                }
            }
        }
    }

    /// A view that stored copies were made of: what is in them stays when it is replaced.
    pub(super) fn replaces_view(&mut self, var: Option<&'t RangeVar>) {
        let Some(relation) = self.found(var).and_then(|index| self.catalog.relation(index)) else { return };
        let title = format!("{}.{}", relation.facts.schema, relation.facts.name);
        let copied = self
            .catalog
            .relations()
            .any(|(index, other)| other.facts.kind == 'm' && self.lineage(index).tables.contains(&title));
        if copied {
            self.relabels(var);
        }
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

/// Whether a schema is the server's own.
fn is_servers_schema(schema: &str) -> bool {
    let temporary = schema == "pg_temp" || schema.starts_with("pg_temp_");
    schema == "information_schema" || (schema.starts_with("pg_") && !temporary)
}

/// Schema and name of an object of any kind.
fn named(object: &Node) -> (&str, &str) {
    match tree::kind(object) {
        Some(NodeEnum::ObjectWithArgs(object)) => tree::qualified(&object.objname),
        Some(NodeEnum::TypeName(name)) => tree::qualified(&name.names),
        _ => tree::qualified(tree::items(object)),
    }
}

/// Whether a change of a table leaves every column's values and name as they were, and tells nothing of them.
fn keeps_values(kind: AlterTableType) -> bool {
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
fn weakens(kind: AlterTableType) -> bool {
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
