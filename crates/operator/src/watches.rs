//! How objects are watched: for how long at a time, and after which pause again.

use futures::{Stream, StreamExt};
use kube::{
    Api, Resource,
    runtime::watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, time::Duration};

/// Small pages: what isn't kept of them is garbage for a moment, and the more of it the larger they are.
const PAGE: u32 = 250;
/// In seconds. A watch that has stopped without a word is noticed no sooner than it should have ended.
const LASTS: u32 = 50;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Settings of every watch.
pub fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE).timeout(LASTS)
}

/// Before a watch that has failed is tried again, doubled with each failure in a row: an API server that was away for seconds
/// is not left alone for longer than that.
pub struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(SHORTEST_PAUSE)
    }
}

impl Pause {
    pub async fn rest(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// The object of this name, whenever it changes; None if it does not exist.
pub fn of_one<T>(api: Api<T>, name: &str) -> impl Stream<Item = watcher::Result<Option<T>>> + Send + use<T>
where
    T: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut listed = false;
    watcher(api, config().fields(&format!("metadata.name={name}"))).filter_map(move |event| {
        let news = match event {
            Ok(Event::Init) => {
                listed = false;
                None
            }
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                listed = true;
                Some(Ok(Some(object)))
            }
            Ok(Event::InitDone) => (!listed).then_some(Ok(None)),
            Ok(Event::Delete(_)) => Some(Ok(None)),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(news)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::batch::v1::Job;
    use kube::{Client, client::Body};
    use serde_json::json;
    use std::{convert::Infallible, pin::pin};
    use tokio::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn a_watch_of_one_object_lasts_no_longer_than_any() {
        let (asked, mut uris) = mpsc::unbounded_channel();
        let answers = tower::service_fn(move |request: http::Request<Body>| {
            asked.send(request.uri().to_string()).unwrap();
            let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let list = json!({"apiVersion": "batch/v1", "kind": "JobList", "metadata": {"resourceVersion": "7"}, "items": []});
            async move {
                if watch {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(http::Response::new(Body::from(list.to_string().into_bytes())))
            }
        });
        let jobs: Api<Job> = Api::namespaced(Client::new(answers, "a"), "a");
        let mut seen = pin!(of_one(jobs, "smoke"));
        assert!(matches!(seen.next().await, Some(Ok(None))), "there is none of that name");
        assert!(tokio::time::timeout(Duration::from_secs(1), seen.next()).await.is_err(), "and nothing changes");
        let _list = uris.recv().await.unwrap();
        let watch = uris.recv().await.unwrap();
        assert!(watch.contains("metadata.name%3Dsmoke") && watch.contains("timeoutSeconds=50"), "{watch}");
    }
}
