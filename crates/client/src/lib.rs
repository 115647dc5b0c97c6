//! What programs need to talk to Kubernetes' API server: where it is, how long a watch that fails waits, and what is said of
//! a server that is away.
//!
//! Decides nothing about objects; what is watched and written is each program's business.

pub mod away;
mod pauses;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use away::{Away, GRACE, chain};
pub use pauses::{Pauses, backoff};

/// How long a connection may take.
pub const CONNECT: Duration = Duration::from_secs(5);

/// Where the API server is and who we are there: by a kubeconfig file, or by the pod's service account.
///
/// # Errors
/// A file that can't be read or used; without one, that this is no pod with a service account.
pub async fn config(kubeconfig: Option<&Path>) -> Result<Config> {
    let mut config = match kubeconfig.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("reading --kubeconfig={}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("using --kubeconfig={}", path.display()))?
        }
        None => Config::incluster()
            .context("no --kubeconfig is given, and this is no pod with a service account")?,
    };
    config.connect_timeout = Some(CONNECT);
    Ok(config)
}
