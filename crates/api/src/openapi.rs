//! The OpenAPI 3.1 description, made from the handlers themselves.

use crate::endpoints::DIRECTORY_ENDPOINTS;
use crate::handlers::{approvals, detokenize, logins, sessions, system, tokens, users};
use crate::signin;
use std::sync::LazyLock;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{HttpMethod, ObjectBuilder, Required, ResponseBuilder, Type};
use utoipa::{Modify, OpenApi};

#[derive(OpenApi)]
#[openapi(
    info(title = "Lockgate", description = "Sessions, approvals, tokens, logins, users and targets of a Lockgate gateway."),
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
        logins::list,
        logins::end,
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
    modifiers(&Bearer, &Directories),
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

/// What directories call is described by SCIM itself (RFC 7644), so that here is only where it is and who may.
struct Directories;

impl Modify for Directories {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let secret = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("the secret of a directory"));
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("directory", SecurityScheme::Http(secret.build()));
        for (method, path) in DIRECTORY_ENDPOINTS {
            let method_here = match method.as_str() {
                "POST" => HttpMethod::Post,
                "PUT" => HttpMethod::Put,
                "PATCH" => HttpMethod::Patch,
                "DELETE" => HttpMethod::Delete,
                _ => HttpMethod::Get,
            };
            let name: String = path.chars().filter(char::is_ascii_alphanumeric).collect();
            let said = |text: &str| ResponseBuilder::new().description(text).build();
            let mut operation = OperationBuilder::new()
                .operation_id(Some(format!("{}_{name}", method.as_str().to_ascii_lowercase())))
                .tag("scim")
                .summary(Some("SCIM 2.0 (RFC 7644, 3)"))
                .security(SecurityRequirement::new("directory", Vec::<String>::new()))
                .response("2XX", said("as the RFC has it"))
                .response("401", said("the secret is no directory's"))
                .response("4XX", said("as the RFC has it"));
            if path.contains("{id}") {
                let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
                let text = ObjectBuilder::new().schema_type(Type::String).build();
                operation = operation.parameter(id.schema(Some(text)).build());
            }
            document.paths.add_path_operation(*path, vec![method_here], operation.build());
        }
    }
}

/// The description as JSON.
pub fn document() -> &'static str {
    // Our own types always have a JSON form; should that break, the test of the document says so.
    static TEXT: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().unwrap_or_default());
    &TEXT
}
