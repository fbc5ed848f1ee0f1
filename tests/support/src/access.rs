//! Namespaces of one's own, and access as a service account, by a token as a Pod has it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};

use crate::control_plane::ControlPlane;
use crate::kubeconfig::{self, Proof};

/// How many kubeconfigs have been written. Each is a file of its own: whoever reads another at that moment isn't disturbed.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

/// How long a token lives, in seconds: a demo may be left running for a day.
const TOKEN_SECONDS: i64 = 86_400;

impl ControlPlane {
    /// Makes a namespace with a name of its own that starts with `prefix`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create_namespace(&self, prefix: &str) -> Result<String> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        self.create_namespace_named(&name).await?;
        Ok(name)
    }

    /// Makes the namespace `name`.
    ///
    /// # Errors
    /// When the API server refuses it, or it is there already.
    pub async fn create_namespace_named(&self, name: &str) -> Result<()> {
        let namespace = Namespace { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, ..Namespace::default() };
        let created = Api::all(self.admin()).create(&PostParams::default(), &namespace).await;
        created.map(|_| ()).with_context(|| format!("making the namespace {name}"))
    }

    /// Makes the service account `name` in `namespace`, unless it is there.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        match Api::namespaced(self.admin(), namespace).create(&PostParams::default(), &account).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("making the service account {namespace}/{name}")),
        }
    }

    /// Writes a kubeconfig for the service account `name` of `namespace`, with a new token from the API server, and gives its path.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.service_account_kubeconfig_at(self.url(), namespace, name).await
    }

    /// The same, with the API server at `url`: through a [`Gate`](crate::Gate), for one.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn service_account_kubeconfig_at(&self, url: &str, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("asking for a token of the service account {namespace}/{name}"))?;
        let token = answer.status.with_context(|| format!("the token of {namespace}/{name} has no status"))?.token;
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let path = self.folder().join(format!("{namespace}-{name}-{number}.kubeconfig"));
        kubeconfig::write(&path, url, &self.authority_certificate(), &Proof::Token(&token), namespace)?;
        Ok(path)
    }

    /// A client that acts as the service account `name` of `namespace`.
    ///
    /// Its connections belong to the runtime that it is used on; those that it takes to be made, to this one's.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn service_account_client(&self, namespace: &str, name: &str) -> Result<Client> {
        kubeconfig::client(&self.service_account_kubeconfig(namespace, name).await?).await
    }
}

/// The name by which RBAC and the audit log know a service account.
#[must_use]
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}
