//! The canonical ABI's two forms of a value: flat, as core parameters, and laid out in linear memory; and the code that
//! takes one to the other.
//!
//! Both are generated from the component's own types, so that a later `error-code` with other cases needs nothing here.
//! Lists and maps are refused instead of half supported.

use crate::NotRewritable;
use wasm_encoder::{BlockType, InstructionSink, MemArg, ValType};
use wasmparser::PrimitiveValType as Primitive;
use wasmparser::component_types::{ComponentDefinedType as Defined, ComponentValType};
use wasmparser::types::TypesRef;

/// The most parameters that a value is flattened to; larger ones go by memory.
pub const MAX_FLAT: usize = 16;

/// A type, as far as its two forms depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One number, or handle: its flat type, and its bytes in memory.
    Number(ValType, u32),
    /// A pointer and a length.
    Text,
    /// Fields one after the other.
    Record(Vec<Self>),
    /// A discriminant, and what its case carries.
    Variant(Vec<Option<Self>>),
}

impl Shape {
    /// The shape of `ty`.
    ///
    /// # Errors
    /// [`NotRewritable`] for a type that holds a list, a map or flags of more than 32.
    pub fn of(ty: ComponentValType, types: TypesRef<'_>) -> Result<Self, NotRewritable> {
        let id = match ty {
            ComponentValType::Primitive(primitive) => return primitive_shape(primitive),
            ComponentValType::Type(id) => id,
        };
        let of = |ty: &ComponentValType| Self::of(*ty, types);
        let case = |ty: &Option<ComponentValType>| ty.as_ref().map(of).transpose();
        Ok(match &types[id] {
            Defined::Primitive(primitive) => primitive_shape(*primitive)?,
            Defined::Record(record) => {
                Self::Record(record.fields.values().map(of).collect::<Result<_, _>>()?)
            }
            Defined::Tuple(tuple) => Self::Record(tuple.types.iter().map(of).collect::<Result<_, _>>()?),
            Defined::Variant(variant) => {
                Self::Variant(variant.cases.values().map(|c| case(&c.ty)).collect::<Result<_, _>>()?)
            }
            Defined::Enum(cases) => Self::Variant(vec![None; cases.len()]),
            Defined::Option { ty, .. } => Self::Variant(vec![None, Some(of(ty)?)]),
            Defined::Result { ok, err, .. } => Self::Variant(vec![case(ok)?, case(err)?]),
            Defined::Flags(flags) if flags.len() <= 8 => Self::Number(ValType::I32, 1),
            Defined::Flags(flags) if flags.len() <= 16 => Self::Number(ValType::I32, 2),
            Defined::Flags(flags) if flags.len() <= 32 => Self::Number(ValType::I32, 4),
            Defined::Own(_) | Defined::Borrow(_) | Defined::Future { .. } | Defined::Stream { .. } => {
                Self::Number(ValType::I32, 4)
            }
            Defined::List { .. }
            | Defined::Map { .. }
            | Defined::FixedLengthList { .. }
            | Defined::Flags(_) => {
                return Err(NotRewritable::new("it returns a type that is not laid out here"));
            }
        })
    }

    /// The core parameters that a value becomes.
    pub fn flat(&self) -> Vec<ValType> {
        match self {
            Self::Number(ty, _) => vec![*ty],
            Self::Text => vec![ValType::I32, ValType::I32],
            Self::Record(fields) => fields.iter().flat_map(Self::flat).collect(),
            Self::Variant(cases) => {
                let mut joined: Vec<ValType> = Vec::new();
                for payload in cases.iter().flatten().map(Self::flat) {
                    for (at, ty) in payload.into_iter().enumerate() {
                        match joined.get_mut(at) {
                            Some(known) => *known = join(*known, ty),
                            None => joined.push(ty),
                        }
                    }
                }
                joined.insert(0, ValType::I32);
                joined
            }
        }
    }

    /// The alignment in memory, in bytes.
    pub fn align(&self) -> u32 {
        match self {
            Self::Number(_, bytes) => *bytes,
            Self::Text => 4,
            Self::Record(fields) => fields.iter().map(Self::align).max().unwrap_or(1),
            Self::Variant(cases) => discriminant(cases.len()).max(payload_align(cases)),
        }
    }

    /// The size in memory, in bytes.
    pub fn size(&self) -> u32 {
        match self {
            Self::Number(_, bytes) => *bytes,
            Self::Text => 8,
            Self::Record(fields) => {
                let end = fields.iter().fold(0, |at, field| up(at, field.align()) + field.size());
                up(end, self.align())
            }
            Self::Variant(cases) => {
                let payload = cases.iter().flatten().map(Self::size).max().unwrap_or(0);
                up(payload_at(cases) + payload, self.align())
            }
        }
    }

    /// How many texts a value can hold at once, each at a place of its own.
    pub fn texts(&self) -> u32 {
        match self {
            Self::Number(..) => 0,
            Self::Text => 1,
            Self::Record(fields) => fields.iter().map(Self::texts).sum(),
            Self::Variant(cases) => cases.iter().flatten().map(Self::texts).max().unwrap_or(0),
        }
    }
}

fn primitive_shape(primitive: Primitive) -> Result<Shape, NotRewritable> {
    Ok(match primitive {
        Primitive::Bool | Primitive::S8 | Primitive::U8 => Shape::Number(ValType::I32, 1),
        Primitive::S16 | Primitive::U16 => Shape::Number(ValType::I32, 2),
        Primitive::S32 | Primitive::U32 | Primitive::Char | Primitive::ErrorContext => {
            Shape::Number(ValType::I32, 4)
        }
        Primitive::S64 | Primitive::U64 => Shape::Number(ValType::I64, 8),
        Primitive::F32 => Shape::Number(ValType::F32, 4),
        Primitive::F64 => Shape::Number(ValType::F64, 8),
        Primitive::String => Shape::Text,
    })
}

/// The flat type that holds either of two.
fn join(a: ValType, b: ValType) -> ValType {
    match (a, b) {
        (a, b) if a == b => a,
        (ValType::I32, ValType::F32) | (ValType::F32, ValType::I32) => ValType::I32,
        _ => ValType::I64,
    }
}

/// The bytes of a discriminant.
fn discriminant(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

fn payload_align(cases: &[Option<Shape>]) -> u32 {
    cases.iter().flatten().map(Shape::align).max().unwrap_or(1)
}

fn payload_at(cases: &[Option<Shape>]) -> u32 {
    up(discriminant(cases.len()), payload_align(cases))
}

/// `at`, moved up to a multiple of `align`, a power of two.
fn up(at: u32, align: u32) -> u32 {
    at.next_multiple_of(align.max(1))
}

/// Writes code that stores a flat value, held in locals, into memory.
pub struct Storing<'a, 'b> {
    /// Where the code goes.
    pub code: &'a mut InstructionSink<'b>,
    /// The local with the address of the whole value.
    pub base: u32,
    /// The flat types of the locals that hold it, from local 0 on.
    pub flat: &'a [ValType],
    /// The function that copies the text at (pointer, length) to where it stays as long as the value does, by the
    /// text's place, and answers the copy's address.
    pub keep_text: &'a dyn Fn(u32) -> u32,
}

impl Storing<'_, '_> {
    /// Stores what begins at local `from`, of shape `shape`, at `offset` of the value; `text` is the place of its first
    /// text.
    pub fn store(&mut self, shape: &Shape, from: u32, offset: u32, text: u32) {
        match shape {
            Shape::Number(ty, bytes) => {
                self.code.local_get(self.base).local_get(from);
                self.convert(from, *ty);
                self.store_number(*ty, *bytes, offset);
            }
            Shape::Text => {
                self.code.local_get(self.base).local_get(from);
                self.convert(from, ValType::I32);
                self.code.local_get(from + 1);
                self.convert(from + 1, ValType::I32);
                self.code.call((self.keep_text)(text));
                self.store_number(ValType::I32, 4, offset);
                self.code.local_get(self.base).local_get(from + 1);
                self.convert(from + 1, ValType::I32);
                self.store_number(ValType::I32, 4, offset + 4);
            }
            Shape::Record(fields) => {
                let (mut from, mut at, mut text) = (from, 0, text);
                for field in fields {
                    at = up(at, field.align());
                    self.store(field, from, offset + at, text);
                    at += field.size();
                    from += u32::try_from(field.flat().len()).unwrap_or(u32::MAX);
                    text += field.texts();
                }
            }
            Shape::Variant(cases) => {
                self.code.local_get(self.base).local_get(from);
                self.convert(from, ValType::I32);
                self.store_number(ValType::I32, discriminant(cases.len()), offset);
                for (number, case) in (0..).zip(cases) {
                    let Some(payload) = case else { continue };
                    self.code.local_get(from);
                    self.convert(from, ValType::I32);
                    self.code.i32_const(number).i32_eq().if_(BlockType::Empty);
                    self.store(payload, from + 1, offset + payload_at(cases), text);
                    self.code.end();
                }
            }
        }
    }

    /// From the type of local `from`, which may be shared with other cases, to `ty`.
    fn convert(&mut self, from: u32, ty: ValType) {
        match (self.flat[from as usize], ty) {
            (ValType::I64, ValType::I32) => {
                self.code.i32_wrap_i64();
            }
            (ValType::I64, ValType::F32) => {
                self.code.i32_wrap_i64().f32_reinterpret_i32();
            }
            (ValType::I32, ValType::F32) => {
                self.code.f32_reinterpret_i32();
            }
            (ValType::I64, ValType::F64) => {
                self.code.f64_reinterpret_i64();
            }
            _ => {}
        }
    }

    fn store_number(&mut self, ty: ValType, bytes: u32, offset: u32) {
        let at = MemArg { offset: offset.into(), align: bytes.trailing_zeros(), memory_index: 0 };
        match (ty, bytes) {
            (ValType::I64, _) => self.code.i64_store(at),
            (ValType::F32, _) => self.code.f32_store(at),
            (ValType::F64, _) => self.code.f64_store(at),
            (_, 1) => self.code.i32_store8(at),
            (_, 2) => self.code.i32_store16(at),
            _ => self.code.i32_store(at),
        };
    }
}
