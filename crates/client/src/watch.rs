//! Watches: their back-off, and the log lines for one that fails.
//!
//! Decides how a watch starts again and the meaning of its errors. Keeps no objects.

use std::fmt::Debug;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use crate::away::{ApiServer, chain};
use crate::pauses::backoff;

/// The events of a watch of objects, which starts again with pauses whenever it fails. The log reports failures: those of the
/// API server through `api_server`, which all watches of a program share, those of one kind once each.
pub fn follow<K>(api: Api<K>, config: Config, api_server: &ApiServer) -> BoxStream<'static, Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut log = Log { kind: kind::<K>(), api_server: api_server.clone(), obstacle: None };
    let events = watch(api, config).filter_map(move |item| {
        log.take(&item);
        std::future::ready(item.ok())
    });
    events.boxed()
}

/// As [`follow`], with the failures in place of log lines.
pub fn watch<K>(api: Api<K>, config: Config) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config).backoff(backoff()).boxed()
}

/// Why a watch yields nothing now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The API server doesn't know the kind.
    Unknown,
    /// It refuses to list or watch the kind; its reason.
    Forbidden(String),
    /// The stream ended: the next attempt shows whether the API server answers.
    Ended,
    /// The API server doesn't answer, or not now: too many requests, a timeout, a start.
    Away,
}

/// The meaning of a watch's error.
#[must_use]
pub fn obstacle(error: &watcher::Error) -> Obstacle {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => match status.code {
            404 => Obstacle::Unknown,
            401 | 403 => Obstacle::Forbidden(status.message.clone()),
            _ => Obstacle::Away,
        },
        watcher::Error::WatchFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::NoResourceVersion => Obstacle::Ended,
        _ => Obstacle::Away,
    }
}

/// `subnets.kubeovn.io`, `pods`.
fn kind<K: Resource<DynamicType = ()>>() -> String {
    match (K::plural(&()), K::group(&())) {
        (plural, group) if group.is_empty() => plural.into_owned(),
        (plural, group) => format!("{plural}.{group}"),
    }
}

/// One watch's state in the log.
struct Log {
    kind: String,
    api_server: ApiServer,
    /// Only one that is about the kind.
    obstacle: Option<Obstacle>,
}

impl Log {
    fn take<K>(&mut self, item: &watcher::Result<Event<K>>) {
        let kind = &self.kind;
        let error = match item {
            // Announces a list: no sign that the server answers.
            Ok(Event::Init) => return debug!("listing {kind}"),
            Ok(_) => {
                self.api_server.back();
                if self.obstacle.take().is_some() {
                    info!("the watch of {kind} works now");
                }
                return;
            }
            Err(error) => error,
        };
        let obstacle = obstacle(error);
        let text = match &obstacle {
            Obstacle::Ended => {
                return debug!(error = %chain(error), "the watch of {kind} ended; starting again");
            }
            Obstacle::Away => return self.api_server.gone(&chain(error)),
            Obstacle::Unknown => {
                format!(
                    "the kind {kind} is not installed: apply the CustomResourceDefinitions; waiting for it"
                )
            }
            Obstacle::Forbidden(why) => format!(
                "not allowed to list and watch {kind}: upgrade the Helm release, or check the ClusterRole of our service \
                 account; {why}"
            ),
        };
        if self.obstacle.as_ref() != Some(&obstacle) {
            warn!("{text}");
            self.obstacle = Some(obstacle);
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> watcher::Error {
        let status = Status { code, message: "m".to_owned(), ..Status::default() };
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn obstacles_of_a_kind_are_told_from_those_of_the_server() {
        assert_eq!(obstacle(&refused(404)), Obstacle::Unknown);
        assert_eq!(obstacle(&refused(403)), Obstacle::Forbidden("m".to_owned()));
        assert_eq!(obstacle(&refused(503)), Obstacle::Away);
        assert_eq!(obstacle(&watcher::Error::NoResourceVersion), Obstacle::Ended);
    }

    #[test]
    fn an_obstacle_ends_with_an_event_that_is_an_answer() {
        let mut log = Log { kind: "pods".to_owned(), api_server: ApiServer::default(), obstacle: None };
        log.take::<()>(&Err(refused(403)));
        assert!(log.obstacle.is_some());
        log.take::<()>(&Ok(Event::Init));
        assert!(log.obstacle.is_some(), "a list was announced, not answered");
        log.take::<()>(&Ok(Event::InitDone));
        assert!(log.obstacle.is_none());
    }
}
