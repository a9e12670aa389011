//! The secrets from which `hash` and `token` values are made, and by which tokens are read again.
//!
//! One root per gateway, and per label four keys below it (HKDF-SHA256, RFC 5869): the same label gives the same keys in
//! every table and target, so that joins on tokens work across them; two labels share nothing. `token` can be read again
//! with its keys, which is what [`MaskKeys::detokenize`](crate::MaskKeys::detokenize) does; nothing ever reads a `hash`.

use crate::ff1::Ff1;
use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use lockgate_core::Label;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Labels whose keys are kept. Labels come from the configuration, so that a real set is far smaller.
const LABELS_KEPT_MAX: usize = 4_096;

/// The keyed material of `hash` and `token`. It has no `Debug` (promise 9).
///
/// ```
/// let keys = lockgate_mask::MaskKeys::new(&[7; 32]);
/// ```
/// ```compile_fail
/// let keys = lockgate_mask::MaskKeys::new(&[7; 32]);
/// println!("{keys:?}");
/// ```
pub struct MaskKeys {
    root: hkdf::Prk,
    labels: Mutex<HashMap<Label, Arc<LabelKeys>>>,
}

/// The keys of one label.
pub(crate) struct LabelKeys {
    /// Deterministic authenticated encryption of what a token can carry.
    pub(crate) seal: LessSafeKey,
    /// The permutations of numbers that tokens are.
    pub(crate) permute: Ff1,
    /// The digests that `hash` shows, and the tokens of values too long to be carried.
    pub(crate) digest: hmac::Key,
    /// The permutations of numbers that `hash` shows: without collisions, and without a way back that anybody offers.
    pub(crate) scramble: Ff1,
}

impl MaskKeys {
    /// From 32 random bytes. Another secret gives other tokens: it must be kept with the gateway's own keys.
    pub fn new(secret: &[u8; 32]) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"lockgate mask values v1").extract(secret);
        MaskKeys { root, labels: Mutex::new(HashMap::new()) }
    }

    /// The keys for values under `label`; `None` when the library refuses to make them, and then nothing keyed is shown.
    pub(crate) fn label(&self, label: &Label) -> Option<Arc<LabelKeys>> {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = labels.get(label) {
            return Some(Arc::clone(keys));
        }
        let keys = Arc::new(LabelKeys {
            seal: LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, self.derive("seal", label)?.as_slice()).ok()?),
            permute: Ff1::new(self.derive("permute", label)?.as_slice())?,
            digest: hmac::Key::new(hmac::HMAC_SHA256, self.derive("digest", label)?.as_slice()),
            scramble: Ff1::new(self.derive("scramble", label)?.as_slice())?,
        });
        if labels.len() < LABELS_KEPT_MAX {
            labels.insert(label.clone(), Arc::clone(&keys));
        }
        Some(keys)
    }

    /// A digest of a value that a column was compared with, by which the same value is known again and no other way leads
    /// to it; `None` when the library refuses.
    pub fn probe(&self, column: &str, value: &[u8]) -> Option<[u8; 16]> {
        let mut key = Zeroizing::new([0; 32]);
        self.root
            .expand(&[b"probe\0", column.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(key.as_mut_slice()))
            .ok()?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), value);
        tag.as_ref().first_chunk().copied()
    }

    /// The key for one use of a label. No label contains a zero byte, so that no two uses share one.
    fn derive(&self, use_: &str, label: &Label) -> Option<Zeroizing<[u8; 32]>> {
        let info = [use_.as_bytes(), b"\0", label.as_str().as_bytes()];
        let mut key = Zeroizing::new([0; 32]);
        self.root.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(key.as_mut_slice())).ok()?;
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_secret_label_and_use_and_by_nothing_else() {
        let (a, b): (Label, Label) = ("pii/ssn".parse().unwrap(), "pii/email".parse().unwrap());
        let (one, two) = (MaskKeys::new(&[1; 32]), MaskKeys::new(&[2; 32]));
        let derive = |keys: &MaskKeys, use_, label| *keys.derive(use_, label).unwrap();
        let first = derive(&one, "seal", &a);
        assert_eq!(first, derive(&one, "seal", &a));
        assert_eq!(first, derive(&MaskKeys::new(&[1; 32]), "seal", &a));
        assert_ne!(first, derive(&two, "seal", &a));
        assert_ne!(first, derive(&one, "digest", &a));
        assert_ne!(first, derive(&one, "seal", &b));
        assert_ne!(first, [0; 32]);
        let probe = one.probe("public.people.ssn", b"a");
        assert!(probe.is_some() && probe == one.probe("public.people.ssn", b"a"));
        assert_ne!(probe, one.probe("public.people.ssn", b"b"));
        assert_ne!(probe, one.probe("public.people.email", b"a"));
        assert_ne!(probe, two.probe("public.people.ssn", b"a"));
        assert!(Arc::ptr_eq(&one.label(&a).unwrap(), &one.label(&a).unwrap()));
    }
}
