//! The keys that a type reads from a configuration, found by deserializing it: the deserializers of serde's derive name
//! the fields and variants that they expect, and visitors say which values they take.
//!
//! A [`Probe`] follows a route into the type, giving each table on it one key alone, and records what is asked for at
//! its end. What is deserialized fails there; it is of no use.

use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use std::cell::RefCell;

/// One key, or a table.
#[derive(Clone, Debug)]
pub struct Key {
    /// As in `affinity.accept.from`; the items of a list have no name of their own.
    pub path: String,
    pub shape: Shape,
}

/// What the value of a key may be.
#[derive(Clone, PartialEq, Debug)]
pub enum Shape {
    /// A table with these keys, or one of these keys alone.
    Table(Vec<&'static str>),
    /// A table that takes any key.
    OpenTable,
    /// One of these texts.
    OneOf(Vec<&'static str>),
    List,
    /// Anything else, as the visitor describes it in its error: `an integer from 1 to 1000`.
    Value(String),
}

#[derive(Clone, Copy)]
enum Step {
    Key(&'static str),
    Item,
}

/// All keys and tables of `T`. Of an open table, those of `known` that begin with its path.
pub fn keys<T: DeserializeOwned>(known: &[&'static str]) -> Vec<Key> {
    let mut keys = Vec::new();
    collect::<T>("", &[], known, &mut keys);
    keys
}

fn collect<T: DeserializeOwned>(path: &str, route: &[Step], known: &[&'static str], keys: &mut Vec<Key>) {
    let found = RefCell::new(None);
    let _ = T::deserialize(Probe { route, found: &found });
    let shape = found.into_inner().unwrap_or_else(|| panic!("nothing is read at {path:?}"));
    let extended = |step| [route, &[step]].concat();
    match &shape {
        Shape::Table(names) => {
            for name in names {
                collect::<T>(&join(path, name), &extended(Step::Key(name)), known, keys);
            }
        }
        Shape::OpenTable => {
            for name in known.iter().filter_map(|key| key.strip_prefix(path)?.strip_prefix('.')) {
                collect::<T>(&join(path, name), &extended(Step::Key(name)), known, keys);
            }
        }
        Shape::List => {
            let mut items = Vec::new();
            collect::<T>(path, &extended(Step::Item), known, &mut items);
            keys.extend(items.into_iter().filter(|key| key.path != path));
        }
        Shape::OneOf(_) | Shape::Value(_) => {}
    }
    if !path.is_empty() {
        keys.push(Key { path: path.to_owned(), shape });
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[derive(Clone, Copy)]
struct Probe<'a> {
    route: &'a [Step],
    found: &'a RefCell<Option<Shape>>,
}

impl Probe<'_> {
    fn record<T>(self, shape: Shape) -> Result<T, Error> {
        self.found.replace(Some(shape));
        Err(Error::custom("recorded"))
    }

    /// What the visitor says that it expects.
    fn value<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let refused = visitor.visit_unit::<Error>().err().map(|error| error.to_string()).unwrap_or_default();
        let expected = refused.rsplit_once("expected ").map_or(refused.as_str(), |(_, expected)| expected);
        self.record(Shape::Value(expected.to_owned()))
    }

    /// The key that the route names next, and the probe of its value.
    fn next(self) -> Option<(&'static str, Self)> {
        match self.route {
            [Step::Key(name), route @ ..] => Some((name, Self { route, ..self })),
            _ => None,
        }
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.next() {
            Some(entry) => visitor.visit_map(Entry(Some(entry))),
            None => self.record(Shape::Table(fields.to_vec())),
        }
    }

    /// A table into which another is flattened.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next() {
            Some(entry) => visitor.visit_map(Entry(Some(entry))),
            None => self.record(Shape::OpenTable),
        }
    }

    /// A text, or a table with the name of one variant as its key.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Some(entry) = self.next() {
            return visitor.visit_enum(Variant(entry));
        }
        let [first, ..] = variants else { return self.record(Shape::OneOf(Vec::new())) };
        let content = RefCell::new(None);
        let _ = visitor.visit_enum(Variant((first, Probe { route: &[], found: &content })));
        match content.into_inner() {
            Some(_) => self.record(Shape::Table(variants.to_vec())),
            None => self.record(Shape::OneOf(variants.to_vec())),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.route {
            [Step::Item, route @ ..] => visitor.visit_seq(Item(Some(Probe { route, ..self }))),
            _ => self.record(Shape::List),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.value(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct identifier ignored_any
    }
}

/// A table with one key.
struct Entry<'a>(Option<(&'static str, Probe<'a>)>);

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let name = self.0.as_ref().map(|(name, _)| *name);
        name.map(|name| seed.deserialize(into_deserializer(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (_, probe) = self.0.take().ok_or_else(|| Error::custom("no key before"))?;
        seed.deserialize(probe)
    }
}

/// A list with one item.
struct Item<'a>(Option<Probe<'a>>);

impl<'de> SeqAccess<'de> for Item<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|probe| seed.deserialize(probe)).transpose()
    }
}

/// A variant with its content.
struct Variant<'a>((&'static str, Probe<'a>));

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Probe<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Probe<'a>), Error> {
        let Self((name, probe)) = self;
        Ok((seed.deserialize(into_deserializer(name))?, probe))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_struct("", fields, visitor)
    }
}

fn into_deserializer(name: &'static str) -> StrDeserializer<'static, Error> {
    name.into_deserializer()
}

#[test]
fn keys_of_all_shapes_are_found() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only deserialized")]
    struct Outer {
        list: Vec<Inner>,
        one: Option<Choice>,
        #[serde(rename = "other")]
        source: Source,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only deserialized")]
    struct Inner {
        flag: bool,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Left,
        Right,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only deserialized")]
    enum Source {
        Text(String),
        Table(Inner),
    }

    let value = |text: &str| Shape::Value(text.to_owned());
    let found: Vec<_> = keys::<Outer>(&[]).into_iter().map(|key| (key.path, key.shape)).collect();
    let expected = [
        ("list.flag", value("a boolean")),
        ("list", Shape::List),
        ("one", Shape::OneOf(vec!["left", "right"])),
        ("other.text", value("a string")),
        ("other.table.flag", value("a boolean")),
        ("other.table", Shape::Table(vec!["flag"])),
        ("other", Shape::Table(vec!["text", "table"])),
    ];
    assert_eq!(found, expected.map(|(path, shape)| (path.to_owned(), shape)));
}
