//! What a stage asks of its host beyond the messages of HTTP, counted for one observed request.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A kind of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostCall {
    /// A value of its configuration, or all of them.
    Config,
    /// A line for the log.
    Log,
    /// A request that it counts.
    Limiter,
    /// A signature that it has verified.
    Signatures,
    /// The time.
    Clock,
    /// A wait.
    Timer,
    /// Random numbers.
    Random,
    /// Variables and arguments.
    Environment,
    /// A standard stream.
    Stdio,
    /// Its directories, and files of WASI 0.2.
    Files,
    /// A socket of WASI 0.2.
    Sockets,
    /// A name's addresses.
    Lookup,
    /// Spans and records of its own (`wasi:otel`).
    Otel,
    /// A request of its own, into the network or to a pipeline.
    Request,
}

impl HostCall {
    /// All kinds, in their order.
    pub const ALL: [Self; 14] = [
        Self::Config,
        Self::Log,
        Self::Limiter,
        Self::Signatures,
        Self::Clock,
        Self::Timer,
        Self::Random,
        Self::Environment,
        Self::Stdio,
        Self::Files,
        Self::Sockets,
        Self::Lookup,
        Self::Otel,
        Self::Request,
    ];

    /// The attribute with their number.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Config => "linkspan.stage.host_calls.config",
            Self::Log => "linkspan.stage.host_calls.log",
            Self::Limiter => "linkspan.stage.host_calls.limiter",
            Self::Signatures => "linkspan.stage.host_calls.signatures",
            Self::Clock => "linkspan.stage.host_calls.clock",
            Self::Timer => "linkspan.stage.host_calls.timer",
            Self::Random => "linkspan.stage.host_calls.random",
            Self::Environment => "linkspan.stage.host_calls.environment",
            Self::Stdio => "linkspan.stage.host_calls.stdio",
            Self::Files => "linkspan.stage.host_calls.files",
            Self::Sockets => "linkspan.stage.host_calls.sockets",
            Self::Lookup => "linkspan.stage.host_calls.lookup",
            Self::Otel => "linkspan.stage.host_calls.otel",
            Self::Request => "linkspan.stage.outgoing_requests",
        }
    }
}

/// How many there were of each kind.
#[derive(Debug, Default)]
pub struct HostCalls([AtomicU32; HostCall::ALL.len()]);

impl HostCalls {
    /// One more.
    pub fn count(&self, call: HostCall) {
        self.0[call as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn counted(&self) -> CountedCalls {
        CountedCalls(self.0.each_ref().map(|number| number.load(Relaxed)))
    }
}

/// How many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountedCalls([u32; HostCall::ALL.len()]);

impl CountedCalls {
    /// Of one kind.
    pub fn of(self, call: HostCall) -> u64 {
        self.0[call as usize].into()
    }

    /// Of all kinds but requests.
    pub fn all(self) -> u64 {
        let kinds = HostCall::ALL.into_iter().filter(|kind| *kind != HostCall::Request);
        kinds.map(|kind| self.of(kind)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_place_and_a_name_of_its_own() {
        let calls = HostCalls::default();
        for (place, call) in HostCall::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, place);
            (0..=place).for_each(|_| calls.count(call));
        }
        let counted = calls.counted();
        assert!(HostCall::ALL.into_iter().enumerate().all(|(at, call)| counted.of(call) == at as u64 + 1));
        assert_eq!((counted.of(HostCall::Request), counted.all()), (14, (1..=13).sum()));
        let names: std::collections::HashSet<_> = HostCall::ALL.map(HostCall::attribute).into();
        assert_eq!(names.len(), HostCall::ALL.len());
    }
}
