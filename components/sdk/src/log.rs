//! Lines for the gateway's log; the component imports `wasi:logging/logging`.
//! The gateway adds the pipeline and the stage.

pub use crate::bindings::wasi::logging::logging::Level;

/// Write a line. The context is where in the stage it comes from.
pub fn write(level: Level, context: &str, message: &str) {
    crate::bindings::wasi::logging::logging::log(level, context, message);
}

/// Write a line for whom it may help to find a fault.
#[macro_export]
macro_rules! debug {
    ($($message:tt)*) => { $crate::__log!(Debug, $($message)*) };
}

/// Write a line about what the stage does.
#[macro_export]
macro_rules! info {
    ($($message:tt)*) => { $crate::__log!(Info, $($message)*) };
}

/// Write a line about what may be wrong.
#[macro_export]
macro_rules! warn {
    ($($message:tt)*) => { $crate::__log!(Warn, $($message)*) };
}

/// Write a line about what went wrong.
#[macro_export]
macro_rules! error {
    ($($message:tt)*) => { $crate::__log!(Error, $($message)*) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::$level, module_path!(), &format!($($message)*))
    };
}
