//! The parts of streams of WASI 0.2.

use crate::host::wasi2::io::{HasIo, Io};
use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::p2::bindings::io;

offers! {
    shared "wasi:io/error" "0.2" (io::error as HasTable, |state| &mut state.table);
    shared "wasi:io/poll" "0.2" (io::poll as HasIo, Io::of);
    shared "wasi:io/streams" "0.2" (io::streams as HasIo, Io::of);
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}
