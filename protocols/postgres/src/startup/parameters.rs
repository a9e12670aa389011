//! The parameters of a startup packet, sorted: which the target may get, which nobody but an administrator may set,
//! and the parts of `options` among both.
//!
//! The allow-list holds settings that change how a session's data looks or how long it may take. Whatever changes who
//! the session is (`role`, `session_authorization`), how its statements are read (`standard_conforming_strings`), or
//! what it may see (`row_security`, settings of extensions) is not on it. `options` never reaches a target as it is: its
//! entries become parameters, which PostgreSQL treats alike, except that a parameter wins over an entry of the same name.

use super::StartupError;

/// Settings that every identity may set at startup, in lower case.
const ALLOWED: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
    "work_mem",
    "xmloption",
];

/// What the parameters of a startup packet amount to.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) user: String,
    pub(super) database: Option<String>,
    pub(super) application_name: Option<String>,
    pub(super) replication: Option<String>,
    pub(super) forwarded: Vec<(String, String)>,
    pub(super) refused: Vec<(String, String)>,
    pub(super) protocol_options: Vec<String>,
    /// The names seen, in lower case. The packet's size bounds how many there are.
    seen: std::collections::HashSet<String>,
    options: Vec<(String, String)>,
}

impl Sorted {
    /// Takes the next parameter of the packet.
    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), StartupError> {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "user" => value.clone_into(&mut self.user),
            "database" => self.database = (!value.is_empty()).then(|| value.to_owned()),
            "replication" => self.replication = replication(value)?,
            "options" => self.options = options(value)?,
            _ if lower.starts_with("_pq_.") => self.protocol_options.push(name.to_owned()),
            _ => self.sort(name, &lower, value),
        }
        if self.seen.contains(&lower) {
            return Err(StartupError::Duplicate(lower));
        }
        self.seen.insert(lower);
        Ok(())
    }

    fn sort(&mut self, name: &str, lower: &str, value: &str) {
        if lower == "application_name" {
            self.application_name = Some(value.to_owned());
        }
        let list = if ALLOWED.contains(&lower) { &mut self.forwarded } else { &mut self.refused };
        list.push((name.to_owned(), value.to_owned()));
    }

    /// All parameters were taken. Adds the entries of `options`: the last of a name counts, and none where the packet
    /// has a parameter of that name.
    pub(super) fn finish(mut self) -> Result<Self, StartupError> {
        if self.user.is_empty() {
            return Err(StartupError::MissingUser);
        }
        for (name, value) in std::mem::take(&mut self.options).into_iter().rev() {
            let lower = name.to_ascii_lowercase();
            if self.seen.insert(lower.clone()) {
                self.sort(&name, &lower, &value);
            }
        }
        Ok(self)
    }
}

/// Whether `replication` asks for the replication protocol, and for which kind: `true` or `database`.
fn replication(value: &str) -> Result<Option<String>, StartupError> {
    match value.to_ascii_lowercase().as_str() {
        "false" | "off" | "no" | "0" => Ok(None),
        "true" | "on" | "yes" | "1" => Ok(Some("true".to_owned())),
        "database" => Ok(Some("database".to_owned())),
        _ => Err(StartupError::BadValue { name: "replication", why: "neither a boolean nor `database`" }),
    }
}

/// Takes `options` apart as PostgreSQL does (pg_split_opts, ParseLongOption): words between white space, in which a
/// backslash takes the meaning of the next character away; `-c name=value`, `-cname=value` and `--name=value`. The
/// other switches of the server's command line are not taken.
fn options(text: &str) -> Result<Vec<(String, String)>, StartupError> {
    let bad = |why| StartupError::BadValue { name: "options", why };
    let mut entries = Vec::new();
    let mut words = words(text).into_iter();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => long.to_owned(),
            (None, Some("")) => words.next().ok_or_else(|| bad("`-c` without a setting"))?,
            (None, Some(joined)) => joined.to_owned(),
            (None, None) => return Err(bad("only `-c name=value` and `--name=value` are taken")),
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| bad("a setting without a value"))?;
        let name = name.replace('-', "_");
        // These mean something else in the packet itself, and nothing as settings.
        let reserved = ["user", "database", "replication", "options"];
        if name.is_empty() || reserved.iter().any(|r| name.eq_ignore_ascii_case(r)) || name.starts_with("_pq_.") {
            return Err(bad("a setting with a name that no setting has"));
        }
        entries.push((name, value.to_owned()));
    }
    Ok(entries)
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            // C's isspace in the locale "C".
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// Whether an encoding name means UTF-8. PostgreSQL compares letters and digits only, without regard to case.
pub fn is_utf8(name: &str) -> bool {
    let clean: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    matches!(clean.as_str(), "utf8" | "unicode")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(list: &[(&str, &str)]) -> Result<Sorted, StartupError> {
        let mut sorted = Sorted::default();
        sorted.add("user", "alice")?;
        list.iter().try_for_each(|(name, value)| sorted.add(name, value))?;
        sorted.finish()
    }

    fn show(list: &[(String, String)]) -> String {
        list.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn allowed_and_refused() {
        let sorted = sorted(&[
            ("DateStyle", "ISO, MDY"),
            ("TIMEZONE", "UTC"),
            ("application_name", "psql"),
            ("role", "postgres"),
            ("session_authorization", "postgres"),
            ("standard_conforming_strings", "off"),
            ("app.tenant", "7"),
        ])
        .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(show(&sorted.forwarded), "DateStyle=ISO, MDY TIMEZONE=UTC application_name=psql");
        assert_eq!(
            show(&sorted.refused),
            "role=postgres session_authorization=postgres standard_conforming_strings=off app.tenant=7"
        );
        assert_eq!(sorted.application_name.as_deref(), Some("psql"));
    }

    #[test]
    fn options_are_taken_apart() {
        for (options, forwarded, refused) in [
            ("", "", ""),
            ("   ", "", ""),
            ("-c geqo=off", "geqo=off", ""),
            ("-cgeqo=off", "geqo=off", ""),
            ("--geqo=off", "geqo=off", ""),
            ("--statement-timeout=5s", "statement_timeout=5s", ""),
            ("-c  work_mem=1MB\t--jit=off", "jit=off work_mem=1MB", ""),
            ("-c search_path=a,\\ b", "search_path=a, b", ""),
            ("-c search_path=a\\\\b", "search_path=a\\b", ""),
            ("-c geqo=on -c geqo=off", "geqo=off", ""),
            ("-c role=postgres", "", "role=postgres"),
            ("-c ROLE=postgres -c geqo=on", "geqo=on", "ROLE=postgres"),
            ("-c work_mem=a=b", "work_mem=a=b", ""),
        ] {
            let sorted = sorted(&[("options", options)]).unwrap_or_else(|e| panic!("{options}: {e}"));
            assert_eq!((show(&sorted.forwarded).as_str(), show(&sorted.refused).as_str()), (forwarded, refused));
        }
    }

    #[test]
    fn options_that_cannot_be_read() {
        for options in [
            "geqo=off",
            "-c",
            "-c geqo",
            "--geqo",
            "-c =x",
            "-p 5432",
            "-d 5",
            "-",
            "--",
            "-C x=1",
            "-c user=postgres",
            "--options=-crole=x",
            "-c Replication=true",
        ] {
            assert!(sorted(&[("options", options)]).is_err(), "{options}");
        }
    }

    #[test]
    fn a_parameter_wins_over_an_option() {
        for list in [
            [("options", "-c geqo=off -c DATESTYLE=German"), ("DateStyle", "ISO")],
            [("DateStyle", "ISO"), ("options", "-c geqo=off -c DATESTYLE=German")],
        ] {
            let sorted = sorted(&list).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(show(&sorted.forwarded), "DateStyle=ISO geqo=off");
        }
    }

    #[test]
    fn replication_values() {
        for (value, expect) in
            [("true", Some("true")), ("ON", Some("true")), ("database", Some("database")), ("off", None)]
        {
            assert_eq!(replication(value), Ok(expect.map(str::to_owned)), "{value}");
        }
        assert!(replication("maybe").is_err());
    }

    #[test]
    fn spellings_of_utf8() {
        for name in ["UTF8", "utf-8", "Utf_8", "unicode"] {
            assert!(is_utf8(name), "{name}");
        }
        for name in ["LATIN1", "SQL_ASCII", "utf88", ""] {
            assert!(!is_utf8(name), "{name}");
        }
    }
}
