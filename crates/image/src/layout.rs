//! The OCI image layout: blobs by their digests, and an index of what each image is called.
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use super::{Image, Layer, Platform, USER, tar::Tar};
use anyhow::Result;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Packs images into a tar of one layout. Images of one program share its layer.
///
/// # Errors
///
/// A content is too long for a tar.
pub fn layout(images: &[Image]) -> Result<Vec<u8>> {
    let mut blobs = Blobs::default();
    let named: Vec<_> = images.iter().map(|image| named(image, &mut blobs)).collect();
    let mut tar = Tar::default();
    tar.append("oci-layout", 0o644, json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes())?;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": named});
    tar.append("index.json", 0o644, index.to_string().as_bytes())?;
    for (digest, content) in &blobs.0 {
        tar.append(&format!("blobs/sha256/{}", digest.trim_start_matches("sha256:")), 0o644, content)?;
    }
    Ok(tar.finish())
}

#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Keeps a content, and answers with the descriptor that names it.
    fn add(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = digest(content);
        self.0.entry(digest.clone()).or_insert_with(|| content.to_vec());
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }
}

/// One descriptor an image, of an index of its platforms: by its full name for containerd, by its tag for others.
fn named(image: &Image, blobs: &mut Blobs) -> Value {
    let platforms: Vec<_> = image.layers.iter().map(|(platform, layer)| of_platform(image, *platform, layer, blobs)).collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": platforms, "annotations": image.labels});
    let mut descriptor = blobs.add(INDEX, index.to_string().as_bytes());
    let tag = image.reference.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("latest", |(_, tag)| tag);
    descriptor["annotations"] = json!({"io.containerd.image.name": image.reference, "org.opencontainers.image.ref.name": tag});
    descriptor
}

fn of_platform(image: &Image, platform: Platform, layer: &Layer, blobs: &mut Blobs) -> Value {
    let env: Vec<_> = image.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut history = json!({"created_by": "bluegreen"});
    let mut config = json!({
        "architecture": platform.as_str(),
        "os": "linux",
        "config": {"Entrypoint": [image.entrypoint], "Env": env, "Labels": image.labels, "User": format!("{USER}:{USER}"), "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [&*layer.diff_id]},
    });
    if let Some(created) = &image.created {
        (config["created"], history["created"]) = (json!(created), json!(created));
    }
    // containerd matches layers and history by number.
    config["history"] = json!([history]);
    let config = blobs.add(CONFIG, config.to_string().as_bytes());
    let media_type = if layer.is_gzip { format!("{LAYER}+gzip") } else { LAYER.to_owned() };
    let layer = blobs.add(&media_type, &layer.stored);
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer], "annotations": image.labels});
    let mut descriptor = blobs.add(MANIFEST, manifest.to_string().as_bytes());
    descriptor["platform"] = json!({"architecture": platform.as_str(), "os": "linux"});
    descriptor
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::File;

    fn image(layer: Layer) -> Image {
        Image {
            reference: "registry.example/web/shop:1.0.0".into(),
            entrypoint: "/shop".into(),
            env: BTreeMap::new(),
            labels: BTreeMap::from([("org.opencontainers.image.version".into(), "1.0.0".into())]),
            created: Some("2026-01-01T00:00:00Z".into()),
            layers: BTreeMap::from([(Platform::Arm64, layer.clone()), (Platform::Amd64, layer)]),
        }
    }

    fn files() -> [File<'static>; 2] {
        [File { path: "shop", mode: 0o755, content: &[7; 4096] }, File { path: "etc/passwd", mode: 0o644, content: b"root:x:0:0\n" }]
    }

    /// Each digest is that of its content, down to the layer.
    #[test]
    fn a_layout_names_everything_by_its_digest() {
        let image = image(Layer::compressed(&files()).unwrap());
        let mut blobs = Blobs::default();
        let descriptor = named(&image, &mut blobs);
        let read = |descriptor: &Value| -> Value {
            let content = &blobs.0[descriptor["digest"].as_str().unwrap()];
            assert_eq!((descriptor["size"].as_u64().unwrap(), &descriptor["digest"]), (content.len() as u64, &json!(digest(content))));
            serde_json::from_slice(content).unwrap()
        };
        let names = json!({"io.containerd.image.name": "registry.example/web/shop:1.0.0", "org.opencontainers.image.ref.name": "1.0.0"});
        assert_eq!(descriptor["annotations"], names);
        let index = read(&descriptor);
        let platforms: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|it| it["platform"]["architecture"].as_str()).collect();
        assert_eq!(platforms, [Some("amd64"), Some("arm64")]);
        let manifest = read(&index["manifests"][0]);
        let config = read(&manifest["config"]);
        assert_eq!((&config["config"]["User"], &config["created"]), (&json!("65532:65532"), &json!("2026-01-01T00:00:00Z")));
        let layer = &blobs.0[manifest["layers"][0]["digest"].as_str().unwrap()];
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(layer.as_slice()), &mut tar).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&tar));
    }

    #[test]
    fn the_same_content_makes_the_same_bytes() {
        let [one, other] = files();
        let layers = [Layer::compressed(&[one, other]).unwrap(), {
            let [one, other] = files();
            Layer::compressed(&[other, one]).unwrap()
        }];
        let [one, other] = layers.map(|layer| layout(&[image(layer)]).unwrap());
        assert_eq!(one, other, "whatever the order of its files");
    }

    #[test]
    fn images_of_one_program_share_its_layer() {
        let one = image(Layer::plain(&files()).unwrap());
        let two = one.variant("registry.example/web/shop:2.0.0", &[("VERSION", "2")]);
        let (single, packed) = (layout(std::slice::from_ref(&one)).unwrap(), layout(&[one, two]).unwrap());
        assert!(packed.len() < single.len() + 8 * 1024, "{} and {}", packed.len(), single.len());
    }
}
