//! How long what the server's own functions and casts give may be, by what they are given. What no rule here names is of any
//! length, so that a function which nobody thought of is not what blows up a value: see `size`.

use pg_query::NodeEnum;
use pg_query::protobuf::{FuncCall, Node, TypeName};

use super::scope::{Col, Val};
use super::size::{
    ANY, ELEMENT, FIXED, JSON, NUMERIC_TEXT, ROUNDED, Rows, STORED, is_plain_path, is_short, length, number, padded,
};
use super::{Analyzer, tree, types};
use crate::builtins::{self, Class};

/// A date, a number, an interval in words, as text.
const FIXED_TEXT: u64 = 128;
/// The text of what an id of something in the catalog stands for: a function with all its arguments.
const NAME_TEXT: u64 = 8 * 1024;
/// A definition that is stored in the catalog, as text.
const DEFINITION: u64 = 64 * 1024;
/// A byte, a bit, a letter of a document or an element of an array, as text, where it is not known which.
const UNKNOWN_TEXT: u64 = 8;
/// A letter in quotes, and quotes within quotes.
const QUOTED: u64 = 2;
/// A letter of a format for times or numbers: the name of a month, or of a time zone that the client has named.
const FORMATTED: u64 = 128;
/// A letter of a list of ids, as what they stand for.
const LISTED: u64 = 128;
/// A character as its parts.
const DECOMPOSED: u64 = 36;
/// A letter as another of more bytes, or as an escape.
const LETTER: u64 = 4;
/// A letter of a text as a lexeme with its place, or with the operator behind it.
const LEXEME: u64 = 16;

/// Functions that give a value of those they are given, a part of them, or all of them together.
const PARTS: &[&str] = &[
    "btrim",
    "ltrim",
    "rtrim",
    "left",
    "right",
    "substr",
    "substring",
    "reverse",
    "overlay",
    "split_part",
    "string_to_table",
    "textcat",
    "bpchar",
    "varchar",
    "bytea",
    "byteacat",
    "decode",
    "to_ascii",
    "unistr",
    "min",
    "max",
    "mode",
    "any_value",
    "first_value",
    "last_value",
    "nth_value",
    "lag",
    "lead",
    "array_append",
    "array_prepend",
    "array_cat",
    "array_remove",
    "array_reverse",
    "array_sort",
    "array_shuffle",
    "array_sample",
    "trim_array",
    "array_larger",
    "array_smaller",
    "array_positions",
    "unnest",
    "pg_options_to_table",
    "regexp_match",
    "regexp_matches",
    "regexp_substr",
    "regexp_split_to_table",
    "set_bit",
    "set_byte",
    "get_bit",
    "bitand",
    "bitor",
    "bitxor",
    "bitnot",
    "bitcat",
    "bitshiftleft",
    "bitshiftright",
    "bit_and",
    "bit_or",
    "bit_xor",
    "text_larger",
    "text_smaller",
    "range_merge",
    "range_intersect",
    "range_minus",
    "range_union",
    "multirange",
    "int4range",
    "int8range",
    "numrange",
    "daterange",
    "tsrange",
    "tstzrange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "datemultirange",
    "tsmultirange",
    "tstzmultirange",
    "generate_series",
    "percentile_disc",
    "percentile_cont",
    "pclose",
    "popen",
    "path",
    "path_add",
    "xmlconcat2",
    "xml",
    "trim_scale",
    "json_array_element",
    "json_object_field",
    "json_strip_nulls",
    "json_array_elements",
    "json_object_keys",
    "jsonb_array_element",
    "jsonb_object_field",
    "jsonb_strip_nulls",
    "jsonb_array_elements",
    "jsonb_object_keys",
    "json_extract_path",
    "jsonb_extract_path",
    "jsonb_concat",
    "jsonb_delete",
    "jsonb_delete_path",
    "jsonb_insert",
    "jsonb_set",
    "jsonb_set_lax",
];

/// Functions of numbers, whose results have as many digits as what they are given together, and some behind the point.
const ARITHMETIC: &[&str] = &[
    "abs",
    "ceil",
    "ceiling",
    "floor",
    "sign",
    "round",
    "trunc",
    "mod",
    "div",
    "gcd",
    "lcm",
    "sqrt",
    "ln",
    "log",
    "log10",
    "sum",
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var_pop",
    "var_samp",
    "variance",
    "extract",
    "random",
    "pg_size_pretty",
    "numeric_add",
    "numeric_sub",
    "numeric_mul",
    "numeric_div",
];

/// Functions that give a name, a word or a number as text.
const WORDS: &[&str] = &[
    "abbrev",
    "array_dims",
    "host",
    "json_typeof",
    "jsonb_typeof",
    "to_hex",
    "to_bin",
    "to_oct",
    "chr",
    "cash_words",
    "version",
    "timeofday",
    "format_type",
    "icu_unicode_version",
    "unicode_version",
    "system_user",
    "md5",
    "txid_status",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "pg_collation_for",
    "pg_column_compression",
    "pg_client_encoding",
    "pg_current_logfile",
    "pg_xact_status",
    "pg_relation_filepath",
    "pg_tablespace_location",
    "pg_walfile_name",
    "pg_stat_get_backend_wait_event",
    "pg_stat_get_backend_wait_event_type",
    "pg_indexam_progress_phasename",
];

/// Functions that give what the catalog holds, or lists of names.
const DEFINITIONS: &[&str] = &[
    "col_description",
    "obj_description",
    "shobj_description",
    "current_schemas",
    "enum_range",
    "acldefault",
    "aclexplode",
    "pg_describe_object",
    "pg_identify_object",
    "pg_identify_object_as_address",
    "parse_ident",
    "ts_lexize",
    "oidvectortypes",
    "pg_settings_get_flags",
    "pg_blocking_pids",
    "pg_timezone_names",
    "pg_timezone_abbrevs",
    "pg_listening_channels",
    "pg_lock_status",
    "pg_partition_tree",
    "pg_partition_ancestors",
    "pg_available_extensions",
    "pg_sequence_parameters",
];

impl<'t> Analyzer<'t> {
    /// How long what a call of one of the server's own functions gives may be.
    pub(super) fn length_of_call(&self, name: &str, call: &FuncCall, arguments: &[Val<'t>], rows: Rows) -> u64 {
        let size = |at: usize| arguments.get(at).map_or(0, |value| value.size);
        let sum = arguments.iter().fold(0, |sum: u64, argument| sum.saturating_add(argument.size));
        let as_text = |at: usize| arguments.get(at).map_or(0, |value| self.as_text(value));
        let texts = || arguments.iter().fold(0, |sum: u64, argument| sum.saturating_add(self.as_text(argument)));
        let literal = |at: usize| tree::argument(&call.args, at).and_then(tree::literal);
        // A text that is written there counts as what it is.
        let written = |at: usize| literal(at).map_or_else(|| size(at), length);
        let given = |at: usize| tree::argument(&call.args, at).and_then(number);
        match name {
            "repeat" => given(1).map_or(ANY, |times| size(0).saturating_mul(times.max(1))),
            "lpad" | "rpad" => given(1).map_or(ANY, |to| to.saturating_mul(4).max(size(0))),
            // At the most, everything is replaced, and where a pattern finds nothing, what stands between the letters and at the end.
            "replace" => size(0).saturating_mul(written(2).max(1)),
            "regexp_replace" => size(0).saturating_add(1).saturating_mul(written(2).saturating_add(1)),
            "array_replace" => size(0).saturating_mul(size(2).max(1)),
            // A separator for each element, which takes a byte or more. Those that are NULL, eight of which take one, are left out unless
            // something stands for them.
            "array_to_string" => {
                let elements = if arguments.len() > 2 { size(0).saturating_mul(8) } else { size(0) };
                as_text(0).saturating_add(elements.saturating_mul(written(1).saturating_add(written(2))))
            }
            "concat_ws" if call.func_variadic => texts().saturating_mul(written(0).max(1)),
            "concat_ws" => {
                let separators = u64::try_from(arguments.len()).unwrap_or(ANY).saturating_mul(size(0));
                texts().saturating_add(separators)
            }
            "concat" | "textanycat" | "anytextcat" | "text" => texts(),
            "format" => match literal(0) {
                // Each mark may stand for any of the values.
                Some(text) if !text.contains('*') => {
                    let marks = u64::try_from(text.matches('%').count()).unwrap_or(ANY);
                    let values = arguments.iter().skip(1).map(|value| self.as_text(value)).max().unwrap_or(0);
                    let shown = marks.saturating_mul(values.saturating_mul(QUOTED).saturating_add(LETTER));
                    shown.saturating_add(size(0)).saturating_add(widths(text))
                }
                _ => ANY,
            },
            "quote_ident" | "quote_literal" | "quote_nullable" => texts().saturating_mul(QUOTED).saturating_add(LETTER),
            "to_char" => written(1).saturating_mul(FORMATTED).saturating_add(FIXED_TEXT),
            "string_to_array" | "regexp_split_to_array" => sum.saturating_mul(ELEMENT),
            // Deeper levels are further to the right.
            "jsonb_pretty" => sum.saturating_mul(sum),
            // What a setting, or the text of the statement, holds; what is filled up; what is repeated for each match or level.
            "current_setting" if literal(0).is_some_and(is_short) => STORED,
            "jsonb_path_query" | "jsonb_path_query_tz" | "jsonb_path_query_first" | "jsonb_path_query_first_tz" => {
                if literal(1).is_some_and(is_plain_path) {
                    sum
                } else {
                    ANY
                }
            }
            "power" | "pow" | "exp" | "factorial" | "numeric_power" | "numeric_exp" | "numeric_fac" | "numeric" => {
                sum.saturating_add(NUMERIC_TEXT)
            }
            "round" | "trunc" if arguments.len() > 1 => {
                sum.saturating_add(given(1).unwrap_or(ROUNDED)).saturating_add(FIXED)
            }
            "to_number" => sum.saturating_add(NUMERIC_TEXT),
            // Of several types, all of them short.
            "age" | "date_trunc" | "length" | "timezone" | "pg_typeof" | "set_masklen" | "xid" => FIXED,
            "bpchar" | "varchar" | "bit" | "varbit" if arguments.len() > 1 => ANY,
            "bit" | "varbit" => sum,
            "json_extract_path_text"
            | "jsonb_extract_path_text"
            | "json_array_elements_text"
            | "jsonb_array_elements_text"
            | "json_array_element_text"
            | "jsonb_array_element_text"
            | "json_object_field_text"
            | "jsonb_object_field_text"
            | "json_each"
            | "jsonb_each"
            | "json_each_text"
            | "jsonb_each_text"
            | "json_populate_record"
            | "jsonb_populate_record"
            | "json_populate_recordset"
            | "jsonb_populate_recordset"
            | "json_to_record"
            | "jsonb_to_record"
            | "json_to_recordset"
            | "jsonb_to_recordset" => sum.saturating_mul(JSON),
            "to_json" | "to_jsonb" | "row_to_json" | "array_to_json" | "json_build_array" | "jsonb_build_array"
            | "json_build_object" | "jsonb_build_object" | "json_object" | "jsonb_object" => {
                arguments.iter().fold(FIXED, |sum, argument| sum.saturating_add(self.as_json(argument)))
            }
            "xmlcomment" => sum.saturating_add(FIXED),
            "xmltext" => sum.saturating_mul(JSON),
            _ if gathers(name) && name.contains("json") => {
                let one = arguments.iter().fold(FIXED, |sum, argument| sum.saturating_add(self.as_json(argument)));
                rows.gathered(sum).max(one.saturating_mul(rows.gathered(1)))
            }
            _ if gathers(name) => rows.gathered(arguments.iter().fold(0, |sum: u64, argument| {
                sum.saturating_add(super::size::of_element(argument.type_oid, argument.size))
            })),
            "encode" | "translate" | "casefold" | "lower" | "upper" | "initcap" | "convert" | "convert_to"
            | "convert_from" | "like_escape" | "similar_to_escape" | "similar_escape" => {
                sum.saturating_mul(LETTER).saturating_add(FIXED)
            }
            "normalize" => sum.saturating_mul(DECOMPOSED),
            "to_tsvector"
            | "json_to_tsvector"
            | "jsonb_to_tsvector"
            | "array_to_tsvector"
            | "setweight"
            | "strip"
            | "ts_delete"
            | "ts_filter"
            | "tsvector_concat"
            | "tsvector_to_array"
            | "to_tsquery"
            | "plainto_tsquery"
            | "phraseto_tsquery"
            | "websearch_to_tsquery"
            | "querytree"
            | "tsquery_and"
            | "tsquery_or"
            | "tsquery_not"
            | "tsquery_phrase" => sum.saturating_mul(LEXEME),
            _ if PARTS.contains(&name) => sum,
            _ if ARITHMETIC.contains(&name) => sum.saturating_add(ROUNDED),
            "regclass" | "pg_basetype" | "pg_partition_root" => NAME_TEXT,
            _ if name.starts_with("to_reg") => NAME_TEXT,
            _ if WORDS.contains(&name) => STORED,
            // Some of them take a list apart, or say what each id in it stands for.
            _ if DEFINITIONS.contains(&name) || name.starts_with("pg_get_") => {
                sum.saturating_mul(LISTED).saturating_add(DEFINITION)
            }
            _ => match types::result_of(name) {
                19 => STORED,
                oid if is_short_type(oid) => FIXED,
                _ => ANY,
            },
        }
    }

    /// How long what a function gives may be that is none of the server's own, given so much. What a user's own makes of nothing
    /// is not looked at.
    pub(super) fn length_of_users(&self, function: usize, name: &str, sum: u64) -> u64 {
        let Some(facts) = self.catalog.function(function).map(|f| &f.facts) else { return ANY };
        if facts.out_names.is_empty() && is_short_type(self.beneath(facts.return_type)) {
            return FIXED;
        }
        match facts.extension.as_deref() {
            // What is unpacked, and what a stylesheet or a path repeats.
            Some("pgcrypto") if name.starts_with("pgp_") && name.contains("decrypt") => ANY,
            Some("xml2") => ANY,
            Some(_) => sum.saturating_mul(ELEMENT).saturating_add(STORED),
            None => sum.saturating_add(STORED),
        }
    }

    /// How long `value.name` may be where that is no field: what a function of this name gives, or a cast to such a type.
    pub(super) fn length_of_attribute(&self, name: &str, value: &Val<'t>) -> u64 {
        let cast = self.catalog.types_named(name).next().is_some() || types::named(name) != types::UNKNOWN;
        let users = !self.catalog.functions_named(name).is_empty();
        let own = match builtins::function(name) {
            Some(known) if !matches!(known.class, Class::Total | Class::Conditional | Class::Pure) => value.size,
            Some(_) => self.length_of_call(name, &FuncCall::default(), std::slice::from_ref(value), Rows::MANY),
            None => 0,
        };
        let cast = if cast { self.as_text(value) } else { 0 };
        let users = if users { value.size.saturating_add(STORED) } else { 0 };
        own.max(cast).max(users)
    }

    /// Whether arithmetic of two such types gives a number or a time of one length.
    pub(super) fn computes_short(&self, operator: &str, operands: [u32; 2]) -> bool {
        let operands = operands.map(|oid| self.beneath(oid));
        let short = |oid: &u32| is_short_type(*oid) && !is_reference(*oid);
        let fits = |oid: &u32| short(oid) || matches!(*oid, types::LITERAL | types::ADAPTS);
        matches!(operator, "+" | "-" | "*" | "/" | "%") && operands.iter().any(short) && operands.iter().all(fits)
    }

    /// How long a value is as a text.
    pub(super) fn as_text(&self, value: &Val<'t>) -> u64 {
        match &value.row {
            Some(row) => {
                // In texts, quotes within arrays and rows are doubled.
                let field = |col: &Col<'t>| match col.row {
                    Some(_) => col.size.saturating_mul(UNKNOWN_TEXT),
                    None => self.text_of_type(col.type_oid, col.size).saturating_mul(QUOTED).saturating_add(LETTER),
                };
                row.iter().map(field).fold(0, u64::saturating_add)
            }
            None => self.text_of_type(value.type_oid, value.size),
        }
    }

    fn text_of_type(&self, type_oid: u32, size: u64) -> u64 {
        let oid = self.beneath(type_oid);
        match builtins::element_of(oid) {
            Some(element) if is_reference(element) => size.saturating_mul(NAME_TEXT),
            Some(element) => self.text_of_element(element, size).saturating_mul(QUOTED),
            None => self.text_of_element(oid, size),
        }
    }

    fn text_of_element(&self, oid: u32, size: u64) -> u64 {
        match oid {
            types::LITERAL | types::ADAPTS | types::JSON | XML | types::NUMERIC | types::DECIMAL => size,
            _ if types::is_text(oid) || self.is_extensions(oid, "citext") => size,
            types::BYTEA => size.saturating_mul(LETTER),
            types::JSONB => size.saturating_mul(JSON),
            _ if is_reference(oid) => size.max(NAME_TEXT),
            // Each of several, in an array.
            _ if is_short_type(oid) => size.saturating_mul(UNKNOWN_TEXT).max(FIXED_TEXT),
            _ => size.saturating_mul(UNKNOWN_TEXT),
        }
    }

    /// How long a value is as json.
    fn as_json(&self, value: &Val<'t>) -> u64 {
        let field = |col: &Col<'t>| {
            let own = match col.row {
                Some(_) => col.size.saturating_mul(UNKNOWN_TEXT).saturating_mul(JSON),
                None => self.json_of_type(col.type_oid, col.size, col.plain),
            };
            own.saturating_add(length(&col.name).saturating_mul(JSON)).saturating_add(LETTER)
        };
        match &value.row {
            Some(row) => row.iter().map(field).fold(FIXED, u64::saturating_add),
            None => self.json_of_type(value.type_oid, value.size, value.plain),
        }
    }

    fn json_of_type(&self, type_oid: u32, size: u64, stored: bool) -> u64 {
        let oid = self.beneath(type_oid);
        match oid {
            // It stays as it is.
            types::JSON => size,
            types::JSONB => size.saturating_mul(JSON),
            _ if is_short_type(oid) && !is_reference(oid) => FIXED_TEXT,
            // What is stored counts as what it usually is.
            _ if stored => size.saturating_mul(QUOTED),
            _ => self.text_of_type(oid, size).saturating_mul(JSON),
        }
    }

    /// The size of a value as one of another type.
    pub(super) fn size_as(&self, value: &Val<'t>, arg: &Node, target: &TypeName) -> u64 {
        let from = self.beneath(value.type_oid);
        let (_, name) = tree::qualified(&target.names);
        let plain = target.array_bounds.is_empty() && self.is_of_server(target);
        let to = if plain { types::named(name) } else { types::UNKNOWN };
        if is_short_type(to) {
            return FIXED;
        }
        let arithmetic = |node: &Node| matches!(tree::kind(node), Some(NodeEnum::AExpr(e)) if matches!(tree::qualified(&e.name).1, "+" | "-" | "*" | "/"));
        // Numbers in texts that are put together.
        let known = value.plain || tree::literal(arg).is_some() || !target.typmods.is_empty();
        let number = match name {
            _ if known => 0,
            "numeric" if !target.array_bounds.is_empty() => value.size.saturating_mul(super::size::NUMBER_GROWTH),
            "numeric" if types::is_integer(from) || matches!(from, types::NUMERIC | types::DECIMAL) => 0,
            "numeric" if types::is_float(from) => ROUNDED,
            "numeric" if arithmetic(arg) => 0,
            "numeric" => NUMERIC_TEXT,
            "jsonb" if from != types::JSONB => value.size.saturating_mul(super::size::NUMBER_GROWTH),
            "jsonb" => 0,
            _ if value.type_oid != types::UNKNOWN && value.type_oid == self.type_named(target) => 0,
            _ if self.holds_numbers(target) => value.size.saturating_mul(super::size::NUMBER_GROWTH),
            _ => 0,
        };
        // What is of the type already stays as it is.
        let same = from == to && to != types::UNKNOWN;
        let size = if same { value.size } else { self.as_text(value) };
        size.saturating_add(number).max(padded(Some(target)))
    }

    /// What a value of this type, read from a document, may be written out longer by than it stands there.
    pub(super) fn written_out(&self, target: Option<&TypeName>) -> u64 {
        if target.is_some_and(|target| self.holds_numbers(target)) { NUMERIC_TEXT } else { 0 }
    }

    /// Whether values of the type may hold numbers of many digits, which are written in few letters: `1e100000`.
    fn holds_numbers(&self, target: &TypeName) -> bool {
        let (_, name) = tree::qualified(&target.names);
        if self.is_of_server(target) {
            return builtins::plain_type_named(name, false).is_none_or(builtins::holds_numbers);
        }
        let mut known = self.catalog.types_named(name).peekable();
        // Else it is the row of a table.
        known.peek().is_none() || known.any(|facts| self.type_holds_numbers(facts.oid, TYPES_DEPTH_MAX))
    }

    fn type_holds_numbers(&self, type_oid: u32, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return true };
        let Some(facts) = self.catalog.types().get(&type_oid) else { return builtins::holds_numbers(type_oid) };
        match facts.kind {
            'e' => false,
            // Those of extensions hold texts, and numbers of eight bytes.
            'b' => builtins::plain_type(type_oid).is_some() && builtins::holds_numbers(type_oid),
            'd' => self.type_holds_numbers(facts.base, depth),
            'A' => self.type_holds_numbers(facts.element, depth),
            'r' | 'm' => self.type_holds_numbers(facts.subtype, depth),
            'c' if !facts.fields.is_empty() => {
                facts.fields.iter().any(|(_, field)| self.type_holds_numbers(*field, depth))
            }
            _ => true,
        }
    }
}

/// Types within types are looked into so deep.
const TYPES_DEPTH_MAX: u32 = 8;

const XML: u32 = 142;

/// Ids of what has a name in the catalog: written, they are that name.
fn is_reference(oid: u32) -> bool {
    matches!(oid, 24 | 2202..=2206 | 3734 | 3769 | 4089 | 4096 | 4191)
}

/// Types whose values are short and of about one length: numbers but `numeric`, times, truth, ids, addresses, single shapes.
fn is_short_type(oid: u32) -> bool {
    matches!(
        oid,
        16 | 18
            | 20
            | 21
            | 23
            | 26
            | 27
            | 28
            | 29
            | 600
            | 601
            | 603
            | 628
            | 650
            | 700
            | 701
            | 718
            | 774
            | 790
            | 829
            | 869
            | 1082
            | 1083
            | 1114
            | 1184
            | 1186
            | 1266
            | 2950
            | 3220
            | 5069
    ) || is_reference(oid)
}

/// Whether the aggregate keeps all it gets.
fn gathers(name: &str) -> bool {
    name.ends_with("_agg") || name.contains("_agg_") || name == "xmlagg"
}

/// The numbers in a format together: widths.
fn widths(text: &str) -> u64 {
    let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.parse().unwrap_or(ANY)).fold(0, u64::saturating_add)
}
