//! Whether a walk saw all of a statement: the calls, operators, casts and sub-selects that stand anywhere in the
//! tree, found without knowing what any node is for, against those that the analysis came by. It judges nothing: it is
//! what keeps a clause that no rule knows of from being taken for harmless.

use std::fmt;

use pg_query::protobuf::Node;
use serde::Serialize;
use serde::ser::{self, Serializer};

/// A part of a statement by its kind and where it stands in the text.
pub(super) type Part = (&'static str, i32);

/// Kinds of nodes that can bring in data or run code.
const KINDS: &[&str] = &["FuncCall", "SubLink", "AExpr", "TypeCast"];
/// Fields in which the server takes constants and bare words only: type modifiers and options.
const WORDS: &[&str] = &["typmods", "defnamespace", "opclassopts"];

/// The kind of node that stands for a parameter.
const PARAMETER: &str = "ParamRef";

/// All such parts of a statement, and the numbers of parameters that stand in it more than once.
pub(super) fn parts_of(statement: &Node) -> (Vec<Part>, Vec<i32>) {
    let mut parts = Parts::default();
    // There is nothing in it that could fail: nothing is written anywhere.
    let _complete = statement.serialize(&mut parts).is_ok();
    let again = parts.parameters_again();
    (parts.found, again)
}

#[derive(Default)]
struct Parts {
    found: Vec<Part>,
    /// The numbers of parameters, as often as they stand there.
    parameters: Vec<i32>,
    /// The number met last.
    number: i32,
}

impl Parts {
    /// The numbers of parameters that stand in more than one place.
    fn parameters_again(&mut self) -> Vec<i32> {
        self.parameters.sort_unstable();
        let mut again: Vec<i32> = self
            .parameters
            .windows(2)
            .filter(|two| two.first() == two.last())
            .flat_map(|two| two.first().copied())
            .collect();
        again.dedup();
        again
    }
}

/// A serializer has to have one.
#[derive(Debug)]
struct Never;

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement that cannot be walked")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(_: T) -> Never {
        Never
    }
}

/// A list, or the fields of a node.
struct Within<'p> {
    parts: &'p mut Parts,
    kind: Option<&'static str>,
    location: i32,
}

impl<'p> Within<'p> {
    fn of(parts: &'p mut Parts, kind: Option<&'static str>) -> Within<'p> {
        Within { parts, kind, location: -1 }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(&mut *self.parts)
    }
}

impl ser::SerializeSeq for Within<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.value(value)
    }
    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl ser::SerializeTuple for Within<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.value(value)
    }
    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Within<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.value(value)
    }
    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl ser::SerializeTupleVariant for Within<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.value(value)
    }
    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl ser::SerializeMap for Within<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        self.value(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.value(value)
    }
    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl ser::SerializeStruct for Within<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Never> {
        if WORDS.contains(&key) {
            return Ok(());
        }
        self.value(value)?;
        match key {
            "location" => self.location = self.parts.number,
            "number" if self.kind == Some(PARAMETER) => self.parts.parameters.push(self.parts.number),
            _ => {}
        }
        Ok(())
    }
    fn end(self) -> Result<(), Never> {
        if let Some(kind) = self.kind.filter(|kind| *kind != PARAMETER) {
            self.parts.found.push((kind, self.location));
        }
        Ok(())
    }
}

impl ser::SerializeStructVariant for Within<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Never> {
        self.value(value)
    }
    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

macro_rules! nothing_in {
    ($($method:ident: $type:ty),+ $(,)?) => {
        $(fn $method(self, _: $type) -> Result<(), Never> {
            Ok(())
        })+
    };
}

impl<'p> Serializer for &'p mut Parts {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Within<'p>;
    type SerializeTuple = Within<'p>;
    type SerializeTupleStruct = Within<'p>;
    type SerializeTupleVariant = Within<'p>;
    type SerializeMap = Within<'p>;
    type SerializeStruct = Within<'p>;
    type SerializeStructVariant = Within<'p>;

    nothing_in! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64,
        serialize_char: char, serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    fn serialize_i32(self, value: i32) -> Result<(), Never> {
        self.number = value;
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Within<'p>, Never> {
        Ok(Within::of(self, None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Within<'p>, Never> {
        Ok(Within::of(self, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Within<'p>, Never> {
        Ok(Within::of(self, None))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Within<'p>, Never> {
        Ok(Within::of(self, None))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Within<'p>, Never> {
        Ok(Within::of(self, None))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Within<'p>, Never> {
        let kind = KINDS.iter().copied().chain([PARAMETER]).find(|kind| *kind == name);
        Ok(Within::of(self, kind))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Within<'p>, Never> {
        Ok(Within::of(self, None))
    }
}
