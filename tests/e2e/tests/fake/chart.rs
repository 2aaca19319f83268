//! The chart, by Helm on a real API server. The operator itself runs beside, with the account and the rights that the chart gives it:
//! pods of fake nodes run nothing.

use bluegreen_cluster::SYSTEM_NAMESPACE;
use bluegreen_e2e::{
    LEASE, OwnGround, Space,
    helm::{CHART, Helm, uids},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

const REPOSITORY: &str = "image.repository=registry.example/bluegreen";

/// The objects that these values make.
fn rendered(helm: &Helm, values: &[&str]) -> String {
    helm.run(&[&["template", "bluegreen", CHART, "-n", SYSTEM_NAMESPACE, "--set", REPOSITORY], values].concat())
}

fn wrong_values_are_refused_by_their_paths(helm: &Helm) {
    let cases: [(&[&str], &str); 6] = [
        (&[], "image/repository"),
        (&["--set", REPOSITORY, "--set", "replica=3"], "additional properties 'replica' not allowed"),
        (&["--set", REPOSITORY, "--set", "replicas=three"], "at '/replicas': got string, want integer"),
        (&["--set", REPOSITORY, "--set", "image.digest=latest"], "at '/image/digest'"),
        (&["--set", REPOSITORY, "--set", "watch.namespaces={a,b}"], "at '/watch/namespaces'"),
        (&["--set", REPOSITORY, "--set", "sources.prometheus.address=prometheus:9090"], "at '/sources/prometheus/address'"),
    ];
    for (values, words) in cases {
        let told = helm.told(&[&["template", "bluegreen", CHART] as &[&str], values].concat());
        assert!(!told.success, "{values:?} are taken");
        let error = told.error;
        assert!(error.contains(words), "{values:?}: {error}");
    }
}

fn what_is_rendered_is_taken_word_by_word(own: &OwnGround, helm: &Helm) {
    helm.run(&["lint", CHART, "--strict", "--set", REPOSITORY]);
    let all = [
        "--set=watch.namespaces={default}",
        "--set=sources.prometheus.address=http://prometheus.monitoring:9090",
        "--set=sources.allowed={https://*.example.com}",
        "--set=rbac.secrets=true,rbac.jobs=true,logs.level=debug,priorityClassName=system-cluster-critical",
        "--set=imagePullSecrets[0].name=pull,nodeSelector.disk=ssd,podLabels.team=web,podAnnotations.note=text",
        "--set=serviceAccount.annotations.note=text,extraArgs={--concurrency=64},extraEnv[0].name=A,extraEnv[0].value=b",
        "--set=extraVolumes[0].name=key,extraVolumes[0].secret.secretName=key,extraVolumeMounts[0].name=key,extraVolumeMounts[0].mountPath=/key",
        "--set=tolerations[0].operator=Exists,affinity.nodeAffinity=null",
    ];
    for values in
        [&[] as &[&str], &all, &["--set=crds.install=false,crds.keep=false,podDisruptionBudget=false,networkPolicy.enabled=false"]]
    {
        let objects = rendered(helm, values);
        assert_eq!(objects, rendered(helm, values), "rendered twice");
        let file = own.ground.directory("helm").join("rendered.yaml");
        std::fs::write(&file, objects).unwrap();
        let file = file.to_str().unwrap();
        own.ground.run(&["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", file]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_chart_installs_upgrades_and_goes_without_touching_a_pod() {
    let own = OwnGround::up("e2e-chart");
    let space = Space::on(own.ground, "chart").await;
    let helm = Helm::on(own.ground);
    let ground = own.ground;
    ground.run(&["create", "namespace", SYSTEM_NAMESPACE]);
    tokio::task::block_in_place(|| {
        wrong_values_are_refused_by_their_paths(&helm);
        what_is_rendered_is_taken_word_by_word(&own, &helm);
        // The definitions are there already, as `kubectl apply -k config/default` leaves them.
        let release = ["bluegreen", CHART, "-n", SYSTEM_NAMESPACE, "--set", REPOSITORY, "--wait", "--timeout=5m"];
        helm.run(&[&["install", "--take-ownership"], release.as_slice()].concat());
    });
    let token = ground.run(&["create", "token", "bluegreen", "-n", SYSTEM_NAMESPACE]);
    let kubeconfig = ground.directory("helm").join("kubeconfig");
    std::fs::write(&kubeconfig, ground.kubeconfig(&token, SYSTEM_NAMESPACE).to_string()).unwrap();
    let operator = space.operator_for_all(&kubeconfig, LEASE);
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    assert!(!operator.log().contains("forbidden"), "the chart gives too few rights:\n{}", operator.log());

    space.until_quiet().await;
    let namespace = space.name.clone();
    let children = || uids(ground, "bluegreenrollouts,deployments,services,pods", &namespace);
    let before = children();
    let upgrade = ["upgrade", "bluegreen", CHART, "-n", SYSTEM_NAMESPACE, "--set", REPOSITORY, "--wait", "--timeout=5m"];
    tokio::task::block_in_place(|| {
        helm.run(&[upgrade.as_slice(), &["--set=replicas=3,rbac.jobs=true,crds.keep=true"]].concat());
        let role: Value = serde_json::from_str(&ground.run(&["get", "clusterrole", "bluegreen-system-bluegreen", "-o", "json"])).unwrap();
        assert!(role["rules"].as_array().unwrap().iter().any(|rule| rule["resources"] == json!(["jobs"])), "{role:#}");
        assert_eq!(children(), before, "an upgrade touches no rollout");
        helm.run(&["rollback", "bluegreen", "1", "-n", SYSTEM_NAMESPACE, "--wait", "--timeout=5m"]);
        assert_eq!(children(), before, "nor does a rollback");
        helm.run(&["uninstall", "bluegreen", "-n", SYSTEM_NAMESPACE, "--wait"]);
    });
    assert_eq!(children(), before, "what serves goes on serving");
    assert!(ground.told(&["get", "clusterrole", "bluegreen-system-bluegreen"]).error.contains("not found"));
    assert_eq!(space.seen(Kind::Rollout, "shop").unwrap()["status"]["phase"], "Healthy");
    drop(operator);
    space.end().await;
}
