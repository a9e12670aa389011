//! From a text to libpg_query's tree, within bounds. The parser, the decoder of its answer and the walk over the tree all
//! recurse, so a text that could nest deeply is refused, or worked on by a thread with a stack made for it.

use lockgate_core::limits;
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ParseResult, ScanToken, Token};

use crate::statement::{Unparsable, Why};

/// Estimated nesting up to which the caller's own stack does. A level takes up to 10 KiB of stack, several times that
/// in a build without optimisation.
const INLINE_DEPTH: usize = if cfg!(debug_assertions) { 12 } else { 64 };
/// The stack of a thread for what nests deeper. Only the part that is touched takes memory.
const STACK_BYTES: usize = 512 * 1024 * 1024;

/// Parses `text` and runs `work` on the tree. `nested`: from within such work (a view, a function's body), where nobody
/// knows how much of the stack is taken.
pub(crate) fn with_tree<T: Send>(
    text: &str,
    nested: bool,
    work: impl FnOnce(&ParseResult) -> T + Send,
) -> Result<T, Unparsable> {
    let refuse = |why, offset| Err(Unparsable { why, offset });
    if text.len() > limits::SQL_STATEMENT_BYTES_MAX {
        return refuse(Why::TooLong(limits::SQL_STATEMENT_BYTES_MAX), None);
    }
    if let Some(at) = text.bytes().position(|b| b == 0) {
        return refuse(Why::Nul, Some(at));
    }
    if !nested && words(text) <= INLINE_DEPTH {
        return parse(text).map(|tree| work(&tree));
    }
    let nesting = match tokens(text) {
        Ok(tokens) if tokens.len() > limits::SQL_TOKENS_MAX => {
            return refuse(Why::TooManyTokens(limits::SQL_TOKENS_MAX), None);
        }
        Ok(tokens) => nesting(&tokens),
        Err(pg_query::Error::Scan(message)) => return refuse(Why::Syntax(message), None),
        Err(_) => return refuse(Why::Unanalysed("the scanner failed"), None),
    };
    if nesting.brackets > limits::SQL_DEPTH_MAX {
        return refuse(Why::TooDeep(limits::SQL_DEPTH_MAX), usize::try_from(nesting.at).ok());
    }
    if nesting.chain > limits::SQL_CHAIN_MAX {
        return refuse(Why::TooDeep(limits::SQL_CHAIN_MAX), None);
    }
    if !nested && nesting.chain <= INLINE_DEPTH {
        return parse(text).map(|tree| work(&tree));
    }
    match with_stack(move || parse(text).map(|tree| work(&tree))) {
        Some(outcome) => outcome,
        None => refuse(Why::Unanalysed("there is no thread for a statement of this size, or it failed"), None),
    }
}

/// Runs work that recurses deeply. `None` if there is no thread for it, or it failed.
pub(crate) fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("sql".to_owned()).stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Whether a text quotes a constant. One that cannot be scanned may.
pub(crate) fn has_constants(text: &str) -> bool {
    let constant = |token: &ScanToken| {
        let kinds = [Token::Sconst, Token::Usconst, Token::Iconst, Token::Fconst, Token::Bconst, Token::Xconst];
        kinds.contains(&token.token())
    };
    tokens(text).map_or(true, |tokens| tokens.iter().any(constant))
}

/// The relation that a query is made of, by schema and name, if it is one alone.
pub(crate) fn only_relation(text: &str) -> Result<Option<(String, String)>, Unparsable> {
    with_tree(text, true, |tree| {
        let node = tree.stmts.first()?.stmt.as_deref()?.node.as_ref()?;
        let NodeEnum::SelectStmt(select) = node else { return None };
        match (select.from_clause.as_slice(), &select.with_clause) {
            ([Node { node: Some(NodeEnum::RangeVar(var)) }], None) => {
                Some((var.schemaname.clone(), var.relname.clone()))
            }
            _ => None,
        }
    })
}

fn parse(text: &str) -> Result<ParseResult, Unparsable> {
    let tree = match pg_query::parse(text, pg_query::ParserOptions::DEFAULT) {
        Ok(result) => result.protobuf,
        Err(pg_query::Error::Parse(message)) => {
            return Err(Unparsable { why: Why::Syntax(message), offset: None });
        }
        Err(_) => return Err(Unparsable { why: Why::Unanalysed("the parser's answer does not decode"), offset: None }),
    };
    if tree.stmts.len() > limits::SQL_STATEMENTS_MAX {
        return Err(Unparsable { why: Why::TooMany(limits::SQL_STATEMENTS_MAX), offset: None });
    }
    Ok(tree)
}

/// The tokens of a text. The library's scanner answers a text without any with a null pointer, which it must not read.
#[expect(clippy::disallowed_methods, reason = "this is the place where the scanner is kept from blank texts")]
pub(crate) fn tokens(text: &str) -> Result<Vec<ScanToken>, pg_query::Error> {
    let blank = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
    if text.bytes().all(blank) { Ok(Vec::new()) } else { pg_query::scan_tokens(text) }
}

/// Bytes of a name that a server keeps.
const NAME_BYTES_MAX: usize = 63;

/// Whether a name in the text is longer than a server keeps and not of ASCII: where it is cut depends on the encoding.
pub fn has_long_names(text: &str) -> bool {
    // In `U&"…"` every character may be spelled in ASCII.
    if text.len() <= NAME_BYTES_MAX || (text.is_ascii() && !text.contains("&\"")) {
        return false;
    }
    let Ok(tokens) = tokens(text) else { return true };
    tokens.iter().any(|token| {
        let range = usize::try_from(token.start).ok().zip(usize::try_from(token.end).ok());
        let Some(name) = range.and_then(|(start, end)| text.get(start..end)) else { return true };
        let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || !c.is_ascii() || matches!(c, '_' | '"'));
        word && !name.ends_with('\'') && name.len() > NAME_BYTES_MAX && (!name.is_ascii() || name.contains("&\""))
    })
}

/// An upper bound of the words and operators in a text, and so of its nesting, found without a scanner.
fn words(text: &str) -> usize {
    let mut count = 0usize;
    let mut word = false;
    for byte in text.bytes() {
        let continues = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let goes_on = continues && word;
        if !byte.is_ascii_whitespace() && !goes_on {
            count = count.saturating_add(1);
        }
        word = continues;
    }
    count
}

/// How deep a text could nest.
struct Nesting {
    /// Open brackets at most.
    brackets: usize,
    /// Where that was.
    at: i32,
    /// An upper bound of the tree's height: at each open bracket, the tokens since the last comma, as each level of a
    /// tree takes at least one of them. Set operations chain across commas, so they are never forgotten.
    chain: usize,
}

fn nesting(tokens: &[ScanToken]) -> Nesting {
    let mut open: Vec<usize> = Vec::new();
    let mut here = 0usize;
    let mut below = 0usize;
    let mut set_operations = 0usize;
    let mut out = Nesting { brackets: 0, at: 0, chain: 0 };
    for token in tokens {
        match token.token() {
            Token::SqlComment | Token::CComment => continue,
            Token::Ascii40 | Token::Ascii91 => {
                open.push(here);
                below = below.saturating_add(here).saturating_add(1);
                here = 0;
                if open.len() > out.brackets {
                    out.brackets = open.len();
                    out.at = token.start;
                }
            }
            Token::Ascii41 | Token::Ascii93 => {
                if let Some(outer) = open.pop() {
                    here = outer.saturating_add(1);
                    below = below.saturating_sub(here);
                }
            }
            Token::Ascii44 | Token::Ascii59 => here = 0,
            other => {
                here = here.saturating_add(1);
                if matches!(other, Token::Union | Token::Intersect | Token::Except) {
                    set_operations = set_operations.saturating_add(1);
                }
            }
        }
        out.chain = out.chain.max(below.saturating_add(here).saturating_add(set_operations));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn a_text_without_tokens_has_none() {
        for text in ["", " ", "\t\n\x0b\x0c\r "] {
            assert!(tokens(text).is_ok_and(|found| found.is_empty()), "{text:?}");
        }
        for text in [";", "--", "/**/", "a", "\u{a0}", "\u{1}"] {
            assert!(tokens(text).is_err() || tokens(text).is_ok_and(|found| !found.is_empty()), "{text:?}");
        }
    }
}
