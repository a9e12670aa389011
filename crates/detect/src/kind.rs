//! The built-in detectors by name.

use std::fmt;
use std::str::FromStr;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A built-in detector.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant),*];

            /// The name in configurations and recordings.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name),* }
            }

            /// The place in the order of the list.
            const fn index(self) -> u32 {
                #[expect(clippy::as_conversions, reason = "the discriminants of a list shorter than 64")]
                {
                    self as u32
                }
            }
        }
    };
}

kinds! {
    /// E-mail addresses.
    Email = "email",
    /// Telephone numbers, international or in a country's own writing.
    Phone = "phone",
    /// Payment card numbers: issuer range, length and Luhn digit.
    Card = "card",
    /// US social security numbers.
    UsSsn = "us-ssn",
    /// International bank account numbers: length of the country and check digits.
    Iban = "iban",
    /// IPv4 and IPv6 addresses.
    Ip = "ip",
    /// URLs.
    Url = "url",
    /// URLs that carry a password.
    UrlCredentials = "url-credentials",
    /// Access keys of Amazon Web Services.
    AwsKey = "aws-key",
    /// API keys and OAuth tokens of Google Cloud.
    GcpKey = "gcp-key",
    /// Tokens of GitHub.
    GithubToken = "github-token",
    /// Tokens and webhook addresses of Slack.
    SlackToken = "slack-token",
    /// Secret keys of Stripe.
    StripeKey = "stripe-key",
    /// Private keys in PEM.
    PrivateKey = "private-key",
    /// JSON web tokens.
    Jwt = "jwt",
    /// Addresses of Bitcoin (base58check, bech32) and Ethereum.
    CryptoAddress = "crypto-address",
    /// Machine-readable zones of passports and identity cards, and passport numbers that are called so.
    Passport = "passport",
    /// Argentina: CUIT.
    IdAr = "id-ar",
    /// Australia: TFN.
    IdAu = "id-au",
    /// Belgium: rijksregisternummer.
    IdBe = "id-be",
    /// Bulgaria: EGN.
    IdBg = "id-bg",
    /// Brazil: CPF and CNPJ.
    IdBr = "id-br",
    /// Canada: SIN.
    IdCa = "id-ca",
    /// Switzerland: AHV number.
    IdCh = "id-ch",
    /// Chile: RUT.
    IdCl = "id-cl",
    /// China: resident identity number.
    IdCn = "id-cn",
    /// Czechia and Slovakia: rodné číslo.
    IdCz = "id-cz",
    /// Germany: Steuer-ID.
    IdDe = "id-de",
    /// Denmark: CPR number.
    IdDk = "id-dk",
    /// Estonia and Lithuania: isikukood, asmens kodas.
    IdEe = "id-ee",
    /// Spain: DNI and NIE.
    IdEs = "id-es",
    /// Finland: henkilötunnus.
    IdFi = "id-fi",
    /// France: NIR.
    IdFr = "id-fr",
    /// United Kingdom: National Insurance and NHS numbers.
    IdGb = "id-gb",
    /// Hong Kong: identity card.
    IdHk = "id-hk",
    /// Croatia: OIB.
    IdHr = "id-hr",
    /// Israel: teudat zehut.
    IdIl = "id-il",
    /// India: Aadhaar.
    IdIn = "id-in",
    /// Italy: codice fiscale.
    IdIt = "id-it",
    /// Korea: resident registration number.
    IdKr = "id-kr",
    /// Mexico: CURP.
    IdMx = "id-mx",
    /// Netherlands: BSN.
    IdNl = "id-nl",
    /// Norway: fødselsnummer.
    IdNo = "id-no",
    /// Poland: PESEL.
    IdPl = "id-pl",
    /// Portugal: NIF.
    IdPt = "id-pt",
    /// Romania: CNP.
    IdRo = "id-ro",
    /// Sweden: personnummer.
    IdSe = "id-se",
    /// Singapore: NRIC and FIN.
    IdSg = "id-sg",
    /// Thailand: identity card.
    IdTh = "id-th",
    /// Türkiye: T.C. kimlik numarası.
    IdTr = "id-tr",
    /// Taiwan: identity card.
    IdTw = "id-tw",
    /// South Africa: identity number.
    IdZa = "id-za",
}

impl Kind {
    /// The bits of the national numbers, which are last in the list.
    pub(crate) const IDS: u64 = u64::MAX << Kind::IdAr.index();
}

/// A name, and whether it means a kind.
type Group = (&'static str, fn(Kind) -> bool);

/// Names that stand for several kinds.
const GROUPS: [Group; 2] = [("national-id", |kind| kind.name().starts_with("id-")), ("secrets", Kind::is_secret)];

impl Kind {
    /// Whether hits are credentials, of which no part may stay.
    pub const fn is_secret(self) -> bool {
        matches!(
            self,
            Kind::UrlCredentials
                | Kind::AwsKey
                | Kind::GcpKey
                | Kind::GithubToken
                | Kind::SlackToken
                | Kind::StripeKey
                | Kind::PrivateKey
                | Kind::Jwt
        )
    }

    /// The kinds that a configured name means: one, or those of a group (`national-id`, `secrets`).
    pub fn named(name: &str) -> Result<Vec<Kind>, UnknownKind> {
        if let Ok(kind) = name.parse() {
            return Ok(vec![kind]);
        }
        match GROUPS.iter().find(|(group, _)| *group == name) {
            Some((_, holds)) => Ok(Kind::ALL.iter().copied().filter(|kind| holds(*kind)).collect()),
            None => Err(UnknownKind(name.to_owned())),
        }
    }

    /// Every name that [`Kind::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Kind::ALL.iter().map(|kind| kind.name()).chain(GROUPS.iter().map(|(name, _)| *name)).chain(["ssn"])
    }

    /// The place in the order of the list.
    #[inline]
    pub(crate) fn place(self) -> usize {
        usize::try_from(self.index()).unwrap_or(0)
    }

    /// The first of a set of kinds.
    #[inline]
    pub(crate) fn first(kinds: u64) -> Option<Kind> {
        Kind::ALL.get(usize::try_from(kinds.trailing_zeros()).ok()?).copied()
    }

    /// This kind's bit in a set of kinds.
    pub(crate) const fn bit(self) -> u64 {
        1 << self.index()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a detector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no detector is called `{0}`")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = if text == "ssn" { "us-ssn" } else { text };
        Kind::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_fit_a_set() {
        assert!(Kind::ALL.len() <= 64);
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Ok(vec![*kind]));
        }
        assert!(Kind::named("national-id").unwrap().len() >= 15);
        assert!(Kind::named("secrets").unwrap().contains(&Kind::Jwt));
        assert_eq!(Kind::named("ssn"), Ok(vec![Kind::UsSsn]));
        assert!(Kind::named("Email").is_err());
    }
}
