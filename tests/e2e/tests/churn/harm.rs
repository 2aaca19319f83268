//! What befalls the operators and the cluster, besides their talk.

use crate::fleet::Fleet;
use bluegreen_e2e::{OwnGround, dice::Dice};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

#[derive(Clone, Copy, PartialEq)]
enum Harm {
    Kill,
    Freeze,
    RestartServer,
    FreezeEtcd,
}

/// For this time. In its last part no operator is killed or frozen: one life is to be long enough to see whether its memory grows.
pub async fn deal_out(own: &Arc<OwnGround>, fleet: &Fleet<'_>, dice: &Dice, began: Instant, time: Duration) {
    let (last, end) = (began + time * 6 / 10, began + time);
    let pause = (time / 15).min(Duration::from_secs(8)).as_millis().try_into().unwrap_or(8_000);
    loop {
        let mut deck = [Harm::Kill, Harm::Kill, Harm::Kill, Harm::Freeze, Harm::RestartServer, Harm::FreezeEtcd];
        dice.shuffle(&mut deck);
        for harm in deck {
            sleep(dice.millis(pause / 2..pause * 3 / 2)).await;
            if Instant::now() >= end {
                std::future::pending::<()>().await;
            }
            if harm != Harm::Kill && harm != Harm::Freeze || Instant::now() < last {
                do_it(harm, own, fleet, dice).await;
            }
        }
    }
}

async fn do_it(harm: Harm, own: &Arc<OwnGround>, fleet: &Fleet<'_>, dice: &Dice) {
    match harm {
        Harm::Kill => {
            let leader = fleet.leader().await.unwrap_or(0);
            fleet.kill(if dice.roll(0..4) == 0 { 1 - leader } else { leader });
        }
        Harm::Freeze => {
            if let Some(leader) = fleet.leader().await {
                fleet.freeze(leader, dice.millis(0..3_000)).await;
            }
        }
        Harm::RestartServer => {
            let down = dice.millis(0..2_000);
            on(own, move |own| {
                own.stop("kube-apiserver");
                std::thread::sleep(down);
                own.start("kube-apiserver");
                // What it was about to tell of a pod got lost with the connection, and it doesn't try again, as a kubelet does.
                own.stop("kwok");
                own.start("kwok");
            })
            .await;
            fleet.server_restarts.set(fleet.server_restarts.get() + 1);
        }
        Harm::FreezeEtcd => {
            let frozen = dice.millis(1_000..5_000);
            on(own, move |own| {
                own.freeze("etcd");
                std::thread::sleep(frozen);
                own.wake("etcd");
            })
            .await;
            fleet.etcd_freezes.set(fleet.etcd_freezes.get() + 1);
        }
    }
}

/// Beside the rest of the test, and to its end.
async fn on(own: &Arc<OwnGround>, harm: impl FnOnce(&OwnGround) + Send + 'static) {
    let own = own.clone();
    tokio::task::spawn_blocking(move || harm(&own)).await.unwrap();
}
