//! `linkspan:gateway/headers`: fields that are read and edited in place.
//!
//! The bindings are written by hand rather than by `bindgen!`: names and values are made from the guest's memory
//! without a copy in between, because most middleware does this.

use super::kept::HEAD;
use super::kept::heads::size_of_field;
use super::state::InstanceState;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, WasmList, WasmStr};
use wasmtime_wasi_http::p3::bindings::http::types::HeaderError;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{FieldMap, FieldMapError, WasiHttpHooks};

/// The most edits in one call. Stages need far fewer, and a call to the host can't be interrupted.
pub const MAX_EDITS: usize = 1_000;

#[derive(ComponentType, Lift)]
#[component(variant)]
enum Edit {
    #[component(name = "set")]
    Set((WasmStr, WasmList<u8>)),
    #[component(name = "append")]
    Append((WasmStr, WasmList<u8>)),
    #[component(name = "default")]
    Default((WasmStr, WasmList<u8>)),
    #[component(name = "remove")]
    Remove(WasmStr),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct RefusedEdit {
    index: u32,
    reason: HeaderError,
}

/// A request or a response, which has fields.
trait HasFields: 'static {
    fn fields(&self) -> &FieldMap;
    fn fields_mut(&mut self) -> &mut FieldMap;
}

macro_rules! head {
    ($($head:ty),+) => {$(
        impl HasFields for $head {
            fn fields(&self) -> &FieldMap {
                &self.headers
            }

            fn fields_mut(&mut self) -> &mut FieldMap {
                &mut self.headers
            }
        }
    )+};
}
head!(Request, Response);

pub(super) fn add_to_linker(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("linkspan:gateway/headers@0.1.0")?;
    instance.func_wrap("edit-request", |store, (head, edits): (Resource<Request>, _)| {
        Ok((edit(store, &head, &edits)?,))
    })?;
    instance.func_wrap("edit-response", |store, (head, edits): (Resource<Response>, _)| {
        Ok((edit(store, &head, &edits)?,))
    })?;
    instance.func_wrap("request-values", |store, (head, name): (Resource<Request>, _)| {
        Ok((values(&store, &head, &name)?,))
    })?;
    instance.func_wrap("response-values", |store, (head, name): (Resource<Response>, _)| {
        Ok((values(&store, &head, &name)?,))
    })
}

fn values<H: HasFields>(
    store: &StoreContextMut<'_, InstanceState>,
    head: &Resource<H>,
    name: &WasmStr,
) -> wasmtime::Result<Vec<Vec<u8>>> {
    let fields = store.data().table.get(head)?.fields();
    let values = fields.get_all(&*name.to_str(store)?);
    Ok(values.iter().map(|value| value.as_bytes().to_vec()).collect())
}

fn edit<H: HasFields>(
    mut store: StoreContextMut<'_, InstanceState>,
    head: &Resource<H>,
    edits: &WasmList<Edit>,
) -> wasmtime::Result<Result<(), RefusedEdit>> {
    if edits.len() > MAX_EDITS {
        return Ok(Err(RefusedEdit { index: MAX_EDITS as u32, reason: HeaderError::SizeExceeded }));
    }
    let edits = edits.iter(&mut store)?.collect::<wasmtime::Result<Vec<_>>>()?;
    // If a guest has a handle of these fields, the first edit makes a copy.
    store.data_mut().keep(HEAD)?;
    let limit = store.data().field_bytes();
    for (index, edit) in edits.iter().enumerate() {
        let change = Change::read(&store, edit)?;
        store.data_mut().keep(change.as_ref().map_or(0, Change::size))?;
        let http = store.data_mut().http();
        let fields = http.table.get_mut(head)?.fields_mut();
        if let Err(error) = change.and_then(|change| change.make(fields, http.hooks, limit)) {
            return Ok(Err(RefusedEdit { index: index as u32, reason: reason(error) }));
        }
    }
    Ok(Ok(()))
}

fn reason(error: FieldMapError) -> HeaderError {
    match error {
        FieldMapError::Immutable => HeaderError::Immutable,
        FieldMapError::InvalidHeaderName | FieldMapError::InvalidHeaderValue => HeaderError::InvalidSyntax,
        FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig => HeaderError::SizeExceeded,
        FieldMapError::Forbidden => HeaderError::Forbidden,
    }
}

/// An edit, read from the guest's memory.
pub enum Change {
    /// Sets the field to this one value.
    Set(HeaderName, HeaderValue),
    /// Adds this value to the field.
    Append(HeaderName, HeaderValue),
    /// Sets the field to this value if it has none.
    Default(HeaderName, HeaderValue),
    /// Removes the field.
    Remove(HeaderName),
}

impl Change {
    fn read(
        store: &StoreContextMut<'_, InstanceState>,
        edit: &Edit,
    ) -> wasmtime::Result<Result<Self, FieldMapError>> {
        let name = |name: &WasmStr| -> wasmtime::Result<Result<HeaderName, FieldMapError>> {
            let name = name.to_str(store)?;
            Ok(HeaderName::from_bytes(name.as_bytes()).map_err(FieldMapError::from))
        };
        let value = |value: &WasmList<u8>| HeaderValue::from_bytes(value.as_le_slice(store));
        let field = |(of, is): &(WasmStr, WasmList<u8>), change: fn(HeaderName, HeaderValue) -> Self| {
            Ok(name(of)?.and_then(|name| Ok(change(name, value(is)?))))
        };
        match edit {
            Edit::Set(edit) => field(edit, Self::Set),
            Edit::Append(edit) => field(edit, Self::Append),
            Edit::Default(edit) => field(edit, Self::Default),
            Edit::Remove(of) => Ok(name(of)?.map(Self::Remove)),
        }
    }

    /// The most bytes that the edit adds.
    pub fn size(&self) -> usize {
        match self {
            Self::Set(name, value) | Self::Append(name, value) | Self::Default(name, value) => {
                size_of_field(name.as_str().len(), value.len())
            }
            Self::Remove(_) => 0,
        }
    }

    /// Makes the edit in the fields of a request or response, which may then have `limit` bytes.
    ///
    /// # Errors
    /// Why the edit is refused.
    pub fn make(
        self,
        fields: &mut FieldMap,
        hooks: &mut dyn WasiHttpHooks,
        limit: usize,
    ) -> Result<(), FieldMapError> {
        fields.set_mutable(limit);
        let made = self.apply(fields, hooks);
        fields.set_immutable();
        made
    }

    /// Makes the edit by the rules of `wasi:http/types`: for a field that exists, or has rules of its own, the
    /// functions of that interface are used.
    fn apply(self, fields: &mut FieldMap, hooks: &mut dyn WasiHttpHooks) -> Result<(), FieldMapError> {
        let (Self::Set(name, _) | Self::Append(name, _) | Self::Default(name, _) | Self::Remove(name)) =
            &self;
        if hooks.is_forbidden_header(name) {
            return Err(FieldMapError::Forbidden);
        }
        let text = |name: HeaderName| name.as_str().to_owned();
        let bytes = |value: HeaderValue| value.as_bytes().to_vec();
        let has_rules = *name == CONTENT_LENGTH;
        match self {
            Self::Default(name, _) if fields.contains_key(&name) => Ok(()),
            Self::Set(name, value) if has_rules || fields.contains_key(&name) => {
                fields.set(hooks, text(name), vec![bytes(value)])
            }
            Self::Append(name, value) | Self::Default(name, value) if has_rules => {
                fields.append(hooks, text(name), bytes(value)).map(drop)
            }
            Self::Set(name, value) | Self::Append(name, value) | Self::Default(name, value) => {
                fields.append_raw(name, value).map(drop)
            }
            Self::Remove(name) if fields.contains_key(&name) => {
                fields.remove_all(hooks, text(name)).map(drop)
            }
            Self::Remove(_) => Ok(()),
        }
    }
}

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
