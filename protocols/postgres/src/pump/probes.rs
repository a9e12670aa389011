//! Comparisons of labelled columns with values: which of them a request makes within a budget, with which value each, and
//! what the target's answer says of them.

use super::Pump;
use crate::prepare::Prepared;
use lockgate_session::wire::Io;
use lockgate_session::{Charge, Probing};
use lockgate_sql::Operand;
use std::sync::Arc;

/// An EXECUTE and what it runs.
pub(super) struct Executed {
    /// Its place in the request's text.
    pub(super) statement: usize,
    /// What its name stands for.
    pub(super) subject: Arc<Prepared>,
    /// Its arguments, where they are constants.
    pub(super) values: Vec<Option<String>>,
}

/// The comparisons that a request makes.
#[derive(Default)]
pub(super) struct Compared(Vec<One>);

struct One {
    charge: Charge,
    statement: usize,
    value: Option<Vec<u8>>,
    rows_tell: bool,
}

impl Compared {
    /// What the statements of a text compare, with these parameters, and what they run by name.
    pub(super) fn of(subject: &Prepared, parameters: &[(Option<Box<[u8]>>, u16)], executed: &[Executed]) -> Compared {
        let mut all = Vec::new();
        for charge in &subject.judgement.charges {
            let value = |number: usize| {
                let (value, format) = parameters.get(number.checked_sub(1)?)?;
                Some((value.as_deref(), *format != 0))
            };
            all.extend(One::of(subject, charge, charge.statement, &value));
        }
        for run in executed {
            for charge in &run.subject.judgement.charges {
                let value = |number: usize| {
                    let value = run.values.get(number.checked_sub(1)?)?.as_ref()?;
                    Some((Some(value.as_bytes()), false))
                };
                all.extend(One::of(&run.subject, charge, run.statement, &value));
            }
        }
        Compared(all)
    }

    /// As the session takes them.
    pub(super) fn probing(&self) -> Vec<Probing<'_>> {
        let probing = self.0.iter().map(|one| Probing {
            charge: &one.charge,
            statement: one.statement,
            value: one.value.as_deref(),
            rows_tell: one.rows_tell,
        });
        probing.collect()
    }
}

/// A parameter's value, NULL as `None`, and whether it is binary.
type Value<'a> = (Option<&'a [u8]>, bool);

impl One {
    fn of<'a>(
        subject: &Prepared,
        charge: &Charge,
        statement: usize,
        parameter: &dyn Fn(usize) -> Option<Value<'a>>,
    ) -> Option<One> {
        let used = subject.statements().get(charge.statement)?.uses.get(charge.used)?;
        let probe = used.probe.as_ref()?;
        let value = match &probe.operand {
            Operand::Constant(text) => probe.canonical(Some(text.as_bytes()), false),
            // A value that is not known is taken for another each time.
            Operand::Parameter(number) => parameter(*number).and_then(|(value, binary)| probe.canonical(value, binary)),
        };
        Some(One { charge: charge.clone(), statement, value, rows_tell: probe.rows_tell })
    }
}

impl Pump {
    /// The statement at `statement` of a request has ended with this tag.
    pub(super) fn told_by_tag(&mut self, request: u64, statement: usize, tag: &str, io: &Io) {
        let rows = tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        self.session.answered(request, statement, rows, io.now);
    }
}
