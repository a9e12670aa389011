//! What can go wrong with the store, each in one line that says what to do.

use std::path::{Path, PathBuf};

/// The store cannot do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory cannot be made, read or protected.
    #[error("cannot {what} `{}`", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A newer Lockgate wrote the store.
    #[error("`{}` has schema {found}, this lockgate knows up to {known}: run the newer version", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The schema found.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// The file is damaged or is no database.
    #[error("`{}` is damaged or not a lockgate store: restore it from a backup", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What the database engine says.
        #[source]
        source: sqlx::Error,
    },
    /// A gateway has recorded here, and its store is not there any more.
    #[error(
        "`{}` is missing or empty, but a gateway has recorded here: restore it from a backup, or use another data_dir",
        path.display()
    )]
    Gone {
        /// The database file.
        path: PathBuf,
    },
    /// Somebody else holds the database.
    #[error("`{}` is locked by another process: stop it, or try again", path.display())]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// Another gateway serves from this directory.
    #[error("another gateway serves from `{}`: stop it, or give this one its own data_dir", path.display())]
    AlreadyServing {
        /// The data directory.
        path: PathBuf,
    },
    /// The store was written under a master key that is not there.
    #[error("`{}` is missing, but the store was written with it: restore it from a backup", path.display())]
    KeyMissing {
        /// The key file.
        path: PathBuf,
    },
    /// The master key is not the one that the store was written under.
    #[error("`{}` is not the key that this store was written with: restore the right one", path.display())]
    KeyMismatch {
        /// The key file.
        path: PathBuf,
    },
    /// The master key's file does not hold a key.
    #[error("`{}` does not hold a key of 64 hexadecimal digits: restore it from a backup", path.display())]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// The database refused a statement.
    #[error("cannot {what} in the store")]
    Database {
        /// What was tried.
        what: &'static str,
        /// What the database engine says.
        #[source]
        source: sqlx::Error,
    },
    /// A row of the store does not hold what it should.
    #[error("a row of the store is not readable: {0}")]
    Row(String),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
    /// Somebody or something has the name already.
    #[error("{0}")]
    Taken(String),
    /// What was asked for is not allowed; the text says which rule.
    #[error("{0}")]
    Refused(String),
}

impl StoreError {
    pub(crate) fn file(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        StoreError::File { what, path: path.to_owned(), source }
    }

    /// Names the damage when an error comes from opening the database.
    pub(crate) fn opening(path: &Path, source: sqlx::Error) -> Self {
        match primary_code(&source) {
            // SQLITE_BUSY, SQLITE_LOCKED
            Some(5 | 6) => StoreError::Locked { path: path.to_owned() },
            // SQLITE_CORRUPT, SQLITE_NOTADB
            Some(11 | 26) => StoreError::Damaged { path: path.to_owned(), source },
            _ => StoreError::Database { what: "open the database", source },
        }
    }

    /// For `map_err` at one statement.
    pub(crate) fn doing(what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| StoreError::Database { what, source }
    }
}

/// SQLite's primary result code: the low byte of the extended one.
fn primary_code(error: &sqlx::Error) -> Option<i64> {
    let sqlx::Error::Database(db) = error else { return None };
    db.code()?.parse::<i64>().ok().map(|code| code & 0xff)
}
