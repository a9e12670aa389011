//! Values of each kind, and values that only look like one.

use crate::dice::Dice;
use lockgate_detect::Kind;

/// How people of many countries write telephone numbers. `#` and `N` are digits.
pub const PHONES: &[&str] = &[
    // North America.
    "(N##) N##-####",
    "N##-N##-####",
    "N##.N##.####",
    "+1 N## N## ####",
    "+1-N##-N##-####",
    "+1 (N##) N##-####",
    "1-N##-N##-####",
    "001-N##-N##-####",
    "+1N##N######",
    "+1.N##.N##.####",
    "(N##)N##-####",
    "N##-N##-####x###",
    "+1-N##-N##-#### ext. ###",
    "1 (N##) N##-####",
    // Great Britain and Ireland.
    "+44 20 7### ####",
    "+44 7### ######",
    "020 7### ####",
    "07### ######",
    "+44 (0)20 7### ####",
    "(0161) ### ####",
    "+447#########",
    "01632 ######",
    "+44 (0) 7### ######",
    "+44-20-7###-####",
    "0044 20 7### ####",
    "+353 8# ### ####",
    "08# ### ####",
    // Germany, Austria, Switzerland.
    "+49 30 ########",
    "+49 (0)89 #######",
    "030/#######",
    "+49 151 ########",
    "0151 ########",
    "089-########",
    "(030) ########",
    "0049 89 #######",
    "+4989#######",
    "+49(0)30#######",
    "+49 89/########",
    "+43 664 #######",
    "0664 #######",
    "+43 1 #######",
    "+41 44 ### ## ##",
    "044 ### ## ##",
    "+41 79 ### ## ##",
    "0041 79 ### ## ##",
    // France, Belgium, the Netherlands.
    "+33 1 ## ## ## ##",
    "01 ## ## ## ##",
    "06.##.##.##.##",
    "+33 (0)6 ## ## ## ##",
    "+336########",
    "06-##-##-##-##",
    "0033 6 ## ## ## ##",
    "+32 4## ## ## ##",
    "04##/##.##.##",
    "02 ### ## ##",
    "+32 2 ### ## ##",
    "+31 6 ########",
    "06-########",
    "020-#######",
    "+31 20 ### ####",
    "+31 (0)6 ########",
    // The south.
    "+34 6## ### ###",
    "91 ### ## ##",
    "+34 91 ### ## ##",
    "+34 6## ## ## ##",
    "+39 3## #######",
    "+39 02 ########",
    "+39 06 #### ####",
    "+351 9## ### ###",
    "+30 69# ### ####",
    "+90 5## ### ## ##",
    "0 5## ### ## ##",
    "0(5##) ### ## ##",
    // The north and the east.
    "+46 70 ### ## ##",
    "070-### ## ##",
    "08-### ### ##",
    "+47 4## ## ###",
    "+45 ## ## ## ##",
    "+358 40 ### ####",
    "040 ### ####",
    "+48 5## ### ###",
    "+48 22 ### ## ##",
    "+420 6## ### ###",
    "+36 20 ### ####",
    "+40 7## ### ###",
    "+7 9## ###-##-##",
    "8 (9##) ###-##-##",
    "+7 (9##) ###-##-##",
    "+380 ## ### ## ##",
    "+380 (##) ###-##-##",
    // Asia and the Pacific.
    "+91 9#### #####",
    "+91-9#########",
    "+919#########",
    "+91 98## ######",
    "+86 13# #### ####",
    "+86 10 #### ####",
    "+86 13#########",
    "+81 90-####-####",
    "090-####-####",
    "03-####-####",
    "+81-3-####-####",
    "+82 10-####-####",
    "010-####-####",
    "+82-2-###-####",
    "+61 4## ### ###",
    "04## ### ###",
    "(02) #### ####",
    "+61 2 #### ####",
    "+64 21 ### ####",
    "021 ### ####",
    "+65 #### ####",
    "+852 #### ####",
    "+60 12-### ####",
    "+66 8# ### ####",
    "+63 917 ### ####",
    "+84 9# ### ## ##",
    "+62 812-####-####",
    "+886 912 ### ###",
    "+92 300 #######",
    "+880 17##-######",
    // Latin America, Africa, the Middle East.
    "+55 11 9####-####",
    "(11) 9####-####",
    "+55 (11) 9####-####",
    "(11) N###-####",
    "+52 55 #### ####",
    "+52 1 55 #### ####",
    "+54 9 11 ####-####",
    "+56 9 #### ####",
    "+57 3## ### ####",
    "+51 9## ### ###",
    "+27 82 ### ####",
    "082 ### ####",
    "+234 80# ### ####",
    "+254 7## ######",
    "+20 10# ### ####",
    "+972 5#-###-####",
    "05#-###-####",
    "+971 5# ### ####",
    "+966 5# ### ####",
    "+212 6 ## ## ## ##",
];

/// A telephone number.
pub fn phone(dice: &mut Dice) -> String {
    let pattern = dice.pick(PHONES);
    dice.pattern(pattern)
}

const LOCAL: &[&str] = &[
    "mara.lindqvist",
    "t.okafor",
    "jose_ramirez",
    "yuki",
    "ops-team",
    "a.b.c",
    "o'neill",
    "first.last",
    "info",
    "kim77",
    "büro",
    "zoë.k",
    "x",
    "no-reply",
    "j.v.d.berg",
    "M.SCHMIDT",
];
const DOMAIN: &[&str] = &[
    "mail.test-host.org",
    "nordlys.no",
    "kawasaki.co.jp",
    "uni-bonn.de",
    "a1.io",
    "dept.agency.gov.uk",
    "firma.com.br",
    "post.museum",
    "exämple.de",
    "x-y.co",
    "sub.sub2.shop.travel",
    "Contoso.COM",
    "mx1.example.net",
    "k8s.dev",
];

/// An e-mail address.
pub fn email(dice: &mut Dice) -> String {
    let local = dice.pick(LOCAL);
    let tag = match dice.roll(4) {
        0 => dice.pick(&["+news", "+2024", "+a.b", "+tag_1"]),
        _ => "",
    };
    format!("{local}{tag}@{}", dice.pick(DOMAIN))
}

fn luhn_digit(digits: &str) -> char {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, b)| {
            let d = u32::from(b - b'0');
            if at % 2 == 0 { d * 2 / 10 + d * 2 % 10 } else { d }
        })
        .sum();
    char::from(b'0' + ((10 - sum % 10) % 10) as u8)
}

fn grouped(digits: &str, lengths: &[usize], separator: &str) -> String {
    let mut from = 0;
    let groups = lengths.iter().map(|n| {
        from += n;
        &digits[from - n..from]
    });
    groups.collect::<Vec<_>>().join(separator)
}

/// A card of one of six networks, bare or in groups.
pub fn card(dice: &mut Dice) -> String {
    let pattern = dice.pick(&[
        "4##############",
        "51#############",
        "2221###########",
        "37############",
        "6011###########",
        "3530###########",
    ]);
    let mut digits = dice.pattern(pattern);
    digits.push(luhn_digit(&digits));
    let lengths: &[usize] = if digits.len() == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
    match dice.roll(3) {
        0 => digits,
        1 => grouped(&digits, lengths, " "),
        _ => grouped(&digits, lengths, "-"),
    }
}

/// A social security number of an area that is given out.
pub fn ssn(dice: &mut Dice) -> String {
    let area = loop {
        let area = 1 + dice.roll(898);
        if area != 666 {
            break area;
        }
    };
    format!("{area:03}-{:02}-{:04}", 1 + dice.roll(98), 1 + dice.roll(9998))
}

/// Countries with the form of their national part: `#` digits, `!` capitals.
const IBANS: &[(&str, &str)] = &[
    ("DE", "##################"),
    ("GB", "!!!!##############"),
    ("FR", "#######################"),
    ("ES", "####################"),
    ("NL", "!!!!##########"),
    ("BE", "############"),
    ("AT", "################"),
    ("CH", "#################"),
    ("IT", "!######################"),
    ("PT", "#####################"),
    ("PL", "########################"),
    ("SE", "####################"),
    ("NO", "###########"),
    ("DK", "##############"),
    ("FI", "##############"),
    ("IE", "!!!!##############"),
    ("CZ", "####################"),
    ("GR", "#######################"),
    ("TR", "######################"),
    ("SA", "####################"),
    ("AE", "###################"),
    ("BR", "#######################!#"),
    ("MT", "!!!!#######################"),
    ("LV", "!!!!#############"),
    ("RO", "!!!!################"),
    ("CY", "########################"),
    ("IL", "###################"),
    ("KZ", "################"),
    ("UA", "#########################"),
];

/// An account number, compact or in groups of four.
pub fn iban(dice: &mut Dice) -> String {
    let (country, form) = IBANS[dice.roll(IBANS.len())];
    let body = dice.pattern(form);
    let rest = format!("{body}{country}00").bytes().fold(0_u32, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        _ => (rest * 100 + u32::from(b - b'A') + 10) % 97,
    });
    let whole = format!("{country}{:02}{body}", 98 - rest);
    match dice.roll(5) {
        0 | 1 => whole,
        4 => whole.to_lowercase(),
        spaced => {
            let parts: Vec<&str> = whole.as_bytes().chunks(4).map(|c| std::str::from_utf8(c).unwrap()).collect();
            parts.join(if spaced == 2 { " " } else { "-" })
        }
    }
}

/// An IP address.
pub fn ip(dice: &mut Dice) -> String {
    let h = |dice: &mut Dice| dice.pattern("hhhh");
    match dice.roll(9) {
        0..=3 => {
            format!("{}.{}.{}.{}", 1 + dice.roll(254), dice.roll(256), dice.roll(256), dice.roll(256))
        }
        4 => (0..8).map(|_| h(dice)).collect::<Vec<_>>().join(":"),
        5 => format!("2001:db8:{}::{}", h(dice), 1 + dice.roll(99)),
        6 => format!("fe80::{}:{}ff:fe{}:{}", h(dice), dice.pattern("hh"), dice.pattern("hh"), h(dice)),
        7 => format!("::ffff:{}.{}.{}.{}", 1 + dice.roll(254), dice.roll(256), dice.roll(256), dice.roll(256)),
        _ => (0..8).map(|_| h(dice)).collect::<Vec<_>>().join(":").to_uppercase(),
    }
}

/// A URL, now and then with a password in it.
pub fn url(dice: &mut Dice) -> String {
    let host = dice.pick(&[
        "shop.test-host.org",
        "example.net:8443",
        "10.1.2.3",
        "xn--bcher-kva.example",
        "api.v2.contoso.com",
        "localhost:3000",
        "[2001:db8::7]:8080",
        "münchen.example",
    ]);
    let path = dice.pick(&[
        "",
        "/",
        "/a/b.html",
        "/search?q=a+b&page=2",
        "/wiki/Tea_(drink)",
        "/x/~user/#top",
        "/v1/items/42?fields=id,name",
        "/%7Ehome/index.php?id=7&x=%20",
        "/a,b;c=1/d",
    ]);
    match dice.roll(8) {
        0 => format!(
            "{}://svc:{}@{host}{path}",
            dice.pick(&["https", "ftp", "postgres", "amqp"]),
            dice.pattern("p?#?#!!x")
        ),
        1 => format!("www.test-host.org{path}"),
        2 => format!("HTTP://{host}{path}"),
        3 => format!("{}://{host}{path}", dice.pick(&["ftp", "wss", "git+ssh", "s3"])),
        _ => format!("https://{host}{path}"),
    }
}

/// A value of a kind.
pub fn value(kind: Kind, dice: &mut Dice) -> String {
    match kind {
        Kind::Email => email(dice),
        Kind::Phone => phone(dice),
        Kind::Card => card(dice),
        Kind::UsSsn => ssn(dice),
        Kind::Iban => iban(dice),
        Kind::Ip => ip(dice),
        _ => url(dice),
    }
}

/// A number that is a card but for its check digit.
fn no_card(dice: &mut Dice) -> String {
    let mut digits = dice.pattern("4##############");
    let check = luhn_digit(&digits) as u8 - b'0';
    digits.push(char::from(b'0' + (check + 1 + dice.roll(9) as u8) % 10));
    digits
}

/// The name of a column and how its values are made.
pub type Negative = (&'static str, fn(&mut Dice) -> String);

/// Names of columns, and values that none of the kinds is.
pub const NEGATIVES: &[Negative] = &[
    ("order_id", |d| d.pattern("N########")),
    ("order_no", |d| d.pattern("PO-2024-######")),
    ("account_id", |d| d.pattern("N#########")),
    ("user_id", |d| d.pattern("N########")),
    ("id", |d| d.pattern("N######")),
    ("part_number", |d| d.pattern("!!-####-##-#")),
    ("sku", |d| d.pattern("!!!-#####-!!")),
    ("serial_number", |d| d.pattern("SN###-##-####!")),
    ("invoice", |d| d.pattern("INV#####/24")),
    ("version", |d| format!("{}.{}.{}.{}", d.roll(20), d.roll(30), d.roll(9000), d.roll(90))),
    ("build", |d| d.pattern("v#.##.#-rc#")),
    ("firmware", |d| d.pattern("#.##.###")),
    ("created_at", |d| d.pattern("202#-0N-1# 1#:2#:3#.######+00")),
    ("updated", |d| d.pattern("202#-0N-1#T1#:2#:3#Z")),
    ("born", |d| d.pattern("1#.0N.19##")),
    ("due", |d| d.pattern("0N/1#/202#")),
    ("epoch", |d| d.pattern("17########")),
    ("epoch_ms", |d| d.pattern("17###########")),
    ("sha256", |d| d.pattern(&"h".repeat(64))),
    ("md5", |d| d.pattern(&"h".repeat(32))),
    ("commit", |d| d.pattern(&"h".repeat(40))),
    ("trace_id", |d| d.pattern("hhhhhhhh-hhhh-4hhh-ahhh-hhhhhhhhhhhh")),
    ("mac", |d| d.pattern("hh:hh:hh:hh:hh:hh")),
    ("pan_like", no_card),
    ("amount", |d| d.pattern("N#,###.##")),
    ("price", |d| d.pattern("N###.##")),
    ("balance", |d| d.pattern("-N.###.###,##")),
    ("lat_lon", |d| d.pattern("4#.######, -7#.######")),
    ("isbn", |d| d.pattern("978-#-####-####-#")),
    ("ean", |d| d.pattern("40###########")),
    ("tracking", |d| d.pattern("1Z###!#!##########")),
    ("zip", |d| d.pattern("#####-####")),
    ("duration", |d| d.pattern("##:##:##.###")),
    ("path", |d| d.pattern("/var/lib/???/##/?????.log")),
    ("snowflake", |d| d.pattern("1##################")),
    ("size", |d| d.pattern("N#########")),
    ("ratio", |d| d.pattern("0.############")),
    ("range", |d| d.pattern("1###-2###")),
    ("score", |d| d.pattern("##-##")),
    ("status", |d| d.pick(&["paid", "open", "call back later", "n/a", "2 of 3"]).to_owned()),
    ("note", |d| d.pattern("page ## of ###, shelf !#")),
    ("handle", |d| d.pattern("@?????_##")),
    ("package", |d| d.pattern("@scope/????@#.##.#")),
    ("blob", |d| d.pattern("?h!##?!h?!#h?!?#h!?h?!?h#!?=")),
    ("license", |d| d.pattern("!!!!#-!!##!-####!-!!!!#")),
    ("oid", |d| d.pattern("1.3.6.1.4.1.#####.2")),
    ("chapter", |d| d.pattern("#.#.#")),
    ("ticket", |d| d.pattern("OPS-#####")),
    ("ratio_text", |d| d.pattern("##:##")),
    ("histogram", |d| (0..2 + d.roll(12)).map(|_| d.roll(5000).to_string()).collect::<Vec<_>>().join(", ")),
    ("votes", |d| format!("{{{}}}", (0..1 + d.roll(9)).map(|_| d.roll(10).to_string()).collect::<Vec<_>>().join(","))),
    ("limits", |d| format!(r#"{{"low": {}, "high": {}, "step": {}}}"#, d.roll(9999), d.roll(9999), d.roll(9999))),
    ("image", |d| d.pattern("IMG_2024####_######_###.jpg")),
    ("key", |d| d.pattern("##_N##_####")),
    ("expr", |d| d.pattern("a::text, b::int, #:#")),
];
