//! What holds of any text, and that no text takes longer than its length allows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::disallowed_types, reason = "a test or an example may look at the clock")]

use lockgate_detect::{Column, Detector, Detectors, Hit, Kind, Strength};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn all() -> Detectors {
    Detectors::new(Kind::ALL.iter().copied(), Vec::new())
}

fn scan(detectors: &Detectors, text: &[u8]) -> Vec<Hit> {
    let mut hits = Vec::new();
    detectors.scan(text, &Column::default(), &mut hits);
    hits
}

fn found(text: &str) -> Vec<(&str, &'static str)> {
    let hits = scan(&all(), text.as_bytes());
    hits.iter()
        .filter(|h| h.strength >= Strength::Fair)
        .map(|h| {
            let Detector::Kind(kind) = h.detector else { unreachable!() };
            (&text[h.start..h.end], kind.name())
        })
        .collect()
}

#[test]
fn published_and_computed_examples_of_national_numbers() {
    for (text, kind) in [
        ("12345678Z", "id-es"),
        ("X1234567L", "id-es"),
        ("RSSMRA85T10A562S", "id-it"),
        ("131052-308T", "id-fi"),
        ("QQ 12 34 56 C", ""),
        ("AB123456C", "id-gb"),
        ("S1234567D", "id-sg"),
        ("A123456789", "id-tw"),
        ("A123456(3)", "id-hk"),
        ("HEGG560427MVZRRL04", "id-mx"),
        ("11010519491231002X", "id-cn"),
        ("111.444.777-35", "id-br"),
        ("11.222.333/0001-81", "id-br"),
        ("12.345.678-5", "id-cl"),
        ("20-12345678-6", "id-ar"),
        ("756.9217.0769.85", "id-ch"),
        ("pesel 44051401359", "id-pl"),
        ("bsn 111222333", "id-nl"),
        ("811218-9876", "id-se"),
        ("nif 123456789", "id-pt"),
        ("tckn 10000000146", "id-tr"),
        ("NHS 943 476 5919", "id-gb"),
        ("id number 8001015009087", "id-za"),
        ("steuer 86095742719", "id-de"),
        ("oib 94577403194", "id-hr"),
        ("sin 130 692 544", "id-ca"),
        ("egn 7523169263", "id-bg"),
        ("cnp 1800101221144", "id-ro"),
    ] {
        // Some numbers are valid in two countries; each kind is asked alone.
        let asked = if kind.is_empty() { "id-gb" } else { kind };
        let detectors = Detectors::new([asked.parse::<Kind>().unwrap()], Vec::new());
        let hits = scan(&detectors, text.as_bytes());
        let any = hits.iter().any(|hit| hit.strength >= Strength::Likely);
        assert_eq!(any, !kind.is_empty(), "{text}: {hits:?}");
    }
}

/// Digits whose check digit fits some country by chance are still what their column is called.
#[test]
fn a_doubtful_hit_behind_an_escape_does_not_hide_a_sure_one() {
    let mut hits = Vec::new();
    for text in ["tel%3D9434765919", "tel%3D0012345674", r"tel\u003d130692544"] {
        hits.clear();
        all().scan(text.as_bytes(), &Column::named(b"phone"), &mut hits);
        let phone = Detector::Kind(Kind::Phone);
        assert!(hits.iter().any(|h| h.detector == phone && h.strength == Strength::Likely), "{text}: {hits:?}");
    }
}

#[test]
fn secrets_by_their_forms() {
    // Put together here, so that no scanner of repositories takes them for real ones.
    let body = "Ab1".repeat(20);
    for (text, kind) in [
        (format!("AK{}{}", "IA", "ABCDEFGH23456777"), "aws-key"),
        (format!("AI{}{}", "za", &body[..35]), "gcp-key"),
        (format!("gh{}{}", "p_", &body[..36]), "github-token"),
        (format!("xo{}{}", "xb-", "123456789012-123456789012-abcdefABCDEF"), "slack-token"),
        (format!("sk_{}{}", "live_", &body[..24]), "stripe-key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl".to_owned(), "jwt"),
        ("postgres://app:hunter2@db/shop".to_owned(), "url-credentials"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----".to_owned(), "private-key"),
    ] {
        let line = format!("see {text} there");
        let hits = found(&line);
        assert!(hits.iter().any(|(span, k)| *span == text && *k == kind), "{text}: {hits:?}");
    }
}

#[test]
fn what_is_behind_one_layer() {
    for text in [
        "john%40example.com",
        "john&#64;example.com",
        "jo\u{200b}hn@exam\u{200d}ple.com",
        "card ４１１１ １１１１ １１１１ １１１１",
        "see am9obkBleGFtcGxlLmNvbSBhbmQgbW9yZQ== ok",
        "see 6a6f686e406578616d706c652e636f6d ok",
        "mail john=40example=2Ecom",
        r#"{"m": "john\u0040example.com"}"#,
        r"john\u{40}example.com",
        r"john\U00000040example.com",
        r"\000\0014111111111111111\377",
        "&#52&#49&#49&#49&#49&#49&#49&#49&#49&#49&#49&#49&#49&#49&#49&#49",
        "=34=31=31=31=31=31=31=31=31=31=31=31=31=31=31=31",
        "see 0x6a6f686e406578616d706c652e636f6d ok",
        r#"{"b": "\\x6a6f686e406578616d706c652e636f6d"}"#,
        "3231392d34352d36373839",
        "data:text/plain;base64,NDExMTExMTExMTExMTExMQ==",
        "4\u{301}1\u{301}1\u{301}1\u{301}111111111111",
        "4\u{20e3}111111111111111",
        "4\u{e0001}111111111111111",
        "\u{1d406}\u{1d401}82WEST12345698765432",
        "\u{2463}\u{2474}\u{2488}\u{2776}111111111111",
    ] {
        assert_eq!(found(text).len(), 1, "{text}: {:?}", found(text));
    }
    // Every script's digits.
    for zero in [0x660, 0x1946, 0x1090, 0xa620, 0xabf0, 0x104a0, 0x11066, 0x16b50, 0x1d7ce, 0x1e950, 0x1fbf0] {
        let card: String =
            "4111111111111111".bytes().map(|b| char::from_u32(zero + u32::from(b - b'0')).unwrap()).collect();
        assert_eq!(found(&card), [(card.as_str(), "card")]);
    }
}

/// A value that goes over the end of a line, where mail and `encode(…, 'base64')` cut.
#[test]
fn lines_of_base64_are_read_together() {
    let line = "eCB4IHggeCB4IHggeCB4IHggeCB4IHggeCB4IHggeCB4IHggeCB4ICBqby5kb2VAZXhhbXBsZS5v";
    for end in ["\n", "\r\n"] {
        let text = format!("see {line}{end}cmcgeSB5IHkgeSB5IHkgeQ==");
        assert_eq!(found(&text), [(&text[4..], "email")]);
    }
}

/// Cards that are not written as cards print them.
#[test]
fn cards_in_any_writing() {
    for text in [
        "4111_1111_1111_1111",
        "4111/1111/1111/1111",
        "4111 1111-1111 1111",
        "4111,1111,1111,1111",
        "4111 - 1111 - 1111 - 1111",
        "4111\t1111\t1111\t1111",
        "4111\u{b7}1111\u{b7}1111\u{b7}1111",
        "{4111,1111,1111,1111}",
        "[4111, 1111, 1111, 1111]",
        r#"["4111","1111","1111","1111"]"#,
        r#"{"a": "4111", "b": "1111", "c": "1111", "d": "1111"}"#,
        r#""a"=>"4111", "b"=>"1111", "c"=>"1111", "d"=>"1111""#,
        "<a>4111</a><b>1111</b><c>1111</c><d>1111</d>",
        "(4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)",
        "41-11-11-11-11-11-11-11",
        "411-111-111-111-111-1",
        "411111 111111 1111",
        "411111-1111111111",
        "411111111111_1111",
        "41111111-11111111",
        "4111-1111-1111-1111-123",
        "3782-8224-6310-005",
        "4,111,111,111,111,111.00",
        "$4,111,111,111,111,111.00",
        "4.111111111111111e+15",
        r#"{"n": 4.111111111111111e15}"#,
        "4111111111111111.00",
        "0004111111111111111",
        "VISA4111111111111111",
        "%B4111111111111111^DOE/JO^2512101?",
        "pan_4111111111111111",
        "$4111111111111111",
    ] {
        let found = found(text);
        let digits: usize = found.iter().map(|(span, _)| span.bytes().filter(u8::is_ascii_digit).count()).sum();
        assert!(!found.is_empty() && found.iter().all(|(_, kind)| *kind == "card"), "{text}: {found:?}");
        assert!(digits >= 15, "all of it: {text}: {found:?}");
    }
    for text in [
        "0.4111111111111111",
        "12.4111111111111111",
        "[4111, 1111, 1111, 1111, 1111]",
        "[1111, 4111, 1111, 1111, 1111]",
        "4111 of 1111, 1111 and 1111",
        "4.1e+15",
        r#"{"a": 4111, "b": 1111, "c": 1111, "d": 1111}"#,
        "2024_01_02_030405",
        "219/45/6789",
    ] {
        assert!(found(text).is_empty(), "{text}: {:?}", found(text));
    }
    // Under a name of other things a bare number is none, however it is written.
    let mut hits = Vec::new();
    all().scan(b"[4111, 1111, 1111, 1111]", &Column::named(b"amount"), &mut hits);
    assert!(hits.iter().all(|hit| hit.strength < Strength::Fair), "{hits:?}");
}

#[test]
fn look_alikes_are_left_alone() {
    for text in [
        "3b7e9353-2096-e2a9-6f05-54ccb5453f55",
        "2025-04-11T03:54:15.506945Z",
        "2024-01-02 03:04:05.678901+00",
        "version 1.2.3.4",
        "build=9.47.4.90",
        "-64.521297, -38.031849",
        "978-1-4362-2662-2",
        "5591361715213350",
        "ORD-2024-30749",
        "e8e7660453c13733e42b3c8c9ef95d2970b1a286faf3427d298558fe09936a59",
        "00:1b:44:11:3a:b7",
        "std::io::Error",
        "icon@2x.png",
        "$1,204.99",
        "order 123456789",
        "1Z686084TVYWEZ498N",
    ] {
        assert!(found(text).is_empty(), "{text}: {:?}", found(text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn hits_lie_in_the_text_in_order(text in proptest::collection::vec(
        prop_oneof![Just(b'@'), Just(b'.'), Just(b'-'), Just(b' '), Just(b':'), Just(b'%'), b'0'..=b'9', b'a'..=b'z', any::<u8>()], 0..200)) {
        let mut place = 0;
        for hit in scan(&all(), &text) {
            prop_assert!(place <= hit.start && hit.start < hit.end && hit.end <= text.len());
            place = hit.end;
        }
    }

    /// A bare number that begins a value is nothing where the name is of other things; what is beside it is looked at all the same.
    #[test]
    fn bare_digits_under_a_name_of_other_things_are_nothing(digits in "[0-9]{7,11}") {
        let column = Column::named(b"order_id");
        let mut hits = Vec::new();
        all().scan(digits.as_bytes(), &column, &mut hits);
        prop_assert!(hits.is_empty(), "{digits}: {hits:?}");
        let beside = format!("{digits} ssn 219-09-9998");
        all().scan(beside.as_bytes(), &column, &mut hits);
        prop_assert!(hits.iter().any(|hit| hit.end == beside.len()), "{beside}: {hits:?}");
    }

    /// What stands around a value does not hide it, as long as it is apart from it.
    #[test]
    fn values_are_found_in_any_surroundings(before in "[a-z ]{0,60}", after in "[a-z ]{0,60}", user in "[a-z]{1,12}") {
        let mail = format!("{user}@example.com");
        let text = format!("{before} {mail} {after} 4111 1111 1111 1111 x");
        let spans: Vec<&str> = found(&text).into_iter().map(|(span, _)| span).collect();
        prop_assert!(spans.contains(&mail.as_str()), "{text}: {spans:?}");
        prop_assert!(spans.contains(&"4111 1111 1111 1111"), "{text}: {spans:?}");
    }
}

/// Eight times the text takes about eight times as long: far from the sixty-four times of a quadratic scan.
#[test]
fn no_text_takes_longer_than_its_length_allows() {
    let detectors = all();
    let patterns: [&str; 28] = [
        "1",
        "12 ",
        "1-",
        "1234 ",
        "1.",
        "@",
        "a@",
        "a@a.",
        "://",
        "a://",
        "www.",
        " www.a",
        ":",
        "a:",
        "::",
        "ab:cd:",
        "%41",
        "&#64;",
        "=",
        "-----BEGIN ",
        "P<",
        "QUJD",
        "1,",
        "4111,",
        "\"1\",",
        "\"a\":\"1\",",
        "<a>1",
        "11111111111111a",
    ];
    for pattern in patterns {
        let time = |bytes: usize| {
            let text = pattern.repeat(bytes / pattern.len());
            let begun = Instant::now();
            let _ = scan(&detectors, text.as_bytes());
            begun.elapsed()
        };
        // A machine with other work makes any one measurement long, but not every one.
        let fine = (0..40).any(|_| time(128 * 1024) < time(16 * 1024).max(Duration::from_millis(2)) * 24);
        assert!(fine, "`{pattern}` is slower than linear");
    }
}
