//! Where clusters and their programs live on disk.

use std::path::{Path, PathBuf};

/// The source of this crate: the Go modules and the files that clusters are made from lie in it.
pub(crate) fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    source().ancestors().nth(2).unwrap_or(source()).to_path_buf()
}

/// Where everything of clusters is kept: below `target/`, so that `cargo clean` takes it away.
pub fn cluster_root() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    std::path::absolute(&target).unwrap_or(target).join("cluster")
}

/// Where small programs of this repository are built to, for images and for the node.
pub(crate) fn own_programs() -> PathBuf {
    cluster_root().join("bin").join("own")
}

/// The directory of one cluster.
pub fn cluster_dir(name: &str) -> PathBuf {
    cluster_root().join(name)
}
