//! Container images without a registry and without a container tool: a Docker archive is a tar of three kinds of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::{binaries, paths};

/// The application that runs in pods of a cluster with a real node; `tests/app/shop` tells how it can be made to fail.
pub const SHOP: &str = "registry.example/shop";
/// What holds the namespaces of each pod.
pub(crate) const PAUSE: &str = "registry.example/pause:1";

/// An image of one static program.
#[derive(Debug, Clone)]
pub struct Image {
    /// The full reference: `registry.example/shop:1.0.0`.
    pub reference: String,
    /// The layer's tar: images of one program share it.
    layer: std::sync::Arc<[u8]>,
    entrypoint: String,
    env: BTreeMap<String, String>,
}

impl Image {
    /// An image that runs a static program as a user without rights.
    pub fn of_program(reference: &str, program: &Path) -> Result<Self> {
        let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let name = program.file_name().and_then(|name| name.to_str()).unwrap_or("program");
        let mut layer = Tar::default();
        layer.append(name, 0o755, &bytes)?;
        Ok(Self { reference: reference.to_owned(), layer: layer.finish().into(), entrypoint: format!("/{name}"), env: BTreeMap::new() })
    }

    /// The same program under another reference, with an environment of its own.
    pub fn variant(&self, reference: &str, env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { reference: reference.to_owned(), env, ..self.clone() }
    }
}

/// How a version of the shop goes wrong, by the end of its tag. The names that fake nodes know mean the same there.
const FATES: &[(&str, &[(&str, &str)])] = &[
    ("", &[]),
    ("-unready", &[("READY", "false")]),
    ("-slow", &[("READY_AFTER", "5s")]),
    ("-crash", &[("CRASH_AFTER", "500ms")]),
    ("-errors", &[("ERROR_RATE", "0.2")]),
    ("-latency", &[("LATENCY", "500ms")]),
    // Good as long as only checks reach it, bad from the moment that users do: 66 requests a second come to a pod then. The few of checks
    // may come all at once after a moment in which nothing ran.
    ("-errors-under-load", &[("ERROR_RATE", "0.2"), ("BAD_ABOVE_RPS", "40")]),
    ("-latency-under-load", &[("LATENCY", "500ms"), ("BAD_ABOVE_RPS", "40")]),
];

/// The images that every cluster with a real node has: the pause image, and versions 1.0.0 to 9.0.0 of the shop, each
/// also in its bad variants. There is no `-missing`: that is what makes it missing.
pub(crate) fn standard(programs: &Path) -> Result<Vec<Image>> {
    let shop = shop(programs)?;
    let pause = build(programs, "pause")?;
    let mut images = vec![Image::of_program(PAUSE, &pause)?];
    for major in 1..=9 {
        for (fate, env) in FATES {
            let version = format!("{major}.0.0{fate}");
            let env = [*env, &[("VERSION", version.as_str())]].concat();
            images.push(shop.variant(&format!("{SHOP}:{version}"), &env));
        }
    }
    Ok(images)
}

/// Versions of the shop, by their tags: `1.0.0`, `3.0.0-crash`.
pub fn shop_versions(tags: &[&str]) -> Result<Vec<Image>> {
    let references: Vec<_> = tags.iter().map(|tag| format!("{SHOP}:{tag}")).collect();
    let mut images = standard(&paths::own_programs())?;
    images.retain(|image| references.contains(&image.reference));
    ensure!(images.len() == tags.len(), "of the versions {tags:?} of the shop, there are only {}", images.len());
    Ok(images)
}

/// The shop, without a version: give it one by [`Image::variant`] and `VERSION`.
pub(crate) fn shop(programs: &Path) -> Result<Image> {
    Image::of_program(SHOP, &build(programs, "shop")?)
}

fn build(programs: &Path, name: &str) -> Result<std::path::PathBuf> {
    fs::create_dir_all(programs).with_context(|| format!("cannot make the directory {}", programs.display()))?;
    let program = programs.join(name);
    binaries::build_static(&paths::repository().join("tests/app"), &format!("./{name}"), &program)?;
    Ok(program)
}

/// Packs images into a Docker archive, as `ctr images import` and `docker load` read it.
pub fn archive(images: &[Image]) -> Result<Vec<u8>> {
    let mut tar = Tar::default();
    let mut layers = BTreeMap::new();
    let mut manifest = Vec::new();
    for image in images {
        let digest = sha256(&image.layer);
        let layer = format!("{digest}.tar");
        if layers.insert(digest.clone(), ()).is_none() {
            tar.append(&layer, 0o644, &image.layer)?;
        }
        let config = config(image, &digest).to_string();
        let config_name = format!("{}.json", sha256(config.as_bytes()));
        tar.append(&config_name, 0o644, config.as_bytes())?;
        manifest.push(json!({"Config": config_name, "RepoTags": [image.reference], "Layers": [layer]}));
    }
    tar.append("manifest.json", 0o644, Value::from(manifest).to_string().as_bytes())?;
    Ok(tar.finish())
}

fn config(image: &Image, layer: &str) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let env: Vec<_> = image.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [image.entrypoint], "Env": env, "User": "65532:65532", "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        // containerd matches layers and history by number.
        "history": [{"created_by": "bluegreen-cluster"}],
    })
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// A writer of plain tar files: names up to 100 bytes, no directories, the same bytes for the same content.
#[derive(Default)]
struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    fn append(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        ensure!(name.len() < 100, "{name} is too long a name for a file in a tar");
        if content.len() >= 1 << 33 {
            bail!("{name} is too large for a tar: {} bytes", content.len());
        }
        let mut header = [0u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000");
        // The checksum is taken with spaces in its place.
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\0");
        put(263, "00");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let mut tar = Tar::default();
        tar.append("one", 0o755, b"first").unwrap();
        tar.append("two", 0o644, &[b'x'; 600]).unwrap();
        let path = std::env::temp_dir().join(format!("bluegreen-tar-{}.tar", std::process::id()));
        fs::write(&path, tar.finish()).unwrap();
        let listed = std::process::Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        fs::remove_file(&path).unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains("-rwxr-xr-x") && listed.contains("one") && listed.contains(" 600 "), "{listed}");
    }

    #[test]
    fn images_of_one_program_share_its_layer() {
        let layer: std::sync::Arc<[u8]> = vec![0; 512].into();
        let one = Image { reference: "r/a:1".to_owned(), layer, entrypoint: "/a".to_owned(), env: BTreeMap::new() };
        let two = one.variant("r/a:2", &[("VERSION", "2")]);
        let packed = archive(&[one.clone(), two]).unwrap();
        let single = archive(&[one]).unwrap();
        assert!(packed.len() < single.len() + 3 * 1024, "{} and {}", packed.len(), single.len());
    }
}
