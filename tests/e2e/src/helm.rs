//! Helm, as people install the chart by it.

use crate::{Ground, ground::Output};
use bluegreen_cluster::{binaries, paths::repository};
use serde_json::Value;
use std::{path::PathBuf, process::Stdio};

/// From the root of the repository, as the README has it.
pub const CHART: &str = "charts/bluegreen";

pub struct Helm {
    ground: &'static Ground,
    program: PathBuf,
}

impl Helm {
    /// Built when it is first needed.
    pub fn on(ground: &'static Ground) -> Self {
        Self { ground, program: binaries::helm().unwrap() }
    }

    pub fn told(&self, words: &[&str]) -> Output {
        let home = self.ground.directory("helm");
        let mut helm = self.ground.command(&self.program);
        helm.current_dir(repository()).args(words);
        for directory in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(directory, home.join(directory));
        }
        Output::of(&helm.stdin(Stdio::null()).output().unwrap())
    }

    /// It has to succeed.
    pub fn run(&self, words: &[&str]) -> String {
        let told = self.told(words);
        assert!(told.success, "helm {} failed: {}\n{}", words.join(" "), told.error, told.output);
        told.output
    }
}

/// Names and uids of all objects of these kinds in a namespace. What is on its way out is left out.
pub fn uids(ground: &Ground, kinds: &str, namespace: &str) -> Vec<(String, String)> {
    let listed: Value = serde_json::from_str(&ground.run(&["get", kinds, "-n", namespace, "-o", "json"])).unwrap();
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap().to_owned();
    let stays = |object: &&Value| object["metadata"]["deletionTimestamp"].is_null();
    let objects = listed["items"].as_array().unwrap().iter().filter(stays);
    let mut all: Vec<_> = objects.map(|object| (text(object, "name"), text(object, "uid"))).collect();
    all.sort();
    all
}
