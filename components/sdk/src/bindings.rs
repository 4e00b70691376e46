//! What wit-bindgen makes of `wit/`: the host's interfaces, and the handler
//! export and import in both of their forms.
//!
//! The handler is bound twice, because its form is a choice of the component
//! and not of the interface: lifted and lowered synchronously here, and
//! asynchronously in [`asynchronous`]. Everything else is bound once, so that
//! both forms speak of the same types. A component that names neither import
//! has neither: wit-component drops what the linked module does not call.
#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated code")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "linkspan:gateway/stage",
    generate_all,
    async: [
        "-export:wasi:http/handler@0.3.0#handle",
        "-import:wasi:http/handler@0.3.0#handle",
        "-import:linkspan:gateway/rate-limiter@0.1.0#take-shared",
    ],
});

pub mod asynchronous {
    //! The handler, lifted with a callback and lowered asynchronously.
    wit_bindgen::generate!({
        inline: "
            package linkspan:sdk;
            world asynchronous {
                import wasi:http/handler@0.3.0;
                export wasi:http/handler@0.3.0;
            }
        ",
        path: "../../wit",
        with: {
            "wasi:http/types@0.3.0": crate::bindings::wasi::http::types,
            "wasi:http/handler@0.3.0": generate,
            "wasi:clocks/types@0.3.0": crate::bindings::wasi::clocks::types,
        },
    });
}

pub mod judging {
    //! `linkspan:config/check`, which a stage with a typed configuration exports. Its macro is for stages that have
    //! one: the others don't say that they would.
    wit_bindgen::generate!({
        inline: "
            package linkspan:sdk-judging;
            world judging {
                export linkspan:config/check@0.1.0;
            }
        ",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_check",
        default_bindings_module: "linkspan_sdk::bindings::judging",
    });
}

#[cfg(feature = "in-place")]
pub mod in_place {
    //! `linkspan:gateway/headers`, once more: with names and values lent to it.
    wit_bindgen::generate!({
        inline: "
            package linkspan:sdk-in-place;
            world in-place {
                import linkspan:gateway/headers@0.1.0;
            }
        ",
        path: "../../wit",
        ownership: Borrowing { duplicate_if_necessary: false },
        with: {
            "wasi:http/types@0.3.0": crate::bindings::wasi::http::types,
            "wasi:clocks/types@0.3.0": crate::bindings::wasi::clocks::types,
            "linkspan:gateway/headers@0.1.0": generate,
        },
    });
}
