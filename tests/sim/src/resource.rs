//! The kinds of object that the API server knows.

/// A kind of object, and how the API server treats it.
#[derive(Debug)]
pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    /// It counts the generations of what is asked for.
    pub generation: bool,
    /// Its status is written by itself.
    pub status: bool,
    /// It may be written without saying which version is replaced.
    pub unconditional: bool,
    /// A PUT of one that is absent creates it.
    pub put_creates: bool,
}

const fn resource(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Resource {
    Resource { group, version, plural, kind, generation: false, status: false, unconditional: true, put_creates: false }
}

pub static ROLLOUT: Resource = Resource {
    generation: true,
    status: true,
    unconditional: false,
    ..resource("bluegreen.dev", "v1alpha1", "bluegreenrollouts", "BlueGreenRollout")
};
pub static GATE_TEMPLATE: Resource =
    Resource { generation: true, unconditional: false, ..resource("bluegreen.dev", "v1alpha1", "gatetemplates", "GateTemplate") };
/// Of no namespace.
pub static CLUSTER_GATE_TEMPLATE: Resource = Resource {
    generation: true,
    unconditional: false,
    ..resource("bluegreen.dev", "v1alpha1", "clustergatetemplates", "ClusterGateTemplate")
};
pub static DEPLOYMENT: Resource = Resource { generation: true, status: true, ..resource("apps", "v1", "deployments", "Deployment") };
pub static SERVICE: Resource = Resource { status: true, put_creates: true, ..resource("", "v1", "services", "Service") };
pub static POD: Resource = Resource { generation: true, status: true, ..resource("", "v1", "pods", "Pod") };
pub static SLICE: Resource = Resource { generation: true, ..resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice") };
pub static REVISION: Resource = resource("apps", "v1", "controllerrevisions", "ControllerRevision");
pub static LEASE: Resource =
    Resource { unconditional: false, put_creates: true, ..resource("coordination.k8s.io", "v1", "leases", "Lease") };
pub static EVENT: Resource = Resource { put_creates: true, ..resource("events.k8s.io", "v1", "events", "Event") };

pub static ALL: [&Resource; 10] =
    [&ROLLOUT, &GATE_TEMPLATE, &CLUSTER_GATE_TEMPLATE, &DEPLOYMENT, &SERVICE, &POD, &SLICE, &REVISION, &LEASE, &EVENT];

impl Resource {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As messages name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn is_lease(&self) -> bool {
        std::ptr::eq(self, &raw const LEASE)
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.plural == other.plural
    }
}

impl Eq for Resource {}
