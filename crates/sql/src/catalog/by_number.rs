//! Functions by their number, for the protocol's function calls, which name none.
//!
//! Of the server's own functions only those of large objects are here: client libraries call them this way, and their
//! numbers are the same in every version. Any other number of the server's own stands for nothing that is known.

use super::Catalog;

/// The arguments that a function of the server may have at most (`FUNC_MAX_ARGS`).
const ARGUMENTS_MAX: usize = 100;

/// Number, name and result type (`pg_proc.dat`).
const LARGE_OBJECTS: &[(u32, &str, u32)] = &[
    (715, "lo_create", 26),
    (764, "lo_import", 26),
    (765, "lo_export", 23),
    (767, "lo_import", 26),
    (952, "lo_open", 23),
    (953, "lo_close", 23),
    (954, "loread", 17),
    (955, "lowrite", 23),
    (956, "lo_lseek", 23),
    (957, "lo_creat", 26),
    (958, "lo_tell", 23),
    (964, "lo_unlink", 23),
    (1004, "lo_truncate", 23),
    (3170, "lo_lseek64", 20),
    (3171, "lo_tell64", 20),
    (3172, "lo_truncate64", 23),
];

/// What a call by number does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallByNumber {
    /// A SELECT of the same call.
    pub text: String,
    /// The type of its result.
    pub return_type: u32,
}

impl Catalog {
    /// The SELECT that calls the function of this number with so many arguments, by its schema and name; overloads of that
    /// name are judged with it. `None` for what is not known to be a plain function.
    pub fn call_by_number(&self, oid: u32, arguments: usize) -> Option<CallByNumber> {
        if arguments > ARGUMENTS_MAX {
            return None;
        }
        let own = LARGE_OBJECTS.iter().find(|(number, ..)| *number == oid);
        let (schema, name, return_type) = match own {
            Some((_, name, return_type)) => ("pg_catalog", *name, *return_type),
            None => {
                let facts = self.functions.iter().map(|f| &f.facts).find(|f| f.oid == oid)?;
                let plain = facts.kind == 'f' && (facts.arguments_min..=facts.arguments_max).contains(&arguments);
                if !plain {
                    return None;
                }
                (facts.schema.as_str(), facts.name.as_str(), facts.return_type)
            }
        };
        let parameters: Vec<String> = (1..=arguments).map(|number| format!("${number}")).collect();
        let text = format!("SELECT {}.{}({})", quoted(schema), quoted(name), parameters.join(", "));
        Some(CallByNumber { text, return_type })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{CatalogFacts, FunctionFacts};

    #[test]
    fn a_number_stands_for_a_plain_function_or_for_nothing() {
        let function = |oid, name: &str, kind| FunctionFacts {
            oid,
            schema: "app".into(),
            name: name.into(),
            kind,
            return_type: 1700,
            arguments_min: 1,
            arguments_max: 2,
            ..FunctionFacts::default()
        };
        let functions = vec![function(20001, "add \"tax\"", 'f'), function(20002, "work", 'p')];
        let catalog = Catalog::build(CatalogFacts { functions, ..CatalogFacts::default() }, &[], &[]);
        for (oid, arguments, expect) in [
            (957, 1, Some(("SELECT \"pg_catalog\".\"lo_creat\"($1)", 26))),
            (20001, 2, Some(("SELECT \"app\".\"add \"\"tax\"\"\"($1, $2)", 1700))),
            (20001, 3, None),
            (20002, 1, None),
            (2078, 3, None),
            (957, 101, None),
        ] {
            let found = catalog.call_by_number(oid, arguments);
            let expect = expect.map(|(text, return_type)| CallByNumber { text: text.into(), return_type });
            assert_eq!(found, expect, "{oid}");
        }
    }
}
