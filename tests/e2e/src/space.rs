//! A namespace for one test, with all that happens in it on record.

use crate::{
    ground::{Ground, Output, config, refusal},
    operator::{self, LEASE, Operator},
    outside::outside,
    patience::{self, long_enough, patience, stretched},
    proxy::Proxy,
    record::{Record, resource, version},
    rollout::Rollout,
};
use bluegreen_cluster::audit::{AuditLog, Request};
use bluegreen_witness::{Kind, MARK, MARK_DELETED};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Who the tests are to the API server's records of who wrote what.
const TESTER: &str = "tester";
/// So late an operator may know of a pod of a real node, and its request arrive.
const NEWS: Duration = Duration::from_secs(1);

/// A namespace, watched from its first moment. [`Space::end`] holds all that happened against the promises.
pub struct Space {
    pub ground: &'static Ground,
    pub name: String,
    pub client: Client,
    pub record: Record,
    directory: PathBuf,
    edits: AtomicU64,
    /// There may be an operator, which asks what rollouts name.
    asks: bool,
    ended: bool,
}

/// Lets the operator run Jobs: not by default.
const JOBS: &str = "bluegreen-operator-jobs";

impl Space {
    /// A namespace with the rights that an operator needs in it.
    pub async fn new(name: &str) -> Self {
        Self::on(Ground::get(), name).await
    }

    /// One in which no operator runs, so that rollouts may name any source.
    pub async fn without_operator(name: &str) -> Self {
        let mut space = Self::new(name).await;
        space.asks = false;
        space
    }

    /// One on another cluster than the one that tests share.
    pub async fn on(ground: &'static Ground, name: &str) -> Self {
        let client = ground.client().await;
        let spaces: Api<Namespace> = Api::all(client.clone());
        let wanted =
            Namespace { metadata: ObjectMeta { generate_name: Some(format!("{name}-")), ..ObjectMeta::default() }, ..Namespace::default() };
        let name = spaces.create(&PostParams::default(), &wanted).await.unwrap().metadata.name.unwrap();
        ground.run(&["apply", "--namespace", &name, "-f", &config("rbac/namespaced/operator.yaml")]);
        let operator = format!("--serviceaccount={name}:bluegreen-operator");
        let jobs = ["create", "rolebinding", JOBS, "--clusterrole=bluegreen-operator-jobs", &operator, "--namespace", &name];
        ground.run(&jobs);
        let directory = ground.directory(&name);
        let token = ground.run(&["create", "token", "bluegreen-operator", "--duration=24h", "--namespace", &name]);
        operator::write_kubeconfig(ground, &directory, &token, &name);
        let record = Record::begin(client.clone(), &name).await;
        if !ground.is_fake() {
            // Its pods are asked by a kubelet whether they are ready, and one may answer otherwise while a write is on its way.
            record.allow_lag(stretched(NEWS));
        }
        Self { ground, name, client, record, directory, edits: AtomicU64::new(0), asks: true, ended: false }
    }

    /// Where this test writes down what it needs.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    // === operators ===

    /// An operator for this namespace.
    pub fn operator(&self) -> Operator {
        self.operator_with("one", LEASE, &[])
    }

    /// `name` is its identity for the lease.
    pub fn operator_named(&self, name: &str, lease: Duration) -> Operator {
        self.operator_with(name, lease, &[])
    }

    pub fn operator_with(&self, name: &str, lease: Duration, args: &[&str]) -> Operator {
        assert!(self.asks, "this space was made without an operator");
        let kubeconfig = self.directory.join("kubeconfig");
        Operator::start(&operator::program(), &self.directory, &kubeconfig, Some(&self.name), name, lease, args)
    }

    /// Another build of the operator.
    pub fn operator_from(&self, program: &Path, name: &str) -> Operator {
        Operator::start(program, &self.directory, &self.directory.join("kubeconfig"), Some(&self.name), name, LEASE, &[])
    }

    /// One whose requests go through the proxy.
    pub fn operator_behind(&self, proxy: &Proxy, name: &str, lease: Duration) -> Operator {
        let direct: Value = serde_json::from_slice(&std::fs::read(self.directory.join("kubeconfig")).unwrap()).unwrap();
        let path = self.directory.join("kubeconfig-proxy");
        std::fs::write(&path, proxy.kubeconfig(direct).to_string()).unwrap();
        Operator::start(&operator::program(), &self.directory, &path, Some(&self.name), name, lease, &[])
    }

    /// An operator for all namespaces, with the rights of this kubeconfig.
    pub fn operator_for_all(&self, kubeconfig: &Path, lease: Duration) -> Operator {
        let args = ["--lease-namespace", "bluegreen-system"];
        Operator::start(&operator::program(), &self.directory, kubeconfig, None, "all", lease, &args)
    }

    // === objects ===

    pub fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &resource(kind))
    }

    /// Creates a rollout; it has to be taken.
    pub async fn rollout(&self, manifest: &Value) -> Rollout<'_> {
        self.try_rollout(manifest).await.unwrap_or_else(|message| panic!("the API server refused the rollout: {message}"))
    }

    /// Creates a rollout, or returns what the API server says against it.
    pub async fn try_rollout(&self, manifest: &Value) -> Result<Rollout<'_>, String> {
        self.assert_asks_nobody_outside(manifest);
        let object: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
        let params = PostParams { field_manager: Some(TESTER.into()), ..PostParams::default() };
        let mark = self.record.len();
        let created = self.api(Kind::Rollout).create(&params, &object).await.map_err(refusal)?;
        Ok(Rollout::of(self, &created, mark))
    }

    /// An operator asks sources on this machine only. A cluster with a real node has a network of its own.
    pub fn assert_asks_nobody_outside(&self, manifest: &Value) {
        let outside = if self.asks && self.ground.is_fake() { outside(manifest) } else { vec![] };
        assert!(outside.is_empty(), "an operator would ask other machines: {outside:?}. Name addresses of 127.0.0.0/8");
    }

    /// A merge patch by the test, as kubectl would send it.
    pub async fn try_patch(&self, kind: Kind, name: &str, patch: &Value) -> Result<DynamicObject, String> {
        self.assert_asks_nobody_outside(patch);
        let params = PatchParams { field_manager: Some(TESTER.into()), ..PatchParams::default() };
        self.api(kind).patch(name, &params, &Patch::Merge(patch)).await.map_err(refusal)
    }

    pub async fn patch(&self, kind: Kind, name: &str, patch: &Value) -> DynamicObject {
        let patched = self.try_patch(kind, name, patch).await;
        patched.unwrap_or_else(|message| panic!("the API server refused a patch of {} {name}: {message}", kind.as_str()))
    }

    /// Does to an object of the operator's what nobody should, and returns the version that it then had. The witness knows by a
    /// mark that it wasn't the operator.
    pub async fn tamper(&self, kind: Kind, name: &str, patch: &Value) -> u64 {
        let mut patch = patch.clone();
        patch["metadata"]["annotations"][MARK] = json!(self.edits.fetch_add(1, Ordering::Relaxed).to_string());
        version(&self.patch(kind, name, &patch).await)
    }

    /// Deletes an object of the operator's, marked as the test's doing.
    pub async fn tamper_delete(&self, kind: Kind, name: &str) -> u64 {
        let version = self.tamper(kind, name, &json!({"metadata": {"annotations": {MARK_DELETED: "true"}}})).await;
        self.delete(kind, name).await;
        version
    }

    pub async fn delete(&self, kind: Kind, name: &str) {
        self.api(kind).delete(name, &DeleteParams::background()).await.unwrap();
    }

    pub async fn create(&self, kind: Kind, object: Value) -> DynamicObject {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        self.api(kind).create(&PostParams::default(), &object).await.unwrap()
    }

    /// Waits until the cluster collects what rollouts leave behind: it learns of a new kind of owner only every half a minute.
    pub async fn until_garbage_is_collected(&self) {
        let owner = self.create(Kind::Rollout, crate::manifest::named(crate::shop(), "owner")).await;
        let reference =
            json!({"apiVersion": "bluegreen.dev/v1alpha1", "kind": "BlueGreenRollout", "name": "owner", "uid": owner.metadata.uid});
        let metadata = json!({"name": "left", "ownerReferences": [reference]});
        self.create(
            Kind::Revision,
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": {}, "revision": 1}),
        )
        .await;
        self.delete(Kind::Rollout, "owner").await;
        let revisions = self.api(Kind::Revision);
        let collected = async || revisions.get_opt("left").await.unwrap().is_none().then_some(());
        patience::until("what a rollout left is collected", collected).await;
    }

    /// The latest version that the witness has seen, if the object is there.
    pub fn seen(&self, kind: Kind, name: &str) -> Option<Value> {
        self.record.latest(kind, name)
    }

    /// Waits until the latest state of an object is as wanted. A missing object is null.
    pub async fn until(&self, kind: Kind, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.until_newer(0, kind, name, what, is).await
    }

    /// Waits for a state after this version.
    pub async fn until_newer(&self, version: u64, kind: Kind, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let found = self.record.until(kind, name, usize::MAX, |event| {
            let object = if event.deleted { &Value::Null } else { &*event.object };
            (event.version > version && is(object)).then(|| object.clone())
        });
        match found.await {
            Ok((_, found)) => found,
            Err(waited) => {
                panic!("{} {name}: {what}: not within {waited:?}; it is {:#}", kind.as_str(), self.seen(kind, name).unwrap_or_default())
            }
        }
    }

    /// Pods with these labels that are not on their way out, by name.
    pub fn pods(&self, selector: &[(&str, &str)]) -> Vec<Value> {
        let fits = |pod: &Value| {
            let labels = &pod["metadata"]["labels"];
            pod["metadata"]["deletionTimestamp"].is_null() && selector.iter().all(|(key, value)| labels[*key] == json!(value))
        };
        self.record.all(Kind::Pod).iter().filter(|pod| fits(pod)).map(|pod| Value::clone(pod)).collect()
    }

    // === kubectl ===

    /// What kubectl says in this namespace; it has to succeed.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        let told = self.kubectl_told(args).await;
        assert!(told.success, "kubectl {} failed: {}", args.join(" "), told.error);
        told.output
    }

    pub async fn kubectl_told(&self, args: &[&str]) -> Output {
        let args: Vec<String> = ["--namespace", &self.name].iter().chain(args).map(ToString::to_string).collect();
        let ground = self.ground;
        tokio::task::spawn_blocking(move || ground.told(&args.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap()
    }

    // === requests ===

    /// Counts what the operator asks of the API server in this namespace from now on, without leases and watches.
    pub fn requests(&self) -> impl FnMut() -> Vec<Request> + use<> {
        let mut log = AuditLog::from_now(&self.ground.audit_log()).unwrap();
        let namespace = self.name.clone();
        move || {
            let mut requests = log.requests().unwrap();
            requests.retain(|request| {
                request.namespace == namespace
                    && request.user_agent.starts_with("bluegreen")
                    && request.resource != "leases"
                    && request.verb != "watch"
            });
            requests
        }
    }

    /// The same without lists and events: a watch that the API server ends costs a list, and an event may come late.
    pub fn requests_at_rest(&self) -> impl FnMut() -> Vec<Request> + use<> {
        let mut requests = self.requests();
        move || requests().into_iter().filter(|request| request.verb != "list" && request.resource != "events").collect()
    }

    /// Returns when the operator has asked for nothing for a while: what it still has to tell is told.
    pub async fn until_quiet(&self) {
        let mut requests = self.requests();
        let until = Instant::now() + patience();
        loop {
            long_enough().await;
            let last = requests();
            if last.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "there is no end to what it asks for: {last:#?}");
        }
    }

    // === the end ===

    /// Holds all that happened against the promises.
    pub async fn end(mut self) {
        self.record.catch_up().await;
        let broken = self.record.broken();
        assert!(broken.is_empty(), "promises were broken:\n{}", broken.join("\n"));
        self.ended = true;
    }

    /// For a test that does what the witness can't judge.
    pub fn end_unjudged(mut self) {
        self.ended = true;
    }

    fn tell_all(&self) {
        let namespace = ["--namespace", &self.name];
        for args in [
            &["get", "bgr,deployments,services,pods", "-o", "wide"][..],
            &["get", "bgr", "-o", "jsonpath={range .items[*]}{.metadata.name}: {.status}{\"\\n\"}{end}"],
            &["get", "events", "--sort-by=.metadata.creationTimestamp"],
        ] {
            let told = self.ground.told(&[&namespace[..], args].concat());
            eprintln!("--- kubectl {}\n{}{}", args.join(" "), told.output, told.error);
        }
        let files = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        for log in files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            eprintln!("--- the end of {}\n{}", log.display(), operator::tail(&log));
        }
        let broken = self.record.broken();
        if !broken.is_empty() {
            eprintln!("--- promises were broken:\n{}", broken.join("\n"));
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell_all();
        } else {
            assert!(self.ended, "a test must end its Space: what it saw is judged there");
            let _ = std::fs::remove_dir_all(&self.directory);
        }
        // Its pods would take the time of the controllers. A failed test has told all there is.
        let _ = self.ground.told(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
