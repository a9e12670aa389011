//! XML signatures in the one form that SAML allows (core, section 5.4) and only in that: enveloped in what they sign, with one
//! reference, to the element around them, by its `ID`.
//!
//! The outcome is not a boolean but a [`Signed`]: a reference to the very element whose canonical form was hashed. Whoever reads
//! claims gets such a value and reads below it. `KeyInfo` is not looked at.

use crate::canonical::{Method, canonical};
use crate::encoding::base64_decode;
use crate::encrypted::Opened;
use crate::keys::{SignatureAlgorithm, VerificationKey};
use crate::names;
use crate::refusal::Refusal;
use crate::xml::Element;
use aws_lc_rs::digest;
use lockgate_core::limits;

/// An element whose signature was verified, without that signature. It is made here only.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'t>(&'t Element);

impl<'t> Signed<'t> {
    /// The element that was signed.
    pub fn element(self) -> &'t Element {
        self.0
    }

    /// An element directly below, which was signed with it.
    pub fn below(self, namespace: &'static str, local: &'static str) -> Option<Signed<'t>> {
        self.0.named(namespace, local).next().map(Signed)
    }

    /// What was encrypted in it, which was signed with it.
    pub fn opened(self, plain: &Opened) -> Signed<'_> {
        Signed(plain.element())
    }
}

/// What a signature says about itself.
struct Parts<'t> {
    info: &'t Element,
    info_method: Method,
    algorithm: SignatureAlgorithm,
    value: Vec<u8>,
    reference: &'t str,
    method: Method,
    digest: &'static digest::Algorithm,
    digest_value: Vec<u8>,
}

/// The signature that is directly below an element, if there is one.
pub(crate) fn of(element: &Element) -> Result<Option<&Element>, Refusal> {
    let mut signatures = element.named(names::DSIG, "Signature");
    let first = signatures.next();
    if signatures.next().is_some() {
        return Err(Refusal::SignatureForm("there are two signatures of one element"));
    }
    Ok(first)
}

/// Verifies the signature of `element` that is directly below it.
pub(crate) fn verify<'t>(
    element: &'t Element,
    signature: &'t Element,
    keys: &[VerificationKey],
) -> Result<Signed<'t>, Refusal> {
    let parts = read(signature)?;
    let id = element.attribute("ID").filter(|id| !id.is_empty());
    if id.is_none() || id != Some(parts.reference) {
        return Err(Refusal::SignatureForm("its reference is not to the element around it"));
    }
    let too_long = |_| Refusal::TooLarge(limits::SAML_CANONICAL_BYTES_MAX);
    let content = canonical(element, &parts.method, Some(signature)).map_err(too_long)?;
    if digest::digest(parts.digest, &content).as_ref() != parts.digest_value {
        return Err(Refusal::SignatureWrong("what it signs was changed"));
    }
    let info = canonical(parts.info, &parts.info_method, None).map_err(too_long)?;
    if !keys.iter().any(|key| key.verifies(parts.algorithm, &info, &parts.value)) {
        return Err(Refusal::SignatureWrong("it was not made with a key of the configured provider"));
    }
    Ok(Signed(element))
}

/// The children of an element, which has to have these, once each and in this order, and nothing else.
fn exactly<'t, const N: usize>(element: &'t Element, wanted: [&str; N]) -> Result<[&'t Element; N], Refusal> {
    let malformed = || Refusal::SignatureForm("it has not the parts that a signature has");
    let children: Vec<&Element> = element.elements().collect();
    let same = children.len() == N && children.iter().zip(wanted).all(|(child, name)| child.is(names::DSIG, name));
    if !same || element.has_text() {
        return Err(malformed());
    }
    children.try_into().map_err(|_| malformed())
}

fn read(signature: &Element) -> Result<Parts<'_>, Refusal> {
    let form = Refusal::SignatureForm;
    let has_key_info = signature.named(names::DSIG, "KeyInfo").next().is_some();
    let (info, value) = match has_key_info {
        true => {
            let [info, value, _] = exactly(signature, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
            (info, value)
        }
        false => {
            let [info, value] = exactly(signature, ["SignedInfo", "SignatureValue"])?;
            (info, value)
        }
    };
    if info.named(names::DSIG, "Reference").count() > 1 {
        return Err(form("it has several references"));
    }
    let [canonicalization, method, reference] =
        exactly(info, ["CanonicalizationMethod", "SignatureMethod", "Reference"])?;
    let [transforms, digest_method, digest_value] = exactly(reference, ["Transforms", "DigestMethod", "DigestValue"])?;

    let algorithm = algorithm_of(method)?;
    let digest_name = algorithm_of(digest_method)?;
    if algorithm.ends_with("sha1") || digest_name == names::SHA1 {
        return Err(form("SHA-1 is not accepted"));
    }
    if method.elements().next().is_some() || digest_method.elements().next().is_some() {
        return Err(form("its algorithms have parameters"));
    }
    let Some(algorithm) = SignatureAlgorithm::named(algorithm) else {
        return Err(form("its algorithm is not among those accepted"));
    };
    let digest = match digest_name {
        names::SHA256 => &digest::SHA256,
        names::SHA384 => &digest::SHA384,
        names::SHA512 => &digest::SHA512,
        _ => return Err(form("its digest is not among those accepted")),
    };

    let wrong_transforms =
        form("its transforms are not those of SAML: enveloped signature, then exclusive canonicalization");
    let transforms: Vec<&Element> = transforms.elements().collect();
    let [enveloped, exclusive] = transforms.as_slice() else {
        return Err(wrong_transforms);
    };
    let are_transforms = transforms.iter().all(|t| t.is(names::DSIG, "Transform"));
    if !are_transforms || algorithm_of(enveloped)? != names::ENVELOPED || enveloped.elements().next().is_some() {
        return Err(wrong_transforms);
    }
    let method = canonicalization_of(exclusive)?.ok_or(wrong_transforms)?;
    let info_method = canonicalization_of(canonicalization)?.ok_or(form("it is not in exclusive canonical form"))?;

    let Some(id) = reference.attribute("URI").and_then(|uri| uri.strip_prefix('#')).filter(|id| !id.is_empty()) else {
        return Err(form("its reference is not to the element around it"));
    };
    let bytes = |element: &Element| element.text().and_then(base64_decode).filter(|bytes| !bytes.is_empty());
    let not_base64 = form("its values are not base64");
    Ok(Parts {
        info,
        info_method,
        algorithm,
        value: bytes(value).ok_or_else(|| not_base64.clone())?,
        reference: id,
        method,
        digest,
        digest_value: bytes(digest_value).ok_or(not_base64)?,
    })
}

fn algorithm_of(element: &Element) -> Result<&str, Refusal> {
    element.attribute("Algorithm").ok_or(Refusal::SignatureForm("an algorithm has no name"))
}

/// How `element` says that something is canonicalized; nothing where it says something else than exclusively.
fn canonicalization_of(element: &Element) -> Result<Option<Method>, Refusal> {
    let comments = match algorithm_of(element)? {
        names::EXCLUSIVE => false,
        names::EXCLUSIVE_WITH_COMMENTS => true,
        _ => return Ok(None),
    };
    let children: Vec<&Element> = element.elements().collect();
    let inclusive = match children.as_slice() {
        [] => Vec::new(),
        [list] if list.is(names::EXCLUSIVE, "InclusiveNamespaces") && list.elements().next().is_none() => {
            let prefixes = list.attribute("PrefixList").unwrap_or("").split_whitespace();
            prefixes.map(|p| if p == "#default" { String::new() } else { p.to_owned() }).collect()
        }
        _ => return Ok(None),
    };
    if inclusive.len() > limits::SAML_NAMESPACES_MAX {
        return Err(Refusal::SignatureForm("it names too many namespaces"));
    }
    Ok(Some(Method { comments, inclusive }))
}
