//! Signing in with a browser, and confirming there what was asked for where there is none.
//!
//! ```text
//! /login ─▶ /oidc/NAME/login ─▶ the provider ─▶ /oidc/NAME/callback ─┐
//!        ─▶ /saml/NAME/login ─▶ the provider ─▶ /saml/NAME/acs ──────┴▶ signed in ─▶ /confirm/ID, /device, /login
//! ```
//!
//! Plain pages without script. What goes out to a provider is remembered in a sealed cookie of the browser that went, so that
//! nothing is stored for strangers; what comes back counts once. Where a browser goes after signing in is never an address that
//! it brought. Who is signed in is told by a `__Host-` cookie, and every form carries a word that belongs to that cookie.

pub(crate) mod browser;
mod confirm;
mod enter;
mod requests;

pub(crate) use confirm::{confirm, decide, device};
pub(crate) use enter::{acs, callback, leave, local, login, metadata, start_oidc, start_saml};
pub(crate) use requests::{__path_ask, __path_logout, __path_redeem};
pub(crate) use requests::{ask, logout, redeem};

use crate::state::BoxFuture;
use lockgate_core::{Secret, Timestamp};
use lockgate_identity::Proven;
use lockgate_store::{LoginInfo, NewLogin};
use std::net::IpAddr;

/// The login that a proof makes. The proof's own end says how long it may be shown to us, not how long the person stays who they are.
pub fn login_of(proven: Proven, source: String, expires: Timestamp) -> NewLogin {
    NewLogin {
        provider: proven.provider,
        issuer: proven.issuer,
        subject: proven.subject,
        user: proven.user,
        groups: proven.groups,
        kind: proven.kind,
        on_behalf_of: proven.on_behalf_of,
        source,
        expires,
        refresh_token: proven.refresh_token,
    }
}

/// How a provider proves people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OpenID Connect.
    Oidc,
    /// SAML 2.0.
    Saml,
}

impl Protocol {
    const fn path(self) -> &'static str {
        match self {
            Protocol::Oidc => "oidc",
            Protocol::Saml => "saml",
        }
    }
}

/// A provider that people can sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name in the configuration.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
}

/// How a browser gets to a provider.
pub enum Way {
    /// By this address.
    Redirect(String),
    /// By posting these fields to this address.
    Post {
        /// The address.
        action: String,
        /// Names and values.
        fields: Vec<(&'static str, String)>,
    },
}

/// A sign-in that begins.
pub struct Begun {
    /// Where the browser goes.
    pub way: Way,
    /// What only the one who began it knows, to be had back with the answer.
    pub memory: Secret,
}

/// What a browser brings back from a provider.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// OpenID Connect's.
    Oidc {
        /// The code.
        code: &'a str,
        /// The state.
        state: &'a str,
        /// The issuer, where it names itself.
        issuer: Option<&'a str>,
    },
    /// SAML's.
    Saml {
        /// The response.
        response: &'a str,
    },
}

/// Nobody was signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSignedIn {
    /// There is no such provider.
    NoProvider,
    /// The provider does not answer; why is for the log.
    Away(String),
    /// What was brought proves nothing; why is for the log.
    Refused(String),
}

/// Signs people in, by the providers of the configuration.
pub trait SignIn: Send + Sync {
    /// The providers there are.
    fn choices(&self) -> Vec<Choice>;
    /// Begins a sign-in.
    fn begin<'a>(
        &'a self,
        protocol: Protocol,
        name: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Begun, NotSignedIn>>;
    /// Makes a proof of an answer, once. `memory` is what [`SignIn::begin`] gave, or nothing for an answer that nobody asked for.
    fn finish<'a>(
        &'a self,
        name: &'a str,
        memory: Option<&'a Secret>,
        answer: Answer<'a>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NewLogin, NotSignedIn>>;
    /// When a login of now stops to count.
    fn login_expires(&self, now: Timestamp) -> Timestamp;
    /// Our side of the agreement with a provider, in its protocol's form.
    fn metadata(&self, name: &str) -> Option<String>;
    /// Puts a sign-in on record.
    fn signed_in(&self, login: &LoginInfo);
    /// Puts a sign-in on record that came to nothing.
    fn refused(&self, source: IpAddr, user: &str, reason: &str);
}

/// There is nothing to sign in with.
pub(crate) struct NoSignIn;

impl SignIn for NoSignIn {
    fn choices(&self) -> Vec<Choice> {
        Vec::new()
    }

    fn begin<'a>(&'a self, _: Protocol, _: &'a str, _: Timestamp) -> BoxFuture<'a, Result<Begun, NotSignedIn>> {
        Box::pin(async { Err(NotSignedIn::NoProvider) })
    }

    fn finish<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a Secret>,
        _: Answer<'a>,
        _: Timestamp,
    ) -> BoxFuture<'a, Result<NewLogin, NotSignedIn>> {
        Box::pin(async { Err(NotSignedIn::NoProvider) })
    }

    fn login_expires(&self, now: Timestamp) -> Timestamp {
        now
    }

    fn metadata(&self, _: &str) -> Option<String> {
        None
    }

    fn signed_in(&self, _: &LoginInfo) {}

    fn refused(&self, _: IpAddr, _: &str, _: &str) {}
}
