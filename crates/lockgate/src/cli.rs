//! The command line: every verb and flag with its help, in one table that makes help, usage errors and completions.
//!
//! It says what may be typed, and nothing about what is done: that is in `verbs`.

use crate::when;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use lockgate_core::{Action, IdentityKind, Principal, SessionId, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 failed, 2 wrong usage, 3 denied, 4 waiting for or without approval, 5 credential refused or expired.

Verbs that read the gateway's own files work on its machine with -c FILE and need no login. Without -c they ask the
gateway at LOCKGATE_URL, or the one of the newest login, with the token in LOCKGATE_TOKEN, or the one that `lockgate login`
keeps; LOCKGATE_CA names its certificate authority.";

/// A gateway that stands between people and systems: masks, blocks, asks for approval, records.
#[derive(Debug, Parser)]
#[command(name = "lockgate", version, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// What every verb understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The configuration [default: ./lockgate.yaml, then /etc/lockgate/lockgate.yaml]
    #[arg(short, long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// How data is printed
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
    /// The gateway's address, such as https://gateway:6443
    #[arg(long, global = true, value_name = "URL", env = "LOCKGATE_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// The certificate authority that vouches for the gateway
    #[arg(long, global = true, value_name = "FILE", env = "LOCKGATE_CA", hide_env_values = true)]
    pub ca: Option<PathBuf>,
}

/// How data is printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// For both
    Yaml,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the gateway until it is told to stop
    Serve,
    /// Write a configuration and policies to start from, and make a first administrator
    Init(InitArgs),
    /// See it work: a throw-away database, a gateway in front of it, and the whole show
    Demo(DemoArgs),
    /// Log in with a browser and keep a short-lived token
    Login(LoginArgs),
    /// Give up the token that `login` keeps
    Logout(LogoutArgs),
    /// Say who you are to the gateway
    Whoami,
    /// List the targets that you may connect to
    Targets,
    /// Start the native client (psql) on a target, with everything filled in
    Connect(ConnectArgs),
    /// See and decide what waits for approval
    #[command(subcommand)]
    Approvals(ApprovalsVerb),
    /// See, replay and end sessions
    #[command(subcommand)]
    Sessions(SessionsVerb),
    /// Prove that recordings are unaltered, search them, export them
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Check and test policies
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Say what policy makes of a statement, and why
    Explain(ExplainArgs),
    /// Read tokens of masked data back, where policy lets you reveal their label
    Detokenize(DetokenizeArgs),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(TokenVerb),
    /// See who logged in, and end logins with all that they made
    #[command(subcommand)]
    Logins(LoginsVerb),
    /// Make local users, set their passwords and groups, disable them
    #[command(subcommand)]
    User(UserVerb),
    /// Print the certificate of the gateway's private authority
    Ca,
    /// Print the JSON schema of the configuration, or the Cedar schema of policies
    Schema(SchemaArgs),
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `lockgate demo`
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// End after the show, with 0 if every step did what it says
    #[arg(long)]
    pub once: bool,
    /// People in the sample shop
    #[arg(long, value_name = "N", default_value_t = crate::demo::CUSTOMERS, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    pub customers: u32,
    /// The directory with PostgreSQL's server programs
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub postgres_bin: Option<PathBuf>,
}

/// `lockgate login`
#[derive(Clone, Debug, Args)]
pub struct LoginArgs {
    /// Show a code that is entered in a browser anywhere, for a machine without one
    #[arg(long)]
    pub device: bool,
    /// Only show the address, and leave opening it to you
    #[arg(long, conflicts_with = "device")]
    pub no_browser: bool,
}

/// `lockgate logout`
#[derive(Clone, Debug, Args)]
pub struct LogoutArgs {
    /// Also end everything else that the same login made: browsers, tokens, sessions
    #[arg(long)]
    pub everywhere: bool,
}

/// `lockgate connect`
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// The target, or TARGET/DATABASE
    pub target: String,
    /// The gateway's port for this protocol [default: that of the configuration, else 6432]
    #[arg(long)]
    pub port: Option<u16>,
    /// What to hand on to the client
    #[arg(last = true, value_name = "CLIENT ARGS")]
    pub client: Vec<String>,
}

/// `lockgate approvals`
#[derive(Clone, Debug, Subcommand)]
pub enum ApprovalsVerb {
    /// List approvals, those that wait first
    List {
        /// Also those that are decided
        #[arg(long)]
        all: bool,
    },
    /// Show one with everything that is asked for
    Show {
        /// Its id
        id: String,
    },
    /// Let exactly this statement run once
    Approve(DecideArgs),
    /// Refuse it
    Deny(DecideArgs),
}

/// A decision on an approval.
#[derive(Clone, Debug, Args)]
pub struct DecideArgs {
    /// Its id
    pub id: String,
    /// Why, for the record and for whoever asked
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Which sessions.
#[derive(Clone, Debug, Default, Args)]
pub struct SessionFilter {
    /// Of this user
    #[arg(long)]
    pub user: Option<String>,
    /// On this target
    #[arg(long)]
    pub target: Option<String>,
    /// Opened since: `2h`, `7d`, `2026-11-21` or `2026-11-21T05:00:00Z`
    #[arg(long, value_name = "WHEN", value_parser = when::point)]
    pub since: Option<Timestamp>,
    /// Opened before
    #[arg(long, value_name = "WHEN", value_parser = when::point)]
    pub until: Option<Timestamp>,
}

/// Which events.
#[derive(Args, Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this user
    #[arg(long)]
    pub user: Option<String>,
    /// On this target
    #[arg(long)]
    pub target: Option<String>,
    /// Of requests that policy judged so
    #[arg(long, value_name = "VERDICT")]
    pub verdict: Option<Verdict>,
    /// Happened since: `2h`, `7d`, `2026-11-21` or `2026-11-21T05:00:00Z`
    #[arg(long, value_name = "WHEN", value_parser = when::point)]
    pub since: Option<Timestamp>,
    /// Happened before
    #[arg(long, value_name = "WHEN", value_parser = when::point)]
    pub until: Option<Timestamp>,
}

/// What policy said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verdict {
    /// It might run
    Allow,
    /// It was refused
    Deny,
    /// It had to wait for an approval
    Hold,
}

/// `lockgate sessions`
#[derive(Clone, Debug, Subcommand)]
pub enum SessionsVerb {
    /// List sessions, the newest first
    List {
        /// Which ones
        #[command(flatten)]
        filter: SessionFilter,
        /// Only those that are open now
        #[arg(long)]
        live: bool,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// Show one session and its requests
    Show {
        /// Its id
        id: SessionId,
    },
    /// Play a session as its user saw it
    Replay {
        /// Its id
        id: SessionId,
    },
    /// Follow a session while it goes on
    Tail {
        /// Its id
        id: SessionId,
    },
    /// Print every event of a session, one JSON object a line
    Export {
        /// Its id
        id: SessionId,
    },
    /// End a session
    Kill {
        /// Its id
        id: SessionId,
    },
}

/// `lockgate audit`
#[derive(Clone, Debug, Subcommand)]
pub enum AuditVerb {
    /// Prove every recording unaltered, or name the first bad event
    Verify {
        /// A checkpoint that was kept elsewhere: what was logged up to it must still be there; repeat it for several
        #[arg(long = "checkpoint", value_name = "FILE", value_hint = ValueHint::FilePath)]
        checkpoints: Vec<PathBuf>,
    },
    /// Print the signed checkpoint of now, to be kept where nobody can change it
    Checkpoint,
    /// Find statements, errors and notices that hold a text
    Search {
        /// The text; upper and lower case are the same; without it everything that the filters admit
        #[arg(default_value = "")]
        text: String,
        /// Where to look
        #[command(flatten)]
        filter: EventFilter,
    },
    /// Print the events of every session and of the gateway, one JSON object a line
    Export {
        /// Which ones
        #[command(flatten)]
        filter: SessionFilter,
    },
}

/// `lockgate policy`
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyVerb {
    /// Check the configuration and every policy file
    Check {
        /// Also ask every target whether it has the columns and tables that they name
        #[arg(long)]
        targets: bool,
    },
    /// Compare what policy says with a table of what it should say
    Test {
        /// The table: a YAML file
        #[arg(value_hint = ValueHint::FilePath)]
        cases: PathBuf,
    },
}

/// `lockgate explain`
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The statement
    pub sql: String,
    /// Who asks
    #[arg(long)]
    pub user: String,
    /// A group of the user; repeat it for several
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// What sort of party asks
    #[arg(long, value_parser = kind, default_value = "human")]
    pub kind: IdentityKind,
    #[command(flatten)]
    pub chain: ChainArgs,
    /// The target, or TARGET/DATABASE
    #[arg(long)]
    pub target: String,
    /// Where the client connects from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub client_ip: IpAddr,
}

/// `lockgate detokenize`
#[derive(Clone, Debug, Args)]
pub struct DetokenizeArgs {
    /// The label that the tokens were made under, such as pii/ssn
    pub label: String,
    /// The tokens, as they stood in a result
    #[arg(required = true, allow_negative_numbers = true)]
    pub tokens: Vec<String>,
}

/// `lockgate token`
#[derive(Clone, Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token; it is shown once
    Create(TokenCreateArgs),
    /// List tokens, never the secrets themselves
    List {
        /// Of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Revoke a token and end its sessions
    Revoke {
        /// Its id
        #[arg(required_unless_present = "user", conflicts_with = "user")]
        id: Option<String>,
        /// Every token of this user instead, and of everybody who acts for that user
        #[arg(long)]
        user: Option<String>,
    },
}

/// `lockgate logins`
#[derive(Clone, Debug, Subcommand)]
pub enum LoginsVerb {
    /// List logins that count
    List {
        /// Of this user
        #[arg(long)]
        user: Option<String>,
        /// By this provider; `local` for local users
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
        /// Also those that are over, for thirty days
        #[arg(long)]
        all: bool,
    },
    /// End a login: its browsers, tokens and sessions
    End {
        /// Its id
        id: String,
    },
}

/// Whom somebody acts for
#[derive(Clone, Debug, Args)]
pub struct ChainArgs {
    /// Whom the user acts for; repeat it for a chain, nearest first
    #[arg(long, value_name = "USER")]
    pub on_behalf_of: Vec<String>,
    /// A group of whom the user acts for in the end; repeat it for several [default: as a directory says]
    #[arg(long, value_name = "GROUP", requires = "on_behalf_of")]
    pub on_behalf_of_group: Vec<String>,
}

impl ChainArgs {
    /// The chain. Between the agent that asks and the person at the end are other agents.
    pub fn principals(self) -> Vec<Principal> {
        let groups: BTreeSet<String> = self.on_behalf_of_group.into_iter().collect();
        let last = self.on_behalf_of.len().saturating_sub(1);
        let principal = |(at, user)| Principal {
            user,
            kind: if at == last { IdentityKind::Human } else { IdentityKind::Agent },
            groups: Some(groups.clone()).filter(|groups| at == last && !groups.is_empty()),
            directories: Vec::new(),
        };
        self.on_behalf_of.into_iter().enumerate().map(principal).collect()
    }
}

/// `lockgate token create`
#[derive(Clone, Debug, Args)]
pub struct TokenCreateArgs {
    /// Whom it stands for
    #[arg(long)]
    pub user: String,
    /// A group of the user; repeat it for several
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// What sort of party it is
    #[arg(long, value_parser = kind, default_value = "human")]
    pub kind: IdentityKind,
    #[command(flatten)]
    pub chain: ChainArgs,
    /// A target that it is for; repeat it for several [default: all]
    #[arg(long = "target", value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The only actions that it is for, `connect` always among them: `read,write` [default: all that policy permits]
    #[arg(long = "action", value_name = "ACTION", value_delimiter = ',', value_parser = action)]
    pub actions: Vec<Action>,
    /// How long it lasts: `30m`, `1h`, `90d`
    #[arg(long, value_parser = when::duration, default_value = "12h")]
    pub ttl: Duration,
}

/// `lockgate init`
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The name of the first administrator
    #[arg(long, value_name = "USER", default_value = "admin")]
    pub admin: String,
    /// How the administrator's password is set
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// `lockgate user`
#[derive(Clone, Debug, Subcommand)]
pub enum UserVerb {
    /// Make a local user
    Add(UserAddArgs),
    /// Set a password
    Passwd {
        /// Whose
        user: String,
        /// How
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Put a local user into groups and take them out, and print the groups
    Group {
        /// Whom
        user: String,
        /// A group to put the user into; repeat it for several
        #[arg(long, value_name = "GROUP")]
        add: Vec<String>,
        /// A group to take the user out of; repeat it for several
        #[arg(long, value_name = "GROUP")]
        remove: Vec<String>,
    },
    /// List users, also those that a directory pushes
    List,
    /// Take everything from a local user at once: sign-in, tokens, live sessions
    Disable {
        /// Whom
        user: String,
    },
    /// Give it back
    Enable {
        /// Whom
        user: String,
    },
    /// Forget what a directory said of its people that is in the configuration no more; on the gateway's machine
    Forget {
        /// The directory's name, as it was under `identity.scim`
        #[arg(long, value_name = "NAME")]
        directory: String,
    },
}

/// `lockgate user add`
#[derive(Clone, Debug, Args)]
pub struct UserAddArgs {
    /// The user name
    pub user: String,
    /// A group of the user; repeat it for several
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// A name to show to people
    #[arg(long = "display-name", value_name = "NAME")]
    pub display: Option<String>,
    /// How the password is set
    #[command(flatten)]
    pub password: PasswordArgs,
    /// No password: the user can only be given tokens
    #[arg(long, conflicts_with = "generate")]
    pub no_password: bool,
}

/// Where a password comes from. By default it is asked for; where nobody can be asked, it is the first line of the input.
#[derive(Clone, Debug, Args)]
pub struct PasswordArgs {
    /// Make a password up and print it, this once
    #[arg(long)]
    pub generate: bool,
}

/// `lockgate schema`
#[derive(Clone, Debug, Args)]
pub struct SchemaArgs {
    /// Which schema
    #[arg(default_value = "config")]
    pub which: SchemaKind,
}

/// The schemas that can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// JSON schema of lockgate.yaml
    Config,
    /// Cedar schema of the policies
    Policies,
}

impl From<DemoArgs> for crate::demo::DemoOptions {
    fn from(args: DemoArgs) -> Self {
        crate::demo::DemoOptions { once: args.once, customers: args.customers, postgres_bin: args.postgres_bin }
    }
}

fn action(text: &str) -> Result<Action, String> {
    let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    text.parse().map_err(|_| format!("use {}", names.join(", ")))
}

fn kind(text: &str) -> Result<IdentityKind, String> {
    IdentityKind::from_name(text).ok_or_else(|| "use `human`, `service` or `agent`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_demo_has_a_hundred_thousand_people_at_least() {
        let cli = Cli::try_parse_from(["lockgate", "demo"]).unwrap();
        assert!(matches!(cli.verb, Verb::Demo(args) if args.customers >= 100_000 && !args.once));
    }

    #[test]
    fn reads_what_people_type() {
        for line in [
            "lockgate serve -c gw.yaml",
            "lockgate -c gw.yaml serve",
            "lockgate init",
            "lockgate login --device --url https://gw:6443",
            "lockgate logout --everywhere -o json",
            "lockgate demo --once",
            "lockgate connect orders -- -c 'select 1'",
            "lockgate approvals approve 01ABC --reason fine -o json",
            "lockgate sessions list --live --user alice --since 2h",
            "lockgate sessions replay 01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "lockgate audit verify -c gw.yaml -o json",
            "lockgate policy test cases.yaml",
            "lockgate explain -c f --user alice --group engineers --target orders SELECT",
            "lockgate token create -c f --user bot --group a --group b --kind agent --on-behalf-of bob --on-behalf-of-group a --target orders --action read,write --action infer --ttl 1h -o json",
            "lockgate logins list --user alice --provider corp --all",
            "lockgate logins end 27kptgyatdmr",
            "lockgate detokenize pii/ssn tok_abc 805-19-3320 -5 -o json",
            "lockgate schema policies",
            "lockgate completions bash",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn wrong_usage_is_refused() {
        for line in [
            "lockgate",
            "lockgate explode",
            "lockgate login --device --no-browser",
            "lockgate agent",
            "lockgate policy replay",
            "lockgate token create",
            "lockgate token create --user a --ttl soon",
            "lockgate token create --user a --kind robot",
            "lockgate token create --user a --action read,drop",
            "lockgate sessions show not-an-id",
            "lockgate serve -o xml",
        ] {
            assert!(Cli::try_parse_from(line.split_whitespace()).is_err(), "{line}");
        }
    }

    #[test]
    fn what_follows_two_dashes_goes_to_the_client() {
        let cli = Cli::try_parse_from(["lockgate", "connect", "orders", "--", "-c", "select 1"]).unwrap();
        let Verb::Connect(connect) = cli.verb else { panic!("another verb") };
        assert_eq!((connect.target.as_str(), connect.client), ("orders", vec!["-c".to_owned(), "select 1".to_owned()]));
        assert_eq!(cli.global.config, None);
    }
}
