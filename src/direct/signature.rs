//! Types of functions as a line of text, to be compared with those that are known.

use crate::component::flatten::{Flat, FunctionType, Resource, Type};
use std::fmt::Write as _;

/// `wasi:http/types#error-code`.
macro_rules! error_code {
    () => {
        "variant{DNS-timeout,\
DNS-error(record{rcode:option<string>,info-code:option<u16>}),destination-not-found,destination-unavailable,\
destination-IP-prohibited,destination-IP-unroutable,connection-refused,connection-terminated,connection-timeout,\
connection-read-timeout,connection-write-timeout,connection-limit-reached,TLS-protocol-error,TLS-certificate-error,\
TLS-alert-received(record{alert-id:option<u8>,alert-message:option<string>}),HTTP-request-denied,\
HTTP-request-length-required,HTTP-request-body-size(option<u64>),HTTP-request-method-invalid,HTTP-request-URI-invalid,\
HTTP-request-URI-too-long,HTTP-request-header-section-size(option<u32>),\
HTTP-request-header-size(option<record{field-name:option<string>,field-size:option<u32>}>),\
HTTP-request-trailer-section-size(option<u32>),\
HTTP-request-trailer-size(record{field-name:option<string>,field-size:option<u32>}),HTTP-response-incomplete,\
HTTP-response-header-section-size(option<u32>),\
HTTP-response-header-size(record{field-name:option<string>,field-size:option<u32>}),\
HTTP-response-body-size(option<u64>),HTTP-response-trailer-section-size(option<u32>),\
HTTP-response-trailer-size(record{field-name:option<string>,field-size:option<u32>}),\
HTTP-response-transfer-coding(option<string>),HTTP-response-content-coding(option<string>),HTTP-response-timeout,\
HTTP-upgrade-failed,HTTP-protocol-error,loop-detected,configuration-error,internal-error(option<string>)}"
    };
}
pub(super) use error_code;

/// What `handle` returns.
macro_rules! answer {
    () => {
        concat!("result<own<wasi:http/types#response>, ", error_code!(), ">")
    };
}
pub const ANSWER: &str = answer!();

/// `wasi:http/handler#handle`.
pub const HANDLE: &str = concat!("async (request: own<wasi:http/types#request>) -> ", answer!());

/// A body's bytes.
pub const STREAM: &str = "stream<u8>";

/// What has no items of any size.
pub const UNITS: &str = "stream";

/// What is behind a body.
macro_rules! trailers {
    () => {
        concat!(
            "future<result<option<own<wasi:http/types#fields>>, ",
            $crate::direct::signature::error_code!(),
            ">>",
        )
    };
}
pub(super) use trailers;
pub const TRAILERS: &str = trailers!();

/// How a body was received.
macro_rules! receipt {
    () => {
        concat!("future<result<_, ", $crate::direct::signature::error_code!(), ">>")
    };
}
pub(super) use receipt;
pub const RECEIPT: &str = receipt!();

/// A type, as the list has it.
pub fn of_type(flat: &Flat<'_>, ty: &Type) -> String {
    let mut text = String::new();
    write_type(&mut text, flat, ty);
    text
}

/// The type of a function, as the list has it.
pub fn of(flat: &Flat<'_>, function: &FunctionType) -> String {
    let mut text = String::new();
    if function.asynchronous {
        text.push_str("async ");
    }
    text.push('(');
    for (place, (name, ty)) in function.params.iter().enumerate() {
        let before = if place > 0 { ", " } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{before}{name}: ");
        write_type(&mut text, flat, ty);
    }
    text.push(')');
    if let Some(result) = &function.result {
        text.push_str(" -> ");
        write_type(&mut text, flat, result);
    }
    text
}

fn write_type(text: &mut String, flat: &Flat<'_>, ty: &Type) {
    match ty {
        Type::Primitive(primitive) => text.push_str(primitive.to_string().trim()),
        Type::Record(fields) => {
            let fields = fields.iter().map(|(name, ty)| (&**name, ty));
            write_list(text, flat, "record{", fields, ":", "}");
        }
        Type::Tuple(types) => write_list(text, flat, "tuple<", types.iter().map(|ty| ("", ty)), "", ">"),
        Type::Variant(cases) => write_cases(text, flat, cases),
        Type::Enum(names) => {
            let _ = write!(text, "enum{{{}}}", names.join(","));
        }
        Type::Flags(names) => {
            let _ = write!(text, "flags{{{}}}", names.join(","));
        }
        Type::Option(ty) => write_list(text, flat, "option<", [("", &**ty)].into_iter(), "", ">"),
        Type::Result(ok, error) => {
            text.push_str("result<");
            match ok {
                Some(ok) => write_type(text, flat, ok),
                None => text.push('_'),
            }
            if let Some(error) = error {
                text.push_str(", ");
                write_type(text, flat, error);
            }
            text.push('>');
        }
        Type::List(ty) => write_list(text, flat, "list<", [("", &**ty)].into_iter(), "", ">"),
        Type::FixedList(ty, length) => {
            write_list(text, flat, "list<", [("", &**ty)].into_iter(), "", "");
            let _ = write!(text, ", {length}>");
        }
        Type::Map(key, value) => {
            write_list(text, flat, "map<", [("", &**key), ("", &**value)].into_iter(), "", ">");
        }
        Type::Own(resource) => {
            let _ = write!(text, "own<{}>", resource_name(flat, *resource));
        }
        Type::Borrow(resource) => {
            let _ = write!(text, "borrow<{}>", resource_name(flat, *resource));
        }
        Type::Stream(ty) => write_maybe(text, flat, "stream", ty.as_deref()),
        Type::Future(ty) => write_maybe(text, flat, "future", ty.as_deref()),
    }
}

/// Names and types, separated by commas, each name with `behind` it.
fn write_list<'t>(
    text: &mut String,
    flat: &Flat<'_>,
    before: &str,
    parts: impl Iterator<Item = (&'t str, &'t Type)>,
    behind: &str,
    after: &str,
) {
    text.push_str(before);
    for (place, (name, ty)) in parts.enumerate() {
        text.push_str(if place > 0 { "," } else { "" });
        text.push_str(name);
        text.push_str(behind);
        write_type(text, flat, ty);
    }
    text.push_str(after);
}

fn write_cases(text: &mut String, flat: &Flat<'_>, cases: &[(String, Option<Type>)]) {
    text.push_str("variant{");
    for (place, (name, ty)) in cases.iter().enumerate() {
        text.push_str(if place > 0 { "," } else { "" });
        text.push_str(name);
        if let Some(ty) = ty {
            write_list(text, flat, "(", [("", ty)].into_iter(), "", ")");
        }
    }
    text.push('}');
}

fn write_maybe(text: &mut String, flat: &Flat<'_>, name: &str, ty: Option<&Type>) {
    text.push_str(name);
    if let Some(ty) = ty {
        write_list(text, flat, "<", [("", ty)].into_iter(), "", ">");
    }
}

fn resource_name(flat: &Flat<'_>, resource: usize) -> String {
    match &flat.resources[resource] {
        Resource::Imported { instance: Some(instance), name } => {
            format!("{}#{name}", without_version(instance.interface()))
        }
        Resource::Imported { instance: None, name } => name.clone(),
        Resource::Defined { .. } => "of its own".to_owned(),
    }
}

/// An interface's name without its version.
pub fn without_version(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(name, _)| name)
}
