//! The declaration of a configuration: its type, its reading and its schema at once.

/// A stage's configuration: the type that it is read into, the reading, and the schema that goes into the component.
///
/// ```
/// use linkspan_sdk::{Config, Rate, configuration};
///
/// configuration! {
///     /// Limits the request rate.
///     struct Keys {
///         /// Requests in a time: `"10/s"`.
///         required rate: Rate,
///         /// Requests that may come at once. Default: the number in `rate`.
///         optional burst: u32 where 1..=1_000_000_000,
///         /// The field whose value is counted apart; empty for all together.
///         default("x-consumer") key_header: String,
///         /// Rates of some consumers' own.
///         table rates: Rate,
///         /// Consumers without a limit.
///         list free: String,
///     }
/// }
///
/// let entries = [("rate", "10/s"), ("rates.alice", "1/s"), ("free.0", "bob")];
/// let keys: Keys = Config::read(entries.map(|(key, value)| (key.into(), value.into())))?;
/// assert_eq!((keys.rate.count(), keys.burst, keys.key_header.as_str()), (10, None, "x-consumer"));
/// assert_eq!((keys.rates[0].0.as_str(), keys.free.as_deref()), ("alice", Some(&["bob".to_string()][..])));
/// # Ok::<(), String>(())
/// ```
///
/// | before the field | its type, for a `T` that is a [`Value`](crate::Value) |
/// | --- | --- |
/// | `required` | `T`; without it, the configuration is wrong |
/// | `optional` | `Option<T>` |
/// | `default(LITERAL)` | `T`, or what the literal's text means |
/// | `list`, `list([LITERAL, …])` | `Option<Vec<T>>`; a single value is a list of one. The literals say what the component takes where there is none |
/// | `required list` | `Vec<T>` |
/// | `table` | `Vec<(String, T)>` |
/// | `required table` | the same with one entry at least |
///
/// A key is the field's name with `-` for `_`; a number may have bounds. The type implements
/// [`FromConfig`](crate::FromConfig). What a key alone can't say is checked in the `FromConfig` of another type, which
/// reads this one first and has its [`SCHEMA`](crate::FromConfig::SCHEMA).
#[macro_export]
macro_rules! configuration {
    ($(#[doc = $doc:literal])* $visibility:vis struct $name:ident { $($keys:tt)* }) => {
        $crate::__configuration!(@keys { [$($doc)*] [$visibility] $name } [] $($keys)*);
    };
}

/// The steps of [`configuration!`]: each key to `{ kind [doc] field [type] [default] [bounds] }`, then all of them at once.
#[doc(hidden)]
#[macro_export]
macro_rules! __configuration {
    (@keys $head:tt [$($done:tt)*] $(#[doc = $doc:literal])* required list $field:ident: $type:ty $(, $($rest:tt)*)?) => {
        $crate::__configuration!(@keys $head [$($done)* { required_list [$($doc)*] $field [$type] [] [] }] $($($rest)*)?);
    };
    (@keys $head:tt [$($done:tt)*] $(#[doc = $doc:literal])* required table $field:ident: $type:ty $(, $($rest:tt)*)?) => {
        $crate::__configuration!(@keys $head [$($done)* { required_table [$($doc)*] $field [$type] [] [] }] $($($rest)*)?);
    };
    (@keys $head:tt [$($done:tt)*] $(#[doc = $doc:literal])* list $(($default:tt))? $field:ident: $type:ty $(, $($rest:tt)*)?) => {
        $crate::__configuration!(@keys $head [$($done)* { list [$($doc)*] $field [$type] [$($default)?] [] }] $($($rest)*)?);
    };
    (@keys $head:tt [$($done:tt)*] $(#[doc = $doc:literal])* table $field:ident: $type:ty $(, $($rest:tt)*)?) => {
        $crate::__configuration!(@keys $head [$($done)* { table [$($doc)*] $field [$type] [] [] }] $($($rest)*)?);
    };
    (
        @keys $head:tt [$($done:tt)*] $(#[doc = $doc:literal])* $kind:ident $(($default:tt))? $field:ident: $type:ty
            where $min:literal..=$max:literal $(, $($rest:tt)*)?
    ) => {
        $crate::__configuration!(
            @keys $head [$($done)* { $kind [$($doc)*] $field [$type] [$($default)?] [$min $max] }] $($($rest)*)?
        );
    };
    (@keys $head:tt [$($done:tt)*] $(#[doc = $doc:literal])* $kind:ident $(($default:tt))? $field:ident: $type:ty $(, $($rest:tt)*)?) => {
        $crate::__configuration!(@keys $head [$($done)* { $kind [$($doc)*] $field [$type] [$($default)?] [] }] $($($rest)*)?);
    };
    (
        @keys { [$($doc:literal)*] [$visibility:vis] $name:ident }
            [$({ $kind:ident [$($about:literal)*] $field:ident [$type:ty] [$($default:tt)?] [$($min:literal $max:literal)?] })*]
    ) => {
        $(#[doc = $doc])*
        $visibility struct $name {
            $(
                $(#[doc = $about])*
                pub $field: $crate::__configuration!(@type $kind $type),
            )*
        }

        impl $crate::FromConfig for $name {
            const SCHEMA: &'static [$crate::schema::Part] = {
                use $crate::schema::Part::{All, Comma, Doc, Json, Key};
                &[
                    Json("{\"type\":\"object\",\"description\":\""),
                    $(Doc($doc),)*
                    Json("\",\"properties\":{"),
                    $(
                        Comma, Json("\""), Key(stringify!($field)), Json("\":{\"description\":\""),
                        $(Doc($about),)*
                        Json("\",\"type\":"),
                        All($crate::__configuration!(@schema $kind $type, [$($min $max)?])),
                        $(Json(concat!(",\"default\":", stringify!($default))),)?
                        Json("}"),
                    )*
                    Json("},\"required\":["),
                    $(All($crate::__configuration!(@required $kind $field)),)*
                    Json("],\"additionalProperties\":false}"),
                ]
            };

            fn from_config(config: &mut $crate::Config) -> Option<Self> {
                $(
                    let $field =
                        $crate::__configuration!(@read $kind config $field $type, [$($default)?] [$($min $max)?]);
                )*
                Some(Self { $($field: $crate::__configuration!(@take $kind $field)),* })
            }
        }
    };

    (@type required $type:ty) => { $type };
    (@type optional $type:ty) => { Option<$type> };
    (@type default $type:ty) => { $type };
    (@type list $type:ty) => { Option<Vec<$type>> };
    (@type required_list $type:ty) => { Vec<$type> };
    (@type table $type:ty) => { Vec<(String, $type)> };
    (@type required_table $type:ty) => { Vec<(String, $type)> };

    (@read required $config:ident $field:ident $type:ty, [] [$($min:literal $max:literal)?]) => {{
        let value: Option<$type> = $config.required(&$crate::schema::key(stringify!($field)));
        $(let value = $config.within(&$crate::schema::key(stringify!($field)), value, $min, $max);)?
        value
    }};
    (@read optional $config:ident $field:ident $type:ty, [] [$($min:literal $max:literal)?]) => {{
        let value: Option<$type> = $config.optional(&$crate::schema::key(stringify!($field)));
        $(let value = $config.within(&$crate::schema::key(stringify!($field)), value, $min, $max);)?
        value
    }};
    (@read default $config:ident $field:ident $type:ty, [$default:tt] [$($min:literal $max:literal)?]) => {{
        const DEFAULT: &str = $crate::schema::unquoted(stringify!($default));
        let value: Option<$type> = $config.or_text(&$crate::schema::key(stringify!($field)), DEFAULT);
        $(let value = $config.within(&$crate::schema::key(stringify!($field)), value, $min, $max);)?
        value
    }};
    (@read list $config:ident $field:ident $type:ty, $default:tt $bounds:tt) => {
        $config.list::<$type>(&$crate::schema::key(stringify!($field)))
    };
    (@read required_list $config:ident $field:ident $type:ty, $default:tt $bounds:tt) => {
        $config.required_list::<$type>(&$crate::schema::key(stringify!($field)))
    };
    (@read table $config:ident $field:ident $type:ty, $default:tt $bounds:tt) => {
        $config.table::<$type>(&$crate::schema::key(stringify!($field)))
    };
    (@read required_table $config:ident $field:ident $type:ty, $default:tt $bounds:tt) => {
        $config.required_table::<$type>(&$crate::schema::key(stringify!($field)))
    };

    (@take optional $field:ident) => { $field };
    (@take list $field:ident) => { $field };
    (@take table $field:ident) => { $field };
    (@take $kind:ident $field:ident) => { $field? };

    (@required required $field:ident) => { &[Comma, Json("\""), Key(stringify!($field)), Json("\"")] };
    (@required required_list $field:ident) => { $crate::__configuration!(@required required $field) };
    (@required required_table $field:ident) => { $crate::__configuration!(@required required $field) };
    (@required $kind:ident $field:ident) => { &[] };

    (@schema list $type:ty, $bounds:tt) => {
        &[
            Json("[\"array\",\""),
            Json(<$type as $crate::Value>::TYPE),
            Json("\"],\"items\":{\"type\":\""),
            Json(<$type as $crate::Value>::TYPE),
            Json("\""),
            Json(<$type as $crate::Value>::FORM),
            Json("}"),
            Json(<$type as $crate::Value>::FORM),
        ]
    };
    (@schema required_list $type:ty, $bounds:tt) => {
        &[
            All($crate::__configuration!(@schema list $type, $bounds)),
            Json(",\"minItems\":1"),
        ]
    };
    (@schema table $type:ty, $bounds:tt) => {
        &[
            Json("\"object\",\"additionalProperties\":{\"type\":\""),
            Json(<$type as $crate::Value>::TYPE),
            Json("\""),
            Json(<$type as $crate::Value>::FORM),
            Json("}"),
        ]
    };
    (@schema required_table $type:ty, $bounds:tt) => {
        &[
            All($crate::__configuration!(@schema table $type, $bounds)),
            Json(",\"minProperties\":1"),
        ]
    };
    (@schema $kind:ident $type:ty, [$min:literal $max:literal]) => {
        &[
            Json("\""),
            Json(<$type as $crate::Value>::TYPE),
            Json("\""),
            Json(concat!(",\"minimum\":", $min, ",\"maximum\":", $max)),
        ]
    };
    (@schema $kind:ident $type:ty, []) => {
        &[
            Json("\""),
            Json(<$type as $crate::Value>::TYPE),
            Json("\""),
            Json(<$type as $crate::Value>::FORM),
        ]
    };
}
