//! JSON values that know which bytes of the input they are.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use bytes::Bytes;
use indexmap::IndexMap;
use jaq_json::Num;

use super::budget::{self, Held};

/// Bytes of one of the sources of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Which of the sources, from 0.
    pub(super) source: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A JSON value. What was read keeps its origin until it is changed; a changed value is a new one.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Numbers that a machine integer does not print exactly are kept as text or as big integers.
    Num(Num),
    Str(Rc<Text>),
    Arr(Rc<Array>),
    Obj(Rc<Object>),
}

/// Text, in WTF-8: UTF-8 in which an unpaired surrogate may stand, encoded as if it were a character.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) bytes: Bytes,
    pub(super) origin: Option<Span>,
    _held: Held,
}

impl Text {
    /// New text.
    pub(super) fn new(bytes: impl Into<Bytes>) -> Rc<Self> {
        let bytes = bytes.into();
        let held = Held::new(bytes.len());
        Rc::new(Self { bytes, origin: None, _held: held })
    }

    /// Text of the input.
    pub(super) fn read(bytes: Bytes, origin: Option<Span>) -> Rc<Self> {
        Rc::new(Self { bytes, origin, _held: Held::nothing() })
    }
}

/// An object's key.
#[derive(Debug, Clone)]
pub(super) struct Key(pub(super) Rc<Text>);

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes[..].hash(state);
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Items in order.
#[derive(Debug, Default)]
pub(super) struct Array {
    items: Vec<Value>,
    depth: u32,
    origin: Option<Span>,
    held: Held,
}

const BYTES_PER_ITEM: usize = size_of::<Value>();
const BYTES_PER_ENTRY: usize = size_of::<Value>() + size_of::<Key>() + 24;

impl Array {
    /// A new array.
    pub(super) fn new(items: Vec<Value>) -> Rc<Self> {
        let held = Held::new(items.len() * BYTES_PER_ITEM);
        let depth = settled(1 + items.iter().map(Value::depth).max().unwrap_or(0), &items);
        Rc::new(Self { items, depth, origin: None, held })
    }

    /// An array of the input.
    pub(super) fn read(items: Vec<Value>, origin: Option<Span>) -> Rc<Self> {
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        Rc::new(Self { items, depth, origin, held: Held::nothing() })
    }

    /// Its items.
    pub(super) fn items(&self) -> &[Value] {
        &self.items
    }

    /// Its items, to keep.
    pub(super) fn into_items(array: Rc<Self>) -> Vec<Value> {
        match Rc::try_unwrap(array) {
            Ok(mut array) => std::mem::take(&mut array.items),
            Err(array) => array.items.clone(),
        }
    }

    /// Changes the items, of a copy if they are shared. The change says how deep what it put there is.
    pub(super) fn edit(array: &mut Rc<Self>, change: impl FnOnce(&mut Vec<Value>) -> u32) {
        let array = Rc::make_mut(array);
        let put = change(&mut array.items);
        array.origin = None;
        array.depth = settled(array.depth.max(1 + put), &array.items);
        array.held.set(array.items.len() * BYTES_PER_ITEM);
    }
}

impl Clone for Array {
    fn clone(&self) -> Self {
        budget::afford(self.items.len() * BYTES_PER_ITEM);
        let held = Held::new(self.items.len() * BYTES_PER_ITEM);
        Self { items: self.items.clone(), depth: self.depth, origin: None, held }
    }
}

/// How deep a container is whose recorded depth is `bound`. What was changed may be recorded as deeper than it is, so
/// the children are looked at before the limit counts as exceeded.
fn settled<'a>(bound: u32, children: impl IntoIterator<Item = &'a Value>) -> u32 {
    if !budget::is_too_deep(bound) {
        return bound;
    }
    let exact = 1 + children.into_iter().map(exact_depth).max().unwrap_or(0);
    if budget::is_too_deep(exact) {
        budget::exhaust_depth();
    }
    exact
}

fn exact_depth(value: &Value) -> u32 {
    match value {
        Value::Arr(_) | Value::Obj(_) if !budget::spend(1) => 0,
        Value::Arr(array) => 1 + array.items.iter().map(exact_depth).max().unwrap_or(0),
        Value::Obj(object) => 1 + object.map.values().map(exact_depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The map of an object, in order.
pub(super) type Map = IndexMap<Key, Value, foldhash::fast::RandomState>;

/// Keys with values, in order.
#[derive(Debug, Default)]
pub(super) struct Object {
    map: Map,
    depth: u32,
    origin: Option<Span>,
    /// Whether a key occurred twice where it was read; the last one counts.
    has_duplicates: bool,
    held: Held,
}

impl Object {
    /// A new object.
    pub(super) fn new(map: Map) -> Rc<Self> {
        let held = Held::new(map.len() * BYTES_PER_ENTRY);
        let depth = settled(1 + map.values().map(Value::depth).max().unwrap_or(0), map.values());
        Rc::new(Self { map, depth, origin: None, has_duplicates: false, held })
    }

    /// An object of the input.
    pub(super) fn read(map: Map, origin: Option<Span>, has_duplicates: bool) -> Rc<Self> {
        let depth = 1 + map.values().map(Value::depth).max().unwrap_or(0);
        Rc::new(Self { map, depth, origin, has_duplicates, held: Held::nothing() })
    }

    /// Its keys and values.
    pub(super) fn map(&self) -> &Map {
        &self.map
    }

    /// Whether a key occurred twice where it was read.
    pub(super) fn has_duplicates(&self) -> bool {
        self.has_duplicates
    }

    /// Changes the map, of a copy if it is shared. The change says how deep what it put there is.
    pub(super) fn edit(object: &mut Rc<Self>, change: impl FnOnce(&mut Map) -> u32) {
        if object.has_duplicates {
            budget::note_opened_duplicates();
        }
        let object = Rc::make_mut(object);
        let put = change(&mut object.map);
        object.origin = None;
        object.depth = settled(object.depth.max(1 + put), object.map.values());
        object.held.set(object.map.len() * BYTES_PER_ENTRY);
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        let bytes = self.map.len() * BYTES_PER_ENTRY;
        budget::afford(bytes);
        Self {
            map: self.map.clone(),
            depth: self.depth,
            origin: None,
            has_duplicates: self.has_duplicates,
            held: Held::new(bytes),
        }
    }
}

impl Value {
    /// New text.
    pub(super) fn text(bytes: impl Into<Bytes>) -> Self {
        Self::Str(Text::new(bytes))
    }

    /// New array.
    pub(super) fn array(items: Vec<Value>) -> Self {
        Self::Arr(Array::new(items))
    }

    /// New object.
    pub(super) fn object(map: Map) -> Self {
        Self::Obj(Object::new(map))
    }

    /// How deep it is nested: 0 for scalars, 1 for `[]`.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Self::Arr(array) => array.depth,
            Self::Obj(object) => object.depth,
            _ => 0,
        }
    }

    /// Which bytes of the input it is, if it is. Scalars but text have none: they are written as they were read anyway.
    pub(super) fn origin(&self) -> Option<Span> {
        match self {
            Self::Str(text) => text.origin,
            Self::Arr(array) => array.origin,
            Self::Obj(object) => object.origin,
            _ => None,
        }
    }

    /// What jq calls its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Num(_) => "number",
            Self::Str(_) => "string",
            Self::Arr(_) => "array",
            Self::Obj(_) => "object",
        }
    }
}

/// A number as a float; text too large for one is infinite.
pub(super) fn num_as_f64(num: &Num) -> f64 {
    match num {
        Num::Int(int) => *int as f64,
        Num::Float(float) => *float,
        Num::BigInt(big) => big.to_string().parse().unwrap_or(f64::NAN),
        Num::Dec(text) => text.parse().unwrap_or(f64::NAN),
    }
}
