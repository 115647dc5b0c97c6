//! The parts that all programs with a connection to Kubernetes' API server share: start and stop, flags, log lines, the server's
//! address, watches, Events, and reports of an outage.
//!
//! Decides nothing about objects: each program chooses those that it watches and writes.

pub mod away;
mod databases;
pub mod flags;
mod logs;
mod pauses;
mod post;
mod request;
pub mod start;
mod watch;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use away::{ApiServer, Away, GRACE, chain};
pub use databases::Databases;
pub use logs::LogFormat;
pub use post::{Posted, post};
pub use request::{is_conflict, is_missing, within};
pub use watch::{Obstacle, follow, obstacle, watch};

/// How long a connection may take.
pub const CONNECT: Duration = Duration::from_secs(5);

/// The API server's address and our identity there: by a kubeconfig file, or by the pod's service account.
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
