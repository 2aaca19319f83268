//! The programs of a cluster: etcd, Kubernetes and kwok, built once from the Go modules beside this crate.
//!
//! Nothing is downloaded but Go modules, whose hashes are committed in the `go.sum` files. What was built is kept
//! under `target/`, in a directory named by a hash of those files: a change of version builds again, anything else
//! starts in no time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::paths;

const KUBERNETES: &str = "v1.36.3";

/// One program: where its source is, and how long two cores need to build it for the first time.
#[derive(Debug)]
struct Program {
    name: &'static str,
    module: &'static str,
    package: &'static str,
    seconds: u64,
}

const fn program(name: &'static str, module: &'static str, package: &'static str, seconds: u64) -> Program {
    Program { name, module, package, seconds }
}

const PROGRAMS: &[Program] = &[
    program("etcd", "etcd", "go.etcd.io/etcd/server/v3", 55),
    program("kube-apiserver", "control-plane", "k8s.io/kubernetes/cmd/kube-apiserver", 245),
    program("kube-controller-manager", "control-plane", "k8s.io/kubernetes/cmd/kube-controller-manager", 80),
    program("kube-scheduler", "control-plane", "k8s.io/kubernetes/cmd/kube-scheduler", 10),
    program("kubectl", "control-plane", "k8s.io/kubernetes/cmd/kubectl", 30),
    program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", 15),
    program("kubelet", "control-plane", "k8s.io/kubernetes/cmd/kubelet", 25),
    program("kube-proxy", "control-plane", "k8s.io/kubernetes/cmd/kube-proxy", 10),
];

/// With which the chart is installed in tests.
const HELM: Program = program("helm", "helm", "helm.sh/helm/v4/cmd/helm", 150);

/// What every cluster needs.
pub const CONTROL_PLANE: &[&str] = &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"];
/// What only a cluster of fake nodes needs.
pub const FAKE_NODE: &[&str] = &["kwok"];
/// What only a cluster with a real node needs.
pub const REAL_NODE: &[&str] = &["kubelet", "kube-proxy"];

/// Helm, ready to run. No cluster needs it: it has a place of its own, and another version of it builds nothing else again.
pub fn helm() -> Result<PathBuf> {
    let built = paths::cluster_root().join("bin").join(format!("helm-{}", fingerprint(&["helm"])?));
    let program = built.join(HELM.name);
    if !program.is_file() {
        build_all(&[&HELM], &built)?;
    }
    Ok(program)
}

/// The programs of a cluster, ready to run.
#[derive(Debug, Clone)]
pub struct Binaries {
    programs: BTreeMap<&'static str, PathBuf>,
}

impl Binaries {
    /// Builds what is missing of `wanted`, telling on stderr what it does and how long that takes.
    ///
    /// `etcd`, `kube-apiserver` and `kubectl` are taken from `KUBEBUILDER_ASSETS` where that is set, as every machine
    /// has it on which operators are developed.
    pub fn prepare(wanted: &[&str]) -> Result<Self> {
        let built = paths::cluster_root().join("bin").join(fingerprint(CLUSTER)?);
        let mut programs = BTreeMap::new();
        let mut missing = Vec::new();
        for (program, path) in places(wanted, &built) {
            if !path.is_file() {
                missing.push(program);
            }
            programs.insert(program.name, path);
        }
        ensure!(programs.len() == wanted.len(), "asked for programs {wanted:?}, but know only {:?}", programs.keys());
        if !missing.is_empty() {
            build_all(&missing, &built)?;
        }
        Ok(Self { programs })
    }

    /// The path of a program that was asked for.
    pub fn path(&self, name: &str) -> Result<&Path> {
        self.programs
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("{name} is not among the programs this cluster was prepared with"))
    }
}

/// Where each of these programs is, or will be built to.
fn places(wanted: &[&str], built: &Path) -> Vec<(&'static Program, PathBuf)> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let place = |program: &'static Program| {
        let given = assets.as_ref().map(|dir| dir.join(program.name)).filter(|path| path.is_file());
        (program, given.unwrap_or_else(|| built.join(program.name)))
    };
    PROGRAMS.iter().filter(|program| wanted.contains(&program.name)).map(place).collect()
}

/// About how long two cores build what is missing of `wanted`; zero if nothing is.
pub(crate) fn time_to_build(wanted: &[&str]) -> Duration {
    let built = fingerprint(CLUSTER).map(|name| paths::cluster_root().join("bin").join(name)).unwrap_or_default();
    let missing = places(wanted, &built).into_iter().filter(|(_, path)| !path.is_file());
    Duration::from_secs(missing.map(|(program, _)| program.seconds).sum())
}

/// Whether there is Go to build with, or everything was built before.
pub(crate) fn can_prepare() -> bool {
    let version = Command::new("go").arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let built = || fingerprint(CLUSTER).map(|name| paths::cluster_root().join("bin").join(name));
    version.is_ok_and(|status| status.success()) || built().is_ok_and(|dir| PROGRAMS.iter().all(|program| dir.join(program.name).is_file()))
}

/// The directory of one Go module beside this crate.
fn module_dir(module: &str) -> PathBuf {
    paths::source().join(module)
}

/// The modules of a cluster's programs.
const CLUSTER: &[&str] = &["control-plane", "etcd", "kwok"];

/// Names what would be built: equal for equal Go modules.
fn fingerprint(modules: &[&str]) -> Result<String> {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for module in modules {
        for file in ["go.mod", "go.sum"] {
            let path = module_dir(module).join(file);
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            digest.update(&bytes);
        }
    }
    Ok(data_encoding::HEXLOWER.encode(&digest.finish().as_ref()[..6]))
}

fn build_all(missing: &[&Program], into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot make the directory {}", into.display()))?;
    // Two clusters that come up at once build once: the second waits here and then finds everything there.
    let lock = File::create(into.join("lock")).context("cannot make the lock file of the build")?;
    lock.lock().context("cannot lock the build of the cluster's programs")?;

    let missing: Vec<_> = missing.iter().filter(|program| !into.join(program.name).is_file()).collect();
    let seconds: u64 = missing.iter().map(|program| program.seconds).sum();
    if !missing.is_empty() {
        eprintln!(
            "Building {} from source, once: about {} on two cores, less if Go has built them before.",
            if missing.iter().all(|program| program.name == HELM.name) {
                HELM.name.to_owned()
            } else {
                format!("{} programs of Kubernetes {KUBERNETES}", missing.len())
            },
            words(Duration::from_secs(seconds)),
        );
    }
    let started = Instant::now();
    for (number, program) in missing.iter().enumerate() {
        eprintln!(
            "  building {} ({} of {}), at most {} …",
            program.name,
            number + 1,
            missing.len(),
            words(Duration::from_secs(program.seconds)),
        );
        build(program, into)?;
        eprintln!("  built {} [{} so far]", program.name, words(started.elapsed()));
    }
    Ok(())
}

fn build(program: &Program, into: &Path) -> Result<()> {
    const VERSION: &str = "k8s.io/component-base/version";
    // Without the version flags the server calls itself v0.0.0, and clients guess wrong about what it can do.
    let flags = format!("-s -w -X {VERSION}.gitVersion={KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=36");
    let unfinished = into.join(format!("{}.unfinished", program.name));
    let mut go = Command::new("go");
    go.current_dir(module_dir(program.module))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .args(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&unfinished)
        .arg(program.package);
    run_go(go, program.name)?;
    fs::rename(&unfinished, into.join(program.name)).with_context(|| format!("cannot move {} to its place", unfinished.display()))
}

/// Builds a static Go program of this repository. It may be running, for another cluster.
pub(crate) fn build_static(source: &Path, package: &str, output: &Path) -> Result<()> {
    let unfinished = output.with_extension(format!("{}.unfinished", std::process::id()));
    let mut go = Command::new("go");
    go.current_dir(source)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o"])
        .arg(&unfinished)
        .arg(package);
    run_go(go, &output.display().to_string())?;
    fs::rename(&unfinished, output).with_context(|| format!("cannot move {} to its place", unfinished.display()))
}

fn run_go(mut go: Command, what: &str) -> Result<()> {
    let child = go
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start `go`: install Go 1.26 or later and put it in PATH; the cluster is built with it")?;
    let status = wait_telling(child, what)?;
    if !status.success() {
        let command: Vec<OsString> = go.get_args().map(Into::into).collect();
        bail!("building {what} failed ({status}); its output is above. The command was: go {command:?}");
    }
    Ok(())
}

/// Waits for a build, with a sign of life every half minute: some take minutes without a word.
fn wait_telling(mut child: Child, what: &str) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut told = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for the build of {what}"))? {
            return Ok(status);
        }
        let elapsed = started.elapsed();
        if elapsed - told >= Duration::from_secs(30) {
            told = elapsed;
            eprintln!("    still building {what} [{}]", words(elapsed));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A duration as a person says it.
pub fn words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=9 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        seconds @ 10..=99 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_a_person_says_them() {
        assert_eq!(words(Duration::from_millis(3460)), "3.4 s");
        assert_eq!(words(Duration::from_secs(42)), "42 s");
        assert_eq!(words(Duration::from_secs(245)), "4 min 5 s");
    }

    #[test]
    fn every_program_that_a_cluster_needs_is_known() {
        for name in [CONTROL_PLANE, FAKE_NODE, REAL_NODE].concat() {
            assert!(PROGRAMS.iter().any(|program| program.name == name), "{name}");
        }
    }
}
