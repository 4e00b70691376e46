//! The long run: random programs in both forms, as many as one likes.
//!
//! A *unit* is some hundred exchanges of one chain, one after the other, on instances of their own. Many units run at once, since
//! many programs wait, each on a thread: a worker has a thread of its own. `LINKSPAN_EXCHANGES` says how many exchanges there are in all, `LINKSPAN_SEED` what follows;
//! `LINKSPAN_UNIT` runs one unit alone, to see again what it has found, and prints it.

use super::both::{BUDGET, Both, Compiled, Stage, dist, fields, runtime_for, text, with_config};
use super::coverage::Coverage;
use super::end::BROKE;
use super::interpreter::{interpreter, interpreting_service, passing_interpreter};
use super::lines::keep_lines;
use super::programs::{answers_first, called, goes_on, lives_on, of_middleware, of_service, program, reads};
use super::steps::Lifted;
use crate::harness::{Seeded, scaled};
use linkspan::chain::Runtime;
use linkspan::engine::Worker;
use linkspan::plan::Form;
use linkspan::telemetry::Metrics;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Exchanges of a unit.
const UNIT: usize = 125;
/// Units that are under way for each core.
const AT_ONCE: usize = 16;
/// Exchanges of a run that must come to every outcome.
const ALL: usize = 100_000;

/// How long an answer may take: many programs wait for what never comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same where a difference was found: the machine may have been busy. What is not found again each time is a race, of a trap
/// with what was answered before it or of a task with the next request; it is printed.
const AGAIN: [Duration; 2] = [Duration::from_secs(6), Duration::from_secs(20)];

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

/// A chain, and how those of its stages are lifted that do what they are told.
type Chain = (Lifted, Vec<Stage>);

/// Chains in both links; those that are bundled with linkspan among those that do what they are told.
fn chains() -> Vec<Chain> {
    [(Lifted::Sync, middleware()), (Lifted::Service, services()), (Lifted::Passing, passing())]
        .into_iter()
        .flat_map(|(lifted, chains)| chains.into_iter().map(move |chain| (lifted, chain)))
        .collect()
}

fn apart(stage: Stage) -> Stage {
    Stage { apart: true, ..stage }
}

const KEYS: [(&str, &str); 2] = [("keys.alice", "secret"), ("keys.bob", "another")];
const ORIGINS: [(&str, &str); 2] = [("origins", "https://a.example"), ("expose", "x-a")];
/// One more comes back within an hour.
const RATE: [(&str, &str); 2] = [("rate", "1/h"), ("burst", "200")];

fn middleware() -> Vec<Vec<Stage>> {
    let (first, second) = (text(&interpreter('p')), text(&interpreter('q')));
    vec![
        vec![first.clone(), second.clone()],
        vec![dist("pass-through-sync"), first.clone()],
        vec![
            dist("security-headers"),
            first.clone(),
            with_config("cors", &ORIGINS),
            second.clone(),
            with_config("key-auth-in-place", &KEYS),
        ],
        vec![
            with_config("rate-limit-in-place", &RATE),
            first.clone(),
            dist("request-id"),
            dist("security-headers-in-place"),
            with_config("cors-in-place", &ORIGINS),
        ],
        vec![
            dist("request-id-in-place"),
            with_config("key-auth", &KEYS),
            first.clone(),
            with_config("rate-limit", &RATE),
            second.clone(),
        ],
        vec![first, apart(second)],
    ]
}

fn services() -> Vec<Vec<Stage>> {
    let (second, service) = (text(&interpreter('q')), text(&interpreting_service('p')));
    vec![
        vec![service.clone()],
        vec![dist("pass-through-sync"), service.clone()],
        vec![second.clone(), service.clone()],
        vec![second.clone(), apart(service.clone())],
        vec![
            dist("security-headers-in-place"),
            with_config("cors", &ORIGINS),
            second,
            with_config("key-auth", &KEYS),
            dist("request-id-in-place"),
            service,
        ],
    ]
}

/// None behind a stage that is lifted synchronously: what it answers before it calls the next stage is out there.
fn passing() -> Vec<Vec<Stage>> {
    let (first, second) = (text(&passing_interpreter('p')), text(&passing_interpreter('q')));
    vec![
        vec![first.clone()],
        vec![first.clone(), second.clone()],
        vec![first.clone(), text(&interpreting_service('q'))],
        vec![first.clone(), dist("hello")],
        vec![dist("pass-through-async"), first, dist("mixed-async")],
    ]
}

/// The fields of a request.
type Request = Vec<(&'static str, String)>;

/// A request with what two stages do: fields, a body, how its end answers, and how much of the answer is read: of a service's all,
/// since what it does meanwhile would not be certain.
fn request(seeded: &mut Seeded, lifted: Lifted) -> Request {
    let slow = seeded.below(4) == 0;
    let service = lifted != Lifted::Sync;
    let (first, second) = match lifted {
        Lifted::Sync => (program(seeded), program(seeded)),
        // What a stage in front of a service does would race with what that does after its answer.
        Lifted::Service => (of_service(seeded, slow), "aadaudaa".to_owned()),
        Lifted::Passing => (of_middleware(seeded, slow), called(&of_middleware(seeded, slow))),
    };
    let given = [("a", "1"), ("x-request-id", "given")].map(|(name, value)| (name, value.to_owned()));
    let mut request = vec![("p", first), ("q", second)];
    request.extend(given);
    let mut maybe = |name, values: &[&str]| {
        if let Some(value) = values.get(seeded.below(2 * values.len())) {
            request.push((name, (*value).to_owned()));
        }
    };
    maybe("x-method", &["POST", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "BREW"]);
    maybe(
        "x-end",
        &["error", "text", "dns", "size", "field", "status", "trailers", "trailers", "text", "leave"],
    );
    maybe("x-api-key", &["secret", "secret", "another", "secret", "wrong", "secret"]);
    maybe("origin", &["https://a.example", "https://b.example"]);
    if !slow {
        maybe("x-body", if service { &["at once"] } else { &["at once", "broken", "long"] });
    }
    if !service && seeded.below(12) == 0 {
        let parts = ["nothing", "a piece"];
        request.push(("x-read", parts[seeded.below(2)].to_owned()));
    }
    if slow {
        request.push(("x-body", "slow".to_owned()));
    }
    request
}

/// A run, and what it has come to.
struct Run {
    seed: u64,
    units: usize,
    chains: Vec<Chain>,
    code: Vec<[Compiled; 2]>,
    runtime: Runtime,
    next: AtomicUsize,
    coverage: Coverage,
    /// Responses, errors and traps.
    outcomes: [AtomicUsize; 3],
    /// Differences, and those that were not found again.
    differences: AtomicUsize,
    races: AtomicUsize,
    /// Each exchange is printed.
    shown: bool,
}

impl Run {
    fn new(units: usize, seed: u64, threads: usize) -> Self {
        let chains = chains();
        let stages: Vec<_> = chains.iter().map(|(_, stages)| stages.clone()).collect();
        let runtime = runtime_for(&stages, u32::try_from(16 * threads).unwrap());
        let compile = |chain: &Vec<Stage>| {
            [Form::Component, Form::Auto].map(|form| Compiled::new(&runtime, chain, form))
        };
        let code = stages.iter().map(compile).collect();
        let (next, coverage) = (AtomicUsize::new(0), Coverage::default());
        Self {
            seed,
            units,
            chains,
            code,
            runtime,
            next,
            coverage,
            outcomes: Default::default(),
            differences: AtomicUsize::new(0),
            races: AtomicUsize::new(0),
            shown: number("LINKSPAN_UNIT").is_some(),
        }
    }

    fn both(&self, worker: &Rc<Worker>, chain: usize, waiting: Duration) -> Both {
        let mut both = Both::linked((BUDGET, waiting), &self.runtime, &self.code[chain], Rc::clone(worker));
        both.races = self.chains[chain].0 != Lifted::Sync;
        both
    }

    /// Whether what goes on while the next stage works has such a stage in front.
    fn is_behind(&self, chain: usize) -> bool {
        let (lifted, stages) = &self.chains[chain];
        *lifted == Lifted::Passing && stages[0].component.path.ends_with("pass-through-async.wasm")
    }

    /// One exchange.
    ///
    /// # Errors
    /// A difference.
    async fn exchange(&self, both: &mut Both, chain: usize, request: &Request) -> Result<(), String> {
        both.reads = request[..2].iter().any(|(_, program)| reads(program));
        both.answers_first = self.is_behind(chain) && answers_first(&request[0].1);
        both.lives_on = self.is_behind(chain) && lives_on(&request[0].1);
        both.compare(&format!("{request:?}"), &fields(request)).await;
        both.differences.pop().map_or(Ok(()), Err)
    }

    /// Adds to `coverage` what the stages have counted, where so many exchanges trapped.
    ///
    /// # Errors
    /// Stages that went different ways.
    fn count(&self, coverage: &Coverage, both: &Both, chain: usize, traps: u64) -> Result<(), String> {
        // A service may be at work yet.
        let may_differ = if self.chains[chain].0 == Lifted::Sync { traps } else { u64::MAX };
        coverage.add([&both.component.limiters, &both.direct.limiters], may_differ)
    }

    /// Whether new instances differ again in these exchanges.
    async fn differ_again(&self, worker: &Rc<Worker>, chain: usize, requests: &[Request]) -> bool {
        for patience in AGAIN {
            let (mut both, mut traps, mut same) = (self.both(worker, chain, patience), 0, true);
            for request in requests {
                same &= self.exchange(&mut both, chain, request).await.is_ok();
                traps += u64::from(both.outcome == 2 || both.parted);
            }
            if same && self.count(&Coverage::default(), &both, chain, traps).is_ok() {
                return false;
            }
        }
        true
    }

    /// The exchanges of a unit, up to a difference.
    async fn unit(&self, worker: &Rc<Worker>, unit: usize) {
        let chain = unit % self.chains.len();
        let lifted = self.chains[chain].0;
        let mut seeded = Seeded(self.seed.wrapping_mul(1_000_003).wrapping_add(unit as u64));
        let mut both = self.both(worker, chain, PATIENCE);
        // What these instances have had.
        let (mut requests, mut traps) = (Vec::new(), 0);
        for number in 0..UNIT {
            requests.push(request(&mut seeded, lifted));
            let request = &requests[requests.len() - 1];
            let mut met = self.exchange(&mut both, chain, request).await;
            if self.shown {
                println!("{number}: {request:?}: {}", both.said);
            }
            self.outcomes[both.outcome].fetch_add(1, Ordering::Relaxed);
            traps += u64::from(both.outcome == 2 || both.parted);
            let has = |name: &str, value: &str| {
                request.iter().any(|it| it.0 == name && (value.is_empty() || it.1 == value))
            };
            // When the instances are free again is not certain where a client has left, nor when a body has come that nobody
            // waits for any more, nor where a guest goes on with another call: in memory that the next request has, too. And the
            // component form may have a new instance where a future is still read by a stage that has returned, and where a body
            // broke off (docs/direct.md).
            let lives = both.outcome != 2 || self.chains[chain].1.iter().any(|stage| stage.apart);
            let left = has("x-read", "")
                || has("x-end", "leave")
                || (both.reads && lives)
                || match lifted {
                    Lifted::Sync => false,
                    Lifted::Service => has("x-body", "slow") || both.said.ends_with(BROKE),
                    Lifted::Passing => {
                        has("x-body", "slow")
                            || both.said.ends_with(BROKE)
                            || request[..2].iter().any(|(_, program)| goes_on(program))
                    }
                };
            // What is done again then need not wait for that again.
            let late = both.said == "Deadline";
            let renewed = met.is_err() || left || late || both.parted || number == UNIT - 1;
            if met.is_ok() && renewed {
                met = self.count(&self.coverage, &both, chain, traps);
            }
            if let Err(difference) = met {
                let what = format!(
                    "unit {unit} of seed {}, chain {chain}, exchange {number}: {difference}",
                    self.seed
                );
                if self.differ_again(worker, chain, &requests).await {
                    println!("{what}");
                    self.differences.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                println!("not found again: {what}");
                self.races.fetch_add(1, Ordering::Relaxed);
            }
            if renewed {
                both = self.both(worker, chain, PATIENCE);
                requests.clear();
                traps = 0;
            }
        }
    }

    /// Units, one after the other.
    fn units(&self) {
        let _lines = keep_lines();
        super::both::run(async {
            // What instances have left to do is looked after when others have come.
            let worker = Worker::start(0, Metrics::new());
            loop {
                let unit = self.next.fetch_add(1, Ordering::Relaxed);
                if unit >= self.units {
                    return;
                }
                self.unit(&worker, unit).await;
            }
        });
    }
}

/// Guests that do anything in any order are met alike.
#[test]
fn random_exchanges_are_alike() {
    let exchanges = number("LINKSPAN_EXCHANGES").unwrap_or_else(|| scaled(4_000, 100_000));
    let seed = number("LINKSPAN_SEED").unwrap_or(20_261_122) as u64;
    let threads = AT_ONCE * std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8));
    let start = Instant::now();
    let run = Arc::new(Run::new(exchanges.div_ceil(UNIT), seed, threads));
    if let Some(unit) = number("LINKSPAN_UNIT") {
        let _lines = keep_lines();
        return super::both::run(async { run.unit(&Worker::start(0, Metrics::new()), unit).await });
    }
    let start_thread = |_| {
        let run = Arc::clone(&run);
        std::thread::spawn(move || run.units())
    };
    for thread in (0..threads).map(start_thread).collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    let outcomes = run.outcomes.each_ref().map(|count| count.load(Ordering::Relaxed));
    let [responses, errors, traps] = outcomes;
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!(
        "{} exchanges of seed {seed} in {minutes:.1} minutes: {responses} responses, {errors} errors, {traps} traps, \
         {} differences, {} that were not found again",
        run.units * UNIT,
        run.differences.load(Ordering::Relaxed),
        run.races.load(Ordering::Relaxed)
    );
    let table = run.coverage.table(run.units * UNIT >= ALL);
    println!("{}", table.unwrap_or_else(|missing| panic!("{missing}")));
    assert!(outcomes.iter().all(|count| *count > 100), "{outcomes:?}");
    assert_eq!(run.differences.load(Ordering::Relaxed), 0);
}
