//! A real Prometheus that wants a password, and an operator that has one for it.

use bluegreen_api::GateState;
use bluegreen_e2e::{LEASE, Seen, Space, merged, shop};
use serde_json::json;
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// What bcrypt makes of the password `right`.
const RIGHT: &str = "$2b$04$p79ntZg.rwKrrZ0R2rVVjuWn0M0h3VpbR1/1iDT5b1dLvlmCwVuOK";

/// It ends with the test.
struct Prometheus {
    child: Child,
    directory: PathBuf,
    address: String,
}

impl Prometheus {
    fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("bluegreen-guarded-prometheus-{}", std::process::id()));
        // A run that was killed left its own there.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("credentials")).unwrap();
        let (config, web) = (directory.join("prometheus.yaml"), directory.join("web.yaml"));
        // JSON is YAML too.
        fs::write(&config, json!({"scrape_configs": []}).to_string()).unwrap();
        fs::write(&web, json!({"basic_auth_users": {"operator": RIGHT}}).to_string()).unwrap();
        // No outgoing connection takes such a port before Prometheus listens on it.
        let [port] = bluegreen_cluster::free_ports().unwrap();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new("/usr/bin/prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.config.file={}", web.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, directory, address: format!("http://{address}") }
    }

    /// What it is shown from now on.
    fn show(&self, password: &str) {
        for (file, content) in [("username", "operator"), ("password", password)] {
            fs::write(self.directory.join("credentials").join(file), content).unwrap();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask test"]
async fn a_wrong_password_for_prometheus_condemns_nobody() {
    let space = Space::new("own-credentials").await;
    let prometheus = Prometheus::start();
    prometheus.show("wrong");
    let address = format!("--prometheus-address={}", prometheus.address);
    let credentials = format!("--prometheus-credentials={}", prometheus.directory.join("credentials").display());
    let _operator = space.operator_with("one", LEASE, &[&address, &credentials]);
    let errors = json!({"name": "errors", "max": "1%", "interval": "1s", "count": 2, "prometheus": {"query": "vector(0)"}});
    let rollout = space.rollout(&merged(shop(), &json!({"replicas": 1, "verification": {"metrics": [errors]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;

    let refused = format!("Prometheus at {} answered 401 Unauthorized: it refused the credentials", prometheus.address);
    let told = |seen: &Seen| seen.status.gates.iter().any(|gate| gate.message.contains(&refused));
    let held = rollout.until("is told that the password is wrong", told).await;
    assert_eq!(held.serves(), "1.0.0");

    prometheus.show("right");
    rollout.until("the right password is taken", |seen| seen.serves() == "2.0.0").await;
    let live = rollout.until_healthy("2.0.0").await;
    let gate = &live.status.history[0].gates[0];
    assert_eq!((gate.name.as_str(), gate.state), ("verification/errors", GateState::Passed));
    space.end().await;
}
