//! Panics in a build.
//!
//! Components come from outside, and libraries read, join and compile them. A panic in any of that code is a defect,
//! and must not end a gateway that serves: every build runs within [`caught`], and reports a panic like any other
//! mistake.

use crate::config::{Diagnostics, Span};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

thread_local! {
    /// How many calls of [`caught`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic within them was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Panicked {
    message: String,
    place: Option<String>,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("linkspan panicked, which is a defect of linkspan: ")?;
        f.write_str(self.message.lines().next().unwrap_or_default())?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " (at {place})"))
    }
}

impl Panicked {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("without a message").to_owned();
        Self { message, place: PLACE.take() }
    }

    /// Adds it to `diagnostics`, with `what` as that which failed.
    pub fn tell(
        &self,
        span: impl Into<Option<Span>>,
        what: impl Into<String>,
        diagnostics: &mut Diagnostics,
    ) {
        let span = span.into();
        let finding = match span {
            Some(_) => diagnostics.error(span, what).label(self.to_string()),
            None => diagnostics.error(span, format!("{}: {self}", what.into())),
        };
        finding.help(
            "please report the panic with the configuration: no configuration and no component should cause one",
        );
    }
}

/// Does `work`, and returns an error if it panics. Whatever `work` changed must then be dropped, unless it is
/// consistent at all times.
///
/// # Errors
/// [`Panicked`].
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    struct Within;
    impl Drop for Within {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _within = Within;
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked::new(&*payload))
}

/// Sets the panic hook so that caught panics are not printed: the code that catches one reports it, with its place. For
/// a program that has no other use for the hook.
pub fn tell_instead_of_printing() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if DEPTH.get() == 0 {
            print(panic);
        } else {
            PLACE.set(panic.location().map(ToString::to_string));
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceFile;
    use std::sync::Arc;

    #[test]
    fn a_panic_is_told_where_it_belongs() {
        assert_eq!(caught(|| 3), Ok(3));
        let inner = || caught(|| panic!("it is {}\nand more", "wrong"));
        let panicked = caught(inner).expect("caught within").expect_err("it panicked");
        assert_eq!(DEPTH.get(), 0);
        assert_eq!(panicked.to_string(), "linkspan panicked, which is a defect of linkspan: it is wrong");
        let source = Arc::new(SourceFile::new("some.toml", ""));
        let mut diagnostics = Diagnostics::new(source);
        panicked.tell(None, "the configuration can't be built", &mut diagnostics);
        let text = diagnostics.to_string();
        assert!(text.contains("can't be built: linkspan panicked"), "{text}");
    }
}
