//! A compiled set of detectors, and the scan of one value.

use crate::bare::Bare;
use crate::card::{self, Issued, card};
use crate::class::{self, Summary, at, before, slice};
use crate::context::{self, Column, Topics};
use crate::custom::Custom;
use crate::kind::Kind;
use crate::national::Found;
use crate::number::{Number, Run};
use crate::phone::{self, Phone, Sure, phone};
use crate::ssn::{Written, is_given_out, ssn};
use crate::token::{Token, begins_word, runs, tokens};
use crate::{crypto, email, first, iban, ip, layers, national, national_bare, passport, secret, spread, url};
use std::sync::Arc;

/// What found a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Detector {
    /// A built-in detector.
    Kind(Kind),
    /// The user-defined one at this index of the set.
    Custom(usize),
}

/// How sure a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strength {
    /// It could be one; only the rest of its column can tell.
    Possible,
    /// Its check digit fits, as that of every tenth number does; only the rest of its column can tell.
    Checked,
    /// It looks like one in the place where it stands.
    Fair,
    /// It is written as one, or called one.
    Likely,
    /// Nothing else looks like it.
    Certain,
}

/// A value found in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// What found it.
    pub detector: Detector,
    /// How sure it is.
    pub strength: Strength,
}

/// The bytes in which a layer of writing is taken off at once, and by how much such parts overlap.
const LAYER_BYTES: usize = 32 * 1024;
const LAYER_OVERLAP: usize = 512;

/// A set of detectors.
#[derive(Clone, Debug, Default)]
pub struct Detectors {
    kinds: u64,
    custom: Vec<Arc<Custom>>,
}

/// The kinds that no word can be.
const WITHOUT_WORDS: u64 = Kind::Email.bit()
    | Kind::Phone.bit()
    | Kind::Card.bit()
    | Kind::UsSsn.bit()
    | Kind::Ip.bit()
    | Kind::Url.bit()
    | Kind::UrlCredentials.bit()
    | Kind::PrivateKey.bit();

/// The kinds that a prefix tells.
const TOKENS: u64 = Kind::AwsKey.bit()
    | Kind::GcpKey.bit()
    | Kind::GithubToken.bit()
    | Kind::SlackToken.bit()
    | Kind::StripeKey.bit()
    | Kind::Jwt.bit();

/// National numbers.
const IDS: u64 = Kind::IDS;

/// The fewest digits of anything but an address with its three dots.
const DIGITS_MIN: usize = 7;

impl Detectors {
    /// A set of built-in and user-defined detectors.
    pub fn new(kinds: impl IntoIterator<Item = Kind>, custom: Vec<Arc<Custom>>) -> Self {
        Detectors { kinds: kinds.into_iter().fold(0, |all, kind| all | kind.bit()), custom }
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.kinds == 0 && self.custom.is_empty()
    }

    /// The user-defined detectors.
    pub fn custom(&self) -> &[Arc<Custom>] {
        &self.custom
    }

    #[inline]
    fn has(&self, kind: Kind) -> bool {
        self.kinds & kind.bit() != 0
    }

    /// Finds what is in a text. Hits are sorted and do not overlap; those below [`Strength::Fair`] mean something only
    /// to a column's evidence. `hits` must be empty.
    #[inline]
    pub fn scan(&self, text: &[u8], column: &Column, hits: &mut Vec<Hit>) {
        match Bare::of(text) {
            Some(bare) => hits.extend(self.bare(&bare, column)),
            None if is_short_number(text) || is_uuid(text) => {}
            None => self.any(text, column, hits),
        }
        self.defined(text, column, hits);
        if hits.len() > 1 {
            resolve(hits);
        }
    }

    /// What built-in detectors find in a text that is no bare number.
    #[inline]
    pub(crate) fn scan_text(&self, text: &[u8], column: &Column, hits: &mut Vec<Hit>) {
        if is_uuid(text) {
            return;
        }
        self.any(text, column, hits);
        if hits.len() > 1 {
            resolve(hits);
        }
    }

    /// What built-in detectors find in a value, whatever it is.
    fn any(&self, text: &[u8], column: &Column, hits: &mut Vec<Hit>) {
        let summary = Summary::of(text);
        self.plain(text, summary, column, hits);
        if summary.has(class::ESCAPE | class::HIGH | class::CONTROL) {
            self.layered(text, column, hits);
        }
        if text.len() >= layers::RUN_BYTES_MIN {
            self.encoded(text, summary, column, hits);
        }
    }

    /// What they find in a value that is nothing but one number: the surest, and of those the first in order. Only what numbers of its
    /// length can be is asked, without looking for where numbers begin and end, for groups of them and for words.
    #[inline]
    pub(crate) fn bare(&self, bare: &Bare, column: &Column) -> Option<Hit> {
        let (kinds, topics) = (self.kinds & bare.kinds(), column.topics);
        if kinds == 0 {
            return None;
        }
        let has = |kind: Kind| kinds & kind.bit() != 0;
        let mut best = Best::default();
        if bare.length() >= card::DIGITS_MIN || bare.minus() || !topics.is_of_other_things() {
            let other = topics.has(context::OTHER);
            if has(Kind::Card)
                && let Some(issued) = card::bare(bare)
            {
                best.take(Kind::Card, card_strength(issued, other, topics.has(context::CARD)));
            }
            if has(Kind::UsSsn) {
                let loose = !other && !bare.minus();
                let strength = if topics.has(context::SSN) { Strength::Likely } else { Strength::Possible };
                let given_out = bare.all().first_chunk().is_some_and(is_given_out) && !bare.is_repeated();
                best.take_if(given_out && (loose || topics.has(context::SSN)), Kind::UsSsn, strength);
            }
            let named = topics.has(context::NATIONAL | context::SSN);
            if kinds & IDS != 0
                && (named || !other)
                && let Some((kind, strength)) = self.country(national_bare::digits(bare), other, named)
            {
                best.take(kind, strength);
            }
            let other = other && !topics.has(context::PHONE | context::CONTACT);
            if has(Kind::Phone)
                && !other
                && let Some(sure) = phone::bare(bare.digits(), bare.is_repeated())
            {
                // With a zero before it, as numbers are dialled at home.
                let dialled = !bare.minus() && matches!(bare.digits(), [0, 1..=9, ..]);
                let strength = match sure {
                    _ if topics.has(context::PHONE) => Some(Strength::Likely),
                    Sure::AsField if topics.has(context::CONTACT) || dialled => Some(Strength::Fair),
                    _ => (!bare.minus()).then_some(Strength::Possible),
                };
                if let Some(strength) = strength {
                    best.take(Kind::Phone, strength);
                }
            }
        }
        // As a word of digits.
        if has(Kind::Passport) && topics.has(context::PASSPORT) {
            best.take(Kind::Passport, Strength::Likely);
        }
        let cards = has(Kind::Card) && (topics.has(context::CARD) || !topics.has(context::OTHER));
        // A card behind zeros.
        if cards && bare.length() >= card::USUAL_MIN && best.is_none() && bare.digits().first() == Some(&0) {
            let digits: Vec<u8> =
                bare.digits().iter().skip_while(|digit| **digit == 0).map(|digit| digit + b'0').collect();
            best.take_if(digits.len() <= card::USUAL_MAX && card::is_usual(&digits), Kind::Card, unusual(topics));
        }
        let (kind, strength) = best.kind()?;
        let (start, end) = bare.place();
        Some(Hit { start, end, detector: Detector::Kind(kind), strength })
    }

    /// Which country's number it is, and how surely: of several the surest, and of those the first in order. `other`: it is in one piece, and
    /// its column is of other things.
    #[inline]
    fn country(&self, found: Found, other: bool, named: bool) -> Option<(Kind, Strength)> {
        let all = found.all & self.kinds;
        let itself = if other { 0 } else { found.itself & all };
        let kind = Kind::first(if itself != 0 { itself } else { all })?;
        let strength = match (named, itself != 0) {
            (true, true) => Strength::Certain,
            (true, false) | (false, true) => Strength::Likely,
            (false, false) => Strength::Checked,
        };
        Some((kind, strength))
    }

    /// What user-defined detectors find.
    fn defined(&self, text: &[u8], column: &Column, hits: &mut Vec<Hit>) {
        for (index, custom) in self.custom.iter().enumerate() {
            let strength = if custom.is_checked() { Strength::Certain } else { Strength::Likely };
            custom.scan(text, column, |start, end| {
                hits.push(Hit { start, end, detector: Detector::Custom(index), strength });
            });
        }
    }

    /// What is under one layer of writing.
    fn layered(&self, text: &[u8], column: &Column, hits: &mut Vec<Hit>) {
        let mut from = 0;
        let mut inner = Vec::new();
        loop {
            let to = text.len().min(from + LAYER_BYTES);
            if let Some(peeled) = layers::peel(slice(text, from, to)) {
                inner.clear();
                self.plain(&peeled.text, Summary::of(&peeled.text), column, &mut inner);
                for hit in &inner {
                    let (start, end) = peeled.source(hit.start, hit.end);
                    let hit = Hit { start: start + from, end: end + from, ..*hit };
                    // What was found as it stands, and as surely, is not found again.
                    let known = |h: &Hit| h.start <= hit.start && hit.end <= h.end && h.strength >= hit.strength;
                    if !hits.iter().rev().take(16).any(known) {
                        hits.push(hit);
                    }
                }
            }
            if to == text.len() {
                return;
            }
            from = to - LAYER_OVERLAP;
        }
    }

    /// What is in runs of base64 and hexadecimal.
    fn encoded(&self, text: &[u8], summary: Summary, column: &Column, hits: &mut Vec<Hit>) {
        if summary.is_run() {
            return self.decoded(text, 0, text.len(), column, hits);
        }
        let mut floor = 0;
        runs(text, layers::RUN_BYTES_MIN, |start, end| {
            if start < floor {
                return;
            }
            let end = layers::lines(text, start, end);
            floor = end;
            self.decoded(text, start, end, column, hits);
        });
    }

    /// What is in the run from `start` to `end`.
    fn decoded(&self, text: &[u8], start: usize, end: usize, column: &Column, hits: &mut Vec<Hit>) {
        let mut inner = Vec::new();
        for (from, to) in layers::pieces(start, end) {
            let Some(decoded) = layers::decode(slice(text, from, to)) else { continue };
            inner.clear();
            self.plain(&decoded, Summary::of(&decoded), column, &mut inner);
            let best = inner.iter().filter(|h| h.strength >= Strength::Likely).max_by_key(|h| h.strength);
            if let Some(best) = best {
                hits.push(Hit { start: from, end: to, ..*best });
            }
        }
    }

    /// What is in a text as it stands.
    fn plain(&self, text: &[u8], summary: Summary, column: &Column, hits: &mut Vec<Hit>) {
        let other = column.topics.has(context::OTHER) && !column.topics.has(context::CARD);
        let cards = self.has(Kind::Card) && summary.digits >= card::USUAL_MIN && !other;
        let mut scan = Scan { set: self, text, column, mails: summary.has(class::AT), cards, listed: 0, hits };
        if summary.has(class::AT) && self.has(Kind::Email) {
            scan.emails();
        }
        if self.kinds & (Kind::Url.bit() | Kind::UrlCredentials.bit() | Kind::SlackToken.bit()) != 0 {
            scan.urls(summary);
        }
        // Nothing of interest has less than seven digits, but for addresses with their three dots.
        let dots = || text.iter().filter(|b| **b == b'.').count();
        if summary.digits >= DIGITS_MIN || summary.digits >= 4 && summary.has(class::DOT) && dots() >= 3 {
            scan.numbers(true);
        }
        if summary.has(class::COLON) && self.has(Kind::Ip) {
            scan.v6();
        }
        if summary.digits > 0 && text.len() >= 7 && self.kinds & !WITHOUT_WORDS != 0 {
            if summary.has(class::LETTER | class::HIGH) || column.topics.has(context::PASSPORT) {
                scan.words();
            } else if summary.has(class::DASH | class::PLUS) && self.has(Kind::IdFi) {
                scan.signed();
            }
        }
        if summary.has(class::DASH) && self.has(Kind::PrivateKey) {
            secret::private_keys(text, |start, end| scan.push(Kind::PrivateKey, start, end, Strength::Certain));
        }
        if summary.has(class::LESS) && self.has(Kind::Passport) {
            passport::zones(text, |start, end| scan.push(Kind::Passport, start, end, Strength::Certain));
        }
    }
}

/// What makes a hit better than another that overlaps it.
fn rank(hit: &Hit) -> impl Ord + use<> {
    let sure = hit.strength >= Strength::Fair;
    // Of two for the same bytes, the one that is a secret.
    let secret = matches!(hit.detector, Detector::Kind(kind) if kind.is_secret());
    (sure, hit.end - hit.start, secret, hit.strength, std::cmp::Reverse(hit.detector))
}

/// Orders hits and takes the better of two that overlap. What remains of the other beyond it stays a hit.
fn resolve(hits: &mut Vec<Hit>) {
    let Some(first) = hits.first().copied() else { return };
    // A bare number has several, all of which are the whole of it.
    if hits.iter().all(|hit| (hit.start, hit.end) == (first.start, first.end)) {
        let best = hits.iter().copied().reduce(|best, hit| if rank(&hit) > rank(&best) { hit } else { best });
        hits.clear();
        hits.extend(best);
    } else {
        resolve_all(hits);
    }
}

/// The same for hits that are anywhere.
fn resolve_all(hits: &mut Vec<Hit>) {
    hits.sort_by_key(|h| (h.start, std::cmp::Reverse(h.end)));
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    'next: for hit in hits.iter() {
        let mut hit = *hit;
        while let Some(last) = kept.last().copied().filter(|last| hit.start < last.end) {
            if rank(&hit) > rank(&last) {
                kept.pop();
                if last.start < hit.start && last.strength >= Strength::Likely {
                    kept.push(Hit { end: hit.start, ..last });
                }
            } else if hit.end > last.end && hit.strength >= Strength::Likely {
                hit.start = last.end;
            } else {
                continue 'next;
            }
        }
        kept.push(hit);
    }
    *hits = kept;
}

/// Whether a whole value is of digits alone and too short for anything, as most numbers are.
#[inline]
pub(crate) fn is_short_number(text: &[u8]) -> bool {
    text.len() < DIGITS_MIN && text.iter().fold(true, |all, byte| all & byte.is_ascii_digit())
}

/// Whether a whole value is a UUID, of which columns of keys are full.
fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => class::is(*byte, class::DIGIT | class::HEX),
        })
        // One without a letter could be groups of digits.
        && text.iter().any(u8::is_ascii_alphabetic)
}

/// The length of the word that goes on at `start`.
fn word_length(text: &[u8], start: usize) -> usize {
    class::run(text, start, class::ALNUM)
}

/// How sure a card is that is not written as one.
fn unusual(topics: Topics) -> Strength {
    if topics.has(context::CARD) { Strength::Certain } else { Strength::Fair }
}

/// How sure a card is that is written as one. `other`: in one piece, in a column of other things; `called`: it is called a card.
#[inline]
fn card_strength(issued: Issued, other: bool, called: bool) -> Strength {
    if called || issued == Issued::Usual && !other { Strength::Certain } else { Strength::Checked }
}

/// The surest kind of a number, and of those the first in order.
#[derive(Clone, Copy, Default)]
struct Best(u32);

impl Best {
    /// How the strengths are ordered.
    const STRENGTHS: [Strength; 5] =
        [Strength::Possible, Strength::Checked, Strength::Fair, Strength::Likely, Strength::Certain];

    #[inline]
    fn take(&mut self, kind: Kind, strength: Strength) {
        self.take_if(true, kind, strength);
    }

    /// The same where it is one, without asking.
    #[inline]
    fn take_if(&mut self, is: bool, kind: Kind, strength: Strength) {
        let strength: u32 = match strength {
            Strength::Possible => 1,
            Strength::Checked => 2,
            Strength::Fair => 3,
            Strength::Likely => 4,
            Strength::Certain => 5,
        };
        let place = u32::try_from(63 - kind.place().min(63)).unwrap_or(0);
        self.0 = self.0.max(u32::from(is) * (strength * 64 + place));
    }

    #[inline]
    fn is_none(self) -> bool {
        self.0 == 0
    }

    #[inline]
    fn kind(self) -> Option<(Kind, Strength)> {
        let strength = usize::try_from((self.0 / 64).checked_sub(1)?).ok()?;
        let place = usize::try_from(63 - self.0 % 64).ok()?;
        Some((*Kind::ALL.get(place)?, *Best::STRENGTHS.get(strength)?))
    }
}

/// One scan of one text.
struct Scan<'a> {
    set: &'a Detectors,
    text: &'a [u8],
    column: &'a Column,
    /// There is an `@`: the text may be a record about a person.
    mails: bool,
    /// There are digits enough for a card, and the name is not of other things.
    cards: bool,
    /// Up to here it was looked at as a list of numbers.
    listed: usize,
    hits: &'a mut Vec<Hit>,
}

impl Scan<'_> {
    fn push(&mut self, kind: Kind, start: usize, end: usize, strength: Strength) {
        if self.set.has(kind) {
            self.hits.push(Hit { start, end, detector: Detector::Kind(kind), strength });
        }
    }

    /// Whether the column or the words before `start` speak of one of these topics.
    fn is_called(&self, start: usize, topics: u32) -> bool {
        self.column.topics.has(topics) || start > 0 && context::before_value(self.text, start).has(topics)
    }

    fn emails(&mut self) {
        let mut floor = 0;
        for middle in memchr::memchr_iter(b'@', self.text) {
            if middle < floor {
                continue;
            }
            if let Some((start, end)) = email::email(self.text, middle, floor) {
                self.push(Kind::Email, start, end, Strength::Certain);
                floor = end;
            }
        }
    }

    fn urls(&mut self, summary: Summary) {
        let mut floor = 0;
        if summary.has(class::COLON) && summary.has(class::SLASH) {
            for colon in memchr::memchr_iter(b':', self.text) {
                if colon < floor || slice(self.text, colon + 1, colon + 3) != b"//" {
                    continue;
                }
                let Some(url) = url::url(self.text, colon, floor) else { continue };
                floor = url.end;
                if secret::slack_webhook(self.text, url.start, url.end) {
                    self.push(Kind::SlackToken, url.start, url.end, Strength::Certain);
                }
                if url.password {
                    self.push(Kind::UrlCredentials, url.start, url.end, Strength::Certain);
                }
                self.push(Kind::Url, url.start, url.end, Strength::Certain);
            }
        }
        if summary.has(class::W) && summary.has(class::DOT) && self.set.has(Kind::Url) {
            let dots = memchr::memchr_iter(b'.', self.text).filter_map(|dot| dot.checked_sub(3));
            for start in dots.filter(|start| slice(self.text, *start, start + 3) == b"www") {
                if let Some((start, end)) = url::www(self.text, start) {
                    self.push(Kind::Url, start, end, Strength::Certain);
                }
            }
        }
    }

    fn v6(&mut self) {
        let text = self.text;
        let mut floor = 0;
        for colon in memchr::memchr_iter(b':', text) {
            if colon < floor || !(at(text, colon + 1).is_ascii_hexdigit() || at(text, colon + 1) == b':') {
                continue;
            }
            let mut start = colon;
            while start > floor && colon - start < 4 && before(text, start).is_ascii_hexdigit() {
                start -= 1;
            }
            // `::ffff:…` begins with its colons.
            if let Some(end) = ip::v6(text, start) {
                self.push(Kind::Ip, start, end, Strength::Likely);
                floor = end;
            } else {
                // The rest of this token is none either.
                let rest = slice(text, colon, text.len());
                floor = colon + rest.iter().take(48).take_while(|b| b.is_ascii_hexdigit() || **b == b':').count();
            }
        }
    }

    /// `ahead`: what is ahead is looked at once, for numbers that are only within words.
    fn numbers(&mut self, mut ahead: bool) {
        let text = self.text;
        let mut place = 0;
        while let Some(offset) = slice(text, place, text.len()).iter().position(u8::is_ascii_digit) {
            let start = place + offset;
            // Inside a word nothing begins.
            if before(text, start).is_ascii_alphabetic() {
                if ahead && !self.more_than_words(start) {
                    return;
                }
                ahead = false;
                place = start + word_length(text, start);
                if place - start >= card::USUAL_MIN {
                    self.word(start, place);
                }
                continue;
            }
            let length = slice(text, start, text.len()).iter().take_while(|b| b.is_ascii_digit()).count();
            let end = start + length;
            if at(text, end).is_ascii_alphabetic() && !matches!(at(text, end), b'x' | b'e') {
                place = end + word_length(text, end);
                self.word(start, place);
                continue;
            }
            place = end.max(self.number(start, end));
            if place == end && length >= card::USUAL_MIN {
                self.word(start, end);
            }
        }
    }

    /// Whether something may be made of the digits from `start` on, which is inside a word: some begin elsewhere, or so many follow
    /// each other that they are a card.
    fn more_than_words(&self, start: usize) -> bool {
        class::digits_apart(self.text, start)
            || self.cards && spread::long_digits(self.text, start, self.text.len()).is_some()
    }

    /// Cards in a word: one in its digits, however long it is otherwise.
    #[inline(never)]
    fn word(&mut self, start: usize, end: usize) {
        if !self.cards {
            return;
        }
        let text = self.text;
        let mut place = start;
        while let Some(digits) = spread::long_digits(text, place, end) {
            if let Some((from, to)) = spread::glued(text, digits.start, digits.end)
                && !self.hits.last().is_some_and(|hit| hit.start <= from && to <= hit.end)
            {
                self.push(Kind::Card, from, to, self.unusual());
            }
            place = digits.end;
        }
    }

    /// How sure a card is that is not written as one.
    fn unusual(&self) -> Strength {
        unusual(self.column.topics)
    }

    /// The card that is a list of short numbers from `start` on, or one with an exponent; its end.
    #[inline(never)]
    fn spread(&mut self, start: usize, end: usize) -> Option<usize> {
        let text = self.text;
        if end - start == 1
            && at(text, end) == b'.'
            && let Some(past) = spread::exponent(text, start)
        {
            self.push(Kind::Card, start, past, self.unusual());
            return Some(past);
        }
        if start < self.listed {
            return None;
        }
        let list = spread::list(text, start, end)?;
        self.listed = list.end;
        let past = list.card(text, start).last()?.1;
        // Four times four digits with one sign between are how a card is written.
        let written = list.one && past - start == 19 && list.card(text, start).all(|(from, to)| to - from == 4);
        let strength = if written { Strength::Certain } else { self.unusual() };
        if list.one {
            self.push(Kind::Card, start, past, strength);
        } else {
            list.card(text, start).for_each(|(from, to)| self.push(Kind::Card, from, to, strength));
        }
        Some(past)
    }

    /// The number that begins with the digits from `start` to `end`; where the scan goes on.
    fn number(&mut self, start: usize, end: usize) -> usize {
        let text = self.text;
        let next = at(text, end);
        if next == b'-'
            && end - start == 4
            && let Some(past) = crate::number::timestamp(text, start)
        {
            return past;
        }
        if self.cards
            && (next == b'.' && end - start == 1 || spread::goes_on(text, end))
            && let Some(past) = self.spread(start, end)
        {
            return past;
        }
        if next == b'.'
            && end - start <= 3
            && self.set.has(Kind::Ip)
            && let Some(address_end) = ip::v4(text, start)
        {
            let version = self.column.topics.has(context::VERSION) && !self.column.topics.has(context::IP)
                || context::word_before(text, start).has(context::VERSION);
            if !version {
                self.push(Kind::Ip, start, address_end, Strength::Likely);
                return address_end;
            }
        }
        if end - start > 19 {
            return end;
        }
        // A number that cannot go on and is too short is none.
        let single = !matches!(next, b' ' | b'-' | b'.' | b'/' | b'_' | b'(' | b')');
        if single && end - start < DIGITS_MIN {
            return end;
        }
        // Digits in one piece that begin a value whose name is of other things are at most a card's.
        if single && start == 0 && end - start < card::DIGITS_MIN && self.column.topics.is_of_other_things() {
            return end;
        }
        if !crate::number::begins(text, start) {
            return end;
        }
        let mut run = Run::new(text);
        if !run.read(start) {
            return end;
        }
        let total = run.first(run.len()).map_or(0, |n| n.digits.len());
        if total < DIGITS_MIN {
            return end;
        }
        let mut past = end;
        for count in 1..=run.len() {
            let Some(number) = run.first(count) else { break };
            if number.digits.len() < DIGITS_MIN {
                continue;
            }
            if number.ends() {
                past = past.max(self.grouped(&number));
            }
            if let Some(rut) = national::rut_k(&number)
                && (rut.itself || self.is_called(start, context::NATIONAL))
            {
                self.push(rut.kind, number.start(), rut.end, Strength::Likely);
            }
        }
        // Digits in one piece are a telephone number only where something says so, which the column's name rules out here.
        let topics = self.column.topics;
        let other = topics.has(context::OTHER) && !topics.has(context::PHONE | context::CONTACT);
        if past == end
            && self.set.has(Kind::Phone)
            && !(single && other && before(text, start) != b'+')
            && let Some(found) = phone(&run)
            && let Some(strength) = self.phone_strength(&found)
        {
            self.push(Kind::Phone, found.start, found.end, strength);
            if strength >= Strength::Fair {
                past = past.max(found.end);
            }
        }
        past
    }

    /// Cards, social security and identity numbers; the end of what is surely one, or 0.
    fn grouped(&mut self, number: &Number<'_>) -> usize {
        let (start, end) = (number.start(), number.end());
        let mut past = 0;
        if let Some(strength) = self.card(number) {
            self.push(Kind::Card, start, end, strength);
            if strength == Strength::Certain {
                past = end;
            }
        }
        let ssn = self.ssn(number).map(|strength| (Kind::UsSsn, strength));
        for (kind, strength) in [ssn, self.national(number)].into_iter().flatten() {
            self.push(kind, start, end, strength);
            if strength >= Strength::Fair {
                past = end;
            }
        }
        past
    }

    /// How surely a number is a card's.
    #[inline]
    fn card(&self, number: &Number<'_>) -> Option<Strength> {
        if !self.set.has(Kind::Card) {
            return None;
        }
        let other = number.is_bare() && self.column.topics.has(context::OTHER);
        Some(card_strength(card(number)?, other, self.is_called(number.start(), context::CARD)))
    }

    /// How surely it is a social security number.
    #[inline]
    fn ssn(&self, number: &Number<'_>) -> Option<Strength> {
        if !self.set.has(Kind::UsSsn) {
            return None;
        }
        let written = ssn(number)?;
        let other = self.column.topics.has(context::OTHER);
        match written {
            _ if self.is_called(number.start(), context::SSN) => Some(Strength::Likely),
            Written::Grouped if !self.column.topics.has(context::PHONE) => Some(Strength::Likely),
            Written::Grouped | Written::Loose
                if !other && context::is_field(self.text, number.start(), number.end()) =>
            {
                Some(Strength::Possible)
            }
            _ => None,
        }
    }

    /// Which country's it is, and how surely: of several the surest, and of those the first in order.
    #[inline]
    fn national(&self, number: &Number<'_>) -> Option<(Kind, Strength)> {
        let topics = self.column.topics;
        let other = topics.has(context::OTHER);
        if self.set.kinds & IDS == 0 || number.is_bare() && other && !topics.has(context::NATIONAL | context::SSN) {
            return None;
        }
        let named = self.is_called(number.start(), context::NATIONAL | context::SSN);
        self.set.country(national::digits(number), other && number.is_bare(), named)
    }

    #[inline]
    fn phone_strength(&self, found: &Phone) -> Option<Strength> {
        let topics = self.column.topics;
        let other = topics.has(context::OTHER) && !topics.has(context::PHONE | context::CONTACT);
        if found.sure == Sure::Itself {
            return Some(if other { Strength::Fair } else { Strength::Likely });
        }
        if topics.has(context::PHONE) {
            return Some(Strength::Likely);
        }
        if other {
            return None;
        }
        let field = context::is_field(self.text, found.start, found.end);
        let whole = found.start == 0 && found.end == self.text.len();
        let topics = if whole { Topics::default() } else { context::before_value(self.text, found.start) };
        if topics.has(context::PHONE) {
            return Some(Strength::Likely);
        }
        let contact = topics.has(context::CONTACT) || self.column.topics.has(context::CONTACT);
        match found.sure {
            Sure::AsField if contact || field && self.mails && !topics.has(context::OTHER) => Some(Strength::Fair),
            Sure::AsField if whole && at(self.text, 0) == b'0' && at(self.text, 1) != b'0' => Some(Strength::Fair),
            Sure::AsField if whole && memchr::memchr(b' ', self.text).is_some() => Some(Strength::Fair),
            _ if whole => Some(Strength::Possible),
            _ => None,
        }
    }

    /// Identity numbers without a letter that are told by the sign inside: Finland's.
    fn signed(&mut self) {
        let text = self.text;
        for sign in memchr::memchr2_iter(b'-', b'+', text) {
            let Some(start) = sign.checked_sub(6) else { continue };
            if slice(text, start, sign).iter().all(u8::is_ascii_digit)
                && let Some(hit) = national::word(text, start, sign)
                && (hit.itself || self.is_called(start, context::NATIONAL))
            {
                self.push(hit.kind, start, hit.end, Strength::Likely);
            }
        }
    }

    fn words(&mut self) {
        let text = self.text;
        let kinds = self.set.kinds;
        tokens(text, 40, |token| match token {
            Token::Word(start, end) => {
                let length = end - start;
                if !first::may_be_something(text, start, length) || !begins_word(text, start) {
                    return;
                }
                if kinds & Kind::Iban.bit() != 0
                    && first::may_be_account(text, start)
                    && let Some(end) = iban::iban(text, start)
                {
                    self.push(Kind::Iban, start, end, Strength::Certain);
                    return;
                }
                if kinds & TOKENS != 0
                    && first::may_be_secret(text, start)
                    && let Some((kind, end)) = secret::token(text, start)
                {
                    self.push(kind, start, end, Strength::Certain);
                    return;
                }
                if kinds & Kind::CryptoAddress.bit() != 0
                    && first::may_be_address(text, start, length)
                    && crypto::is_address(slice(text, start, end))
                {
                    self.push(Kind::CryptoAddress, start, end, Strength::Certain);
                    return;
                }
                if kinds & IDS != 0
                    && national::may_be_word(length)
                    && let Some(hit) = national::word(text, start, end)
                    && (hit.itself || self.is_called(start, context::NATIONAL))
                {
                    self.push(hit.kind, start, hit.end, Strength::Likely);
                }
                if kinds & Kind::Passport.bit() != 0
                    && passport::is_number(slice(text, start, end))
                    && self.is_called(start, context::PASSPORT)
                {
                    self.push(Kind::Passport, start, end, Strength::Likely);
                }
            }
            Token::Run(start, end) => {
                if kinds & Kind::AwsKey.bit() != 0
                    && secret::is_aws_secret(slice(text, start, end))
                    && self.is_called(start, context::SECRET)
                {
                    self.push(Kind::AwsKey, start, end, Strength::Likely);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> Detectors {
        Detectors::new(Kind::ALL.iter().copied(), Vec::new())
    }

    /// Texts of what numbers and words are made of, cards in words among them.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            "[A-Za-z0-9+/]{0,30}",
            "[a-z]{0,3}[0-9]{0,20}[a-z]{0,3}",
            "[0-9]{1,4}[-. /_:,x]",
            "(4111111111111111|5555555555554444|378282246310005|219-45-6789|10.1.2.3|4.111111111111111e15|\\+1 202 555 0143)",
            "[ -~é١]{0,3}",
        ];
        proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        /// What the look ahead leaves out is nothing.
        #[test]
        fn numbers_are_the_same_with_and_without_a_look_ahead(text in texts(), cards in any::<bool>(), name in "(|c1|phone|order_id|card)") {
            let (set, column) = (all(), Column::named(name.as_bytes()));
            let numbers = |ahead: bool| {
                let mut hits = Vec::new();
                Scan { set: &set, text: &text, column: &column, mails: false, cards, listed: 0, hits: &mut hits }.numbers(ahead);
                hits
            };
            prop_assert_eq!(numbers(true), numbers(false));
        }

        /// A value that is one run is read as the run that is found in it, and no other value is.
        #[test]
        fn a_run_is_the_same_as_a_whole_value(
            before in "[ -~]{0,2}",
            run in prop_oneof![
                texts(),
                texts().prop_map(|text| text.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect()),
                Just(b"am9obkBleGFtcGxlLmNvbSBhbmQgbW9yZSBh".to_vec()),
                Just(b"6a6f686e406578616d706c652e636f6d".to_vec()),
                "[A-Za-z0-9+/_-]{18,80}={0,2}".prop_map(String::into_bytes),
            ],
            after in "[ -~]{0,2}",
        ) {
            let text = [before.as_bytes(), &run, after.as_bytes()].concat();
            let encoded = |summary: Summary| {
                let mut hits = Vec::new();
                all().encoded(&text, summary, &Column::default(), &mut hits);
                hits
            };
            let summary = Summary::of(&text);
            if text.len() >= layers::RUN_BYTES_MIN {
                prop_assert_eq!(encoded(summary), encoded(Summary { classes: u16::MAX, ..summary }));
            }
        }

        /// A number that is too short for anything is nothing, whatever its column is called.
        #[test]
        fn a_short_number_is_nothing(text in "[0-9]{0,8}", name in "(|c1|phone|ssn|passport|card|ip|order_id)") {
            let mut hits = Vec::new();
            if is_short_number(text.as_bytes()) {
                all().any(text.as_bytes(), &Column::named(name.as_bytes()), &mut hits);
            }
            prop_assert_eq!(hits, []);
        }

        /// A value that is one number is read by its length as it would be among other things, whatever its column is called
        /// and whoever else looks for numbers.
        #[test]
        fn a_number_alone_is_what_it_is_in_any_text(
            sign in "(|||-|[+]|--| |- )",
            head in prop_oneof!["0{0,12}", "(4|51|2221|34|37|30|36|6011|3528|62|81|2200|979200|5018|756|00|011|11)", "[0-9]{2}(0[1-9]|1[0-2])[0-2][1-8]", "[0-2][1-8](0[1-9]|1[0-2])[0-9]{2}", "(19|20)[0-9]{2}(0[1-9]|1[0-2])[0-2][1-8]"],
            digits in prop_oneof!["[0-9]{0,26}", "[0-9]{4,13}", "(0|5|9){5,9}"],
            card in prop_oneof![4 => Just(""), 1 => Just("4111111111111111"), 1 => Just("378282246310005"), 1 => Just("30569309025904")],
            tail in "(||||| |[.]|-|x|[.]0)",
            kinds in prop_oneof![Just(u64::MAX), any::<u64>(), (0..64_u32).prop_map(|bit| 1 << bit)],
            custom in proptest::sample::subsequence(vec![r"\d{9}", "[0-9]{5,12}", "[1-4]+", "9"], 0..3),
            name in "(|c1|c1|c1|phone|contact|ssn|tax_id|pesel|passport|card|order_id|order_phone|card_date|passport_date|ip|ticket)",
        ) {
            let text = [sign, head, digits, card.to_owned(), tail].concat().into_bytes();
            let checks = [None, Some(crate::Checksum::Luhn), Some(crate::Checksum::Mod97), Some(crate::Checksum::Verhoeff)];
            let custom = custom.iter().zip(checks.iter().cycle().skip(usize::from(kinds % 4 == 0)));
            let custom = custom.map(|(pattern, check)| Arc::new(Custom::new("x", Some(pattern), &[], *check, &[]).unwrap()));
            let kinds = Kind::ALL.iter().copied().filter(|kind| kinds & kind.bit() != 0);
            let (set, column) = (Detectors::new(kinds, custom.collect()), Column::named(name.as_bytes()));
            let (mut alone, mut among) = (Vec::new(), Vec::new());
            set.scan(&text, &column, &mut alone);
            set.any(&text, &column, &mut among);
            set.defined(&text, &column, &mut among);
            resolve(&mut among);
            prop_assert_eq!(alone, among, "{}", String::from_utf8_lossy(&text));
        }

        /// The best of several hits for the same bytes is the one that remains of them.
        #[test]
        fn hits_for_the_same_bytes_are_resolved_as_others_are(made in proptest::collection::vec((0..4_usize, 0..Kind::ALL.len(), 0..5_usize), 1..8), apart in any::<bool>()) {
            const STRENGTHS: [Strength; 5] =
                [Strength::Possible, Strength::Checked, Strength::Fair, Strength::Likely, Strength::Certain];
            let hit = |(start, kind, strength): (usize, usize, usize)| Hit {
                start: if apart { start } else { 0 },
                end: if apart { start + 2 } else { 9 },
                detector: Detector::Kind(Kind::ALL[kind]),
                strength: STRENGTHS[strength],
            };
            let hits: Vec<Hit> = made.into_iter().map(hit).collect();
            let (mut one, mut other) = (hits.clone(), hits);
            resolve(&mut one);
            resolve_all(&mut other);
            prop_assert_eq!(one, other);
        }
    }
}
