//! The ways in which a chain can be built, over which the cases of behaviour run.

use super::{Pipeline, Setup};

/// How the pipeline of a case is built.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// `link` of the pipeline.
    pub link: &'static str,
    /// A middleware that does nothing, in front of what the case is about.
    pub front: Option<&'static str>,
    /// The lift of that one is rewritten.
    pub relift: bool,
}

impl Chain {
    /// A pipeline called `main` that ends in `service`.
    pub fn pipeline(self, service: &str) -> Pipeline {
        let pipeline = Pipeline::new("main", service).link(self.link);
        match self.front {
            Some(front) if self.relift => pipeline.stage_with(front, "lift = \"sync\""),
            Some(front) => pipeline.stage(front),
            None => pipeline,
        }
    }

    /// A gateway's configuration with just that pipeline.
    pub fn setup(self, service: &str) -> Setup {
        Setup::of([self.pipeline(service)])
    }
}

/// Makes a module of tests from a case: one for each link mode and each form of guest in front. A further link mode is
/// a further group here, and nowhere else.
#[macro_export]
macro_rules! chain_test {
    ($(#[$doc:meta])* fn $name:ident($chain:ident) $case:block) => {
        $(#[$doc])*
        mod $name {
            use super::*;

            fn case($chain: $crate::harness::Chain) $case

            $crate::chain_test!(@case static_alone, "static", None);
            $crate::chain_test!(@case static_behind_sync, "static", Some("pass-through-sync"));
            $crate::chain_test!(@case static_behind_async, "static", Some("pass-through-async"));
            $crate::chain_test!(@case static_behind_relifted, "static", Some("pass-through-async"), true);
            $crate::chain_test!(@case static_behind_plain_relifted, "static", Some("plain-async"), true);
            $crate::chain_test!(@case dynamic_alone, "dynamic", None);
            $crate::chain_test!(@case dynamic_behind_sync, "dynamic", Some("pass-through-sync"));
            $crate::chain_test!(@case dynamic_behind_async, "dynamic", Some("pass-through-async"));
            $crate::chain_test!(@case dynamic_behind_relifted, "dynamic", Some("pass-through-async"), true);
        }
    };
    (@case $name:ident, $link:literal, $front:expr) => {
        $crate::chain_test!(@case $name, $link, $front, false);
    };
    (@case $name:ident, $link:literal, $front:expr, $relift:literal) => {
        #[test]
        fn $name() {
            case($crate::harness::Chain { link: $link, front: $front, relift: $relift });
        }
    };
}
