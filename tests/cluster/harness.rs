//! How a test of the cluster runs: one control plane for all, a namespace for each.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use libtest_mimic::{Failed, Trial};
use playback_grant_testbed::{ControlPlane, Stopwatch};
use tokio::runtime::Handle;

/// What a test is given: the control plane that all tests share, and a namespace of its own.
#[derive(Clone)]
pub struct Scene {
    /// The control plane.
    pub plane: Arc<ControlPlane>,
    /// A client that may do everything.
    pub admin: Client,
    /// A namespace that no other test uses.
    pub namespace: String,
}

type Body = Box<dyn FnOnce(Scene) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>> + Send>;

/// A test that needs the cluster.
pub struct ClusterTest {
    name: &'static str,
    body: Body,
}

/// A test of the name `module::what_it_shows`. It fails by an error or a panic.
pub fn test<F, R>(name: &'static str, body: F) -> ClusterTest
where
    F: FnOnce(Scene) -> R + Send + 'static,
    R: Future<Output = anyhow::Result<()>> + 'static,
{
    ClusterTest { name, body: Box::new(move |scene| Box::pin(body(scene))) }
}

/// What the tests of one run share.
#[derive(Clone)]
pub struct Run {
    /// Where the tests' futures run.
    pub runtime: Handle,
    /// Filled before the first test starts.
    pub plane: Arc<Mutex<Option<Arc<ControlPlane>>>>,
    /// How long each test took.
    pub times: Arc<Mutex<Vec<(&'static str, Duration)>>>,
}

/// A test that hangs fails after this; none takes a tenth of it.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

impl Run {
    /// The test as libtest-mimic runs it.
    pub fn trial(&self, test: ClusterTest) -> Trial {
        let ClusterTest { name, body } = test;
        let run = self.clone();
        Trial::test(name, move || {
            let stopwatch = Stopwatch::start();
            let outcome = run.runtime.block_on(async {
                let plane = locked(&run.plane).clone().context("the control plane isn't running")?;
                let namespace = plane.create_namespace("test").await?;
                let scene = Scene { admin: plane.admin(), plane, namespace };
                // On the trial's own thread: a panic ends the test, and only the test.
                tokio::time::timeout(GIVE_UP_AFTER, body(scene))
                    .await
                    .with_context(|| format!("it doesn't come to an end within {GIVE_UP_AFTER:?}"))?
            });
            locked(&run.times).push((name, stopwatch.elapsed()));
            outcome.map_err(|error: anyhow::Error| Failed::from(format!("{error:#}")))
        })
    }
}

/// What `mutex` guards, also after a test panicked while it held it.
pub fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file of this project.
pub fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
