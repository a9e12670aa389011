//! Which certificates a recording holds already, for its writer, and what they say, for its readers.
//!
//! Both ends keep the same few: a writer names none that is older than [`RECORD_CERTIFICATES_MAX`] others, so a reader may
//! forget it.

use crate::event::{Certificate, CertifiedRule, Event, Judged};
use crate::wire::{Decoder, Digest, List, Wire};
use lockgate_core::limits::RECORD_CERTIFICATES_MAX;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A certificate that can be written into any recording, with what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    certificate: Certificate<'static>,
    digest: Digest,
}

impl Certified {
    /// A certificate without number and content rules, which come with the recording.
    pub fn new(certificate: Certificate<'static>) -> Self {
        let mut bytes = Vec::with_capacity(512);
        certificate.put(&mut bytes);
        Certified { digest: Digest::of(&bytes), certificate }
    }

    /// The certificate as it stands in a recording.
    pub fn numbered(&self, number: u64, content: &[CertifiedRule<'static>]) -> Certificate<'static> {
        let mut certificate = self.certificate.clone();
        certificate.number = number;
        certificate.content = List::Owned(content.to_vec());
        let looked_for = content.iter().any(|rule| rule.method != "clear");
        if looked_for {
            let statements = certificate.statements.iter().cloned().map(|mut statement| {
                let columns = statement.columns.iter().cloned().map(|column| {
                    let checked = column.method == "clear";
                    crate::event::CertifiedColumn { checked, ..column }
                });
                statement.columns = columns.collect();
                statement
            });
            certificate.statements = statements.collect();
        }
        certificate
    }
}

/// A certificate that a recording does not hold yet, and as what it is to stand there.
pub type Fresh<'c> = (&'c Certified, Certificate<'static>);

/// The certificates that one recording holds.
#[derive(Default)]
pub struct Certificates {
    written: HashMap<[u8; 32], u64>,
    last: u64,
    content: Vec<CertifiedRule<'static>>,
}

impl Certificates {
    /// The content rules of now. Certificates of others say something else.
    pub fn set_content(&mut self, content: Vec<CertifiedRule<'static>>) {
        if self.content != content {
            self.content = content;
            self.written.clear();
        }
    }

    /// The numbers of these certificates, and those which the recording does not hold yet.
    pub fn numbers<'c>(&self, own: Option<&'c Certified>, runs: &'c [Arc<Certified>]) -> (Vec<u64>, Vec<Fresh<'c>>) {
        let mut numbers = Vec::new();
        let mut fresh: Vec<Fresh<'c>> = Vec::new();
        let mut next = self.last;
        for certified in own.into_iter().chain(runs.iter().map(Arc::as_ref)) {
            let known = self.written.get(&certified.digest.0).copied();
            let known = known.or_else(|| {
                fresh
                    .iter()
                    .find(|(other, _)| other.digest == certified.digest)
                    .map(|(_, certificate)| certificate.number)
            });
            let number = known.unwrap_or_else(|| {
                next = next.saturating_add(1);
                fresh.push((certified, certified.numbered(next, &self.content)));
                next
            });
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        (numbers, fresh)
    }

    /// Notes that the recording holds it now.
    pub fn holds(&mut self, certified: &Certified, number: u64) {
        // What stays named is among the last that were written.
        if self.written.len() >= RECORD_CERTIFICATES_MAX {
            self.written.clear();
        }
        self.last = self.last.max(number);
        self.written.insert(certified.digest.0, number);
    }
}

/// The same with its own text: what can be written can be read.
fn owned(certificate: &Certificate<'_>) -> Option<Certificate<'static>> {
    let mut bytes = Vec::new();
    certificate.put(&mut bytes);
    Wire::read(&mut Decoder::new(&bytes)).ok()
}

/// What a reader keeps of the certificates that it has come by.
#[derive(Default)]
pub(crate) struct Seen {
    by_number: BTreeMap<u64, Certificate<'static>>,
}

impl Seen {
    /// Takes note of an event.
    pub(crate) fn see(&mut self, event: &Event<'_>) {
        if let Event::Certificate(certificate) = event
            && let Some(owned) = owned(certificate)
        {
            self.by_number.insert(certificate.number, owned);
            if self.by_number.len() > RECORD_CERTIFICATES_MAX {
                self.by_number.pop_first();
            }
        }
    }

    /// The certificates of a verdict, as far as they are known.
    pub(crate) fn of(&self, judged: &Judged<'_>) -> Vec<&Certificate<'static>> {
        judged.certificates.iter().filter_map(|number| self.by_number.get(number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CertifiedColumn, CertifiedStatement, VerdictKind};
    use std::borrow::Cow;

    fn certified(name: usize) -> Certified {
        let column = |column, label: Option<&'static str>| CertifiedColumn {
            column,
            name: format!("c{name}").into(),
            from: List::default(),
            derived: false,
            method: label.map_or("clear", |_| "redact").into(),
            label: label.map(Cow::Borrowed),
            why: "so".into(),
            checked: false,
        };
        let columns = vec![column(0, None), column(1, Some("pii"))];
        let statement =
            CertifiedStatement { verb: "select".into(), columns: columns.into(), uses: List::default(), unlisted: 0 };
        Certified::new(Certificate {
            number: 0,
            policies: 1,
            catalog: "v".into(),
            statements: vec![statement].into(),
            content: List::default(),
        })
    }

    fn rule(method: &'static str) -> CertifiedRule<'static> {
        CertifiedRule { label: "pii/email".into(), detectors: vec!["email".into()].into(), method: method.into() }
    }

    /// Writes what a request needs, and gives its numbers with what is new.
    fn write(to: &mut Certificates, own: &Certified, runs: &[Arc<Certified>]) -> (Vec<u64>, Vec<Certificate<'static>>) {
        let (numbers, fresh) = to.numbers(Some(own), runs);
        for (certified, certificate) in &fresh {
            to.holds(certified, certificate.number);
        }
        (numbers, fresh.into_iter().map(|(_, certificate)| certificate).collect())
    }

    #[test]
    fn a_certificate_is_written_once_and_then_named() {
        let mut to = Certificates::default();
        let (one, two) = (certified(1), Arc::new(certified(2)));
        let (numbers, fresh) = write(&mut to, &one, &[Arc::clone(&two), Arc::clone(&two)]);
        assert_eq!((numbers, fresh.len()), (vec![1, 2], 2));
        assert_eq!(
            write(&mut to, &certified(2), &[]),
            (vec![2], Vec::new()),
            "equal is the same, wherever it was made"
        );
        // What was not taken by the sink is written with the next request.
        let three = [Arc::new(certified(3))];
        let (numbers, fresh) = to.numbers(Some(&two), &three);
        assert_eq!((numbers, fresh.len()), (vec![2, 3], 1));
        let (numbers, fresh) = write(&mut to, &certified(3), &[]);
        assert_eq!((numbers, fresh.len()), (vec![3], 1));
    }

    #[test]
    fn other_content_rules_are_another_certificate() {
        let mut to = Certificates::default();
        let checked = |fresh: &[Certificate<'_>]| {
            fresh[0].statements[0].columns.iter().map(|column| column.checked).collect::<Vec<_>>()
        };
        assert_eq!(checked(&write(&mut to, &certified(1), &[]).1), [false, false]);
        to.set_content(vec![rule("redact")]);
        assert_eq!(checked(&write(&mut to, &certified(1), &[]).1), [true, false], "a masked column needs no look");
        to.set_content(vec![rule("redact")]);
        assert_eq!(write(&mut to, &certified(1), &[]), (vec![2], Vec::new()));
        to.set_content(vec![rule("clear")]);
        assert_eq!(checked(&write(&mut to, &certified(1), &[]).1), [false, false], "nothing is looked for");
    }

    #[test]
    fn what_a_writer_names_a_reader_still_knows() {
        let (mut to, mut seen) = (Certificates::default(), Seen::default());
        let mut state: usize = 1;
        for _ in 0..20 * RECORD_CERTIFICATES_MAX {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let which = (state >> 33) % (2 * RECORD_CERTIFICATES_MAX);
            let (numbers, fresh) = write(&mut to, &certified(which), &[]);
            for certificate in fresh {
                seen.see(&certificate.into());
            }
            let mut judged = Judged::new(0, VerdictKind::Allow);
            judged.certificates = numbers.into();
            let known = seen.of(&judged);
            assert_eq!(known[0].statements[0].columns[0].name, format!("c{which}"));
            assert!(seen.by_number.len() <= RECORD_CERTIFICATES_MAX && to.written.len() <= RECORD_CERTIFICATES_MAX);
        }
    }
}
