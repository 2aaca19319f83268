//! The Warning events of one pod: what its status doesn't tell, such as the Secret that can't be mounted.

use super::job::in_time;
use crate::{clock, kinds::shortened};
use bluegreen_engine::observed::PodWarning;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};

/// Events of the same kind are one that counts: more kinds than this has no pod that gets anywhere.
const MOST: u32 = 20;

#[derive(Clone)]
pub struct PodEvents {
    client: Client,
}

impl PodEvents {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub async fn read(&self, namespace: &str, pod: &str) -> Result<Vec<PodWarning>, String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let of_pod = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning");
        let found = in_time(events.list(&ListParams::default().fields(&of_pod).limit(MOST))).await?;
        Ok(found.items.into_iter().map(warning).collect())
    }
}

fn warning(event: Event) -> PodWarning {
    let at = event.series.and_then(|series| series.last_observed_time).map(|at| at.0);
    let at = at.or(event.last_timestamp.map(|at| at.0)).or(event.event_time.map(|at| at.0));
    PodWarning {
        reason: event.reason.unwrap_or_default(),
        message: shortened(event.message.unwrap_or_default().lines().next().unwrap_or_default()),
        container: event.involved_object.field_path.as_deref().and_then(container).map(str::to_owned),
        at: at.unwrap_or_else(clock::now),
    }
}

/// Of `spec.containers{shop}` or `spec.initContainers{migrate}`.
fn container(path: &str) -> Option<&str> {
    path.strip_prefix("spec.")?.split_once('{')?.1.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_warning_is_taken_from_either_form_of_an_event() {
        let old = json!({
            "metadata": {}, "reason": "Unhealthy", "message": "Readiness probe failed: HTTP probe failed with statuscode: 503\nbody",
            "involvedObject": {"kind": "Pod", "name": "shop-1", "fieldPath": "spec.containers{shop}"},
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:09Z",
        });
        let read = |event: serde_json::Value| warning(serde_json::from_value(event).unwrap());
        let warned = read(old);
        assert_eq!(warned.message, "Readiness probe failed: HTTP probe failed with statuscode: 503");
        assert_eq!((warned.reason.as_str(), warned.container.as_deref()), ("Unhealthy", Some("shop")));
        assert_eq!(warned.at, "2026-01-01T00:00:09Z".parse().unwrap());

        let new = json!({
            "metadata": {}, "reason": "FailedMount", "message": "no", "involvedObject": {"kind": "Pod", "name": "shop-1"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "series": {"count": 3, "lastObservedTime": "2026-01-01T00:00:07.000000Z"},
        });
        let warned = read(new);
        assert_eq!((warned.container, warned.at), (None, "2026-01-01T00:00:07Z".parse().unwrap()));
        assert_eq!(container("spec.initContainers{migrate}"), Some("migrate"));
        assert_eq!(container("spec"), None);
    }
}
