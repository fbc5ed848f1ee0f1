//! A whole control plane, started and stopped as one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use kube::Client;
use tempfile::TempDir;

use crate::audit::AuditLog;
use crate::certificates::{Authority, KeyFiles};
use crate::kubeconfig::{self, Proof};
use crate::process::{Launch, ManagedProcess};
use crate::tools::tools;
use crate::{api_server, controller_manager, etcd};

/// A real etcd and kube-apiserver on loopback, with an administrator's access. It goes when it is dropped, and however its starter ends.
pub struct ControlPlane {
    // The processes come first: they are dropped, and so killed, before their folder goes.
    controller_manager: Option<ManagedProcess>,
    api_server: ManagedProcess,
    api_server_launch: Launch,
    etcd: ManagedProcess,
    etcd_url: String,
    authority: Authority,
    url: String,
    admin: Client,
    admin_kubeconfig: PathBuf,
    audit_log: PathBuf,
    tools: PathBuf,
    folder: TempDir,
}

/// Another program may take a port between its choice and its use; each attempt chooses anew.
const ATTEMPTS: usize = 5;

/// How long an API server may take until it is ready. It takes some 5 s; a busy machine may need many times that.
const READY_WITHIN: Duration = Duration::from_mins(2);

impl ControlPlane {
    /// Starts a control plane and waits until it is ready. Programs that are missing are built first, which takes minutes.
    ///
    /// # Errors
    /// When it doesn't get ready. The last lines of its logs are in the error, and the logs are kept.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with these arguments of kube-apiserver besides those that it needs.
    ///
    /// # Errors
    /// When it doesn't get ready.
    pub async fn start_with(arguments: &[&str]) -> Result<Self> {
        let tools = tools(&["etcd", "kube-apiserver", "kubectl"]).await?;
        let mut attempt = 1;
        loop {
            let folder = tempfile::Builder::new()
                .prefix("playback-grant-")
                .permissions(Permissions::from_mode(0o700))
                .tempdir()
                .context("making a folder for a control plane")?;
            match Self::start_in(folder, &tools, arguments).await {
                Err(Failure::PortTaken) if attempt < ATTEMPTS => attempt += 1,
                Err(Failure::PortTaken) => bail!("the control plane doesn't start: {ATTEMPTS} times another program took its ports"),
                Err(Failure::Other(error)) => return Err(error),
                Ok(plane) => return Ok(plane),
            }
        }
    }

    async fn start_in(folder: TempDir, tools: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let path = folder.path();
        let authority = Authority::new()?;
        let keys = KeyFiles::write(path, &authority)?;
        let (etcd, etcd_url) = etcd::start(tools, path).await?;
        let api_server::ApiServer { process, launch, url, audit_log } = api_server::start(tools, path, &etcd_url, &keys, arguments).await?;
        let admin_kubeconfig = path.join("admin.kubeconfig");
        let identity = authority.client("testbed-admin", Some("system:masters"))?;
        kubeconfig::write(&admin_kubeconfig, &url, &authority.certificate(), &Proof::Certificate(&identity), "default")?;
        let admin = kubeconfig::client(&admin_kubeconfig).await?;
        if let Err(cause) = ready(&admin, &etcd, &process).await {
            return Err(Failure::of(cause, folder, &[("etcd", &etcd), ("kube-apiserver", &process)]));
        }
        let tools = tools.to_owned();
        let controller_manager = None;
        Ok(Self {
            controller_manager,
            api_server: process,
            api_server_launch: launch,
            etcd,
            etcd_url,
            authority,
            url,
            admin,
            admin_kubeconfig,
            audit_log,
            tools,
            folder,
        })
    }

    /// Also starts kube-controller-manager, with the garbage collector and the namespace controller.
    ///
    /// It looks for resources when it starts and every 30 s: CustomResourceDefinitions are installed before it is started.
    ///
    /// # Errors
    /// When it can't be built or started.
    pub async fn start_controller_manager(&mut self) -> Result<()> {
        let tools = tools(&["kube-controller-manager"]).await?;
        self.controller_manager = Some(controller_manager::start(&tools, self.folder.path(), &self.url, &self.authority).await?);
        Ok(())
    }

    /// Kills the API server, starts it again `after` that, at the same port, and returns once `is_back` says so. It may serve some before it says
    /// that it is ready, and not yet all.
    ///
    /// # Errors
    /// When it isn't back in time.
    pub async fn restart_api_server(&mut self, after: Duration, mut is_back: impl AsyncFnMut() -> bool) -> Result<()> {
        self.api_server.kill9();
        self.api_server.wait_exited(Duration::from_secs(10)).await?;
        tokio::time::sleep(after).await;
        self.api_server = self.api_server_launch.clone().start().await?;
        let asking = async {
            while !is_back().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let back = tokio::time::timeout(READY_WITHIN, asking).await;
        back.map_err(|_| ended("kube-apiserver", &Err(anyhow!("it runs")))).with_context(|| self.api_server.last_lines(10))
    }

    /// A client that may do everything.
    #[must_use]
    pub fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// A kubeconfig that may do everything.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// The API server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority that signs the API server's, PEM.
    #[must_use]
    pub fn authority_certificate(&self) -> String {
        self.authority.certificate()
    }

    /// The folder of data, logs and kubeconfigs; it goes with the control plane.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The pinned program `name`: kubectl, for one.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools.join(name)
    }

    /// What has been asked of the API server.
    #[must_use]
    pub fn audit_log(&self) -> AuditLog {
        AuditLog::new(&self.audit_log)
    }

    /// The API server's process: to be held, let go on, or read the log of.
    #[must_use]
    pub fn api_server(&self) -> &ManagedProcess {
        &self.api_server
    }

    /// etcd's process.
    #[must_use]
    pub fn etcd(&self) -> &ManagedProcess {
        &self.etcd
    }

    /// The URL at which etcd serves clients, whoever they are.
    #[must_use]
    pub fn etcd_url(&self) -> &str {
        &self.etcd_url
    }

    /// kube-controller-manager's process, where it was asked for.
    #[must_use]
    pub fn controller_manager(&self) -> Option<&ManagedProcess> {
        self.controller_manager.as_ref()
    }

    /// Stops everything, and returns once no process and no port is left. The folder goes when this is dropped.
    ///
    /// # Errors
    /// When a process doesn't end.
    pub async fn stop(&self) -> Result<()> {
        // The data is thrown away: there is nothing to end gently.
        let processes = [self.controller_manager.as_ref(), Some(&self.api_server), Some(&self.etcd)];
        for process in processes.into_iter().flatten() {
            process.kill9();
            process.wait_exited(Duration::from_secs(10)).await?;
        }
        Ok(())
    }

    /// Leaves the folder, with the logs, where it is, and gives its path.
    #[must_use]
    pub fn keep_folder(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Why a start failed.
enum Failure {
    PortTaken,
    Other(anyhow::Error),
}

impl Failure {
    /// Tells a taken port from everything else, which is reported with the last lines of the logs.
    fn of(cause: anyhow::Error, folder: TempDir, processes: &[(&str, &ManagedProcess)]) -> Self {
        if processes.iter().any(|(_, process)| process.exit_code().is_some() && process.last_lines(50).contains("address already in use")) {
            return Self::PortTaken;
        }
        let logs: Vec<String> =
            processes.iter().map(|(name, process)| format!("--- the last lines of {name}\n{}", process.last_lines(15))).collect();
        let kept = folder.keep();
        Self::Other(cause.context(format!("the control plane doesn't start; its logs are in {}\n{}", kept.display(), logs.join("\n"))))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// Waits until the API server says that it is ready, or one of the two has ended.
async fn ready(admin: &Client, etcd: &ManagedProcess, api_server: &ManagedProcess) -> Result<()> {
    let asking = async {
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).context("a request of /readyz")?;
            let answer = tokio::time::timeout(Duration::from_secs(5), admin.request_text(request)).await;
            if let Ok(Ok(text)) = answer
                && text == "ok"
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        ready = asking => ready,
        code = etcd.wait_exited(READY_WITHIN) => Err(ended("etcd", &code)),
        code = api_server.wait_exited(READY_WITHIN) => Err(ended("kube-apiserver", &code)),
    }
}

fn ended(name: &str, code: &Result<i32>) -> anyhow::Error {
    match code {
        Ok(code) => anyhow!("{name} ended with code {code}"),
        Err(_) => anyhow!("kube-apiserver isn't ready after {READY_WITHIN:?}"),
    }
}
