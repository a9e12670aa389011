//! Which uses of a token at the API are news. Every use is on record, and what a token does over and over from one place,
//! such as a page that is kept up to date, once a minute. Sessions have recordings of their own.

use lockgate_core::Timestamp;
use lockgate_core::limits::{TOKEN_USE_MS, TOKEN_USES_MAX};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// A token, a place, and what was asked for.
type Use = (String, IpAddr, String);

/// The uses of the last minute.
#[derive(Default)]
pub struct Uses(Mutex<HashMap<Use, Timestamp>>);

impl Uses {
    /// Whether this has to be put on record. Where there are too many to remember, all are news.
    pub fn is_news(&self, token: &str, source: IpAddr, what: &str, now: Timestamp) -> bool {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (token.to_owned(), source, what.to_owned());
        if uses.get(&key).is_some_and(|at| is_recent(*at, now)) {
            return false;
        }
        if uses.len() >= TOKEN_USES_MAX {
            uses.retain(|_, at| is_recent(*at, now));
        }
        if uses.len() < TOKEN_USES_MAX {
            uses.insert(key, now);
        }
        true
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    (0..TOKEN_USE_MS).contains(&now.millis_since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn the_same_is_news_once_a_minute() {
        let uses = Uses::default();
        let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(uses.is_news("a", HERE, "GET /x", at(0)));
        assert!(!uses.is_news("a", HERE, "GET /x", at(TOKEN_USE_MS - 1)));
        for (token, source, what) in [("b", HERE, "GET /x"), ("a", elsewhere, "GET /x"), ("a", HERE, "GET /y")] {
            assert!(uses.is_news(token, source, what, at(1)), "{token} {source} {what}");
        }
        assert!(uses.is_news("a", HERE, "GET /x", at(TOKEN_USE_MS)));
        assert!(uses.is_news("a", HERE, "GET /x", at(-TOKEN_USE_MS)), "a clock that went back hides nothing");
    }

    #[test]
    fn too_many_to_remember_are_all_news() {
        let uses = Uses::default();
        for n in 0..TOKEN_USES_MAX + 5 {
            assert!(uses.is_news(&n.to_string(), HERE, "x", at(0)));
        }
        assert!(uses.is_news(&(TOKEN_USES_MAX + 1).to_string(), HERE, "x", at(1)));
        assert!(uses.0.lock().unwrap().len() <= TOKEN_USES_MAX);
    }
}
