//! The project's tasks: `cargo xtask components|demo|test|bench`.
//!
//! Each task says what it does while it does it, ends at the first failure with an exit code other than 0, and skips
//! steps that are already done.

mod command;
mod demo;
mod guests;
mod progress;
mod project;
mod python;
mod toolchain;

use anyhow::{Result, bail};
use command::{cargo, execute, step};
use project::Project;
use std::env;
use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask <task>

  components    build the guest components into components/dist
  demo          build everything and serve pipelines/edge.toml, with requests to try
  test [...]    run all tests; arguments go to the gateway's `cargo test`
  bench [hops]  measure hops: arguments go to `linkspan bench hops`
  bench compare compare with other servers: arguments go to `linkspan-bench compare`
  bench micro   measure what a hop is made of: arguments go to `linkspan bench micro`
  bench paired  measure what a change costs: arguments go to `linkspan-bench paired`
  bench scale   measure against the number of things: arguments go to `linkspan-bench scale`
  bench swap    swap configurations under load: arguments go to `linkspan-bench swap`
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = env::args().skip(1);
    let task = args.next();
    let rest: Vec<String> = args.collect();
    let project = Project::find()?;
    match task.as_deref() {
        Some("components") => guests::build(&project),
        Some("demo") => {
            guests::build(&project)?;
            demo::run(&project)
        }
        Some("test") => test(&project, &rest),
        Some("bench") => bench(&project, &rest),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("there is no task `{other}`\n\n{HELP}"),
        None => bail!("which task?\n\n{HELP}"),
    }
}

fn bench(project: &Project, rest: &[String]) -> Result<()> {
    guests::build(project)?;
    // The measured build is the one that is shipped.
    let gateway = project.build_gateway("dist")?;
    let (name, rest) = match rest.split_first() {
        Some((name, rest))
            if ["compare", "hops", "micro", "paired", "scale", "swap"].contains(&name.as_str()) =>
        {
            (name.as_str(), rest)
        }
        _ => ("hops", rest),
    };
    // `cargo xtask bench swap -- --swaps 500` reads as other tasks of cargo do.
    let rest = rest.strip_prefix(&["--".to_owned()]).unwrap_or(rest);
    if name == "hops" || name == "micro" {
        return execute(Command::new(gateway).args(["bench", name]).args(rest));
    }
    step("building the load generator");
    let mut command = cargo();
    command.args(["build", "--release", "--workspace", "--bin", "linkspan-bench"]).current_dir(&project.root);
    execute(&mut command)?;
    let mut command = Command::new(project.target.join("release/linkspan-bench"));
    command.arg(name).arg("--binary").arg(gateway).current_dir(&project.root);
    command.arg("--components").arg(project.root.join("components/dist"));
    if ["compare", "paired", "scale"].contains(&name) {
        command.arg("--peers").arg(project.target.join("peers"));
    }
    execute(command.args(rest))
}

fn test(project: &Project, rest: &[String]) -> Result<()> {
    guests::build(project)?;
    step("testing the guests' own code");
    let guests = project.root.join("components");
    let mut command = cargo();
    command
        .args(["test", "--quiet", "--workspace"])
        .current_dir(&guests)
        .env("CARGO_TARGET_DIR", project.target.join("guests/native"));
    execute(&mut command)?;
    // Only the build of what is run next.
    let ours = rest.iter().take_while(|argument| *argument != "--").cloned();
    let arguments = ["test", "--release", "--workspace"].map(String::from);
    let build: Vec<String> = arguments.iter().cloned().chain(ours).chain(["--no-run".to_owned()]).collect();
    progress::build("building the gateway and its tests", &project.root, &build)?;
    step("testing the gateway");
    let mut command = cargo();
    command.args(arguments).args(rest).current_dir(&project.root);
    if env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        command.env(THREADS, (TESTS_A_CORE * cores).to_string());
    }
    execute(&mut command)
}

/// The variable for the number of tests at once.
const THREADS: &str = "RUST_TEST_THREADS";

/// Tests that run at once for each core. Most tests mostly wait: for a deadline, for a client that is slow on purpose,
/// for a gateway to start.
const TESTS_A_CORE: usize = 5;
