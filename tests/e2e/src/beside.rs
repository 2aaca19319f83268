//! A candidate beside the active side, with the same load on both, on a real node.

use crate::{
    Rollout, Seen, Space,
    manifest::probed,
    merged, shop,
    traffic::{Connections, Load, control},
};
use bluegreen_api::{Compared, Gate, Phase};
use bluegreen_cluster::Cluster;
use serde_json::{Value, json};

/// Requests a second to each side.
pub const RATE: u32 = 20;

/// The cluster that the tests run on.
pub fn cluster() -> Cluster {
    Cluster::attach(&std::env::var("BLUEGREEN_CLUSTER").unwrap()).unwrap()
}

/// One pod a side; forty readings that don't condemn it make a pass. Not one in a thousand healthy versions is condemned, so that the
/// tests don't fail by chance.
pub fn manifest() -> Value {
    let counter = |code: &str| format!(r#"sum(http_requests_total{{namespace="{{{{ namespace }}}}",pod=~"{{{{ pods }}}}"{code}}})"#);
    let comparison = json!({
        "errors": format!("{} or 0 * {}", counter(r#",code=~"5..""#), counter(r#",code!="""#)),
        "requests": counter(""),
        "falseAlarms": "0.1%",
    });
    let spec = json!({
        "replicas": 1,
        "template": probed(),
        "verification": {"metrics": [
            {"name": "errors", "comparison": comparison, "interval": "1s", "count": 40, "errorLimit": 3, "noDataLimit": 1000},
        ]},
        "scaleDown": {"drain": "1s", "after": "1s", "afterAbort": "1s"},
        "sources": {"prometheus": {"address": cluster().prometheus().unwrap()}},
    });
    merged(shop(), &spec)
}

/// The gate that compares.
pub fn gate(seen: &Seen) -> Option<&Gate> {
    seen.status.gates.iter().find(|gate| gate.name == "verification/errors")
}

/// The counts that it has compared so far.
pub fn compared(seen: &Seen) -> Option<&Compared> {
    gate(seen)?.measured.as_ref()?.compared.as_ref()
}

/// Lets so large a share of the requests to a revision fail.
pub async fn fail(space: &Space, revision: &str, share: &str) {
    tell(space, revision, &format!("error_rate={share}")).await;
}

/// Changes how the pods of a revision behave (`tests/app/shop` lists the settings).
pub async fn tell(space: &Space, revision: &str, settings: &str) {
    let pods = space.pods(&[("bluegreen.dev/revision", revision)]);
    assert!(!pods.is_empty(), "revision {revision} has no pods");
    for pod in pods {
        control(&format!("{}:8080", pod["status"]["podIP"].as_str().unwrap()), settings).await;
    }
}

/// 1.0.0 serves, and one request in fifty fails; then 2.0.0 is there, with as much load.
pub async fn candidate_beside<'s>(space: &'s Space, manifest: &Value) -> (Rollout<'s>, Seen, [Load; 2]) {
    let rollout = space.rollout(manifest).await;
    let seen = rollout.until_healthy("1.0.0").await;
    fail(space, &seen.active().revision, "0.02").await;
    let users = Load::on(space, "shop", RATE, Connections::New).await;
    rollout.version("2.0.0").await;
    let seen = rollout.until("the candidate is compared", |seen| seen.is(Phase::Verifying) && gate(seen).is_some()).await;
    let test = Load::on(space, "shop-preview", RATE, Connections::New).await;
    (rollout, seen, [users, test])
}

/// The same rollout without what it compares.
pub fn plain() -> Value {
    let mut plain = manifest();
    plain["spec"].as_object_mut().unwrap().remove("verification");
    plain
}
