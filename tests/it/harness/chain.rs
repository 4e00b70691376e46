//! The ways in which a chain can be built, over which the cases of behaviour run.

use super::{Pipeline, Setup};

/// How the pipeline of a case is built.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// `link` of the pipeline.
    pub link: &'static str,
    /// Middleware that do nothing, in front of what the case is about, and the link of each; `relifted` after it
    /// rewrites its lift.
    pub front: &'static [(&'static str, &'static str)],
}

impl Chain {
    /// A pipeline called `main` that ends in `service`.
    pub fn pipeline(self, service: &str) -> Pipeline {
        self.named("main", service)
    }

    /// A pipeline that ends in `service`.
    pub fn named(self, name: &str, service: &str) -> Pipeline {
        let pipeline = Pipeline::new(name, service).link(self.link);
        self.front.iter().fold(pipeline, |pipeline, (component, link)| match link.split_once(' ') {
            Some((link, "relifted")) => {
                pipeline.stage_with(component, &format!("link = \"{link}\"\nlift = \"sync\""))
            }
            _ => pipeline.stage_with(component, &format!("link = \"{link}\"")),
        })
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

            $crate::chain_test!(@case static_alone, "static", []);
            $crate::chain_test!(@case static_behind_sync, "static", [("pass-through-sync", "static")]);
            $crate::chain_test!(@case static_behind_async, "static", [("pass-through-async", "static")]);
            $crate::chain_test!(@case static_behind_relifted, "static", [("pass-through-async", "static relifted")]);
            $crate::chain_test!(@case static_behind_plain, "static", [("plain-async", "static relifted")]);
            $crate::chain_test!(@case dynamic_alone, "dynamic", []);
            $crate::chain_test!(@case dynamic_behind_sync, "dynamic", [("pass-through-sync", "dynamic")]);
            $crate::chain_test!(@case dynamic_behind_async, "dynamic", [("pass-through-async", "dynamic")]);
            $crate::chain_test!(@case dynamic_behind_relifted, "dynamic", [("plain-async", "dynamic relifted")]);
            $crate::chain_test!(
                @case mixed, "static", [("pass-through-sync", "static"), ("pass-through-async", "dynamic")]
            );
        }
    };
    (@case $name:ident, $link:literal, $front:expr) => {
        #[test]
        fn $name() {
            case($crate::harness::Chain { link: $link, front: &$front });
        }
    };
}
