//! From what is written to what is meant: placeholders filled, values checked, paths made whole. Every mistake is collected.

mod identity;

use crate::excerpt::Page;
use crate::model::{
    Classification, Config, Detect, Durability, Infer, Limits, Listen, Recording, Rewrites, RoleName, Target, TlsFiles,
    TlsMode,
};
use crate::patterns::ColumnPattern;
use crate::placeholders::Filler;
use crate::raw::{self, Text};
use crate::values;
use lockgate_core::{IdentityKind, Label, Secret, TargetName, limits, matches_glob};
use lockgate_detect::{Checksum, Custom, Kind};
use lockgate_policy::nearest;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads values one by one and collects what is wrong with them.
pub(crate) struct Checker<'p, 't> {
    pub(crate) page: &'p mut Page<'t>,
    pub(crate) filler: Filler<'p>,
}

/// Approval time-outs end within a week: a held statement keeps a connection open.
const APPROVAL_MS: (u64, u64) = (1_000, 7 * 86_400_000);
const APPROVAL_MS_DEFAULT: u64 = 15 * 60_000;
/// A window in which is counted what an identity finds out: it is kept in memory.
const INFER_WINDOW_MS: (u64, u64) = (1_000, 7 * 86_400_000);
/// A login by browser lasts a month at most: nobody proves anything meanwhile where a provider cannot be asked again.
const RECHECK_MS: (u64, u64) = (1_000, 86_400_000);
const LOGIN_TTL_MS: (u64, u64) = (60_000, 30 * 86_400_000);
/// Times that limit a wait.
const WAIT_MS: (u64, u64) = (100, 86_400_000);

/// A way to write numbers.
struct Unit {
    what: &'static str,
    read: fn(&str) -> Option<u64>,
    show: fn(u64) -> String,
}

const DURATION: Unit = Unit { what: "a duration such as `15m`", read: values::duration_ms, show: values::show_ms };
const SIZE: Unit = Unit { what: "a size such as `64MiB`", read: values::bytes, show: values::show_bytes };
const COUNT: Unit = Unit { what: "a whole number", read: values::count, show: |n| n.to_string() };

impl Checker<'_, '_> {
    fn wrong(&mut self, text: &Text, message: impl Display) {
        self.wrong_with(text, message, None);
    }

    fn wrong_with(&mut self, text: &Text, message: impl Display, hint: Option<String>) {
        let width = text.value.chars().count();
        let problem = self.page.at(text.referenced, width, message.to_string());
        self.page.problems.push(match hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        });
    }

    fn not_carried(&mut self, place: Location, width: usize, what: &str, hint: &str) {
        let problem = self.page.at(place, width, format!("{what} is not carried by this build"));
        self.page.problems.push(if hint.is_empty() { problem } else { problem.with_hint(hint) });
    }

    /// The value with its placeholders filled in.
    fn fill(&mut self, text: &Text) -> Option<String> {
        match self.filler.fill(&text.value) {
            Ok(value) => Some(value),
            Err(unfilled) => {
                self.wrong_with(text, unfilled.message, unfilled.hint);
                None
            }
        }
    }

    fn optional(&mut self, text: Option<&Text>) -> Option<String> {
        text.and_then(|t| self.fill(t))
    }

    /// One of several words.
    fn word<T: Copy>(&mut self, text: Option<&Text>, what: &str, known: &[(&'static str, T)], default: T) -> T {
        let Some(text) = text else { return default };
        let Some(value) = self.fill(text) else { return default };
        if let Some((_, found)) = known.iter().find(|(name, _)| *name == value) {
            return *found;
        }
        let hint = match nearest(&value, known.iter().map(|(name, _)| *name)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                format!("use {}", known.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or "))
            }
        };
        self.wrong_with(text, format!("`{value}` is not {what}"), Some(hint));
        default
    }

    /// A number in a range, as `read` understands and `show` writes it.
    fn number(&mut self, text: Option<&Text>, default: u64, (min, max): (u64, u64), unit: &Unit) -> u64 {
        let Some(text) = text else { return default };
        let Some(value) = self.fill(text) else { return default };
        match (unit.read)(&value) {
            Some(number) if (min..=max).contains(&number) => return number,
            Some(_) => {
                let message = format!("`{value}` is out of range: {} to {}", (unit.show)(min), (unit.show)(max));
                self.wrong(text, message);
            }
            None => self.wrong(text, format!("`{value}` is not {}", unit.what)),
        }
        default
    }

    fn duration(&mut self, text: Option<&Text>, default: u64, range: (u64, u64)) -> u64 {
        self.number(text, default, range, &DURATION)
    }

    fn size(&mut self, text: Option<&Text>, default: u64, range: (u64, u64)) -> u64 {
        self.number(text, default, range, &SIZE)
    }

    fn count(&mut self, text: Option<&Text>, default: usize, max: u64) -> usize {
        let fallback = u64::try_from(default).unwrap_or(max);
        let number = self.number(text, fallback, (1, max), &COUNT);
        usize::try_from(number).unwrap_or(default)
    }

    fn path(&mut self, text: Option<&Text>, default: &str) -> PathBuf {
        let value = self.optional(text);
        self.filler.base.join(value.as_deref().unwrap_or(default))
    }

    /// A path to a file that must be there.
    fn file(&mut self, text: &Text) -> Option<PathBuf> {
        let path = self.filler.base.join(self.fill(text)?);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {
                self.filler.files.push(path.clone());
                Some(path)
            }
            Ok(_) => {
                self.wrong(text, format!("`{}` is not a file", path.display()));
                None
            }
            Err(e) => {
                self.wrong(text, format!("`{}` cannot be read: {e}", path.display()));
                None
            }
        }
    }

    fn listener(&mut self, text: Option<&Text>) -> Option<SocketAddr> {
        let text = text?;
        let value = self.fill(text)?;
        let address = values::listen_address(&value);
        if address.is_none() {
            let hint = Some("write `127.0.0.1:6432`, or `0.0.0.0:6432` for every interface".to_owned());
            self.wrong_with(text, format!("`{value}` is not an address to listen on"), hint);
        }
        address
    }

    /// The whole file. Without a mistake on the page, every value in the answer is as written.
    pub(crate) fn root(&mut self, root: &raw::Root) -> Config {
        let data_dir = self.path(root.data_dir.as_ref(), "data");
        if let Some(store) = &root.store {
            match self.fill(store).as_deref() {
                Some("sqlite") | None => {}
                Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                    self.not_carried(
                        store.referenced,
                        store.value.chars().count(),
                        "`store: postgres://…`",
                        "use `store: sqlite`",
                    );
                }
                Some(_) => self.wrong_with(store, "this is not a store", Some("use `sqlite`".to_owned())),
            }
        }
        if let Some(recordings) = &root.recordings {
            match self.fill(recordings).as_deref() {
                Some("data_dir") | None => {}
                Some(url) if url.starts_with("s3://") => {
                    let width = recordings.value.chars().count();
                    self.not_carried(
                        recordings.referenced,
                        width,
                        "`recordings: s3://…`",
                        "use `recordings: data_dir`",
                    );
                }
                Some(_) => {
                    self.wrong_with(recordings, "this is no place for recordings", Some("use `data_dir`".to_owned()))
                }
            }
        }
        let listen = self.listen(&root.listen);
        let url = root.url.as_ref().and_then(|text| self.url(text));
        let tls = root.tls.as_ref().and_then(|tls| self.key_files(tls));
        let admins = self.with_role(&root.identity.admins, "an administrator");
        let auditors = self.with_role(&root.identity.auditors, "an auditor");
        let (oidc, saml) = self.providers(&root.identity);
        let login_ttl_ms = self.duration(root.identity.login_ttl.as_ref(), limits::LOGIN_TTL_MS, LOGIN_TTL_MS);
        let scim = self.directories(&root.identity.scim);
        let recheck_ms = self.duration(root.identity.recheck.as_ref(), limits::RECHECK_MS, RECHECK_MS);
        let grace_ms = self.duration(root.identity.grace.as_ref(), limits::RECHECK_GRACE_MS, RECHECK_MS);
        let targets = self.targets(&root.targets);
        let detectors = self.detectors(&root.detectors);
        let classify = self.classify(&root.classify, &targets, &detectors);
        for notify in &root.approvals.notify {
            self.not_carried(notify.referenced, 1, "`approvals.notify`", "");
        }
        Config {
            recordings: data_dir.join("recordings"),
            data_dir,
            recording: self.recording(root.recording.as_ref()),
            listen,
            url,
            tls,
            admins,
            auditors,
            oidc,
            saml,
            login_ttl_ms,
            scim,
            recheck_ms,
            grace_ms,
            targets,
            classify,
            approval_timeout_ms: self.duration(root.approvals.timeout.as_ref(), APPROVAL_MS_DEFAULT, APPROVAL_MS),
            infer: self.infer(&root.infer),
            limits: self.limits(&root.limits),
            policies: self.path(root.policies.as_ref(), "policies"),
        }
    }

    /// A certificate chain and its key.
    fn key_files(&mut self, raw: &raw::Tls) -> Option<TlsFiles> {
        let (certificate, key) = (self.file(&raw.certificate), self.file(&raw.key));
        Some(TlsFiles { certificate: certificate?, key: key? })
    }

    /// Where browsers reach the gateway: scheme, host and port, and nothing after it, because its pages have their own paths.
    fn url(&mut self, text: &Text) -> Option<String> {
        let value = self.fill(text)?;
        let bare = value.strip_suffix('/').unwrap_or(&value);
        let host = bare.strip_prefix("https://").unwrap_or_default();
        if !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']'))
        {
            return Some(bare.to_owned());
        }
        let hint = Some("write `https://gateway.example.com:6443`, without a path".to_owned());
        self.wrong_with(text, format!("`{value}` is not where browsers can reach the gateway"), hint);
        None
    }

    fn recording(&mut self, raw: Option<&raw::Recording>) -> Recording {
        let known = [("none", Durability::None), ("fsync", Durability::Fsync)];
        Recording {
            durability: self.word(raw.and_then(|r| r.durability.as_ref()), "a durability", &known, Durability::None),
            result_bytes_max: self.size(
                raw.and_then(|r| r.result_bytes.as_ref()),
                limits::RECORD_RESULT_BYTES_MAX,
                (0, 1 << 40),
            ),
        }
    }

    fn listen(&mut self, raw: &raw::Listen) -> Listen {
        for (listener, name) in [(&raw.mysql, "mysql"), (&raw.ssh, "ssh")] {
            if let Some(text) = listener {
                self.not_carried(
                    text.referenced,
                    text.value.chars().count(),
                    &format!("`listen.{name}`"),
                    "leave it out",
                );
            }
        }
        let listen = Listen {
            postgres: self.listener(raw.postgres.as_ref()),
            https: self.listener(raw.https.as_ref()),
            metrics: self.listener(raw.metrics.as_ref()),
        };
        let bound = [(&raw.postgres, listen.postgres), (&raw.https, listen.https), (&raw.metrics, listen.metrics)];
        let mut taken: Vec<SocketAddr> = Vec::new();
        for (text, address) in bound {
            let (Some(text), Some(address)) = (text, address) else { continue };
            // Port 0 asks the system for a free one, each time another.
            if address.port() != 0 && taken.contains(&address) {
                self.wrong(text, format!("`{address}` is taken by another listener"));
            }
            taken.push(address);
        }
        listen
    }

    fn targets(&mut self, raw: &[Spanned<raw::Target>]) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for target in raw.iter().map(|t| &t.value) {
            let Some(checked) = self.target(target) else { continue };
            if targets.iter().any(|t| t.name == checked.name) {
                self.wrong(&target.name, format!("there is another target `{}`", checked.name));
            }
            targets.push(checked);
        }
        targets
    }

    fn target(&mut self, raw: &raw::Target) -> Option<Target> {
        let protocols = ["postgres", "mysql", "ssh", "http", "kubernetes", "mcp"].map(|p| (p, p));
        let protocol = self.word(Some(&raw.protocol), "a protocol", &protocols, "postgres");
        let name = self.fill(&raw.name).and_then(|value| match value.parse::<TargetName>() {
            Ok(name) => Some(name),
            Err(e) => {
                self.wrong(&raw.name, e);
                None
            }
        });
        if protocol != "postgres" {
            let what = format!("`protocol: {protocol}`");
            self.not_carried(raw.protocol.referenced, protocol.len(), &what, "this build carries `postgres`");
            return None;
        }
        if let Some(via) = &raw.via {
            self.not_carried(
                via.referenced,
                via.value.chars().count(),
                "`via`",
                "the gateway must reach the target itself",
            );
        }
        let rewrites = self.rewrites(raw);
        let laundering = [("deny", false), ("propagate", true)];
        let propagates = self.word(raw.laundering.as_ref(), "an answer to laundering", &laundering, false);
        let address = self.fill(&raw.address).and_then(|value| {
            let address = values::host_address(&value, 5432);
            if address.is_none() {
                self.wrong(&raw.address, format!("`{value}` is not an address: write `host:port`"));
            }
            address
        });
        let username = self.username(raw);
        let modes =
            [("verify-full", TlsMode::VerifyFull), ("require", TlsMode::Require), ("disable", TlsMode::Disable)];
        let tls = self.word(raw.tls.as_ref(), "a TLS mode", &modes, TlsMode::VerifyFull);
        let ca = raw.ca.as_ref().and_then(|text| self.file(text));
        if let (Some(text), true) = (&raw.ca, tls != TlsMode::VerifyFull) {
            self.wrong(text, "`ca` has no effect unless `tls` is `verify-full`");
        }
        let password = raw.password.as_ref().and_then(|text| self.fill(text)).map(Secret::new);
        let labels: BTreeMap<String, String> = raw
            .labels
            .iter()
            .filter_map(|(key, text)| {
                let value = self.fill(text)?;
                if key.is_empty() || key.contains('=') || value.is_empty() {
                    self.wrong(text, format!("`{key}: {value}` is not a label of a target: neither part may be empty, and the key has no `=`"));
                }
                Some((key.clone(), value))
            })
            .collect();
        let databases = self.names(&raw.databases, "a database");
        let safe_functions = self.names(&raw.safe_functions, "a function");
        for (text, function) in raw.safe_functions.iter().zip(&safe_functions) {
            if function.split('.').count() != 2 || function.split('.').any(str::is_empty) {
                self.wrong(text, format!("`{function}` is not a function: write `schema.function`"));
            }
        }
        let database = self.optional(raw.database.as_ref());
        let name = name?;
        Some(Target {
            database: database.unwrap_or_else(|| name.as_str().to_owned()),
            name,
            address: address?,
            databases,
            username: username?,
            password,
            tls,
            ca,
            labels,
            safe_functions,
            rewrites,
            propagates,
        })
    }

    fn rewrites(&mut self, raw: &raw::Target) -> Rewrites {
        let modes = [("mask", false), ("rewrite", true)];
        let mut rewrites = Rewrites {
            everybody: self.word(raw.enforcement.as_ref(), "an enforcement", &modes, false),
            ..Rewrites::default()
        };
        for text in &raw.rewrite_for {
            let Some(value) = self.fill(text) else { continue };
            match value.split_once(':') {
                Some(("group", name)) if !name.is_empty() => rewrites.groups.push(name.to_owned()),
                Some(("kind", name)) if IdentityKind::from_name(name).is_some() => {
                    rewrites.kinds.extend(IdentityKind::from_name(name));
                }
                _ => {
                    let message = format!("`{value}` is neither a group nor a kind of identities");
                    let hint = "write `group:NAME`, `kind:human`, `kind:service` or `kind:agent`";
                    self.wrong_with(text, message, Some(hint.to_owned()));
                }
            }
        }
        rewrites
    }

    fn username(&mut self, raw: &raw::Target) -> Option<RoleName> {
        let Some(text) = &raw.username else {
            self.wrong(&raw.name, "the target has no `username`: the role that the gateway logs in as");
            return None;
        };
        let value = self.fill(text)?;
        let rest = value.replace("{user}", "");
        if value.is_empty() || rest.contains(['{', '}']) {
            self.wrong_with(
                text,
                format!("`{value}` is not a role"),
                Some("the only placeholder here is `{user}`".to_owned()),
            );
            return None;
        }
        Some(RoleName(value))
    }

    /// A list of names that may not be empty.
    fn names(&mut self, texts: &[Text], what: &str) -> Vec<String> {
        let mut names = Vec::new();
        for text in texts {
            match self.fill(text) {
                Some(name) if name.trim().is_empty() => self.wrong(text, format!("`{name}` is not {what}")),
                Some(name) => names.push(name),
                None => {}
            }
        }
        names
    }

    fn classify(&mut self, raw: &[raw::Classify], targets: &[Target], custom: &[Arc<Custom>]) -> Vec<Classification> {
        let mut all = Vec::new();
        for entry in raw {
            for text in entry.fields.iter().take(1) {
                self.not_carried(
                    text.referenced,
                    text.value.chars().count(),
                    "`classify.fields`",
                    "it is about HTTP targets",
                );
            }
            let label = self.fill(&entry.label).and_then(|value| match value.parse::<Label>() {
                Ok(label) => Some(label),
                Err(e) => {
                    self.wrong(&entry.label, e);
                    None
                }
            });
            let mut columns = Vec::new();
            for text in &entry.columns {
                let Some(value) = self.fill(text) else { continue };
                match value.parse::<ColumnPattern>() {
                    Ok(pattern) => {
                        self.known_target(text, &pattern, targets);
                        columns.push(pattern);
                    }
                    Err(e) => self.wrong(text, e),
                }
            }
            let detect = self.detect(&entry.detect, custom);
            if entry.columns.is_empty() && entry.fields.is_empty() && entry.detect.is_empty() {
                self.wrong(&entry.label, "this label is found nowhere: add `columns` or `detect`");
            }
            if let Some(label) = label {
                all.push(Classification { label, columns, detect });
            }
        }
        all
    }

    /// The detectors that people define.
    fn detectors(&mut self, raw: &[raw::Detector]) -> Vec<Arc<Custom>> {
        let mut all: Vec<Arc<Custom>> = Vec::new();
        for entry in raw {
            let Some(name) = self.fill(&entry.name) else { continue };
            if name.trim().is_empty() || Kind::names().any(|known| known == name) {
                self.wrong(&entry.name, format!("`{name}` cannot be the name of a detector of your own"));
                continue;
            }
            if all.iter().any(|known| known.name() == name) {
                self.wrong(&entry.name, format!("two detectors are called `{name}`"));
                continue;
            }
            let pattern = entry.pattern.as_ref().and_then(|text| self.fill(text));
            let keywords = self.names(&entry.keywords, "a keyword");
            let context = self.names(&entry.context, "a word");
            let checksum = entry.checksum.as_ref().and_then(|text| {
                let value = self.fill(text)?;
                match value.parse::<Checksum>() {
                    Ok(checksum) => Some(checksum),
                    Err(error) => {
                        self.wrong(text, error);
                        None
                    }
                }
            });
            match Custom::new(&name, pattern.as_deref(), &keywords, checksum, &context) {
                Ok(custom) => all.push(Arc::new(custom)),
                Err(error) => self.wrong(entry.pattern.as_ref().unwrap_or(&entry.name), error),
            }
        }
        all
    }

    /// The detectors of a label by their names.
    fn detect(&mut self, names: &[Text], custom: &[Arc<Custom>]) -> Detect {
        let mut detect = Detect::default();
        for text in names {
            let Some(name) = self.fill(text) else { continue };
            if let Some(own) = custom.iter().find(|c| c.name() == name) {
                detect.custom.push(Arc::clone(own));
                continue;
            }
            match Kind::named(&name) {
                Ok(kinds) => detect.kinds.extend(kinds),
                Err(error) => {
                    let mut known: Vec<&str> = Kind::names().collect();
                    known.extend(custom.iter().map(|c| c.name()));
                    let hint = nearest(&name, known).map(|meant| format!("did you mean `{meant}`?"));
                    self.wrong_with(text, error.to_string(), hint);
                }
            }
        }
        detect
    }

    /// A misspelt target would leave its columns unmasked.
    fn known_target(&mut self, text: &Text, pattern: &ColumnPattern, targets: &[Target]) {
        if targets.iter().any(|t| matches_glob(&pattern.target, t.name.as_str())) || pattern.target == "*" {
            return;
        }
        let hint = nearest(&pattern.target, targets.iter().map(|t| t.name.as_str()))
            .map(|meant| format!("did you mean `{meant}`?"));
        self.wrong_with(text, format!("no target is called `{}`", pattern.target), hint);
    }

    fn infer(&mut self, raw: &raw::Infer) -> Infer {
        let window = self.duration(raw.window.as_ref(), limits::INFER_WINDOW_MS, INFER_WINDOW_MS);
        Infer {
            probes_max: self.count(raw.probes.as_ref(), limits::INFER_PROBES, limits::INFER_PROBES_MAX),
            window_ms: i64::try_from(window).unwrap_or(i64::MAX),
            group_min: u64::try_from(self.count(raw.group.as_ref(), limits::INFER_GROUP_MIN, 1_000_000))
                .unwrap_or(u64::MAX),
        }
    }

    fn limits(&mut self, raw: &raw::Limits) -> Limits {
        Limits {
            sessions_max: self.count(raw.sessions.as_ref(), limits::SESSIONS_MAX, 1_000_000),
            preauth_max: self.count(raw.preauth.as_ref(), limits::PREAUTH_MAX, 100_000),
            preauth_per_source_max: self.count(
                raw.preauth_per_source.as_ref(),
                limits::PREAUTH_PER_SOURCE_MAX,
                100_000,
            ),
            login_ms_max: self.duration(raw.login.as_ref(), limits::LOGIN_MS_MAX, WAIT_MS),
            dial_ms_max: self.duration(raw.dial.as_ref(), limits::DIAL_MS_MAX, WAIT_MS),
            write_stall_ms_max: self.duration(raw.write_stall.as_ref(), limits::WRITE_STALL_MS_MAX, WAIT_MS),
            drain_ms_max: self.duration(raw.drain.as_ref(), limits::DRAIN_MS_MAX, WAIT_MS),
        }
    }
}

/// The folder that relative paths start from: the one the file is in.
pub(crate) fn base_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
