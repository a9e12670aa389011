//! The OpenAPI 3.1 description, made from the handlers themselves.

use crate::handlers::{approvals, detokenize, sessions, system, tokens, users};
use crate::signin;
use std::sync::LazyLock;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(title = "Lockgate", description = "Sessions, approvals, tokens, users and targets of a Lockgate gateway."),
    paths(
        system::health,
        system::ready,
        system::openapi,
        system::whoami,
        system::targets,
        sessions::list,
        sessions::show,
        sessions::events,
        sessions::kill,
        approvals::list,
        approvals::show,
        approvals::approve,
        approvals::deny,
        tokens::list,
        tokens::create,
        tokens::revoke,
        tokens::revoke_all,
        users::list,
        users::show,
        users::create,
        users::disable,
        users::enable,
        users::set_groups,
        users::set_password,
        detokenize::detokenize,
        signin::ask,
        signin::redeem,
        signin::logout,
    ),
    modifiers(&Bearer),
    security(("token" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("a Lockgate token, `lg_…`")).build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The description as JSON.
pub fn document() -> &'static str {
    // Our own types always have a JSON form; should that break, the test of the document says so.
    static TEXT: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().unwrap_or_default());
    &TEXT
}
