//! Whether code of users that a statement sets off without naming it (triggers, functions in views, defaults, checks and policies)
//! may change the search path, or what names stand for. It is asked of all such code at once: which of it runs is not followed.

use pg_query::protobuf::Token;

use super::body::name_of;
use super::facts::Code;
use super::{Catalog, Function};
use crate::builtins::{self, Class, ExtensionFunction};
use crate::parse;

/// What code that changes names, or settings, has in it somewhere.
const WORDS: [&str; 14] = [
    "alter",
    "call",
    "commit",
    "create",
    "deallocate",
    "discard",
    "drop",
    "import",
    "load",
    "prepare",
    "reassign",
    "reset",
    "rollback",
    "set_config",
];
/// `set_config`, as trees name it.
const SET_CONFIG: &str = ":funcid 2078 ";

impl Catalog {
    /// Whether any code of users may move names for the session that runs it.
    pub(crate) fn code_moves(&self) -> bool {
        *self.code_moves.get_or_init(|| {
            let of_view = |code: &Code| self.moves(code);
            self.functions.iter().any(|function| self.function_moves(function))
                || self.relations.iter().any(|relation| relation.facts.definition.as_ref().is_some_and(of_view))
        })
    }

    /// Whether a statement that reads or writes these relations, as `schema.name`, may set off code that moves names, or that makes
    /// the checks that were put off.
    pub(crate) fn sets_off_moves(&self, tables: &[String], verb: &str) -> bool {
        if !self.code_moves() {
            return false;
        }
        let named = |table: &String| -> Vec<usize> {
            let splits = table.match_indices('.').filter_map(|(at, _)| Some((table.get(..at)?, table.get(at + 1..)?)));
            let of = |(schema, name): (&str, &str)| {
                let all = self.relations_named(name).iter().copied();
                all.filter(|index| self.relation(*index).is_some_and(|r| r.facts.schema == schema)).collect::<Vec<_>>()
            };
            splits.flat_map(of).collect()
        };
        (verb == "set_constraints" && self.puts_off())
            || tables.iter().flat_map(named).any(|index| self.relation_sets_off(index, &mut Vec::new()))
    }

    fn relation_sets_off(&self, index: usize, seen: &mut Vec<usize>) -> bool {
        if seen.contains(&index) {
            return false;
        }
        seen.push(index);
        let Some(relation) = self.relation(index) else { return true };
        let facts = &relation.facts;
        if facts.guarded || facts.has_rules || !relation.triggers.is_empty() || !self.called_for(index).is_empty() {
            return true;
        }
        if facts.definition.as_ref().is_some_and(|code| self.moves(code)) {
            return true;
        }
        // What is written to a table is written to its children, and goes on to what refers to it.
        let referring =
            self.references_to(index).filter(|reference| reference.carries_on()).map(|reference| reference.from);
        let beneath: Vec<usize> = relation.descendants.iter().copied().chain(referring).collect();
        beneath.into_iter().any(|other| self.relation_sets_off(other, seen))
    }

    fn function_moves(&self, function: &Function) -> bool {
        let facts = &function.facts;
        // Of extensions those count that run texts, and only where code names them.
        if function.safe || facts.extension.is_some() {
            return false;
        }
        match (facts.language.as_str(), &facts.body) {
            ("sql", Some(body)) => self.moves(body),
            ("sql" | "plpgsql", None) => self.text_moves(&facts.source),
            _ => true,
        }
    }

    fn moves(&self, code: &Code) -> bool {
        match code {
            Code::Sql(sql) => self.text_moves(sql),
            // What else runs texts is asked about when the tree is read.
            Code::Tree(tree) => tree.contains(SET_CONFIG),
        }
    }

    fn text_moves(&self, source: &str) -> bool {
        let Ok(tokens) = parse::tokens(source) else { return true };
        // `UPDATE … SET` is no setting.
        let mut updates = false;
        let mut tokens = tokens.iter().peekable();
        while let Some(token) = tokens.next() {
            match token.token() {
                Token::Uident | Token::Execute => return true,
                Token::Ascii59 => updates = false,
                _ => {}
            }
            let Some(name) = name_of(token, source) else { continue };
            let name = name.as_ref();
            match name {
                "begin" | "then" | "else" | "loop" | "declare" => updates = false,
                "update" => updates = true,
                "set" if !updates => return true,
                "do" => {
                    let next = tokens.peek().and_then(|token| name_of(token, source));
                    if !matches!(next.as_deref(), Some("update" | "nothing")) {
                        return true;
                    }
                }
                _ => {}
            }
            if WORDS.contains(&name) || self.runs_texts(name) {
                return true;
            }
        }
        false
    }

    /// Whether something of this name runs texts that are not shown.
    fn runs_texts(&self, name: &str) -> bool {
        let class = builtins::function(name).map(|builtin| builtin.class);
        if matches!(class, Some(Class::RunsText | Class::Dynamic | Class::Administers)) {
            return true;
        }
        self.functions_named(name).iter().filter_map(|index| self.function(*index)).any(|function| {
            let facts = &function.facts;
            let known = facts.extension.as_ref().map(|of| builtins::extension_function(of, &facts.name));
            known.is_some_and(|known| known != ExtensionFunction::Pure)
        })
    }
}
