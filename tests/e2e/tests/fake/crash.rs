//! The operator dies at random moments of fifty rollouts, good and bad ones mixed, whose Services and Deployments are edited by hand
//! meanwhile: all end where they would have ended without. Deaths after each single write are a test of `tests/sim`, worse ones churn's.

use bluegreen_api::Phase;
use bluegreen_e2e::{
    Rollout, Space,
    dice::Dice,
    manifest::named,
    merged,
    patience::{self, pause},
    shop,
};
use bluegreen_witness::Kind;
use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

/// What becomes of a version.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    /// Its image can never be pulled.
    Invalid,
    /// Its pods never get ready.
    Unready,
    /// Its pods fail after the switch.
    Dies,
    /// Another version is asked for before it is there.
    Superseded,
}

impl Fate {
    const ALL: [Self; 6] = [Self::Good, Self::Invalid, Self::Dies, Self::Good, Self::Unready, Self::Superseded];
}

/// Brings one version to its end, and returns the version that serves then.
async fn bring(space: &Space, rollout: &Rollout<'_>, round: usize, fate: Fate, serving: String) -> String {
    let version = |suffix: &str| format!("{}.0.0{suffix}", round + 2);
    let ask = async |version: &str, monitoring: Value| {
        // A good version has all the time that a busy machine takes.
        let deadline = if version.ends_with("-unready") { "4s" } else { "10m" };
        let image = format!("registry.example/shop:{version}");
        rollout.spec(&json!({"image": image, "monitoring": monitoring, "progressDeadline": deadline})).await;
    };
    let (phase, serves) = match fate {
        Fate::Good => {
            ask(&version(""), Value::Null).await;
            (Phase::Healthy, version(""))
        }
        Fate::Invalid => {
            ask(&version("-invalid"), Value::Null).await;
            (Phase::Aborted, serving)
        }
        Fate::Unready => {
            ask(&version("-unready"), Value::Null).await;
            (Phase::Aborted, serving)
        }
        Fate::Superseded => {
            ask(&version("-slow"), Value::Null).await;
            rollout.until_phase(Phase::DeployingPreview).await;
            ask(&version(""), Value::Null).await;
            (Phase::Healthy, version(""))
        }
        Fate::Dies => {
            ask(&version(""), json!({"duration": "1h"})).await;
            rollout.until_phase(Phase::Monitoring).await;
            let unready = json!({"metadata": {"annotations": {"test.bluegreen.dev/ready": "false"}}});
            let image = json!(format!("registry.example/shop:{}", version("")));
            let pods = space.pods(&[("bluegreen.dev/rollout", &rollout.name)]);
            for pod in pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == image) {
                space.patch(Kind::Pod, pod["metadata"]["name"].as_str().unwrap(), &unready).await;
            }
            (Phase::RolledBack, serving)
        }
    };
    let what = format!("round {round}, {fate:?}: ends in {phase} with {serves}");
    rollout.until(&what, |seen| seen.is(phase) && seen.serves() == serves).await;
    serves
}

/// The operator's term, which is another one in each of its lives, once there is a Lease.
async fn term(space: &Space) -> Option<i32> {
    let leases: Api<Lease> = Api::namespaced(space.client.clone(), &space.name);
    let lease = leases.get_opt("bluegreen-operator").await.unwrap()?;
    Some(lease.spec?.lease_transitions.unwrap_or_default())
}

/// The status of each rollout, in the order of their names.
fn statuses(space: &Space) -> Vec<Value> {
    space.record.all(Kind::Rollout).iter().map(|rollout| rollout["status"].clone()).collect()
}

/// Deals out deaths and edits that nobody should make while all rollouts go through their rounds.
async fn storm(name: &str, count: usize, rounds: usize) {
    let seed = std::env::var("BLUEGREEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap());
    eprintln!("BLUEGREEN_SEED={seed} repeats this run's dice");
    let dice = Dice::new(seed);
    let space = Space::new(name).await;
    let operator = RefCell::new(space.operator());
    let spec = json!({"progressDeadline": "10m", "scaleDown": {"drain": "500ms", "after": "500ms", "afterAbort": "200ms"}});
    let mut rollouts = Vec::new();
    for number in 0..count {
        rollouts.push(space.rollout(&named(merged(shop(), &spec), &format!("shop-{number}"))).await);
    }
    let stories = join_all(rollouts.iter().enumerate().map(async |(number, rollout)| {
        rollout.until_healthy("1.0.0").await;
        let mut serving = "1.0.0".to_owned();
        for round in 0..rounds {
            serving = bring(&space, rollout, round, Fate::ALL[(number + round) % Fate::ALL.len()], serving).await;
        }
    }));
    let deaths = Cell::new(0);
    let killer = async {
        let mut former = None;
        loop {
            // On a slow machine the operator would always die before it has begun: its life is counted from when it leads.
            let leads = async || term(&space).await.filter(|term| Some(*term) != former);
            patience::until("the operator leads", leads).await;
            let before = statuses(&space);
            pause(dice.millis(150..1500)).await;
            if deaths.get() % 3 == 2 {
                // Nothing but the operator writes a status here.
                let begun = async || (statuses(&space) != before).then_some(());
                patience::until("the operator records something", begun).await;
            }
            operator.borrow_mut().kill();
            former = term(&space).await;
            deaths.set(deaths.get() + 1);
            let again = space.operator();
            operator.replace(again);
        }
    };
    let vandal = async {
        loop {
            pause(dice.millis(20..200)).await;
            vandalize(&space, &dice, count).await;
        }
    };
    tokio::select! {
        _ = stories => {}
        () = killer => {}
        () = vandal => {}
    }
    eprintln!("{} rollouts, {} deaths, {} events", count * rounds, deaths.get(), space.record.len());
    assert!(deaths.get() >= 5, "only {} deaths", deaths.get());
    // At rest: every side that has no role is gone, and nothing is written any more.
    pause(Duration::from_secs(5)).await;
    space.until_quiet().await;
    for rollout in &rollouts {
        let seen = rollout.now();
        let other = rollout.deployment(seen.active().color.other());
        assert!(other.is_null() || other["spec"]["replicas"] == 0, "{}: {other:#}", rollout.name);
        assert_eq!(rollout.selector()["bluegreen.dev/revision"], json!(seen.active().revision));
    }
    let mut requests = space.requests_at_rest();
    pause(Duration::from_secs(4)).await;
    assert_eq!(requests(), []);
    space.end().await;
}

/// One edit of one object of one rollout that takes no pod away.
async fn vandalize(space: &Space, dice: &Dice, count: usize) {
    let name = format!("shop-{}", dice.roll(0..count as u64));
    let (kind, object) = match dice.roll(0..4) {
        0 => (Kind::Service, name),
        1 => (Kind::Service, format!("{name}-preview")),
        2 => (Kind::Deployment, format!("{name}-blue")),
        _ => (Kind::Deployment, format!("{name}-green")),
    };
    if space.seen(kind, &object).is_none() {
        return;
    }
    let edit = match (kind, dice.roll(0..3)) {
        (Kind::Service, 0) => json!({"spec": {"selector": null}}),
        (Kind::Service, 1) => json!({"spec": {"selector": {"bluegreen.dev/color": "pink"}}}),
        (_, 2) => json!({"metadata": {"labels": {"bluegreen.dev/rollout": null}}}),
        _ => json!({"metadata": {"labels": {"bluegreen.dev/color": "pink", "bluegreen.dev/revision": null}}}),
    };
    space.tamper(kind, &object, &edit).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn fifty_rollouts_end_well_through_kills_and_edits() {
    storm("crash", 10, 5).await;
}
