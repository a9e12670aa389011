//! What code of users may do to the session or to definitions where a statement sets it off without naming it: triggers, functions in
//! views, defaults, checks and policies. It is asked of all such code at once: which of it runs is not followed.

use pg_query::protobuf::Token;

use super::body::name_of;
use super::calls::USERS_FROM;
use super::facts::Code;
use super::{Catalog, Function};
use crate::builtins::{self, Class, ExtensionFunction};
use crate::parse;
use crate::statement::Unseen;

/// What code has in it somewhere that changes what is defined, or runs what is not shown.
const DEFINING: [&str; 10] =
    ["alter", "commit", "create", "drop", "grant", "import", "load", "reassign", "revoke", "rollback"];
/// What code has in it somewhere that changes settings, prepares statements or opens cursors.
const MOVING: [&str; 9] =
    ["call", "close", "cursor", "deallocate", "discard", "open", "prepare", "reset", "set_config"];
/// Where trees name a function by its number.
const CALLED: &str = ":funcid ";

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
        if unseen == Unseen::Nothing {
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
        let any = (verb == "set_constraints" && self.puts_off())
            || tables.iter().flat_map(named).any(|index| self.relation_sets_off(index, &mut Vec::new()));
        if any { unseen } else { Unseen::Nothing }
    }

    fn relation_sets_off(&self, index: usize, seen: &mut Vec<usize>) -> bool {
        if seen.contains(&index) {
            return false;
        }
        seen.push(index);
        let Some(relation) = self.relation(index) else { return true };
        let facts = &relation.facts;
        if facts.guarded || facts.has_rules || !relation.triggers.is_empty() {
            return true;
        }
        if !self.called_for(index).is_empty() || self.calls_texts(index) {
            return true;
        }
        if facts.definition.as_ref().is_some_and(|code| self.of_code(code) != Unseen::Nothing) {
            return true;
        }
        // What is written to a table is written to its children, and goes on to what refers to it.
        let referring =
            self.references_to(index).filter(|reference| reference.carries_on()).map(|reference| reference.from);
        let beneath: Vec<usize> = relation.descendants.iter().copied().chain(referring).collect();
        beneath.into_iter().any(|other| self.relation_sets_off(other, seen))
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
        let numbers = tree.match_indices(CALLED).map(|(at, _)| {
            let digits = tree.get(at + CALLED.len()..).unwrap_or_default();
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits.get(..end).and_then(|digits| digits.parse::<u32>().ok())
        });
        let of = |number: Option<u32>| {
            let Some(number) = number else { return Unseen::Definitions };
            if number >= USERS_FROM {
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
        numbers.map(of).max().unwrap_or_default()
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
    use super::super::facts::{Called, Caller, CatalogFacts, FunctionFacts, RelationFacts, ServerNames};
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
