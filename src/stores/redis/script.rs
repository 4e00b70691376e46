//! The script that decides on requests inside Redis, and its answers.
//!
//! It does what [`Quota`] does, by Redis's clock, for several keys at once. Lua's numbers are doubles, which are whole to
//! 2^53: so a theoretical arrival time is kept as seconds and nanoseconds, and only its distance from now is computed with,
//! which is exact to the nanosecond for bursts that are filled in 104 days or less.

use crate::stores::quota::{Decision, Quota};
use redis::{Cmd, Value};

/// For each key its interval and its burst. The answer for each: `+` where the request is allowed, else `-`, and how far
/// ahead the theoretical arrival time was.
pub const SCRIPT: &str = r"local time = redis.call('TIME')
local seconds, nanoseconds = tonumber(time[1]), tonumber(time[2]) * 1000
local answers = {}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local tolerance, ahead = interval * burst, 0
  local known = redis.call('GET', key)
  if known then
    local s, n = string.match(known, '^(%d+):(%d+)$')
    if s then ahead = (tonumber(s) - seconds) * 1e9 + (tonumber(n) - nanoseconds) end
  end
  ahead = math.min(math.max(ahead, 0), tolerance)
  local after = ahead + interval
  if after > tolerance then
    answers[i] = '-' .. string.format('%.0f', ahead)
  else
    local whole = math.floor(after / 1e9)
    local s, n = seconds + whole, nanoseconds + (after - whole * 1e9)
    if n >= 1e9 then s, n = s + 1, n - 1e9 end
    local keep = math.min(math.ceil(after / 1e6), 1e15)
    redis.call('SET', key, string.format('%.0f:%.0f', s, n), 'PX', string.format('%.0f', keep))
    answers[i] = '+' .. string.format('%.0f', ahead)
  end
end
return answers
";

/// What is asked of the script.
#[derive(Debug)]
pub struct Ask {
    pub key: String,
    pub quota: Quota,
}

/// The command that has the script decide on `asked`: `EVALSHA` where the script is known by `name`, else `EVAL`.
pub fn command(name: Option<&str>, prefix: &str, asked: &[&Ask]) -> Cmd {
    let mut command = redis::cmd(if name.is_some() { "EVALSHA" } else { "EVAL" });
    command.arg(name.unwrap_or(SCRIPT)).arg(asked.len());
    for ask in asked {
        command.arg(format!("{prefix}{}", ask.key));
    }
    for ask in asked {
        command.arg(ask.quota.interval).arg(ask.quota.burst);
    }
    command
}

/// The decisions in an answer to that, in order; `None` if the answer is none to that.
pub fn decisions(answer: Value, asked: &[&Ask]) -> Option<Vec<Decision>> {
    let Value::Array(answers) = answer else { return None };
    if answers.len() != asked.len() {
        return None;
    }
    let one = |(answer, ask): (Value, &&Ask)| {
        let Value::BulkString(text) = answer else { return None };
        let text = std::str::from_utf8(&text).ok()?;
        let (sign, ahead) = text.split_at_checked(1)?;
        // What is beyond 64 bits is 584 years.
        let ahead: u128 = ahead.parse().ok()?;
        let allowed = match sign {
            "+" => true,
            "-" => false,
            _ => return None,
        };
        Some(ask.quota.decision(u64::try_from(ahead).unwrap_or(u64::MAX), allowed))
    };
    answers.into_iter().zip(asked).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_another_form_are_no_decisions() {
        let ask = Ask { key: "k".to_owned(), quota: Quota { burst: 3, interval: 100 } };
        let read = |answers: &[&str]| {
            let text = |text: &&str| Value::BulkString(text.as_bytes().to_vec());
            decisions(Value::Array(answers.iter().map(text).collect()), &[&ask])
        };
        let decision = read(&["+100"]).unwrap()[0];
        assert_eq!((decision.allowed, decision.remaining, decision.reset_after), (true, 1, 200));
        let decision = read(&["-250"]).unwrap()[0];
        assert_eq!((decision.allowed, decision.retry_after, decision.reset_after), (false, 50, 250));
        assert_eq!(read(&["-340282366920938463463374607431768211455"]).unwrap()[0].reset_after, 300);
        for wrong in [&["*1"][..], &["+"], &["+x"], &[""], &["+1", "+1"], &[]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert_eq!(decisions(Value::Int(1), &[&ask]), None);
    }

    #[test]
    fn a_command_has_all_keys_and_then_their_quotas() {
        let ask = |key: &str, burst| Ask {
            key: key.to_owned(),
            quota: Quota { burst, interval: u64::from(burst) + 1 },
        };
        let (one, other) = (ask("b|1", 7), ask("b|2", 9));
        let packed = command(Some("abc"), "p:", &[&one, &other]).get_packed_command();
        let text = String::from_utf8(packed).unwrap();
        let words: Vec<_> = text.split("\r\n").filter(|word| !word.starts_with(['*', '$'])).collect();
        assert_eq!(words, ["EVALSHA", "abc", "2", "p:b|1", "p:b|2", "8", "7", "10", "9", ""]);
    }
}
