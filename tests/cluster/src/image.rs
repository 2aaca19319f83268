//! The images that run on a cluster with a real node.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bluegreen_image::{File, Image, Layer, Platform};

use crate::{binaries, paths};

/// The application that runs in pods of a cluster with a real node; `tests/app/shop` tells how it can be made to fail.
pub const SHOP: &str = "registry.example/shop";
/// What holds the namespaces of each pod.
pub(crate) const PAUSE: &str = "registry.example/pause:1";

/// An image of a static program, which runs as a user without rights.
fn of_program(reference: &str, program: &Path) -> Result<Image> {
    let content = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or("program");
    let platform = Platform::of_this_machine().context("images are made for amd64 and arm64 only")?;
    Ok(Image {
        reference: reference.to_owned(),
        entrypoint: format!("/{name}"),
        env: BTreeMap::new(),
        labels: BTreeMap::new(),
        created: None,
        layers: BTreeMap::from([(platform, Layer::plain(&[File { path: name, mode: 0o755, content: &content }])?)]),
    })
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
    let mut images = vec![of_program(PAUSE, &pause)?];
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
    of_program(SHOP, &build(programs, "shop")?)
}

fn build(programs: &Path, name: &str) -> Result<std::path::PathBuf> {
    fs::create_dir_all(programs).with_context(|| format!("cannot make the directory {}", programs.display()))?;
    let program = programs.join(name);
    binaries::build_static(&paths::repository().join("tests/app"), &format!("./{name}"), &program)?;
    Ok(program)
}
