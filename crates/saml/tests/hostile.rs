//! Responses that must not be accepted, each of which has been accepted by somebody once. Every one is shown to four providers, as
//! generous as settings make them, which differ in the signatures they want; the default one has to say why.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that fails may panic")]
#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

mod support;

use lockgate_core::limits;
use lockgate_saml::{Expected, WantSigned};
use support::*;

/// What it is called, what is posted (in base64), and what the refusal has to say.
struct Hostile {
    name: &'static str,
    post: String,
    why: &'static str,
}

fn hostile(name: &'static str, xml: impl AsRef<[u8]>, why: &'static str) -> Hostile {
    Hostile { name, post: base64(xml), why }
}

/// Facts that somebody would like to be true, in elements with other identifiers.
fn evil() -> Facts {
    Facts {
        assertion_id: "_evil".to_owned(),
        attributes: attribute("email", &["admin@example.com"]) + &attribute("groups", &["dba"]),
        ..Facts::default()
    }
}

/// The signature in a document, and the document without it.
fn cut_signature(xml: &str) -> (String, String) {
    let begin = xml.find("<ds:Signature ").unwrap();
    let end = xml.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    (xml[begin..end].to_owned(), format!("{}{}", &xml[..begin], &xml[end..]))
}

/// Puts a signature behind the first issuer.
fn put_signature(xml: &str, signature: &str) -> String {
    xml.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1)
}

fn within_signature(signature: &str, content: &str) -> String {
    signature.replace("</ds:Signature>", &format!("{content}</ds:Signature>"))
}

/// The known ways to wrap what is signed into a document that says something else (Somorovsky et al., "On Breaking SAML", 2012).
fn wrapped() -> Vec<Hostile> {
    let facts = Facts::default();
    let more = "more than one assertion";

    // Of a signed response.
    let signed = facts.response_signed();
    let (signature, bare) = cut_signature(&signed);
    let evil_response = {
        let evil =
            Facts { response_attributes: facts.response_attributes.replace("_response-1", "_evil-response"), ..evil() };
        evil.response(&evil.assertion())
    };
    let xsw1 = put_signature(&evil_response, &within_signature(&signature, &bare));
    let object = |content: &str| format!("<ds:Object>{content}</ds:Object>");
    let xsw1_object = put_signature(&evil_response, &within_signature(&signature, &object(&bare)));
    let xsw2 = evil_response.replacen("</saml:Issuer>", &format!("</saml:Issuer>{bare}{signature}"), 1);

    // Of a signed assertion.
    let original = Signer::default().sign(&facts.assertion(), &facts.assertion_id);
    let (signature, bare) = cut_signature(&original);
    let evil = evil().assertion();
    let signed_evil = put_signature(&evil, &signature);
    let xsw3 = facts.response(&format!("{evil}{original}"));
    let xsw4 = facts.response(&evil.replace("</saml:Assertion>", &format!("{original}</saml:Assertion>")));
    let xsw5 = facts.response(&format!("{signed_evil}{bare}"));
    let xsw6 = facts.response(&put_signature(&evil, &within_signature(&signature, &bare)));
    let extensions = |content: &str| format!("</saml:Issuer><samlp:Extensions>{content}</samlp:Extensions>");
    let xsw7 = facts.response(&original).replacen("</saml:Issuer>", &extensions(&evil), 1);
    let xsw7_swapped = facts.response(&evil).replacen("</saml:Issuer>", &extensions(&original), 1);
    let xsw8 = facts.response(&put_signature(&evil, &within_signature(&signature, &object(&bare))));
    let in_advice = facts.response(
        &evil.replace("<saml:AuthnStatement", &format!("<saml:Advice>{original}</saml:Advice><saml:AuthnStatement")),
    );
    let in_value = facts.response(&evil.replace("admin@example.com", &original));
    let in_status = facts
        .response(&evil)
        .replace("</samlp:Status>", &format!("<samlp:StatusDetail>{original}</samlp:StatusDetail></samlp:Status>"));
    let same_id = evil.replace("_evil", &facts.assertion_id);
    vec![
        hostile("XSW1", xsw1, more),
        hostile("XSW1 with an object", xsw1_object, more),
        hostile("XSW2", xsw2, "parts that it should not have"),
        hostile("XSW3", xsw3, "parts that it should not have"),
        hostile("XSW4", xsw4, more),
        hostile("XSW5", xsw5, "parts that it should not have"),
        hostile("XSW6", xsw6, more),
        hostile("XSW7", xsw7, more),
        hostile("XSW7 the other way round", xsw7_swapped, more),
        hostile("XSW8", xsw8, more),
        hostile("the original in Advice", in_advice, more),
        hostile("the original in an attribute's value", in_value, more),
        hostile("the original in the status", in_status, more),
        hostile("the same identifier twice", facts.response(&format!("{original}{same_id}")), "twice"),
        hostile(
            "the same identifier twice, in another attribute",
            facts.response(&original).replace("<samlp:Status>", "<samlp:Status Id=\"_assertion-1\">"),
            "twice",
        ),
        hostile(
            "the same identifier twice, as xml:id",
            facts.response(&original).replace("<samlp:Status>", "<samlp:Status xml:id=\"_assertion-1\">"),
            "twice",
        ),
        hostile(
            "the same identifier twice, in a foreign attribute",
            facts
                .response(&original)
                .replace("<samlp:Status>", "<samlp:Status xmlns:w=\"urn:w\" w:iD=\"_assertion-1\">"),
            "twice",
        ),
        hostile(
            "response and assertion with one identifier",
            {
                let f = Facts { assertion_id: "_response-1".to_owned(), ..Facts::default() };
                f.assertion_signed()
            },
            "twice",
        ),
        hostile(
            "an assertion that is only called one, too",
            facts.response(&original).replacen(
                "</saml:Issuer>",
                &extensions("<x:Assertion xmlns:x=\"urn:oasis:names:tc:SAML:1.0:assertion\"></x:Assertion>"),
                1,
            ),
            more,
        ),
        hostile(
            "an assertion beside an encrypted one",
            facts.response(&format!("{original}{}", Encryption::default().seal(&evil))),
            more,
        ),
        hostile(
            "an encrypted assertion beside one",
            facts.response(&format!("{evil}{}", Encryption::default().seal(&original))),
            more,
        ),
        hostile(
            "an assertion within an encrypted one",
            facts.response(
                &Encryption::default().seal(
                    &put_signature(&evil, &signature)
                        .replace("</saml:Assertion>", &format!("<saml:Advice>{bare}</saml:Advice></saml:Assertion>")),
                ),
            ),
            more,
        ),
        hostile(
            "an encrypted assertion within an encrypted one",
            facts.response(&Encryption::default().seal(&Encryption::default().seal(&original))),
            "cannot be read",
        ),
        hostile(
            "an identifier outside that the encrypted one has",
            facts
                .response(&Encryption::default().seal(&original))
                .replace("<samlp:Status>", "<samlp:Status ID=\"_assertion-1\">"),
            "twice",
        ),
    ]
}

fn signatures() -> Vec<Hostile> {
    let facts = Facts::default();
    let plain = facts.assertion();
    let id = facts.assertion_id.as_str();
    let by = |signer: Signer| facts.response(&signer.sign(&plain, id));
    let signed = facts.assertion_signed();
    let (signature, bare) = cut_signature(&signed);
    let reference = |reference: &str| Signer { reference: Some(reference.to_owned()), ..Signer::default() };
    let transforms = |list: String| Signer { transforms: list, ..Signer::default() };
    let ordered = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let attacker = format!(
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
        base64(&keys().stranger.certificate)
    );
    let second = format!(
        "<ds:Reference URI=\"#_response-1\"><ds:Transforms>{ordered}</ds:Transforms><ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod><ds:DigestValue>AAAA</ds:DigestValue></ds:Reference>"
    );
    let xslt = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xslt-19991116\"><xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\"><xsl:template match=\"/\"><xsl:value-of select=\"unparsed-text('/etc/passwd')\"></xsl:value-of></xsl:template></xsl:stylesheet></ds:Transform>";
    let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>not(ancestor-or-self::saml:AttributeStatement)</ds:XPath></ds:Transform>";
    let inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    let form = "transforms are not those of SAML";
    let unsigned = "has to be signed and is not";
    let changed = "what it signs was changed";
    let stranger = "not made with a key of the configured provider";
    let sha1 = Signer::with(
        &keys().rsa,
        Making::Rsa,
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2001/04/xmlenc#sha256",
    );
    let hmac = Signer::with(
        &keys().rsa,
        Making::Hmac,
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        "http://www.w3.org/2001/04/xmlenc#sha256",
    );
    let confused = Signer { algorithm: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", ..hmac.clone() };
    let own_key = Signer { key: &keys().stranger, key_info: attacker, ..Signer::default() };
    let response_value = facts.response(&plain);
    vec![
        hostile("no signature", facts.response(&plain), unsigned),
        hostile("the signature taken out", &bare, unsigned),
        hostile(
            "an empty signature",
            put_signature(&facts.response(&plain), "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"/>"),
            "not the parts",
        ),
        hostile(
            "a signature in another namespace",
            signed.replace("http://www.w3.org/2000/09/xmldsig#\"", "http://www.w3.org/2000/09/xmldsig\""),
            unsigned,
        ),
        hostile(
            "the prefix of signatures means something else",
            signed.replacen(
                "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"",
                "<ds:Signature xmlns:ds=\"urn:x\"",
                1,
            ),
            unsigned,
        ),
        hostile("another user", signed.replace("alice@", "admin@"), changed),
        hostile("another group", signed.replace(">engineers<", ">admins<"), changed),
        hostile(
            "another digest",
            by(Signer::default()).replacen("<ds:DigestValue>", "<ds:DigestValue>AAAA", 1),
            changed,
        ),
        hostile(
            "a digest of nothing",
            by(Signer::default()).replace("<ds:DigestValue>", "<ds:DigestValue></ds:DigestValue><ds:DigestValue>"),
            "not the parts",
        ),
        hostile("another signature value", signed.replace("<ds:SignatureValue>", "<ds:SignatureValue>AAAA"), stranger),
        hostile(
            "an empty signature value",
            {
                let at = signed.find("<ds:SignatureValue>").unwrap() + 19;
                let end = signed.find("</ds:SignatureValue>").unwrap();
                format!("{}{}", &signed[..at], &signed[end..])
            },
            "not base64",
        ),
        hostile(
            "a comment in the digest",
            signed.replacen("<ds:DigestValue>", "<ds:DigestValue><!-- -->", 1),
            "a comment inside a value",
        ),
        hostile(
            "only a comment in the digest",
            {
                let at = signed.find("<ds:DigestValue>").unwrap() + 16;
                let end = signed.find("</ds:DigestValue>").unwrap();
                format!("{}<!--{}-->{}", &signed[..at], &signed[at..end], &signed[end..])
            },
            "not base64",
        ),
        hostile("SHA-1 in the signature", by(sha1), "SHA-1"),
        hostile(
            "SHA-1 in the digest",
            by(Signer { digest: "http://www.w3.org/2000/09/xmldsig#sha1", ..Signer::default() }),
            "SHA-1",
        ),
        hostile(
            "MD5",
            by(Signer { algorithm: "http://www.w3.org/2001/04/xmldsig-more#rsa-md5", ..Signer::default() }),
            "algorithm is not among",
        ),
        hostile(
            "no algorithm",
            by(Signer::default()).replace("<ds:SignatureMethod Algorithm=", "<ds:SignatureMethod algorithm="),
            "no name",
        ),
        hostile("HMAC with the public key for a secret", by(hmac), "algorithm is not among"),
        hostile("HMAC with the public key for a secret, called RSA", by(confused), stranger),
        hostile(
            "a truncated HMAC",
            by(Signer::default()).replace(
                "rsa-sha256\"></ds:SignatureMethod>",
                "rsa-sha256\"><ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>",
            ),
            "parameters",
        ),
        hostile("a stranger's key", by(Signer { key: &keys().stranger, ..Signer::default() }), stranger),
        hostile("a stranger's key with its certificate", by(own_key), stranger),
        hostile(
            "an RSA algorithm for an EC key",
            by(Signer { algorithm: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", ..Signer::default() }),
            stranger,
        ),
        hostile("PSS called PKCS#1", by(Signer { making: Making::Pss, ..Signer::default() }), stranger),
        hostile(
            "a signature over another text of the same document",
            by(Signer::default()).replace(
                "<ds:SignedInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">",
                "<ds:SignedInfo Id=\"x\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">",
            ),
            stranger,
        ),
        hostile(
            "an empty reference",
            facts.response(&reference("").sign(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "a reference to nothing",
            facts.response(&reference("#").sign(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "no reference's address",
            by(Signer::default()).replace("<ds:Reference URI=\"#_assertion-1\">", "<ds:Reference>"),
            "reference is not to the element",
        ),
        hostile(
            "a reference to another element",
            facts.response(&reference("#_response-1").sign(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "a reference by XPointer",
            facts.response(&reference("#xpointer(/)").sign(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "a reference by XPointer and identifier",
            facts.response(&reference("#xpointer(id('_assertion-1'))").sign(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "a reference to a file",
            facts.response(&reference("file:///etc/passwd").sign(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "a reference to a server",
            facts.response(&reference("http://127.0.0.1:1/#_assertion-1").sign(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "a signature of the assertion on the response",
            put_signature(&facts.response(&plain), &Signer::default().signature(&plain, id)),
            "reference is not to the element",
        ),
        hostile(
            "several references",
            by(Signer { extra_reference: second, ..Signer::default() }),
            "several references",
        ),
        hostile(
            "no reference",
            {
                let at = signed.find("<ds:Reference").unwrap();
                let end = signed.find("</ds:Reference>").unwrap() + 15;
                format!("{}{}", &signed[..at], &signed[end..])
            },
            "not the parts",
        ),
        hostile("an XSLT transform", by(transforms(ordered.clone() + xslt)), form),
        hostile("an XSLT transform in place of another", by(transforms(transform(ENVELOPED) + xslt)), form),
        hostile("an XPath transform", by(transforms(ordered.clone() + xpath)), form),
        hostile(
            "an XPath transform in place of another",
            by(transforms(xpath.to_owned() + &transform(EXCLUSIVE))),
            form,
        ),
        hostile(
            "a base64 transform",
            by(transforms(ordered.clone() + &transform("http://www.w3.org/2000/09/xmldsig#base64"))),
            form,
        ),
        hostile("a transform twice", by(transforms(ordered.clone() + &transform(EXCLUSIVE))), form),
        hostile("transforms in another order", by(transforms(transform(EXCLUSIVE) + &transform(ENVELOPED))), form),
        hostile("no canonicalization", by(transforms(transform(ENVELOPED))), form),
        hostile("no enveloped signature", by(transforms(transform(EXCLUSIVE))), form),
        hostile("no transforms", by(transforms(String::new())), form),
        hostile(
            "inclusive canonicalization of the content",
            by(transforms(transform(ENVELOPED) + &transform(inclusive))),
            form,
        ),
        hostile(
            "inclusive canonicalization of the signature",
            by(Signer {
                canonicalization: format!(
                    "<ds:CanonicalizationMethod Algorithm=\"{inclusive}\"></ds:CanonicalizationMethod>"
                ),
                ..Signer::default()
            }),
            "exclusive canonical form",
        ),
        hostile(
            "an XPath in the canonicalization",
            by(Signer {
                canonicalization: format!(
                    "<ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"><ds:XPath>1</ds:XPath></ds:CanonicalizationMethod>"
                ),
                ..Signer::default()
            }),
            "exclusive canonical form",
        ),
        hostile(
            "an object",
            by(Signer { object: "<ds:Object>x</ds:Object>".to_owned(), ..Signer::default() }),
            "not the parts",
        ),
        hostile(
            "the assertion's signature on the response, too",
            put_signature(&signed, &signature),
            "reference is not to the element",
        ),
        hostile(
            "two signatures of an assertion",
            signed.replace(&signature, &format!("{signature}{signature}")),
            "signature where none belongs",
        ),
        hostile(
            "the signature in the extensions",
            bare.replacen(
                "</saml:Issuer>",
                &format!("</saml:Issuer><samlp:Extensions>{signature}</samlp:Extensions>"),
                1,
            ),
            "signature where none belongs",
        ),
        hostile(
            "the signature in the subject",
            bare.replace("<saml:Subject>", &format!("<saml:Subject>{signature}")),
            "signature where none belongs",
        ),
        hostile(
            "the signature in an attribute",
            bare.replace("alice@example.com", &signature),
            "signature where none belongs",
        ),
        hostile(
            "a good signature of the response, a bad one of the assertion",
            {
                let both = facts.both_signed();
                let at = both.rfind("<ds:SignatureValue>").unwrap();
                format!("{}<ds:SignatureValue>AAAA{}", &both[..at], &both[at + 19..])
            },
            changed,
        ),
        hostile(
            "a good signature of the assertion, a bad one of the response",
            facts.both_signed().replacen("<ds:SignatureValue>", "<ds:SignatureValue>AAAA", 1),
            stranger,
        ),
        hostile(
            "an unsigned assertion in a response whose signature is of something else",
            put_signature(&response_value, &Signer::default().signature(&plain, "_response-1")),
            changed,
        ),
    ]
}

fn writing() -> Vec<Hostile> {
    let signed = Facts::default().assertion_signed();
    let user = "alice@example.com";
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(signed.encode_utf16().flat_map(u16::to_le_bytes));
    let mut broken = signed.clone().into_bytes();
    broken.push(0xc3);
    let bomb: Vec<u8> = {
        // A DEFLATE stream that grows a thousandfold: one literal, then copies of 258 bytes (RFC 1951, fixed Huffman codes).
        let mut bits = vec![true, true, false, false, false, true, true, false, false, false, false];
        bits.extend(
            [true, true, false, false, false, true, false, true, false, false, false, false, false]
                .iter()
                .cycle()
                .take(8_000),
        );
        bits.chunks(8)
            .map(|byte| byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | (u8::from(*bit) << at)))
            .collect()
    };
    let deep = format!("{}{}", "<x>".repeat(10_000), "</x>".repeat(10_000));
    let spread = |begin: &str| signed.replace(user, begin);
    vec![
        hostile(
            "a comment in the user's name",
            signed.replace(user, "alice@example.com<!-- -->.evil.com"),
            "a comment inside a value",
        ),
        hostile("a comment in the NameID", signed.replace("a81c", "a8<!-- -->1c"), "a comment inside a value"),
        hostile(
            "a comment at the end of the NameID",
            signed.replace("a81c", "a81c<!-- -->"),
            "a comment inside a value",
        ),
        hostile("a document type", format!("<!DOCTYPE x>{signed}"), "document types"),
        hostile(
            "a document type with an entity",
            format!("<!DOCTYPE x [<!ENTITY e \"admin\">]>{}", spread("&e;")),
            "document types",
        ),
        hostile(
            "an external entity",
            format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>{}", spread("&e;")),
            "document types",
        ),
        hostile(
            "an external document type",
            format!("<!DOCTYPE x SYSTEM \"http://127.0.0.1:1/x.dtd\">{signed}"),
            "document types",
        ),
        hostile(
            "a parameter entity",
            format!("<!DOCTYPE x [<!ENTITY % p SYSTEM \"http://127.0.0.1:1/\">%p;]>{signed}"),
            "document types",
        ),
        hostile(
            "a billion laughs",
            format!(
                "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]>{}",
                spread("&c;")
            ),
            "document types",
        ),
        hostile("an entity that nobody declared", spread("&admin;"), "entities are not accepted"),
        hostile(
            "a processing instruction",
            signed.replace("<saml:Subject>", "<?x y?><saml:Subject>"),
            "processing instructions",
        ),
        hostile("a processing instruction in a value", spread("alice<?x?>@example.com"), "processing instructions"),
        hostile(
            "a style sheet",
            format!("<?xml-stylesheet href=\"http://127.0.0.1:1/\"?>{signed}"),
            "processing instructions",
        ),
        hostile("CDATA", spread("<![CDATA[alice@example.com]]>"), "CDATA"),
        hostile("CDATA that continues", spread("alice<![CDATA[@example.com]]>"), "CDATA"),
        hostile(
            "an inclusion",
            signed.replace(
                "<saml:Subject>",
                "<saml:Subject><xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\"/>",
            ),
            "what it signs was changed",
        ),
        hostile(
            "an attribute twice",
            signed.replace("Version=\"2.0\"><saml:Issuer", "Version=\"2.0\" Version=\"2.0\"><saml:Issuer"),
            "twice",
        ),
        hostile(
            "an attribute twice by two prefixes",
            signed.replace("<saml:Subject>", "<saml:Subject xmlns:p=\"urn:x\" xmlns:q=\"urn:x\" p:a=\"1\" q:a=\"2\">"),
            "twice",
        ),
        hostile("a zero byte", spread("alice\0@example.com"), "a character that XML does not allow"),
        hostile("an encoded zero byte", spread("alice&#0;@example.com"), "a reference to no character"),
        hostile("an encoded control character", spread("alice&#8;@example.com"), "a reference to no character"),
        hostile("an encoded half character", spread("alice&#xD83D;&#xDE80;"), "a reference to no character"),
        hostile("invalid UTF-8", broken, "not UTF-8"),
        hostile("overlong UTF-8", [signed.as_bytes(), b"\xc0\xbc"].concat(), "not UTF-8"),
        hostile("UTF-16", utf16, "not UTF-8"),
        hostile(
            "UTF-8 that claims to be UTF-16",
            format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{signed}"),
            "UTF-8",
        ),
        hostile("UTF-7", format!("<?xml version=\"1.0\" encoding=\"UTF-7\"?>{signed}"), "UTF-8"),
        hostile("XML 1.1", format!("<?xml version=\"1.1\"?>{signed}"), "XML 1.0"),
        hostile("two documents", format!("{signed}{signed}"), "beside the root"),
        hostile("something behind the document", format!("{signed}x"), "beside the root"),
        hostile("half a document", &signed[..signed.len() / 2], "cannot be read"),
        hostile("not XML", "hello", "cannot be read"),
        hostile("nothing", "", "cannot be read"),
        hostile("another document", "<x/>", "not a `Response`"),
        hostile(
            "an assertion alone",
            Signer::default().sign(&Facts::default().assertion(), "_assertion-1"),
            "not a `Response`",
        ),
        hostile("a logout response", signed.replace("samlp:Response", "samlp:LogoutResponse"), "not a `Response`"),
        hostile(
            "a response of SAML 1.1",
            signed.replace("urn:oasis:names:tc:SAML:2.0:protocol", "urn:oasis:names:tc:SAML:1.0:protocol"),
            "not a `Response`",
        ),
        hostile("depth 10,000", deep, "too deeply"),
        hostile("depth 10,000 in a value", spread(&"<x>".repeat(10_000)), "too deeply"),
        hostile(
            "20,000 attributes",
            format!("<x{}/>", (0..20_000).map(|n| format!(" a{n}=''")).collect::<String>()),
            "too many attributes",
        ),
        hostile("60,000 elements", format!("<x>{}</x>", "<y/>".repeat(60_000)), "too many nodes"),
        hostile("10 MB", "x".repeat(10 * 1024 * 1024), "larger than"),
        hostile("XML of more than the limit", "x".repeat(limits::SAML_MESSAGE_BYTES_MAX + 1), "too large"),
        hostile("a deflated bomb", bomb, "cannot be read"),
        Hostile {
            name: "truncated base64",
            post: base64(&signed).trim_end_matches('=')[..1_001].to_owned(),
            why: "not base64",
        },
        Hostile {
            name: "base64 for addresses",
            post: base64(&signed).replace('+', "-").replace('/', "_") + "-",
            why: "not base64",
        },
        Hostile { name: "base64 with a line of its own", post: format!("{}\0", base64(&signed)), why: "not base64" },
        Hostile { name: "base64 twice", post: base64(base64(&signed)), why: "cannot be read" },
        Hostile { name: "base64 of two parts", post: base64(&signed) + "=" + &base64(&signed), why: "not base64" },
        Hostile { name: "XML without base64", post: signed.clone(), why: "not base64" },
    ]
}

/// Facts that a signature covers and that are wrong here and now.
fn facts() -> Vec<Hostile> {
    let good = Facts::default;
    let acs_attribute = |from: &str, to: &str| good().response_attributes.replace(from, to);
    let rows: Vec<(&'static str, Facts, &'static str)> = vec![
        ("expired", Facts { conditions_window: "NotOnOrAfter=\"2026-11-21T05:07:59Z\"".to_owned(), ..good() }, "assertion has expired"),
        ("its confirmation expired", Facts { confirmation_end: "2026-11-21T05:07:59Z".to_owned(), ..good() }, "confirmation has expired"),
        ("not yet valid", Facts { conditions_window: "NotBefore=\"2026-11-21T05:10:01Z\"".to_owned(), ..good() }, "not valid yet"),
        ("its confirmation not yet valid", Facts { confirmation: format!("{}NotBefore=\"2026-11-21T05:10:01Z\" ", good().confirmation), ..good() }, "not valid yet"),
        ("made in the future", Facts { issued: "2026-11-21T05:10:01Z".to_owned(), ..good() }, "not valid yet"),
        ("made yesterday", Facts { issued: "2026-11-20T05:08:59Z".to_owned(), ..good() }, "assertion has expired"),
        ("logged in tomorrow", Facts { authn_attributes: "AuthnInstant=\"2026-11-22T05:08:58Z\"".to_owned(), ..good() }, "not valid yet"),
        ("its session over", Facts { authn_attributes: "AuthnInstant=\"2026-11-21T05:08:58Z\" SessionNotOnOrAfter=\"2026-11-21T05:07:00Z\"".to_owned(), ..good() }, "session at the provider has expired"),
        ("a time without a zone", Facts { conditions_window: "NotOnOrAfter=\"2026-11-21T05:13:59\"".to_owned(), ..good() }, "not in UTC"),
        ("a time in another zone", Facts { confirmation_end: "2026-11-21T06:13:59+01:00".to_owned(), ..good() }, "not in UTC"),
        ("no time when it was made", Facts { issued: String::new(), ..good() }, "when it was made"),
        ("another audience", Facts { conditions: audience("https://other.example.com"), ..good() }, "audience is meant for `https://other.example.com`"),
        ("an audience that begins like ours", Facts { conditions: audience(&format!("{SP}.evil.example.com")), ..good() }, "audience is meant for"),
        ("an audience in other letters", Facts { conditions: audience(&SP.to_uppercase()), ..good() }, "audience is meant for"),
        ("no audience", Facts { conditions: String::new(), ..good() }, "for whom"),
        ("an empty audience", Facts { conditions: "<saml:AudienceRestriction></saml:AudienceRestriction>".to_owned(), ..good() }, "audience is meant for"),
        ("our audience and one that is not ours", Facts { conditions: audience(SP) + &audience("https://other.example.com"), ..good() }, "audience is meant for"),
        ("an audience cut by an element", Facts { conditions: audience(&format!("{SP}<x></x>")), ..good() }, "not a text"),
        ("a condition that is not known", Facts { conditions: audience(SP) + "<saml:Condition></saml:Condition>", ..good() }, "condition that is not known"),
        ("another recipient", Facts { recipient: "https://other.example.com/acs".to_owned(), ..good() }, "recipient is meant for"),
        ("no recipient", Facts { recipient: String::new(), ..good() }, "recipient is meant for"),
        ("another destination", Facts { response_attributes: acs_attribute(ACS, "https://other.example.com/acs"), ..good() }, "response is meant for"),
        ("an empty destination", Facts { response_attributes: acs_attribute(ACS, ""), ..good() }, "response is meant for"),
        ("another issuer", Facts { issuer: "https://evil.example.com".to_owned(), ..good() }, "assertion comes from `https://evil.example.com`"),
        ("another issuer of the response", Facts { response_issuer: issuer("https://evil.example.com"), ..good() }, "response comes from"),
        ("no issuer", Facts { issuer: String::new(), ..good() }, "assertion comes from ``"),
        ("an answer to another request", Facts { response_attributes: acs_attribute("_request-1", "_request-2"), ..good() }, "does not answer"),
        ("a confirmation for another request", Facts { confirmation: "InResponseTo=\"_request-2\" ".to_owned(), ..good() }, "does not answer"),
        ("a confirmation for no request", Facts { confirmation: String::new(), ..good() }, "does not answer"),
        ("an answer to no request", Facts::unsolicited(), "does not answer"),
        ("version 1.1", Facts { response_attributes: acs_attribute("Version=\"2.0\"", "Version=\"1.1\""), ..good() }, "version is not 2.0"),
        ("an assertion of version 1.1", Facts { assertion_version: "1.1".to_owned(), ..good() }, "version is not 2.0"),
        ("no success", Facts { status: "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed\"></samlp:StatusCode></samlp:StatusCode>".to_owned(), ..good() }, "AuthnFailed"),
        ("no status", Facts { status: String::new(), ..good() }, "status is malformed"),
        ("success below failure", Facts { status: "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"></samlp:StatusCode></samlp:StatusCode>".to_owned(), ..good() }, "login failed"),
        ("an encrypted name", Facts { name_id: "<saml:EncryptedID></saml:EncryptedID>".to_owned(), ..good() }, "subject has parts that are not known"),
        ("two names", Facts { name_id: good().name_id.repeat(2), ..good() }, "subject has parts that are not known"),
        ("an empty name", Facts { name_id: "<saml:NameID></saml:NameID>".to_owned(), ..good() }, "empty or too long"),
        ("a name with an element in it", Facts { name_id: "<saml:NameID>admin<x></x></saml:NameID>".to_owned(), ..good() }, "not a text"),
        ("a name in another namespace", Facts { name_id: "<x:NameID xmlns:x=\"urn:x\">admin</x:NameID>".to_owned(), ..good() }, "subject has parts that are not known"),
        ("an attribute in another namespace", Facts { attributes: "<x:Attribute xmlns:x=\"urn:x\" Name=\"email\"><x:AttributeValue>admin</x:AttributeValue></x:Attribute>".to_owned(), ..good() }, "attributes are malformed"),
        ("an attribute's value in another namespace", Facts { attributes: "<saml:Attribute Name=\"email\"><x:AttributeValue xmlns:x=\"urn:x\">admin</x:AttributeValue></saml:Attribute>".to_owned(), ..good() }, "parts that are not known"),
        ("a prefix that means something else inside", Facts { attributes: "<saml:Attribute xmlns:saml=\"urn:x\" Name=\"email\"><saml:AttributeValue>admin</saml:AttributeValue></saml:Attribute>".to_owned(), ..good() }, "attributes are malformed"),
        ("an attribute with a name in a namespace", Facts { attributes: "<saml:Attribute xmlns:x=\"urn:x\" x:Name=\"email\"><saml:AttributeValue>admin</saml:AttributeValue></saml:Attribute>".to_owned(), ..good() }, "attribute has no name"),
        ("encrypted attributes", Facts { attributes: "<saml:EncryptedAttribute></saml:EncryptedAttribute>".to_owned(), ..good() }, "encrypted attributes"),
        ("an identifier that is too long", Facts { assertion_id: "_".repeat(2_000), ..good() }, "too long"),
        ("an empty identifier", Facts { assertion_id: String::new(), ..good() }, "reference is not to the element"),
        ("two subjects", { let f = good(); Facts { conditions: audience(SP), name_id: format!("{}</saml:Subject><saml:Subject>{}", f.name_id, f.name_id), ..f } }, "parts that it should not have"),
    ];
    let edited = [
        ("no end", " NotOnOrAfter=\"2026-11-21T05:13:59Z\" Recipient", " Recipient", "confirmation has no end"),
        ("a confirmation that is not of a bearer", "cm:bearer", "cm:sender-vouches", "no bearer confirmation"),
        ("no version", " Version=\"2.0\"", "", "version is not 2.0"),
        ("text between the elements", "<saml:Subject>", "admin<saml:Subject>", "parts that it should not have"),
        (
            "a statement that is not known",
            "</saml:Assertion>",
            "<saml:AuthzDecisionStatement></saml:AuthzDecisionStatement></saml:Assertion>",
            "parts that it should not have",
        ),
        (
            "a name in the wrong place",
            "<saml:Conditions",
            "<saml:NameID>admin</saml:NameID><saml:Conditions",
            "parts that it should not have",
        ),
    ];
    let rows = rows.into_iter().map(|(name, facts, why)| (name, facts, ("", ""), why));
    rows.chain(edited.into_iter().map(|(name, from, to, why)| (name, good(), (from, to), why)))
        .flat_map(|(name, facts, (from, to), why)| {
            let assertion = facts.assertion();
            let assertion = if from.is_empty() { assertion } else { assertion.replacen(from, to, 1) };
            let once = facts.response(&Signer::default().sign(&assertion, &facts.assertion_id));
            let whole = Signer::default().sign(&facts.response(&assertion), &facts.response_id);
            // An empty identifier is a question of signatures only where it is the signed element's.
            let also = if facts.assertion_id.is_empty() { "no identifier" } else { why };
            [hostile(name, once, why), hostile(name, whole, also)]
        })
        .collect()
}

fn encrypted() -> Vec<Hostile> {
    let facts = Facts::default();
    let original = Signer::default().sign(&facts.assertion(), &facts.assertion_id);
    let sealed_by = |encryption: Encryption| facts.response(&encryption.seal(&original));
    let sealed = Encryption::default().seal(&original);
    let at = sealed.rfind("<xenc:CipherValue>").unwrap() + 18;
    let changed = |text: &str| facts.response(&format!("{}{text}{}", &sealed[..at], &sealed[at + text.len()..]));
    let key_at = sealed.find("<xenc:CipherValue>").unwrap() + 18;
    let cbc = "http://www.w3.org/2001/04/xmlenc#aes256-cbc";
    let seal = |text: &str| facts.response(&Encryption::default().seal(text));
    let nothing = "the encrypted assertion cannot be read";
    let other_key = Encryption { key: &keys().stranger, ..Encryption::default() };
    vec![
        hostile("encrypted to another key", sealed_by(other_key), nothing),
        hostile("a ciphertext changed at its beginning", changed("AAAA"), nothing),
        hostile("a ciphertext that is cut", facts.response(&format!("{}{}", &sealed[..at + 8], &sealed[sealed.rfind("</xenc:CipherValue>").unwrap()..])), nothing),
        hostile("an empty ciphertext", facts.response(&format!("{}{}", &sealed[..at], &sealed[sealed.rfind("</xenc:CipherValue>").unwrap()..])), nothing),
        hostile("another encrypted key", facts.response(&format!("{}AAAA{}", &sealed[..key_at], &sealed[key_at + 4..])), nothing),
        hostile("no XML inside", seal("hello"), nothing),
        hostile("a document type inside", seal(&format!("<!DOCTYPE x>{original}")), nothing),
        hostile("another element inside", seal("<x/>"), nothing),
        hostile("two elements inside", seal(&format!("{original}{original}")), nothing),
        hostile("a comment in a value inside", seal(&original.replace("alice@", "alice<!-- -->@")), nothing),
        hostile("not signed inside", seal(&facts.assertion()), "has to be signed and is not"),
        hostile("changed inside", seal(&original.replace("alice@", "admin@")), "what it signs was changed"),
        hostile("CBC in a response that is not signed", sealed_by(Encryption { content: cbc, ..Encryption::default() }), "AES-CBC"),
        hostile("3DES", sealed_by(Encryption::default()).replace("http://www.w3.org/2009/xmlenc11#aes256-gcm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc"), "algorithm is not among"),
        hostile("PKCS#1 key transport", sealed_by(Encryption { transport: "http://www.w3.org/2001/04/xmlenc#rsa-1_5", ..Encryption::default() }), "not RSA-OAEP"),
        hostile("GCM for CBC", sealed_by(Encryption::default()).replace("xmlenc11#aes256-gcm", "xmlenc11#aes128-gcm"), nothing),
        hostile("content that is encrypted, not an element", sealed_by(Encryption { kind: "http://www.w3.org/2001/04/xmlenc#Content", ..Encryption::default() }), "not an element"),
        hostile("a reference to a ciphertext", sealed_by(Encryption::default()).replace("<xenc:CipherValue>", "<xenc:CipherReference URI=\"http://127.0.0.1:1/\"></xenc:CipherReference><xenc:CipherValue>").replace("<xenc:CipherData>", "<xenc:CipherDatum>").replace("</xenc:CipherData>", "</xenc:CipherDatum>"), "parts that it should have"),
        hostile("a key that is fetched", sealed_by(Encryption { beside: true, ..Encryption::default() }).replace("URI=\"#_key-1\"", "URI=\"http://127.0.0.1:1/\""), "parts that it should have"),
        hostile("two encrypted keys", sealed_by(Encryption::default()).replace("<xenc:EncryptedKey ", "<xenc:EncryptedKey></xenc:EncryptedKey><xenc:EncryptedKey "), "parts that it should have"),
        hostile("nothing encrypted", facts.response("<saml:EncryptedAssertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"></saml:EncryptedAssertion>"), "parts that it should have"),
    ]
}

#[test]
fn none_is_accepted() {
    let all: Vec<Hostile> = [wrapped(), signatures(), writing(), facts(), encrypted()].into_iter().flatten().collect();
    assert!(all.len() > 200, "{}", all.len());
    let default = provider();
    let generous = [WantSigned::Either, WantSigned::Response, WantSigned::Assertion, WantSigned::Both].map(generous);
    let id = request_id();
    let mut wrong = Vec::new();
    for hostile in &all {
        for provider in &generous {
            if let Ok(unspent) = provider.receive(&hostile.post, Expected::AnswerTo(&id), NOW) {
                wrong.push(format!("{}: ACCEPTED {unspent:?}", hostile.name));
            }
            if let Ok(unspent) = provider.receive(&hostile.post, Expected::Unsolicited, NOW)
                && hostile.name != "an answer to no request"
            {
                wrong.push(format!("{}: ACCEPTED unsolicited {unspent:?}", hostile.name));
            }
        }
        match default.receive(&hostile.post, Expected::AnswerTo(&id), NOW) {
            Ok(unspent) => wrong.push(format!("{}: ACCEPTED {unspent:?}", hostile.name)),
            Err(refusal) if refusal.to_string().contains(hostile.why) => {}
            Err(refusal) => wrong.push(format!("{}: `{refusal}` and not `{}`", hostile.name, hostile.why)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn what_is_refused_is_refused_quickly() {
    let id = request_id();
    let provider = provider();
    for hostile in writing() {
        let begun = std::time::Instant::now();
        let _ = provider.receive(&hostile.post, Expected::AnswerTo(&id), NOW);
        assert!(begun.elapsed().as_secs() < 5, "{} took {:?}", hostile.name, begun.elapsed());
    }
}

#[test]
fn metadata_that_has_expired_proves_nobody() {
    let text = metadata().replace("entityID=", "validUntil=\"2026-11-21T05:09:00Z\" entityID=");
    let provider = lockgate_saml::IdentityProvider::from_metadata(text.as_bytes()).unwrap();
    let provider = lockgate_saml::ServiceProvider::new(settings(), provider).unwrap();
    let xml = Facts::default().assertion_signed();
    assert!(receive_at(&provider, &xml, NOW.plus_millis(-1)).is_ok());
    assert_eq!(receive_at(&provider, &xml, NOW).unwrap_err(), lockgate_saml::Refusal::MetadataExpired);
}
