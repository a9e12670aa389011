//! The secret from which `hash` and `token` values are made.
//!
//! One key per label and method, derived with HMAC-SHA-256. The same label gives the same key in every table and target of
//! one gateway, so that joins on tokens work across them; two labels share nothing. A key is not a way back: values are
//! digested, never encrypted.

use crate::method::Method;
use aws_lc_rs::hmac;
use lockgate_core::Label;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Derived keys that are kept. Labels come from the configuration, so that a real set is far smaller.
const DERIVED_KEYS_MAX: usize = 4_096;

/// The keyed material of `hash` and `token`. It has no `Debug` (promise 9).
///
/// ```compile_fail
/// let keys = lockgate_mask::MaskKeys::new(&[7; 32]);
/// println!("{keys:?}");
/// ```
pub struct MaskKeys {
    root: hmac::Key,
    derived: Mutex<HashMap<(Method, Label), ValueKey>>,
}

impl MaskKeys {
    /// From 32 random bytes. Another secret gives other tokens: it must be kept with the gateway's own keys.
    pub fn new(secret: &[u8; 32]) -> Self {
        MaskKeys { root: hmac::Key::new(hmac::HMAC_SHA256, secret), derived: Mutex::new(HashMap::new()) }
    }

    /// The key for values under `label`.
    pub(crate) fn key(&self, method: Method, label: &Label) -> ValueKey {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = derived.get(&(method, label.clone())) {
            return key.clone();
        }
        let mut context = hmac::Context::with_key(&self.root);
        context.update(b"lockgate mask 1\0");
        context.update(method.name().as_bytes());
        context.update(b"\0");
        context.update(label.as_str().as_bytes());
        let key = ValueKey(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref())));
        if derived.len() < DERIVED_KEYS_MAX {
            derived.insert((method, label.clone()), key.clone());
        }
        key
    }
}

/// The key of one label and one method.
#[derive(Clone)]
pub(crate) struct ValueKey(Arc<hmac::Key>);

impl ValueKey {
    /// The keyed digest of a value's canonical text.
    pub(crate) fn digest(&self, text: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(hmac::sign(&self.0, text).as_ref()) {
            *to = *from;
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_secret_label_and_method_and_by_nothing_else() {
        let (a, b): (Label, Label) = ("pii/ssn".parse().unwrap(), "pii/email".parse().unwrap());
        let (one, two) = (MaskKeys::new(&[1; 32]), MaskKeys::new(&[2; 32]));
        let digest = |keys: &MaskKeys, method, label| keys.key(method, label).digest(b"x");
        let first = digest(&one, Method::Hash, &a);
        assert_eq!(first, digest(&one, Method::Hash, &a));
        assert_eq!(first, digest(&MaskKeys::new(&[1; 32]), Method::Hash, &a));
        assert_ne!(first, digest(&two, Method::Hash, &a));
        assert_ne!(first, digest(&one, Method::Token, &a));
        assert_ne!(first, digest(&one, Method::Hash, &b));
        assert_ne!(first, [0; 32]);
    }
}
