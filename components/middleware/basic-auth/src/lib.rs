//! Lets users in by name and password (RFC 7617), whose hashes alone are configured. See [`Keys`].
//!
//! A request with the password of a known user goes on with the user's name and without the password. Any other gets 401
//! with a challenge. A user's name that came from the client never goes on.
//!
//! A name that nobody has costs as much as one of the users', always the same one, so that nobody learns from the time who
//! there is. A password that was found to be right is remembered in an instance for as long as `remember` says, as its
//! HMAC-SHA256 with the user's own hash as the key, which is salted and as secret: clients send it with each request, and a
//! hash is made to be slow. Wrong ones are not remembered, and cost a hash each: `rate-limit` in front of the stage bounds
//! them.

mod credentials;
mod hash;

use credentials::{Credentials, Fault, offered};
use hash::{Hash, NoMemory};
use hmac::{Hmac, KeyInit as _, Mac as _};
use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, HeaderValue, Next, Quotable, Request, Response, Value, clock,
    configuration, internal, middleware, schema,
};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

configuration! {
    /// Lets users in by name and password (`Authorization: Basic`, RFC 7617), whose hashes alone are configured; any other request gets 401. A wrong password costs a hash: put `rate-limit` in front.
    struct Keys {
        /// The hash of each user's password, by the user's name: argon2id (`$argon2id$…`, up to 46 MiB, and 128 MiB times passes) or bcrypt (`$2y$…`, up to cost 12).
        table users: Hash,
        /// More of them, as lines of `name:hash`, which `htpasswd -B` writes: mostly `{ file = "htpasswd" }`.
        optional htpasswd: String,
        /// The field that names the user to later stages.
        default("x-consumer") consumer_header: HeaderName,
        /// Whether name and password go on to later stages.
        default(false) forward: bool,
        /// How long an instance takes a password that was right without another hash; at most 1 hour, and `"0s"` for never.
        default("5m") remember: Duration,
        /// The realm in the challenge.
        default("restricted") realm: Quotable,
    }
}

struct Options {
    users: BTreeMap<String, Hash>,
    /// Says which user's hash is worked on for a name that nobody has. As secret as the hashes are.
    pepper: [u8; 32],
    /// The blocks of memory that the users' hashes work in.
    blocks: usize,
    consumer: HeaderName,
    forward: bool,
    remember: Duration,
    challenge: String,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let own = Keys::from_config(config)?;
        let mut users = BTreeMap::new();
        // A user who is refused is reported as that alone.
        let mut given = config.has_errors() || !own.users.is_empty();
        for (name, hash) in own.users {
            let key = format!("users.{name}");
            add(config, &mut users, &key, "", &name, hash);
        }
        for (number, line) in own.htpasswd.as_deref().unwrap_or_default().lines().enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            given = true;
            let place = format!("in line {} ", number + 1);
            match line.split_once(':').map(|(name, hash)| (name, Hash::parse(hash))) {
                None => config.reject("htpasswd", &format!("{place}has no `name:hash`")),
                Some((_, Err(reason))) => config.reject("htpasswd", &format!("{place}{reason}")),
                Some((name, Ok(hash))) => add(config, &mut users, "htpasswd", &place, name, hash),
            }
        }
        if users.is_empty() && !given {
            config.reject("users", "is missing or empty, and so is `htpasswd`: nobody could come in");
        }
        if own.remember > Duration::from_secs(3600) {
            config.reject("remember", "is longer than 1 hour");
        }
        let consumer = own.consumer_header;
        if consumer.is_of_the_connection() || consumer.as_str() == "authorization" {
            config.reject("consumer-header", "belongs to the connection, or is where the password is");
        }
        let pepper = users.values().fold(Sha256::new(), |all, hash| all.chain_update(hash.output()));
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", own.realm.as_str());
        let pepper = pepper.finalize().into();
        let blocks = users.values().map(Hash::blocks).max().unwrap_or(0);
        let (forward, remember) = (own.forward, own.remember);
        Some(Self { users, pepper, blocks, consumer, forward, remember, challenge })
    }
}

/// Notes a user, or what is wrong with the name, which stands at `place` of `key`.
fn add(
    config: &mut Config,
    users: &mut BTreeMap<String, Hash>,
    key: &str,
    place: &str,
    name: &str,
    hash: Hash,
) {
    // A field's value loses the spaces around it: later stages would take one user for another.
    let is_value = HeaderValue::parse(name).is_ok_and(|value| value.as_str() == name);
    if name.is_empty() || name.contains(':') || !is_value || name.contains(char::is_control) {
        config.reject(key, &format!("{place}has a name that no user can have"));
    } else if users.insert(name.into(), hash).is_some() {
        config.reject(key, &format!("{place}has a user who is there already"));
    }
}

thread_local! {
    /// The password of each user that was right in this instance, and until when; not the password itself. An instance
    /// has one configuration, and there are no more of them than users.
    static REMEMBERED: RefCell<BTreeMap<String, ([u8; 32], Duration)>> = const { RefCell::new(BTreeMap::new()) };
}

impl Options {
    /// Whether the credentials are a user's.
    fn are_known(&self, credentials: &Credentials, now: Duration) -> Result<bool, NoMemory> {
        let Credentials { name, password } = credentials;
        let Some(hash) = self.users.get(name) else {
            self.stand_in(name).is_of(password.as_bytes(), self.blocks)?;
            return Ok(false);
        };
        let mark = mark(hash.output(), password);
        let known = REMEMBERED.with_borrow(|remembered| remembered.get(name).copied());
        // A clock that was set back makes nothing last longer.
        if let Some((known, until)) = known
            && now < until
            && until <= now + self.remember
            && linkspan_sdk::secret::equal(&mark, &known)
        {
            return Ok(true);
        }
        let right = hash.is_of(password.as_bytes(), self.blocks)?;
        if right && !self.remember.is_zero() {
            let until = now + self.remember;
            REMEMBERED.with_borrow_mut(|remembered| remembered.insert(name.clone(), (mark, until)));
        }
        Ok(right)
    }

    /// The hash that is worked on for a name that nobody has: always the same one of the users', in every instance.
    fn stand_in(&self, name: &str) -> &Hash {
        let number: [u8; 8] = mark(&self.pepper, name)[..8].try_into().unwrap_or_default();
        let number = u64::from_le_bytes(number) % self.users.len().max(1) as u64;
        // There is one user at least: the configuration is wrong otherwise.
        self.users.values().nth(number as usize).expect("one of the users")
    }

    fn refuse(&self, title: &str) -> Response {
        Response::problem(401, title).with_header("www-authenticate", &self.challenge)
    }
}

fn mark(key: &[u8], text: &str) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text));
    mac.map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
}

fn handle(options: &'static Options, mut request: Request, next: Next) -> Result<Response, Error> {
    let credentials = match offered(&request.header_values("authorization")) {
        Ok(credentials) => credentials,
        Err(Fault::None) => return Ok(options.refuse("A name and a password are required")),
        Err(Fault::Malformed) => return Ok(options.refuse("The name and the password are malformed")),
        Err(Fault::Many) => return Ok(options.refuse("More than one name and password were sent")),
    };
    match options.are_known(&credentials, clock::now()) {
        Ok(true) => {}
        Ok(false) => return Ok(options.refuse("The name or the password is not valid")),
        Err(NoMemory) => return Err(internal("a hash needs more memory: raise the stage's `limits.memory`")),
    }
    let headers = request.headers_mut();
    headers.set(options.consumer.as_str(), &credentials.name);
    if !options.forward {
        headers.remove("authorization");
    }
    next.call(request)
}
middleware!(handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret`, by libxcrypt.
    const SECRET: &str = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";
    /// `rasmuslerdorf`, by PHP.
    const RASMUS: &str = "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq";

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    fn credentials(name: &str, password: &str) -> Credentials {
        Credentials { name: name.into(), password: password.into() }
    }

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn users_come_in_by_their_own_password() {
        let lines = format!("# people\n\nbob.smith:{RASMUS}\r\n");
        let options = read(&[("users.alice", SECRET), ("htpasswd", &lines)]).expect("good");
        for (name, password, expected) in [
            ("alice", "secret", true),
            ("bob.smith", "rasmuslerdorf", true),
            ("alice", "rasmuslerdorf", false),
            ("bob.smith", "secret", false),
            ("Alice", "secret", false),
            ("alice ", "secret", false),
            ("", "secret", false),
            ("alice", "", false),
            ("mallory", "secret", false),
            ("mallory", "rasmuslerdorf", false),
        ] {
            // The second time, it may be remembered.
            for _ in 0..2 {
                assert_eq!(
                    options.are_known(&credentials(name, password), NOW),
                    Ok(expected),
                    "{name} {password}"
                );
            }
        }
    }

    #[test]
    fn a_password_is_remembered_for_a_time() {
        let remembered = |name: &str| REMEMBERED.with_borrow(|remembered| remembered.get(name).copied());
        let options = read(&[("users.carol", SECRET), ("remember", "10s")]).expect("good");
        assert_eq!(options.are_known(&credentials("carol", "wrong"), NOW), Ok(false));
        assert_eq!(options.are_known(&credentials("nobody", "secret"), NOW), Ok(false));
        assert_eq!((remembered("carol"), remembered("nobody")), (None, None));
        assert_eq!(options.are_known(&credentials("carol", "secret"), NOW), Ok(true));
        let (mark, until) = remembered("carol").expect("remembered");
        assert_eq!(until, NOW + Duration::from_secs(10));
        // What is in the memory is what counts, as long as it holds.
        let other = super::mark(options.users["carol"].output(), "other");
        for (until, now, expected) in [
            (until, NOW, true),
            (until, NOW + Duration::from_secs(9), true),
            (until, NOW + Duration::from_secs(10), false),
            // The clock was set back.
            (until, Duration::from_secs(1), false),
        ] {
            REMEMBERED.with_borrow_mut(|remembered| remembered.insert("carol".into(), (other, until)));
            assert_eq!(options.are_known(&credentials("carol", "other"), now), Ok(expected), "{now:?}");
        }
        REMEMBERED.with_borrow_mut(|remembered| remembered.insert("carol".into(), (mark, until)));
        assert_eq!(options.are_known(&credentials("carol", "other"), NOW), Ok(false));
        let never = read(&[("users.dave", SECRET), ("remember", "0s")]).expect("good");
        assert_eq!(never.are_known(&credentials("dave", "secret"), NOW), Ok(true));
        assert_eq!(remembered("dave"), None);
    }

    /// A name that nobody has costs what one of the users' does, and always the same.
    #[test]
    fn a_stand_in_stays_the_same() {
        let entries = [("users.a", SECRET), ("users.b", RASMUS)];
        let (one, other) = (read(&entries).expect("good"), read(&entries).expect("good"));
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..32 {
            let name = format!("nobody{number}");
            assert_eq!(one.stand_in(&name).output(), other.stand_in(&name).output());
            seen.insert(one.stand_in(&name).output().to_vec());
        }
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn mistakes_are_named() {
        let good = ("users.alice", SECRET);
        let twice = format!("alice:{SECRET}");
        let spaced = format!("a:{SECRET}\n b\u{a0}:{SECRET}\n:{SECRET}\n");
        let costly = SECRET.replace("$05$", "$13$");
        for (entries, start) in [
            (&[][..], "`users` is missing"),
            (&[("htpasswd", "# nobody\n")], "`users` is missing"),
            (&[("users.alice", "secret")], "`users.alice` is not the hash of a password"),
            (&[("users.alice", &costly)], "`users.alice` takes too long: the cost of bcrypt may be 12"),
            (&[("users.a:b", SECRET)], "`users.a:b` has a name that no user can have"),
            (&[("users. a", SECRET)], "`users. a` has a name"),
            (&[("users.a\n", SECRET)], "`users.a\n` has a name"),
            (&[("htpasswd", "alice")], "`htpasswd` in line 1 has no `name:hash`"),
            (&[("htpasswd", "\nalice:$apr1$x$y")], "`htpasswd` in line 2 is not the hash of a password"),
            (&[good, ("htpasswd", &twice)], "`htpasswd` in line 1 has a user who is there already"),
            (&[("htpasswd", &spaced)], "`htpasswd` in line 3 has a name"),
            (&[good, ("remember", "61m")], "`remember` is longer than 1 hour"),
            (&[good, ("consumer-header", "authorization")], "`consumer-header` belongs"),
            (&[good, ("consumer-header", "host")], "`consumer-header` belongs"),
            (&[good, ("realm", "a\"b")], "`realm` holds"),
        ] {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error} for {start}");
        }
    }
}
