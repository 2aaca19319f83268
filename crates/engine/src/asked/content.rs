//! The content of the revision that `spec` asks for.

use bluegreen_api::{BlueGreenRolloutSpec, ServicePort, depth};
use bluegreen_gates::{hash, invalid::Invalid};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

/// As the schema bounds `spec.image`: status names it for each side and each attempt.
const LONGEST_IMAGE: usize = 1024;

/// What must change together to serve, as `spec` has it: a revision is named by its digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// SHA-256, in lower-case base 32, over the canonical JSON (RFC 8785) of template and ports as they are stored, without null map entries.
    pub digest: String,
    pub image: String,
    /// The pod template with the image put in.
    pub template: Value,
    pub ports: Vec<ServicePort>,
    /// Ports of the pods that a Service is to lead to by number, and that no container declares.
    pub undeclared: Vec<i32>,
}

impl Content {
    pub fn of(spec: &BlueGreenRolloutSpec, rollout: &str) -> Result<Self, Invalid> {
        let (template, image) = with_image(spec, rollout)?;
        let ports = spec.service.ports.clone();
        Ok(Self { digest: digest(&template, &ports), image, undeclared: undeclared(&template, &ports), template, ports })
    }
}

fn undeclared(template: &Value, ports: &[ServicePort]) -> Vec<i32> {
    let containers = ["containers", "initContainers"].into_iter().filter_map(|list| template["spec"][list].as_array()).flatten();
    let declared: Vec<_> = containers
        .filter_map(|container| container["ports"].as_array())
        .flatten()
        .map(|port| (port["containerPort"].as_i64(), port["protocol"].as_str().unwrap_or("TCP")))
        .collect();
    let led_to = ports.iter().filter_map(|port| match &port.target_port {
        None => Some((port.port, port.protocol())),
        Some(IntOrString::Int(number)) => Some((*number, port.protocol())),
        Some(IntOrString::String(_)) => None,
    });
    let mut undeclared: Vec<_> = led_to
        .filter(|(number, protocol)| !declared.contains(&(Some(i64::from(*number)), protocol.as_str())))
        .map(|(number, _)| number)
        .collect();
    undeclared.dedup();
    undeclared
}

pub(crate) fn digest(template: &Value, ports: &[ServicePort]) -> String {
    hash::hash(&json!({"template": template, "ports": ports}))
}

/// The template with `spec.image` in its containers, and the image that names the revision to people.
fn with_image(spec: &BlueGreenRolloutSpec, name: &str) -> Result<(Value, String), Invalid> {
    if depth::is_too_deep(&spec.template.0) {
        return Err(Invalid(format!("spec.template is nested deeper than {} levels: no field of a pod is", depth::DEEPEST)));
    }
    let mut template = spec.template.0.clone();
    let mut named = None;
    for (list, index) in chosen(&template, spec, name)? {
        let Some(container) = template.pointer_mut(&format!("/spec/{list}/{index}")) else { continue };
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
                    return Err(Invalid(format!("a container in spec.template.spec.{list} is not an object with a name")));
                };
                fields.insert("image".into(), Value::String(image.clone()));
                image.clone()
            }
            (None, Some(own)) => own,
        };
        if image.chars().count() > LONGEST_IMAGE {
            let why = format!("the image of container {container_name} has more than {LONGEST_IMAGE} characters: shorten its name");
            return Err(Invalid(why));
        }
        named.get_or_insert(image);
    }
    // A key without a value is written by nobody: server-side apply refuses it.
    Ok((hash::without_nulls(&template), named.unwrap_or_default()))
}

/// The image that names a revision to people, of a template as it runs.
pub(crate) fn image_in(template: &Value, spec: &BlueGreenRolloutSpec, name: &str) -> Option<String> {
    let (list, index) = *chosen(template, spec, name).ok()?.first()?;
    template.pointer(&format!("/spec/{list}/{index}/image")).and_then(Value::as_str).map(str::to_owned)
}

/// Lists of containers of a template: those that serve, and those that come before them.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// The containers that get `spec.image`, at least one, by their lists and their places there.
fn chosen(template: &Value, spec: &BlueGreenRolloutSpec, name: &str) -> Result<Vec<(&'static str, usize)>, Invalid> {
    let containers = |list: &str| template["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers("containers").is_empty() {
        return Err(Invalid("spec.template has no containers: add one to spec.template.spec.containers".into()));
    }
    let position = |list: &str, wanted: &str| containers(list).iter().position(|container| container["name"].as_str() == Some(wanted));
    let names = |lists: &[&str]| {
        let all = lists.iter().flat_map(|list| containers(list)).filter_map(|container| container["name"].as_str());
        all.collect::<Vec<_>>().join(", ")
    };
    let (wanted, field) = match (&spec.container, spec.containers.as_slice()) {
        (Some(_), [_, ..]) => return Err(Invalid("spec.container is the short form of spec.containers: set one of them".into())),
        (Some(container), []) => (std::slice::from_ref(container), "container"),
        (None, several) => (several, "containers"),
    };
    let found = wanted.iter().map(|wanted| {
        let place = LISTS.into_iter().find_map(|list| Some((list, position(list, wanted)?)));
        place.ok_or_else(|| Invalid(format!("spec.{field} names {wanted}, but the containers in spec.template are: {}", names(&LISTS))))
    });
    if !wanted.is_empty() {
        return found.collect();
    }
    let index = match position("containers", name) {
        Some(index) => index,
        None if containers("containers").len() == 1 || spec.image.is_none() => 0,
        None => {
            return Err(Invalid(format!(
                "spec.template has several containers ({}): name the one that gets spec.image in spec.container",
                names(&["containers"])
            )));
        }
    };
    Ok(vec![("containers", index)])
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

    fn with_init(containers: &Value, image: Option<&str>) -> BlueGreenRolloutSpec {
        let init = json!([{"name": "migrate"}, {"name": "wait", "image": "wait:1"}]);
        let template = json!({"spec": {"initContainers": init, "containers": [{"name": "shop"}, {"name": "proxy", "image": "proxy:1"}]}});
        spec(&json!({"template": template, "image": image, "containers": containers}))
    }

    #[test]
    fn one_image_goes_into_several_containers_and_init_containers() {
        let (template, named) = with_image(&with_init(&json!(["shop", "migrate"]), Some("shop:2")), "shop").unwrap();
        assert_eq!(named, "shop:2");
        let images = |list: &str| template["spec"][list].as_array().unwrap().iter().map(|it| it["image"].clone()).collect::<Vec<_>>();
        assert_eq!(
            (images("containers"), images("initContainers")),
            (vec![json!("shop:2"), json!("proxy:1")], vec![json!("shop:2"), json!("wait:1")])
        );
        assert_eq!(image_in(&template, &with_init(&json!(["shop", "migrate"]), None), "shop").as_deref(), Some("shop:2"));
        let alone = BlueGreenRolloutSpec { container: Some("migrate".into()), ..with_init(&json!([]), Some("tools:3")) };
        assert_eq!(with_image(&alone, "shop").unwrap().0["spec"]["initContainers"][0]["image"], "tools:3");
    }

    #[test]
    fn containers_that_cannot_get_the_image_are_refused() {
        let both = BlueGreenRolloutSpec { container: Some("shop".into()), ..with_init(&json!(["migrate"]), Some("shop:2")) };
        for (spec, why) in [
            (both, "spec.container is the short form of spec.containers: set one of them"),
            (
                with_init(&json!(["shop", "wait"]), Some("shop:2")),
                "two images: spec.image and the image of container wait in spec.template are both set; keep one",
            ),
            (
                with_init(&json!(["shop", "seed"]), Some("shop:2")),
                "spec.containers names seed, but the containers in spec.template are: shop, proxy, migrate, wait",
            ),
            (with_init(&json!(["wait", "migrate"]), None), "no image: set spec.image, or the image of container migrate in spec.template"),
        ] {
            assert_eq!(with_image(&spec, "shop").unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn numbers_that_no_container_declares_are_known() {
        let template = json!({"spec": {
            "containers": [{"name": "shop", "image": "shop:1", "ports": [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]}],
            "initContainers": [{"name": "mesh", "restartPolicy": "Always", "ports": [{"containerPort": 15001}]}],
        }});
        let cases = [
            (json!([{"port": 80, "targetPort": 8080}]), vec![]),
            (json!([{"port": 80, "targetPort": "http"}]), vec![]),
            (json!([{"port": 8080}, {"name": "b", "port": 80}]), vec![80]),
            (json!([{"port": 1, "targetPort": 53, "protocol": "UDP"}, {"port": 2, "targetPort": 15001}]), vec![]),
            (json!([{"port": 1, "targetPort": 53}, {"port": 2, "targetPort": 8081}]), vec![53, 8081]),
        ];
        for (ports, expected) in cases {
            let spec = spec(&json!({"template": template, "service": {"ports": ports}}));
            assert_eq!(Content::of(&spec, "shop").unwrap().undeclared, expected, "{ports}");
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
            (
                json!([{"name": "main", "image": "i".repeat(1025)}]),
                None,
                None,
                "the image of container main has more than 1024 characters: shorten its name",
            ),
        ];
        for (containers, image, container, expected) in cases {
            let error = with_image(&with_containers(&containers, image, container), "shop").unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
