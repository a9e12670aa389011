//! The HTTP API: sessions, approvals, tokens and targets for people and scripts, health for machines, and the page behind the
//! address that a held client is shown.
//!
//! Who may call what is one table, [`endpoints::ENDPOINTS`], and the router enforces it: a route that is not in the table is
//! refused. Handlers only narrow further, to the objects that are the caller's. No cross-origin answers, and no cookies but on
//! the pages on which people sign in and confirm (`signin`): every other request brings its token.

mod allowance;
mod auth;
mod body;
mod elsewhere;
pub mod endpoints;
mod error;
mod handlers;
mod html;
mod openapi;
mod page;
mod quiet;
mod scim;
mod serve;
mod signin;
mod state;
mod throttle;

pub use endpoints::router;
pub use openapi::document;
pub use serve::{metrics_router, serve, serve_plain};
pub use signin::{Answer, Begun, Choice, NotSignedIn, Protocol, SignIn, Way, login_of};
pub use state::{
    Access, ApiState, BoxFuture, DecisionMade, Detokenize, Detokenizer, EventStream, EventView, IdentityProviders,
    JournalReader, LiveSessions, NoVerifier, NotDetokenized, NotProven, Passwords, PeerAddr, Readiness, StillMay,
    TargetInfo, TokenValues,
};
