//! Tests against a real API server: one control plane for the whole run, a namespace for each test.
//!
//! A module of tests has a function `tests` that lists them; see `smoke.rs` for the pattern.

mod access;
mod admitted;
mod clocks;
mod corrupting_proxy;
mod credentials;
mod door;
mod events;
mod fights;
mod harness;
mod in_process;
mod leaks;
mod log_page;
mod logs;
mod malformed;
mod metrics;
mod names;
mod observe;
mod order;
mod program;
mod quiet;
mod reasons;
mod refusals;
mod restart;
mod secrecy;
mod secret;
mod smoke;
mod spec;
mod stage;
mod tokens;
mod two;
mod watches;
mod webhooks;
mod whose;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Trial};
use playback_grant_testbed::{ControlPlane, Stopwatch};
use tokio::runtime::Runtime;

use harness::{ClusterTest, Run, in_project, locked};

/// Every test of the cluster.
fn tests() -> Vec<ClusterTest> {
    let modules = [
        // The longest first.
        quiet::tests(),
        two::tests(),
        fights::tests(),
        in_process::tests(),
        order::tests(),
        watches::tests(),
        reasons::tests(),
        access::tests(),
        admitted::tests(),
        clocks::tests(),
        credentials::tests(),
        door::tests(),
        events::tests(),
        logs::tests(),
        metrics::tests(),
        malformed::tests(),
        names::tests(),
        program::tests(),
        refusals::tests(),
        restart::tests(),
        secrecy::tests(),
        secret::tests(),
        smoke::tests(),
        spec::tests(),
        tokens::tests(),
        webhooks::tests(),
        whose::tests(),
    ];
    modules.into_iter().flatten().collect()
}

/// The tests wait for the cluster far more than they compute.
const TESTS_AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_ONCE);
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: the tests of the cluster did not run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let runtime = Runtime::new().context("starting the asynchronous runtime")?;
    let run = Run { runtime: runtime.handle().clone(), plane: Arc::default(), times: Arc::new(Mutex::default()) };
    let trials: Vec<Trial> = tests().into_iter().map(|test| run.trial(test)).collect();
    let needed = !arguments.list && trials.iter().any(|trial| !arguments.is_filtered_out(trial));
    if needed {
        let stopwatch = Stopwatch::start();
        let plane = runtime.block_on(start())?;
        eprintln!("control plane ready in {:.1} s: {}", stopwatch.elapsed().as_secs_f64(), plane.folder().display());
        *locked(&run.plane) = Some(Arc::new(plane));
    }
    let conclusion = libtest_mimic::run(arguments, trials);
    for (name, time) in locked(&run.times).drain(..) {
        eprintln!("{:7.1} s  {name}", time.as_secs_f64());
    }
    let plane = locked(&run.plane).take();
    let (mut leaks, mut page) = (Ok(()), Ok(()));
    if let Some(plane) = plane {
        // A single test may have left too little to be searched; it has searched what it left by itself, if it is one of those.
        if arguments.filter.is_none() {
            leaks = runtime.block_on(leaks::search_everything(&plane)).map(|searched| eprintln!("{searched}"));
            page = log_page::is_true_of(plane.folder()).map(|read| eprintln!("{read}"));
        }
        runtime.block_on(stop(plane, conclusion.has_failed() || leaks.is_err() || page.is_err()))?;
    }
    leaks?;
    page?;
    Ok(conclusion.exit_code())
}

/// A control plane with everything of the project that is installed in a cluster.
async fn start() -> Result<ControlPlane> {
    let mut plane = ControlPlane::start().await?;
    malformed::store(&plane).await?;
    install(&plane).await?;
    plane.start_controller_manager().await?;
    Ok(plane)
}

/// Installs what is shipped: the definition, the account, the rights, and the admission policy that fences them.
async fn install(plane: &ControlPlane) -> Result<()> {
    let base = ["account.yaml", "cluster-role.yaml", "user-roles.yaml", "admission-policy.yaml"];
    let mut shipped = vec![in_project("crds/playbackgrantrequests.yaml")];
    shipped.extend(base.map(|file| in_project("deploy/manifests/base").join(file)));
    plane.install(&shipped.iter().map(PathBuf::as_path).collect::<Vec<_>>()).await?;
    door::closed(plane).await?;
    access::fence_stands(plane).await
}

async fn stop(plane: Arc<ControlPlane>, keep_folder: bool) -> Result<()> {
    plane.stop().await?;
    if let Some(plane) = Arc::into_inner(plane)
        && keep_folder
    {
        eprintln!("the logs are in {}", plane.keep_folder().display());
    }
    Ok(())
}
