//! Two operators behind the proxy, each started again when it ends, as its pod would be.

use bluegreen_e2e::{Operator, Space, patience::stretched, proxy::Proxy};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

const NAMES: [&str; 2] = ["one", "two"];

pub struct Fleet<'s> {
    space: &'s Space,
    proxy: &'s Proxy,
    lease: Duration,
    operators: [RefCell<Life>; 2],
    pub kills: Cell<u32>,
    pub freezes: Cell<u32>,
    pub takeovers: Cell<u32>,
    pub server_restarts: Cell<u32>,
    pub etcd_freezes: Cell<u32>,
    /// Operators that ended by themselves: they had lost their lease.
    losses: Cell<u32>,
}

pub struct Life {
    pub operator: Operator,
    pub began: Instant,
}

impl<'s> Fleet<'s> {
    pub fn start(space: &'s Space, proxy: &'s Proxy, lease: Duration) -> Self {
        let operators = NAMES.map(|name| RefCell::new(life(space, proxy, lease, name)));
        let none = || Cell::new(0);
        Self {
            space,
            proxy,
            lease,
            operators,
            kills: none(),
            freezes: none(),
            takeovers: none(),
            server_restarts: none(),
            etcd_freezes: none(),
            losses: none(),
        }
    }

    /// Starts again what has ended.
    pub async fn keep(&self) {
        loop {
            sleep(Duration::from_millis(200)).await;
            for (number, operator) in self.operators.iter().enumerate() {
                let ended = !operator.borrow_mut().operator.runs();
                if ended {
                    self.losses.set(self.losses.get() + 1);
                    operator.replace(life(self.space, self.proxy, self.lease, NAMES[number]));
                }
            }
        }
    }

    pub fn lives(&self) -> impl Iterator<Item = std::cell::Ref<'_, Life>> {
        self.operators.iter().map(RefCell::borrow)
    }

    /// What they logged as errors, but for the loss of a lease.
    pub fn errors(&self) -> Vec<String> {
        let logs = self.lives().map(|life| life.operator.log()).collect::<String>();
        let is_error = |line: &&str| line.contains(" ERROR ") && !line.contains(" leadership was lost: ") && !line.contains("::lease:");
        logs.lines().filter(|line| is_error(line) || line.contains("panicked")).map(str::to_owned).collect()
    }

    /// The number of the one that leads, as far as the lease says.
    pub async fn leader(&self) -> Option<usize> {
        let leases: Api<Lease> = Api::namespaced(self.space.client.clone(), &self.space.name);
        let lease = timeout(stretched(Duration::from_secs(2)), leases.get_opt("bluegreen-operator")).await.ok()?.ok()??;
        let holder = lease.spec?.holder_identity?;
        NAMES.iter().position(|name| *name == holder)
    }

    pub fn kill(&self, number: usize) {
        self.operators[number].borrow_mut().operator.kill();
        self.operators[number].replace(life(self.space, self.proxy, self.lease, NAMES[number]));
        self.kills.set(self.kills.get() + 1);
    }

    /// Freezes one that leads until another one leads, and for this time more.
    pub async fn freeze(&self, number: usize, more: Duration) {
        self.operators[number].borrow().operator.freeze();
        self.freezes.set(self.freezes.get() + 1);
        let taken = async {
            while self.leader().await.is_none_or(|leader| leader == number) {
                sleep(Duration::from_millis(200)).await;
            }
        };
        if timeout(stretched(self.lease) * 3, taken).await.is_ok() {
            self.takeovers.set(self.takeovers.get() + 1);
            sleep(more).await;
        }
        self.operators[number].borrow().operator.wake();
    }

    pub fn words(&self) -> String {
        format!(
            "{} kills, {} freezes with {} takeovers, {} ends by itself, {} restarts of the API server, {} freezes of etcd",
            self.kills.get(),
            self.freezes.get(),
            self.takeovers.get(),
            self.losses.get(),
            self.server_restarts.get(),
            self.etcd_freezes.get()
        )
    }
}

fn life(space: &Space, proxy: &Proxy, lease: Duration, name: &str) -> Life {
    Life { operator: space.operator_behind(proxy, name, lease), began: Instant::now() }
}
