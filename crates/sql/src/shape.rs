//! Texts that differ in nothing but numbers: what clients send that write their values into the text.
//!
//! Two claims make it safe to take the analysis of one such text for another. The first is about reading: in the texts
//! that have a [`Shape`] a run of digits that stands alone is one number to the server's scanner, whatever its digits, and
//! of the same kind of token. A text in which anything could make digits something else (a comment, a dollar sign, a
//! backslash, a string or name with a prefix, a letter or dot beside the digits) has no shape, or keeps those digits. The
//! second is about meaning: a number is *idle* only where it stands as it is beside a column in a comparison or in plain
//! arithmetic of an assignment, or as a value of INSERT. The analysis looks at no value in these places, save that which a
//! labelled column is compared with, and that is not idle. Every other number belongs to the text like any word.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, Node, ParseResult, RawStmt, a_const};

use crate::analyze::tree;

/// The longest text that has a shape.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// The most numbers in a text that has a shape.
const NUMBERS_MAX: usize = 256;
/// Numbers of up to so many digits are integers to every scanner; of at least [`LONG_DIGITS_MIN`] without a leading zero,
/// never.
const SHORT_DIGITS_MAX: usize = 9;
const LONG_DIGITS_MIN: usize = 11;
const LONG_DIGITS_MAX: usize = 30;
/// What stands for a number in a shape. No text with a shape has these bytes.
const SHORT: u8 = 1;
const LONG: u8 = 2;

const COMPARISONS: &[&str] = &["=", "<>", "<", ">", "<=", ">="];
const ARITHMETIC: &[&str] = &["+", "-", "*"];

/// A text without its numbers, and where they stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    key: Vec<u8>,
    numbers: Vec<(usize, usize)>,
}

impl Shape {
    /// The shape of a text, if it has one: only a text with numbers in it has.
    ///
    /// The server must read texts as UTF-8 and with `standard_conforming_strings`.
    pub fn of(text: &str) -> Option<Shape> {
        let bytes = text.as_bytes();
        if bytes.len() > TEXT_BYTES_MAX || !bytes.iter().any(u8::is_ascii_digit) {
            return None;
        }
        let mut shape = Shape { key: Vec::with_capacity(bytes.len()), numbers: Vec::new() };
        let mut at = 0;
        // What stands before `at`, as far as it matters: whether a word, a number or a dot could go on.
        let mut before = b' ';
        while let Some(byte) = bytes.get(at).copied() {
            let rest = bytes.get(at..).unwrap_or_default();
            let end = match byte {
                b'\'' | b'"' => {
                    // A prefix would give the string other rules: E'', U&"", B'', N''.
                    if goes_on(before) || before == b'&' {
                        return None;
                    }
                    at.checked_add(quoted(rest, byte)?)?
                }
                b'$' | b'\\' => return None,
                b'-' if rest.starts_with(b"--") => return None,
                b'/' if rest.starts_with(b"/*") => return None,
                b'0'..=b'9' if !goes_on(before) && before != b'.' => {
                    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                    let end = at.checked_add(digits)?;
                    let alone = bytes.get(end).is_none_or(|b| !goes_on(*b) && *b != b'.' && *b != b'\'' && *b != b'"');
                    let place = match digits {
                        1..=SHORT_DIGITS_MAX if alone => Some(SHORT),
                        LONG_DIGITS_MIN..=LONG_DIGITS_MAX if alone && byte != b'0' => Some(LONG),
                        _ => None,
                    };
                    if let Some(place) = place {
                        if shape.numbers.len() >= NUMBERS_MAX {
                            return None;
                        }
                        shape.key.push(place);
                        shape.numbers.push((at, end));
                        // What follows is no letter, digit or dot.
                        before = b'0';
                        at = end;
                        continue;
                    }
                    end
                }
                b'\t' | b'\n' | b'\r' => at.checked_add(1)?,
                0..=0x1f | 0x7f.. => return None,
                _ => at.checked_add(1)?,
            };
            let part = bytes.get(at..end)?;
            shape.key.extend_from_slice(part);
            before = part.last().copied().unwrap_or(b' ');
            at = end;
        }
        (!shape.numbers.is_empty()).then_some(shape)
    }

    /// The text with a mark in the place of each number. Texts of the same key differ in their numbers only.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The digits of the number at `index` in `text`, of which this is the shape.
    pub fn number<'t>(&self, text: &'t str, index: usize) -> Option<&'t str> {
        let (from, to) = *self.numbers.get(index)?;
        text.get(from..to)
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none, which is never.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Which of the numbers are idle, given where the tree has idle constants.
    pub(crate) fn idle(&self, text: &str, constants: &[Idle]) -> Vec<bool> {
        let bytes = text.as_bytes();
        self.numbers
            .iter()
            .map(|(from, _)| {
                constants.iter().any(|constant| match constant {
                    Idle::Plain(at) => at == from,
                    // The parser gives a negative constant the place of its sign.
                    Idle::Negative(at) => {
                        bytes.get(*at) == Some(&b'-') && bytes.get(at.saturating_add(1)..*from).is_some_and(blank)
                    }
                })
            })
            .collect()
    }
}

/// Whether a word or a number may go on with this byte, or after it.
fn goes_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}

/// The length of the string or quoted name at the start of `bytes`; `None` where it has no end, or could be read otherwise.
fn quoted(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' | 0 => return None,
            byte if byte == quote && bytes.get(at.checked_add(1)?) == Some(&quote) => at = at.checked_add(2)?,
            byte if byte == quote => {
                let end = at.checked_add(1)?;
                // `'a'b` and `'a''b'` are not worth a rule.
                return bytes.get(end).is_none_or(|b| !goes_on(*b)).then_some(end);
            }
            byte if byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r') => return None,
            _ => at = at.checked_add(1)?,
        }
    }
}

/// Where the tree has a number whose value nothing looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// At its first digit.
    Plain(usize),
    /// At the sign before it.
    Negative(usize),
}

impl Idle {
    /// Where the parser says that the constant is.
    pub(crate) fn place(self) -> usize {
        match self {
            Idle::Plain(at) | Idle::Negative(at) => at,
        }
    }
}

/// The idle numbers of a parsed text; none where any statement is not a plain SELECT, INSERT, UPDATE or DELETE.
pub(crate) fn idle(tree: &ParseResult) -> Vec<Idle> {
    let mut out = Vec::new();
    for raw in &tree.stmts {
        if statement(raw, &mut out).is_none() {
            return Vec::new();
        }
    }
    out
}

fn statement(raw: &RawStmt, out: &mut Vec<Idle>) -> Option<()> {
    match tree::kind(raw.stmt.as_deref()?)? {
        NodeEnum::SelectStmt(select) => conditions(select.where_clause.as_deref(), out),
        NodeEnum::DeleteStmt(delete) => conditions(delete.where_clause.as_deref(), out),
        NodeEnum::UpdateStmt(update) => {
            conditions(update.where_clause.as_deref(), out);
            for target in &update.target_list {
                if let Some(NodeEnum::ResTarget(target)) = tree::kind(target) {
                    match tree::kind_of(&target.val) {
                        Some(NodeEnum::AExpr(e)) => beside_a_column(e, ARITHMETIC, out),
                        _ => number(target.val.as_deref(), out),
                    }
                }
            }
        }
        NodeEnum::InsertStmt(insert) => {
            if let Some(NodeEnum::SelectStmt(select)) = tree::kind_of(&insert.select_stmt) {
                for list in &select.values_lists {
                    for item in tree::items(list) {
                        number(Some(item), out);
                    }
                }
            }
        }
        _ => return None,
    }
    Some(())
}

/// WHERE: comparisons that AND, OR and NOT join.
fn conditions(node: Option<&Node>, out: &mut Vec<Idle>) {
    let mut waiting: Vec<&Node> = node.into_iter().collect();
    while let Some(node) = waiting.pop() {
        match tree::kind(node) {
            Some(NodeEnum::BoolExpr(e)) => waiting.extend(&e.args),
            Some(NodeEnum::AExpr(e)) => beside_a_column(e, COMPARISONS, out),
            _ => {}
        }
    }
}

/// The numbers of an expression with a column on its left, or one on its right and a number on its left.
fn beside_a_column(e: &AExpr, operators: &[&str], out: &mut Vec<Idle>) {
    let column = |side: &Option<Box<Node>>| matches!(tree::kind_of(side), Some(NodeEnum::ColumnRef(_)));
    let ("", name) = tree::qualified(&e.name) else { return };
    match e.kind() {
        AExprKind::AexprOp if operators.contains(&name) && column(&e.lexpr) => number(e.rexpr.as_deref(), out),
        AExprKind::AexprOp if operators.contains(&name) && column(&e.rexpr) => number(e.lexpr.as_deref(), out),
        AExprKind::AexprIn | AExprKind::AexprBetween if operators == COMPARISONS && column(&e.lexpr) => {
            for item in e.rexpr.as_deref().map(tree::items).unwrap_or_default() {
                number(Some(item), out);
            }
        }
        _ => {}
    }
}

fn number(node: Option<&Node>, out: &mut Vec<Idle>) {
    let Some(NodeEnum::AConst(constant)) = node.and_then(tree::kind) else { return };
    let negative = match &constant.val {
        Some(a_const::Val::Ival(value)) => value.ival < 0,
        Some(a_const::Val::Fval(value)) => value.fval.starts_with('-'),
        _ => return,
    };
    if let Ok(at) = usize::try_from(constant.location) {
        // `-0` has the place of its sign and no sign: it is found nowhere, and so stays part of its text.
        out.push(if negative { Idle::Negative(at) } else { Idle::Plain(at) });
    }
}
