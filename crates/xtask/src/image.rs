//! `cargo xtask image`: the operator's image, from source to an OCI layout, without a container tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use bluegreen_image::{File, Image, Layer, Platform, layout};
use clap::ValueEnum;

use crate::built::{build_in, cargo, root, target};
use crate::interrupt;

/// Users of the image: nobody runs as root.
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
/// Certificates of public authorities, as Debian keeps them. Sources outside of the cluster are asked by TLS.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Platform of the image; several make one image for all of them. Default: this machine's.
    #[arg(long = "platform", value_name = "PLATFORM", value_enum)]
    platforms: Vec<Of>,
    /// Full name of the image. Default: the one that the tests' clusters know, with the version as its tag.
    #[arg(long, value_name = "NAME:TAG")]
    reference: Option<String>,
    /// File to write. Default: target/image/bluegreen-VERSION.tar
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    Amd64,
    Arm64,
}

impl From<Of> for Platform {
    fn from(of: Of) -> Self {
        match of {
            Of::Amd64 => Self::Amd64,
            Of::Arm64 => Self::Arm64,
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    interrupt::watch()?;
    let mut platforms: Vec<Platform> = options.platforms.iter().map(|of| (*of).into()).collect();
    if platforms.is_empty() {
        platforms.push(Platform::of_this_machine().context("the image is made for amd64 and arm64: name one with --platform")?);
    }
    let version = env!("CARGO_PKG_VERSION");
    let reference = options.reference.clone().unwrap_or_else(known_to_tests);
    let last = reference.rsplit('/').next().unwrap_or_default();
    ensure!(last.contains(':') && !reference.contains('@'), "--reference must end with a tag, as registry.example/bluegreen:{version}");
    let (image, programs) = image(&reference, &platforms)?;
    let path = options.output.clone().unwrap_or_else(|| target().join(format!("image/bluegreen-{version}.tar")));
    let packed = layout(std::slice::from_ref(&image))?;
    fs::create_dir_all(path.parent().context("the image needs a directory")?).context("cannot make the directory of the image")?;
    fs::write(&path, &packed).with_context(|| format!("cannot write {}", path.display()))?;
    for (platform, layer) in &image.layers {
        let program = programs.get(platform).copied().unwrap_or_default();
        println!("{}: {:.1} MB compressed; the program has {:.1} MB", platform.as_str(), mega(layer.size()), mega(program));
    }
    let (name, file) = (&image.reference, path.display());
    println!("\n{name} in {file}\n\nLoad it, or push it:");
    println!("  ctr -n k8s.io images import {file}\n  docker load -i {file}\n  skopeo copy oci-archive:{file} docker://{name}");
    let repository = name.strip_suffix(last).unwrap_or_default().to_owned() + last.split(':').next().unwrap_or_default();
    println!("\nThen install the operator:\n  helm install bluegreen charts/bluegreen -n bluegreen-system --create-namespace --wait \\");
    println!("    --set image.repository={repository} --set image.tag={}", last.split(':').nth(1).unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

fn known_to_tests() -> String {
    format!("registry.example/bluegreen:{}", env!("CARGO_PKG_VERSION"))
}

fn mega(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// The image that tests install: of this machine's platform, under the name that they know. Answers with its file.
pub(crate) fn for_tests() -> Result<PathBuf> {
    let platform = Platform::of_this_machine().context("the image is made for amd64 and arm64")?;
    let (image, _) = image(&known_to_tests(), &[platform])?;
    let path = target().join("image/for-tests.tar");
    fs::write(&path, layout(&[image])?).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The image under this name, and the bytes of its program on each platform.
fn image(reference: &str, platforms: &[Platform]) -> Result<(Image, BTreeMap<Platform, usize>)> {
    let commit = Commit::read()?;
    let certificates =
        fs::read(CERTIFICATES).with_context(|| format!("cannot read {CERTIFICATES}: install Debian's package ca-certificates"))?;
    let license = fs::read(root().join("LICENSE")).context("cannot read LICENSE")?;
    let (mut layers, mut sizes) = (BTreeMap::new(), BTreeMap::new());
    for platform in platforms {
        let program = fs::read(program(*platform, &commit)?).context("cannot read the operator")?;
        let files = [
            File { path: "bluegreen-operator", mode: 0o755, content: &program },
            File { path: CERTIFICATES.trim_start_matches('/'), mode: 0o644, content: &certificates },
            File { path: "etc/passwd", mode: 0o644, content: PASSWD.as_bytes() },
            File { path: "LICENSE", mode: 0o644, content: &license },
        ];
        layers.insert(*platform, Layer::compressed(&files)?);
        sizes.insert(*platform, program.len());
    }
    let label = |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.to_owned());
    let labels = [
        label("title", "bluegreen"),
        label("description", "Operates BlueGreenRollouts"),
        label("version", env!("CARGO_PKG_VERSION")),
        label("revision", &commit.name),
        label("licenses", "Apache-2.0"),
    ];
    let image = Image {
        reference: reference.to_owned(),
        entrypoint: "/bluegreen-operator".into(),
        env: BTreeMap::from([("SSL_CERT_FILE".into(), CERTIFICATES.into())]),
        labels: labels.into(),
        created: Some(commit.time),
        layers,
    };
    Ok((image, sizes))
}

/// The commit that is built: its time is the image's, so that the same sources make the same image.
struct Commit {
    name: String,
    time: String,
}

impl Commit {
    fn read() -> Result<Self> {
        let git = |words: &[&str]| -> Result<String> {
            let output = Command::new("git").current_dir(root()).args(words).output().context("cannot start git")?;
            ensure!(output.status.success(), "this is no checkout by git, whose commit the image could name");
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
        let name = git(&["rev-parse", "HEAD"])? + if changed.is_empty() { "" } else { "-changed" };
        let seconds: i64 = git(&["log", "-1", "--format=%ct"])?.parse().context("git tells no time of the commit")?;
        let time = jiff::Timestamp::from_second(seconds).context("the commit has no time that there is")?.to_string();
        Ok(Self { name, time })
    }
}

/// The operator as one static program.
fn program(platform: Platform, commit: &Commit) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-musl", platform.rust());
    add_target(&triple)?;
    eprintln!("Building the operator for {triple}: about ten minutes on two cores the first time, seconds if nothing changed.");
    let mut cargo = cargo();
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    // Neither the machine's directories nor the checkout's are in the program.
    let moved = [(home.unwrap_or_default(), "/cargo"), (root().to_owned(), "/bluegreen")];
    let remapped = moved.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let linked = ["-Clink-self-contained=yes", "-Clinker=rust-lld", "-Ctarget-feature=+crt-static"].map(str::to_owned);
    let flags: Vec<_> = remapped.chain(linked).collect();
    let prefixes: Vec<_> = moved.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).collect();
    let key = triple.replace('-', "_");
    let compiler = compiler(platform)?;
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env(format!("CC_{key}"), compiler.0)
        .env(format!("AR_{key}"), compiler.1)
        .env(format!("CFLAGS_{key}"), prefixes.join(" "))
        .env("BLUEGREEN_VERSION", format!("{} (commit {})", env!("CARGO_PKG_VERSION"), commit.name));
    let directory = target().join("image/build");
    let words = ["build", "--release", "--locked", "--package=bluegreen-operator", "--target", &triple];
    let target_dir = ["--target-dir", &directory.display().to_string()].map(str::to_owned);
    let words: Vec<&str> = words.into_iter().chain(target_dir.iter().map(String::as_str)).collect();
    let built = build_in(cargo, &words)?;
    let operator = built.into_iter().find(|built| built.target == "bluegreen-operator" && !built.is_test);
    Ok(operator.context("cargo built no operator")?.path)
}

/// A C compiler and an archiver for the few C files of the TLS library: this machine's own, or clang for another platform.
fn compiler(platform: Platform) -> Result<(&'static str, &'static str)> {
    if Platform::of_this_machine() == Some(platform) {
        return Ok(("cc", "ar"));
    }
    for found in [("clang-16", "llvm-ar-16"), ("clang", "llvm-ar")] {
        let runs = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if runs(found.0) && runs(found.1) {
            return Ok(found);
        }
    }
    bail!("for {} the image needs clang: install Debian's packages clang-16 and llvm-16", platform.as_str())
}

/// Rust's standard library for a platform, downloaded once.
fn add_target(triple: &str) -> Result<()> {
    let rustc = Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()).output().context("cannot start rustc")?;
    let sysroot = String::from_utf8_lossy(&rustc.stdout).trim().to_owned();
    if Path::new(&sysroot).join("lib/rustlib").join(triple).is_dir() {
        return Ok(());
    }
    eprintln!("Installing Rust's standard library for {triple} (seconds, once) …");
    let mut rustup = Command::new("rustup");
    let status = rustup.current_dir(root()).args(["target", "add", triple]).status().context("cannot start rustup")?;
    ensure!(status.success(), "rustup can't install the target {triple} ({status}); its errors are above");
    Ok(())
}
