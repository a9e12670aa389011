//! COPY: rows in or out in bulk, or to and from the server's files and programs.

use lockgate_core::Action;
use pg_query::NodeEnum;
use pg_query::protobuf::{CopyStmt, Node, Token};

use super::command::Outcome;
use super::scope::{Rel, Scope};
use super::{Analyzer, tree};
use crate::statement::{CopyFormat, CopyKind, Effect, ForceQuote};
use crate::taint::Taint;

impl<'t> Analyzer<'t> {
    pub(super) fn copy(&mut self, copy: &'t CopyStmt, scope: &Scope<'t, '_>) -> Outcome<'t> {
        let mut outcome = Outcome::of("copy");
        let on_server = copy.is_program || !copy.filename.is_empty();
        if copy.is_program {
            self.need_on_target(Action::Administer, "a program on the server");
        } else if on_server {
            self.need_on_target(Action::Administer, "a file on the server");
        }
        let format = format(&copy.options);
        if format.is_none() {
            self.opaque = true;
            self.need_on_target(Action::Administer, "a COPY option that is not understood");
        }
        if copy.is_from {
            if let Some(var) = &copy.relation {
                self.copied_into(var, copy.where_clause.as_deref(), scope);
            }
            outcome.has_where = copy.where_clause.is_some();
            if !on_server {
                outcome.effect = format.map_or(Effect::None, Effect::CopyIn);
            }
            return outcome;
        }
        let mut rel = match (&copy.relation, tree::kind_of(&copy.query)) {
            (Some(var), _) => {
                let rel = self.relation(var, scope);
                self.given_as_found("rows in the order of an index they were clustered on, in COPY");
                rel
            }
            (None, Some(query)) => {
                let rel = self.query(query, scope);
                outcome.has_where = self.filtered;
                outcome.has_limit = rel.bounded && !self.filtered;
                rel
            }
            (None, None) => Rel::unknown(Taint::UNKNOWN),
        };
        if !copy.attlist.is_empty() {
            let mut cols = Vec::new();
            for name in tree::texts(&copy.attlist) {
                match rel.cols.iter().find(|c| c.name == name) {
                    Some(col) => cols.push(col.clone()),
                    None => rel.open = Some(self.unknown()),
                }
            }
            rel.cols = cols;
        } else if let Some(var) = &copy.relation {
            self.without_generated(var, &mut rel);
        }
        self.exports("COPY TO");
        if on_server {
            // The rows go to the server's side, where nothing is masked.
            let taint = rel.all();
            self.uses(&taint, crate::How::Source, "a file or program on the server", -1);
            return outcome;
        }
        if let Some(encoding) = format.as_ref().and_then(|f| f.encoding.as_deref())
            && !is_utf8(encoding)
        {
            // Columns are found by delimiters, and there are encodings in which a delimiter is half of a character.
            let taint = rel.all();
            self.uses(&taint, crate::How::Source, "a copy in another encoding than UTF-8", -1);
        }
        outcome.effect = format.map_or(Effect::None, Effect::CopyOut);
        outcome.result = Some(rel);
        outcome
    }
}

/// The query within `COPY (query) TO …`; `None` for any other text.
pub fn copied_query(text: &str) -> Option<&str> {
    let tokens = crate::parse::tokens(text).ok()?;
    let mut words = tokens.iter().filter(|t| !matches!(t.token(), Token::SqlComment | Token::CComment));
    if words.next()?.token() != Token::Copy {
        return None;
    }
    let open = words.next().filter(|t| t.token() == Token::Ascii40)?;
    let mut depth = 1_u32;
    let close = words.find(|token| {
        match token.token() {
            Token::Ascii40 => depth = depth.saturating_add(1),
            Token::Ascii41 => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })?;
    text.get(usize::try_from(open.end).ok()?..usize::try_from(close.start).ok()?)
}

/// Whether an encoding name means UTF-8. PostgreSQL compares letters and digits only, without regard to case.
fn is_utf8(name: &str) -> bool {
    let clean: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    matches!(clean.as_str(), "utf8" | "unicode")
}

/// The format that COPY's options ask for. `None` if an option is not understood.
fn format(options: &[Node]) -> Option<CopyFormat> {
    let mut kind = CopyKind::Text;
    for (name, arg) in options.iter().filter_map(option) {
        if name == "format" {
            kind = match word(arg).to_ascii_lowercase().as_str() {
                "text" => CopyKind::Text,
                "csv" => CopyKind::Csv,
                "binary" => CopyKind::Binary,
                _ => return None,
            };
        }
    }
    let csv = kind == CopyKind::Csv;
    let mut out = CopyFormat {
        kind,
        delimiter: if csv { b',' } else { b'\t' },
        null: if csv { String::new() } else { "\\N".to_owned() },
        quote: b'"',
        escape: b'"',
        header: false,
        force_quote: ForceQuote::None,
        encoding: None,
    };
    let mut escape = None;
    for (name, arg) in options.iter().filter_map(option) {
        let text = word(arg);
        let byte = || match text.as_bytes() {
            [byte] => Some(*byte),
            _ => None,
        };
        match name {
            "format" | "freeze" | "force_not_null" | "force_null" | "on_error" | "log_verbosity" | "reject_limit" => {}
            "delimiter" => out.delimiter = byte()?,
            "null" => text.clone_into(&mut out.null),
            "quote" => out.quote = byte()?,
            "escape" => escape = Some(byte()?),
            "encoding" => out.encoding = Some(text.to_owned()),
            "header" => {
                out.header = !matches!(text.to_ascii_lowercase().as_str(), "false" | "off" | "0" | "no");
            }
            "force_quote" => {
                out.force_quote = match arg.and_then(tree::kind) {
                    Some(NodeEnum::List(list)) => {
                        ForceQuote::Columns(tree::texts(&list.items).map(str::to_owned).collect())
                    }
                    Some(NodeEnum::AStar(_)) => ForceQuote::All,
                    _ => return None,
                };
            }
            "default" => {}
            _ => return None,
        }
    }
    out.escape = escape.unwrap_or(out.quote);
    Some(out)
}

fn option(node: &Node) -> Option<(&str, Option<&Node>)> {
    match tree::kind(node)? {
        NodeEnum::DefElem(e) => Some((&e.defname, e.arg.as_deref())),
        _ => None,
    }
}

/// An option's value as a word; empty when there is none (`HEADER` alone).
fn word(arg: Option<&Node>) -> &str {
    match arg.and_then(tree::kind) {
        Some(NodeEnum::String(s)) => &s.sval,
        Some(NodeEnum::Integer(i)) => {
            if i.ival == 0 {
                "0"
            } else {
                "1"
            }
        }
        Some(NodeEnum::Boolean(b)) => {
            if b.boolval {
                "true"
            } else {
                "false"
            }
        }
        Some(NodeEnum::TypeName(t)) => tree::qualified(&t.names).1,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::copied_query;

    #[test]
    fn the_query_within() {
        assert_eq!(copied_query("copy (SELECT (1)) TO STDOUT (FORMAT csv)"), Some("SELECT (1)"));
        assert_eq!(copied_query("/* ( */ COPY --(\n ( SELECT ')' ) TO STDOUT"), Some(" SELECT ')' "));
        for other in ["COPY t TO STDOUT", "COPY t (a) TO STDOUT", "SELECT (1)", "COPY (SELECT 1", "COPY", "COPY 'x"] {
            assert_eq!(copied_query(other), None, "{other}");
        }
    }
}
