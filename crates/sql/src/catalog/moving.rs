//! What code of users may do to the session or to definitions where a statement sets it off without naming it: triggers, functions in
//! views, defaults, checks and policies.
//!
//! From a relation on, code is followed by the names in it: every function and every relation that is called so, in whatever schema.
//! What no name tells counts with it: functions of operators, casts and types. Where rules or row security are in the way, and
//! where a statement calls code itself, it is asked of all code of the database at once.

use lockgate_core::limits::PG_FIRST_USER_OID;
use pg_query::protobuf::Token;
use std::collections::{HashMap, HashSet};

use super::body::name_of;
use super::facts::{Called, Caller, Code, FunctionFacts};
use super::{Catalog, Function, LabelledColumn};
use crate::analyze::Frame;
use crate::builtins::{self, Class, ExtensionFunction};
use crate::parse;
use crate::statement::Unseen;
use crate::taint::Taint;

/// What code has in it somewhere that changes what is defined, or runs what is not shown.
const DEFINING: [&str; 10] =
    ["alter", "commit", "create", "drop", "grant", "import", "load", "reassign", "revoke", "rollback"];
/// What code has in it somewhere that changes settings, prepares statements or opens cursors.
const MOVING: [&str; 9] =
    ["call", "close", "cursor", "deallocate", "discard", "open", "prepare", "reset", "set_config"];
/// What code has in it somewhere that changes rows.
const WRITING: [&str; 5] = ["copy", "delete", "insert", "merge", "update"];
/// Where trees name a function by its number.
const CALLED: &str = ":funcid ";

/// What a piece of code may do by itself, and what it names.
#[derive(Debug, Default)]
pub(super) struct Links {
    own: Unseen,
    /// It changes rows.
    writes: bool,
    functions: Vec<usize>,
    relations: Vec<usize>,
}

impl Catalog {
    /// What any code of users may do beside reading and writing.
    pub(crate) fn unseen(&self) -> Unseen {
        *self.unseen.get_or_init(|| {
            if self.any_calls_texts() {
                return Unseen::Definitions;
            }
            let functions = self.functions.iter().map(|function| self.of_function(function));
            let views = self.relations.iter().filter_map(|relation| relation.facts.definition.as_ref());
            functions.chain(views.map(|code| self.of_code(code))).max().unwrap_or_default()
        })
    }

    /// What code may do that a statement of this verb sets off which reads or writes these relations, as `schema.name`.
    pub(crate) fn sets_off(&self, tables: &[String], verb: &str) -> Unseen {
        let unseen = self.unseen();
        if unseen == Unseen::Nothing || (verb == "set_constraints" && self.puts_off()) {
            return unseen;
        }
        let named = |table: &String| -> Vec<usize> {
            let splits = table.match_indices('.').filter_map(|(at, _)| Some((table.get(..at)?, table.get(at + 1..)?)));
            let of = |(schema, name): (&str, &str)| {
                let all = self.relations_named(name).iter().copied();
                all.filter(|index| self.relation(*index).is_some_and(|r| r.facts.schema == schema)).collect::<Vec<_>>()
            };
            splits.flat_map(of).collect()
        };
        tables.iter().flat_map(named).map(|index| self.relation_sets_off(index)).max().unwrap_or_default()
    }

    fn relation_sets_off(&self, index: usize) -> Unseen {
        let Some(relation) = self.relation(index) else { return Unseen::Definitions };
        *relation.sets_off.get_or_init(|| {
            let reached = Reached::from(self, index);
            if reached.runs { reached.most.max(self.unnamed()) } else { reached.most }
        })
    }

    /// The relations, as `schema.name`, by writing which somebody may change the rows that a labelled column is of: its table, what that
    /// is a part of and what is a part of it, and whatever sets off code that may write one of these.
    pub fn written_with(&self, column: &LabelledColumn) -> Vec<String> {
        let of_column = |index: &usize| self.relation(*index).is_some_and(|r| r.facts.schema == column.schema);
        let tables: Vec<usize> = self.relations_named(&column.table).iter().copied().filter(of_column).collect();
        let around = |index: usize| {
            let parts = self.relation(index).map(|r| r.ancestors.iter().chain(&r.descendants).copied());
            std::iter::once(index).chain(parts.into_iter().flatten())
        };
        let rows: HashSet<usize> = tables.into_iter().flat_map(around).collect();
        let writes = |index: usize| {
            let reached = Reached::from(self, index);
            let dynamic = reached.most == Unseen::Definitions;
            reached.runs && (dynamic || (reached.writes && reached.relations.iter().any(|other| rows.contains(other))))
        };
        let ways = self.relations().filter(|(index, r)| rows.contains(index) || r.facts.has_rules || writes(*index));
        ways.map(|(_, relation)| format!("{}.{}", relation.facts.schema, relation.facts.name)).collect()
    }

    /// What a function of this name may be given, or see, in statements of others: it belongs to a trigger or to a stored expression of
    /// a table, or code of such a one calls it.
    pub(crate) fn given_by_others(&self, schema: &str, name: &str, stack: &[Frame]) -> Taint {
        let mut given = Taint::CLEAN;
        if !self.has_labels() {
            return given;
        }
        // A function belongs to triggers of many tables.
        let mut known: HashMap<usize, bool> = HashMap::new();
        for (index, relation) in self.relations() {
            let triggers = relation.triggers.iter().map(|trigger| trigger.function);
            let mut waiting: Vec<usize> = triggers.chain(self.called_for(index)).collect();
            let mut reached = HashSet::new();
            let mut runs = false;
            while let Some(at) = waiting.pop() {
                let Some(function) = self.function(at).filter(|_| reached.insert(at)) else { continue };
                runs |= function.facts.name == name && (schema.is_empty() || function.facts.schema == schema);
                if !function.safe && function.facts.extension.is_none() {
                    runs |= *known.entry(at).or_insert_with(|| calls(&function.facts, name));
                    waiting.extend(&function.links.get_or_init(|| self.links(function)).functions);
                }
            }
            if runs {
                given.join(&self.lineage(index, stack).row);
                for function in reached {
                    given.join(&self.summary(function, stack, &[], false).touches);
                }
            }
        }
        given
    }

    /// What the functions may do that code calls without naming them: those of operators, casts and types.
    fn unnamed(&self) -> Unseen {
        *self.unnamed.get_or_init(|| {
            let casts = self.casts.values().flatten().chain(&self.casts_to_own).map(|(_, function)| *function);
            let types = self.calls.iter().filter(|(caller, _)| matches!(caller, Caller::Type(_)));
            let of_types = types.flat_map(|(_, called)| called).filter_map(|called| match called {
                Called::Function(oid) => self.functions_by_oid.get(oid).copied(),
                Called::Operator(_) | Called::Type(_) => None,
            });
            let unasked = self.casts_unasked.iter().copied();
            let all = self.operator_functions.values().copied().chain(casts).chain(of_types).chain(unasked);
            let mut reached = Reached {
                functions_waiting: all.filter(|function| !self.is_plain_extension(*function)).collect(),
                ..Reached::default()
            };
            reached.follow(self);
            reached.most
        })
    }

    /// What a function may do by itself, and what its code names.
    fn links(&self, function: &Function) -> Links {
        let facts = &function.facts;
        let mut links = Links { own: self.of_function(function), ..Links::default() };
        if function.safe || facts.extension.is_some() {
            if let (false, Some(extension)) = (function.safe, &facts.extension) {
                links.own = of_extension(extension, &facts.name);
            }
            return links;
        }
        match &facts.body {
            Some(code) => self.link_code(code, &mut links),
            None => self.link_text(&facts.source, &mut links),
        }
        links.functions.extend(self.called_from(facts.oid));
        links
    }

    fn link_code(&self, code: &Code, links: &mut Links) {
        match code {
            Code::Sql(sql) => self.link_text(sql, links),
            Code::Tree(tree) => {
                // What is not there is told by its number, above.
                let functions = [CALLED, ":aggfnoid ", ":winfnoid "].into_iter().flat_map(|word| numbers(tree, word));
                links.functions.extend(functions.flatten().filter_map(|oid| self.functions_by_oid.get(&oid)));
                let relations = numbers(tree, ":relid ");
                links.relations.extend(relations.flatten().filter_map(|oid| self.relations_by_oid.get(&oid)));
                // All but SELECT, which is 1.
                links.writes |= numbers(tree, ":commandType ").any(|kind| kind != Some(1));
            }
        }
    }

    fn link_text(&self, source: &str, links: &mut Links) {
        let Ok(tokens) = parse::tokens(source) else { return links.own = Unseen::Definitions };
        for name in tokens.iter().filter_map(|token| name_of(token, source)) {
            links.writes |= WRITING.contains(&&*name);
            links.functions.extend(self.functions_named(&name));
            links.relations.extend(self.relations_named(&name));
        }
    }

    fn of_function(&self, function: &Function) -> Unseen {
        let facts = &function.facts;
        // Of extensions those count that run texts, and only where code names them.
        if function.safe || facts.extension.is_some() {
            return Unseen::Nothing;
        }
        match (facts.language.as_str(), &facts.body) {
            ("sql", Some(body)) => self.of_code(body),
            ("sql" | "plpgsql", None) => self.of_text(&facts.source),
            _ => Unseen::Definitions,
        }
    }

    fn of_code(&self, code: &Code) -> Unseen {
        match code {
            Code::Sql(sql) => self.of_text(sql),
            Code::Tree(tree) => self.of_tree(tree),
        }
    }

    /// Of the functions that a tree calls. Those of users count by themselves; statements that are not queries are in no tree.
    fn of_tree(&self, tree: &str) -> Unseen {
        let of = |number: Option<u32>| {
            let Some(number) = number else { return Unseen::Definitions };
            if number >= PG_FIRST_USER_OID {
                let user = self.functions_by_oid.get(&number).and_then(|index| self.function(*index));
                return user.map_or(Unseen::Definitions, |function| match &function.facts.extension {
                    Some(extension) => of_extension(extension, &function.facts.name),
                    None => Unseen::Nothing,
                });
            }
            match self.server.functions.get(&number) {
                Some((_, name)) => of_builtin(name),
                None => Unseen::Definitions,
            }
        };
        numbers(tree, CALLED).map(of).max().unwrap_or_default()
    }

    fn of_text(&self, source: &str) -> Unseen {
        let Ok(tokens) = parse::tokens(source) else { return Unseen::Definitions };
        let mut most = Unseen::Nothing;
        // `UPDATE … SET` is no setting.
        let mut updates = false;
        let mut tokens = tokens.iter().peekable();
        while let Some(token) = tokens.next() {
            match token.token() {
                Token::Uident | Token::Execute => return Unseen::Definitions,
                Token::Ascii59 => updates = false,
                _ => {}
            }
            let Some(name) = name_of(token, source) else { continue };
            let name = name.as_ref();
            let of = match name {
                "begin" | "then" | "else" | "loop" | "declare" => {
                    updates = false;
                    Unseen::Nothing
                }
                "update" => {
                    updates = true;
                    Unseen::Nothing
                }
                "set" if !updates => Unseen::Session,
                "do" => {
                    let next = tokens.peek().and_then(|token| name_of(token, source));
                    let on_conflict = matches!(next.as_deref(), Some("update" | "nothing"));
                    if on_conflict { Unseen::Nothing } else { Unseen::Definitions }
                }
                _ if DEFINING.contains(&name) => Unseen::Definitions,
                _ if MOVING.contains(&name) => Unseen::Session,
                _ => self.of_name(name),
            };
            most = most.max(of);
        }
        most
    }

    /// Of something of this name that runs texts which are not shown.
    fn of_name(&self, name: &str) -> Unseen {
        let users = self.functions_named(name).iter().filter_map(|index| self.function(*index));
        let of = |function: &Function| {
            let facts = &function.facts;
            facts.extension.as_ref().map_or(Unseen::Nothing, |extension| of_extension(extension, &facts.name))
        };
        users.map(of).max().unwrap_or_default().max(of_builtin(name))
    }
}

/// What is found from a relation on.
#[derive(Default)]
struct Reached {
    most: Unseen,
    /// There is code at all.
    runs: bool,
    writes: bool,
    relations: HashSet<usize>,
    functions: HashSet<usize>,
    relations_waiting: Vec<usize>,
    functions_waiting: Vec<usize>,
}

impl Reached {
    /// What code is set off where this relation is read or written.
    fn from(catalog: &Catalog, index: usize) -> Reached {
        let mut reached = Reached::default();
        reached.relation(catalog, index);
        reached.follow(catalog);
        reached
    }

    fn relation(&mut self, catalog: &Catalog, index: usize) {
        if !self.relations.insert(index) {
            return;
        }
        let Some(relation) = catalog.relation(index) else { return self.most = Unseen::Definitions };
        if relation.facts.guarded || relation.facts.has_rules {
            self.most = self.most.max(catalog.unseen());
        }
        if catalog.calls_texts(index) {
            self.most = Unseen::Definitions;
        }
        let triggers = relation.triggers.iter().map(|trigger| trigger.function);
        self.functions_waiting.extend(triggers.chain(catalog.called_for(index)));
        if let Some(code) = &relation.facts.definition {
            let mut links = Links { own: catalog.of_code(code), ..Links::default() };
            catalog.link_code(code, &mut links);
            self.link(&links);
        }
        // What is written to a table is written to its children, and goes on to what refers to it.
        let referring =
            catalog.references_to(index).filter(|reference| reference.carries_on()).map(|reference| reference.from);
        self.relations_waiting.extend(relation.descendants.iter().copied().chain(referring));
    }

    fn link(&mut self, links: &Links) {
        self.runs = true;
        self.writes |= links.writes;
        self.most = self.most.max(links.own);
        self.relations_waiting.extend(&links.relations);
        self.functions_waiting.extend(&links.functions);
    }

    fn follow(&mut self, catalog: &Catalog) {
        while self.most != Unseen::Definitions {
            if let Some(index) = self.functions_waiting.pop() {
                if self.functions.insert(index) {
                    match catalog.function(index) {
                        Some(function) => self.link(function.links.get_or_init(|| catalog.links(function))),
                        None => self.most = Unseen::Definitions,
                    }
                }
            } else if let Some(index) = self.relations_waiting.pop() {
                self.relation(catalog, index);
            } else {
                return;
            }
        }
    }
}

/// Whether the text of a function calls something of this name, there or not. One of the server's own is called so only as long as no other
/// fits the arguments better.
fn calls(function: &FunctionFacts, name: &str) -> bool {
    let source = match &function.body {
        Some(Code::Sql(sql)) => sql,
        Some(Code::Tree(_)) => return false,
        None => &function.source,
    };
    let Ok(tokens) = parse::tokens(source) else { return true };
    let written = || tokens.iter().filter(|token| !matches!(token.token(), Token::SqlComment | Token::CComment));
    let mut pairs = written().zip(written().skip(1)).filter(|(_, next)| next.token() == Token::Ascii40);
    pairs.any(|(token, _)| name_of(token, source).is_some_and(|called| called == name))
}

/// What follows this word wherever it stands in a tree.
fn numbers<'t>(tree: &'t str, word: &'static str) -> impl Iterator<Item = Option<u32>> + 't {
    tree.match_indices(word).map(move |(at, _)| {
        let digits = tree.get(at + word.len()..).unwrap_or_default();
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits.get(..end).and_then(|digits| digits.parse().ok())
    })
}

fn of_builtin(name: &str) -> Unseen {
    match builtins::function(name).map(|builtin| builtin.class) {
        Some(Class::RunsText | Class::Dynamic | Class::Administers) => Unseen::Definitions,
        _ if name == "set_config" => Unseen::Session,
        _ => Unseen::Nothing,
    }
}

fn of_extension(extension: &str, name: &str) -> Unseen {
    match builtins::extension_function(extension, name) {
        ExtensionFunction::Pure => Unseen::Nothing,
        _ => Unseen::Definitions,
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Called, Caller, CatalogFacts, FunctionFacts, RelationFacts, ServerNames, TriggerFacts};
    use super::*;
    use std::sync::Arc;

    fn catalog(functions: Vec<FunctionFacts>, relations: Vec<RelationFacts>, calls: Vec<(Caller, Called)>) -> Catalog {
        let own = [(2078, "set_config"), (2924, "query_to_xml"), (870, "lower"), (3689, "ts_stat")];
        let functions_of_server =
            own.iter().map(|(oid, name)| (*oid, ("pg_catalog".to_owned(), (*name).to_owned()))).collect();
        let server = Arc::new(ServerNames { functions: functions_of_server, ..ServerNames::default() });
        Catalog::build(CatalogFacts { functions, relations, calls, server, ..CatalogFacts::default() }, &[], &[])
    }

    fn function(language: &str, source: &str) -> FunctionFacts {
        FunctionFacts {
            oid: 20_001,
            schema: "app".into(),
            name: "work".into(),
            language: language.into(),
            source: source.into(),
            ..FunctionFacts::default()
        }
    }

    #[test]
    fn what_code_may_do_is_told_by_its_words() {
        for (language, source, expect) in [
            ("plpgsql", "BEGIN NEW.at := now(); RETURN NEW; END", Unseen::Nothing),
            ("plpgsql", "BEGIN UPDATE t SET a = 1 WHERE b = 2; RETURN NULL; END", Unseen::Nothing),
            (
                "plpgsql",
                "BEGIN INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2; RETURN NULL; END",
                Unseen::Nothing,
            ),
            ("plpgsql", "BEGIN INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING; RETURN NULL; END", Unseen::Nothing),
            ("sql", "SELECT lower('set a')", Unseen::Nothing),
            ("plpgsql", "BEGIN SET search_path = a; RETURN NULL; END", Unseen::Session),
            ("plpgsql", "BEGIN UPDATE t SET a = 1; SET LOCAL role = a; RETURN NULL; END", Unseen::Session),
            ("plpgsql", "BEGIN IF a THEN SET x = 1; END IF; RETURN NULL; END", Unseen::Session),
            ("plpgsql", "BEGIN PERFORM Set_Config('search_path', 'a', false); RETURN NULL; END", Unseen::Session),
            ("plpgsql", "BEGIN PERFORM \"set_config\"('search_path', 'a', false); RETURN NULL; END", Unseen::Session),
            ("plpgsql", "BEGIN RESET search_path; RETURN NULL; END", Unseen::Session),
            ("plpgsql", "BEGIN DEALLOCATE p; PREPARE p AS SELECT 1; RETURN NULL; END", Unseen::Session),
            (
                "plpgsql",
                "DECLARE c refcursor := 'c'; BEGIN CLOSE c; OPEN c FOR SELECT 1; RETURN NULL; END",
                Unseen::Session,
            ),
            ("plpgsql", "DECLARE c CURSOR FOR SELECT 1; BEGIN FOR r IN c LOOP NULL; END LOOP; END", Unseen::Session),
            ("plpgsql", "BEGIN EXECUTE 'SELECT 1'; RETURN NULL; END", Unseen::Definitions),
            ("plpgsql", "BEGIN DO 'BEGIN END'; RETURN NULL; END", Unseen::Definitions),
            ("plpgsql", "BEGIN CREATE TEMP TABLE t (a int); RETURN NULL; END", Unseen::Definitions),
            ("plpgsql", "BEGIN ALTER SCHEMA a RENAME TO b; RETURN NULL; END", Unseen::Definitions),
            (
                "plpgsql",
                "BEGIN PERFORM query_to_xml('SELECT 1', true, true, ''); RETURN NULL; END",
                Unseen::Definitions,
            ),
            ("plpgsql", "BEGIN PERFORM U&\"set\\005fconfig\"('a', 'b', false); RETURN NULL; END", Unseen::Definitions),
            ("sql", "GRANT SELECT ON t TO public", Unseen::Definitions),
            ("plperl", "return 1", Unseen::Definitions),
        ] {
            let all = catalog(vec![function(language, source)], Vec::new(), Vec::new());
            assert_eq!(all.unseen(), expect, "{source}");
        }
    }

    #[test]
    fn what_trees_call_is_told_by_its_number() {
        let user = function("sql", "SELECT 1");
        let extension = |name: &str, of: &str| FunctionFacts {
            oid: 20_002,
            name: name.into(),
            extension: Some(of.into()),
            ..function("c", "")
        };
        for (tree, expect) in [
            ("({QUERY :x {FUNCEXPR :funcid 870 :funcresulttype 25}})", Unseen::Nothing),
            ("({QUERY :x {OPEXPR :opno 98 :opfuncid 67}})", Unseen::Nothing),
            ("({QUERY :x {FUNCEXPR :funcid 20001 :funcresulttype 25}})", Unseen::Nothing),
            ("({QUERY :x {FUNCEXPR :funcid 870 :x {FUNCEXPR :funcid 2078 :funcresulttype 25}}})", Unseen::Session),
            ("({QUERY :x {FUNCEXPR :funcid 2924 :funcresulttype 142}})", Unseen::Definitions),
            ("({QUERY :x {FUNCEXPR :funcid 3689 :funcresulttype 2249}})", Unseen::Definitions),
            ("({QUERY :x {FUNCEXPR :funcid 20002 :funcresulttype 2249}})", Unseen::Definitions),
            ("({QUERY :x {FUNCEXPR :funcid 20003 :funcresulttype 2249}})", Unseen::Definitions),
            ("({QUERY :x {FUNCEXPR :funcid x}})", Unseen::Definitions),
        ] {
            let view = RelationFacts {
                oid: 30_001,
                schema: "app".into(),
                name: "v".into(),
                kind: 'v',
                definition: Some(Code::Tree(tree.into())),
                ..RelationFacts::default()
            };
            let all = catalog(vec![user.clone(), extension("crosstab", "tablefunc")], vec![view], Vec::new());
            assert_eq!(all.unseen(), expect, "{tree}");
            let sets_off = all.sets_off(&["app.v".into()], "select");
            assert_eq!(sets_off, expect, "{tree}");
        }
    }

    /// A catalog with functions (number, name, source) beside one that moves the path and is called by nothing, a table `app.a` with a
    /// trigger that calls the first, and tables `app.b` without one and `app.c` with one that calls the second.
    fn followed(functions: &[(u32, &str, &str)], calls: Vec<(Caller, Called)>) -> Catalog {
        let of = |(oid, name, source): &(u32, &str, &str)| FunctionFacts {
            oid: *oid,
            name: (*name).into(),
            ..function("plpgsql", source)
        };
        let moves = (29_999, "moves_by_itself", "BEGIN SET search_path = x; END");
        let table = |oid: u32, name: &str| RelationFacts {
            oid,
            schema: "app".into(),
            name: name.into(),
            kind: 'r',
            ..RelationFacts::default()
        };
        let trigger = |relation, function| TriggerFacts { relation, function, ..TriggerFacts::default() };
        let facts = CatalogFacts {
            functions: functions.iter().chain([&moves]).map(of).collect(),
            relations: vec![table(30_001, "a"), table(30_002, "b"), table(30_003, "c")],
            triggers: vec![trigger(30_001, 20_001), trigger(30_003, 20_002)],
            calls,
            ..CatalogFacts::default()
        };
        Catalog::build(facts, &[], &[])
    }

    #[test]
    fn code_is_followed_by_the_names_in_it() {
        let nothing = "BEGIN NEW.at := now(); RETURN NEW; END";
        let moves = "BEGIN SET search_path = x; RETURN NEW; END";
        let called = |caller, oid| vec![(caller, Called::Function(oid))];
        for (what, first, second, calls, expect) in [
            ("nothing", nothing, nothing, Vec::new(), Unseen::Nothing),
            ("what is not named", nothing, moves, Vec::new(), Unseen::Nothing),
            ("itself", moves, nothing, Vec::new(), Unseen::Session),
            ("a function", "BEGIN PERFORM other(); RETURN NEW; END", moves, Vec::new(), Unseen::Session),
            (
                "a function in capitals",
                "BEGIN PERFORM app.OTHER(); RETURN NEW; END",
                moves,
                Vec::new(),
                Unseen::Session,
            ),
            ("a table with a trigger", "BEGIN DELETE FROM \"c\"; RETURN NEW; END", moves, Vec::new(), Unseen::Session),
            ("a table without one", "BEGIN DELETE FROM b; RETURN NEW; END", moves, Vec::new(), Unseen::Nothing),
            ("a default", nothing, moves, called(Caller::Relation(30_001), 20_002), Unseen::Session),
            ("a default of another", nothing, moves, called(Caller::Relation(30_002), 20_002), Unseen::Nothing),
            ("an argument's default", nothing, moves, called(Caller::Function(20_001), 20_002), Unseen::Session),
            ("a domain's check", nothing, moves, called(Caller::Type(25_000), 20_002), Unseen::Session),
        ] {
            let all = followed(&[(20_001, "work", first), (20_002, "other", second)], calls);
            assert_eq!(all.sets_off(&["app.a".into()], "insert"), expect, "{what}");
            assert_eq!(all.unseen(), Unseen::Session, "{what}");
        }
    }

    #[test]
    fn stored_expressions_that_run_texts_count_where_they_are() {
        let table = |oid: u32, name: &str| RelationFacts {
            oid,
            schema: "app".into(),
            name: name.into(),
            kind: 'r',
            ..RelationFacts::default()
        };
        let calls = vec![(Caller::Relation(30_001), Called::Function(2_078))];
        let all = catalog(Vec::new(), vec![table(30_001, "a"), table(30_002, "b")], calls);
        assert_eq!(all.unseen(), Unseen::Definitions);
        assert_eq!(all.sets_off(&["app.a".into()], "insert"), Unseen::Definitions);
        assert_eq!(all.sets_off(&["app.b".into()], "insert"), Unseen::Nothing);
    }
}
