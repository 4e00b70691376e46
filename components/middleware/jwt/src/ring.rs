//! When an instance fetches keys, and how long it keeps them. No request is sent here, and no time is read.
//!
//! An instance has one fetch under way at most. A time is the distance from some moment, which never goes back.

use crate::key::Key;
use std::rc::Rc;
use std::time::Duration;

/// The pause after the first fetch that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The bounds of it.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub least: Duration,
    pub most: Duration,
    /// How long keys whose time is over are used while they can't be fetched.
    pub stale: Duration,
    /// The pause before a fetch for an unknown `kid`, and the longest one after a failure.
    pub cooldown: Duration,
}

/// Keys as they were fetched.
struct Held {
    keys: Rc<Vec<Key>>,
    /// When they are fetched again, while they are still good.
    ahead: Duration,
    fresh_until: Duration,
    stale_until: Duration,
}

/// What a request that needs keys does.
pub enum Turn {
    /// Uses these.
    Use(Rc<Vec<Key>>),
    /// Uses these, and has others fetched meanwhile.
    Refresh(Rc<Vec<Key>>),
    /// Fetches, and asks again.
    Fetch,
    /// Asks again when the fetch that is under way is over.
    Wait,
    /// There are none, and won't be for this time.
    Without(Duration),
}

/// An instance's keys.
pub struct Ring {
    held: Option<Held>,
    is_fetching: bool,
    /// When a fetch was begun last.
    begun: Option<Duration>,
    /// Fetches that failed, one after another.
    failures: u32,
    /// No fetch before this.
    pause_until: Duration,
}

impl Ring {
    pub const fn new() -> Self {
        Self { held: None, is_fetching: false, begun: None, failures: 0, pause_until: Duration::ZERO }
    }

    /// What a request does that comes now.
    pub fn turn(&self, now: Duration) -> Turn {
        let may_fetch = !self.is_fetching && now >= self.pause_until;
        let held = self.held.as_ref().filter(|held| now < held.stale_until);
        match held {
            Some(held) if now < held.fresh_until && !(may_fetch && now >= held.ahead) => {
                Turn::Use(Rc::clone(&held.keys))
            }
            Some(held) if now < held.fresh_until => Turn::Refresh(Rc::clone(&held.keys)),
            // Whoever has keys does not wait for a server that failed before.
            Some(held) if self.failures > 0 && may_fetch => Turn::Refresh(Rc::clone(&held.keys)),
            Some(held) if self.failures > 0 || now < self.pause_until => Turn::Use(Rc::clone(&held.keys)),
            _ if self.is_fetching => Turn::Wait,
            _ if may_fetch => Turn::Fetch,
            _ => Turn::Without(self.pause_until - now),
        }
    }

    /// What a request does that comes now with a `kid` that no key has; nothing, if that is answered.
    pub fn turn_for_unknown(&self, now: Duration, times: &Times) -> Option<Turn> {
        let rested = self.begun.is_none_or(|begun| now >= begun + times.cooldown) && now >= self.pause_until;
        match self.is_fetching {
            true => Some(Turn::Wait),
            false => rested.then_some(Turn::Fetch),
        }
    }

    /// A fetch begins.
    pub fn begin(&mut self, now: Duration) {
        (self.is_fetching, self.begun) = (true, Some(now));
    }

    /// A fetch is over that brought nothing, since its request was given up.
    pub fn abandon(&mut self) {
        self.is_fetching = false;
    }

    /// A fetch is over that failed.
    pub fn fail(&mut self, now: Duration, times: &Times) {
        self.is_fetching = false;
        let pause = FIRST_PAUSE * 2_u32.pow(self.failures.min(16));
        self.failures += 1;
        self.pause_until = now + pause.min(times.cooldown);
    }

    /// A fetch brought keys, which are good for so long as the server says.
    pub fn keep(&mut self, keys: Vec<Key>, age: Option<Duration>, now: Duration, times: &Times) {
        let life = age.unwrap_or(times.least).clamp(times.least, times.most);
        // Instances that began together don't fetch together for ever: the last digits of the time are as good as chance.
        let spread = u32::from(now.subsec_nanos().to_le_bytes()[0]);
        let ahead = life / 10 * 7 + life / 10 * 2 / 256 * spread;
        let fresh_until = now + life;
        self.held = Some(Held {
            keys: Rc::new(keys),
            ahead: now + ahead,
            fresh_until,
            stale_until: fresh_until + times.stale,
        });
        (self.is_fetching, self.failures, self.pause_until) = (false, 0, now);
    }
}

/// How long an answer may be kept, by the values of its `Cache-Control` (RFC 9111 §5.2.2). `no-store` and `no-cache` are no time.
pub fn age<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Option<Duration> {
    let mut age = None;
    for value in values {
        for directive in String::from_utf8_lossy(value).split(',') {
            let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
            match name.to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                // Of several, the shortest; what is no number is no time.
                "max-age" => {
                    let digits = value.trim_matches('"');
                    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                    // More than a number can hold is for ever.
                    let seconds = if whole { digits.parse::<u32>().unwrap_or(u32::MAX) } else { 0 };
                    let found = Duration::from_secs(seconds.into());
                    age = Some(age.map_or(found, |age: Duration| age.min(found)));
                }
                _ => {}
            }
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { least: secs(300), most: secs(3600), stale: secs(600), cooldown: secs(30) };

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn turn(ring: &Ring, now: u64) -> &'static str {
        match ring.turn(secs(now)) {
            Turn::Use(_) => "use",
            Turn::Refresh(_) => "refresh",
            Turn::Fetch => "fetch",
            Turn::Wait => "wait",
            Turn::Without(_) => "without",
        }
    }

    fn turns(ring: &Ring, expected: &[(u64, &str)]) {
        for (now, expected) in expected {
            assert_eq!(turn(ring, *now), *expected, "at {now}");
        }
    }

    #[test]
    fn keys_are_fetched_once_and_kept() {
        let mut ring = Ring::new();
        turns(&ring, &[(0, "fetch")]);
        ring.begin(secs(0));
        turns(&ring, &[(0, "wait"), (4, "wait")]);
        ring.keep(Vec::new(), Some(secs(1000)), secs(10), &TIMES);
        turns(
            &ring,
            &[
                (10, "use"),
                (709, "use"),
                (711, "refresh"),
                (1009, "refresh"),
                (1010, "fetch"),
                (1609, "fetch"),
            ],
        );
        ring.begin(secs(720));
        // Who comes meanwhile does not wait, as long as they are good.
        turns(&ring, &[(720, "use"), (1009, "use"), (1010, "wait")]);
        ring.abandon();
        turns(&ring, &[(720, "refresh"), (1010, "fetch")]);
    }

    #[test]
    fn what_the_server_says_is_bounded() {
        for (age, until) in
            [(None, 300), (Some(0), 300), (Some(301), 301), (Some(3600), 3600), (Some(u64::MAX / 2), 3600)]
        {
            let mut ring = Ring::new();
            ring.keep(Vec::new(), age.map(secs), secs(0), &TIMES);
            turns(&ring, &[(until - 1, "refresh"), (until, "fetch")]);
        }
    }

    #[test]
    fn instances_spread() {
        let mut first = Vec::new();
        for nanoseconds in [0, 128, 255] {
            let mut ring = Ring::new();
            ring.keep(Vec::new(), Some(secs(1000)), Duration::from_nanos(nanoseconds), &TIMES);
            first.push((0..1001).find(|now| turn(&ring, *now) != "use").expect("it is fetched again"));
        }
        assert_eq!(first, [700, 801, 900]);
    }

    #[test]
    fn old_keys_stand_in_for_a_time() {
        let mut ring = Ring::new();
        ring.keep(Vec::new(), None, secs(0), &TIMES);
        ring.begin(secs(300));
        ring.fail(secs(305), &TIMES);
        turns(&ring, &[(305, "use"), (306, "refresh")]);
        ring.begin(secs(306));
        turns(&ring, &[(306, "use"), (899, "use"), (900, "wait")]);
        ring.fail(secs(311), &TIMES);
        turns(&ring, &[(312, "use"), (313, "refresh"), (899, "refresh"), (900, "fetch")]);
        ring.begin(secs(900));
        ring.fail(secs(900), &TIMES);
        turns(&ring, &[(900, "without"), (903, "without"), (904, "fetch")]);
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        let mut ring = Ring::new();
        let mut now = secs(0);
        for expected in [1, 2, 4, 8, 16, 30, 30, 30] {
            ring.begin(now);
            ring.fail(now, &TIMES);
            let Turn::Without(pause) = ring.turn(now) else { panic!("it pauses") };
            assert_eq!(pause, secs(expected));
            now += pause;
        }
        // Once they are there, it begins anew.
        ring.keep(Vec::new(), None, now, &TIMES);
        ring.fail(now + secs(900), &TIMES);
        assert!(matches!(ring.turn(now + secs(900)), Turn::Without(pause) if pause == secs(1)));
        for _ in 0..1000 {
            ring.fail(now, &TIMES);
        }
    }

    #[test]
    fn unknown_names_cost_one_fetch_in_a_while() {
        let mut ring = Ring::new();
        ring.begin(secs(0));
        assert!(matches!(ring.turn_for_unknown(secs(0), &TIMES), Some(Turn::Wait)));
        ring.keep(Vec::new(), None, secs(1), &TIMES);
        assert!(ring.turn_for_unknown(secs(29), &TIMES).is_none());
        assert!(matches!(ring.turn_for_unknown(secs(30), &TIMES), Some(Turn::Fetch)));
        ring.begin(secs(30));
        ring.fail(secs(31), &TIMES);
        assert!(ring.turn_for_unknown(secs(59), &TIMES).is_none());
        assert!(matches!(ring.turn_for_unknown(secs(60), &TIMES), Some(Turn::Fetch)));
    }

    #[test]
    fn cache_control_is_read() {
        for (values, expected) in [
            (&[][..], None),
            (&["public"], None),
            (&["public, max-age=600"], Some(600)),
            (&["Max-Age=\"600\"", "must-revalidate"], Some(600)),
            (&["max-age=600", "max-age=60"], Some(60)),
            (&["max-age=600, no-cache"], Some(0)),
            (&["no-store", "max-age=600"], Some(0)),
            (&["max-age=-1"], Some(0)),
            (&["max-age="], Some(0)),
            (&["max-age=1e9"], Some(0)),
            (&["max-age=99999999999999999999"], Some(u64::from(u32::MAX))),
            (&["s-maxage=600"], None),
        ] {
            let found = age(values.iter().map(|value| value.as_bytes()));
            assert_eq!(found, expected.map(secs), "{values:?}");
        }
    }
}
