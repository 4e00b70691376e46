use super::quota::Decision;
use super::{Quota, Store, StoreError, TakeError};
use crate::telemetry::StoreCounts;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A store of its own, in memory.
fn memory() -> Store {
    let file = "listeners = [{ address = '127.0.0.1:0' }]\nroutes = [{ pipeline = 'a' }]\n\
        stores.s = { kind = 'memory', entries = 64 }\n\
        components.c = { path = 'Cargo.toml' }\nupstreams.b = { servers = ['http://127.0.0.1:1'] }\n\
        pipelines.a = { upstream = 'b', stages = [{ component = 'c', grant = { stores = ['s', 's'] } }] }\n";
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("linkspan.toml");
    let (plan, _) = crate::plan::parse(&folder, file, &|_| None).unwrap();
    let stores = plan.pipelines[0].stages[0].grants.stores.clone().unwrap();
    assert_eq!(stores.len(), 1, "each once");
    Store::new(&stores[0], &StoreCounts::default()).unwrap()
}

#[test]
fn buckets_and_keys_have_bounds() {
    let (store, quota) = (memory(), Quota { burst: 1, interval: 1_000_000_000_000 });
    let take = |bucket: &str, key: &str| futures::executor::block_on(store.take(bucket, key, quota));
    let long = "x".repeat(257);
    for bucket in ["", "a|b", "a b", "ä", &long[..129]] {
        assert_eq!(take(bucket, "k"), Err(StoreError::InvalidBucket), "{bucket}");
    }
    assert_eq!(take("a", &long), Err(StoreError::Take(TakeError::KeyTooLong)));
    for (bucket, key) in [("a", "b"), ("a", ""), (&long[..128], &long[..256])] {
        assert!(take(bucket, key).unwrap().allowed && !take(bucket, key).unwrap().allowed, "{bucket}");
    }
    let quota = Quota { burst: 0, interval: 1 };
    let refused = futures::executor::block_on(store.take("a", "k", quota));
    assert_eq!(refused, Err(StoreError::Take(TakeError::InvalidQuota)));
}

/// A server for this test; `None`, with a line that says so, where none is installed.
struct Server(Child, SocketAddr);

impl Server {
    fn start() -> Option<Self> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = address.port().to_string();
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"])
            .arg(std::env::temp_dir());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(child) = child else {
            eprintln!("SKIPPED: there is no redis-server (Debian: apt-get install redis-server)");
            return None;
        };
        let (server, start) = (Self(child, address), Instant::now());
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "redis-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The script decides as [`Quota`] does, to the nanosecond: on requests at chosen times, with quotas that change.
#[test]
fn the_script_and_the_quota_are_alike() {
    let Some(server) = Server::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let stream = tokio::net::TcpStream::connect(server.1).await.unwrap();
        let login = redis::RedisConnectionInfo::default().set_protocol(redis::ProtocolVersion::RESP3);
        let config = redis::AsyncConnectionConfig::new();
        let (mut redis, driver) =
            redis::aio::MultiplexedConnection::new_with_config(&login, stream, config).await.unwrap();
        tokio::task::spawn_local(driver);
        // The times are this test's own. They begin long ago, so that nothing expires by the server's clock before that.
        let script = super::redis::SCRIPT.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let quotas =
            [(1, 1_000_000_000), (10, 1_000_000), (3, 333_333_333), (1_000, 7), (5, 86_400_000_000_000)];
        let (mut allowed, mut refused) = (0, 0);
        for (key, (burst, interval)) in quotas.into_iter().enumerate() {
            // Long enough ahead that a key that is kept for microseconds is kept through the test.
            let (mut now, mut arrival) = (1_800_000_000_000_000_000_u64, 0_u64);
            for _ in 0..2_000 {
                now += next(interval.max(2_000) * 2) / 1_000 * 1_000;
                // A quota that was changed is one like any other.
                let quota =
                    Quota { burst: if next(50) == 0 { u32::div_ceil(burst, 2) } else { burst }, interval };
                let (expected, after): (Decision, _) = quota.decide(arrival, now);
                arrival = after.unwrap_or(arrival);
                let ask = super::redis::Ask { key: format!("k{key}"), quota };
                let mut command = super::redis::command(None, "", &[&ask]);
                let script = script.replace("'PX', string.format('%.0f', keep)", "'PX', 3600000");
                command = replaced(&command, &script, (now / 1_000_000_000, now % 1_000_000_000 / 1_000));
                let answer = redis.send_packed_command(&command).await.unwrap().extract_error().unwrap();
                let decided = super::redis::decisions(answer, &[&ask]).unwrap()[0];
                assert_eq!(decided, expected, "{quota:?} at {now}");
                if expected.allowed { allowed += 1 } else { refused += 1 }
            }
        }
        assert!(allowed > 1_000 && refused > 1_000, "{allowed} {refused}");
    });
}

/// `command` with another script, and with a time behind its arguments.
fn replaced(command: &redis::Cmd, script: &str, (seconds, microseconds): (u64, u64)) -> redis::Cmd {
    let mut other = redis::Cmd::new();
    for (at, argument) in command.args_iter().enumerate() {
        match argument {
            redis::Arg::Simple(_) if at == 1 => other.arg(script),
            redis::Arg::Simple(bytes) => other.arg(bytes),
            _ => panic!("an argument of another kind"),
        };
    }
    other.arg(seconds).arg(microseconds);
    other
}
