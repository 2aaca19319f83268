//! The operator dies after each of its writes in turn: everything ends as it would have ended without.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bluegreen_sim::{
    Faults, World,
    resource::{DEPLOYMENT, ROLLOUT, SERVICE},
    run,
    store::merge,
    world::image,
};
use serde_json::{Value, json};
use std::thread;

/// What somebody does, or what is waited for. The first write after a change of `spec` records it, so that a death comes after that.
enum Step {
    Spec(Value),
    Image(&'static str),
    /// Waits until it is in this phase.
    Until(&'static str),
    /// Of the candidate, or of the revision that was rejected.
    Order(&'static str),
    /// All pods of this version stop being ready.
    Unready(&'static str),
    LoseStatus,
    Seconds(u64),
    /// Waits until nothing is under way. How things stand then must be the same with and without a death.
    End,
}

/// It begins with 1.0.0 live.
struct Story {
    name: &'static str,
    /// The operator dies of the writes that bring 1.0.0 live as well.
    from_nothing: bool,
    spec: Value,
    steps: Vec<Step>,
}

fn story(name: &'static str, spec: Value, steps: Vec<Step>) -> Story {
    Story { name, from_nothing: false, spec, steps }
}

fn stories() -> Vec<Story> {
    use Step::{End, Image, LoseStatus, Order, Seconds, Spec, Unready, Until};
    let errors = |more: Value| {
        let query = "errors{revision=\"{{ revision }}\"}";
        let mut metric = json!({"name": "errors", "prometheus": {"address": "http://prometheus:9090", "query": query}, "max": "1%"});
        merge(&mut metric, &json!({"interval": "2s", "noDataLimit": 1000, "errorLimit": 1000}));
        merge(&mut metric, &more);
        json!([metric])
    };
    let home = json!([{"name": "home", "http": {"attempts": 1}}]);
    let watched_for_long = json!({"monitoring": {"duration": "1h"}});
    vec![
        Story {
            from_nothing: true,
            ..story(
                "the first version, and a larger second one",
                json!({}),
                vec![Spec(json!({"image": image("2.0.0"), "replicas": 3})), End],
            )
        },
        story(
            "a promotion through gates",
            json!({
                "preview": {"replicas": 1},
                "verification": {"checks": home, "metrics": errors(json!({"count": 3}))},
                "promotion": {"mode": "Manual"},
                "monitoring": {"duration": "20s", "metrics": errors(json!({}))},
            }),
            vec![Image("2.0.0"), Until("AwaitingPromotion"), Order("promote"), End],
        ),
        story(
            "bad candidates are given up, and one is replaced",
            json!({"verification": {"checks": home}}),
            vec![Image("2.0.0-bad"), End, Image("3.0.0-invalid"), End, Image("4.0.0-slow"), Seconds(5), Image("5.0.0"), End],
        ),
        story(
            "a roll back after the switch, and a fix",
            watched_for_long.clone(),
            vec![
                Image("2.0.0"),
                Until("Monitoring"),
                Unready("2.0.0"),
                End,
                Spec(json!({"image": image("3.0.0"), "monitoring": {"duration": "1s"}})),
                End,
            ],
        ),
        story(
            "reverts before and after the switch",
            watched_for_long,
            vec![Image("2.0.0-slow"), Seconds(5), Image("1.0.0"), End, Image("3.0.0"), Until("Monitoring"), Image("1.0.0"), End],
        ),
        story(
            "a status lost before the switch and at rest",
            json!({"promotion": {"mode": "Manual"}}),
            vec![
                Image("2.0.0"),
                Until("AwaitingPromotion"),
                LoseStatus,
                Until("AwaitingPromotion"),
                Order("promote"),
                End,
                LoseStatus,
                End,
            ],
        ),
        story(
            "a retry once the gate that condemned it is gone",
            json!({"verification": {"checks": home}}),
            vec![Image("2.0.0-bad"), End, Spec(json!({"verification": null})), Order("retry"), Until("Healthy"), End],
        ),
    ]
}

/// What came of a story.
struct Ended {
    /// How things stood at each of its ends.
    ends: Vec<Value>,
    /// Writes until 1.0.0 was live, and in all.
    begun: u64,
    writes: u64,
}

async fn tell(world: &mut World, story: &Story, dies_after: Option<u64>) -> Ended {
    world.operator("a", Faults::default(), dies_after);
    let mut spec = json!({"progressDeadline": "1m"});
    merge(&mut spec, &story.spec);
    world.create("shop", &spec);
    let mut ends = vec![end(world).await];
    let begun = world.seats[0].writes();
    for step in &story.steps {
        match step {
            Step::End => ends.push(end(world).await),
            step => take(world, step).await,
        }
    }
    assert!(world.until_quiet(1500).await, "{}", world.story());
    assert_eq!(world.broken(), Vec::<String>::new(), "{}: {}", story.name, world.story());
    Ended { ends, begun, writes: world.seats[0].writes() }
}

async fn take(world: &World, step: &Step) {
    match step {
        Step::Spec(spec) => world.spec("shop", spec),
        Step::Image(version) => world.image("shop", version),
        Step::Until(phase) => {
            assert!(world.until(300, |world| world.phase("shop") == *phase).await, "{phase} doesn't come\n{}", world.story());
        }
        Step::Order(verb) => {
            let side = if *verb == "retry" { "rejected" } else { "preview" };
            let revision = world.status("shop")[side]["revision"].as_str().unwrap().to_owned();
            world.order("shop", verb, &revision);
        }
        Step::Unready(version) => world.readiness("shop", version, false),
        Step::LoseStatus => world.lose_status("shop"),
        Step::Seconds(seconds) => world.pass(*seconds).await,
        Step::End => {}
    }
}

/// How things stand when nothing is under way: what is served, from where, at which size, and how each attempt ended.
async fn end(world: &World) -> Value {
    let settled = |world: &World| {
        let observed = world.get(&ROLLOUT, "shop").unwrap()["metadata"]["generation"] == world.status("shop")["observedGeneration"];
        observed && ["Healthy", "Aborted", "RolledBack"].contains(&world.phase("shop").as_str())
    };
    world.pass(1).await;
    assert!(world.until(600, settled).await, "{}", world.story());
    // One that has just begun anew, and pods that end, get this long.
    world.pass(40).await;
    assert!(world.until(60, settled).await, "{}", world.story());
    let status = world.status("shop");
    let history = status["history"].as_array().into_iter().flatten();
    let outcomes: Vec<Value> = history.map(|attempt| json!([attempt["revision"], attempt["outcome"]])).collect();
    // A candidate that was withdrawn while nobody lived to deploy it has no Deployment: that is no pods too.
    let size = |name| world.get(&DEPLOYMENT, name).map_or(json!(0), |deployment| deployment["spec"]["replicas"].clone());
    let sizes = ["shop-blue", "shop-green"].map(size);
    let selectors = ["shop", "shop-preview"].map(|name| world.get(&SERVICE, name).unwrap()["spec"]["selector"].clone());
    json!({
        "phase": status["phase"], "active": status["active"]["revision"], "rejected": status["rejected"]["revision"], "outcomes": outcomes,
        "reached": world.reached("shop"), "sizes": sizes, "selectors": selectors,
    })
}

fn ends_alike_after_a_death_at_each_write(story: &Story) {
    let told = run(1, async |world| tell(world, story, None).await);
    let first = if story.from_nothing { 1 } else { told.begun + 1 };
    assert!(told.writes >= first + 5, "{}: only {} writes, {} of them before it began", story.name, told.writes, told.begun);
    for k in first..=told.writes {
        run(1, async |world| {
            let with_a_crash = tell(world, story, Some(k)).await;
            assert!(world.seats[0].lives() == 2, "{}: it didn't die after write {k}", story.name);
            assert_eq!(with_a_crash.ends, told.ends, "{}: after a crash at write {k}\n{}", story.name, world.story());
        });
    }
    println!("{}: {} crashes, each of which ended alike", story.name, told.writes + 1 - first);
}

#[test]
fn a_death_after_any_write_changes_no_end() {
    let stories = stories();
    thread::scope(|scope| {
        for story in &stories {
            scope.spawn(move || ends_alike_after_a_death_at_each_write(story));
        }
    });
}
