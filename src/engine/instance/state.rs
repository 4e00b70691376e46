//! The states of an instance's life, and their transitions.

/// An instance's state. Nothing leads back.
///
/// | | `made` | `retire` | `kill` | `die` |
/// | --- | --- | --- | --- | --- |
/// | `Starting` | `Open` | `Retiring` | `Killed` | `Dead` |
/// | `Open` | | `Retiring` | `Killed` | `Dead` |
/// | `Retiring` | `Retiring` | | `Killed` | `Dead` |
/// | `Killed` | | | | `Dead` |
/// | `Dead` | | | | |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its guests are not there yet. Requests may wait for them in it.
    Starting,
    /// It takes requests.
    Open,
    /// It finishes what it has, and then ends.
    Retiring {
        /// Whether its guests are there.
        made: bool,
    },
    /// It must end at once, for this reason.
    Killed(&'static str),
    /// Its guests will never run again.
    Dead,
}

impl State {
    /// Its guests are there.
    pub fn made(self) -> Self {
        match self {
            Self::Starting => Self::Open,
            Self::Retiring { .. } => Self::Retiring { made: true },
            other => other,
        }
    }

    /// It takes no more requests.
    pub fn retire(self) -> Self {
        match self {
            Self::Starting => Self::Retiring { made: false },
            Self::Open => Self::Retiring { made: true },
            other => other,
        }
    }

    /// It ends, whatever runs. The first reason stays.
    pub fn kill(self, why: &'static str) -> Self {
        match self {
            Self::Starting | Self::Open | Self::Retiring { .. } => Self::Killed(why),
            other => other,
        }
    }

    /// Its guests are gone.
    pub fn die(self) -> Self {
        Self::Dead
    }

    /// Whether it takes requests.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Starting | Self::Open)
    }

    /// Whether it ends as soon as nothing is left to do.
    pub fn is_ending(self) -> bool {
        matches!(self, Self::Retiring { .. } | Self::Killed(_))
    }

    /// Whether its guests are there, so that requests can be worked on outside of its task, too.
    pub fn can_work(self) -> bool {
        matches!(self, Self::Open | Self::Retiring { made: true })
    }

    /// Why it must end at once, if it must.
    pub fn killed(self) -> Option<&'static str> {
        match self {
            Self::Killed(why) => Some(why),
            _ => None,
        }
    }
}

/// An instance without requests: since when, and what its guests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    since: u64,
    pub guests: Left,
}

/// What guests do after their last response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nobody has looked yet.
    Unknown,
    /// They still work.
    Working,
    /// Nothing.
    Nothing,
}

impl Rest {
    /// A new instance, at the tick `since`.
    pub fn new(since: u64) -> Self {
        Self { since, guests: Left::Nothing }
    }

    /// Its last request ended at the tick `since`.
    pub fn begin(since: u64) -> Self {
        Self { since, guests: Left::Unknown }
    }

    /// Somebody has looked.
    pub fn seen(self, quiet: bool) -> Self {
        Self { guests: if quiet { Left::Nothing } else { Left::Working }, ..self }
    }

    /// The ticks that it took until `tick`.
    pub fn length(self, tick: u64) -> u64 {
        tick.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table above.
    #[test]
    fn nothing_leads_back() {
        let (starting, open, dead) = (State::Starting, State::Open, State::Dead);
        let (unmade, retiring) = (State::Retiring { made: false }, State::Retiring { made: true });
        let killed = State::Killed("first");
        for (state, made, retired, killed) in [
            (starting, open, unmade, State::Killed("now")),
            (open, open, retiring, State::Killed("now")),
            (unmade, retiring, unmade, State::Killed("now")),
            (retiring, retiring, retiring, State::Killed("now")),
            (killed, killed, killed, killed),
            (dead, dead, dead, dead),
        ] {
            assert_eq!(
                (state.made(), state.retire(), state.kill("now")),
                (made, retired, killed),
                "{state:?}"
            );
            assert_eq!(state.die(), dead);
        }
    }
}
