//! The demo on a cluster of the user's own, that `KUBECONFIG` names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use bluegreen_cluster::image::{SHOP, shop_versions};
use bluegreen_cluster::{OPERATOR, SYSTEM_NAMESPACE, await_resource};
use bluegreen_image::layout;
use serde_json::{Value, json};

use super::story::{self, Story};
use crate::built::{binary, root};
use crate::interrupt::{self, Ended, spawn};

/// Removes what the demo makes there.
const REMOVE: &str = "kubectl delete namespace demo\n  kubectl delete -k config/default";

pub(super) fn run(release: bool) -> Result<()> {
    let server = kubectl(&["config", "view", "--minify", "-o", "jsonpath={.current-context} ({.clusters[0].cluster.server})"]);
    let server = story::output(server, "find the cluster; set KUBECONFIG to yours").context("no cluster of your own")?;
    let dir = root().join("target").join("demo");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    println!("On {server}: everything is made in the namespaces demo and {SYSTEM_NAMESPACE}, but for the resource and the cluster roles.");
    let fake = nodes_are_fake()?;
    if !fake {
        let images = dir.join("images.tar");
        fs::write(&images, layout(&shop_versions(&["1.0.0", "2.0.0", "3.0.0-crash", "4.0.0"])?)?)
            .with_context(|| format!("cannot write {}", images.display()))?;
        println!(
            "Its nodes need the images {SHOP}:1.0.0, 2.0.0, 3.0.0-crash and 4.0.0, which no registry has. They are in {0}:\n\n  kind load image-archive {0}\n\n(or `ctr -n k8s.io images import`, on each node). A pod waits for its image until then.",
            images.display()
        );
    }
    eprintln!("Compiling the operator …");
    let operator = binary(OPERATOR, release)?;
    interrupt::check()?;
    let _operator = begin(&dir, &operator)?;
    let kubectl = |words: &[&str]| kubectl(words);
    let spoil = |color: &str| if fake { story::unready_by_annotation(&kubectl, color) } else { unready_by_request(&kubectl, color) };
    Story::begin(&kubectl, &dir, false)?.without_traffic(spoil)?;
    println!("\nThe operator ends with the demo; its CRD and the shop stay. To remove all of it:\n\n  {REMOVE}");
    Ok(())
}

fn kubectl(words: &[&str]) -> Command {
    let mut kubectl = Command::new("kubectl");
    kubectl.args(words);
    kubectl
}

fn nodes_are_fake() -> Result<bool> {
    let words = ["get", "nodes", "-o", "jsonpath={range .items[*]}{.status.nodeInfo.kubeletVersion}{\"\\n\"}{end}"];
    let versions = story::output(kubectl(&words), "list its nodes")?;
    ensure!(!versions.trim().is_empty(), "that cluster has no node");
    Ok(versions.lines().all(|version| version == "kwok"))
}

/// Installs what `config/default` holds and runs the operator under its own account, on this machine.
fn begin(dir: &Path, operator: &Path) -> Result<Ended> {
    let config = root().join("config/default").display().to_string();
    story::output(kubectl(&["apply", "--server-side", "--force-conflicts", "--kustomize", &config]), "install config/default")?;
    await_resource(&mut kubectl(&["explain", "bgr"]))?;
    let words = ["create", "token", OPERATOR, "--duration=8h", "--namespace", SYSTEM_NAMESPACE];
    let token = story::output(kubectl(&words), "make a token for the operator")?;
    let config = story::output(kubectl(&["config", "view", "--minify", "--raw", "--flatten", "-o", "json"]), "read its kubeconfig")?;
    let mut config: Value = serde_json::from_str(&config).context("kubectl's configuration is no JSON")?;
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path: PathBuf = dir.join("kubeconfig-operator");
    fs::write(&path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    let log = dir.join("operator.log");
    let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    println!("The operator runs on this machine, under its own account there; its log is {}.", log.display());
    let errors = file.try_clone().context("cannot share the log between output and errors")?;
    let mut command = Command::new(operator);
    command.env("KUBECONFIG", &path).args(["--listen=127.0.0.1:0", "--lease-namespace", SYSTEM_NAMESPACE]);
    spawn(command.stdout(file).stderr(errors))
}

/// Takes the readiness from each pod of a color, by a request through the API server.
fn unready_by_request(kubectl: &dyn Fn(&[&str]) -> Command, color: &str) -> Result<()> {
    let selector = format!("bluegreen.dev/color={color}");
    let words = ["get", "pods", "-n", "demo", "-l", &selector, "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}"];
    for pod in story::output(kubectl(&words), "list the pods of the new version")?.lines() {
        let path = format!("/api/v1/namespaces/demo/pods/{pod}:8080/proxy/control?ready=false");
        let mut post = kubectl(&["create", "--raw", &path, "--filename=-"]);
        // A pod that can't be reached this way shows in the rollout, which doesn't roll back.
        let _ = post.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    Ok(())
}
