//! Texts that differ in numbers: which have a shape, which of their numbers are idle, and that the analysis of one text is
//! that of every other with the same shape and the same numbers where they are not idle.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod shop;

use lockgate_sql::{Batch, Context, Shape, analyze, analyze_shaped};
use proptest::prelude::*;

/// The text with `?` for each number of its shape that is idle; `None` where it has no shape.
fn idle(text: &str) -> Option<String> {
    let catalog = shop::catalog();
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    let shape = Shape::of(text)?;
    let (_, idle) = analyze_shaped(text, &shape, &context).ok()?;
    Some(with_numbers(text, &shape, |index, digits| if idle[index] { "?".into() } else { digits.into() }))
}

fn with_numbers(text: &str, shape: &Shape, number: impl Fn(usize, &str) -> String) -> String {
    let mut index = 0;
    let mut out = String::new();
    for byte in shape.key() {
        if *byte <= 2 {
            out.push_str(&number(index, shape.number(text, index).unwrap()));
            index += 1;
        } else {
            out.push(char::from(*byte));
        }
    }
    assert_eq!(index, shape.len());
    out
}

#[test]
fn numbers_whose_value_nothing_looks_at() {
    for (text, shown) in [
        (
            "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
            "SELECT abalance FROM pgbench_accounts WHERE aid = ?;",
        ),
        ("select * from t where a=1 and (b<>22 or not c >= 333)", "select * from t where a=? and (b<>? or not c >= ?)"),
        ("select * from t where 7 < a", "select * from t where ? < a"),
        (
            "select * from t where a in (1, 2, 3) and b between 4 and 5",
            "select * from t where a in (?, ?, ?) and b between ? and ?",
        ),
        ("select * from t where a = -5 and b = - 6", "select * from t where a = -? and b = - ?"),
        ("select * from t where a = 12345678901", "select * from t where a = ?"),
        ("update t set a = a + 5, b = 6 where c = 7", "update t set a = a + ?, b = ? where c = ?"),
        ("update t set a = a - -5", "update t set a = a - -?"),
        ("insert into t (a, b) values (1, -2), (3, 'x9')", "insert into t (a, b) values (?, -?), (?, 'x9')"),
        (
            "delete from t where a = 1; select b from t where b = 2",
            "delete from t where a = ?; select b from t where b = ?",
        ),
        ("select 'a1 -- ''2', \"b 3\" from t where a = 4", "select 'a1 -- ''2', \"b 3\" from t where a = ?"),
        // A number that means a place, a length or a count, or that some function gets, belongs to the text.
        (
            "select a, b from t where c = 1 group by 2 order by 1 limit 10 offset 5",
            "select a, b from t where c = ? group by 2 order by 1 limit 10 offset 5",
        ),
        (
            "select 1, f(2), a[3], 4::int2, cast(5 as numeric(6, 7)) from t",
            "select 1, f(2), a[3], 4::int2, cast(5 as numeric(6, 7)) from t",
        ),
        (
            "select a from t where a = 1::int and b = f(2) and c = 3 + 4",
            "select a from t where a = 1::int and b = f(2) and c = 3 + 4",
        ),
        ("select a from t where 1 = 1", "select a from t where 1 = 1"),
        (
            "select a from t where a = (select b from u where c = 1)",
            "select a from t where a = (select b from u where c = 1)",
        ),
        ("select a from t where a + 1 = 2", "select a from t where a + 1 = 2"),
        ("select a from t where a = +1", "select a from t where a = +1"),
        ("select a from t where a = -0", "select a from t where a = -0"),
        ("select a from t1 where a1 = 0x1 and b = 1", "select a from t1 where a1 = 0x1 and b = ?"),
        ("prepare p as select a from t where a = 1", "prepare p as select a from t where a = 1"),
        (
            "select a from t where a = 1; set statement_timeout = 5",
            "select a from t where a = 1; set statement_timeout = 5",
        ),
        ("create table t (a numeric(1, 2))", "create table t (a numeric(1, 2))"),
    ] {
        assert_eq!(idle(text).as_deref(), Some(shown), "{text}");
    }
}

#[test]
fn what_could_be_read_otherwise_has_no_shape_or_keeps_its_digits() {
    for text in [
        "select a from t where a = b",
        "select a from t where a = 1 -- 2",
        "select a from t where a = 1 /* 2 */",
        "select a from t where a = $1",
        "select $$ 1 $$",
        "select $a$ 1 $a$",
        "select E'\\'1' where a = 1",
        "select e'1' where a = 2",
        "select U&'d!0061t' uescape '!' where a = 1",
        "select U&\"d!0061t\" from t where a = 1",
        "select b'1', 2",
        "select 'a\\' where a = 1",
        "select 'open where a = 1",
        "select \"open where a = 1",
        "select ä from t where a = 1",
        "select a from t where a = 1 \\; select 2",
        "select 1\u{1}2",
        "select 1\u{c}2",
    ] {
        assert_eq!(Shape::of(text), None, "{text}");
    }
    // Digits beside a letter, a dot or a quote, ten digits (a matter of their value), and long ones that may be short.
    for text in ["a1", "1a", "1e5", "0x1f", "1_000", "1.5", ".5", "5.", "1..2", "1ä", "1234567890", "00000000001"] {
        let shape = Shape::of(&format!("select {text}"));
        assert_eq!(shape, None, "{text}");
    }
    assert_eq!(Shape::of(&format!("select {}", "1, ".repeat(300))), None);
    assert_eq!(Shape::of(&format!("select 1{}", " ".repeat(20_000))), None);
}

#[test]
fn what_a_labelled_column_is_compared_with_is_not_idle() {
    let catalog = shop::catalog();
    let path = shop::PATH.map(str::to_owned);
    let context = Context { catalog: &catalog, search_path: &path, path_known: true };
    for (text, expected) in [
        ("select id from customers where id = 7 and salary = 50", vec![true, false]),
        ("select id from customers where salary = 50 and salary = 50", vec![false, false]),
        ("select id from customers where -50 = salary and id > 3", vec![false, true]),
        // Nothing but `any` permits these, whatever the value is.
        ("select id from customers where salary > 50", vec![true]),
        ("select id from customers where salary = 50 or id = 3", vec![true, true]),
    ] {
        let shape = Shape::of(text).unwrap();
        assert_eq!(analyze_shaped(text, &shape, &context).unwrap().1, expected, "{text}");
    }
}

/// The analysis without places in the text.
fn placeless(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    for statement in &mut batch.statements {
        statement.range = 0..0;
        for used in &mut statement.uses {
            used.offset = None;
        }
    }
    batch
}

/// Every statement of the table of analyses, and these.
fn corpus() -> Vec<String> {
    let table =
        include_str!("analysis.txt").split("\n\n").filter_map(|block| Some(block.trim().split_once("\n  => ")?.0));
    let more = [
        "select email from customers where id = 7",
        "select email from customers where id = 7 or email = 'a' and id between 1 and 99999999999",
        "select id, email from customers where id in (1, 2, 3) order by 2 limit 3",
        "update customers set id = id + 1 where id = 5 and email is null",
        "insert into customers (id, email) values (1, 'x'), (-2, 'y')",
        "insert into customers (id, email) values (1, 'x') on conflict (id) do update set id = 2 where customers.id = 3",
        "delete from customers where id > 3; delete from customers where 4 > id",
        "select email from customers where id = 7 union select name from customers where id = 8",
    ];
    table.map(str::to_owned).chain(more.map(str::to_owned)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn one_analysis_for_all_of_a_shape(numbers in proptest::collection::vec(0_u64..2_000_000_000, 32)) {
        let catalog = shop::catalog();
        let path = shop::PATH.map(str::to_owned);
        let context = Context { catalog: &catalog, search_path: &path, path_known: true };
        let mut compared = 0;
        for text in corpus() {
            let Some(shape) = Shape::of(&text) else { continue };
            let Ok((batch, idle)) = analyze_shaped(&text, &shape, &context) else { continue };
            let other = with_numbers(&text, &shape, |index, digits| {
                let short = digits.len() <= 9;
                let number = numbers[index % numbers.len()];
                match idle[index] {
                    true if short => (number % 1_000_000_000).to_string(),
                    true => (number + 10_000_000_000).to_string(),
                    false => digits.to_owned(),
                }
            });
            let of_other = Shape::of(&other).unwrap();
            prop_assert_eq!(of_other.key(), shape.key());
            let (other_batch, other_idle) = analyze_shaped(&other, &of_other, &context).unwrap();
            prop_assert_eq!(placeless(&other_batch), placeless(&batch), "{} | {}", text, other);
            prop_assert_eq!(placeless(&analyze(&text, &context).unwrap()), placeless(&batch));
            compared += usize::from(idle.contains(&true));
            let same_numbers = other_idle.iter().zip(&idle).all(|(a, b)| a == b || !a);
            prop_assert!(same_numbers, "{}", other);
        }
        prop_assert!(compared > 8, "only {} texts had idle numbers", compared);
    }
}
