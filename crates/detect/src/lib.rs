//! Content rules: personal data and secrets, found in values by what they are and not by where they lie.
//!
//! A [`Detectors`] set is compiled once from names ([`Kind`]) and user-defined detectors ([`Custom`]) and then scans the
//! text of one value at a time. A look at the classes of a value's bytes decides which scanners can find anything at all;
//! scanners are written by hand, linear in the value's length, and confirm what they see by check digits, numbering plans,
//! and the words around it ([`Column`], [`Topics`]). Values behind one layer of encoding are found too. [`ColumnEvidence`]
//! weighs the cells of one result column together.
//!
//! This crate knows neither labels nor wire formats, and it changes nothing: what becomes of a hit is the mask stage's.

mod bare;
mod card;
mod checks;
mod class;
mod context;
mod crypto;
mod custom;
mod decimal;
mod email;
mod evidence;
mod first;
mod iban;
mod ip;
mod kind;
mod layers;
mod national;
mod national_bare;
mod national_words;
mod number;
mod passport;
mod phone;
mod secret;
mod set;
mod spread;
mod ssn;
mod token;
mod url;

pub use bare::is_digits;
pub use card::is_usual as is_card;
pub use context::{Column, Topics};
pub use custom::{Checksum, Custom, CustomError};
pub use decimal::eight_digits;
pub use evidence::{ColumnEvidence, Weight};
pub use kind::{Kind, UnknownKind};
pub use set::{Detector, Detectors, Hit, Strength};
