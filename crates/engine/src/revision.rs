//! Names of revisions: short hashes of what must change together to serve.

use crate::observed::RevisionSeen;
use bluegreen_gates::hash::{LENGTH, hash};
use serde_json::json;

/// The digest of a revision that was written again from its live Deployment: of its content only the short hash is known.
pub fn restored(hash: &str) -> String {
    format!("restored-{hash}")
}

/// The revision was written again, and its short hash says that its content has this digest.
pub fn is_restored(revision: &RevisionSeen, digest: &str) -> bool {
    revision.digest == restored(&revision.hash) && revision.hash == short_hash(digest, 0)
}

/// The short hash of content with this digest which no other content has, and the collision count that makes it so.
pub fn free_hash(digest: &str, collision_count: i64, known: &[RevisionSeen]) -> (String, i64) {
    let mut count = collision_count;
    loop {
        let short = short_hash(digest, count);
        if !known.iter().any(|revision| revision.hash == short && revision.digest != digest) {
            return (short, count);
        }
        count += 1;
    }
}

fn short_hash(digest: &str, collision_count: i64) -> String {
    let full = if collision_count == 0 { digest.to_owned() } else { hash(&json!([digest, collision_count])) };
    full.chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asked::content::digest;
    use crate::observed::Owner;
    use bluegreen_api::ServicePort;
    use serde_json::Value;

    fn template() -> Value {
        json!({"spec": {"containers": [{"name": "shop", "image": "shop:1.0.0", "ports": [{"containerPort": 8080}]}]}})
    }

    fn ports() -> Vec<ServicePort> {
        serde_json::from_value(json!([{"name": "http", "port": 80, "targetPort": 8080}])).unwrap()
    }

    #[test]
    fn the_hash_of_a_stored_template_never_changes() {
        assert_eq!(short_hash(&digest(&template(), &ports()), 0), "5m43zbqdke");
    }

    #[test]
    fn order_of_keys_and_nulls_are_no_change_and_values_are() {
        let before = digest(&template(), &ports());
        let same = json!({"metadata": null, "spec": {"containers": [{"image": "shop:1.0.0", "resources": null, "ports": [{"containerPort": 8080}], "name": "shop"}]}});
        assert_eq!(digest(&same, &ports()), before);
        let mut other = template();
        other["spec"]["containers"][0]["image"] = json!("shop:2.0.0");
        assert_ne!(digest(&other, &ports()), before);
        assert_ne!(digest(&template(), &[]), before);
    }

    #[test]
    fn contents_that_share_a_short_hash_get_different_names() {
        let digest = digest(&template(), &ports());
        let taken = RevisionSeen {
            hash: short_hash(&digest, 0),
            number: 1,
            digest: "another".into(),
            image: String::new(),
            ports: vec![],
            owner: Owner::Us,
        };
        let (short, count) = free_hash(&digest, 0, std::slice::from_ref(&taken));
        assert_eq!(count, 1);
        assert_ne!(short, taken.hash);
    }
    fn seen(hash: &str, digest: &str) -> RevisionSeen {
        RevisionSeen { hash: hash.into(), number: 1, digest: digest.into(), image: String::new(), ports: vec![], owner: Owner::Us }
    }

    #[test]
    fn only_other_content_under_the_same_short_hash_is_a_clash() {
        let digest = digest(&template(), &ports());
        let short = short_hash(&digest, 0);
        let known = [seen(&short, &digest), seen("another", "another")];
        assert_eq!(free_hash(&digest, 0, &known), (short, 0));
    }

    #[test]
    fn a_revision_that_was_written_again_is_known_by_its_short_hash() {
        let digest = digest(&template(), &ports());
        let short = short_hash(&digest, 0);
        assert_eq!(restored("abc"), "restored-abc");
        assert!(is_restored(&seen(&short, &restored(&short)), &digest));
        assert!(!is_restored(&seen(&short, &digest), &digest), "it was never lost");
        assert!(!is_restored(&seen("abc", &restored("abc")), &digest), "it is of other content");
    }
}
