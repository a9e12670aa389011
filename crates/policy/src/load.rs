//! Loading: every file is parsed, checked against the schema, and taken apart into rules. All or nothing.

use crate::annotations::{self, Owner, Wrong};
use crate::depth;
use crate::nearest;
use crate::problem::{Problem, position};
use crate::rule::{Clause, Effect, PolicyListing, PolicyRef, Reads, Rule};
use crate::schema::{Names, Schemas};
use crate::scope::{Constraint, Scope};
use crate::spelling::{Spellings, names};
use cedar_policy::{
    ActionConstraint, EntityTypeName, Policy, PolicyId, PolicySet, Schema, ValidationError, ValidationMode,
    ValidationWarning, Validator,
};
use lockgate_core::{Action, SQL_VERBS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in messages.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// An entity that a policy names, so that what exists nowhere else can be pointed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `Target`, `TargetLabel`, `Table`, `Label`, `Group` or `User`.
    pub kind: String,
    /// Its name.
    pub id: String,
    /// The policy that names it.
    pub policy: PolicyRef,
}

/// Checked policies, ready to be asked.
#[derive(Debug)]
pub struct Policies {
    rules: Vec<Arc<Rule>>,
    by_action: HashMap<Action, Vec<Arc<Rule>>>,
    references: Vec<Reference>,
    pub(crate) names: Names,
    pub(crate) spellings: Spellings,
    speak_of_tables: bool,
    doubts: Vec<Problem>,
    version: u64,
}

impl Policies {
    /// Checks and loads policy files.
    ///
    /// # Errors
    /// Every mistake in every file, in the order of files and lines. With any mistake nothing is loaded.
    pub fn load(mut sources: Vec<Source>) -> Result<Policies, Vec<Problem>> {
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("policy".to_owned()).stack_size(depth::STACK_BYTES);
            let loaded = thread.spawn_scoped(scope, || Policies::load_sorted(&sources));
            loaded.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| {
                Err(vec![Problem::in_file("policies", "there is no thread to load the policies with, or it failed")])
            })
        })
    }

    /// What `load` does, with the stack that it takes.
    fn load_sorted(sources: &[Source]) -> Result<Policies, Vec<Problem>> {
        let ours = |message: String| vec![Problem::in_file("schema.cedarschema", message)];
        let schemas = Schemas::load().map_err(ours)?;
        let names = Names::new().map_err(ours)?;
        let mut problems = Vec::new();
        let mut rules = Vec::new();
        let mut references = Vec::new();
        let mut doubts = Vec::new();
        for source in sources {
            load_file(source, &schemas, &mut rules, &mut references, &mut problems, &mut doubts);
        }
        let mut seen: BTreeMap<&str, &PolicyRef> = BTreeMap::new();
        for rule in &rules {
            if let Some(first) = seen.insert(&rule.reference.id, &rule.reference) {
                let at = &rule.reference;
                let message = format!("the id `{}` is taken by the policy at {}:{}", at.id, first.path, first.line);
                let text = sources.iter().find(|s| *s.path == *at.path).map_or("", |s| &s.text);
                problems.push(Problem::at(&at.path, text, at.line, 1, 1, message));
            }
        }
        if !problems.is_empty() {
            problems.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
            problems.dedup();
            return Err(problems);
        }
        let rules: Vec<Arc<Rule>> = rules.into_iter().map(Arc::new).collect();
        let by_action = Action::ALL
            .into_iter()
            .map(|a| (a, rules.iter().filter(|r| r.scope.matches_action(a)).map(Arc::clone).collect()))
            .collect();
        let spellings = Spellings::of_rules(rules.iter().map(Arc::as_ref));
        let speak_of_tables = rules.iter().any(|r| r.speaks_of_tables());
        let version = version(sources);
        Ok(Policies { rules, by_action, references, names, spellings, speak_of_tables, doubts, version })
    }

    /// A number that changes when any file's name or text does, and is the same on every machine and after every start.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Every policy, in the order of files and lines.
    pub fn list(&self) -> impl Iterator<Item = PolicyListing> + '_ {
        self.rules.iter().map(|r| r.listing())
    }

    /// Every entity that a policy names.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// What is not wrong but can hardly be meant: words that `context.sql.verb` never is.
    pub fn doubts(&self) -> &[Problem] {
        &self.doubts
    }

    /// Some policy reads `context.now`: decisions may change as time passes.
    pub fn depends_on_time(&self) -> bool {
        self.rules.iter().any(|r| r.reads.has(Reads::NOW))
    }

    /// Some policy reads `context.client`: decisions hold for one address.
    pub fn depends_on_client(&self) -> bool {
        self.rules.iter().any(|r| r.reads.has(Reads::CLIENT))
    }

    /// Some policy speaks of tables: a decision may depend on which of them a statement names.
    pub fn speak_of_tables(&self) -> bool {
        self.speak_of_tables
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(Arc::as_ref)
    }

    pub(crate) fn rules_for(&self, action: Action) -> impl Iterator<Item = &Rule> {
        self.by_action.get(&action).into_iter().flatten().map(Arc::as_ref)
    }
}

/// FNV-1a over names and texts, each with its length before it.
fn version(sources: &[Source]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for source in sources {
        for part in [&source.path, &source.text] {
            eat(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            eat(part.as_bytes());
        }
    }
    hash
}

fn load_file(
    source: &Source,
    schemas: &Schemas,
    rules: &mut Vec<Rule>,
    references: &mut Vec<Reference>,
    problems: &mut Vec<Problem>,
    doubts: &mut Vec<Problem>,
) {
    if let Some(problem) = depth::too_deep(&source.path, &source.text) {
        return problems.push(problem);
    }
    let set = match source.text.parse::<PolicySet>() {
        Ok(set) => set,
        Err(errors) => {
            problems.extend(errors.iter().map(|e| diagnose(source, e)));
            return;
        }
    };
    if set.num_of_templates() > 0 {
        let message = "a policy has a placeholder (`?principal` or `?resource`), and nothing would fill it";
        problems.push(Problem::in_file(&source.path, message));
    }
    for error in Validator::new(schemas.published.clone()).validate(&set, ValidationMode::Strict).validation_errors() {
        // The only optional attributes are the parts of the context, and those read as empty when they are missing.
        if !matches!(error, ValidationError::UnsafeOptionalAttributeAccess(_)) {
            problems.push(diagnose(source, error));
        }
    }
    let found = problems.len();
    let complete = Validator::new(schemas.complete.clone()).validate(&set, ValidationMode::Strict);
    let mut policies: Vec<(usize, usize, &Policy)> = set
        .policies()
        .map(|policy| {
            let place = policy.as_ref().loc().map_or((0, source.text.len()), |loc| (loc.start(), loc.end()));
            (place.0, place.1, policy)
        })
        .collect();
    policies.sort_by_key(|(start, _, _)| *start);
    for warning in complete.validation_warnings() {
        if matches!(warning, ValidationWarning::ImpossiblePolicy(_))
            && set.policy(warning.policy_id()).is_some_and(|p| rewritten(p).is_some_and(|(_, asks)| asks))
        {
            continue;
        }
        problems.push(diagnose(source, warning));
    }
    let impossible = problems.len() > found;
    for (start, end, policy) in &policies {
        if let Some(body) = body(policy) {
            check_presence(source, (*start, *end), &body, problems);
            check_verbs(source, (*start, *end), &body, doubts);
        }
    }
    for (number, (start, end, policy)) in policies.iter().enumerate() {
        match load_policy(source, number + 1, (*start, *end), policy) {
            Ok(rule) => {
                if !impossible {
                    check_actions(source, (*start, *end), policy, &rule, &schemas.complete, problems);
                }
                references.extend(policy.entity_literals().iter().map(|uid| Reference {
                    kind: uid.type_name().to_string(),
                    id: uid.id().unescaped().to_owned(),
                    policy: rule.reference.clone(),
                }));
                rules.push(rule);
            }
            Err(mut wrong) => problems.append(&mut wrong),
        }
    }
}

/// Cedar's error as a problem: its text without the policy's number, its help, its first place.
fn diagnose(source: &Source, error: &(impl miette::Diagnostic + ?Sized)) -> Problem {
    let whole = error.to_string();
    let message = without_action(without_policy(&whole));
    let label = error.labels().and_then(|mut labels| labels.next());
    let problem = match label {
        Some(label) => Problem::at_bytes(
            &source.path,
            &source.text,
            label.offset(),
            label.offset().saturating_add(label.len()),
            message,
        ),
        None => Problem::in_file(&source.path, message),
    };
    match error.help() {
        Some(help) => problem.with_hint(without_policy(&help.to_string())),
        None => problem,
    }
}

/// Cedar begins with a number that nobody gave the policy.
fn without_policy(text: &str) -> &str {
    text.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")).map_or(text, |(_, rest)| rest)
}

/// Cedar reports an unknown attribute of the context once for every action that the policy may be about.
fn without_action(message: &str) -> String {
    let attribute = message
        .strip_prefix("attribute `")
        .and_then(|rest| rest.split_once("` in context for Action::"))
        .filter(|(_, rest)| rest.ends_with(" not found"));
    match attribute {
        Some((name, _)) => format!("unknown attribute `context.{name}`"),
        None => message.to_owned(),
    }
}

fn load_policy(
    source: &Source,
    number: usize,
    (start, end): (usize, usize),
    policy: &Policy,
) -> Result<Rule, Vec<Problem>> {
    let path = source.path.as_str();
    let here = |message: String| Problem::at_bytes(path, &source.text, start, start, message);
    let actions = named_actions(policy).map_err(|name| vec![here(format!("unrecognized action `{name}`"))])?;
    let effect = match policy.effect() {
        cedar_policy::Effect::Permit => Effect::Permit,
        cedar_policy::Effect::Forbid => Effect::Forbid,
    };
    let only = |action: Action| {
        actions.as_deref().is_some_and(|named| !named.is_empty() && named.iter().all(|a| *a == action))
    };
    let owner =
        Owner { forbids: effect == Effect::Forbid, only_reveal: only(Action::Reveal), only_infer: only(Action::Infer) };
    let annotations = annotations::read(policy.annotations(), owner).map_err(|wrong| {
        wrong.into_iter().map(|w| place_annotation(source, (start, end), policy, w)).collect::<Vec<_>>()
    })?;
    let file = path.rsplit('/').next().unwrap_or(path);
    let id = annotations.id.clone().unwrap_or_else(|| format!("{file}#{number}"));
    let reference = PolicyRef { id: id.into(), path: path.into(), line: position(&source.text, start).0 };
    let taken_apart = || -> Option<(PolicySet, Reads, Vec<Clause>, Vec<String>)> {
        let (body, asks) = rewritten(policy)?;
        // Only a policy that asks for a part is put together anew; every other one is evaluated as Cedar parsed it.
        let evaluated = if asks { Policy::from_json(None, body.clone()).ok()? } else { (*policy).clone() };
        let single = PolicySet::from_policies([evaluated]).ok()?;
        let conditions = body.get("conditions")?;
        let reads = reads(conditions);
        Some((single, reads, clauses(conditions)?, names(policy, conditions, reads.has(Reads::IDENTITY))))
    };
    let Some((single, reads, clauses, names)) = taken_apart() else {
        return Err(vec![here("this policy cannot be taken apart".to_owned())]);
    };
    Ok(Rule {
        reference,
        effect,
        annotations,
        scope: Scope {
            principal: Constraint::from(policy.principal_constraint()),
            actions,
            resource: Constraint::from(policy.resource_constraint()),
        },
        reads,
        single,
        clauses,
        names,
        text: source.text.get(start..end).unwrap_or_default().to_owned(),
    })
}

/// The actions that a policy's head names; `None` when it names none. The error is a name that is no action.
fn named_actions(policy: &Policy) -> Result<Option<Vec<Action>>, String> {
    let uids = match policy.action_constraint() {
        ActionConstraint::Any => return Ok(None),
        ActionConstraint::Eq(uid) => vec![uid],
        ActionConstraint::In(uids) => uids,
    };
    let read = |uid: &cedar_policy::EntityUid| uid.id().unescaped().parse::<Action>().map_err(|_| uid.to_string());
    uids.iter().map(read).collect::<Result<Vec<_>, _>>().map(Some)
}

fn place_annotation(source: &Source, (start, end): (usize, usize), policy: &Policy, wrong: Wrong) -> Problem {
    let place = policy
        .as_ref()
        .annotations()
        .find(|(key, _)| key.to_string() == wrong.annotation)
        .and_then(|(_, annotation)| annotation.loc.as_ref().map(|loc| (loc.start(), loc.end())));
    // An annotation without a value has no place of its own in Cedar's tree.
    let found = || {
        let text = source.text.get(start..end)?;
        let at = text.find(&format!("@{}", wrong.annotation))?;
        Some((start + at, start + at + 1 + wrong.annotation.len()))
    };
    let (from, to) = place.or_else(found).unwrap_or((start, start));
    let problem = Problem::at_bytes(&source.path, &source.text, from, to, wrong.message);
    match wrong.hint {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

/// Every action that a head names must be possible with its resource. Cedar itself only looks whether one of them is: a
/// `forbid (principal, action in [Action::"export", Action::"reveal"], resource in Target::"orders")` would forbid no reveal.
fn check_actions(
    source: &Source,
    (start, end): (usize, usize),
    policy: &Policy,
    rule: &Rule,
    schema: &Schema,
    problems: &mut Vec<Problem>,
) {
    let Some(named) = &rule.scope.actions else { return };
    let possible: Vec<String> = policy
        .get_valid_request_envs(schema)
        .filter(|env| can_be(&rule.scope.resource, env.resource()))
        .map(|env| env.action().id().unescaped().to_owned())
        .collect();
    for action in named {
        if possible.iter().any(|p| p == action.name()) {
            continue;
        }
        let head = rule.scope.resource.text("resource");
        let text = source.text.get(start..end).unwrap_or_default();
        let at = start + text.find(&format!("Action::\"{action}\"")).unwrap_or(0);
        let problem = Problem::at_bytes(
            &source.path,
            &source.text,
            at,
            at + "Action::\"\"".len() + action.name().len(),
            format!("`{head}` never holds for `{action}`, so this policy would not apply to it"),
        );
        problems.push(problem.with_hint(match action {
            Action::Reveal | Action::Infer => {
                "the resource of `reveal` and `infer` is a Label; its target is `context.target`, as in `when { context.target == Target::\"orders\" }`"
            }
            Action::Connect
            | Action::Read
            | Action::Write
            | Action::Define
            | Action::Administer
            | Action::Execute
            | Action::Export
            | Action::Transfer
            | Action::Forward => "the resource of this action is a Target or a Table; labels are for `reveal` and `infer`",
        }));
    }
}

/// The attributes of the context and of its parts. Cedar takes `context has sqll` for a question with the answer no.
const ATTRIBUTES: [(&str, &[&str]); 11] = [
    ("sql", &["verb", "tables", "has_where", "has_limit", "statement_count", "opaque"]),
    ("command", &["argv", "program"]),
    ("http", &["method", "path", "host"]),
    ("kube", &["verb", "resource", "namespace", "name"]),
    ("mcp", &["tool", "arguments"]),
    ("client", &["ip"]),
    ("now", &[]),
    ("identity", &["kind", "on_behalf_of"]),
    ("grant", &[]),
    ("target", &[]),
    ("table", &[]),
];

/// Reports every `has` that asks for an attribute that does not exist.
fn check_presence(source: &Source, (start, end): (usize, usize), value: &Value, problems: &mut Vec<Problem>) {
    if let Some(has) = value.get("has")
        && let Some(asked) = has.get("attr").and_then(Value::as_str)
    {
        let left = has.get("left");
        let part = left
            .and_then(|l| l.get("."))
            .filter(|access| is_context(access.get("left")))
            .and_then(|access| access.get("attr")?.as_str());
        let known: Option<Vec<&str>> = match part {
            _ if is_context(left) => Some(ATTRIBUTES.iter().map(|(name, _)| *name).collect()),
            Some(part) => ATTRIBUTES.iter().find(|(name, _)| *name == part).map(|(_, fields)| fields.to_vec()),
            None => None,
        };
        if let Some(known) = known.filter(|known| !known.contains(&asked)) {
            let text = source.text.get(start..end).unwrap_or_default();
            let written = |lead: &str| text.find(&format!("{lead}{asked}")).map(|at| at + lead.len());
            let at = start + written("has ").or_else(|| written(".")).unwrap_or(0);
            let owner = part.map_or_else(|| "context".to_owned(), |part| format!("context.{part}"));
            let message = format!("unknown attribute `{owner}.{asked}`");
            let problem = Problem::at_bytes(&source.path, &source.text, at, at + asked.len(), message);
            problems.push(problem.meaning(nearest(asked, known)));
        }
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| check_presence(source, (start, end), item, problems)),
        Value::Object(fields) => fields.values().for_each(|item| check_presence(source, (start, end), item, problems)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reports every word that `context.sql.verb` is compared with and never is: what a policy says of it never applies. It is no mistake,
/// because policies may be shared between gateways, and newer ones know more words.
fn check_verbs(source: &Source, span: (usize, usize), value: &Value, doubts: &mut Vec<Problem>) {
    let sides = ["==", "!=", "contains"].iter().find_map(|operator| value.get(operator));
    if let Some(sides) = sides
        && let (Some(left), Some(right)) = (sides.get("left"), sides.get("right"))
        && let Some(words) = if is_verb(left) { Some(right) } else { is_verb(right).then_some(left) }
    {
        let set = words.get("Set").and_then(Value::as_array).map_or(std::slice::from_ref(words), Vec::as_slice);
        for word in set.iter().filter_map(|word| word.get("Value")?.as_str()) {
            if !SQL_VERBS.contains(&word) {
                doubts.push(unknown_verb(source, span, word));
            }
        }
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| check_verbs(source, span, item, doubts)),
        Value::Object(fields) => fields.values().for_each(|item| check_verbs(source, span, item, doubts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_verb(value: &Value) -> bool {
    let access = |value: &Value, name: &str| {
        let access = value.get(".")?;
        (access.get("attr").and_then(Value::as_str) == Some(name)).then(|| access.get("left").cloned()).flatten()
    };
    access(value, "verb").and_then(|owner| access(&owner, "sql")).is_some_and(|context| is_context(Some(&context)))
}

fn unknown_verb(source: &Source, (start, end): (usize, usize), word: &str) -> Problem {
    let text = source.text.get(start..end).unwrap_or_default();
    let at = start + text.find(&format!("\"{word}\"")).unwrap_or(0);
    let message = format!("`context.sql.verb` is never `{word}`");
    let problem = Problem::at_bytes(&source.path, &source.text, at, at + word.len() + 2, message);
    problem.meaning(nearest(word, SQL_VERBS.iter().copied()))
}

/// Whether a resource of this type can fit the head: Cedar finds the head of an impossible one false, not wrong.
fn can_be(constraint: &Constraint, kind: &EntityTypeName) -> bool {
    let kind = kind.to_string();
    let within = |outer: &str| {
        matches!(
            (kind.as_str(), outer),
            ("Target", "Target" | "TargetLabel") | ("Table", "Table" | "Target" | "TargetLabel") | ("Label", "Label")
        )
    };
    match constraint {
        Constraint::Any => true,
        Constraint::Eq(e) => e.kind == kind,
        Constraint::In(e) => within(&e.kind),
        Constraint::Is(is) => *is == kind,
        Constraint::IsIn(is, e) => *is == kind && within(&e.kind),
    }
}

/// The policy as JSON, with every `context has sql.verb` written out as `context has sql && context.sql has verb`.
fn body(policy: &Policy) -> Option<Value> {
    let mut body = policy.to_json().ok()?;
    write_out(&mut body);
    Some(body)
}

fn write_out(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(write_out),
        Value::Object(fields) => fields.values_mut().for_each(write_out),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    let path = value.get("has").and_then(|has| Some((has.get("left")?.clone(), has.get("attr")?.as_array()?.clone())));
    let Some((mut owner, attributes)) = path else { return };
    let mut all: Option<Value> = None;
    for attribute in attributes {
        let has = json!({"has": {"left": owner, "attr": attribute}});
        owner = json!({".": {"left": owner, "attr": attribute}});
        all = Some(match all {
            Some(before) => json!({"&&": {"left": before, "right": has}}),
            None => has,
        });
    }
    if let Some(all) = all {
        *value = all;
    }
}

/// The policy as JSON, with `context has sql` asking the list of the parts that the request has: the parts themselves are
/// always there at evaluation. The flag says whether the policy asks at all.
fn rewritten(policy: &Policy) -> Option<(Value, bool)> {
    let mut body = body(policy)?;
    let asks = body.get_mut("conditions").is_some_and(rewrite);
    Some((body, asks))
}

fn rewrite(value: &mut Value) -> bool {
    let attribute = value
        .get("has")
        .filter(|has| is_context(has.get("left")))
        .and_then(|has| has.get("attr")?.as_str().map(str::to_owned));
    if let Some(attribute) = attribute
        && OPTIONAL.contains(&attribute.as_str())
    {
        *value = json!({"contains": {
            "left": {".": {"left": {"Var": "context"}, "attr": "present"}},
            "right": {"Value": attribute},
        }});
        return true;
    }
    match value {
        Value::Array(items) => items.iter_mut().fold(false, |asks, item| rewrite(item) | asks),
        Value::Object(fields) => fields.values_mut().fold(false, |asks, item| rewrite(item) | asks),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The optional attributes of the context.
const OPTIONAL: [&str; 7] = ["sql", "command", "http", "kube", "mcp", "grant", "table"];

fn is_context(value: Option<&Value>) -> bool {
    value.and_then(|v| v.get("Var")).and_then(Value::as_str) == Some("context")
}

/// The attributes of the context that a condition reads; all of them when it does anything else with the context.
fn reads(value: &Value) -> Reads {
    let accessed = [".", "has"]
        .iter()
        .filter_map(|op| value.get(op))
        .find(|access| is_context(access.get("left")))
        .and_then(|access| access.get("attr")?.as_str());
    if let Some(attribute) = accessed {
        return Reads::of(attribute);
    }
    if is_context(Some(value)) {
        return Reads::ALL;
    }
    match value {
        Value::Array(items) => items.iter().fold(Reads::default(), |all, item| all | reads(item)),
        Value::Object(fields) => fields.values().fold(Reads::default(), |all, item| all | reads(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Reads::default(),
    }
}

/// Each condition by itself, as a permit of everything.
fn clauses(conditions: &Value) -> Option<Vec<Clause>> {
    let head = json!({"op": "All"});
    conditions
        .as_array()?
        .iter()
        .map(|condition| {
            let body = json!({
                "effect": "permit", "principal": head, "action": head, "resource": head, "conditions": [condition],
            });
            let policy = Policy::from_json(Some(PolicyId::new("clause")), body).ok()?;
            let printed = policy.to_cedar()?;
            let at = printed.find("when").into_iter().chain(printed.find("unless")).min()?;
            let text = printed.get(at..)?.trim_end().trim_end_matches(';');
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            Some(Clause { text, single: PolicySet::from_policies([policy]).ok()? })
        })
        .collect()
}
