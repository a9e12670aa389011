//! What an analysis says of a statement: plain data that policy, masking and the protocol read. Nothing here decides.

use std::fmt;
use std::ops::Range;

use lockgate_core::Action;

use crate::probe::Probe;
use crate::taint::Taint;

/// The statements of one text, in order. An empty text has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// One entry per statement.
    pub statements: Vec<Statement>,
}

/// The text is no statement this crate can vouch for. Callers treat it as touching everything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unparsable {
    /// What is wrong.
    pub why: Why,
    /// The byte of the text where it shows, when known.
    pub offset: Option<usize>,
}

/// Why a text is not analysed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The grammar refuses it. The text is the parser's own message.
    #[error("{0}")]
    Syntax(String),
    /// Longer than [`lockgate_core::limits::SQL_STATEMENT_BYTES_MAX`].
    #[error("the statement is longer than {0} bytes")]
    TooLong(usize),
    /// Nested deeper than [`lockgate_core::limits::SQL_DEPTH_MAX`].
    #[error("the statement is nested deeper than {0} levels")]
    TooDeep(usize),
    /// More words, signs and constants than [`lockgate_core::limits::SQL_TOKENS_MAX`].
    #[error("the statement has more than {0} words and signs")]
    TooManyTokens(usize),
    /// More statements than [`lockgate_core::limits::SQL_STATEMENTS_MAX`].
    #[error("more than {0} statements in one text")]
    TooMany(usize),
    /// A NUL byte, which no statement may hold.
    #[error("the statement holds a NUL byte")]
    Nul,
    /// The analysis itself failed (no thread, or a bound of the work was reached).
    #[error("the statement could not be analysed: {0}")]
    Unanalysed(&'static str),
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its bytes in the text, without the separating semicolon.
    pub range: Range<usize>,
    /// The command tag in lower case with underscores: `select`, `drop_table`, `alter_system`, `copy`.
    pub verb: &'static str,
    /// What it needs, each (action, object) once. Empty for what only moves the session along (BEGIN, SHOW, LISTEN …).
    pub needs: Vec<Need>,
    /// What policy may ask about it.
    pub facts: Facts,
    /// Where its result columns come from.
    pub outputs: Outputs,
    /// Where it uses labelled values other than as output.
    pub uses: Vec<Use>,
    /// What it sums and counts, if it is a SELECT that does nothing else.
    pub aggregation: Option<Aggregation>,
    /// What it does to the session.
    pub effect: Effect,
    /// Where labelled values come to lie in columns that could take their labels: one for each use of kind
    /// [`How::Stored`], or more.
    pub carries: Vec<Carry>,
    /// The first name in it that the catalog does not have. What has such a name counts as everything labelled; the server will most likely
    /// refuse it.
    pub not_found: Option<String>,
    /// Everything labelled that its execution reads. An error or notice it raises may hold any of it.
    pub touches: Taint,
}

/// Labelled values on their way into a column without their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carry {
    /// The schema as written; empty if none is.
    pub schema: String,
    /// The relation's name.
    pub relation: String,
    /// Its id, by the catalog of the analysis; `None` for one that is made.
    pub oid: Option<u32>,
    /// The statement makes the relation.
    pub new: bool,
    /// It does nothing where there is such a relation.
    pub may_exist: bool,
    /// The column.
    pub column: CarryColumn,
    /// What is stored.
    pub value: Taint,
    /// It is a column's value as it is.
    pub plain: bool,
}

/// A column to be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarryColumn {
    /// By its name.
    Named(String),
    /// By its place, from zero.
    At(usize),
    /// All of them: which is not told.
    Every,
}

/// One permission that a statement needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// To do what.
    pub action: Action,
    /// On what.
    pub object: Object,
    /// What in the statement asks for it, in words for a person.
    pub why: String,
}

/// What an action is done to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// The target as a whole.
    Target,
    /// A relation in it.
    Table {
        /// Its schema.
        schema: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Target => f.write_str("the target"),
            Object::Table { schema, name } => write!(f, "{schema}.{name}"),
        }
    }
}

/// What policy may ask about a statement besides its needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Relations named or reached through views, as `schema.name`, sorted.
    pub tables: Vec<String>,
    /// The outermost SELECT, UPDATE or DELETE (also inside EXPLAIN, PREPARE, DECLARE) has a WHERE clause.
    pub has_where: bool,
    /// The outermost SELECT has LIMIT or FETCH FIRST.
    pub has_limit: bool,
    /// The data-modifying statements in it, itself included, also within WITH, EXPLAIN, PREPARE, DECLARE and the bodies of
    /// functions. A rule about a verb has to be asked of each of them.
    pub changes: Vec<Change>,
    /// Something in it could not be looked into (DO, EXECUTE of a string, an unknown function or statement kind). After
    /// it, neither the search path nor the catalog nor any setting is certain until the server was asked.
    pub opaque: bool,
    /// It may move the search path, whatever its effect is beside that: `set_config` in a cursor, in what COPY reads, in an
    /// argument of EXECUTE.
    pub moves_path: bool,
    /// What the code may do that it sets off and does not show.
    pub unseen: Unseen,
    /// What it looks up only while it runs.
    pub later: Later,
    /// All that it defines is a temporary table of the session, made or dropped with nothing that depends on it: nobody else
    /// finds that.
    pub temporary: bool,
    /// Code that it sets off may be put off to the end of the transaction, and looks names up then.
    pub puts_off: bool,
    /// It inserts rows of values without labels, and no code of users has a say in them: what the server says when it refuses one is of
    /// what the client gave, and of keys that have it already.
    pub inserts_own: bool,
    /// It calls functions of the server that keep what they are given beyond the statement: settings, notifications, large
    /// objects, sequences.
    pub keeps: bool,
}

/// What code of users may do that a statement sets off without showing it, beside reading and writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// Nothing.
    #[default]
    Nothing,
    /// What ends with the session: move the search path, change settings, prepare statements, open cursors.
    Session,
    /// All of that, and change what is defined.
    Definitions,
}

/// What a statement looks up only while it runs: definitions and labels that come meanwhile count for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Later {
    /// Nothing: it has looked everything up and holds it before its first row.
    #[default]
    Nothing,
    /// What functions of users name that could be looked into, and which is among its relations.
    Known,
    /// It may be anything.
    Anything,
}

/// A data-modifying statement wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `insert`, `update`, `delete`, `merge`, `copy` or `truncate_table`.
    pub verb: &'static str,
    /// It has a WHERE clause that looks at a column.
    pub has_where: bool,
    /// The relation, as `schema.name`, or as written when it is not known.
    pub table: String,
}

/// Where the columns of a result come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// It returns no rows.
    NoRows,
    /// One entry per column, in order.
    Known(Vec<Output>),
    /// The number of columns is not known here; each of them may hold this.
    Each(Taint),
}

impl Statement {
    /// Everything labelled that its rows hold or that its course depends on.
    pub(crate) fn gives(&self) -> Taint {
        let mut taint = match &self.outputs {
            Outputs::NoRows => Taint::CLEAN,
            Outputs::Each(each) => each.clone(),
            Outputs::Known(outputs) => outputs.iter().fold(Taint::CLEAN, |all, output| all.with(&output.value)),
        };
        for used in &self.uses {
            taint.join(&used.taint);
        }
        taint
    }
}

impl Outputs {
    /// The taint of the column at `index`, counted from zero.
    pub fn taint(&self, index: usize) -> Taint {
        match self {
            // More columns than foreseen: what is not understood is labelled.
            Outputs::Known(outputs) => outputs.get(index).map_or(Taint::UNKNOWN, |o| o.value.clone()),
            Outputs::Each(taint) => taint.clone(),
            Outputs::NoRows => Taint::UNKNOWN,
        }
    }

    /// Whether no column can hold a labelled value.
    pub fn is_clean(&self) -> bool {
        match self {
            Outputs::NoRows => true,
            Outputs::Known(outputs) => outputs.iter().all(|o| o.value.is_clean()),
            Outputs::Each(taint) => taint.is_clean(),
        }
    }

    /// The number of columns, when known.
    pub fn len(&self) -> Option<usize> {
        match self {
            Outputs::NoRows => Some(0),
            Outputs::Known(outputs) => Some(outputs.len()),
            Outputs::Each(_) => None,
        }
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The name the server will give it, as far as the tree tells.
    pub name: String,
    /// The server is certain to give it that name.
    pub named: bool,
    /// The labelled columns its value is made from.
    pub value: Taint,
    /// The value is a column passed on unchanged, so any mask method fits. Otherwise it is made from labelled values
    /// and must be masked whole.
    pub plain: bool,
    /// How large it may be, in estimate and bytes: what the statement adds to what is stored.
    pub size: u64,
    /// Computing it is certain not to fail, whatever the values that it is made of.
    pub sure: bool,
}

/// Sums, averages and counts of labelled columns of one table, over sets of rows that nothing labelled decides about. All
/// parts are SQL that means the same under every search path and setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregation {
    /// The table.
    pub relation: String,
    /// Which of its rows: a condition.
    pub rows: String,
    /// The columns it groups by, sorted.
    pub groups: Vec<String>,
    /// One per output: `Some` for an aggregate over a labelled column.
    pub outputs: Vec<Option<Aggregated>>,
}

impl Aggregation {
    /// The labelled columns that are aggregated, each once.
    pub fn aggregated(&self) -> Vec<&Aggregated> {
        let mut all: Vec<&Aggregated> = Vec::new();
        for one in self.outputs.iter().flatten() {
            if !all.iter().any(|known| known.column == one.column) {
                all.push(one);
            }
        }
        all
    }
}

/// A labelled column that is aggregated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregated {
    /// Its name as SQL.
    pub column: String,
    /// Which it is.
    pub taint: Taint,
}

/// A use of labelled values other than handing them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Of which columns.
    pub taint: Taint,
    /// In which place.
    pub how: How,
    /// What to name in a message: the clause or the function.
    pub place: String,
    /// The byte of the text where it stands, when known.
    pub offset: Option<usize>,
    /// Of an equality test, the one value that the column is compared with. `None` for any other use, and for a test that
    /// does not show all that it asks: within a sub-query, or in the body of a view or function.
    pub probe: Option<Probe>,
}

/// The place of a use. `Equality` and `Join` are what a policy's `@mode` may permit on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// `column = constant` and nothing else, in a WHERE clause.
    Equality,
    /// Any other test that decides which rows there are (WHERE, HAVING, LIMIT, EXISTS, IN …).
    Predicate,
    /// `column = column` of two columns with the same labels, USING or NATURAL with such.
    Join,
    /// ORDER BY or a window's order.
    Order,
    /// GROUP BY or PARTITION BY.
    Group,
    /// DISTINCT, or a set operation that removes duplicates.
    Distinct,
    /// The condition of an aggregate (FILTER) or an aggregate that tells its input by more than its own value.
    Aggregate,
    /// An expression whose failure tells the value (a cast, a division).
    Expression,
    /// Stored or sent where its label is lost: another table, a setting, a notification, a function's side effect.
    Source,
    /// Stored in a column that does not have its label, and could take it.
    Stored,
    /// The condition of CASE, or a short-circuit before something that may fail or act.
    Condition,
}

impl How {
    /// The word for messages.
    pub const fn name(self) -> &'static str {
        match self {
            How::Equality => "equality test",
            How::Predicate => "predicate",
            How::Join => "join",
            How::Order => "order",
            How::Group => "grouping",
            How::Distinct => "distinct",
            How::Aggregate => "aggregate",
            How::Expression => "expression",
            How::Source | How::Stored => "copy",
            How::Condition => "condition",
        }
    }
}

/// What a statement does to the session that the gateway must follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END. `chain`: AND CHAIN.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK, ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    Release(String),
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase,
    /// `search_path` changes: ask the server for the effective path before the next analysis.
    SetPath(NewPath),
    /// SET or RESET of another setting. The name in lower case; `all` for RESET ALL.
    Set {
        /// The setting.
        name: String,
    },
    /// SQL PREPARE. Its name lives in the same space as the protocol's statements.
    Prepare {
        /// The statement's name.
        name: String,
        /// The prepared statement; its needs are those of the PREPARE too.
        inner: Box<Statement>,
        /// Declared parameter types.
        parameters: usize,
    },
    /// SQL EXECUTE: the result is that of the statement `name` in this session. Its needs apply as well.
    Execute {
        /// The statement's name.
        name: String,
        /// What the arguments hold.
        arguments: Taint,
        /// The arguments as text, where they are constants.
        values: Vec<Option<String>>,
        /// The result is a plan of it, not its rows.
        explain: bool,
    },
    /// DEALLOCATE; `None`: ALL.
    Deallocate(Option<String>),
    /// DECLARE CURSOR; `inner` is what its rows are.
    DeclareCursor {
        /// The cursor's name, in the same space as the protocol's portals.
        name: String,
        /// The query.
        inner: Box<Statement>,
        /// WITH HOLD.
        hold: bool,
    },
    /// FETCH: rows of the cursor `name`.
    Fetch {
        /// The cursor.
        name: String,
    },
    /// MOVE: no rows.
    Move {
        /// The cursor.
        name: String,
    },
    /// CLOSE; `None`: ALL.
    CloseCursor(Option<String>),
    /// DISCARD ALL: settings, plans, cursors, temporary tables, listens.
    DiscardAll,
    /// DISCARD of something less.
    Discard,
    /// The catalog changes: take a new snapshot before the next analysis.
    Define,
    /// COPY … TO STDOUT: the columns are in the statement's outputs.
    CopyOut(CopyFormat),
    /// COPY … FROM STDIN.
    CopyIn(CopyFormat),
    /// LISTEN.
    Listen(String),
    /// UNLISTEN; `None`: `*`.
    Unlisten(Option<String>),
}

/// A new `search_path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewPath {
    /// These names, as written (`$user` and missing schemas not resolved).
    Known(Vec<String>),
    /// Not told by the statement (RESET, a function's argument).
    Unknown,
}

/// How COPY writes its data, with the server's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFormat {
    /// Text, CSV or binary.
    pub kind: CopyKind,
    /// Between columns.
    pub delimiter: u8,
    /// The text of a NULL.
    pub null: String,
    /// CSV quote.
    pub quote: u8,
    /// CSV escape.
    pub escape: u8,
    /// A header line.
    pub header: bool,
    /// Columns always quoted: all, or these names.
    pub force_quote: ForceQuote,
    /// The client's own encoding for this COPY, if given.
    pub encoding: Option<String>,
}

/// COPY's formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    /// Tab-separated, backslash escapes.
    Text,
    /// Comma-separated, quotes.
    Csv,
    /// PostgreSQL's binary.
    Binary,
}

/// COPY's FORCE_QUOTE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForceQuote {
    /// As needed.
    None,
    /// `*`.
    All,
    /// These columns.
    Columns(Vec<String>),
}
