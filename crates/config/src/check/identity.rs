//! Where identities come from: what is written about each provider, checked. Nobody is asked here; whether a provider answers is
//! for the running gateway to find out.

use super::Checker;
use crate::model::{ALGORITHMS, ALGORITHMS_USUAL, Admin, Oidc, Saml, SamlSigned, Scim, TokenCheck};
use crate::raw::{self, OneOrMore, Text};
use lockgate_core::{IdentityKind, Secret, is_name, limits};
use lockgate_policy::nearest;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A longer list is a mistake.
const LIST_MAX: usize = 64;

impl Checker<'_, '_> {
    /// Those who have a role: `what` is the word for one of them.
    pub(super) fn with_role(&mut self, written: &[Text], what: &str) -> Vec<Admin> {
        let mut all = Vec::new();
        for text in written {
            let Some(value) = self.fill(text) else { continue };
            match value.split_once(':') {
                Some(("group", name)) if !name.is_empty() => all.push(Admin::Group(name.to_owned())),
                Some(("user", name)) if !name.is_empty() => all.push(Admin::User(name.to_owned())),
                _ => self.wrong(text, format!("`{value}` is not {what}: write `group:NAME` or `user:NAME`")),
            }
        }
        all
    }

    pub(super) fn providers(&mut self, raw: &raw::Identity) -> (Vec<Oidc>, Vec<Saml>) {
        let (mut oidc, mut saml): (Vec<Oidc>, Vec<Saml>) = (Vec::new(), Vec::new());
        for entry in raw.oidc.iter().map(|entry| &entry.value) {
            let Some(checked) = self.oidc(entry) else { continue };
            self.new_name(&entry.name, &checked.name, oidc.iter().map(|known| known.name.as_str()));
            oidc.push(checked);
        }
        for entry in raw.saml.iter().map(|entry| &entry.value) {
            let Some(checked) = self.saml(entry) else { continue };
            let known = oidc.iter().map(|known| &known.name).chain(saml.iter().map(|known| &known.name));
            self.new_name(&entry.name, &checked.name, known.map(String::as_str));
            saml.push(checked);
        }
        (oidc, saml)
    }

    /// A login says by its provider's name who vouched for it.
    fn new_name<'k>(&mut self, text: &Text, name: &str, mut known: impl Iterator<Item = &'k str>) {
        if known.any(|known| known == name) {
            self.wrong(text, format!("there is another provider `{name}`"));
        }
        if name == "local" {
            self.wrong(text, "`local` stands for the gateway's own users");
        }
    }

    fn saml(&mut self, raw: &raw::Saml) -> Option<Saml> {
        let name = self.provider_name(&raw.name);
        let metadata = self.file(&raw.metadata);
        let signed = [
            ("either", SamlSigned::Either),
            ("response", SamlSigned::Response),
            ("assertion", SamlSigned::Assertion),
            ("both", SamlSigned::Both),
        ];
        let answers = [("yes", true), ("no", false), ("true", true), ("false", false)];
        let user_prefix = self.user_prefix(raw.user_prefix.as_ref());
        Some(Saml {
            entity_id: self.attribute(raw.entity_id.as_ref()),
            user_attribute: self.attribute(raw.user_attribute.as_ref()),
            user_prefix,
            groups_attribute: self.attribute(raw.groups_attribute.as_ref()),
            groups: self.groups(&raw.groups),
            want_signed: self.word(raw.want_signed.as_ref(), "something to be signed", &signed, SamlSigned::Either),
            allow_idp_initiated: self.word(raw.allow_idp_initiated.as_ref(), "an answer", &answers, false),
            allow_cbc: self.word(raw.allow_cbc.as_ref(), "an answer", &answers, false),
            authn_contexts: self.names(&raw.authn_contexts, "a way to log in"),
            signing: raw.signing.as_ref().and_then(|files| self.key_files(files)),
            decryption: raw.decryption.iter().filter_map(|files| self.key_files(files)).collect(),
            name: name?,
            metadata: metadata?,
        })
    }

    fn attribute(&mut self, text: Option<&Text>) -> Option<String> {
        let text = text?;
        let value = self.fill(text)?;
        if value.trim().is_empty() {
            self.wrong(text, format!("`{value}` is no name"));
        }
        Some(value)
    }

    fn user_prefix(&mut self, text: Option<&Text>) -> String {
        let prefix = self.optional(text).unwrap_or_default();
        if let Some(text) = text.filter(|_| !is_name(&format!("{prefix}x"))) {
            self.wrong(text, format!("`{prefix}` cannot begin a user name"));
        }
        prefix
    }

    fn oidc(&mut self, raw: &raw::Oidc) -> Option<Oidc> {
        let name = self.provider_name(&raw.name);
        let issuer = self.issuer(&raw.issuer);
        let client_id = self.word_of_a_client(&raw.client_id);
        let client_secret = raw.client_secret.as_ref().and_then(|text| self.fill(text)).map(Secret::new);
        let audiences = self.names(&raw.audiences, "an audience");
        let authorized_parties = self.names(&raw.authorized_parties, "a client");
        let algorithms = self.algorithms(&raw.algorithms);
        let required_claims = self.required_claims(&raw.required_claims);
        let scopes = match &raw.scopes {
            None => vec!["profile".to_owned(), "email".to_owned()],
            Some(scopes) => self.scopes(scopes),
        };
        let user_claim = self.claim(raw.user_claim.as_ref()).unwrap_or_else(|| "email".to_owned());
        let groups_claim = self.claim(raw.groups_claim.as_ref()).unwrap_or_else(|| "groups".to_owned());
        let kind_claim = self.claim(raw.kind_claim.as_ref());
        let user_prefix = self.user_prefix(raw.user_prefix.as_ref());
        let groups = self.groups(&raw.groups);
        let kinds = ["human", "service", "agent"].map(|name| (name, name));
        let kind = self.word(raw.kind.as_ref(), "a kind of identity", &kinds, "human");
        let checks = [
            ("introspection", Some(TokenCheck::Introspection)),
            ("userinfo", Some(TokenCheck::Userinfo)),
            ("no", None),
        ];
        let token_check = self.word(raw.token_check.as_ref(), "a way to ask about a token", &checks, None);
        if let (Some(TokenCheck::Introspection), Some(text), None) = (token_check, &raw.token_check, &client_secret) {
            self.wrong(text, "`introspection` takes a `client_secret`: nobody else is told about tokens");
        }
        let ca = raw.ca.as_ref().and_then(|text| self.file(text));
        let client_id = client_id?;
        Some(Oidc {
            name: name?,
            issuer: issuer?,
            audiences: if audiences.is_empty() { vec![client_id.clone()] } else { audiences },
            client_id,
            client_secret,
            authorized_parties,
            algorithms,
            required_claims,
            scopes,
            user_claim,
            user_prefix,
            groups_claim,
            groups,
            kind: IdentityKind::from_name(kind).unwrap_or_default(),
            kind_claim,
            token_check,
            ca,
        })
    }

    pub(super) fn directories(&mut self, raw: &[Spanned<raw::Scim>]) -> Vec<Scim> {
        let mut all: Vec<Scim> = Vec::new();
        for entry in raw.iter().map(|entry| &entry.value) {
            let (name, token) = (self.provider_name(&entry.name), self.fill(&entry.token));
            let (Some(name), Some(token)) = (name, token) else { continue };
            if all.iter().any(|known| known.name == name) {
                self.wrong(&entry.name, format!("there is another directory `{name}`"));
            }
            if token.chars().count() < limits::SCIM_SECRET_CHARS_MIN {
                let least = limits::SCIM_SECRET_CHARS_MIN;
                self.wrong(
                    &entry.token,
                    format!("a directory's secret has at least {least} characters: openssl rand -hex 32"),
                );
            }
            if all.iter().any(|known| known.token.expose() == token) {
                self.wrong(&entry.token, "another directory has the same secret");
            }
            all.push(Scim { name, token: Secret::new(token) });
        }
        all
    }

    fn provider_name(&mut self, text: &Text) -> Option<String> {
        let name = self.fill(text)?;
        let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !name.is_empty() && name.len() <= limits::TARGET_NAME_BYTES_MAX && name.chars().all(usual) {
            return Some(name);
        }
        self.wrong(text, format!("`{name}` cannot be a provider's name: use letters, digits, `_`, `-` and `.`"));
        None
    }

    /// An issuer is an address and a name at once: it is compared with `iss` character for character, and asked for its keys.
    fn issuer(&mut self, text: &Text) -> Option<String> {
        let issuer = self.fill(text)?;
        let (scheme, rest) = issuer.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let bare = !issuer.contains(['?', '#', '@', '\\', '"'])
            && !issuer.chars().any(|c| c.is_whitespace() || c.is_control());
        if !host.is_empty() && bare && (scheme == "https" || (scheme == "http" && here)) {
            return Some(issuer);
        }
        let hint = match scheme {
            "http" if bare => "an issuer is asked over https; http is for one on this machine",
            _ => "write it as its tokens have it in `iss`: `https://idp.example.com`",
        };
        self.wrong_with(text, format!("`{issuer}` is not an issuer"), Some(hint.to_owned()));
        None
    }

    fn word_of_a_client(&mut self, text: &Text) -> Option<String> {
        let value = self.fill(text)?;
        if is_name(&value) {
            return Some(value);
        }
        self.wrong(text, format!("`{value}` cannot be a client's id"));
        None
    }

    fn algorithms(&mut self, texts: &[Text]) -> Vec<&'static str> {
        let mut all = Vec::new();
        for text in texts {
            let Some(value) = self.fill(text) else { continue };
            match ALGORITHMS.iter().find(|known| **known == value) {
                Some(known) => all.push(*known),
                None if value.starts_with("HS") || value.eq_ignore_ascii_case("none") => {
                    let message = format!("`{value}` proves nothing");
                    let hint = "whoever can check such a signature can make it: use RS256, ES256 or EdDSA";
                    self.wrong_with(text, message, Some(hint.to_owned()));
                }
                None => {
                    let hint = nearest(&value, ALGORITHMS).map_or_else(
                        || format!("use {}", ALGORITHMS.map(|name| format!("`{name}`")).join(", ")),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    self.wrong_with(text, format!("`{value}` is not an algorithm for signatures"), Some(hint));
                }
            }
        }
        if texts.is_empty() { ALGORITHMS.into_iter().take(ALGORITHMS_USUAL).collect() } else { all }
    }

    fn required_claims(&mut self, raw: &BTreeMap<String, Spanned<OneOrMore>>) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::new();
        for (claim, values) in raw {
            let mut accepted = Vec::new();
            for value in &values.value.0 {
                let text = Spanned { value: value.clone(), referenced: values.referenced, defined: values.defined };
                accepted.extend(self.fill(&text));
            }
            if claim.is_empty() || values.value.0.is_empty() || values.value.0.len() > LIST_MAX {
                let text = Spanned { value: claim.clone(), referenced: values.referenced, defined: values.defined };
                self.wrong(&text, format!("`{claim}` needs one to {LIST_MAX} values that are accepted"));
            }
            all.insert(claim.clone(), accepted);
        }
        all
    }

    fn scopes(&mut self, texts: &[Text]) -> Vec<String> {
        let scopes = self.names(texts, "a scope");
        for (text, scope) in texts.iter().zip(&scopes) {
            // RFC 6749, 3.3.
            if !scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\') {
                self.wrong(text, format!("`{scope}` is not a scope"));
            }
        }
        scopes
    }

    fn claim(&mut self, text: Option<&Text>) -> Option<String> {
        let text = text?;
        let value = self.fill(text)?;
        if !value.trim().is_empty() && value != "/" {
            return Some(value);
        }
        self.wrong(text, format!("`{value}` is not a claim"));
        None
    }

    fn groups(&mut self, texts: &[Text]) -> BTreeSet<String> {
        let groups = self.names(texts, "a group");
        for (text, group) in texts.iter().zip(&groups) {
            if !is_name(group) {
                self.wrong(text, format!("`{group}` cannot be the name of a group"));
            }
        }
        groups.into_iter().collect()
    }
}
