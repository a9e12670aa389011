//! What is asked of policy: who, what, on which object, under which circumstances. All of it is plain borrowed data.

use lockgate_core::{Action, Identity, Label, TargetName, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// May this identity do this to this object?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// What it wants to do.
    pub action: Action,
    /// What it wants to do it to.
    pub resource: Resource<'a>,
    /// The circumstances.
    pub context: &'a RequestContext,
}

/// The object of an action. `reveal` and `infer` are about a label, every other action about a target or a table.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// A whole target.
    Target(&'a TargetFacts),
    /// A relation on a target.
    Table {
        /// Where it is.
        target: &'a TargetFacts,
        /// `schema.table`.
        name: &'a str,
    },
    /// A kind of data on a target.
    Label {
        /// Where it was found.
        target: &'a TargetFacts,
        /// Which kind.
        label: &'a Label,
        /// `schema.table` that it was found on, where that is known. Only conditions on `context.table` look at it.
        table: Option<&'a str>,
    },
}

impl<'a> Resource<'a> {
    /// The target that the object is on.
    pub const fn target(&self) -> &'a TargetFacts {
        match *self {
            Resource::Target(target) | Resource::Table { target, .. } | Resource::Label { target, .. } => target,
        }
    }
}

/// What policies may know about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// Its name.
    pub name: TargetName,
    /// Its labels, as in `env: prod`.
    pub labels: BTreeMap<String, String>,
}

/// The circumstances of a request. A protocol fills in its own part and leaves the others out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestContext {
    /// A statement in SQL.
    pub sql: Option<SqlContext>,
    /// A shell command.
    pub command: Option<CommandContext>,
    /// A request over HTTP.
    pub http: Option<HttpContext>,
    /// A request to Kubernetes.
    pub kube: Option<KubeContext>,
    /// A call of an MCP tool.
    pub mcp: Option<McpContext>,
    /// Where the client's connection comes from.
    pub client_ip: IpAddr,
    /// When it is asked.
    pub now: Timestamp,
    /// The id of the grant that lets the session in, where one does.
    pub grant: Option<String>,
}

impl Default for RequestContext {
    fn default() -> Self {
        RequestContext {
            sql: None,
            command: None,
            http: None,
            kube: None,
            mcp: None,
            client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            now: Timestamp::default(),
            grant: None,
        }
    }
}

/// What policies may know about a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlContext {
    /// The command tag in lower case with underscores.
    pub verb: String,
    /// Every table it names, as `schema.table`.
    pub tables: BTreeSet<String>,
    /// It has a WHERE clause.
    pub has_where: bool,
    /// It has a LIMIT.
    pub has_limit: bool,
    /// Statements in the same message.
    pub statement_count: u32,
    /// What it does could not be told.
    pub opaque: bool,
}

/// What policies may know about a shell command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandContext {
    /// Its words.
    pub argv: Vec<String>,
    /// The program, without its directory.
    pub program: String,
}

/// What policies may know about a request over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpContext {
    /// The method, in upper case.
    pub method: String,
    /// The path, normalised.
    pub path: String,
    /// The host.
    pub host: String,
}

/// What policies may know about a request to Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeContext {
    /// The API verb.
    pub verb: String,
    /// The resource, with its subresource: `pods/exec`.
    pub resource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// What policies may know about a call of an MCP tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct McpContext {
    /// The tool.
    pub tool: String,
    /// Its arguments; policies see each as `name=value`.
    pub arguments: BTreeMap<String, String>,
}
