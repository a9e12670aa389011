//! A posted response, from base64 to a proven login: form, signatures, decryption. What the assertion says is read in `assertion.rs`,
//! below the element that was verified here and nowhere else.
//!
//! Whatever is in the document that is not in the narrow form of a response to one login is refused before a signature is looked at:
//! a second assertion anywhere, a signature anywhere but directly below what it signs, an identifier that is there twice. The
//! known ways to wrap a signed element into another document need one of these.

use crate::encoding::base64_decode;
use crate::encrypted::{self, Cbc, Opened};
use crate::names;
use crate::refusal::{Refusal, shown};
use crate::replay::Unspent;
use crate::request::RequestId;
use crate::settings::{ServiceProvider, WantSigned};
use crate::signature::{self, Signed};
use crate::xml::{Element, parse};
use lockgate_core::{Timestamp, limits};
use std::collections::HashSet;

/// What a response may answer.
#[derive(Clone, Copy, Debug)]
pub enum Expected<'a> {
    /// The request that this browser was sent away with.
    AnswerTo(&'a RequestId),
    /// No request: the login began at the provider. Refused unless the settings allow it.
    Unsolicited,
}

impl ServiceProvider {
    /// Verifies the `SAMLResponse` field of a form that was posted to the assertion consumer service.
    ///
    /// What it yields is no login yet: see [`Unspent`].
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn receive(&self, saml_response: &str, expected: Expected<'_>, now: Timestamp) -> Result<Unspent, Refusal> {
        if self.provider.valid_until.is_some_and(|until| now >= until) {
            return Err(Refusal::MetadataExpired);
        }
        if matches!(expected, Expected::Unsolicited) && !self.settings.allow_idp_initiated {
            return Err(Refusal::Unsolicited);
        }
        if matches!(expected, Expected::AnswerTo(id) if id.as_str().is_empty()) {
            return Err(Refusal::InResponseTo("response"));
        }
        if saml_response.len() > limits::SAML_POST_BYTES_MAX {
            return Err(Refusal::TooLarge(limits::SAML_POST_BYTES_MAX));
        }
        let bytes = base64_decode(saml_response).ok_or(Refusal::NotBase64)?;
        let root = parse(&bytes, limits::SAML_MESSAGE_BYTES_MAX)?;
        let form = Form::of(&root)?;

        let signed_response = form.signature.map(|s| signature::verify(&root, s, &self.provider.keys)).transpose()?;
        self.check_envelope(&root, &form, signed_response.is_some(), expected, now)?;

        let opened = form.encrypted.map(|sealed| self.open(sealed, signed_response.is_some())).transpose()?;
        let (assertion, vouched) = match (&opened, form.plain, form.encrypted) {
            (Some(opened), None, Some(_)) => {
                check_opened(&root, opened)?;
                (opened.element(), signed_response.map(|response| response.opened(opened)))
            }
            (None, Some(plain), None) => {
                (plain, signed_response.and_then(|response| response.below(names::ASSERTION, "Assertion")))
            }
            _ => return Err(Refusal::Form("there has to be one assertion")),
        };
        let signed_assertion =
            signature::of(assertion)?.map(|s| signature::verify(assertion, s, &self.provider.keys)).transpose()?;
        let proven = self.proven(vouched, signed_assertion)?;
        self.read_assertion(proven, expected, now)
    }

    fn open(&self, sealed: &Element, response_is_signed: bool) -> Result<Opened, Refusal> {
        let cbc = match (self.settings.allow_cbc, response_is_signed) {
            (false, _) => Cbc::Refused,
            (true, false) => Cbc::Unprotected,
            (true, true) => Cbc::Accepted,
        };
        encrypted::open(sealed, &self.settings.decryption_keys, cbc)
    }

    /// The assertion, as far as the signatures that the settings ask for are there.
    fn proven<'t>(&self, vouched: Option<Signed<'t>>, own: Option<Signed<'t>>) -> Result<Signed<'t>, Refusal> {
        match (self.settings.want_signed, vouched, own) {
            (WantSigned::Either, Some(signed), _) | (WantSigned::Either, None, Some(signed)) => Ok(signed),
            (WantSigned::Response, Some(signed), _) => Ok(signed),
            (WantSigned::Assertion, _, Some(signed)) => Ok(signed),
            (WantSigned::Both, Some(_), Some(signed)) => Ok(signed),
            (WantSigned::Either, None, None) => Err(Refusal::Unsigned("response or the assertion")),
            (WantSigned::Response | WantSigned::Both, None, _) => Err(Refusal::Unsigned("response")),
            (WantSigned::Assertion | WantSigned::Both, _, None) => Err(Refusal::Unsigned("assertion")),
        }
    }

    /// What the response says beside the assertion. Where it is not signed, this only refuses: nothing is believed because of it.
    fn check_envelope(
        &self,
        root: &Element,
        form: &Form<'_>,
        signed: bool,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(issuer) = form.issuer {
            self.check_issuer(issuer, "response")?;
        }
        match root.attribute("Destination") {
            Some(found) if found != self.settings.acs => {
                return Err(Refusal::Destination { place: "response", found: shown(found) });
            }
            // SAML bindings, section 3.5.5.2.
            None if signed => return Err(Refusal::Form("a signed response has no destination")),
            Some(_) | None => {}
        }
        self.check_made(root, "response", now)?;
        if form.status != names::SUCCESS {
            return Err(Refusal::Status(shown(form.status_detail.unwrap_or(form.status))));
        }
        let answers = match expected {
            Expected::AnswerTo(id) => Some(id.as_str()),
            Expected::Unsolicited => None,
        };
        match root.attribute("InResponseTo") == answers {
            true => Ok(()),
            false => Err(Refusal::InResponseTo("response")),
        }
    }

    /// Whether an issuer is the configured provider.
    pub(crate) fn check_issuer(&self, issuer: &Element, place: &'static str) -> Result<(), Refusal> {
        let found = issuer.text().ok_or(Refusal::Form("an issuer is not a text"))?.trim();
        let is_entity = issuer.attribute("Format").is_none_or(|format| format == names::ENTITY);
        match is_entity && found == self.provider.entity_id {
            true => Ok(()),
            false => Err(Refusal::Issuer { place, found: shown(found) }),
        }
    }

    /// Version, identifier and time of a response or an assertion; yields the time.
    pub(crate) fn check_made(
        &self,
        element: &Element,
        place: &'static str,
        now: Timestamp,
    ) -> Result<Timestamp, Refusal> {
        if element.attribute("Version") != Some("2.0") {
            return Err(Refusal::Form("its version is not 2.0"));
        }
        let id = element.attribute("ID").unwrap_or("");
        if id.is_empty() || id.len() > limits::SAML_IDENTIFIER_BYTES_MAX {
            return Err(Refusal::Form("it has no identifier, or one that is too long"));
        }
        let made = element.attribute("IssueInstant").and_then(crate::instant::instant);
        let made = made.ok_or(Refusal::Form("it does not say in UTC when it was made"))?;
        match made > now.plus_millis(self.settings.skew_ms) {
            true => Err(Refusal::NotYet(place)),
            false => Ok(made),
        }
    }
}

/// The parts of a response.
struct Form<'t> {
    issuer: Option<&'t Element>,
    signature: Option<&'t Element>,
    status: &'t str,
    status_detail: Option<&'t str>,
    plain: Option<&'t Element>,
    encrypted: Option<&'t Element>,
}

impl<'t> Form<'t> {
    fn of(root: &'t Element) -> Result<Self, Refusal> {
        if !root.is(names::PROTOCOL, "Response") {
            return Err(Refusal::Form("it is not a `Response` of SAML 2.0"));
        }
        if !root.identifiers_are_new(&mut HashSet::new()) {
            return Err(Refusal::Form("an identifier is there twice"));
        }
        let parts = [
            (names::ASSERTION, "Issuer"),
            (names::PROTOCOL, "Extensions"),
            (names::PROTOCOL, "Status"),
            (names::ASSERTION, "Assertion"),
            (names::ASSERTION, "EncryptedAssertion"),
        ];
        in_order(root, &parts)?;
        let one = |namespace, local| root.named(namespace, local).next();
        let plain = one(names::ASSERTION, "Assertion");
        let encrypted = one(names::ASSERTION, "EncryptedAssertion");
        let in_assertion = plain.and_then(|assertion| assertion.named(names::DSIG, "Signature").next());
        let signature = signature::of(root)?;
        check_census(
            root,
            usize::from(plain.is_some()) + usize::from(encrypted.is_some()),
            &[signature, in_assertion],
        )?;

        let malformed = Refusal::Form("its status is malformed");
        let code = one(names::PROTOCOL, "Status").and_then(|status| status.named(names::PROTOCOL, "StatusCode").next());
        let code = code.ok_or_else(|| malformed.clone())?;
        let detail = code.named(names::PROTOCOL, "StatusCode").next().and_then(|below| below.attribute("Value"));
        Ok(Form {
            issuer: one(names::ASSERTION, "Issuer"),
            signature,
            status: code.attribute("Value").ok_or(malformed)?,
            status_detail: detail,
            plain,
            encrypted,
        })
    }
}

/// Whether the elements directly below are among `parts`, each at most once and in that order, with no text between them. The
/// signature, which has a place in this order too, is not asked for it: providers put it first or last, and what it signs is the
/// same.
fn in_order(element: &Element, parts: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
    let mut left = parts.iter();
    let mut children = element.elements().filter(|child| !child.is(names::DSIG, "Signature"));
    let sorted = children.all(|child| left.any(|(namespace, local)| child.is(namespace, local)));
    match sorted && !element.has_text() {
        true => Ok(()),
        false => Err(Refusal::Form("it has parts that it should not have, twice, or in another order")),
    }
}

/// There are as many assertions as were found in their place, and no signature anywhere but those given.
fn check_census(root: &Element, assertions: usize, signatures: &[Option<&Element>]) -> Result<(), Refusal> {
    let (mut found, mut strayed) = (0_usize, false);
    root.walk(&mut |element| {
        // Also those of other versions, and those in namespaces that only look like SAML's.
        if matches!(element.local.as_str(), "Assertion" | "EncryptedAssertion") {
            found = found.saturating_add(1);
        }
        let known = || signatures.iter().flatten().any(|known| std::ptr::eq(*known, element));
        strayed |= element.is(names::DSIG, "Signature") && !known();
    });
    if found != assertions || found > 1 {
        return Err(Refusal::Form("there is more than one assertion, or one where none belongs"));
    }
    match strayed {
        true => Err(Refusal::SignatureForm("there is a signature where none belongs")),
        false => Ok(()),
    }
}

/// The same for an assertion that was encrypted, together with what it was encrypted in.
fn check_opened(root: &Element, opened: &Opened) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    if !root.identifiers_are_new(&mut seen) || !opened.element().identifiers_are_new(&mut seen) {
        return Err(Refusal::Form("an identifier is there twice"));
    }
    check_census(opened.element(), 1, &[signature::of(opened.element())?])
}
