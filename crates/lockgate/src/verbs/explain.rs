//! `lockgate explain`: what policy makes of a statement, which policies say so and where they are written, and where each
//! output column comes from.
//!
//! The exit code is that of the verdict: 0 allowed, 3 denied, 4 held.

use crate::cli::{ExplainArgs, Global};
use crate::exit::{Code, Ended};
use crate::gateway::{Version, build_version};
use crate::output::{self, Output};
use crate::{catalog, place, when};
use lockgate_core::{Action, Database, Identity};
use lockgate_mask::MaskKeys;
use lockgate_policy::{Miss, Question, RequestContext, Resource, SqlContext};
use lockgate_record::{Certificate, Certified, CertifiedRule, Origin};
use lockgate_session::{Judge, Judgement, Ruling, TargetRules, certified_rules, certify};
use lockgate_sql::facts::CatalogFacts;
use lockgate_sql::{Batch, Catalog, Context, Outputs, Taint, Unparsable};
use serde::Serialize;
use std::sync::Arc;

/// What is printed.
#[derive(Serialize)]
struct Explained {
    verdict: &'static str,
    why: String,
    hint: Option<String>,
    policies: Vec<String>,
    asked: Vec<Asked>,
    columns: Vec<ColumnView>,
    uses: Vec<UseView>,
    content: Vec<ContentView>,
    near: Vec<String>,
    catalog: &'static str,
}

#[derive(Serialize)]
struct Asked {
    action: &'static str,
    object: String,
}

#[derive(Serialize)]
struct ColumnView {
    statement: usize,
    column: String,
    from: Vec<String>,
    mask: Option<MaskView>,
    why: String,
    checked: bool,
}

/// A use of labelled values other than as output.
#[derive(Serialize)]
struct UseView {
    statement: usize,
    how: String,
    place: String,
    from: Vec<String>,
}

/// A content rule, and whether it looks for anything.
#[derive(Serialize)]
struct ContentView {
    label: String,
    detectors: Vec<String>,
    method: String,
}

#[derive(Serialize)]
struct MaskView {
    label: String,
    method: String,
    policy: String,
}

/// Runs the verb.
pub async fn run(global: &Global, output: Output, args: ExplainArgs) -> anyhow::Result<()> {
    let (loaded, missing) = place::load_here(&place::config_path(global)?)?;
    for name in missing {
        output::words(&format!("warning: `{name}` is not set here"))?;
    }
    let database: Database = args.target.parse().map_err(|error| Ended::new(Code::Usage, format!("{error}")))?;
    let identity = Identity {
        user: args.user,
        groups: args.groups.into_iter().collect(),
        kind: args.kind,
        directories: Vec::new(),
        on_behalf_of: args.chain.principals(),
        token_id: None,
        actions: None,
    };
    // What `hash` and `token` would give is not shown, so any key serves.
    let Version { rules, targets } = build_version(loaded, 1, Arc::new(MaskKeys::new(&[0; 32])), None)?;
    let known = rules.targets.get(&database.target);
    let route = targets.route(&database.target, database.database.as_deref(), &identity);
    let (Some(target), Some(route)) = (known, route) else {
        return Err(Ended::new(Code::Usage, format!("no target or database is called `{}`", args.target)).into());
    };
    let (facts, live) = match catalog::ask(&route).await {
        Ok(facts) => (facts, true),
        Err(error) => {
            output::words(&format!(
                "the catalog of {} cannot be read ({error:#}): every column counts as labelled, and what a condition looks at is \
                 not seen here",
                database.target
            ))?;
            (CatalogFacts::default(), false)
        }
    };
    let catalog = Catalog::build(facts, &target.columns, &target.safe_functions);
    let context = Context { catalog: &catalog, search_path: catalog.search_path(), path_known: live };
    let now = when::now();
    let judge = |rules| Judge::new(rules, target, &identity, args.client_ip, now);
    let connect = judge(&rules).connect();
    let mut analysed = lockgate_sql::analyze(&args.sql, &context);
    if let (false, Ok(batch)) = (live, &mut analysed) {
        batch.statements.iter_mut().for_each(|statement| doubt(&mut statement.outputs));
    }
    let judgement = match (&connect.ruling, &analysed) {
        (Ruling::Deny(_), _) => connect,
        (_, Ok(batch)) => judge(&rules).batch(&catalog, batch),
        (_, Err(_)) => judge(&rules).unreadable(&catalog),
    };
    let request = RequestContext { client_ip: args.client_ip, now, ..RequestContext::default() };
    let near = match &judgement.ruling {
        Ruling::Deny(denial) if denial.policies.is_empty() => {
            near_misses(&rules.policies, &identity, target, &judgement, analysed.as_ref().ok(), &request)
        }
        _ => Vec::new(),
    };
    let content = certified_rules(&judge(&rules).content().0);
    // The same that the recording of a session would hold.
    let certificate = certify(&catalog, &analysed, &judgement, rules.policies.version())
        .map(|certificate| Certified::new(certificate).numbered(0, &content));
    let explained = explain(&judgement, certificate.as_ref(), &content, &analysed, near, live);
    if output.is_table() {
        output::print(&told(&explained))?;
    } else {
        output.data(&explained)?;
    }
    match judgement.ruling {
        Ruling::Allow => Ok(()),
        Ruling::Deny(_) => Err(Ended::quietly(Code::Denied).into()),
        Ruling::Hold(_) => Err(Ended::quietly(Code::Waiting).into()),
    }
}

/// Nobody could be asked what a statement's names stand for: any labelled value may be in its columns.
fn doubt(outputs: &mut Outputs) {
    match outputs {
        Outputs::NoRows => {}
        Outputs::Known(outputs) => {
            for output in outputs {
                (output.value, output.plain) = (Taint::UNKNOWN, false);
            }
        }
        Outputs::Each(taint) => *taint = Taint::UNKNOWN,
    }
}

fn explain(
    judgement: &Judgement,
    certificate: Option<&Certificate<'_>>,
    content: &[CertifiedRule<'_>],
    analysed: &Result<Batch, Unparsable>,
    near: Vec<String>,
    live: bool,
) -> Explained {
    let (verdict, mut why, hint) = match &judgement.ruling {
        Ruling::Allow => ("allow", String::new(), None),
        Ruling::Deny(denial) => ("deny", denial.detail.clone().unwrap_or(denial.message.clone()), denial.hint.clone()),
        Ruling::Hold(needs) => {
            let need = |need: &lockgate_policy::ApprovalNeed| {
                format!("{} of {} must approve: {}", need.quorum, need.groups.join(" or "), need.policy)
            };
            ("hold", needs.iter().map(need).collect::<Vec<_>>().join("; "), None)
        }
    };
    if let Err(error) = analysed {
        why = format!("the statement cannot be read ({error}), so it counts as doing everything; {why}");
    }
    Explained {
        verdict,
        why,
        hint,
        policies: judgement.policies.iter().map(ToString::to_string).collect(),
        asked: judgement
            .asked
            .iter()
            .map(|(action, object)| Asked { action: action.name(), object: object.clone() })
            .collect(),
        columns: certificate.map(columns).unwrap_or_default(),
        uses: certificate.map(uses).unwrap_or_default(),
        content: content
            .iter()
            .map(|rule| ContentView {
                label: rule.label.to_string(),
                detectors: rule.detectors.iter().map(ToString::to_string).collect(),
                method: rule.method.to_string(),
            })
            .collect(),
        near,
        catalog: if live { "live" } else { "empty" },
    }
}

fn columns(certificate: &Certificate<'_>) -> Vec<ColumnView> {
    let each = (1_usize..).zip(certificate.statements.iter());
    each.flat_map(|(statement, certified)| {
        certified.columns.iter().map(move |column| ColumnView {
            statement,
            column: column.name.to_string(),
            from: origins(&column.from),
            mask: column.label.as_ref().map(|label| MaskView {
                label: label.to_string(),
                method: column.method.to_string(),
                policy: column.why.to_string(),
            }),
            why: column.why.to_string(),
            checked: column.checked,
        })
    })
    .collect()
}

fn uses(certificate: &Certificate<'_>) -> Vec<UseView> {
    let each = (1_usize..).zip(certificate.statements.iter());
    each.flat_map(|(statement, certified)| {
        certified.uses.iter().map(move |used| UseView {
            statement,
            how: used.how.to_string(),
            place: used.place.to_string(),
            from: origins(&used.from),
        })
    })
    .collect()
}

fn origins(from: &[Origin<'_>]) -> Vec<String> {
    from.iter()
        .map(|origin| match &*origin.column {
            "" => "unknown origin, which counts as everything labelled".to_owned(),
            column => format!("{column} ({})", origin.labels.join(", ")),
        })
        .collect()
}

/// The permits that came closest to the first thing that nothing permits.
fn near_misses(
    policies: &lockgate_policy::Policies,
    identity: &Identity,
    target: &TargetRules,
    judgement: &Judgement,
    batch: Option<&Batch>,
    request: &RequestContext,
) -> Vec<String> {
    let mut context = request.clone();
    if let Some(statement) = batch.and_then(|batch| batch.statements.first()) {
        context.sql = Some(SqlContext {
            verb: statement.verb.to_owned(),
            tables: statement.facts.tables.iter().cloned().collect(),
            has_where: statement.facts.has_where,
            has_limit: statement.facts.has_limit,
            statement_count: 1,
            opaque: statement.facts.opaque,
        });
    }
    let facts = &target.facts;
    for (action, object) in
        judgement.asked.iter().filter(|(action, _)| !matches!(action, Action::Reveal | Action::Infer))
    {
        let resource = match object.split_once('/') {
            Some((_, name)) => Resource::Table { target: facts, name },
            None => Resource::Target(facts),
        };
        let question = Question { identity, action: *action, resource, context: &context };
        let explanation = policies.explain(&question);
        if !explanation.near.is_empty() {
            return explanation
                .near
                .iter()
                .map(|near| {
                    let misses: Vec<&str> = near.misses.iter().map(Miss::text).collect();
                    format!("{} would permit {action} if this held: {}", near.policy, misses.join(" and "))
                })
                .collect();
        }
    }
    Vec::new()
}

fn told(explained: &Explained) -> String {
    let mut text = format!("verdict: {}\n", explained.verdict);
    if !explained.why.is_empty() {
        text.push_str(&format!("why: {}\n", explained.why));
    }
    if let Some(hint) = &explained.hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}:\n"));
            for line in lines {
                text.push_str(&format!("  {line}\n"));
            }
        }
    };
    part("asked", explained.asked.iter().map(|a| format!("{} on {}", a.action, a.object)).collect());
    part("policies", explained.policies.clone());
    part("close", explained.near.clone());
    let several = explained.columns.iter().any(|c| c.statement > 1);
    let several = several || explained.uses.iter().any(|u| u.statement > 1);
    let place = |statement: usize| if several { format!("statement {statement} ") } else { String::new() };
    let made_of = |from: &[String]| if from.is_empty() { "nothing labelled".to_owned() } else { from.join(", ") };
    let column = |c: &ColumnView| {
        let line = format!("{}{} <- {}", place(c.statement), c.column, made_of(&c.from));
        let checked = if c.checked { "; content rules look into it" } else { "" };
        match &c.mask {
            None if c.from.is_empty() => format!("{line}{checked}"),
            None => format!("{line}: clear ({}){checked}", c.why),
            Some(mask) => format!("{line}: {} for {} ({})", mask.method, mask.label, mask.policy),
        }
    };
    let used = |u: &UseView| format!("{}{} in {} <- {}", place(u.statement), u.how, u.place, made_of(&u.from));
    let rule = |rule: &ContentView| {
        let detectors = rule.detectors.join(", ");
        match rule.method.as_str() {
            "clear" => format!("{detectors}: not looked for, {} may be revealed", rule.label),
            method => format!("{detectors}: {method} for {}, wherever found", rule.label),
        }
    };
    part("columns", explained.columns.iter().map(column).collect());
    part("uses", explained.uses.iter().map(used).collect());
    part("content", explained.content.iter().map(rule).collect());
    lockgate_record::visible(&text).into_owned()
}
