//! Container images without a container tool and without a registry: one layer from scratch, written as a tar of an OCI image layout,
//! which `ctr`, `skopeo`, `crane` and `docker load` read. The same content makes the same bytes, on every machine.

mod layout;
mod tar;

pub use layout::layout;

use anyhow::Result;
use std::{collections::BTreeMap, sync::Arc};
use tar::Tar;

/// The user that programs run as: nobody's, and without rights.
pub const USER: u32 = 65532;

/// What a machine runs, by Go's words, as images have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    Amd64,
    Arm64,
}

impl Platform {
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// This machine's, if images are made for it.
    pub fn of_this_machine() -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.rust() == std::env::consts::ARCH)
    }

    /// As images name it: `amd64`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As Rust names it: `x86_64`.
    pub const fn rust(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

/// A file of a layer: a path without its first slash, its mode, and its content. Its owner is root, its time 1970.
pub struct File<'a> {
    pub path: &'a str,
    pub mode: u32,
    pub content: &'a [u8],
}

/// The only layer of an image.
#[derive(Clone, Debug)]
pub struct Layer {
    /// As it is stored: a tar, or its gzip.
    stored: Arc<[u8]>,
    /// Of the tar itself.
    diff_id: Arc<str>,
    is_gzip: bool,
}

impl Layer {
    /// As a tar, for images that stay on one machine.
    ///
    /// # Errors
    ///
    /// A path or a content is too long for a tar.
    pub fn plain(files: &[File<'_>]) -> Result<Self> {
        let tar = written(files)?;
        Ok(Self { diff_id: layout::digest(&tar).into(), stored: tar.into(), is_gzip: false })
    }

    /// As its gzip, for images that go to a registry.
    ///
    /// # Errors
    ///
    /// A path or a content is too long for a tar.
    pub fn compressed(files: &[File<'_>]) -> Result<Self> {
        let tar = written(files)?;
        let mut gzip = flate2::GzBuilder::new().mtime(0).read(tar.as_slice(), flate2::Compression::best());
        let mut stored = Vec::new();
        std::io::Read::read_to_end(&mut gzip, &mut stored)?;
        Ok(Self { diff_id: layout::digest(&tar).into(), stored: stored.into(), is_gzip: true })
    }

    /// Bytes as they are stored.
    pub fn size(&self) -> usize {
        self.stored.len()
    }
}

/// In the order of their paths, so that nobody's order makes another image.
fn written(files: &[File<'_>]) -> Result<Vec<u8>> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_unstable_by_key(|file| file.path);
    let mut tar = Tar::default();
    for file in files {
        tar.append(file.path, file.mode, file.content)?;
    }
    Ok(tar.finish())
}

/// An image: one program of one layer a platform, run by a user without rights.
#[derive(Clone, Debug)]
pub struct Image {
    /// The full reference: `registry.example/shop:1.0.0`.
    pub reference: String,
    pub entrypoint: String,
    pub env: BTreeMap<String, String>,
    /// `org.opencontainers.image.…`
    pub labels: BTreeMap<String, String>,
    /// When it was made, in RFC 3339; a time that follows from the sources, for the same image twice.
    pub created: Option<String>,
    pub layers: BTreeMap<Platform, Layer>,
}

impl Image {
    /// The same programs under another reference, with an environment of its own.
    pub fn variant(&self, reference: &str, env: &[(&str, &str)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { reference: reference.to_owned(), env, ..self.clone() }
    }
}
