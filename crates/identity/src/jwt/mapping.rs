//! From claims to an identity: the user name, the groups, what it is, and whom it acts for.

use super::{JwtError, Rules, shown, wrong_claim};
use crate::json::{Json, Object};
use lockgate_core::{IdentityKind, Principal, is_name, limits, name_key};
use std::collections::BTreeSet;

/// Where a claim is: its name, names joined by dots (`realm_access.roles`), or a JSON pointer (`/realm_access/roles`, RFC 6901).
/// A claim whose own name has the dots comes first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    written: String,
    steps: Vec<String>,
}

impl ClaimPath {
    /// Reads a path; `None` where a step of it is empty.
    pub fn new(written: &str) -> Option<Self> {
        let steps: Vec<String> = match written.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
            None => written.split('.').map(str::to_owned).collect(),
        };
        let usable = steps.iter().all(|step| !step.is_empty()) && steps.len() <= limits::CLAIM_DEPTH_MAX;
        // A name such as `https://example.com/groups` is a claim of its own.
        let steps = if usable { steps } else { vec![written.to_owned()] };
        (!written.is_empty() && written != "/").then(|| ClaimPath { written: written.to_owned(), steps })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The outermost claim.
    fn first(&self) -> &str {
        self.steps.first().map_or(&self.written, String::as_str)
    }

    /// What stands beside the claim under another name, where the claim's own last name is `own`.
    fn beside<'c>(&self, claims: &'c Object, own: &str, other: &str) -> Option<&'c Json> {
        if claims.contains_key(&self.written) {
            return claims.get(other).filter(|_| self.written == own);
        }
        let (_, outer) = self.steps.split_last().filter(|(last, _)| *last == own)?;
        outer.iter().try_fold(claims, |within, step| within.get(step)?.object())?.get(other)
    }

    pub(super) fn find<'c>(&self, claims: &'c Object) -> Option<&'c Json> {
        if let Some(value) = claims.get(&self.written) {
            return Some(value);
        }
        let (first, rest) = self.steps.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, step| value.object()?.get(step))
    }
}

/// Who a token is about.
pub(super) struct Party {
    pub(super) user: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) kind: IdentityKind,
    pub(super) on_behalf_of: Vec<Principal>,
}

pub(super) fn party(claims: &Object, rules: &Rules) -> Result<Party, JwtError> {
    let (user, groups, kind) = (user(claims, rules)?, groups(claims, rules)?, kind(claims, rules)?);
    let Some(act) = claims.get("act") else {
        return Ok(Party { user, groups, kind, on_behalf_of: Vec::new() });
    };
    let subject = (user, groups, kind);
    // RFC 8693, 4.1: the token is about the subject, and shown by the actor; an actor within is who acted before it.
    let mut actors = Vec::new();
    let mut next = Some(act);
    while let Some(act) = next {
        if actors.len() >= limits::ON_BEHALF_OF_MAX {
            return Err(wrong_claim("act", format!("is a chain of more than {}", limits::ON_BEHALF_OF_MAX)));
        }
        let act = act.object().ok_or_else(|| wrong_claim("act", "is not an object"))?;
        if act.get("iss").is_some_and(|issuer| issuer.text() != Some(&rules.issuer)) {
            return Err(wrong_claim("act", "names an actor of another issuer"));
        }
        actors.push((actor(act, rules)?, named_groups(act, rules)?, IdentityKind::Agent));
        next = act.get("act");
    }
    let mut chain = actors.into_iter().chain([subject]);
    let Some((user, groups, kind)) = chain.next() else { return Err(wrong_claim("act", "names nobody")) };
    let principal = |(user, groups, kind)| Principal { user, kind, groups: Some(groups), directories: Vec::new() };
    let on_behalf_of: Vec<Principal> = chain.map(principal).collect();
    let mut names: BTreeSet<String> = on_behalf_of.iter().map(|party| name_key(&party.user)).collect();
    if !names.insert(name_key(&user)) || names.len() != on_behalf_of.len() + 1 {
        return Err(wrong_claim("act", "has somebody act for itself"));
    }
    Ok(Party { user, groups, kind, on_behalf_of })
}

pub(super) fn user(claims: &Object, rules: &Rules) -> Result<String, JwtError> {
    let path = &rules.user_claim;
    let value =
        path.find(claims).ok_or_else(|| wrong_claim(path.as_str(), "is missing, and it is the `user_claim`"))?;
    // Whoever may type in any address may not become the one whose address it is.
    match path.beside(claims, "email", "email_verified") {
        None | Some(Json::Bool(true)) => {}
        Some(Json::Text(text)) if text == "true" => {}
        Some(_) => return Err(wrong_claim("email", "is not verified (`email_verified`)")),
    }
    name(value, path.as_str(), &rules.user_prefix)
}

/// The name of an actor: by the user claim where it has one, else by `sub`, which RFC 8693 shows.
fn actor(act: &Object, rules: &Rules) -> Result<String, JwtError> {
    match rules.user_claim.find(act) {
        Some(_) => user(act, rules),
        None => {
            let subject = act.get("sub").ok_or_else(|| wrong_claim("act", "names an actor without `sub`"))?;
            name(subject, "act", &rules.user_prefix)
        }
    }
}

fn name(value: &Json, claim: &str, prefix: &str) -> Result<String, JwtError> {
    let text = value.text().ok_or_else(|| wrong_claim(claim, format!("is {}, not a name", value.what())))?;
    let name = format!("{prefix}{text}");
    if is_name(text) && is_name(&name) {
        Ok(name)
    } else {
        Err(wrong_claim(claim, format!("is `{}`, which cannot be a user name", shown(text))))
    }
}

pub(super) fn groups(claims: &Object, rules: &Rules) -> Result<BTreeSet<String>, JwtError> {
    let mut groups = named_groups(claims, rules)?;
    groups.extend(rules.groups.iter().cloned());
    Ok(groups)
}

fn named_groups(claims: &Object, rules: &Rules) -> Result<BTreeSet<String>, JwtError> {
    let path = &rules.groups_claim;
    let claim = path.as_str();
    let Some(value) = path.find(claims) else {
        return match elsewhere(claims, path) {
            true => Err(wrong_claim(
                claim,
                "is not in the token, because its user is in too many groups: have the provider send only the groups that \
                 are assigned to this application",
            )),
            false => Ok(BTreeSet::new()),
        };
    };
    let items = match value {
        Json::Text(_) => std::slice::from_ref(value),
        Json::List(items) => items,
        // Nobody is in no group by mistake.
        other => return Err(wrong_claim(claim, format!("is {}, not a string or a list of strings", other.what()))),
    };
    let mut groups = BTreeSet::new();
    for item in items {
        let text = item.text().ok_or_else(|| wrong_claim(claim, format!("has {} among its groups", item.what())))?;
        if !is_name(text) {
            return Err(wrong_claim(claim, format!("has `{}`, which cannot be the name of a group", shown(text))));
        }
        groups.insert(text.to_owned());
    }
    if groups.len() > limits::GROUPS_MAX {
        return Err(wrong_claim(claim, format!("has {} groups; {} is the most", groups.len(), limits::GROUPS_MAX)));
    }
    Ok(groups)
}

/// Whether the token says that the groups have to be asked for elsewhere: Entra ID's overage, and distributed claims in general
/// (OpenID Connect Core, 5.6.2). To go on without them would be to forget what is forbidden to a group.
fn elsewhere(claims: &Object, path: &ClaimPath) -> bool {
    let named = claims.get("_claim_names").and_then(Json::object);
    let named = named.is_some_and(|names| names.contains_key(path.first()) || names.contains_key("groups"));
    let has = claims.get("hasgroups").is_some_and(|has| *has != Json::Bool(false));
    named || has
}

/// What sort of party it is: what the token says where the configuration looks, else a client that speaks for itself is a
/// service (RFC 9068, 2.2: its `sub` is its `client_id`), else what the configuration says of everybody.
fn kind(claims: &Object, rules: &Rules) -> Result<IdentityKind, JwtError> {
    if let Some(path) = &rules.kind_claim
        && let Some(value) = path.find(claims)
    {
        let kind = value.text().and_then(IdentityKind::from_name);
        return kind.ok_or_else(|| wrong_claim(path.as_str(), "is not `human`, `service` or `agent`"));
    }
    let text = |name: &str| claims.get(name).and_then(Json::text);
    let subject = text("sub");
    let itself =
        ["client_id", "azp", "cid", "appid"].into_iter().any(|name| text(name).is_some() && text(name) == subject);
    let application = text("idtyp") == Some("app");
    Ok(match rules.kind {
        IdentityKind::Human if itself || application => IdentityKind::Service,
        kind => kind,
    })
}
