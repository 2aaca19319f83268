//! Credentials of sources: a Secret in the rollout's namespace, or the operator's own files, read when it is needed and kept for a moment.

mod own;

pub use own::Own;

use super::{address::Rules, answer::cause, client::Clients};
use bluegreen_gates::ask::question::Secret as Named;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reqwest::{
    Certificate, ClientBuilder, Identity,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A change is noticed after this time; many measurements a second cost no more requests than that.
const FRESH: Duration = Duration::from_secs(30);

/// One that is missing is looked for again sooner.
const MISSING: Duration = Duration::from_secs(5);

/// A look at a Secret takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Secrets of one namespace that are kept, each with a client and its connections. Of more, those that were read last stay.
const MOST: usize = 16;
/// A Secret that nobody has asked for in this time is forgotten.
const UNUSED: Duration = Duration::from_mins(10);

/// How a source is asked.
#[derive(Clone)]
pub struct Access {
    /// Show what the keys say by themselves.
    pub clients: Arc<Clients>,
    /// Values for headers, by key.
    pub keys: Arc<Keys>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// The content of a Secret, or of a directory with the same keys.
type Keys = BTreeMap<String, Vec<u8>>;

impl Access {
    /// Without credentials.
    pub fn open(clients: Arc<Clients>) -> Self {
        Self { clients, keys: Arc::default() }
    }

    fn with(keys: Keys, rules: &Arc<Rules>) -> Result<Self, String> {
        let shown = Shown::of(&keys)?;
        let clients = Clients::again(rules.clone(), move |builder| shown.clone().put_into(builder));
        clients.check().map_err(|why| format!("can't be used: {why}"))?;
        Ok(Self { clients: Arc::new(clients), keys: Arc::new(keys) })
    }
}

/// The Secrets that were read lately.
pub struct Credentials {
    api: kube::Client,
    rules: Arc<Rules>,
    kept: Mutex<HashMap<Named, Arc<tokio::sync::Mutex<Kept>>>>,
}

/// Why a look at a Secret brought nothing.
enum Unread {
    /// The API server's word.
    Refused(String),
    /// It had none to give.
    Unknown(String),
}

/// The result of the latest read of a Secret or a directory.
#[derive(Default)]
struct Kept {
    looked: Option<Instant>,
    access: Option<Result<Access, String>>,
}

impl Kept {
    fn known(&self) -> Option<&Access> {
        self.access.as_ref()?.as_ref().ok()
    }

    /// Whether it is time for another look.
    fn is_old(&self) -> bool {
        let lasts = if self.known().is_some() { FRESH } else { MISSING };
        self.looked.is_none_or(|looked| looked.elapsed() >= lasts)
    }

    /// Only other keys make another client: this one has its connections.
    fn take(&mut self, keys: Keys, word: &str, rules: &Arc<Rules>) {
        if self.known().is_none_or(|access| *access.keys != keys) {
            self.access = Some(Access::with(keys, rules).map_err(|why| format!("{word} {why}")));
        }
    }
}

impl Credentials {
    pub fn new(api: kube::Client, rules: Arc<Rules>) -> Self {
        Self { api, rules, kept: Mutex::default() }
    }

    /// A sentence when they can't be had: trouble of the source, and no word on the release.
    pub async fn of(&self, named: &Named) -> Result<Access, String> {
        let kept = self.place(named);
        // Others who want the same Secret wait for this look at it.
        let mut kept = kept.lock().await;
        if kept.is_old() {
            self.look(named, &mut kept).await;
        }
        kept.access.clone().unwrap_or_else(|| Err(format!("{} has not been read yet", word(named))))
    }

    fn place(&self, named: &Named) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = |kept: &Arc<tokio::sync::Mutex<Kept>>| {
            kept.try_lock().is_ok_and(|kept| kept.looked.is_none_or(|looked| looked.elapsed() < UNUSED)) || Arc::strong_count(kept) > 1
        };
        all.retain(|other, kept| other == named || in_use(kept));
        if !all.contains_key(named) {
            make_room(&mut all, &named.namespace);
        }
        all.entry(named.clone()).or_default().clone()
    }

    async fn look(&self, named: &Named, kept: &mut Kept) {
        let read =
            tokio::time::timeout(PATIENCE, self.read(named)).await.unwrap_or_else(|_| Err(Unread::Unknown("no answer in time".into())));
        kept.looked = Some(Instant::now());
        match read {
            Ok(keys) => kept.take(keys, &word(named), &self.rules),
            // What is known is as good as it was a moment ago.
            Err(Unread::Unknown(_)) if kept.known().is_some() => {}
            Err(Unread::Unknown(why)) => kept.access = Some(Err(format!("{} can't be read: {why}", word(named)))),
            Err(Unread::Refused(why)) => kept.access = Some(Err(why)),
        }
    }

    async fn read(&self, named: &Named) -> Result<Keys, Unread> {
        let word = word(named);
        match Api::<Secret>::namespaced(self.api.clone(), &named.namespace).get_opt(&named.name).await {
            Ok(Some(secret)) => Ok(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()),
            Ok(None) => Err(Unread::Refused(format!("{word} doesn't exist: create it, or remove credentials"))),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(Unread::Refused(format!(
                "the operator may not read {word}: bind the ClusterRole bluegreen-operator-secrets to it in namespace {} (docs/analysis.md)",
                named.namespace
            ))),
            Err(error) => Err(Unread::Unknown(cause(&error))),
        }
    }
}

/// For one more of this namespace: others lose nothing by it.
fn make_room(all: &mut HashMap<Named, Arc<tokio::sync::Mutex<Kept>>>, namespace: &str) {
    let beside: Vec<_> = all.iter().filter(|(named, _)| named.namespace == namespace).collect();
    if beside.len() < MOST {
        return;
    }
    // One that is being read now goes on being read, for those who wait for it.
    let looked =
        |kept: &Arc<tokio::sync::Mutex<Kept>>| kept.try_lock().ok().filter(|_| Arc::strong_count(kept) == 1).map(|kept| kept.looked);
    let oldest = beside.into_iter().filter_map(|(named, kept)| Some((looked(kept)?, named))).min_by_key(|(looked, _)| *looked);
    if let Some(oldest) = oldest.map(|(_, named)| named.clone()) {
        all.remove(&oldest);
    }
}

fn word(named: &Named) -> String {
    format!("Secret {}/{}", named.namespace, named.name)
}

/// What keys say by themselves.
#[derive(Clone)]
struct Shown {
    authorization: Option<HeaderValue>,
    authorities: Option<Vec<Certificate>>,
    identity: Option<Identity>,
}

impl Shown {
    fn of(keys: &Keys) -> Result<Self, String> {
        let text = |key: &str| {
            let value = keys.get(key).map(|value| std::str::from_utf8(value.trim_ascii_end()));
            value.transpose().map_err(|_| format!("has a key {key} that is not text"))
        };
        let authorization = match (text("token")?, text("username")?, text("password")?) {
            (None, None, None) => None,
            (Some(token), None, None) => Some(header(&format!("Bearer {token}"))?),
            (None, Some(user), Some(password)) => {
                Some(header(&format!("Basic {}", data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes())))?)
            }
            (None, ..) => return Err("has only one of username and password: set both".into()),
            (Some(_), ..) => return Err("has a token beside username and password: keep one of them".into()),
        };
        let pem = |key: &str, error: &reqwest::Error| format!("has no PEM certificates in {key}: {}", cause(error));
        let authorities = keys.get("ca.crt").map(|ca| Certificate::from_pem_bundle(ca)).transpose();
        let authorities = authorities.map_err(|error| pem("ca.crt", &error))?;
        if authorities.as_ref().is_some_and(Vec::is_empty) {
            return Err("has no PEM certificates in ca.crt".into());
        }
        let identity = match (keys.get("tls.crt"), keys.get("tls.key")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let both = [certificate.as_slice(), b"\n", key].concat();
                Some(Identity::from_pem(&both).map_err(|error| pem("tls.crt, with its key in tls.key", &error))?)
            }
            _ => return Err("has only one of tls.crt and tls.key: set both".into()),
        };
        Ok(Self { authorization, authorities, identity })
    }

    fn put_into(self, builder: ClientBuilder) -> ClientBuilder {
        let mut headers = HeaderMap::new();
        headers.extend(self.authorization.map(|value| (AUTHORIZATION, value)));
        let builder = builder.default_headers(headers);
        let builder = match self.authorities {
            Some(authorities) => builder.tls_certs_only(authorities),
            None => builder,
        };
        match self.identity {
            Some(identity) => builder.identity(identity),
            None => builder,
        }
    }
}

/// A header that is never logged.
pub fn header(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "has characters that are not valid in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
