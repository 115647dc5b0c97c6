//! Posting Events.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::chain;

const DEADLINE: Duration = Duration::from_secs(10);

/// The outcome for an Event.
#[derive(Debug)]
pub enum Posted {
    /// It is there now.
    Yes,
    /// It was there already: an earlier process or another leader has posted it.
    Before,
    /// The API server will never take it: its namespace goes, or we lack the right.
    Refused(String),
    /// The API server may take it later.
    Later(String),
}

/// Posts an Event, once.
pub async fn post(client: &Client, event: &Event) -> Posted {
    let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    match tokio::time::timeout(DEADLINE, api.create(&PostParams::default(), event)).await {
        Ok(Ok(_)) => Posted::Yes,
        Ok(Err(kube::Error::Api(status))) => match status.code {
            409 => Posted::Before,
            400..=499 if status.code != 429 => Posted::Refused(status.message.clone()),
            _ => Posted::Later(status.message.clone()),
        },
        Ok(Err(error)) => Posted::Later(chain(&error)),
        Err(_) => Posted::Later(format!("no answer within {DEADLINE:?}")),
    }
}
