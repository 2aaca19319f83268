//! The content of the revision that `spec` asks for.

use bluegreen_api::{BlueGreenRolloutSpec, ServicePort, depth};
use bluegreen_gates::{hash, invalid::Invalid};
use serde_json::{Value, json};

/// What must change together to serve, as `spec` has it: a revision is named by its digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// SHA-256, in lower-case base 32, over the canonical JSON (RFC 8785) of template and ports as they are stored, without null map entries.
    pub digest: String,
    pub image: String,
    /// The pod template with the image put in.
    pub template: Value,
    pub ports: Vec<ServicePort>,
}

impl Content {
    pub fn of(spec: &BlueGreenRolloutSpec, rollout: &str) -> Result<Self, Invalid> {
        let (template, image) = with_image(spec, rollout)?;
        let ports = spec.service.ports.clone();
        Ok(Self { digest: digest(&template, &ports), image, template, ports })
    }
}

pub(crate) fn digest(template: &Value, ports: &[ServicePort]) -> String {
    hash::hash(&json!({"template": template, "ports": ports}))
}

/// The template with `spec.image` in its container, and the image that names the revision to people.
fn with_image(spec: &BlueGreenRolloutSpec, name: &str) -> Result<(Value, String), Invalid> {
    if depth::is_too_deep(&spec.template.0) {
        return Err(Invalid(format!("spec.template is nested deeper than {} levels: no field of a pod is", depth::DEEPEST)));
    }
    let mut template = spec.template.0.clone();
    let containers = template.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        return Err(Invalid("spec.template has no containers: add one to spec.template.spec.containers".into()));
    };
    let index = chosen(containers, spec, name)?;
    let container = &mut containers[index];
    let container_name = container["name"].as_str().unwrap_or_default().to_owned();
    let own = container.get("image").and_then(Value::as_str).filter(|image| !image.is_empty()).map(str::to_owned);
    let image = match (&spec.image, own) {
        (Some(_), Some(_)) => {
            return Err(Invalid(format!(
                "two images: spec.image and the image of container {container_name} in spec.template are both set; keep one"
            )));
        }
        (None, None) => {
            return Err(Invalid(format!("no image: set spec.image, or the image of container {container_name} in spec.template")));
        }
        (Some(image), None) => {
            let Some(fields) = container.as_object_mut() else {
                return Err(Invalid("a container in spec.template.spec.containers is not an object with a name".into()));
            };
            fields.insert("image".into(), Value::String(image.clone()));
            image.clone()
        }
        (None, Some(own)) => own,
    };
    Ok((template, image))
}

/// The image that names a revision to people, of a template as it runs.
pub(crate) fn image_in(template: &Value, spec: &BlueGreenRolloutSpec, name: &str) -> Option<String> {
    let containers = template.pointer("/spec/containers")?.as_array()?;
    let container = containers.get(chosen(containers, spec, name).ok()?)?;
    container.get("image").and_then(Value::as_str).map(str::to_owned)
}

fn chosen(containers: &[Value], spec: &BlueGreenRolloutSpec, name: &str) -> Result<usize, Invalid> {
    let position = |wanted: &str| containers.iter().position(|container| container["name"].as_str() == Some(wanted));
    let names = || containers.iter().filter_map(|container| container["name"].as_str()).collect::<Vec<_>>().join(", ");
    match &spec.container {
        Some(wanted) => position(wanted)
            .ok_or_else(|| Invalid(format!("spec.container names {wanted}, but the containers in spec.template are: {}", names()))),
        None if containers.len() == 1 || spec.image.is_none() => Ok(position(name).unwrap_or(0)),
        None => position(name).ok_or_else(|| {
            Invalid(format!("spec.template has several containers ({}): name the one that gets spec.image in spec.container", names()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asked::tests::spec;
    use serde_json::json;

    fn with_containers(containers: &Value, image: Option<&str>, container: Option<&str>) -> BlueGreenRolloutSpec {
        spec(&json!({"template": {"spec": {"containers": containers}}, "image": image, "container": container}))
    }

    #[test]
    fn the_image_goes_into_the_container_it_is_meant_for() {
        let bare = |name: &str| json!({"name": name});
        let made = |name: &str, image: &str| json!({"name": name, "image": image});
        let image = Some("shop:2");
        let cases = [
            (json!([bare("main")]), image, None, "shop:2", json!([made("main", "shop:2")])),
            (json!([bare("proxy"), bare("shop")]), image, None, "shop:2", json!([bare("proxy"), made("shop", "shop:2")])),
            (json!([bare("proxy"), bare("shop")]), image, Some("proxy"), "shop:2", json!([made("proxy", "shop:2"), bare("shop")])),
            (json!([made("main", "")]), image, None, "shop:2", json!([made("main", "shop:2")])),
            (json!([made("a", "a:1"), made("shop", "b:1")]), None, None, "b:1", json!([made("a", "a:1"), made("shop", "b:1")])),
            (json!([made("a", "a:1"), made("b", "b:1")]), None, None, "a:1", json!([made("a", "a:1"), made("b", "b:1")])),
        ];
        for (containers, image, container, expected, written) in cases {
            let (template, named) = with_image(&with_containers(&containers, image, container), "shop").unwrap();
            assert_eq!((named.as_str(), &template["spec"]["containers"]), (expected, &written), "{containers}");
        }
    }

    #[test]
    fn an_image_for_no_container_is_refused_with_what_to_do() {
        let (one, two) = (json!([{"name": "main", "image": "main:1"}]), json!([{"name": "a"}, {"name": "b"}]));
        let cases = [
            (json!([]), None, None, "spec.template has no containers: add one to spec.template.spec.containers"),
            (
                one.clone(),
                Some("shop:2"),
                None,
                "two images: spec.image and the image of container main in spec.template are both set; keep one",
            ),
            (two.clone(), None, None, "no image: set spec.image, or the image of container a in spec.template"),
            (
                two.clone(),
                Some("shop:2"),
                None,
                "spec.template has several containers (a, b): name the one that gets spec.image in spec.container",
            ),
            (two, Some("shop:2"), Some("c"), "spec.container names c, but the containers in spec.template are: a, b"),
            (json!(["a"]), Some("shop:2"), None, "a container in spec.template.spec.containers is not an object with a name"),
        ];
        for (containers, image, container, expected) in cases {
            let error = with_image(&with_containers(&containers, image, container), "shop").unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
