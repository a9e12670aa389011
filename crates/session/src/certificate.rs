//! What the recording and `lockgate explain` say of where a result's columns come from and why they are masked. It only
//! words what the analysis found and what the judge decided.

use crate::judge::{Judgement, Masks};
use crate::rules::Content;
use lockgate_core::limits::{CERTIFICATE_BYTES_MAX, CERTIFICATE_ITEMS_MAX, CERTIFICATE_ORIGINS_MAX};
use lockgate_mask::Method;
use lockgate_record::{Certificate, CertifiedColumn, CertifiedRule, CertifiedStatement, CertifiedUse, List, Origin};
use lockgate_sql::{Batch, Catalog, Effect, Outputs, Statement, Taint, Unparsable};
use std::borrow::Cow;

/// The longest name that is kept whole; those of a server are shorter.
const NAME_BYTES_MAX: usize = 128;

/// The certificate of a text: its analysis under `catalog`, and the judgement of it by the policies of version `policies`.
/// `None` where it neither has a result nor uses what is labelled.
pub fn certify(
    catalog: &Catalog,
    analysed: &Result<Batch, Unparsable>,
    judgement: &Judgement,
    policies: u64,
) -> Option<Certificate<'static>> {
    let mut room = Room { bytes: CERTIFICATE_BYTES_MAX };
    let clear = Masks::Clear;
    let statements: Vec<CertifiedStatement<'static>> = match analysed {
        Ok(batch) => {
            let masks = |at: usize| judgement.plans.get(at).map_or(&clear, |plan| &plan.masks);
            let each = batch.statements.iter().enumerate();
            each.map(|(at, statement)| room.statement(catalog, statement, masks(at))).collect()
        }
        Err(_) => {
            let masks = judgement.plans.first().map_or(&clear, |plan| &plan.masks);
            let column = room.column(catalog, 0, "*", &Taint::UNKNOWN, true, masks);
            vec![CertifiedStatement {
                verb: "unreadable".into(),
                columns: column.into_iter().collect(),
                uses: List::default(),
                unlisted: 0,
            }]
        }
    };
    let says_nothing = |s: &CertifiedStatement<'_>| s.columns.is_empty() && s.uses.is_empty() && s.unlisted == 0;
    if statements.iter().all(says_nothing) {
        return None;
    }
    Some(Certificate {
        number: 0,
        policies,
        catalog: cut(catalog.version()),
        statements: statements.into(),
        content: List::default(),
    })
}

/// The content rules, as certificates hold them.
pub fn certified_rules(rules: &[(&Content, Option<Method>)]) -> Vec<CertifiedRule<'static>> {
    let rule = |(content, method): &(&Content, Option<Method>)| CertifiedRule {
        label: Cow::Owned(content.label.to_string()),
        detectors: content
            .kinds
            .iter()
            .map(|kind| Cow::Borrowed(kind.name()))
            .chain(content.custom.iter().map(|custom| Cow::Owned(custom.name().to_owned())))
            .collect(),
        method: Cow::Borrowed(method.map_or("clear", Method::name)),
    };
    rules.iter().map(rule).collect()
}

/// Bytes of names that still fit a certificate.
struct Room {
    bytes: usize,
}

impl Room {
    fn statement(&mut self, catalog: &Catalog, statement: &Statement, masks: &Masks) -> CertifiedStatement<'static> {
        let mut columns = Vec::new();
        let mut uses = Vec::new();
        let mut unlisted: u64 = 0;
        // What these return is said by the certificates of what they run.
        let by_name = matches!(statement.effect, Effect::Execute { .. } | Effect::Fetch { .. } | Effect::Move { .. });
        match &statement.outputs {
            _ if by_name => {}
            Outputs::NoRows => {}
            Outputs::Each(taint) => columns.extend(self.column(catalog, 0, "*", taint, true, masks)),
            Outputs::Known(outputs) => {
                for (at, output) in outputs.iter().enumerate() {
                    let listed = at < CERTIFICATE_ITEMS_MAX;
                    let derived = !output.plain && !output.value.is_clean();
                    match listed.then(|| self.column(catalog, at, &output.name, &output.value, derived, masks)) {
                        Some(Some(column)) => columns.push(column),
                        Some(None) | None => unlisted = unlisted.saturating_add(1),
                    }
                }
            }
        }
        for (at, used) in statement.uses.iter().enumerate() {
            let from = origins(catalog, &used.taint);
            let bytes = used.place.len().min(NAME_BYTES_MAX).saturating_add(size(&from));
            if at >= CERTIFICATE_ITEMS_MAX || !self.take(bytes) {
                unlisted = unlisted.saturating_add(1);
                continue;
            }
            uses.push(CertifiedUse {
                how: used.how.name().into(),
                place: cut(if used.place.is_empty() { used.how.name() } else { &used.place }),
                from: from.into(),
            });
        }
        CertifiedStatement { verb: statement.verb.into(), columns: columns.into(), uses: uses.into(), unlisted }
    }

    /// The column; `None` where there is no room for it.
    fn column(
        &mut self,
        catalog: &Catalog,
        at: usize,
        name: &str,
        taint: &Taint,
        derived: bool,
        masks: &Masks,
    ) -> Option<CertifiedColumn<'static>> {
        let from = origins(catalog, taint);
        let mask = masks.column(at);
        let why = match mask {
            Some(mask) => match &mask.policy {
                Some(policy) => Cow::Owned(policy.to_string()),
                None => Cow::Borrowed("nothing permits to reveal it"),
            },
            None if from.is_empty() => Cow::Borrowed("nothing labelled"),
            None => Cow::Borrowed("it may be revealed"),
        };
        let column = CertifiedColumn {
            column: u32::try_from(at).unwrap_or(u32::MAX),
            name: cut(name),
            derived,
            method: Cow::Borrowed(mask.map_or("clear", |mask| mask.method.name())),
            label: mask.map(|mask| Cow::Owned(mask.label.to_string())),
            why,
            checked: false,
            from: from.into(),
        };
        let bytes = column.name.len().saturating_add(column.why.len()).saturating_add(size(&column.from));
        self.take(bytes).then_some(column)
    }

    fn take(&mut self, bytes: usize) -> bool {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }
}

/// The labelled columns of a taint, as certificates name them.
fn origins(catalog: &Catalog, taint: &Taint) -> Vec<Origin<'static>> {
    let mut from: Vec<Origin<'static>> = taint
        .columns()
        .iter()
        .take(CERTIFICATE_ORIGINS_MAX)
        .filter_map(|id| catalog.labelled(*id))
        .map(|column| Origin {
            column: Cow::Owned(format!("{}.{}.{}", column.schema, column.table, column.column)),
            labels: column.labels.iter().map(|label| Cow::Owned(label.to_string())).collect(),
        })
        .collect();
    if taint.is_unknown() || taint.columns().len() > from.len() {
        let labels = List::Owned(vec![Cow::Borrowed("everything labelled")]);
        from.push(Origin { column: Cow::Borrowed(""), labels });
    }
    from
}

fn size(from: &[Origin<'_>]) -> usize {
    from.iter().map(|o| o.labels.iter().map(|label| label.len()).sum::<usize>().saturating_add(o.column.len())).sum()
}

fn cut(name: &str) -> Cow<'static, str> {
    let end = name.floor_char_boundary(NAME_BYTES_MAX);
    Cow::Owned(name.get(..end).unwrap_or_default().to_owned())
}
