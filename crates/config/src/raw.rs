//! The file as it is written. Both the strict keys and the published JSON schema come from these types; what a value means
//! is decided in `check`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// A value with its place in the file.
pub(crate) type Text = Spanned<String>;

/// Lockgate's configuration. `${env:NAME}` and `${file:PATH}` may stand in any value.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Lockgate configuration")]
pub(crate) struct Root {
    /// The folder of the embedded store, keys and recordings; made with mode 0700. Default: `./data`.
    #[schemars(with = "Option<String>")]
    pub(crate) data_dir: Option<Text>,
    /// `sqlite`, or `postgres://…` for several replicas. Default: `sqlite`.
    #[schemars(with = "Option<String>")]
    pub(crate) store: Option<Text>,
    /// `data_dir`, or `s3://bucket/prefix`. Default: `data_dir`.
    #[schemars(with = "Option<String>")]
    pub(crate) recordings: Option<Text>,
    /// What is recorded, and how surely.
    pub(crate) recording: Option<Recording>,
    /// Where clients are accepted, as `address:port`. A protocol without a listener is off.
    #[serde(default)]
    pub(crate) listen: Listen,
    /// Where people's browsers reach the gateway, in links and in what identity providers are told: `https://gateway.example.com:6443`.
    /// Default: the address of `listen.https`, or this machine's name.
    #[schemars(with = "Option<String>")]
    pub(crate) url: Option<Text>,
    /// The gateway's own certificate. Omitted: a private CA is made in `data_dir`.
    pub(crate) tls: Option<Tls>,
    /// Where identities come from, and who administers the gateway.
    #[serde(default)]
    pub(crate) identity: Identity,
    /// The systems behind the gateway.
    #[serde(default)]
    #[schemars(with = "Vec<Target>")]
    pub(crate) targets: Vec<Spanned<Target>>,
    /// What is sensitive, and where.
    #[serde(default)]
    pub(crate) classify: Vec<Classify>,
    /// Detectors of your own, for `classify[].detect`.
    #[serde(default)]
    pub(crate) detectors: Vec<Detector>,
    /// How approvals work.
    #[serde(default)]
    pub(crate) approvals: Approvals,
    /// How far a permitted `infer` goes.
    #[serde(default)]
    pub(crate) infer: Infer,
    /// Limits. Each has a default.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// The folder of policies: every `*.cedar` in it. Default: `policies/`.
    #[schemars(with = "Option<String>")]
    pub(crate) policies: Option<Text>,
}

/// What is recorded, and how surely.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recording {
    /// `none`: an event survives a killed gateway. `fsync`: it survives a power cut. Default: `none`.
    #[schemars(with = "Option<String>")]
    pub(crate) durability: Option<Text>,
    /// The bytes of a request's result that are recorded, as in `16MiB` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) result_bytes: Option<Text>,
}

/// Where clients are accepted.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    /// PostgreSQL.
    #[schemars(with = "Option<String>")]
    pub(crate) postgres: Option<Text>,
    /// MySQL and MariaDB.
    #[schemars(with = "Option<String>")]
    pub(crate) mysql: Option<Text>,
    /// SSH.
    #[schemars(with = "Option<String>")]
    pub(crate) ssh: Option<Text>,
    /// API, console, MCP, HTTP and Kubernetes targets.
    #[schemars(with = "Option<String>")]
    pub(crate) https: Option<Text>,
    /// Prometheus metrics.
    #[schemars(with = "Option<String>")]
    pub(crate) metrics: Option<Text>,
}

/// A certificate chain and its key, in PEM.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The chain's file.
    #[schemars(with = "String")]
    pub(crate) certificate: Text,
    /// The key's file.
    #[schemars(with = "String")]
    pub(crate) key: Text,
}

/// Where identities come from.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// OpenID Connect issuers.
    #[serde(default)]
    #[schemars(with = "Vec<Oidc>")]
    pub(crate) oidc: Vec<Spanned<Oidc>>,
    /// SAML identity providers.
    #[serde(default)]
    #[schemars(with = "Vec<Saml>")]
    pub(crate) saml: Vec<Spanned<Saml>>,
    /// How long a login by browser counts, and what it made, as in `12h` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) login_ttl: Option<Text>,
    /// How often identity providers are asked whether a login still holds, and for its groups, as in `15m` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) recheck: Option<Text>,
    /// How much longer what a provider last said counts while it cannot be asked, as in `1h` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) grace: Option<Text>,
    /// Directories that push their people and groups (SCIM 2.0, at `/scim/v2`).
    #[serde(default)]
    #[schemars(with = "Vec<Scim>")]
    pub(crate) scim: Vec<Spanned<Scim>>,
    /// Who may manage tokens and see all sessions, as `group:NAME` or `user:NAME`. It gives no data access.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) admins: Vec<Text>,
    /// Who may see everything that administrators see, and change nothing, as `group:NAME` or `user:NAME`. It gives no data access.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) auditors: Vec<Text>,
}

/// An OpenID Connect issuer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Oidc {
    /// The name in messages and recordings: letters, digits, `_`, `-` and `.`.
    #[schemars(with = "String")]
    pub(crate) name: Text,
    /// The issuer, character for character as its tokens have it: an https address; http only on this machine.
    #[schemars(with = "String")]
    pub(crate) issuer: Text,
    /// The gateway's client id.
    #[schemars(with = "String")]
    pub(crate) client_id: Text,
    /// The gateway's client secret; omitted for a public client.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<Text>,
    /// Whom tokens may be meant for (`aud`). Default: the client id.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) audiences: Vec<Text>,
    /// Other clients that may have asked for a token (`azp`). Default: any for a token that is for the gateway alone, none for one with several audiences.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) authorized_parties: Vec<Text>,
    /// The algorithms that the issuer may sign with. Default: RS256, PS256, ES256, ES384 and EdDSA.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) algorithms: Vec<Text>,
    /// Claims that every token must have, each with the values that are accepted: one or a list, with `*` for any characters.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) required_claims: BTreeMap<String, Spanned<OneOrMore>>,
    /// What a login asks for, besides `openid`. Default: `profile` and `email`.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) scopes: Option<Vec<Text>>,
    /// The claim that holds the user name: a name, names joined by dots, or a JSON pointer. Default: `email`.
    #[schemars(with = "Option<String>")]
    pub(crate) user_claim: Option<Text>,
    /// What is put before every user name of this issuer, so that it cannot be another issuer's. Default: nothing.
    #[schemars(with = "Option<String>")]
    pub(crate) user_prefix: Option<Text>,
    /// The claim that holds the groups: a string or a list of them. Default: `groups`.
    #[schemars(with = "Option<String>")]
    pub(crate) groups_claim: Option<Text>,
    /// Groups that everybody of this issuer is in.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) groups: Vec<Text>,
    /// What everybody of this issuer is: `human` (the default), `service` or `agent`.
    #[schemars(with = "Option<String>")]
    pub(crate) kind: Option<Text>,
    /// The claim that says so instead, where a token has it.
    #[schemars(with = "Option<String>")]
    pub(crate) kind_claim: Option<Text>,
    /// How live sessions of tokens that were shown without a login are asked about again: `introspection`, `userinfo` or `no` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) token_check: Option<Text>,
    /// The certificates (PEM) that the issuer's own is checked against. Default: the system's.
    #[schemars(with = "Option<String>")]
    pub(crate) ca: Option<Text>,
}

/// One value, or a list of them.
pub(crate) struct OneOrMore(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = OneOrMore;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![value.to_owned()]))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![value.to_string()]))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![value.to_string()]))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![value.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMore, A::Error> {
        let mut all = Vec::new();
        while let Some(OneOrMore(values)) = items.next_element()? {
            all.extend(values);
        }
        Ok(OneOrMore(all))
    }
}

/// A directory that pushes its people and groups.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scim {
    /// The name in messages, recordings and lists of users: letters, digits, `_`, `-` and `.`.
    #[schemars(with = "String")]
    pub(crate) name: Text,
    /// The bearer secret that the directory shows: at least 32 characters.
    #[schemars(with = "String")]
    pub(crate) token: Text,
}

/// A SAML identity provider.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saml {
    /// The name in messages and recordings, and in our addresses: letters, digits, `_`, `-` and `.`.
    #[schemars(with = "String")]
    pub(crate) name: Text,
    /// The file of its metadata: the `EntityDescriptor` of one party.
    #[schemars(with = "String")]
    pub(crate) metadata: Text,
    /// Our own name, which assertions have as audience. Default: the address of our metadata, `URL/saml/NAME/metadata`.
    #[schemars(with = "Option<String>")]
    pub(crate) entity_id: Option<Text>,
    /// The attribute that holds the user name. Default: the `NameID`, unless it is a transient one.
    #[schemars(with = "Option<String>")]
    pub(crate) user_attribute: Option<Text>,
    /// What is put before every user name of this provider, so that it cannot be another's. Default: nothing.
    #[schemars(with = "Option<String>")]
    pub(crate) user_prefix: Option<Text>,
    /// The attribute that holds the groups. Default: none.
    #[schemars(with = "Option<String>")]
    pub(crate) groups_attribute: Option<Text>,
    /// Groups that everybody of this provider is in.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) groups: Vec<Text>,
    /// What has to be signed: `either` (the default), `response`, `assertion` or `both`.
    #[schemars(with = "Option<String>")]
    pub(crate) want_signed: Option<Text>,
    /// Whether logins may begin at the provider: `yes` or `no` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) allow_idp_initiated: Option<Text>,
    /// Whether AES-CBC is accepted, in signed responses: `yes` or `no` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) allow_cbc: Option<Text>,
    /// The ways to log in there that are accepted (`AuthnContextClassRef`). Default: any.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) authn_contexts: Vec<Text>,
    /// Signs our requests: RSA or P-256, PKCS#8.
    pub(crate) signing: Option<Tls>,
    /// Open encrypted assertions: RSA, PKCS#8. The first is in our metadata, the others are for the time of a change.
    #[serde(default)]
    pub(crate) decryption: Vec<Tls>,
}

/// One system behind the gateway.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// Its name: letters, digits, `_`, `-` and `.`.
    #[schemars(with = "String")]
    pub(crate) name: Text,
    /// `postgres`, `mysql`, `ssh`, `http`, `kubernetes` or `mcp`.
    #[schemars(with = "String")]
    pub(crate) protocol: Text,
    /// Where it is, as `host:port`.
    #[schemars(with = "String")]
    pub(crate) address: Text,
    /// The database that its name alone stands for. Default: the target's name.
    #[schemars(with = "Option<String>")]
    pub(crate) database: Option<Text>,
    /// Other databases on the same server that a client may name: patterns with `*`. Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) databases: Vec<Text>,
    /// The role that the gateway logs in as; `{user}` stands for the identity's name.
    #[schemars(with = "Option<String>")]
    pub(crate) username: Option<Text>,
    /// That role's password.
    #[schemars(with = "Option<String>")]
    pub(crate) password: Option<Text>,
    /// `disable`, `require` or `verify-full` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) tls: Option<Text>,
    /// The certificates (PEM) that its own is checked against. Default: the system's.
    #[schemars(with = "Option<String>")]
    pub(crate) ca: Option<Text>,
    /// Labels for policies: `env: prod` puts it into `TargetLabel::"env=prod"`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) labels: BTreeMap<String, Text>,
    /// User-defined functions declared free of labelled data, as `schema.function`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) safe_functions: Vec<Text>,
    /// Reach it through this agent.
    #[schemars(with = "Option<String>")]
    pub(crate) via: Option<Text>,
    /// `mask` changes values on their way out (the default); `rewrite` computes masks at read.
    #[schemars(with = "Option<String>")]
    pub(crate) enforcement: Option<Text>,
    /// What becomes of copies of labelled values to columns without their labels: `deny` refuses them (the default),
    /// `propagate` lets the labels follow.
    #[schemars(with = "Option<String>")]
    pub(crate) laundering: Option<Text>,
    /// Groups (`group:NAME`) and kinds (`kind:agent`) for whom masks are computed at read all the same.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) rewrite_for: Vec<Text>,
}

/// A label and where it lies.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Classify {
    /// The label, as in `pii/ssn`.
    #[schemars(with = "String")]
    pub(crate) label: Text,
    /// Columns, as `target/schema.table.column` or `target/database/schema.table.column`; `*` stands for anything.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) columns: Vec<Text>,
    /// Fields of HTTP responses, as `target:/path/*.json.path`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) fields: Vec<Text>,
    /// Detectors of values in any output without a label: built-in ones, groups of them (`national-id`, `secrets`), and
    /// those of `detectors`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) detect: Vec<Text>,
}

/// A user-defined detector of values.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Detector {
    /// The name that `classify[].detect` uses.
    #[schemars(with = "String")]
    pub(crate) name: Text,
    /// A regular expression (the syntax of the `regex` crate: linear time, no look-around, no back-references).
    #[schemars(with = "Option<String>")]
    pub(crate) pattern: Option<Text>,
    /// Words or phrases that are found as they are, in any case.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) keywords: Vec<Text>,
    /// A check that the digits of what is found must pass: `luhn`, `mod97` or `verhoeff`.
    #[schemars(with = "Option<String>")]
    pub(crate) checksum: Option<Text>,
    /// Words of which one must be near: in the column's name, or up to 64 bytes before.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) context: Vec<Text>,
}

/// How approvals work.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approvals {
    /// How long a request waits, as in `15m` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) timeout: Option<Text>,
    /// Who is told.
    #[serde(default)]
    #[schemars(with = "Vec<Notify>")]
    pub(crate) notify: Vec<Spanned<Notify>>,
}

/// One way to tell people.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "published in the schema; this build refuses the whole entry")]
pub(crate) struct Notify {
    /// A Slack webhook.
    pub(crate) slack: Option<String>,
    /// Any webhook.
    pub(crate) webhook: Option<String>,
}

/// How far a permitted `infer` goes.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Infer {
    /// Different values that an identity may compare one labelled column with in a window (`@mode("equality")`). Default: 20.
    #[schemars(with = "Option<u64>")]
    pub(crate) probes: Option<Text>,
    /// The window, as in `1h` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) window: Option<Text>,
    /// The fewest values that go into an aggregate of a labelled column, and into its difference with an earlier one
    /// (`@mode("aggregate")`). Default: 10.
    #[schemars(with = "Option<u64>")]
    pub(crate) group: Option<Text>,
}

/// The limits that may be set.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Sessions in all. Default: 10000.
    #[schemars(with = "Option<u64>")]
    pub(crate) sessions: Option<Text>,
    /// Connections that have not proven an identity, in all. Default: 1024.
    #[schemars(with = "Option<u64>")]
    pub(crate) preauth: Option<Text>,
    /// Connections that have not proven an identity, from one address. Default: 64.
    #[schemars(with = "Option<u64>")]
    pub(crate) preauth_per_source: Option<Text>,
    /// Time from accept to a proven identity. Default: `30s`.
    #[schemars(with = "Option<String>")]
    pub(crate) login: Option<Text>,
    /// Time to dial a target and log in. Default: `15s`.
    #[schemars(with = "Option<String>")]
    pub(crate) dial: Option<Text>,
    /// How long a peer may take no bytes while some wait for it. Default: `30m`.
    #[schemars(with = "Option<String>")]
    pub(crate) write_stall: Option<Text>,
    /// How long a stopping gateway waits for sessions to end. Default: `20s`.
    #[schemars(with = "Option<String>")]
    pub(crate) drain: Option<Text>,
}
