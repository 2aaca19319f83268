//! A label of the active Service that the API server doesn't take, and a roll back.

use crate::{manifest, pods, tally::assert_none_failed, until_led_to, until_monitored, until_rolled_back};
use bluegreen_api::Color;
use bluegreen_e2e::{Space, patience, traffic::operator};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

/// Nobody may change the label `tier` of a Service of this namespace.
fn policy(namespace: &str) -> Value {
    let tier = |of: &str| format!("({of}.metadata.?labels[?'tier'].orValue(''))");
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]});
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace},
            "spec": {
                "matchConstraints": {"namespaceSelector": here, "resourceRules": [rule]},
                "validations": [{"expression": format!("{} == {}", tier("object"), tier("oldObject")), "message": "a tier is for life"}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": namespace},
            "spec": {"policyName": namespace, "validationActions": ["Deny"]},
        },
    ]})
}

/// Asks for labels that are refused in these words, rolls back, and ends with the label that stayed.
async fn roll_back_beside(space: &Space, scene: &str, labels: &Value, words: &str, forbid: Option<&Value>) {
    let spec = json!({"replicas": 3, "service": {"active": {"labels": {"tier": "front"}}}});
    let (rollout, watched, users) = until_monitored(space, &manifest(&spec)).await;
    if let Some(policy) = forbid {
        let applied = space.ground.told_of(&["apply", "-f", "-"], policy);
        assert!(applied.success, "{}", applied.error);
        let probe = ["label", "service", "shop", "tier=probe", "--overwrite", "--dry-run=server"];
        let denies = async || space.kubectl_told(&probe).await.error.contains(words).then_some(());
        patience::until("the policy takes effect", denies).await;
    }
    let standby = pods(space, Color::Blue);
    rollout.spec(&json!({"service": {"active": {"labels": labels}}})).await;
    rollout.until("says what is refused", |seen| seen.status.message.contains(words)).await;
    rollout.order("rollback", &watched.active().revision).await;
    let led = until_led_to(space, Color::Blue).await;
    assert_eq!(led["metadata"]["labels"]["tier"], "front", "the label that was refused was not written");
    until_rolled_back(space, &rollout, &users, &standby).await;
    assert_none_failed(scene, &users.end().await);
    let still = space.seen(Kind::Service, "shop").unwrap();
    assert_eq!(still["metadata"]["labels"]["tier"], "front");
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask prove night --part scenes"]
async fn a_label_that_a_policy_denies_holds_back_no_roll_back() {
    let space = Space::new("denied-label").await;
    let _operator = operator(&space);
    let policy = policy(&space.name);
    roll_back_beside(&space, "a label that a policy denies", &json!({"tier": "back"}), "a tier is for life", Some(&policy)).await;
    space.ground.run(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", &space.name]);
    space.until(Kind::Service, "shop", "has its label once nobody denies it", |shop| shop["metadata"]["labels"]["tier"] == "back").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask prove night --part scenes"]
async fn an_invalid_label_holds_back_no_roll_back() {
    let space = Space::new("invalid-label").await;
    let _operator = operator(&space);
    roll_back_beside(&space, "an invalid label", &json!({"tier": "back", "no label": "x"}), "no label", None).await;
    space.end().await;
}
