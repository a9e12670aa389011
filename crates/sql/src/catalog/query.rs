//! The questions that a snapshot of a catalog consists of, and how their answers are read.
//!
//! They run on the target's own connection, inside whatever transaction is open there, as whatever role is logged in,
//! and under any search path: every name in them is qualified, operators included where a user's could come first.
//! Nothing of the server's own is asked for, except its version and what its objects' ids stand for: the rest is in this
//! crate's tables.
//!
//! Only the system's tables are read, so nobody who changes a relation is waited for, and nobody who wants to change one
//! waits for the transaction in which this was asked. Functions that turn a definition into SQL would lock the relations
//! that it is about, and fail for one that is dropped meanwhile: code is asked for as the tree that the catalog keeps.

use lockgate_core::limits;
use std::sync::Arc;

use super::facts::{
    Called, Caller, CastFacts, CatalogFacts, Code, ColumnFacts, FunctionFacts, OperatorFacts, ReferenceFacts,
    RelationFacts, TogetherFacts, TriggerEvents, TriggerFacts, TypeFacts,
};

/// Objects with a lower id were made by the server's bootstrap.
macro_rules! user {
    ($column:literal) => {
        concat!("(", $column, " OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)")
    };
}

/// Not another session's temporary schema, and not the server's storage for long values.
macro_rules! visible {
    ($schema:literal) => {
        concat!(
            "(",
            $schema,
            " OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() OR NOT pg_catalog.pg_is_other_temp_schema(",
            $schema,
            ") AND ",
            $schema,
            " OPERATOR(pg_catalog.<>) 99::pg_catalog.oid)"
        )
    };
}

/// A temporary relation of another session, which nobody else finds: what it is made of is nothing to others.
macro_rules! of_another {
    ($relation:literal) => {
        concat!(
            "(",
            $relation,
            " OPERATOR(pg_catalog.=) ANY (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relpersistence OPERATOR(pg_catalog.=) 't'::pg_catalog.\"char\" AND pg_catalog.pg_is_other_temp_schema(c.relnamespace)))"
        )
    };
}

/// The number of rows and a sum over what tells each row's version, in no order. A transaction that changes a row twice
/// leaves it with the same `xmin`, but not in the same place.
macro_rules! digest {
    ($row:literal, $id:literal, $salt:literal, $from:expr) => {
        concat!(
            "(SELECT pg_catalog.concat(pg_catalog.count(*), ':', pg_catalog.sum(pg_catalog.hashint8extended((",
            $id,
            "::pg_catalog.int8 OPERATOR(pg_catalog.<<) 31) OPERATOR(pg_catalog.#) ",
            $row,
            ".xmin::pg_catalog.text::pg_catalog.int8, pg_catalog.hashtextextended(",
            $row,
            ".ctid::pg_catalog.text, ",
            $salt,
            ")))) FROM ",
            $from,
            ")"
        )
    };
}

/// `d` says what a stored expression names: a user's function or operator, or a type. The server keeps count of them.
macro_rules! names_code {
    ($class:literal) => {
        concat!(
            "d.classid OPERATOR(pg_catalog.=) ",
            $class,
            "::pg_catalog.oid AND d.refclassid OPERATOR(pg_catalog.=) ANY ('{1255,2617,1247}'::pg_catalog.oid[]) AND ",
            user!("d.refobjid")
        )
    };
}

/// The first function of the server's own in a tree that changes settings or runs texts, as it would by any name: its number, which is
/// the same in every version (`pg_proc.dat`).
macro_rules! runs_texts {
    ($tree:literal) => {
        concat!(
            "pg_catalog.substring(",
            $tree,
            "::pg_catalog.text, ':funcid (2078|292[3-9]|2930|293[3-8]|368[459]|3690) ')"
        )
    };
}

/// What has such a function in a stored expression. The server keeps no count of what is its own.
macro_rules! calls_texts {
    ($kind:literal, $owner:literal, $tree:literal, $from:literal) => {
        concat!(
            " UNION SELECT ",
            $kind,
            ", ",
            $owner,
            "::pg_catalog.text, '1255', ",
            runs_texts!($tree),
            " FROM ",
            $from,
            " WHERE ",
            runs_texts!($tree),
            " IS NOT NULL"
        )
    };
}

/// `c` is a relation that is not another session's.
macro_rules! own_relation {
    () => {
        concat!(
            user!("c.oid"),
            " AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,m,p,f,c,S}'::pg_catalog.\"char\"[]) AND ",
            visible!("c.relnamespace")
        )
    };
}

/// `c` is an index of expressions: statistics are kept under its name.
macro_rules! own_index {
    () => {
        concat!(
            user!("c.oid"),
            " AND c.relkind OPERATOR(pg_catalog.=) ANY ('{i,I}'::pg_catalog.\"char\"[]) AND ",
            visible!("c.relnamespace"),
            " AND EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid OPERATOR(pg_catalog.=) c.oid AND i.indexprs IS NOT NULL)"
        )
    };
}

/// The numbers of the columns that a tree names.
macro_rules! columns {
    ($tree:literal) => {
        concat!(
            "(SELECT pg_catalog.string_agg(m[1], ' ') FROM pg_catalog.regexp_matches(",
            $tree,
            "::pg_catalog.text, ':varattno (-?[0-9]+)', 'g') m)"
        )
    };
}

/// The part of paths in an answer to [`VERSION_SQL`], which differs whenever a session may look names up in other schemas without having
/// done anything for that: schemas, who may use them, and who is a member of whom.
fn paths_of(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map_or(version.len(), |(at, _)| at);
    version.get(..end).unwrap_or_default()
}

/// Whether the parts of paths differ. The same version, which it mostly is, is found without looking for the part.
pub fn paths_differ(one: &str, other: &str) -> bool {
    one != other && paths_of(one) != paths_of(other)
}

/// One row of one short text that differs whenever the snapshot would. It costs far less than the snapshot. What the part of paths
/// takes comes first.
pub const VERSION_SQL: &str = concat!(
    "SELECT pg_catalog.concat_ws('.', ",
    digest!(
        "n",
        "n.oid",
        "'11'::pg_catalog.int8",
        "pg_catalog.pg_namespace n WHERE NOT pg_catalog.pg_is_other_temp_schema(n.oid)"
    ),
    ", ",
    digest!("m", "m.roleid", "m.member::pg_catalog.int8", "pg_catalog.pg_auth_members m"),
    ", ",
    digest!(
        "c",
        "c.oid",
        "'1'::pg_catalog.int8",
        concat!("pg_catalog.pg_class c WHERE ", own_relation!(), " OR ", own_index!())
    ),
    ", ",
    digest!(
        "a",
        "a.attrelid",
        "a.attnum",
        concat!(
            "pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) ANY (SELECT c.oid FROM pg_catalog.pg_class c WHERE ",
            own_relation!(),
            ")"
        )
    ),
    ", ",
    digest!("p", "p.oid", "'2'::pg_catalog.int8", concat!("pg_catalog.pg_proc p WHERE ", user!("p.oid"))),
    ", ",
    digest!("r", "r.oid", "'3'::pg_catalog.int8", concat!("pg_catalog.pg_rewrite r WHERE ", user!("r.oid"))),
    ", ",
    digest!(
        "t",
        "t.oid",
        "'4'::pg_catalog.int8",
        concat!("pg_catalog.pg_type t WHERE ", user!("t.oid"), " AND ", visible!("t.typnamespace"))
    ),
    ", ",
    digest!("i", "i.inhrelid", "i.inhparent::pg_catalog.int8", "pg_catalog.pg_inherits i"),
    ", ",
    digest!("g", "g.oid", "'6'::pg_catalog.int8", "pg_catalog.pg_trigger g WHERE NOT g.tgisinternal"),
    ", ",
    digest!("o", "o.oid", "'7'::pg_catalog.int8", concat!("pg_catalog.pg_operator o WHERE ", user!("o.oid"))),
    ", ",
    digest!("k", "k.oid", "'8'::pg_catalog.int8", concat!("pg_catalog.pg_cast k WHERE ", user!("k.oid"))),
    ", ",
    digest!(
        "d",
        "d.oid",
        "'9'::pg_catalog.int8",
        concat!("pg_catalog.pg_attrdef d WHERE NOT ", of_another!("d.adrelid"))
    ),
    ", ",
    digest!("e", "e.oid", "'10'::pg_catalog.int8", "pg_catalog.pg_enum e"),
    ", ",
    digest!("x", "x.oid", "'12'::pg_catalog.int8", "pg_catalog.pg_extension x"),
    ", ",
    digest!("l", "l.oid", "'17'::pg_catalog.int8", "pg_catalog.pg_language l"),
    ", ",
    digest!(
        "d",
        "d.objid",
        "d.refobjid::pg_catalog.int8",
        concat!(
            "pg_catalog.pg_depend d WHERE d.refclassid OPERATOR(pg_catalog.=) ANY ('{1255,2617,3079}'::pg_catalog.oid[]) AND ",
            user!("d.refobjid"),
            // What lies in another session's schema.
            " AND NOT (d.refobjid OPERATOR(pg_catalog.=) ANY (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE pg_catalog.pg_is_other_temp_schema(n.oid)) AND d.refclassid OPERATOR(pg_catalog.=) 2617::pg_catalog.oid)"
        )
    ),
    ", ",
    digest!(
        "k",
        "k.oid",
        "'13'::pg_catalog.int8",
        concat!("pg_catalog.pg_constraint k WHERE ", user!("k.oid"), " AND NOT ", of_another!("k.conrelid"))
    ),
    ", ",
    digest!(
        "i",
        "i.indexrelid",
        "'14'::pg_catalog.int8",
        concat!("pg_catalog.pg_index i WHERE ", user!("i.indexrelid"), " AND NOT ", of_another!("i.indrelid"))
    ),
    ", ",
    digest!("l", "l.oid", "'16'::pg_catalog.int8", concat!("pg_catalog.pg_collation l WHERE ", user!("l.oid"))),
    ", ",
    digest!("s", "s.oid", "'15'::pg_catalog.int8", concat!("pg_catalog.pg_statistic_ext s WHERE ", user!("s.oid"))),
    ", pg_catalog.pg_my_temp_schema()::pg_catalog.text)"
);

/// The questions, in the order in which [`FactsBuilder::row`] counts them. Every column of every answer is text.
///
/// A tree that no analysis gets through anyway is left out: an empty one reads as unknown.
pub const SNAPSHOT_SQL: [&str; 14] = [
    // 0: version of the server, temporary schema, effective path as one text per row.
    "SELECT pg_catalog.current_setting('server_version_num'), (SELECT n.nspname::pg_catalog.text FROM pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()), s::pg_catalog.text, (EXISTS (SELECT FROM pg_catalog.pg_collation k WHERE NOT k.collisdeterministic))::pg_catalog.text FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) s",
    // 1: relations, and indexes that have a name for their statistics.
    concat!(
        "SELECT c.oid::pg_catalog.text, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, c.relkind::pg_catalog.text, c.reltype::pg_catalog.text, ",
        "CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::pg_catalog.\"char\"[]) THEN COALESCE((SELECT CASE WHEN pg_catalog.octet_length(r.ev_action::pg_catalog.text) OPERATOR(pg_catalog.<=) 16000000 THEN r.ev_action::pg_catalog.text END FROM pg_catalog.pg_rewrite r WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_type OPERATOR(pg_catalog.=) '1'::pg_catalog.\"char\" LIMIT 1), '') END, ",
        "(EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_type OPERATOR(pg_catalog.<>) '1'::pg_catalog.\"char\"))::pg_catalog.text, ",
        "(SELECT pg_catalog.array_to_string(i.indkey::pg_catalog.int2[], ' ') FROM pg_catalog.pg_index i WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisclustered LIMIT 1), ",
        "(SELECT pg_catalog.array_to_string(k.partattrs::pg_catalog.int2[], ' ') FROM pg_catalog.pg_partitioned_table k WHERE k.partrelid OPERATOR(pg_catalog.=) c.oid), ",
        "c.relrowsecurity::pg_catalog.text ",
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace ",
        "WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,m,p,f,S}'::pg_catalog.\"char\"[]) AND ",
        user!("c.oid"),
        " AND ",
        visible!("c.relnamespace"),
        " OR ",
        own_index!(),
        " ORDER BY c.oid"
    ),
    // 2: their columns.
    concat!(
        "SELECT a.attrelid::pg_catalog.text, a.attnum::pg_catalog.text, a.attname::pg_catalog.text, a.atttypid::pg_catalog.text, ",
        // A domain's modifier is the type's, not the column's.
        "GREATEST(a.atttypmod, t.typtypmod)::pg_catalog.text, ",
        "CASE WHEN a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog.\"char\" THEN (SELECT d.adbin::pg_catalog.text FROM pg_catalog.pg_attrdef d WHERE d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum) END, ",
        "(a.attgenerated OPERATOR(pg_catalog.=) 'v'::pg_catalog.\"char\")::pg_catalog.text, ",
        // What refuses a value: NOT NULL, a partition's bounds, a domain, checks and keys, indexes (none takes a value of any
        // length), and expressions over the row in indexes and statistics. Each is gathered once for all columns.
        "(a.attnotnull OR c.relispartition OR c.relkind OPERATOR(pg_catalog.=) 'p'::pg_catalog.\"char\" ",
        "OR t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog.\"char\" ",
        "OR a.attrelid OPERATOR(pg_catalog.=) ANY (SELECT k.conrelid FROM pg_catalog.pg_constraint k WHERE k.conkey IS NULL) ",
        "OR (a.attrelid, a.attnum) OPERATOR(pg_catalog.=) ANY (SELECT k.conrelid, n FROM pg_catalog.pg_constraint k, pg_catalog.unnest(k.conkey) n) ",
        "OR a.attrelid OPERATOR(pg_catalog.=) ANY (SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indpred IS NOT NULL OR '0'::pg_catalog.int2 OPERATOR(pg_catalog.=) ANY (i.indkey::pg_catalog.int2[])) ",
        "OR (a.attrelid, a.attnum) OPERATOR(pg_catalog.=) ANY (SELECT i.indrelid, n FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::pg_catalog.int2[]) n) ",
        "OR a.attrelid OPERATOR(pg_catalog.=) ANY (SELECT s.stxrelid FROM pg_catalog.pg_statistic_ext s WHERE s.stxexprs IS NOT NULL))::pg_catalog.text ",
        "FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid ",
        "WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,m,p,f,S}'::pg_catalog.\"char\"[]) AND ",
        user!("c.oid"),
        " AND ",
        visible!("c.relnamespace"),
        " ORDER BY a.attrelid, a.attnum"
    ),
    // 3: inheritance.
    "SELECT i.inhrelid::pg_catalog.text, i.inhparent::pg_catalog.text FROM pg_catalog.pg_inherits i",
    // 4: functions.
    concat!(
        "SELECT p.oid::pg_catalog.text, n.nspname::pg_catalog.text, p.proname::pg_catalog.text, l.lanname::pg_catalog.text, ",
        "CASE WHEN l.lanname OPERATOR(pg_catalog.=) ANY ('{sql,plpgsql}'::pg_catalog.name[]) THEN p.prosrc ELSE '' END, ",
        "p.prosqlbody::pg_catalog.text, ",
        "p.prokind::pg_catalog.text, p.provolatile::pg_catalog.text, p.proretset::pg_catalog.text, p.prorettype::pg_catalog.text, ",
        "p.pronargs::pg_catalog.text, p.pronargdefaults::pg_catalog.text, (p.provariadic OPERATOR(pg_catalog.<>) 0::pg_catalog.oid)::pg_catalog.text, ",
        "pg_catalog.array_to_string(p.proargmodes, ''), pg_catalog.array_to_json(p.proargnames)::pg_catalog.text, ",
        "(SELECT x.extname::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid OPERATOR(pg_catalog.=) d.refobjid WHERE d.classid OPERATOR(pg_catalog.=) 1255::pg_catalog.oid AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.refclassid OPERATOR(pg_catalog.=) 3079::pg_catalog.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog.\"char\" LIMIT 1), ",
        "(SELECT pg_catalog.substr(s, 13) FROM pg_catalog.unnest(p.proconfig) s WHERE pg_catalog.starts_with(s, 'search_path=') LIMIT 1) ",
        "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang WHERE ",
        user!("p.oid")
    ),
    // 5: types, but not the row types of relations, which come with these. Composite fields and enum labels as JSON.
    concat!(
        "SELECT t.oid::pg_catalog.text, n.nspname::pg_catalog.text, t.typname::pg_catalog.text, ",
        "CASE WHEN t.typelem OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND t.typcategory OPERATOR(pg_catalog.=) 'A'::pg_catalog.\"char\" THEN 'A' ELSE t.typtype::pg_catalog.text END, ",
        "t.typelem::pg_catalog.text, t.typbasetype::pg_catalog.text, ",
        "COALESCE((SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid OPERATOR(pg_catalog.=) t.oid LIMIT 1), (SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngmultitypid OPERATOR(pg_catalog.=) t.oid LIMIT 1), 0::pg_catalog.oid)::pg_catalog.text, ",
        "CASE WHEN t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog.\"char\" THEN (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname::pg_catalog.text, a.atttypid::pg_catalog.text) ORDER BY a.attnum)::pg_catalog.text FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped) ",
        "WHEN t.typtype OPERATOR(pg_catalog.=) 'e'::pg_catalog.\"char\" THEN (SELECT pg_catalog.json_agg(e.enumlabel::pg_catalog.text ORDER BY e.enumsortorder)::pg_catalog.text FROM pg_catalog.pg_enum e WHERE e.enumtypid OPERATOR(pg_catalog.=) t.oid) END ",
        "FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace WHERE ",
        user!("t.oid"),
        " AND ",
        visible!("t.typnamespace"),
        " AND NOT (t.typtype OPERATOR(pg_catalog.=) 'c'::pg_catalog.\"char\" AND t.typrelid OPERATOR(pg_catalog.=) ANY (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v,m,p,f}'::pg_catalog.\"char\"[])))"
    ),
    // 6: operators.
    concat!(
        "SELECT n.nspname::pg_catalog.text, o.oprname::pg_catalog.text, o.oprcode::pg_catalog.oid::pg_catalog.text, NULL, o.oid::pg_catalog.text ",
        "FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace WHERE ",
        user!("o.oid")
    ),
    // 7: casts that run a function, or write a value as text and read that.
    concat!(
        "SELECT k.castsource::pg_catalog.text, k.casttarget::pg_catalog.text, k.castfunc::pg_catalog.text, k.castcontext::pg_catalog.text ",
        "FROM pg_catalog.pg_cast k WHERE (k.castfunc OPERATOR(pg_catalog.<>) 0::pg_catalog.oid OR k.castmethod OPERATOR(pg_catalog.=) 'i'::pg_catalog.\"char\") AND ",
        user!("k.oid")
    ),
    // 8: triggers.
    "SELECT g.tgrelid::pg_catalog.text, g.tgfoid::pg_catalog.text, (((g.tgtype OPERATOR(pg_catalog.&) 1::pg_catalog.int2) OPERATOR(pg_catalog.<>) 0) AND ((g.tgtype OPERATOR(pg_catalog.&) 66::pg_catalog.int2) OPERATOR(pg_catalog.<>) 0))::pg_catalog.text, g.tgtype::pg_catalog.text, g.tgoldtable::pg_catalog.text, g.tgnewtable::pg_catalog.text, g.tgdeferrable::pg_catalog.text FROM pg_catalog.pg_trigger g WHERE NOT g.tgisinternal AND g.tgenabled OPERATOR(pg_catalog.<>) 'D'::pg_catalog.\"char\"",
    // 9: what the ids of the server's own functions, operators and relations stand for: a row for each schema.
    concat!(
        "SELECT 'f', n.nspname::pg_catalog.text, pg_catalog.string_agg(pg_catalog.concat(p.oid, ' ', p.proname), ' ') FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace WHERE NOT ",
        user!("p.oid"),
        " GROUP BY n.nspname UNION ALL ",
        "SELECT 'o', n.nspname::pg_catalog.text, pg_catalog.string_agg(pg_catalog.concat(o.oid, ' ', o.oprname), ' ') FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace WHERE NOT ",
        user!("o.oid"),
        " GROUP BY n.nspname UNION ALL ",
        "SELECT 'r', n.nspname::pg_catalog.text, pg_catalog.string_agg(pg_catalog.concat(c.oid, ' ', c.relname), ' ') FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,v}'::pg_catalog.\"char\"[]) AND NOT ",
        user!("c.oid"),
        " GROUP BY n.nspname"
    ),
    // 10: what stored expressions name. The types of columns come with the columns.
    concat!(
        "SELECT 'r', a.adrelid::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef a ON a.oid OPERATOR(pg_catalog.=) d.objid WHERE ",
        names_code!("2604"),
        " UNION SELECT CASE WHEN k.conrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid THEN 'r' ELSE 't' END, GREATEST(k.conrelid, k.contypid)::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_constraint k ON k.oid OPERATOR(pg_catalog.=) d.objid WHERE k.contype OPERATOR(pg_catalog.=) ANY ('{c,x,t}'::pg_catalog.\"char\"[]) AND ",
        names_code!("2606"),
        // An index is of its table; a table's own are the keys of its partitions.
        " UNION SELECT 'r', COALESCE((SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid OPERATOR(pg_catalog.=) d.objid), d.objid)::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d WHERE d.objsubid OPERATOR(pg_catalog.=) 0 AND ",
        names_code!("1259"),
        " UNION SELECT 'r', s.stxrelid::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_statistic_ext s ON s.oid OPERATOR(pg_catalog.=) d.objid WHERE ",
        names_code!("3381"),
        " UNION SELECT 'r', p.polrelid::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_policy p ON p.oid OPERATOR(pg_catalog.=) d.objid WHERE ",
        names_code!("3256"),
        " UNION SELECT 'r', g.tgrelid::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_trigger g ON g.oid OPERATOR(pg_catalog.=) d.objid WHERE d.refobjid OPERATOR(pg_catalog.<>) g.tgfoid AND ",
        names_code!("2620"),
        " UNION SELECT 'f', d.objid::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d WHERE d.refclassid OPERATOR(pg_catalog.<>) 1247::pg_catalog.oid AND ",
        names_code!("1255"),
        " UNION SELECT 't', t.oid::pg_catalog.text, d.refclassid::pg_catalog.text, d.refobjid::pg_catalog.text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) d.objid WHERE t.typtype OPERATOR(pg_catalog.=) 'd'::pg_catalog.\"char\" AND ",
        names_code!("1247"),
        calls_texts!("'r'", "d.adrelid", "d.adbin", "pg_catalog.pg_attrdef d"),
        calls_texts!("'r'", "k.conrelid", "k.conbin", "pg_catalog.pg_constraint k"),
        calls_texts!("'t'", "k.contypid", "k.conbin", "pg_catalog.pg_constraint k"),
        calls_texts!("'r'", "p.polrelid", "p.polqual", "pg_catalog.pg_policy p"),
        calls_texts!("'r'", "p.polrelid", "p.polwithcheck", "pg_catalog.pg_policy p"),
        calls_texts!("'r'", "g.tgrelid", "g.tgqual", "pg_catalog.pg_trigger g"),
        calls_texts!("'t'", "t.oid", "t.typdefaultbin", "pg_catalog.pg_type t"),
        calls_texts!("'f'", "p.oid", "p.proargdefaults", "pg_catalog.pg_proc p"),
        calls_texts!(
            "'r'",
            "r.ev_class",
            "r.ev_action",
            "(SELECT r.ev_class, r.ev_action FROM pg_catalog.pg_rewrite r WHERE r.ev_type OPERATOR(pg_catalog.<>) '1'::pg_catalog.\"char\" AND r.ev_class OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid) r"
        )
    ),
    // 11: columns that a check, the expressions of an index or its condition, or a generated column that is not NULL look at
    // together.
    concat!(
        "SELECT k.conrelid::pg_catalog.text, pg_catalog.concat('the check `', k.conname, '`'), pg_catalog.array_to_string(k.conkey, ' '), NULL FROM pg_catalog.pg_constraint k ",
        "WHERE k.contype OPERATOR(pg_catalog.=) 'c'::pg_catalog.\"char\" AND k.conrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND ",
        user!("k.oid"),
        " UNION ALL SELECT i.indrelid::pg_catalog.text, pg_catalog.concat('the index `', c.relname, '`'), ",
        columns!("i.indexprs"),
        ", NULL FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid WHERE i.indexprs IS NOT NULL AND ",
        user!("i.indexrelid"),
        " UNION ALL SELECT i.indrelid::pg_catalog.text, pg_catalog.concat('the condition of the index `', c.relname, '`'), ",
        columns!("i.indpred"),
        ", CASE WHEN i.indisunique OR i.indisexclusion THEN pg_catalog.array_to_string(i.indkey::pg_catalog.int2[], ' ') END ",
        "FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid WHERE i.indpred IS NOT NULL AND ",
        user!("i.indexrelid"),
        // A generated column that never fails may be NULL, whether it is stored or computed.
        " UNION ALL SELECT a.attrelid::pg_catalog.text, pg_catalog.concat('the generated column `', a.attname, '`, which is not NULL'), ",
        columns!("d.adbin"),
        ", NULL FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND d.adnum OPERATOR(pg_catalog.=) a.attnum ",
        "WHERE a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog.\"char\" AND a.attnotnull AND NOT a.attisdropped AND ",
        user!("a.attrelid")
    ),
    // 12: foreign keys.
    concat!(
        "SELECT k.conrelid::pg_catalog.text, k.confrelid::pg_catalog.text, pg_catalog.array_to_string(k.conkey, ' '), pg_catalog.array_to_string(k.confkey, ' '), k.confupdtype::pg_catalog.text, k.confdeltype::pg_catalog.text, k.conname::pg_catalog.text ",
        "FROM pg_catalog.pg_constraint k WHERE k.contype OPERATOR(pg_catalog.=) 'f'::pg_catalog.\"char\" AND ",
        user!("k.oid")
    ),
    // 13: what no two rows of a relation have in common, by the server's own equality and from the end of each statement on.
    concat!(
        "SELECT i.indrelid::pg_catalog.text, pg_catalog.array_to_string((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts OPERATOR(pg_catalog.-) 1::pg_catalog.int2], ' '), i.indisprimary::pg_catalog.text FROM pg_catalog.pg_index i ",
        "WHERE i.indisunique AND i.indimmediate AND i.indisvalid AND i.indisready AND i.indislive AND NOT i.indisexclusion AND i.indpred IS NULL AND i.indexprs IS NULL ",
        "AND NOT (16384::pg_catalog.oid OPERATOR(pg_catalog.<=) ANY (i.indclass::pg_catalog.oid[])) AND ",
        user!("i.indrelid")
    ),
];

/// An answer that no such question can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalog answered question {question} with {what}")]
pub struct BadFacts {
    /// The question's place in [`SNAPSHOT_SQL`].
    pub question: usize,
    /// What is wrong with the answer.
    pub what: &'static str,
}

/// Puts the answers together, row by row.
#[derive(Debug, Default)]
pub struct FactsBuilder {
    facts: CatalogFacts,
    rows: usize,
    bytes: usize,
}

/// A row while it is read.
struct Row<'a> {
    question: usize,
    cells: std::slice::Iter<'a, Option<&'a [u8]>>,
}

impl<'a> Row<'a> {
    fn bad<T>(&self, what: &'static str) -> Result<T, BadFacts> {
        Err(BadFacts { question: self.question, what })
    }

    fn optional(&mut self) -> Result<Option<&'a str>, BadFacts> {
        match self.cells.next() {
            None => self.bad("too few columns"),
            Some(None) => Ok(None),
            Some(Some(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => self.bad("bytes that are not UTF-8"),
            },
        }
    }

    fn text(&mut self) -> Result<&'a str, BadFacts> {
        match self.optional()? {
            Some(text) => Ok(text),
            None => self.bad("a null where a value belongs"),
        }
    }

    fn owned(&mut self) -> Result<String, BadFacts> {
        self.text().map(str::to_owned)
    }

    fn tree(&mut self) -> Result<Option<Code>, BadFacts> {
        Ok(self.optional()?.map(|tree| Code::Tree(tree.to_owned())))
    }

    fn number<N: std::str::FromStr>(&mut self) -> Result<N, BadFacts> {
        let text = self.text()?;
        text.parse().or_else(|_| self.bad("a word where a number belongs"))
    }

    fn letter(&mut self) -> Result<char, BadFacts> {
        match self.text()?.chars().next() {
            Some(letter) => Ok(letter),
            None => self.bad("an empty kind"),
        }
    }

    /// Numbers of columns with spaces between, or nothing.
    fn column_numbers(&mut self) -> Result<Vec<i16>, BadFacts> {
        let numbers = self.optional()?.unwrap_or_default().split_whitespace().map(str::parse);
        match numbers.collect() {
            Ok(numbers) => Ok(numbers),
            Err(_) => self.bad("a word where a column's number belongs"),
        }
    }

    fn truth(&mut self) -> Result<bool, BadFacts> {
        match self.text()? {
            "true" | "t" => Ok(true),
            "false" | "f" => Ok(false),
            _ => self.bad("a word where a truth value belongs"),
        }
    }
}

impl FactsBuilder {
    /// For a snapshot whose [`VERSION_SQL`] answered `version`. It has to be asked before the snapshot, so that a change
    /// in between makes the snapshot look older than it is and never newer.
    pub fn new(version: &str) -> FactsBuilder {
        FactsBuilder {
            facts: CatalogFacts { version: version.to_owned(), ..CatalogFacts::default() },
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes one row of the answer to `SNAPSHOT_SQL[question]`, its cells in text format.
    pub fn row(&mut self, question: usize, cells: &[Option<&[u8]>]) -> Result<(), BadFacts> {
        let mut row = Row { question, cells: cells.iter() };
        self.rows = self.rows.saturating_add(1);
        self.bytes = cells.iter().flatten().fold(self.bytes, |sum, cell| sum.saturating_add(cell.len()));
        if self.rows > limits::CATALOG_ROWS_MAX || self.bytes > limits::CATALOG_BYTES_MAX {
            return row.bad("more than a catalog may hold");
        }
        match question {
            0 => self.session(&mut row),
            1 => self.relation(&mut row),
            2 => self.column(&mut row),
            3 => {
                self.facts.inherits.push((row.number()?, row.number()?));
                Ok(())
            }
            4 => self.function(&mut row),
            5 => self.user_type(&mut row),
            6 => {
                let (schema, name, function) = (row.owned()?, row.owned()?, row.number()?);
                let extension = row.optional()?.map(str::to_owned);
                self.facts.operators.push(OperatorFacts { oid: row.number()?, schema, name, function, extension });
                Ok(())
            }
            7 => {
                let (source, target, function) = (row.number()?, row.number()?, row.number()?);
                self.facts.casts.push(CastFacts { source, target, function, context: row.letter()? });
                Ok(())
            }
            8 => {
                let (relation, function) = (row.number()?, row.number()?);
                self.facts.triggers.push(TriggerFacts {
                    relation,
                    function,
                    changes_row: row.truth()?,
                    events: TriggerEvents::of_type(row.number()?),
                    old_table: row.optional()?.map(str::to_owned),
                    new_table: row.optional()?.map(str::to_owned),
                    deferrable: row.truth()?,
                });
                Ok(())
            }
            9 => self.server_names(&mut row),
            10 => self.call(&mut row),
            11 => {
                let (relation, what) = (row.number()?, row.owned()?);
                let (columns, also) = (row.column_numbers()?, row.column_numbers()?);
                self.facts.together.push(TogetherFacts { relation, what, columns, also });
                Ok(())
            }
            12 => {
                let (from, to) = (row.number()?, row.number()?);
                let (columns, to_columns) = (row.column_numbers()?, row.column_numbers()?);
                let (on_update, on_delete, name) = (row.letter()?, row.letter()?, row.owned()?);
                let reference = ReferenceFacts { name, from, to, columns, to_columns, on_update, on_delete };
                self.facts.references.push(reference);
                Ok(())
            }
            13 => self.key(&mut row),
            _ => row.bad("a row for no question"),
        }
    }

    /// All answers are in.
    pub fn finish(self) -> Result<CatalogFacts, BadFacts> {
        if self.facts.server_version == 0 {
            return Err(BadFacts { question: 0, what: "nothing" });
        }
        Ok(self.facts)
    }

    fn session(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        self.facts.server_version = row.number()?;
        self.facts.temp_schema = row.optional()?.map(str::to_owned);
        self.facts.search_path.push(row.owned()?);
        self.facts.loose_collations = row.truth()?;
        Ok(())
    }

    fn relation(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        let relation = RelationFacts {
            oid: row.number()?,
            schema: row.owned()?,
            name: row.owned()?,
            kind: row.letter()?,
            row_type: row.number()?,
            definition: row.tree()?,
            has_rules: row.truth()?,
            ordered_by: row.column_numbers()?,
            partitioned_by: row.column_numbers()?,
            guarded: row.truth()?,
            keys: Vec::new(),
            primary: Vec::new(),
            columns: Vec::new(),
        };
        if self.facts.relations.last().is_some_and(|last| last.oid >= relation.oid) {
            return row.bad("relations out of order");
        }
        self.facts.relations.push(relation);
        Ok(())
    }

    fn key(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        let (relation, columns, primary) = (row.number::<u32>()?, row.column_numbers()?, row.truth()?);
        // One made between the questions is of a snapshot that the version tells is old.
        if let Ok(at) = self.facts.relations.binary_search_by_key(&relation, |r| r.oid)
            && let Some(relation) = self.facts.relations.get_mut(at)
        {
            if primary {
                relation.primary.clone_from(&columns);
            }
            relation.keys.push(columns);
        }
        Ok(())
    }

    fn server_names(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        let server = Arc::make_mut(&mut self.facts.server);
        let names = match row.letter()? {
            'f' => &mut server.functions,
            'o' => &mut server.operators,
            'r' => &mut server.relations,
            _ => return row.bad("a name of an unknown kind"),
        };
        let schema = row.text()?;
        let mut words = row.text()?.split(' ');
        while let (Some(oid), Some(name)) = (words.next(), words.next()) {
            let Ok(oid) = oid.parse() else { return row.bad("a word where a number belongs") };
            names.insert(oid, (schema.to_owned(), name.to_owned()));
        }
        Ok(())
    }

    fn call(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        let (kind, oid) = (row.letter()?, row.number()?);
        let caller = match kind {
            'r' => Caller::Relation(oid),
            'f' => Caller::Function(oid),
            't' => Caller::Type(oid),
            _ => return row.bad("an expression of an unknown kind"),
        };
        // The ids of `pg_proc`, `pg_operator` and `pg_type`.
        let called = match (row.number::<u32>()?, row.number()?) {
            (1255, oid) => Called::Function(oid),
            (2617, oid) => Called::Operator(oid),
            (1247, oid) => Called::Type(oid),
            _ => return row.bad("a name of an unknown kind"),
        };
        self.facts.calls.push((caller, called));
        Ok(())
    }

    fn column(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        let relation: u32 = row.number()?;
        let column = ColumnFacts {
            number: row.number()?,
            name: row.owned()?,
            type_oid: row.number()?,
            typmod: row.number()?,
            generated: row.tree()?,
            computed: row.truth()?,
            constrained: row.truth()?,
        };
        // A relation made between the two questions shows its columns only: the version tells that the snapshot is old.
        if let Ok(at) = self.facts.relations.binary_search_by_key(&relation, |r| r.oid)
            && let Some(relation) = self.facts.relations.get_mut(at)
        {
            relation.columns.push(column);
        }
        Ok(())
    }

    fn function(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        let mut function = FunctionFacts {
            oid: row.number()?,
            schema: row.owned()?,
            name: row.owned()?,
            language: row.owned()?,
            source: row.owned()?,
            body: row.tree()?,
            kind: row.letter()?,
            volatility: row.letter()?,
            returns_set: row.truth()?,
            return_type: row.number()?,
            ..FunctionFacts::default()
        };
        let (arguments, defaults): (usize, usize) = (row.number()?, row.number()?);
        let variadic = row.truth()?;
        function.arguments_min = arguments.saturating_sub(defaults).saturating_sub(usize::from(variadic));
        function.arguments_max = if variadic { usize::MAX } else { arguments };
        let modes = row.optional()?.unwrap_or_default();
        let names = match row.optional()? {
            Some(json) => match strings(json) {
                Some(names) => names,
                None => return row.bad("names that do not read"),
            },
            None => Vec::new(),
        };
        for (at, name) in names.into_iter().enumerate() {
            match modes.as_bytes().get(at) {
                Some(b'o' | b't') => function.out_names.push(name),
                Some(b'b') => {
                    function.in_names.push(name.clone());
                    function.out_names.push(name);
                }
                _ => function.in_names.push(name),
            }
        }
        function.extension = row.optional()?.map(str::to_owned);
        function.search_path = row.optional()?.map(|path| {
            let unquoted = |part: &str| part.trim().trim_matches('"').replace("\"\"", "\"");
            path.split(',').map(unquoted).filter(|part| !part.is_empty()).collect()
        });
        self.facts.functions.push(function);
        Ok(())
    }

    fn user_type(&mut self, row: &mut Row<'_>) -> Result<(), BadFacts> {
        let mut facts = TypeFacts {
            oid: row.number()?,
            schema: row.owned()?,
            name: row.owned()?,
            kind: row.letter()?,
            element: row.number()?,
            base: row.number()?,
            subtype: row.number()?,
            ..TypeFacts::default()
        };
        if let Some(json) = row.optional()? {
            let Some(parts) = strings(json) else { return row.bad("fields that do not read") };
            if facts.kind == 'c' {
                for pair in parts.chunks(2) {
                    if let [name, oid] = pair {
                        let Ok(oid) = oid.parse() else { return row.bad("a field without a type") };
                        facts.fields.push((name.clone(), oid));
                    }
                }
            } else {
                facts.labels = parts;
            }
        }
        self.facts.types.push(facts);
        Ok(())
    }
}

/// The strings of a JSON text of nested arrays, in order. `None` if it holds anything else.
fn strings(json: &str) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut chars = json.chars();
    while let Some(c) = chars.next() {
        match c {
            '[' | ']' | ',' => {}
            c if c.is_whitespace() => {}
            '"' => {
                let mut text = String::new();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => text.push(match chars.next()? {
                            'n' => '\n',
                            't' => '\t',
                            'r' => '\r',
                            'b' => '\u{8}',
                            'f' => '\u{c}',
                            'u' => {
                                let digits: String = chars.by_ref().take(4).collect();
                                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                            }
                            other => other,
                        }),
                        other => text.push(other),
                    }
                }
                out.push(text);
            }
            _ => return None,
        }
    }
    Some(out)
}
