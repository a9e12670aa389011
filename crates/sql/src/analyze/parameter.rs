//! The types of parameters. What a client declares in a Parse message or in PREPARE counts, and not what stands beside the
//! parameter: a number that is said to be an `oid` makes the server cast what it is compared with. A parameter of no declared type
//! takes that of what is beside it first, so that one that is used again may be of another type there.

use pg_query::protobuf::TypeName;

use super::types::{self, ADAPTS, UNKNOWN};
use super::{Analyzer, tree};

/// The types that are told apart, by their place; the last stands for all others.
const CLASSES: [u32; 15] = [
    ADAPTS,
    types::INT4,
    types::INT8,
    types::NUMERIC,
    types::FLOAT4,
    types::FLOAT8,
    types::DATE,
    types::TIMESTAMP,
    types::TIMESTAMPTZ,
    types::TEXT,
    types::BOOL,
    types::JSONB,
    types::BYTEA,
    2950,
    UNKNOWN,
];
const BITS: u32 = 4;
/// So many parameters are told apart.
const COUNT: usize = 16;

/// What a client says of the types of a text's parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParameterTypes {
    /// A class for each, the first lowest.
    classes: u64,
    /// Types are declared of more than are told apart.
    more: bool,
}

impl ParameterTypes {
    /// From the ids of types in the order of the parameters, 0 for what the server is to find out.
    #[must_use]
    pub fn declared(oids: impl Iterator<Item = u32>) -> ParameterTypes {
        let mut all = ParameterTypes::default();
        for (at, oid) in oids.enumerate() {
            let class = class_of(oid);
            if at >= COUNT {
                all.more |= class != 0;
            } else {
                let shift = u32::try_from(at).unwrap_or(0).saturating_mul(BITS);
                all.classes |= class.checked_shl(shift).unwrap_or(0);
            }
        }
        all
    }

    /// The type that is declared for the parameter of this number; what adapts if none is.
    fn of(self, number: i32) -> u32 {
        let Some(at) = number.checked_sub(1).and_then(|at| usize::try_from(at).ok()) else { return UNKNOWN };
        if at >= COUNT {
            return if self.more { UNKNOWN } else { ADAPTS };
        }
        let shift = u32::try_from(at).unwrap_or(0).saturating_mul(BITS);
        let class = self.classes.checked_shr(shift).unwrap_or(0) & 0xf;
        usize::try_from(class).ok().and_then(|class| CLASSES.get(class)).copied().unwrap_or(UNKNOWN)
    }
}

fn class_of(oid: u32) -> u64 {
    let known = match oid {
        // `unknown` is as good as none.
        0 | 705 => ADAPTS,
        types::INT2 => types::INT4,
        1043 => types::TEXT,
        known => known,
    };
    let last = CLASSES.len().saturating_sub(1);
    let at = CLASSES.iter().position(|class| *class == known).unwrap_or(last);
    u64::try_from(at).unwrap_or(u64::MAX)
}

impl<'t> Analyzer<'t> {
    /// The type of the parameter of this number.
    pub(super) fn parameter(&self, number: i32) -> u32 {
        if !self.stack.is_empty() {
            // An argument of the code that this stands in.
            return UNKNOWN;
        }
        match self.parameters.of(number) {
            ADAPTS if self.parameters_again.contains(&number) => UNKNOWN,
            declared => declared,
        }
    }

    /// What PREPARE declares.
    pub(super) fn prepared_with(&self, types: &'t [pg_query::protobuf::Node]) -> ParameterTypes {
        let named = |name: &TypeName| match self.type_named(name) {
            // Not known which: none of those that are told apart.
            0 => u32::MAX,
            oid => self.beneath(oid),
        };
        ParameterTypes::declared(types.iter().map(|node| match tree::kind(node) {
            Some(pg_query::NodeEnum::TypeName(name)) if tree::qualified(&name.names).1 == "unknown" => 0,
            Some(pg_query::NodeEnum::TypeName(name)) => named(name),
            _ => u32::MAX,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_counts() {
        let types = ParameterTypes::declared([0, 20, 26, 1043, 21].into_iter());
        let of: Vec<u32> = (0..7).map(|number| types.of(number)).collect();
        assert_eq!(of, [UNKNOWN, ADAPTS, types::INT8, UNKNOWN, types::TEXT, types::INT4, ADAPTS]);
        let many = ParameterTypes::declared(std::iter::repeat_n(0, 16).chain([26]));
        assert_eq!((many.of(16), many.of(17), many.of(18)), (ADAPTS, UNKNOWN, UNKNOWN));
        assert_eq!(ParameterTypes::declared(std::iter::repeat_n(23, 16)).of(16), types::INT4);
        assert_eq!(ParameterTypes::declared([0, 0].into_iter()), ParameterTypes::default());
    }
}
