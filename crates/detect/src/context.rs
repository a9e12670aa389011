//! Words around a value: the column's name, the key before it, the sentence it stands in.
//!
//! Many numbers are told from others only by what they are called. A word has topics; a column's name and the text before
//! a value give the topics that speak for or against a hit.

use crate::class::{at, before, is_word, slice};

/// What words speak of, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(pub(crate) u32);

pub(crate) const PHONE: u32 = 1;
pub(crate) const CARD: u32 = 2;
pub(crate) const SSN: u32 = 4;
pub(crate) const IP: u32 = 8;
pub(crate) const NATIONAL: u32 = 16;
pub(crate) const PASSPORT: u32 = 32;
pub(crate) const SECRET: u32 = 64;
/// Where people are reached, by whatever means.
pub(crate) const CONTACT: u32 = 128;
/// Names of things that only look alike: orders, versions, hashes, times, places, amounts.
pub(crate) const OTHER: u32 = 256;
/// Versions and builds, which look like IP addresses.
pub(crate) const VERSION: u32 = 512;

/// How far before a value words count, in bytes.
const WINDOW: usize = 48;
/// The longest word that can have a topic.
const WORD: usize = 24;

impl Topics {
    pub(crate) const fn has(self, topics: u32) -> bool {
        self.0 & topics != 0
    }

    /// Whether nothing says that a bare number could be somebody's: such names stand for orders, times and amounts.
    pub(crate) const fn is_of_other_things(self) -> bool {
        self.has(OTHER) && !self.has(PHONE | CONTACT | SSN | NATIONAL)
    }

    /// The topics of a name such as `customerPhone` or `tax_id`.
    pub fn of_name(name: &[u8]) -> Topics {
        // What the server calls an output of these functions says nothing of what is in it.
        if name.starts_with(b"json_build_") || name.starts_with(b"jsonb_build_") {
            return Topics(0);
        }
        let mut topics = 0;
        let mut start = 0;
        let mut previous = 0;
        for end in 0..=name.len() {
            let byte = at(name, end);
            let hump = byte.is_ascii_uppercase() && previous_is_lower(previous);
            if end == name.len() || !byte.is_ascii_alphabetic() && byte < 0x80 || hump {
                topics |= of_word(slice(name, start, end));
                start = if hump { end } else { end + 1 };
            }
            previous = byte;
        }
        // Two words that mean something together only.
        let mut all: Vec<u8> = name.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
        all.truncate(WORD);
        Topics(topics | of_word(&all))
    }
}

fn previous_is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// What is known of the column that values come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// What its name speaks of.
    pub(crate) topics: Topics,
    /// The name in lower case, with blanks for what joins its words.
    name: String,
}

impl Column {
    /// A column by its name.
    pub fn named(name: &[u8]) -> Self {
        let readable = String::from_utf8_lossy(name).to_lowercase().replace(['_', '-', '.'], " ");
        Column { topics: Topics::of_name(name), name: readable }
    }

    /// Whether the name has a word, given in lower case.
    pub fn name_has(&self, word: &str) -> bool {
        !self.name.is_empty() && self.name.contains(word)
    }

    /// Whether the name is one of orders, times, amounts and the like, and of nobody.
    pub fn is_of_other_things(&self) -> bool {
        self.topics.is_of_other_things() && !self.topics.has(CARD)
    }

    /// What the names of both columns speak of.
    pub fn shared(&self, other: &Column) -> Column {
        Column { topics: Topics(self.topics.0 & other.topics.0), name: String::new() }
    }

    /// Whether the name speaks of values that are somebody's.
    pub fn says_anything(&self) -> bool {
        self.topics.has(PHONE | CARD | SSN | NATIONAL | PASSPORT)
    }
}

/// The topics of one word in any case.
fn of_word(word: &[u8]) -> u32 {
    let mut lower = [0; WORD];
    let Some(place) = lower.get_mut(..word.len()) else { return 0 };
    for (to, from) in place.iter_mut().zip(word) {
        *to = from.to_ascii_lowercase();
    }
    let plain = std::str::from_utf8(place).unwrap_or_default();
    match plain {
        "phone" | "phones" | "phonenumber" | "phoneno" | "tel" | "tels" | "telephone" | "telefon" | "telefono"
        | "teléfono" | "téléphone" | "telefone" | "telefonnummer" | "telefoon" | "telefoonnummer" | "mobile"
        | "mobiel" | "mobil" | "móvil" | "movil" | "celular" | "cell" | "cellphone" | "cellulare" | "handy"
        | "handynummer" | "fax" | "landline" | "msisdn" | "whatsapp" | "sms" | "call" | "dial" | "rufnummer"
        | "komórka" | "puhelin" | "puhelinnumero" | "tlf" | "hotline" | "callback" | "caller" | "dialed" | "texted"
        | "phoned" | "gsm" | "appelez" | "appeler" | "appelle" | "llame" | "llamar" | "llámame" | "llámeme"
        | "anrufen" | "chiama" | "chiamare" | "chiamami" | "ligue" | "ligar" | "bel" | "bellen" | "zadzwoń" => PHONE,
        "card" | "cards" | "pan" | "cc" | "ccnum" | "ccnumber" | "creditcard" | "cardnumber" | "cardno" | "credit"
        | "debit" | "debitcard" | "visa" | "mastercard" | "amex" | "discover" | "diners" | "jcb" | "unionpay"
        | "maestro" | "karte" | "kreditkarte" | "kartennummer" | "carte" | "tarjeta" | "carta" | "cartão"
        | "cartao" | "karta" => CARD,
        "ssn" | "ssns" | "social" | "socialsecurity" | "socsec" | "ss" | "ssno" | "ssnumber" => SSN | NATIONAL,
        "tax" | "taxid" | "tin" | "taxpayer" | "itin" => SSN | NATIONAL,
        "ip" | "ips" | "ipv4" | "ipv6" | "ipaddr" | "ipaddress" | "addr" | "host" | "client" | "remote" | "peer"
        | "server" | "source" | "src" | "dst" | "destination" | "gateway" | "dns" | "subnet" | "cidr" => IP,
        "passport" | "passports" | "passportno" | "passportnumber" | "passnummer" | "reisepass" | "reisepassnummer"
        | "passeport" | "pasaporte" | "passaporto" | "passaporte" | "paspoort" | "paszport" | "pass" => PASSPORT,
        "contact" | "contacts" | "reach" | "text" | "kontakt" | "contacto" | "contatto" | "contato" => CONTACT,
        "secret" | "secrets" | "password" | "passwd" | "token" | "apikey" | "accesskey" | "secretkey"
        | "secretaccesskey" | "aws" | "credential" | "credentials" => SECRET,
        "version" | "versions" | "ver" | "build" | "release" | "rel" | "firmware" | "semver" | "revision" | "oid"
        | "v" => VERSION | OTHER,
        "order" | "orders" | "invoice" | "sku" | "ean" | "upc" | "isbn" | "gtin" | "asin" | "tracking" | "shipment"
        | "epoch" | "timestamp" | "ts" | "time" | "date" | "created" | "updated" | "modified" | "hash" | "sha"
        | "sha1" | "sha256" | "md5" | "git" | "commit" | "checksum" | "digest" | "uuid" | "guid" | "snowflake"
        | "lat" | "lon" | "lng" | "latlon" | "latitude" | "longitude" | "price" | "amount" | "total" | "currency"
        | "percent" | "quantity" | "qty" | "count" | "size" | "bytes" | "duration" | "dur" | "elapsed" | "port"
        | "pid" | "offset" | "seq" | "sequence" | "serial" | "ticket" | "batch" | "product" | "status" | "zip"
        | "postcode" | "plz" | "trace" | "span" | "request" | "req" | "orderid" | "ordernumber" | "barcode"
        | "imei" => OTHER,
        _ => crate::national_words::topics(plain),
    }
}

/// The topics of what stands before `start`: the key where there is one (`"ssn": "…"`, `ssn=…`, `<ssn>…`), else the words
/// of the sentence up to another number.
pub(crate) fn before_value(text: &[u8], start: usize) -> Topics {
    let mut end = start;
    while end > 0 && matches!(before(text, end), b' ' | b'"' | b'\'' | b'(' | b'+') {
        end -= 1;
    }
    let key = match before(text, end) {
        b':' | b'=' => Some(end - 1),
        b'>' => Some(end - 1),
        _ => None,
    };
    if let Some(mut key_end) = key {
        while key_end > 0 && matches!(before(text, key_end), b' ' | b'"' | b'\'' | b'>' | b':' | b'=') {
            key_end -= 1;
        }
        let mut key_start = key_end;
        while key_start > 0 && key_end - key_start < WINDOW && is_key(before(text, key_start)) {
            key_start -= 1;
        }
        if key_start < key_end {
            let named = Topics::of_name(slice(text, key_start, key_end));
            if named.0 != 0 || matches!(before(text, key_start), b'"' | b'\'' | b'<' | b',' | b'{' | b'&') {
                return named;
            }
        }
    }
    window(text, end)
}

/// The topics of two words as if they were one.
fn of_pair(words: &[u8]) -> u32 {
    let mut joined = [0; WORD];
    let mut length = 0;
    for byte in words.iter().filter(|b| b.is_ascii_alphanumeric()) {
        let Some(place) = joined.get_mut(length) else { return 0 };
        *place = *byte;
        length += 1;
    }
    of_word(slice(&joined, 0, length))
}

/// The topics of the one word right before `start`, across a sign or a blank.
pub(crate) fn word_before(text: &[u8], start: usize) -> Topics {
    let mut end = start;
    while end > 0
        && start - end < 4
        && matches!(before(text, end), b' ' | b'"' | b'\'' | b'(' | b':' | b'=' | b'/' | b'-' | b'.')
    {
        end -= 1;
    }
    let mut word = end;
    while word > 0 && end - word < WORD && before(text, word).is_ascii_alphabetic() {
        word -= 1;
    }
    Topics(of_word(slice(text, word, end)))
}

/// Bytes of a key: words, hyphens, and blanks within a phrase such as `Social security no`.
const fn is_key(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'-' | b'.' | b' ')
}

/// The topics of the words in the bytes before `end`, not looking past a line's end or another long number.
fn window(text: &[u8], end: usize) -> Topics {
    let mut start = end;
    let mut digits = 0;
    while start > 0 && end - start < WINDOW {
        let byte = before(text, start);
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if matches!(byte, b'\n' | b'|' | b'\t') || digits >= 5 {
            break;
        }
        start -= 1;
    }
    // A word that the window cuts does not count.
    if start > 0 && is_word(before(text, start)) {
        while start < end && is_word(at(text, start)) {
            start += 1;
        }
    }
    let mut topics = 0;
    let mut word = start;
    let mut previous = start;
    for place in start..=end {
        if place == end || !is_word(at(text, place)) || at(text, place) == b'_' {
            topics |= of_word(slice(text, word, place));
            if previous < word {
                // Two words that mean something together, such as `id number`.
                topics |= of_pair(slice(text, previous, place));
            }
            previous = word;
            word = place + 1;
        }
    }
    Topics(topics)
}

/// Whether the value from `start` to `end` is a whole field of its record: between commas, bars, tabs, quotes or tags, or
/// the whole text.
#[inline]
pub(crate) fn is_field(text: &[u8], start: usize, end: usize) -> bool {
    let left = slice(text, 0, start).iter().rev().find(|b| **b != b' ');
    let right = slice(text, end, text.len()).iter().find(|b| **b != b' ');
    let edge = |byte: Option<&u8>| {
        matches!(byte, None | Some(b',' | b';' | b'|' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'<' | b'>'))
    };
    edge(left) && edge(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, topic) in [
            ("phone", PHONE),
            ("customerPhone", PHONE),
            ("home_phone_2", PHONE),
            ("PhoneNumber", PHONE),
            ("tax_id", SSN),
            ("SSN", SSN),
            ("order_id", OTHER),
            ("cc_num", CARD),
            ("dni", NATIONAL),
        ] {
            assert!(Topics::of_name(name.as_bytes()).has(topic), "{name}");
        }
        assert_eq!(Topics::of_name(b"c4"), Topics(0));
        assert_eq!(Topics::of_name(b"jsonb_build_array"), Topics(0));
        assert_eq!(Topics::of_name(b"microphones"), Topics(0));
    }

    #[test]
    fn keys_and_sentences() {
        let topics = |text: &str, value: &str| before_value(text.as_bytes(), text.find(value).unwrap());
        assert!(topics(r#"{"ssn": "111812082"}"#, "111").has(SSN));
        assert!(!topics(r#"{"ssn": "111812082", "order": 123456789}"#, "1234").has(SSN));
        assert!(topics("<phone>0123</phone>", "0123").has(PHONE));
        assert!(topics("please call me at 5551234567", "555").has(PHONE));
        assert!(topics("Social Security number: 123456789", "123").has(SSN));
        assert!(!topics("my ssn is 123456789 and 987654321", "9876").has(SSN));
    }

    #[test]
    fn fields() {
        assert!(is_field(b"a,123,b", 2, 5) && is_field(b"123", 0, 3) && is_field(b"a | 123 |", 4, 7));
        assert!(!is_field(b"a 123,b", 2, 5) && !is_field(b"a/123", 2, 5));
    }
}
