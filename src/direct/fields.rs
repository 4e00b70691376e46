//! The functions of `wasi:http/types` that make and edit fields.

use super::abi::Bytes;
use super::call::{Call, HostFunction, caller, calling, host_function, place};
use super::state::State;
use crate::host::kept::{size_of_field, size_of_fields};
use wasm_encoder::ValType::I32;
use wasmtime::{Result, bail};
use wasmtime_wasi_http::{FieldMap, FieldMapError};

macro_rules! or_refused {
    ($params:literal, $result:literal) => {
        concat!(
            $params,
            " -> result<",
            $result,
            ", variant{invalid-syntax,forbidden,immutable,size-exceeded,other(option<string>)}>",
        )
    };
}

pub const FUNCTIONS: &[HostFunction] = &[
    host_function!(
        "wasi:http/types#[constructor]fields", "() -> own<wasi:http/types#fields>", [] -> [I32], false, new
    ),
    host_function!(
        "wasi:http/types#[static]fields.from-list",
        or_refused!("(entries: list<tuple<string,list<u8>>>)", "own<wasi:http/types#fields>"),
        [I32, I32, I32] -> [], false, from_list
    ),
    host_function!(
        "wasi:http/types#[method]fields.set",
        or_refused!("(self: borrow<wasi:http/types#fields>, name: string, value: list<list<u8>>)", "_"),
        [I32, I32, I32, I32, I32, I32] -> [], false, set
    ),
    host_function!(
        "wasi:http/types#[method]fields.append",
        or_refused!("(self: borrow<wasi:http/types#fields>, name: string, value: list<u8>)", "_"),
        [I32, I32, I32, I32, I32, I32] -> [], false, append
    ),
    host_function!(
        "wasi:http/types#[method]fields.delete",
        or_refused!("(self: borrow<wasi:http/types#fields>, name: string)", "_"),
        [I32, I32, I32, I32] -> [], false, delete
    ),
    host_function!(
        "wasi:http/types#[method]fields.get-and-delete",
        or_refused!("(self: borrow<wasi:http/types#fields>, name: string)", "list<list<u8>>"),
        [I32, I32, I32, I32] -> [], true, get_and_delete
    ),
    host_function!(
        "wasi:http/types#[method]fields.clone",
        "(self: borrow<wasi:http/types#fields>) -> own<wasi:http/types#fields>",
        [I32] -> [I32], false, clone
    ),
];

/// The size of a result that is, or has, the reason of a refusal.
const RESULT: usize = 20;

/// What a call may still copy out of a guest's memory.
struct Left(usize);

impl Left {
    fn take(&mut self, bytes: usize) -> Result<()> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => bail!("fuel allocated for hostcalls has been exhausted"),
        }
    }

    fn bytes(&mut self, bytes: &Bytes<'_>, (at, length): (u32, u32)) -> Result<Vec<u8>> {
        let found = bytes.get(at as usize, length as usize)?;
        self.take(found.len())?;
        Ok(found.to_vec())
    }

    fn text(&mut self, bytes: &Bytes<'_>, (at, length): (u32, u32)) -> Result<String> {
        let found = bytes.text(at, length)?;
        self.take(found.len())?;
        Ok(found.to_owned())
    }

    /// Where the elements of a list are, each of `size` bytes, of which the host makes `kept`.
    fn list(
        &mut self,
        bytes: &Bytes<'_>,
        (at, length): (u32, u32),
        size: usize,
        kept: usize,
    ) -> Result<impl Iterator<Item = usize> + use<>> {
        let length = length as usize;
        let Some(whole) = length.checked_mul(size).filter(|whole| *whole < 1 << 28) else {
            bail!("list is too long");
        };
        let at = bytes.place(at, whole, 4)?;
        self.take(length * kept)?;
        Ok((0..length).map(move |place| at + place * size))
    }
}

/// The pair of words at `at`.
fn pair(bytes: &Bytes<'_>, at: usize) -> Result<(u32, u32)> {
    Ok((bytes.word(at)?, bytes.word(at + 4)?))
}

/// The fields of a handle, with an edit.
fn edit<T>(
    state: &mut State,
    stage: usize,
    handle: i32,
    edit: impl FnOnce(
        &mut FieldMap,
        &mut dyn wasmtime_wasi_http::WasiHttpHooks,
    ) -> std::result::Result<T, FieldMapError>,
) -> Result<std::result::Result<T, FieldMapError>> {
    let State { host, stages, .. } = state;
    let fields = stages[stage].handles.get::<FieldMap>(place(handle))?;
    Ok(edit(fields, host.http().hooks))
}

/// Writes that an edit was made, or why it was refused.
fn tell(bytes: &mut Bytes<'_>, at: i32, result: std::result::Result<(), FieldMapError>) -> Result<()> {
    let at = bytes.place(place(at), RESULT, 4)?;
    bytes.put(at, &[u8::from(result.is_err())])?;
    match result {
        Ok(()) => Ok(()),
        Err(error) => bytes.put(at + 4, &[reason(error)]),
    }
}

/// The case of `header-error`.
pub fn reason(error: FieldMapError) -> u8 {
    match error {
        FieldMapError::InvalidHeaderName | FieldMapError::InvalidHeaderValue => 0,
        FieldMapError::Forbidden => 1,
        FieldMapError::Immutable => 2,
        FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig => 3,
    }
}

fn new(mut call: Call<'_>, stage: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let fields = Box::new(FieldMap::new_mutable(state.host.field_bytes()));
    Ok(state.push(index, fields)?.cast_signed())
}

fn from_list(mut call: Call<'_>, stage: i32, list: i32, length: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let mut left = Left(state.call_bytes());
    let mut pairs = Vec::new();
    for item in left.list(&bytes, (place(list), place(length)), 16, 48)? {
        let name = left.text(&bytes, pair(&bytes, item)?)?;
        pairs.push((name, left.bytes(&bytes, pair(&bytes, item + 8)?)?));
    }
    state.keep(pairs.iter().map(|(name, value)| size_of_field(name.len(), value.len())).sum())?;
    let mut fields = FieldMap::new_mutable(state.host.field_bytes());
    for (name, value) in pairs {
        if let Err(error) = fields.append(state.host.http().hooks, name, value) {
            return tell(&mut bytes, at, Err(error));
        }
    }
    let handle = state.push(index, Box::new(fields))?;
    tell(&mut bytes, at, Ok(()))?;
    bytes.put_word(place(at) as usize + 4, handle)
}

#[expect(clippy::too_many_arguments, reason = "as the canonical ABI passes them")]
fn set(
    mut call: Call<'_>,
    stage: i32,
    handle: i32,
    name: i32,
    name_length: i32,
    values: i32,
    count: i32,
    at: i32,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let mut left = Left(state.call_bytes());
    let name = left.text(&bytes, (place(name), place(name_length)))?;
    let mut list = Vec::new();
    for item in left.list(&bytes, (place(values), place(count)), 8, 24)? {
        list.push(left.bytes(&bytes, pair(&bytes, item)?)?);
    }
    state.keep(list.iter().map(|value| size_of_field(name.len(), value.len())).sum())?;
    let result = edit(state, index, handle, |fields, hooks| fields.set(hooks, name, list))?;
    tell(&mut bytes, at, result)
}

#[expect(clippy::too_many_arguments, reason = "as the canonical ABI passes them")]
fn append(
    mut call: Call<'_>,
    stage: i32,
    handle: i32,
    name: i32,
    name_length: i32,
    value: i32,
    value_length: i32,
    at: i32,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let mut left = Left(state.call_bytes());
    let name = left.text(&bytes, (place(name), place(name_length)))?;
    let value = left.bytes(&bytes, (place(value), place(value_length)))?;
    state.keep(size_of_field(name.len(), value.len()))?;
    let result = edit(state, index, handle, |fields, hooks| fields.append(hooks, name, value))?;
    tell(&mut bytes, at, result.map(drop))
}

fn delete(mut call: Call<'_>, stage: i32, handle: i32, name: i32, length: i32, at: i32) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let name = bytes.string((name, length), state.call_bytes())?;
    let result = edit(state, index, handle, |fields, hooks| fields.remove_all(hooks, name))?;
    tell(&mut bytes, at, result.map(drop))
}

fn get_and_delete(
    mut call: Call<'_>,
    stage: i32,
    handle: i32,
    name: i32,
    length: i32,
    at: i32,
) -> Result<()> {
    let (index, mut bytes, state) = calling(&mut call, stage)?;
    let name = bytes.string((name, length), state.call_bytes())?;
    match edit(state, index, handle, |fields, hooks| fields.remove_all(hooks, name))? {
        Ok(values) => {
            tell(&mut bytes, at, Ok(()))?;
            let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            state.stages[index].pending.lists(1, values, place(at) as usize + 4)
        }
        Err(error) => tell(&mut bytes, at, Err(error)),
    }
}

fn clone(mut call: Call<'_>, stage: i32, handle: i32) -> Result<i32> {
    let (index, state) = caller(&mut call, stage)?;
    let mut fields = state.stages[index].handles.get::<FieldMap>(place(handle))?.clone();
    // What it takes once it is edited.
    state.keep(size_of_fields(&fields))?;
    fields.set_mutable(state.host.field_bytes());
    Ok(state.push(index, Box::new(fields))?.cast_signed())
}
