//! Tokens of masked data read back, for those whom policy lets see the values.
//!
//! A label has the same tokens on every target, so that a value could come from any of them: the right to reveal the label is
//! needed on each target that carries it. What was asked is recorded before anything is answered.

use super::Gateway;
use lockgate_api::{Detokenize, Detokenizer, NotDetokenized, TokenValues};
use lockgate_core::{Label, metrics as names};
use lockgate_record::Detokenized;
use lockgate_session::{Judge, Ruling};

impl Detokenizer for Gateway {
    fn detokenize(&self, asked: &Detokenize<'_>) -> Result<Vec<TokenValues>, NotDetokenized> {
        let label: Label = asked.label.parse().map_err(|_| NotDetokenized::NoLabel)?;
        let who = asked.identity.display_chain();
        let judged = self.may_detokenize(asked, &label, &who);
        let values: Vec<TokenValues> = match &judged {
            Ok(()) => asked.tokens.iter().map(|token| self.read_token(&label, token)).collect(),
            Err(_) => Vec::new(),
        };
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let event = Detokenized {
            by: who.as_str().into(),
            client: asked.client.to_string().into(),
            label: label.as_str().into(),
            tokens: count(asked.tokens.len()),
            read: count(values.iter().filter(|value| value.is_ok()).count()),
            allowed: judged.is_ok(),
            reason: match &judged {
                Err(NotDetokenized::Denied(reason, _)) => reason.as_str().into(),
                Err(NotDetokenized::NoLabel) => "no target carries the label".into(),
                Err(NotDetokenized::Unrecordable) | Ok(()) => "".into(),
            },
        };
        if !self.log.record(event, asked.now) {
            return Err(NotDetokenized::Unrecordable);
        }
        judged.map(|()| values)
    }
}

impl Gateway {
    fn may_detokenize(&self, asked: &Detokenize<'_>, label: &Label, who: &str) -> Result<(), NotDetokenized> {
        let rules = self.rules.load_full();
        let mut carriers: Vec<_> = rules.targets.values().filter(|target| target.labels.contains(label)).collect();
        carriers.sort_by(|a, b| a.facts.name.cmp(&b.facts.name));
        if carriers.is_empty() {
            return Err(NotDetokenized::NoLabel);
        }
        for target in carriers {
            let name = &target.facts.name;
            if asked.targets.is_some_and(|scope| !scope.contains(name)) {
                return Err(NotDetokenized::Denied(
                    format!("label \"{label}\" is also on target \"{name}\", which the token is not for"),
                    "use a token that is not limited to some targets".to_owned(),
                ));
            }
            let judgement = Judge::new(&rules, target, asked.identity, asked.client, asked.now).label(label);
            for alert in &judgement.alerts {
                let severity = alert.severity.name();
                metrics::counter!(names::ALERTS_TOTAL, "severity" => severity).increment(1);
                let policy = &alert.policy;
                tracing::warn!(target: "lockgate::alert", severity, %policy, user = ?who, "alert: detokenize {label}");
            }
            match judgement.ruling {
                Ruling::Allow => {}
                Ruling::Deny(denial) => {
                    let hint = denial.hint.unwrap_or_else(|| "ask an administrator for access".to_owned());
                    return Err(NotDetokenized::Denied(denial.detail.unwrap_or(denial.message), hint));
                }
                Ruling::Hold(_) => {
                    return Err(NotDetokenized::Denied(
                        format!("to reveal label \"{label}\" on target \"{name}\" needs an approval"),
                        "read the value in a session on the target, which can wait for one".to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }

    fn read_token(&self, label: &Label, token: &str) -> TokenValues {
        let originals = self.mask_keys.detokenize(label, token).map_err(|error| error.to_string())?;
        Ok(originals.into_iter().map(|original| (original.kind.name(), original.value)).collect())
    }
}
