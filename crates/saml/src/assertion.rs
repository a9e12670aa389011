//! What a proven assertion says: whether it is meant for us, here and now (SAML profiles, section 4.1.4.3), and about whom.

use crate::instant::instant;
use crate::names;
use crate::refusal::{Refusal, shown};
use crate::replay::{Ticket, Unspent};
use crate::response::Expected;
use crate::settings::{ServiceProvider, UserSource};
use crate::signature::Signed;
use crate::xml::Element;
use lockgate_core::{Timestamp, is_name, limits};
use std::collections::BTreeSet;

/// A person, as a provider has proven them. Of kind human, acting for nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name of the settings (`identity.saml[].name`).
    pub provider: String,
    /// The provider's own name (`entityID`).
    pub issuer: String,
    /// The user name.
    pub user: String,
    /// The groups; empty where no attribute is configured for them.
    pub groups: BTreeSet<String>,
    /// Every attribute whose values are texts, in the provider's order.
    pub attributes: Vec<PersonAttribute>,
    /// The subject, where the provider names one.
    pub subject: Option<NameId>,
    /// What the provider calls its session with the person.
    pub session_index: Option<String>,
    /// When the provider's session with the person ends; a session here must not outlive it.
    pub session_until: Option<Timestamp>,
    /// When the person proved themselves to the provider.
    pub authenticated_at: Timestamp,
    /// How they did (`AuthnContextClassRef`).
    pub context: Option<String>,
    /// The assertion's identifier, and until when it must not be accepted again.
    pub assertion: Ticket,
}

/// The subject of an assertion (core, section 2.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameId {
    /// The name itself.
    pub value: String,
    /// What sort of name it is.
    pub format: Option<String>,
    /// The domain it belongs to.
    pub name_qualifier: Option<String>,
    /// For whom it was made.
    pub sp_name_qualifier: Option<String>,
}

/// What a provider says about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonAttribute {
    /// Its name, often a URI.
    pub name: String,
    /// A name for people.
    pub friendly_name: Option<String>,
    /// Its values.
    pub values: Vec<String>,
}

impl ServiceProvider {
    /// Reads an assertion that a signature covers.
    pub(crate) fn read_assertion(
        &self,
        proven: Signed<'_>,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<Unspent, Refusal> {
        let assertion = proven.element();
        let parts = Parts::of(assertion)?;
        self.check_issuer(parts.issuer, "assertion")?;
        let made = self.check_made(assertion, "assertion", now)?;
        let ends = made.plus_millis(limits::SAML_ASSERTION_MS_MAX);
        if !self.before(now, ends) {
            return Err(Refusal::Expired("assertion"));
        }
        let conditions_end = self.check_conditions(parts.conditions, now)?;
        let (subject, confirmation_end) = self.check_subject(parts.subject, expected, now)?;
        let until = conditions_end.unwrap_or(ends).min(confirmation_end).min(ends);

        let authn = parts.authn;
        let authenticated_at =
            time(authn, "AuthnInstant")?.ok_or(Refusal::Form("it does not say when the person logged in"))?;
        if authenticated_at > now.plus_millis(self.settings.skew_ms) {
            return Err(Refusal::NotYet("login at the provider"));
        }
        let session_until = time(authn, "SessionNotOnOrAfter")?;
        if session_until.is_some_and(|end| !self.before(now, end)) {
            return Err(Refusal::Expired("session at the provider"));
        }
        let context = self.check_context(authn)?;
        let attributes = attributes(assertion)?;
        let login = Login {
            provider: self.settings.name.clone(),
            issuer: self.provider.entity_id.clone(),
            user: self.user(subject.as_ref(), &attributes)?,
            groups: self.groups(&attributes)?,
            attributes: attributes.into_iter().filter_map(|a| a.readable).collect(),
            subject,
            session_index: authn.attribute("SessionIndex").map(str::to_owned),
            session_until,
            authenticated_at,
            context,
            assertion: Ticket {
                issuer: self.provider.entity_id.clone(),
                id: assertion.attribute("ID").unwrap_or_default().to_owned(),
                until: until.plus_millis(self.settings.skew_ms),
            },
        };
        Ok(Unspent::new(login))
    }

    /// Whether `now` is before `end`, by a clock that may be off.
    fn before(&self, now: Timestamp, end: Timestamp) -> bool {
        now < end.plus_millis(self.settings.skew_ms)
    }

    fn check_window(
        &self,
        element: &Element,
        place: &'static str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        if time(element, "NotBefore")?.is_some_and(|start| now.plus_millis(self.settings.skew_ms) < start) {
            return Err(Refusal::NotYet(place));
        }
        let end = time(element, "NotOnOrAfter")?;
        match end.is_some_and(|end| !self.before(now, end)) {
            true => Err(Refusal::Expired(place)),
            false => Ok(end),
        }
    }

    /// Core, section 2.5.1. Every restriction of the audience has to name us; a condition that is not known is not met.
    fn check_conditions(&self, conditions: &Element, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let mut restricted = false;
        for condition in conditions.elements() {
            if condition.is(names::ASSERTION, "AudienceRestriction") {
                let audiences = condition.named(names::ASSERTION, "Audience").map(|a| a.text().map(str::trim));
                let mut audiences = audiences
                    .collect::<Option<Vec<_>>>()
                    .ok_or(Refusal::Form("an audience is not a text"))?
                    .into_iter();
                let first = audiences.as_slice().first().copied().unwrap_or("");
                if !audiences.any(|audience| audience == self.settings.entity_id) {
                    return Err(Refusal::Destination { place: "audience", found: shown(first) });
                }
                restricted = true;
            } else if !condition.is(names::ASSERTION, "OneTimeUse")
                && !condition.is(names::ASSERTION, "ProxyRestriction")
            {
                return Err(Refusal::Form("it has a condition that is not known"));
            }
        }
        match restricted {
            true => self.check_window(conditions, "assertion", now),
            false => Err(Refusal::Form("it does not say for whom it is")),
        }
    }

    /// The subject, and until when one of its bearer confirmations counts here.
    fn check_subject(
        &self,
        subject: &Element,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<(Option<NameId>, Timestamp), Refusal> {
        let mut name_id = None;
        let mut end: Result<Timestamp, Refusal> = Err(Refusal::Form("its subject has no bearer confirmation"));
        for part in subject.elements() {
            if part.is(names::ASSERTION, "NameID") && name_id.is_none() {
                name_id = Some(name_id_of(part)?);
            } else if part.is(names::ASSERTION, "SubjectConfirmation") {
                if part.attribute("Method") == Some(names::BEARER) && end.is_err() {
                    end = self.check_bearer(part, expected, now);
                }
            } else {
                return Err(Refusal::Form("its subject has parts that are not known"));
            }
        }
        Ok((name_id, end?))
    }

    fn check_bearer(
        &self,
        confirmation: &Element,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<Timestamp, Refusal> {
        let data = confirmation.named(names::ASSERTION, "SubjectConfirmationData").next();
        let data = data.ok_or(Refusal::Form("its subject's confirmation is empty"))?;
        let recipient = data.attribute("Recipient").unwrap_or("");
        if recipient != self.settings.acs {
            return Err(Refusal::Destination { place: "recipient", found: shown(recipient) });
        }
        let answers = match expected {
            Expected::AnswerTo(id) => Some(id.as_str()),
            Expected::Unsolicited => None,
        };
        if data.attribute("InResponseTo") != answers {
            return Err(Refusal::InResponseTo("assertion"));
        }
        let end = self.check_window(data, "assertion's confirmation", now)?;
        end.ok_or(Refusal::Form("its subject's confirmation has no end"))
    }

    fn check_context(&self, authn: &Element) -> Result<Option<String>, Refusal> {
        let context = authn.named(names::ASSERTION, "AuthnContext").next();
        let class = context.and_then(|c| c.named(names::ASSERTION, "AuthnContextClassRef").next());
        let class = match class {
            Some(class) => Some(class.text().ok_or(Refusal::Form("its context is not a text"))?.trim().to_owned()),
            None => None,
        };
        let wanted = &self.settings.authn_contexts;
        match wanted.is_empty() || class.as_ref().is_some_and(|class| wanted.contains(class)) {
            true => Ok(class),
            false => Err(Refusal::Context(shown(&class.unwrap_or_default()))),
        }
    }

    fn user(&self, subject: Option<&NameId>, attributes: &[Found]) -> Result<String, Refusal> {
        let name = match &self.settings.user {
            UserSource::NameId => {
                let subject = subject.ok_or_else(|| Refusal::User("the assertion has no `NameID`".to_owned()))?;
                if subject.format.as_deref() == Some(names::TRANSIENT) {
                    return Err(Refusal::User(
                        "the `NameID` is transient, another one at each login; configure `user_attribute`".to_owned(),
                    ));
                }
                subject.value.clone()
            }
            UserSource::Attribute(name) => {
                let values = values_of(attributes, name).map_err(Refusal::User)?;
                match values.as_slice() {
                    [value] => (*value).to_owned(),
                    [] => return Err(Refusal::User(format!("the assertion has no attribute `{}`", shown(name)))),
                    _ => return Err(Refusal::User(format!("the attribute `{}` has several values", shown(name)))),
                }
            }
        };
        match is_name(&name) {
            true => Ok(name),
            false => Err(Refusal::User(format!("`{}` cannot be a name", shown(&name)))),
        }
    }

    fn groups(&self, attributes: &[Found]) -> Result<BTreeSet<String>, Refusal> {
        let Some(attribute) = &self.settings.groups_attribute else {
            return Ok(BTreeSet::new());
        };
        let values = values_of(attributes, attribute).map_err(Refusal::Groups)?;
        if let Some(bad) = values.iter().find(|value| !is_name(value)) {
            return Err(Refusal::Groups(format!("`{}` cannot be a name", shown(bad))));
        }
        let groups: BTreeSet<String> = values.into_iter().map(str::to_owned).collect();
        match groups.len() > limits::GROUPS_MAX {
            // Rights that depend on a group that was dropped would be judged wrongly.
            true => Err(Refusal::Groups(format!("there are more than {}", limits::GROUPS_MAX))),
            false => Ok(groups),
        }
    }
}

/// The parts of an assertion that there have to be.
struct Parts<'t> {
    issuer: &'t Element,
    subject: &'t Element,
    conditions: &'t Element,
    authn: &'t Element,
}

impl<'t> Parts<'t> {
    fn of(assertion: &'t Element) -> Result<Self, Refusal> {
        let head = [
            (names::ASSERTION, "Issuer"),
            (names::ASSERTION, "Subject"),
            (names::ASSERTION, "Conditions"),
            (names::ASSERTION, "Advice"),
        ];
        let is_statement =
            |e: &Element| e.is(names::ASSERTION, "AuthnStatement") || e.is(names::ASSERTION, "AttributeStatement");
        let mut left = head.iter();
        let mut children = assertion
            .elements()
            .filter(|child| !child.is(names::DSIG, "Signature"))
            .skip_while(|child| left.any(|(namespace, local)| child.is(namespace, local)));
        if !children.all(is_statement) || assertion.has_text() {
            return Err(Refusal::Form("the assertion has parts that it should not have, twice, or in another order"));
        }
        let mut statements = assertion.named(names::ASSERTION, "AuthnStatement");
        let (Some(authn), None) = (statements.next(), statements.next()) else {
            return Err(Refusal::Form("the assertion has to say once how the person logged in"));
        };
        let one = |local, missing| assertion.named(names::ASSERTION, local).next().ok_or(Refusal::Form(missing));
        Ok(Parts {
            issuer: one("Issuer", "the assertion has no issuer")?,
            subject: one("Subject", "the assertion has no subject")?,
            conditions: one("Conditions", "the assertion has no conditions")?,
            authn,
        })
    }
}

/// An attribute as it is there; it is readable unless a value is not a text.
struct Found {
    name: String,
    friendly_name: Option<String>,
    readable: Option<PersonAttribute>,
}

fn attributes(assertion: &Element) -> Result<Vec<Found>, Refusal> {
    let mut found = Vec::new();
    let mut count = 0_usize;
    for statement in assertion.named(names::ASSERTION, "AttributeStatement") {
        check_statement(statement)?;
        for attribute in statement.named(names::ASSERTION, "Attribute") {
            let name = attribute.attribute("Name").unwrap_or("");
            if name.is_empty() {
                return Err(Refusal::Form("an attribute has no name"));
            }
            let mut values = Some(Vec::new());
            for value in attribute.elements() {
                if !value.is(names::ASSERTION, "AttributeValue") {
                    return Err(Refusal::Form("an attribute has parts that are not known"));
                }
                count = count.saturating_add(1);
                let is_nil = matches!(value.attribute_in(names::XSI, "nil").map(str::trim), Some("true" | "1"));
                match value.text() {
                    Some("") if is_nil => {}
                    Some(text) => values.iter_mut().for_each(|v: &mut Vec<String>| v.push(text.to_owned())),
                    None => values = None,
                }
            }
            count = count.saturating_add(1);
            if count > limits::SAML_VALUES_MAX {
                return Err(Refusal::Form("it has too many attributes"));
            }
            let (name, friendly_name) = (name.to_owned(), attribute.attribute("FriendlyName").map(str::to_owned));
            let readable = values.map(|values| PersonAttribute {
                name: name.clone(),
                friendly_name: friendly_name.clone(),
                values,
            });
            found.push(Found { name, friendly_name, readable });
        }
    }
    Ok(found)
}

fn check_statement(statement: &Element) -> Result<(), Refusal> {
    if statement.named(names::ASSERTION, "EncryptedAttribute").next().is_some() {
        return Err(Refusal::Encryption(
            "encrypted attributes are not accepted; let the provider encrypt the assertion",
        ));
    }
    match statement.elements().all(|e| e.is(names::ASSERTION, "Attribute")) && !statement.has_text() {
        true => Ok(()),
        false => Err(Refusal::Form("its attributes are malformed")),
    }
}

/// The values of the attributes of this name, or where there is none, of those that people call that.
fn values_of<'a>(attributes: &'a [Found], name: &str) -> Result<Vec<&'a str>, String> {
    let mut matching: Vec<&Found> = attributes.iter().filter(|a| a.name == name).collect();
    if matching.is_empty() {
        matching = attributes.iter().filter(|a| a.friendly_name.as_deref() == Some(name)).collect();
    }
    // Two attributes that only people call the same are not the same.
    if matching.iter().any(|a| matching.first().is_some_and(|first| first.name != a.name)) {
        return Err(format!("several attributes are called `{}`", shown(name)));
    }
    let mut values = Vec::new();
    for attribute in matching {
        let readable =
            attribute.readable.as_ref().ok_or_else(|| format!("a value of `{}` is not a text", shown(name)))?;
        values.extend(readable.values.iter().map(String::as_str));
    }
    Ok(values)
}

fn name_id_of(element: &Element) -> Result<NameId, Refusal> {
    let value = element.text().ok_or(Refusal::Form("a `NameID` is not a text"))?.to_owned();
    if value.is_empty() || value.len() > limits::SAML_IDENTIFIER_BYTES_MAX {
        return Err(Refusal::Form("a `NameID` is empty or too long"));
    }
    let attribute = |name| element.attribute(name).map(str::to_owned);
    Ok(NameId {
        value,
        format: attribute("Format"),
        name_qualifier: attribute("NameQualifier"),
        sp_name_qualifier: attribute("SPNameQualifier"),
    })
}

fn time(element: &Element, attribute: &str) -> Result<Option<Timestamp>, Refusal> {
    match element.attribute(attribute) {
        Some(text) => instant(text).map(Some).ok_or(Refusal::Form("a time is not in UTC")),
        None => Ok(None),
    }
}
