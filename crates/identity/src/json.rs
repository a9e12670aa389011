//! JSON as a signed document has to be read: a member named twice is refused, because two readers could each see another one.
//! Also, a number is kept apart by whether it is written as an integer. Not a general JSON library: it reads only.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    /// An integer beyond 64 bits, or anything written with a point or an exponent.
    OtherNumber,
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// The members of an object.
pub(crate) type Object = BTreeMap<String, Json>;

impl Json {
    /// Reads one value that is all of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Json, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// Reads one object that is all of `bytes`.
    pub(crate) fn read_object(bytes: &[u8]) -> Result<Object, String> {
        match Json::read(bytes)? {
            Json::Object(object) => Ok(object),
            other => Err(format!("expected an object, got {}", other.what())),
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) const fn what(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Integer(_) => "an integer",
            Json::OtherNumber => "a number that is no 64-bit integer",
            Json::Text(_) => "a string",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) const fn object(&self) -> Option<&Object> {
        match self {
            Json::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Json]> {
        match self {
            Json::List(items) => Some(items),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::OtherNumber, Json::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value()?;
            if object.contains_key(&name) {
                let shown: String = name.chars().take(40).collect();
                return Err(A::Error::custom(format_args!("the member {shown:?} is there twice")));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_strictly() {
        for (text, expected) in [
            (r#"{"a":1,"b":[true,null,"x"]}"#, Ok(())),
            (r#"{"a":1,"a":1}"#, Err("twice")),
            (r#"{"a":1,"\u0061":2}"#, Err("twice")),
            (r#"{"x":{"a":1,"a":2}}"#, Err("twice")),
            (r#"{"a":1}x"#, Err("trailing")),
            (r#"{"a":1}{}"#, Err("trailing")),
            (r#"{"a":1e999}"#, Err("number")),
            ("{\"a\":\"\\ud800\"}", Err("")),
            ("\u{feff}{}", Err("expected value")),
            ("{'a':1}", Err("")),
            ("", Err("EOF")),
        ] {
            match (Json::read(text.as_bytes()), expected) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        assert!(Json::read("[".repeat(100_000).as_bytes()).is_err(), "nesting is bounded");
    }

    #[test]
    fn integers_are_written_as_integers() {
        for (text, expected) in [
            ("1", Json::Integer(1)),
            ("-1", Json::Integer(-1)),
            ("1.0", Json::OtherNumber),
            ("1e3", Json::OtherNumber),
            ("9223372036854775808", Json::OtherNumber),
            ("99999999999999999999999", Json::OtherNumber),
            ("-0", Json::OtherNumber),
        ] {
            assert_eq!(Json::read(text.as_bytes()), Ok(expected), "{text}");
        }
    }
}
