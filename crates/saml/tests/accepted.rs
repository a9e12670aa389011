//! Responses of every shape that providers send, all of which are accepted, and what is read from them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that fails may panic")]

mod support;

use aws_lc_rs::rsa;
use lockgate_core::Timestamp;
use lockgate_saml::{Expected, Login, Refusal, RequestId, Settings, Ticket, Use, UsedInMemory, UserSource, WantSigned};
use std::collections::BTreeSet;
use support::*;

fn assert_is_alice(login: &Login) {
    assert_eq!(login.user, "alice@example.com");
    assert_eq!(login.groups, BTreeSet::from(["dba".to_owned(), "engineers".to_owned()]));
    assert_eq!((login.provider.as_str(), login.issuer.as_str()), ("corp", IDP));
    assert_eq!(login.subject.as_ref().unwrap().value, "a81c");
    assert_eq!(login.session_until.unwrap().to_string(), "2026-11-21T13:08:59.000Z");
    assert_eq!(login.authenticated_at.to_string(), "2026-11-21T05:08:58.000Z");
    assert_eq!(login.assertion.id, "_assertion-1");
    // Its end, and what the clocks may differ by.
    assert_eq!(login.assertion.until.to_string(), "2026-11-21T05:14:59.000Z");
}

#[test]
fn every_shape_of_signature_and_encryption() {
    use WantSigned::*;
    let all = [Either, Response, Assertion, Both];
    let facts = Facts::default();
    let gcm128 = Encryption { content: "http://www.w3.org/2009/xmlenc11#aes128-gcm", ..Encryption::default() };
    let oaep256 = Encryption {
        transport: "http://www.w3.org/2009/xmlenc11#rsa-oaep",
        digest: Some("http://www.w3.org/2001/04/xmlenc#sha256"),
        mask: Some("http://www.w3.org/2009/xmlenc11#mgf1sha256"),
        oaep: &rsa::OAEP_SHA256_MGF1SHA256,
        ..Encryption::default()
    };
    let implied = Encryption { digest: None, ..Encryption::default() };
    let beside = Encryption { beside: true, ..Encryption::default() };
    let cbc = |content| Encryption { content, ..Encryption::default() };
    let unsigned_inside = Signer::default().sign(&facts.response(&gcm128.seal(&facts.assertion())), &facts.response_id);
    let shapes: &[(&str, String, &[WantSigned])] = &[
        ("assertion", facts.assertion_signed(), &[Either, Assertion]),
        ("response", facts.response_signed(), &[Either, Response]),
        ("both", facts.both_signed(), &all),
        ("encrypted, assertion signed", facts.encrypted(&gcm128, false), &[Either, Assertion]),
        ("encrypted, both signed", facts.encrypted(&Encryption::default(), true), &all),
        ("encrypted, response signed", unsigned_inside, &[Either, Response]),
        ("OAEP with SHA-256", facts.encrypted(&oaep256, true), &all),
        ("OAEP without parameters", facts.encrypted(&implied, true), &all),
        ("encrypted key beside", facts.encrypted(&beside, true), &all),
        ("AES-128-CBC", facts.encrypted(&cbc("http://www.w3.org/2001/04/xmlenc#aes128-cbc"), true), &all),
        ("AES-256-CBC", facts.encrypted(&cbc("http://www.w3.org/2001/04/xmlenc#aes256-cbc"), true), &all),
    ];
    for (name, xml, accepted_by) in shapes {
        for want in all {
            match (receive(&generous(want), xml), accepted_by.contains(&want)) {
                (Ok(login), true) => assert_is_alice(&login),
                (Err(Refusal::Unsigned(_)), false) => {}
                (other, _) => panic!("{name}, {want:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn every_algorithm() {
    let sha = [
        "http://www.w3.org/2001/04/xmlenc#sha256",
        "http://www.w3.org/2001/04/xmldsig-more#sha384",
        "http://www.w3.org/2001/04/xmlenc#sha512",
    ];
    let rows: [(&'static Key, Making, &'static str); 8] = [
        (&keys().rsa, Making::Rsa, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
        (&keys().rsa, Making::Rsa, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"),
        (&keys().rsa, Making::Rsa, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"),
        (&keys().rsa, Making::Pss, "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"),
        (&keys().rsa, Making::Pss, "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1"),
        (&keys().rsa, Making::Pss, "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1"),
        (&keys().p256, Making::Ecdsa, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"),
        (&keys().p384, Making::Ecdsa, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"),
    ];
    let facts = Facts::default();
    for (index, (key, making, algorithm)) in rows.into_iter().enumerate() {
        let signer = Signer::with(key, making, algorithm, sha[index % 3]);
        let xml = facts.response(&signer.sign(&facts.assertion(), &facts.assertion_id));
        assert_is_alice(&receive(&provider(), xml).unwrap_or_else(|error| panic!("{algorithm}: {error}")));
    }
}

#[test]
fn forms_that_differ_in_writing_only() {
    let facts = Facts::default();
    let xml = facts.assertion_signed();
    let with_comments = Signer {
        canonicalization: format!(
            "<ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}WithComments\"></ds:CanonicalizationMethod>"
        ),
        transforms: transform(ENVELOPED) + &transform(&format!("{EXCLUSIVE}WithComments")),
        ..Signer::default()
    };
    let commented = facts.assertion().replace("<saml:Subject>", "<saml:Subject><!-- who -->");
    let inclusive = Signer {
        transforms: transform(ENVELOPED)
            + &format!(
                "<ds:Transform Algorithm=\"{EXCLUSIVE}\"><ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"xs saml #default\"></ec:InclusiveNamespaces></ds:Transform>"
            ),
        key_info: format!(
            "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
            base64(&keys().rsa.certificate)
        ),
        ..Signer::default()
    };
    let typed = facts.assertion().replace(
        "<saml:AttributeValue>alice",
        "<saml:AttributeValue xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:string\">alice",
    );
    let declared = typed.replacen(" ID=", " xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" ID=", 1);
    // As Entra ID writes: default namespaces, attributes before how somebody logged in.
    let microsoft = Signer { default_namespace: true, ..Signer::default() };
    let bare = without_prefix(&facts.assertion(), "saml");
    let begin = bare.find("<AuthnStatement").unwrap();
    let end = bare.find("<AttributeStatement").unwrap();
    let turned =
        format!("{}{}{}</Assertion>", &bare[..begin], &bare[end..bare.len() - "</Assertion>".len()], &bare[begin..end]);
    let nameless = Facts { response_issuer: String::new(), ..facts.clone() };
    let signature = Signer::default().signature(&facts.assertion(), &facts.assertion_id);
    let moved = xml.replacen(&signature, "", 1);
    let mut lines = facts.clone();
    lines.attributes.push_str(&attribute("address", &["1 High Street\nSpringfield"]));
    let rows = [
        ("an XML declaration", format!("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='no' ?>\n{xml}\n")),
        ("a byte order mark", format!("\u{feff}{xml}")),
        ("comments beside the root", format!("<!-- a --> {xml} <!-- b -->")),
        ("comments between elements, not signed", xml.replace("<saml:Subject>", "<saml:Subject><!-- who -->")),
        (
            "comments between elements, signed",
            facts.response(&with_comments.sign_as(&commented, &commented, "_assertion-1")),
        ),
        ("single quotes", xml.replace(" Version=\"2.0\"", " Version = '2.0' ")),
        (
            "attributes in another order",
            xml.replacen(
                "NotBefore=\"2026-11-21T05:08:29Z\" NotOnOrAfter=\"2026-11-21T05:13:59Z\"",
                "NotOnOrAfter=\"2026-11-21T05:13:59Z\"\n NotBefore=\"2026-11-21T05:08:29Z\"",
                1,
            ),
        ),
        (
            "empty elements",
            xml.replace("></samlp:StatusCode>", "/>")
                .replace("></saml:SubjectConfirmationData>", " />")
                .replace("></ds:DigestMethod>", "/>"),
        ),
        ("numeric references", xml.replace("alice@example.com", "&#97;&#x6C;ice@example.com")),
        (
            "declarations further out",
            xml.replacen(
                "<samlp:Response ",
                "<samlp:Response xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" xmlns:unused=\"urn:x\" ",
                1,
            )
            .replace("<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ", "<saml:Assertion "),
        ),
        ("inclusive namespaces", facts.response(&inclusive.sign_as(&declared, &declared, "_assertion-1"))),
        (
            "inclusive namespaces from further out",
            facts.response(&inclusive.sign_as(&typed, &declared, "_assertion-1")).replacen(
                "<samlp:Response ",
                "<samlp:Response xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" ",
                1,
            ),
        ),
        ("the signature at the end", moved.replacen("</saml:Assertion>", &format!("{signature}</saml:Assertion>"), 1)),
        (
            "the signature before the issuer",
            moved.replacen("Version=\"2.0\"><saml:Issuer>", &format!("Version=\"2.0\">{signature}<saml:Issuer>"), 1),
        ),
        ("default namespaces", facts.response(&microsoft.sign(&turned, &facts.assertion_id))),
        ("no issuer of the response, which is signed", nameless.response_signed()),
        ("no issuer of the response", nameless.assertion_signed()),
        ("line ends of Windows", lines.assertion_signed().replace('\n', "\r\n")),
    ];
    for (name, xml) in rows {
        assert_is_alice(&receive(&provider(), xml).unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}

#[test]
fn base64_may_be_wrapped() {
    let text = base64(Facts::default().assertion_signed());
    let wrapped: Vec<&str> = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let id = request_id();
    let unspent = provider().receive(&wrapped.join("\r\n"), Expected::AnswerTo(&id), NOW).unwrap();
    assert_is_alice(&unspent.redeem(Use::First).unwrap());
}

#[test]
fn a_login_that_the_provider_began() {
    let xml = base64(Facts::unsolicited().assertion_signed());
    assert_eq!(provider().receive(&xml, Expected::Unsolicited, NOW).unwrap_err(), Refusal::Unsolicited);
    let allowing = provider_with(Settings { allow_idp_initiated: true, ..settings() });
    assert_is_alice(&allowing.receive(&xml, Expected::Unsolicited, NOW).unwrap().redeem(Use::First).unwrap());
    // An empty identifier is no request.
    let empty = Facts {
        response_attributes: Facts::default().response_attributes.replace(REQUEST, ""),
        confirmation: "InResponseTo=\"\" ".to_owned(),
        ..Facts::default()
    };
    let nothing = RequestId::from_kept("");
    let refused = allowing.receive(&base64(empty.assertion_signed()), Expected::AnswerTo(&nothing), NOW).unwrap_err();
    assert_eq!(refused, Refusal::InResponseTo("response"));
    // What answers a request was not begun there, and what was begun there answers no request.
    let answer = base64(Facts::default().assertion_signed());
    assert_eq!(allowing.receive(&answer, Expected::Unsolicited, NOW).unwrap_err(), Refusal::InResponseTo("response"));
    let id = request_id();
    assert_eq!(allowing.receive(&xml, Expected::AnswerTo(&id), NOW).unwrap_err(), Refusal::InResponseTo("response"));
}

/// User and groups, or what the refusal says.
type Wanted = Result<(&'static str, &'static [&'static str]), &'static str>;

#[test]
fn users_and_groups_from_where_the_settings_say() {
    let friendly = "<saml:Attribute FriendlyName=\"email\" Name=\"urn:oid:0.9.2342.19200300.100.1.3\" NameFormat=\"urn:oasis:names:tc:SAML:2.0:attrname-format:uri\"><saml:AttributeValue>alice@example.com</saml:AttributeValue></saml:Attribute>";
    let claim = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups";
    let rows: Vec<(&str, UserSource, Option<&str>, String, Wanted)> = vec![
        ("the subject's name", UserSource::NameId, None, attribute("a", &["b"]), Ok(("a81c", &[]))),
        ("a friendly name", UserSource::Attribute("email".to_owned()), None, friendly.to_owned(), Ok(("alice@example.com", &[]))),
        ("the name goes before a friendly name", UserSource::Attribute("email".to_owned()), None, friendly.replace("alice", "eve") + &attribute("email", &["bob"]), Ok(("bob", &[]))),
        ("a name that is a URI", UserSource::NameId, Some(claim), attribute(claim, &["x", "y", "x"]), Ok(("a81c", &["x", "y"]))),
        ("groups in two attributes", UserSource::NameId, Some("g"), attribute("g", &["x"]) + &attribute("g", &["y"]), Ok(("a81c", &["x", "y"]))),
        ("no groups", UserSource::NameId, Some("g"), attribute("h", &["x"]), Ok(("a81c", &[]))),
        ("a value that is nil", UserSource::NameId, Some("g"), attribute("g", &["x"]).replace("</saml:Attribute>", "<saml:AttributeValue xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\"></saml:AttributeValue></saml:Attribute>"), Ok(("a81c", &["x"]))),
        ("an unreadable value of another attribute", UserSource::NameId, Some("g"), attribute("g", &["x"]) + &attribute("h", &["<saml:NameID>eve</saml:NameID>"]), Ok(("a81c", &["x"]))),
        ("characters beyond ASCII", UserSource::NameId, Some("g"), attribute("g", &["Bürö &amp; Ämter 🚀"]), Ok(("a81c", &["Bürö & Ämter 🚀"]))),
        ("two users", UserSource::Attribute("email".to_owned()), None, attribute("email", &["alice", "bob"]), Err("the attribute `email` has several values")),
        ("no user", UserSource::Attribute("email".to_owned()), None, attribute("mail", &["alice"]), Err("no attribute `email`")),
        ("an empty user", UserSource::Attribute("email".to_owned()), None, attribute("email", &[""]), Err("cannot be a name")),
        ("a user with spaces around", UserSource::Attribute("email".to_owned()), None, attribute("email", &[" alice"]), Err("cannot be a name")),
        ("two lines for a user", UserSource::Attribute("email".to_owned()), None, attribute("email", &["alice\neve"]), Err("cannot be a name")),
        ("a user that is not a text", UserSource::Attribute("email".to_owned()), None, attribute("email", &["<b>alice</b>"]), Err("not a text")),
        ("a group that cannot be one", UserSource::NameId, Some("g"), attribute("g", &["x", " y"]), Err("cannot be a name")),
        ("a group that is not a text", UserSource::NameId, Some("g"), attribute("g", &["x", "<b>y</b>"]), Err("not a text")),
        ("two attributes with one friendly name", UserSource::Attribute("email".to_owned()), None, friendly.to_owned() + &friendly.replace("100.1.3", "100.1.4"), Err("several attributes are called")),
    ];
    for (name, user, groups, attributes, wanted) in rows {
        let provider = provider_with(Settings { user, groups_attribute: groups.map(str::to_owned), ..settings() });
        let login = receive(&provider, Facts { attributes, ..Facts::default() }.assertion_signed());
        match (login, wanted) {
            (Ok(login), Ok((user, groups))) => {
                let found: Vec<&str> = login.groups.iter().map(String::as_str).collect();
                assert_eq!((login.user.as_str(), found.as_slice()), (user, groups), "{name}");
            }
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{name}: {error}"),
            (login, _) => panic!("{name}: {login:?}"),
        }
    }
}

#[test]
fn too_many_groups_are_an_error_and_not_a_part_of_them() {
    let names: Vec<String> = (0..257).map(|n| format!("g{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let facts = |n: usize| Facts {
        attributes: attribute("email", &["a"]) + &attribute("groups", &names[..n]),
        ..Facts::default()
    };
    assert_eq!(receive(&provider(), facts(256).assertion_signed()).unwrap().groups.len(), 256);
    assert_eq!(
        receive(&provider(), facts(257).assertion_signed()).unwrap_err().to_string(),
        "no groups: there are more than 256"
    );
}

#[test]
fn a_transient_name_is_nobody() {
    let name_id =
        "<saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:transient\">_x</saml:NameID>".to_owned();
    let facts = Facts { name_id, ..Facts::default() };
    let provider = provider_with(Settings { user: UserSource::NameId, ..settings() });
    assert!(receive(&provider, facts.assertion_signed()).unwrap_err().to_string().contains("transient"));
}

#[test]
fn the_way_to_log_in_can_be_demanded() {
    let class = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned();
    let with = |class: String| provider_with(Settings { authn_contexts: vec![class], ..settings() });
    let xml = Facts::default().assertion_signed();
    assert_eq!(receive(&with(class.clone()), &xml).unwrap().context, Some(class));
    assert!(matches!(receive(&with("urn:mfa".to_owned()), &xml), Err(Refusal::Context(_))));
}

#[test]
fn clocks_may_differ_by_a_minute_and_no_more() {
    let at = |text: &str| {
        (0..=86_400_i64 * 2)
            .map(|s| Timestamp::from_millis(1_795_219_200_000 + s * 1_000))
            .find(|t| t.to_string().starts_with(text))
            .unwrap()
    };
    let xml = Facts::default().assertion_signed();
    // Made at 05:08:59, logged in a second before, not before 05:08:29, until 05:13:59.
    for (now, accepted) in [
        ("2026-11-21T05:07:58", false),
        ("2026-11-21T05:07:59", true),
        ("2026-11-21T05:14:58", true),
        ("2026-11-21T05:14:59", false),
        ("2026-11-22T05:09:00", false),
    ] {
        assert_eq!(receive_at(&provider(), &xml, at(now)).is_ok(), accepted, "{now}");
    }
    // However long it says that it counts, it ends 90 minutes after it was made.
    let long = Facts {
        confirmation_end: "9999-12-31T23:59:59Z".to_owned(),
        conditions_window: "NotBefore=\"2000-01-01T00:00:00Z\"".to_owned(),
        ..Facts::default()
    };
    for (now, accepted) in [("2026-11-21T06:39:58", true), ("2026-11-21T06:39:59", false)] {
        let login = receive_at(&provider(), long.assertion_signed(), at(now));
        assert_eq!(login.is_ok(), accepted, "{now}");
        assert!(login.map_or(true, |login| login.assertion.until == at("2026-11-21T06:39:59")));
    }
}

#[test]
fn an_assertion_counts_once() {
    let (mut used, provider) = (UsedInMemory::default(), provider());
    let (xml, id) = (base64(Facts::default().assertion_signed()), request_id());
    let mut log_in = |xml: &str| {
        let unspent = provider.receive(xml, Expected::AnswerTo(&id), NOW).unwrap();
        let answer = used.first_use(unspent.ticket(), NOW);
        unspent.redeem(answer)
    };
    assert_is_alice(&log_in(&xml).unwrap());
    assert_eq!(log_in(&xml).unwrap_err(), Refusal::Used);
    // Also in another envelope.
    let enveloped = Facts {
        response_attributes: Facts::default().response_attributes.replace("_response-1", "_response-2"),
        ..Facts::default()
    };
    assert_eq!(log_in(&base64(enveloped.assertion_signed())).unwrap_err(), Refusal::Used);
    let other = Facts { assertion_id: "_assertion-2".to_owned(), ..Facts::default() };
    assert_eq!(
        log_in(&base64(other.assertion_signed())).unwrap().assertion,
        Ticket {
            issuer: IDP.to_owned(),
            id: "_assertion-2".to_owned(),
            until: Timestamp::from_millis(1_795_238_099_000)
        }
    );
}
