//! Other spellings of a name. To a permit a name is exact; a forbid that names somebody holds for everybody who is the same person
//! ([`name_key`]), so that nobody escapes it by being `MALLORY` at an identity provider that takes that for `mallory`.
//!
//! What policies name is looked up here, and a forbid is asked once more under each spelling of theirs: what it says of any of
//! them counts. That never takes a forbid away, and gives nothing to anybody.

use crate::rule::Rule;
use cedar_policy::Policy;
use lockgate_core::{Principal, Standing, name_key};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// How policies spell the names of people, by the form in which names are compared.
#[derive(Debug, Default)]
pub(crate) struct Spellings(HashMap<String, BTreeSet<String>>);

/// Somebody under other spellings: of the own name, of those whom they act for, or of both.
pub(crate) struct Respelt<'a> {
    user: &'a str,
    acts_for: Cow<'a, [Principal]>,
}

impl Respelt<'_> {
    /// The same standing under this spelling.
    pub(crate) fn standing<'b>(&'b self, of: Standing<'b>) -> Standing<'b> {
        Standing { user: self.user, acts_for: &self.acts_for, ..of }
    }
}

impl Spellings {
    pub(crate) fn of_rules<'r>(rules: impl Iterator<Item = &'r Rule>) -> Self {
        let mut all: HashMap<String, BTreeSet<String>> = HashMap::new();
        for name in rules.flat_map(|rule| &rule.names) {
            all.entry(name_key(name)).or_default().insert(name.clone());
        }
        Spellings(all)
    }

    /// The other spellings that policies have for somebody; almost always none.
    pub(crate) fn of<'a>(&'a self, standing: Standing<'a>) -> Vec<Respelt<'a>> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut chain = Cow::Borrowed(standing.acts_for);
        for party in standing.acts_for {
            let others = self.others(&party.user).map(|user| Principal { user: user.to_owned(), ..party.clone() });
            let others: Vec<Principal> = others.collect();
            if !others.is_empty() {
                chain.to_mut().extend(others);
            }
        }
        let chains = match &chain {
            Cow::Borrowed(_) => vec![Cow::Borrowed(standing.acts_for)],
            Cow::Owned(_) => vec![Cow::Borrowed(standing.acts_for), chain],
        };
        let users = || std::iter::once(standing.user).chain(self.others(standing.user));
        let all = chains.iter().flat_map(|chain| users().map(move |user| Respelt { user, acts_for: chain.clone() }));
        // The first of them is how it is asked anyway.
        all.skip(1).collect()
    }

    fn others<'a>(&'a self, user: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let user = user.to_owned();
        self.0.get(&name_key(&user)).into_iter().flatten().map(String::as_str).filter(move |name| *name != user)
    }
}

/// The people that a policy may name: users, and, where it looks at whom somebody acts for, every text.
pub(crate) fn names(policy: &Policy, conditions: &Value, looks_at_identity: bool) -> Vec<String> {
    let literals = policy.entity_literals();
    let users = literals.iter().filter(|uid| uid.type_name().to_string() == "User");
    let mut names: Vec<String> = users.map(|uid| uid.id().unescaped().to_owned()).collect();
    if looks_at_identity {
        texts(conditions, &mut names);
    }
    names
}

fn texts(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get("Value") {
                all.push(text.clone());
            }
            fields.values().for_each(|item| texts(item, all));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
