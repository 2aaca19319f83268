//! What is told in another order than it happened.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{
    Faults, World,
    fields::Writer,
    resource::{DEPLOYMENT, REVISION, SERVICE},
    run,
    server::{Request, Undisturbed},
    world::image,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

async fn healthy(world: &World) {
    let serves = |world: &World| world.phase("shop") == "Healthy" && !world.reached("shop").is_empty();
    assert!(world.until(300, serves).await, "{}", world.story());
}

async fn comes_to(world: &World, phase: &str) {
    assert!(world.until(300, |world| world.phase("shop") == phase).await, "{}", world.story());
}

/// 1.0.0 is live, and 2.0.0 waits for its approval.
async fn awaiting_approval(world: &mut World) {
    world.operator("a", Faults::default(), None);
    world.create("shop", &json!({"promotion": {"mode": "Manual"}}));
    healthy(world).await;
    world.image("shop", "2.0.0");
    comes_to(world, "AwaitingPromotion").await;
}

/// Watches of these kinds are so late, and say nothing of it.
fn slow(kinds: &'static [&'static str], seconds: u64) -> Faults {
    Faults { slow: (kinds, Duration::from_secs(seconds)), ..Faults::default() }
}

/// The owners go before the operator hears that the rollout does: taken back, everything would be deleted with it.
#[test]
fn orphans_stay_though_the_deletion_is_heard_of_last() {
    run(7, async |world| {
        world.operator("a", slow(&["bluegreenrollouts"], 5), None);
        world.create("shop", &json!({}));
        healthy(world).await;
        let before = world.get(&DEPLOYMENT, "shop-blue").unwrap()["metadata"]["uid"].clone();
        world.orphan("shop").await;
        world.pass(60).await;
        let after = world.get(&DEPLOYMENT, "shop-blue").map(|deployment| deployment["metadata"]["uid"].clone());
        assert_eq!(after, Some(before), "{}", world.story());
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}

/// The caches don't show it. The candidate is all that they show, and nobody has let it pass.
#[test]
fn a_lost_status_is_rebuilt_though_all_labels_are_lost() {
    run(7, async |world| {
        awaiting_approval(world).await;
        let unlabelled = json!({"metadata": {"labels": {"bluegreen.dev/rollout": null}}});
        world.edit(&SERVICE, "shop-preview", &json!({"metadata": {"labels": {"bluegreen.dev/rollout": null}, "ownerReferences": null}}));
        world.lose_status("shop");
        world.pass(60).await;
        world.edit(&SERVICE, "shop", &unlabelled);
        world.edit(&DEPLOYMENT, "shop-blue", &unlabelled);
        world.pass(60).await;
        world.edit(&SERVICE, "shop-preview", &json!({"metadata": {"annotations": {"bluegreen.dev/adopt": "shop"}}}));
        world.pass(60).await;
        assert_eq!((world.phase("shop").as_str(), &world.status("shop")["active"]["color"]), ("AwaitingPromotion", &json!("blue")));
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}

/// The cache still shows the Deployment as it was when it ran that revision.
#[test]
fn a_lost_revision_is_not_restored_from_another_one() {
    run(7, async |world| {
        world.operator("a", Faults::default(), None);
        world.create("shop", &json!({}));
        healthy(world).await;
        let of_active = |world: &World| world.status("shop")["active"]["revision"].as_str().unwrap().to_owned();
        let first = of_active(world);
        world.image("shop", "2.0.0");
        let second = |world: &World| world.phase("shop") == "Healthy" && of_active(world) != first;
        assert!(world.until(300, second).await, "{}", world.story());
        world.pass(60).await;
        world.set_faults(slow(&["deployments"], 600));
        world.image("shop", "3.0.0");
        world.pass(5).await;
        world.image("shop", "2.0.0");
        // What was written stands in for what is cached until then.
        world.pass(60).await;
        let runs = world.get(&DEPLOYMENT, "shop-blue").unwrap()["spec"]["template"]["metadata"]["labels"]["bluegreen.dev/revision"].clone();
        assert!(runs != first.as_str() && world.phase("shop") == "Healthy", "{}", world.story());
        world.delete(&REVISION, &format!("shop-{first}"));
        world.order("shop", "rollback", &of_active(world));
        world.pass(60).await;
        let restored = world.get(&REVISION, &format!("shop-{first}"));
        let held = |revision: &Value| revision["data"]["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        assert!(restored.is_none_or(|restored| held(&restored) == image("1.0.0")), "{}", world.story());
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}

/// Its size goes down and up again before its controller has counted: what it reports as observed is from before.
#[test]
fn pods_that_a_deployment_reports_from_before_are_not_switched_to() {
    for seed in 0..20 {
        run(seed, async |world| {
            world.operator("a", Faults::default(), None);
            world.create("shop", &json!({"replicas": 3, "promotion": {"mode": "Manual"}}));
            healthy(world).await;
            world.image("shop", "2.0.0");
            comes_to(world, "AwaitingPromotion").await;
            let candidate = world.status("shop")["preview"]["revision"].as_str().unwrap().to_owned();
            world.spec("shop", &json!({"preview": {"replicas": 1}}));
            while world.get(&DEPLOYMENT, "shop-green").unwrap()["spec"]["replicas"] != 1 {
                sleep(Duration::from_millis(1)).await;
            }
            world.order("shop", "promote", &candidate);
            let second = |world: &World| world.phase("shop") == "Healthy" && world.status("shop")["active"]["color"] == "green";
            assert!(world.until(300, second).await, "{}", world.story());
            assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
        });
    }
}

/// What it has been told is what was before the switch: by that the new version has no pods, and the former one serves.
#[test]
fn who_begins_to_lead_takes_what_was_told_long_ago_for_nothing() {
    run(7, async |world| {
        world.operator("a", Faults::default(), None);
        world.create("shop", &json!({"monitoring": {"duration": "5m"}}));
        healthy(world).await;
        world.operator("b", slow(&["services", "endpointslices", "pods"], 600), None);
        world.pass(60).await;
        world.image("shop", "2.0.0");
        comes_to(world, "Monitoring").await;
        world.seats[0].leave();
        world.pass(120).await;
        assert_eq!(world.phase("shop"), "Monitoring", "{}", world.story());
        assert_eq!(world.reached("shop"), [image("2.0.0")], "{}", world.story());
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}

/// In the cache the preview Service still leads to the candidate that was withdrawn: what is asked through it would be the live side.
#[test]
fn a_service_is_not_taken_for_its_former_self() {
    run(7, async |world| {
        awaiting_approval(world).await;
        world.pass(60).await;
        world.set_faults(slow(&["services"], 600));
        world.image("shop", "1.0.0");
        world.pass(60).await;
        world.image("shop", "2.0.0");
        comes_to(world, "AwaitingPromotion").await;
        let candidate = world.status("shop")["preview"]["revision"].clone();
        let preview = world.get(&SERVICE, "shop-preview").unwrap()["spec"]["selector"]["bluegreen.dev/revision"].clone();
        assert_eq!(preview, candidate, "{}", world.story());
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}

/// A bookmark says that all until its version was told.
#[test]
fn a_watch_tells_what_happens_in_the_very_moment_of_a_bookmark() {
    run(7, async |world| {
        let place = http::Request::get("/api/v1/namespaces/shop/services?watch=true&resourceVersion=1").body(()).unwrap().into_parts().0;
        let watch = Request::read(&place, &[]).unwrap();
        let mut events = world.server.answer(&watch, Arc::new(Undisturbed)).into_body();
        let bookmark = Instant::now() + Duration::from_secs(60);
        let (server, writer) = (world.server.clone(), Writer { manager: "kubectl".to_owned(), apply: false, status: false });
        // Woken in the order in which they went to sleep.
        tokio::spawn(async move {
            sleep_until(bookmark).await;
            let service = json!({"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}});
            server.write(|store| store.create(&SERVICE, "shop", service, &writer)).unwrap();
        });
        let told = tokio::spawn(async move { events.frame().await.unwrap().unwrap().into_data().unwrap() });
        let first: Value = serde_json::from_slice(&told.await.unwrap()).unwrap();
        assert_eq!(first["type"], "ADDED", "{first}");
    });
}

/// A switch that was armed is one write, and the watch that should bring an order is late and says nothing of it.
#[test]
fn an_armed_switch_does_not_pass_over_an_order_that_a_late_watch_hides() {
    run(7, async |world| {
        world.operator("a", Faults::default(), None);
        world.create("shop", &json!({}));
        healthy(world).await;
        world.image("shop", "2.0.0-unready");
        assert!(world.until(300, |world| world.status("shop")["armed"] == true).await, "{}", world.story());
        // Not for so long that it is told which pod is late: the record that it is no more would find the order.
        world.pass(5).await;
        // It has shown all that was recorded, shows one thing more, and stops.
        world.set_faults(slow(&["bluegreenrollouts"], 600));
        world.create("other", &json!({}));
        world.pass(5).await;
        let candidate = world.status("shop")["preview"]["revision"].as_str().unwrap().to_owned();
        world.order("shop", "abort", &candidate);
        world.readiness("shop", "2.0.0-unready", true);
        let ends = |world: &World| ["Aborted", "RolledBack"].contains(&world.phase("shop").as_str());
        assert!(world.until(300, ends).await, "{}", world.story());
        assert_eq!(world.phase("shop"), "Aborted", "users were sent to what was given up\n{}", world.story());
        assert_eq!(world.broken(), Vec::<String>::new(), "{}", world.story());
    });
}
