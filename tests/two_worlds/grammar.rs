//! Statements made up from a grammar, over the shop. While it builds one, the grammar keeps its own simple account of which
//! outputs are made of labelled columns and whether rows depend on them: an oracle that shares nothing with the analysis.

/// A source of numbers that the same seed always gives again (xorshift64*).
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.roll(items.len())]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
}

#[derive(Clone)]
struct Column {
    name: String,
    kind: Kind,
    labelled: bool,
}

struct Value {
    sql: String,
    labelled: bool,
}

/// What a query offers, and whether which rows it has depends on what is labelled.
struct Query {
    sql: String,
    columns: Vec<Column>,
    rows_labelled: bool,
}

/// A statement and what has to be true of it.
pub struct Statement {
    /// Its text.
    pub sql: String,
    /// By output: it is made of something labelled.
    pub outputs: Vec<bool>,
    /// Which rows there are, or in which order, depends on something labelled.
    pub rows: bool,
}

/// `name:kind`, a star behind what is labelled.
const TABLES: &[(&str, &str)] = &[
    ("customers", "id:i name:t ssn:t* email:t* phone:t* credit_card:t* address:t* region:t ssn_last6:t*"),
    ("public.customers", "id:i name:t ssn:t* email:t* region:t"),
    ("customers_archive", "id:i name:t ssn:t* email:t* region:t"),
    ("v_customers", "id:i name:t ssn:t* email:t* region:t"),
    ("v_people", "a:i b:t* c:t"),
    ("v_nested", "k:i label:t*"),
    ("v_expr", "id:i label:t* ue:t*"),
    ("v_safe", "id:i name:t region:t"),
    ("mv_contacts", "id:i addr:t* ph:t*"),
    ("payments", "id:i customer_id:i card_pan:t*"),
    ("payments_2023", "id:i customer_id:i card_pan:t*"),
    ("hr.employees", "id:i full_name:t iban:t* dept:t"),
    ("products", "sku:t title:t stock:i"),
    ("kv", "k:t v:t"),
    ("(SELECT id, customer_id, sku, status FROM orders WHERE id < 20)", "id:i customer_id:i sku:t status:t"),
    ("cust_tab()", "k:i label:t*"),
    ("all_customers()", "id:i name:t ssn:t* email:t* region:t"),
    ("get_customer(1)", "id:i name:t ssn:t* email:t* region:t"),
];

/// The grammar at work.
pub struct Grammar {
    dice: Dice,
    names: usize,
}

impl Grammar {
    /// With the numbers of a seed.
    pub fn new(seed: u64) -> Grammar {
        Grammar { dice: Dice::new(seed), names: 0 }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    /// One statement. Its clean outputs decide the order of the rows, so that no plan does.
    pub fn statement(&mut self) -> Statement {
        self.names = 0;
        let query = match self.dice.roll(12) {
            0 => self.update(),
            _ => self.query(3),
        };
        let mut sql = query.sql;
        let clean: Vec<String> =
            (1..).zip(&query.columns).filter(|(_, c)| !c.labelled).map(|(at, _)| at.to_string()).collect();
        if !sql.starts_with("UPDATE") && !clean.is_empty() {
            sql = format!("SELECT * FROM ({sql}) top ORDER BY {}", clean.join(", "));
        }
        if self.dice.roll(20) == 0 && !sql.starts_with("UPDATE") {
            sql = format!("COPY ({sql}) TO STDOUT");
        }
        Statement { sql, outputs: query.columns.iter().map(|c| c.labelled).collect(), rows: query.rows_labelled }
    }

    fn update(&mut self) -> Query {
        let columns = table_columns("id:i name:t ssn:t* email:t* region:t");
        let scope = vec![("c".to_owned(), columns)];
        let outputs: Vec<(Value, Kind)> = (0..2).map(|_| self.any(&scope, 1)).collect();
        let list: Vec<&str> = outputs.iter().map(|(value, _)| value.sql.as_str()).collect();
        let sql =
            format!("UPDATE customers c SET vip = vip WHERE id = {} RETURNING {}", self.dice.roll(9), list.join(", "));
        let columns = outputs.iter().map(|(v, kind)| Column { name: String::new(), kind: *kind, labelled: v.labelled });
        Query { sql, columns: columns.collect(), rows_labelled: false }
    }

    fn query(&mut self, depth: usize) -> Query {
        match self.dice.roll(if depth == 0 { 4 } else { 10 }) {
            0..=4 => self.select(depth),
            5 => self.grouped(depth),
            6 => self.set_operation(depth),
            7 => self.with(depth),
            8 => self.recursive(),
            _ => self.distinct(depth),
        }
    }

    /// Something of a FROM clause under an alias of its own.
    fn source(&mut self, depth: usize) -> (String, String, Vec<Column>, bool) {
        let alias = self.name();
        if depth > 0 && self.dice.roll(3) == 0 {
            let query = self.query(depth - 1);
            return (format!("({}) {alias}", query.sql), alias, query.columns, query.rows_labelled);
        }
        let (table, listed) = *self.dice.pick(TABLES);
        let mut columns = table_columns(listed);
        if self.dice.roll(4) == 0 && !table.contains(['.', '(']) && table != "customers_archive" {
            // Other names for the first columns, which are the relation's own first ones only where all are listed.
            if matches!(table, "v_people" | "v_nested" | "v_expr" | "kv" | "mv_contacts") {
                for column in &mut columns {
                    column.name = self.name();
                }
                let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
                return (format!("{table} AS {alias}({})", names.join(", ")), alias, columns, false);
            }
        }
        (format!("{table} AS {alias}"), alias, columns, false)
    }

    fn select(&mut self, depth: usize) -> Query {
        let (mut from, alias, columns, mut rows) = self.source(depth);
        let mut scope = vec![(alias, columns)];
        if depth > 0 && self.dice.roll(3) == 0 {
            let (other, alias, columns, labelled) = self.source(depth - 1);
            rows |= labelled;
            scope.push((alias, columns));
            let on = self.joins(&scope);
            rows |= on.labelled;
            let kind = *self.dice.pick(&["JOIN", "LEFT JOIN", "FULL JOIN"]);
            from = format!("{from} {kind} {other} ON {}", on.sql);
        }
        if self.dice.roll(8) == 0 {
            let alias = self.name();
            let value = self.text(&scope, 1);
            let name = self.name();
            from = format!("{from}, LATERAL (SELECT {} AS {name}) {alias}", value.sql);
            scope.push((alias, vec![Column { name, kind: Kind::Text, labelled: value.labelled }]));
        }
        let mut list = Vec::new();
        let mut columns = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let (value, kind) = self.any(&scope, depth);
            let name = self.name();
            list.push(format!("{} AS {name}", value.sql));
            columns.push(Column { name, kind, labelled: value.labelled });
        }
        let mut sql = format!("SELECT {} FROM {from}", list.join(", "));
        if self.dice.roll(2) == 0 {
            let test = self.test(&scope, depth);
            rows |= test.labelled;
            sql = format!("{sql} WHERE {}", test.sql);
        }
        Query { sql, columns, rows_labelled: rows }
    }

    fn grouped(&mut self, depth: usize) -> Query {
        let (from, alias, columns, mut rows) = self.source(depth - 1);
        let scope = vec![(alias, columns)];
        let by = self.text(&scope, 0);
        rows |= by.labelled;
        let value = self.text(&scope, 1);
        let (key, other) = (self.name(), self.name());
        let aggregate = match self.dice.roll(4) {
            0 => format!("max({})", value.sql),
            1 => format!("string_agg({0}, ',' ORDER BY {0})", value.sql),
            2 => format!("count(DISTINCT {})::text", value.sql),
            _ => format!("min({})", value.sql),
        };
        let columns = vec![
            Column { name: key.clone(), kind: Kind::Text, labelled: by.labelled },
            Column { name: other.clone(), kind: Kind::Text, labelled: value.labelled },
        ];
        let sql = format!("SELECT {} AS {key}, {aggregate} AS {other} FROM {from} GROUP BY 1", by.sql);
        Query { sql, columns, rows_labelled: rows }
    }

    fn set_operation(&mut self, depth: usize) -> Query {
        let (left, right) = (self.one_text(depth - 1), self.one_text(depth - 1));
        let operator = *self.dice.pick(&["UNION ALL", "UNION ALL", "UNION", "EXCEPT", "INTERSECT"]);
        let labelled = left.columns[0].labelled | right.columns[0].labelled;
        let rows = left.rows_labelled | right.rows_labelled | (operator != "UNION ALL" && labelled);
        let name = left.columns[0].name.clone();
        let sql = format!("({}) {operator} ({})", left.sql, right.sql);
        Query { sql, columns: vec![Column { name, kind: Kind::Text, labelled }], rows_labelled: rows }
    }

    fn one_text(&mut self, depth: usize) -> Query {
        let (from, alias, columns, rows) = self.source(depth);
        let scope = vec![(alias, columns)];
        let value = self.text(&scope, depth);
        let name = self.name();
        let sql = format!("SELECT {} AS {name} FROM {from}", value.sql);
        Query { sql, columns: vec![Column { name, kind: Kind::Text, labelled: value.labelled }], rows_labelled: rows }
    }

    fn with(&mut self, depth: usize) -> Query {
        let inner = self.query(depth - 1);
        // A name that is a table's too, now and then.
        let name = if self.dice.roll(2) == 0 { "kv".to_owned() } else { self.name() };
        let names: Vec<String> = inner.columns.iter().map(|_| self.name()).collect();
        let chosen = self.dice.roll(names.len());
        let sql = format!("WITH {name}({}) AS ({}) SELECT {} FROM {name}", names.join(", "), inner.sql, names[chosen]);
        let columns = vec![Column { name: names[chosen].clone(), ..inner.columns[chosen].clone() }];
        Query { sql, columns, rows_labelled: inner.rows_labelled }
    }

    /// The labelled value moves one column to the left each round.
    fn recursive(&mut self) -> Query {
        let scope = vec![("c".to_owned(), table_columns("id:i name:t ssn:t* email:t* region:t"))];
        let last = self.text(&scope, 0);
        let (name, rounds) = (self.name(), 1 + self.dice.roll(4));
        let sql = format!(
            "WITH RECURSIVE r(n, a, b, c) AS (SELECT 1, 'x'::text, 'y'::text, {} FROM customers c WHERE id = 1 UNION ALL \
             SELECT n + 1, b, c, a FROM r WHERE n < {rounds}) SELECT a AS {name} FROM r",
            last.sql
        );
        let columns = vec![Column { name, kind: Kind::Text, labelled: last.labelled && rounds > 2 }];
        Query { sql, columns, rows_labelled: false }
    }

    fn distinct(&mut self, depth: usize) -> Query {
        let inner = self.query(depth - 1);
        let alias = self.name();
        let labelled = inner.columns.iter().any(|c| c.labelled);
        let sql = format!("SELECT DISTINCT * FROM ({}) {alias}", inner.sql);
        Query { sql, columns: inner.columns, rows_labelled: inner.rows_labelled | labelled }
    }

    fn joins(&mut self, scope: &[(String, Vec<Column>)]) -> Value {
        let mut side = |at: usize| {
            let (alias, columns) = &scope[at];
            let number: Vec<&Column> = columns.iter().filter(|c| c.kind == Kind::Int).collect();
            match number.first() {
                Some(column) => Value { sql: format!("{alias}.{}", column.name), labelled: column.labelled },
                None => {
                    let column = self.dice.pick(columns).clone();
                    Value { sql: format!("length({alias}.{}::text)", column.name), labelled: column.labelled }
                }
            }
        };
        let (left, right) = (side(0), side(1));
        Value { sql: format!("{} = {}", left.sql, right.sql), labelled: left.labelled | right.labelled }
    }

    fn column(&mut self, scope: &[(String, Vec<Column>)], kind: Kind) -> Option<Value> {
        let all: Vec<(&String, &Column)> =
            scope.iter().flat_map(|(a, cs)| cs.iter().map(move |c| (a, c))).filter(|(_, c)| c.kind == kind).collect();
        if all.is_empty() {
            return None;
        }
        let (alias, column) = *self.dice.pick(&all);
        Some(Value { sql: format!("{alias}.{}", column.name), labelled: column.labelled })
    }

    fn any(&mut self, scope: &[(String, Vec<Column>)], depth: usize) -> (Value, Kind) {
        if self.dice.roll(4) == 0 {
            (self.number(scope, depth), Kind::Int)
        } else {
            (self.text(scope, depth), Kind::Text)
        }
    }

    fn text(&mut self, scope: &[(String, Vec<Column>)], depth: usize) -> Value {
        let column = self.column(scope, Kind::Text);
        if depth == 0 || self.dice.roll(3) == 0 {
            return column.unwrap_or(Value { sql: "'lit'".into(), labelled: false });
        }
        let one = self.text(scope, depth - 1);
        let call = |sql: String| Value { sql, labelled: one.labelled };
        match self.dice.roll(13) {
            0 => call(format!("upper({})", one.sql)),
            1 => call(format!("left({}, 3)", one.sql)),
            2 => call(format!("md5({})", one.sql)),
            3 => call(format!("reverse(replace({}, 'a', 'b'))", one.sql)),
            4 => call(format!("({})::varchar", one.sql)),
            5 => call(format!("(ARRAY['a', {}])[2]", one.sql)),
            6 => call(format!("(to_jsonb(ROW({}))->>'f1')", one.sql)),
            7 => {
                let two = self.text(scope, depth - 1);
                Value { sql: format!("({} || {})", one.sql, two.sql), labelled: one.labelled | two.labelled }
            }
            8 => {
                let two = self.text(scope, depth - 1);
                Value { sql: format!("coalesce({}, {})", one.sql, two.sql), labelled: one.labelled | two.labelled }
            }
            9 => {
                let two = self.text(scope, depth - 1);
                Value { sql: format!("nullif({}, {})", one.sql, two.sql), labelled: one.labelled | two.labelled }
            }
            10 => {
                let test = self.test(scope, depth - 1);
                let labelled = one.labelled | test.labelled;
                Value { sql: format!("CASE WHEN {} THEN {} ELSE 'no' END", test.sql, one.sql), labelled }
            }
            11 => {
                let query = self.one_text(depth - 1);
                let labelled = query.rows_labelled | query.columns[0].labelled;
                Value {
                    sql: format!("(SELECT min({}) FROM ({}) {})", query.columns[0].name, query.sql, self.name()),
                    labelled,
                }
            }
            _ => match self.dice.roll(2) {
                0 => Value { sql: "get_ssn(1)".into(), labelled: true },
                _ => Value { sql: "region_of(2)".into(), labelled: false },
            },
        }
    }

    fn number(&mut self, scope: &[(String, Vec<Column>)], depth: usize) -> Value {
        match self.dice.roll(3) {
            0 => match self.column(scope, Kind::Int) {
                Some(value) => value,
                None => Value { sql: "7".into(), labelled: false },
            },
            1 => {
                let text = self.text(scope, depth.saturating_sub(1));
                Value { sql: format!("length({})", text.sql), labelled: text.labelled }
            }
            _ => Value { sql: self.dice.roll(50).to_string(), labelled: false },
        }
    }

    fn test(&mut self, scope: &[(String, Vec<Column>)], depth: usize) -> Value {
        let inner = depth.saturating_sub(1);
        match self.dice.roll(7) {
            0 | 1 => {
                let number = self.number(scope, inner);
                Value { sql: format!("{} < {}", number.sql, self.dice.roll(40)), labelled: number.labelled }
            }
            2 => {
                let text = self.text(scope, inner);
                Value { sql: format!("{} LIKE '%a%'", text.sql), labelled: text.labelled }
            }
            3 => {
                let text = self.text(scope, inner);
                Value { sql: format!("{} IS NOT NULL", text.sql), labelled: text.labelled }
            }
            4 if depth > 0 => {
                let query = self.one_text(inner);
                let text = self.text(scope, inner);
                let labelled = text.labelled | query.rows_labelled | query.columns[0].labelled;
                Value { sql: format!("{} IN ({})", text.sql, query.sql), labelled }
            }
            5 if depth > 0 => {
                let query = self.select(inner);
                Value { sql: format!("EXISTS ({})", query.sql), labelled: query.rows_labelled }
            }
            _ => {
                let (one, two) = (self.number(scope, inner), self.number(scope, inner));
                let word = *self.dice.pick(&["AND", "OR"]);
                let sql = format!("({} > 3 {word} NOT {} = 5)", one.sql, two.sql);
                Value { sql, labelled: one.labelled | two.labelled }
            }
        }
    }
}

fn table_columns(listed: &str) -> Vec<Column> {
    let column = |word: &str| {
        let (name, kind) = word.split_once(':').expect("a name and a kind");
        let kind_of = if kind.starts_with('i') { Kind::Int } else { Kind::Text };
        Column { name: name.to_owned(), kind: kind_of, labelled: kind.ends_with('*') }
    };
    listed.split(' ').map(column).collect()
}
