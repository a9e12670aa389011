//! The annotations that turn a policy into something softer than yes or no, and the rules about which go together.

use crate::nearest;
use std::fmt;

/// A name that appears in annotations: all of them are listed, so that a misspelt one can be answered with the nearest.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type { $($(#[$variant_doc])* $variant,)* }

        impl $type {
            /// Every value, in order.
            pub const ALL: &'static [$type] = &[$($type::$variant,)*];

            /// The name in policies and recordings.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }

            /// The value that `name` names.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names! {
    /// How a labelled value is changed, weakest first. What each does to a value is `lockgate-mask`'s business.
    MaskMethod {
        /// A part stays.
        Partial = "partial",
        /// A keyed, readable stand-in.
        Token = "token",
        /// A keyed digest.
        Hash = "hash",
        /// A constant of the same type.
        Redact = "redact",
        /// NULL.
        Null = "null",
    }
}

names! {
    /// How far a permitted use of a labelled value goes.
    InferMode {
        /// Compared with one literal.
        Equality = "equality",
        /// Joined with another column.
        Join = "join",
        /// Counted, summed and averaged over large groups.
        Aggregate = "aggregate",
        /// Anything.
        Any = "any",
    }
}

names! {
    /// How loud an alert is, quietest first.
    Severity {
        /// Worth a line.
        Info = "info",
        /// Worth a look this week.
        Low = "low",
        /// Worth a look today.
        Medium = "medium",
        /// Worth a look now.
        High = "high",
        /// Worth waking somebody.
        Critical = "critical",
    }
}

/// What a policy's annotations make of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) id: Option<String>,
    pub(crate) softness: Softness,
    pub(crate) mode: Option<InferMode>,
    pub(crate) alert: Option<Severity>,
    pub(crate) observe: bool,
}

/// What a satisfied forbid does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Softness {
    /// It denies.
    #[default]
    Plain,
    /// It holds until this many different members of any of these groups approve.
    Approve { groups: Vec<String>, quorum: u32 },
    /// It masks.
    Mask(MaskMethod),
}

/// An annotation that is wrong: which one, why, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) annotation: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// What the annotations are judged against: the rest of the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) forbids: bool,
    /// The policy names `reveal` and no other action.
    pub(crate) only_reveal: bool,
    /// The policy names `infer` and no other action.
    pub(crate) only_infer: bool,
}

const KNOWN: [&str; 7] = ["id", "approve", "quorum", "mask", "mode", "alert", "observe"];

/// The largest quorum: more people than that are a mistake, or a way to block everything.
const QUORUM_MAX: u32 = 16;
/// The longest `@id`.
const ID_CHARS_MAX: usize = 128;

/// Reads all annotations of one policy. Every mistake is reported, not only the first.
pub(crate) fn read<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    owner: Owner,
) -> Result<Annotations, Vec<Wrong>> {
    let mut all = Annotations::default();
    let mut wrong = Vec::new();
    let mut groups: Option<Vec<String>> = None;
    let mut quorum: Option<u32> = None;
    let mut mask: Option<MaskMethod> = None;
    for (key, value) in pairs {
        let mut refuse = |message: String, hint: Option<String>| {
            wrong.push(Wrong { annotation: key.to_owned(), message, hint });
        };
        match key {
            "id" => match value.trim() {
                id if id.is_empty() || id != value => {
                    refuse(
                        format!("`{value}` is not an id"),
                        Some("give a name, as in `@id(\"no-bulk-export\")`".into()),
                    );
                }
                id if id.chars().count() > ID_CHARS_MAX || id.chars().any(|c| c.is_control() || c == '"') => {
                    refuse(
                        format!("an id has at most {ID_CHARS_MAX} characters, no quotes and no control characters"),
                        None,
                    );
                }
                id => all.id = Some(id.to_owned()),
            },
            "approve" => {
                let named: Vec<String> = value.split(',').map(|g| g.trim().to_owned()).collect();
                if named.iter().any(String::is_empty) {
                    let hint = "name the groups whose members may approve, as in `@approve(\"dba,security\")`";
                    refuse(format!("`{value}` is not a list of groups"), Some(hint.into()));
                }
                groups = Some(named);
            }
            "quorum" => match value.parse::<u32>() {
                Ok(count) if (1..=QUORUM_MAX).contains(&count) => quorum = Some(count),
                Ok(_) | Err(_) => refuse(format!("`{value}` is not a number of people from 1 to {QUORUM_MAX}"), None),
            },
            "mask" => {
                mask = choose(value, "masking method", MaskMethod::ALL.iter().map(|m| (*m, m.name())), &mut refuse)
            }
            "mode" => {
                all.mode = choose(value, "mode of `infer`", InferMode::ALL.iter().map(|m| (*m, m.name())), &mut refuse)
            }
            "alert" => all.alert = choose(value, "severity", Severity::ALL.iter().map(|s| (*s, s.name())), &mut refuse),
            "observe" if value.is_empty() => all.observe = true,
            "observe" => refuse("`@observe` takes no value".into(), None),
            unknown => {
                let hint = match nearest(unknown, KNOWN) {
                    Some(meant) => format!("did you mean `@{meant}`?"),
                    None => format!("the annotations are {}", list(KNOWN.iter().copied(), "@")),
                };
                refuse(format!("unknown annotation `@{unknown}`"), Some(hint));
            }
        }
    }
    let mut clash = |annotation: &str, message: &str, hint: &str| {
        wrong.push(Wrong {
            annotation: annotation.to_owned(),
            message: message.to_owned(),
            hint: Some(hint.to_owned()).filter(|h| !h.is_empty()),
        });
    };
    if groups.is_some() && !owner.forbids {
        clash(
            "approve",
            "`@approve` belongs on a `forbid`",
            "forbid what needs an approval; a member's yes lifts that forbid",
        );
    }
    if quorum.is_some() && groups.is_none() {
        clash("quorum", "`@quorum` without `@approve`", "add `@approve(\"group\")`: the quorum counts its members");
    }
    if mask.is_some() && !(owner.forbids && owner.only_reveal) {
        clash("mask", "`@mask` belongs on a `forbid` of `action == Action::\"reveal\"`", "");
    }
    if mask.is_some() && groups.is_some() {
        clash("mask", "`@mask` and `@approve` on one policy", "write two policies: then both take effect");
    }
    if all.mode.is_some() && (owner.forbids || !owner.only_infer) {
        clash("mode", "`@mode` belongs on a `permit` of `action == Action::\"infer\"`", "");
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    all.softness = match (mask, groups) {
        (Some(method), _) => Softness::Mask(method),
        (None, Some(groups)) => Softness::Approve { groups, quorum: quorum.unwrap_or(1) },
        (None, None) => Softness::Plain,
    };
    Ok(all)
}

/// The one of `known` that `value` names.
fn choose<T: Copy>(
    value: &str,
    what: &str,
    known: impl Iterator<Item = (T, &'static str)>,
    refuse: &mut impl FnMut(String, Option<String>),
) -> Option<T> {
    let known: Vec<(T, &'static str)> = known.collect();
    if let Some((found, _)) = known.iter().find(|(_, name)| *name == value) {
        return Some(*found);
    }
    let hint = match nearest(value, known.iter().map(|(_, name)| *name)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("use one of {}", list(known.iter().map(|(_, name)| *name), "")),
    };
    refuse(format!("`{value}` is not a {what}"), Some(hint));
    None
}

fn list<'a>(names: impl Iterator<Item = &'a str>, sigil: &str) -> String {
    names.map(|n| format!("`{sigil}{n}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBID_REVEAL: Owner = Owner { forbids: true, only_reveal: true, only_infer: false };
    const FORBID: Owner = Owner { forbids: true, only_reveal: false, only_infer: false };
    const PERMIT: Owner = Owner { forbids: false, only_reveal: false, only_infer: false };
    const PERMIT_INFER: Owner = Owner { forbids: false, only_reveal: false, only_infer: true };

    fn messages(pairs: &[(&str, &str)], owner: Owner) -> Vec<String> {
        match read(pairs.iter().copied(), owner) {
            Ok(all) => panic!("accepted: {all:?}"),
            Err(wrong) => wrong
                .into_iter()
                .map(|w| format!("{}{}", w.message, w.hint.map(|h| format!("; {h}")).unwrap_or_default()))
                .collect(),
        }
    }

    #[test]
    fn reads_every_annotation() {
        let all = read(
            [("id", "a"), ("approve", "dba, security"), ("quorum", "2"), ("alert", "high"), ("observe", "")]
                .into_iter(),
            FORBID,
        )
        .unwrap();
        assert_eq!(all.softness, Softness::Approve { groups: vec!["dba".into(), "security".into()], quorum: 2 });
        assert_eq!((all.id.as_deref(), all.alert, all.observe), (Some("a"), Some(Severity::High), true));
        let all = read([("mask", "null")].into_iter(), FORBID_REVEAL).unwrap();
        assert_eq!(all.softness, Softness::Mask(MaskMethod::Null));
        let all = read([("mode", "join")].into_iter(), PERMIT_INFER).unwrap();
        assert_eq!(all.mode, Some(InferMode::Join));
    }

    #[test]
    fn says_what_is_wrong() {
        type Row<'a> = (&'a [(&'a str, &'a str)], Owner, &'a str);
        let cases: &[Row<'_>] = &[
            (&[("aprove", "dba")], FORBID, "unknown annotation `@aprove`; did you mean `@approve`?"),
            (&[("mask", "redcat")], FORBID_REVEAL, "`redcat` is not a masking method; did you mean `redact`?"),
            (
                &[("mask", "xor")],
                FORBID_REVEAL,
                "`xor` is not a masking method; use one of `partial`, `token`, `hash`, `redact`, `null`",
            ),
            (&[("mask", "redact")], FORBID, "`@mask` belongs on a `forbid` of `action == Action::\"reveal\"`"),
            (&[("mode", "any")], PERMIT, "`@mode` belongs on a `permit` of `action == Action::\"infer\"`"),
            (&[("alert", "hihg")], PERMIT, "`hihg` is not a severity; did you mean `high`?"),
            (&[("quorum", "0"), ("approve", "a")], FORBID, "`0` is not a number of people from 1 to 16"),
            (
                &[("quorum", "2")],
                FORBID,
                "`@quorum` without `@approve`; add `@approve(\"group\")`: the quorum counts its members",
            ),
            (&[("observe", "yes")], FORBID, "`@observe` takes no value"),
            (&[("id", "")], FORBID, "`` is not an id; give a name, as in `@id(\"no-bulk-export\")`"),
        ];
        for (pairs, owner, expected) in cases {
            assert_eq!(messages(pairs, *owner), [(*expected).to_owned()]);
        }
        assert_eq!(messages(&[("approve", "dba,")], PERMIT).len(), 2, "all mistakes are reported");
        assert_eq!(messages(&[("mask", "null"), ("approve", "a")], FORBID_REVEAL).len(), 1);
    }
}
