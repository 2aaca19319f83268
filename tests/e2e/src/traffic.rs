//! Users, played by the load generator. Only a cluster with a real node carries traffic, and only inside its network:
//! `cargo xtask test` runs these tests there.

use crate::{
    LEASE, Operator, Rollout,
    ground::repository,
    patience::{self, stretched},
    space::Space,
};
use bluegreen_api::Color;
use bluegreen_load::{Answer, Summary};
use bluegreen_witness::Kind;
use futures::future::join_all;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request that is answered takes no longer on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);

/// An operator that keeps its lease while traffic keeps the machine busy.
pub fn operator(space: &Space) -> Operator {
    space.operator_named("one", LEASE)
}

/// How users use their connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// 64 of them, each used until the server closes it.
    Kept,
    /// One for each request: each is led anew.
    New,
}

/// A load that goes on until it is ended.
#[derive(Debug)]
pub struct Load {
    address: String,
    child: Child,
    answers: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Counted {
    pub summary: Summary,
    /// Every request, in the order in which they were sent.
    pub answers: Vec<Answer>,
}

impl Load {
    /// Requests to a Service by its cluster address, so many a second, once it carries traffic.
    pub async fn on(space: &Space, service: &str, rate: u32, connections: Connections) -> Self {
        let object = space.seen(Kind::Service, service).unwrap_or_else(|| panic!("there is no Service {service}"));
        let address = object["spec"]["clusterIP"].as_str().unwrap();
        until_it_answers(address).await;
        let (way, name) = match connections {
            Connections::Kept => ("--keep-alive", "kept"),
            Connections::New => ("--no-keep-alive", "new"),
        };
        let answers = space.directory().join(format!("answers-{service}-{name}.jsonl"));
        let child = Command::new(program())
            .arg(format!("http://{address}/"))
            .arg(format!("--rate={rate}"))
            .arg(way)
            // A moment in which nothing runs fails no request: what is refused, cut off or answered wrongly fails at once.
            .arg(format!("--timeout={}s", stretched(ANSWER).as_secs()))
            .arg("--output")
            .arg(&answers)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { address: format!("{address}:80"), child, answers }
    }

    /// Waits until new connections are led to this version, one after the other, and returns since when.
    pub async fn until_served_by(&self, version: &str) -> Timestamp {
        const IN_A_ROW: usize = 20;
        patience::until(&format!("{IN_A_ROW} answers in a row by {version}"), async || {
            let since = Timestamp::now();
            for _ in 0..IN_A_ROW {
                let answer = ask(&self.address, "GET /").await.ok()?;
                if !answer.contains(&format!("x-version: {version}\r\n")) {
                    return None;
                }
            }
            Some(since)
        })
        .await
    }

    /// Sends nothing more, waits for what is under way, and counts.
    pub async fn end(mut self) -> Counted {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let output = self.child.stdout.take().unwrap();
        let summary = tokio::task::spawn_blocking(move || io::read_to_string(output).unwrap()).await.unwrap();
        self.child.wait().unwrap();
        let summary = serde_json::from_str(&summary).unwrap();
        let lines = BufReader::new(File::open(&self.answers).unwrap()).lines();
        let mut answers: Vec<Answer> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        answers.sort_by_key(|answer| answer.at);
        fs::remove_file(&self.answers).unwrap();
        Counted { summary, answers }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// kube-proxy learns of a Service and its pods a moment after the operator has seen them: nobody promises that moment.
async fn until_it_answers(address: &str) {
    let connects = async || TcpStream::connect((address, 80)).await.ok();
    patience::until(&format!("somebody answers at {address}, now that its pods are ready"), connects).await;
}

/// The load generator of this build; `BLUEGREEN_LOAD` names another.
fn program() -> PathBuf {
    let program = std::env::var_os("BLUEGREEN_LOAD").map_or_else(|| repository().join("target/debug/bluegreen-load"), PathBuf::from);
    assert!(program.exists(), "{} is missing: run `cargo build -p bluegreen-load`, or `cargo xtask test`", program.display());
    program
}

impl Counted {
    pub fn assert_none_failed(&self) {
        let summary = &self.summary;
        assert!(summary.sent > 0, "there was no load");
        assert_eq!(summary.failed, 0, "of {} requests; by kind: {:?}; the first: {:#?}", summary.sent, summary.failures, summary.examples);
    }
}

/// Where the pods of a color listen, as far as they have an address.
pub fn addresses(space: &Space, color: Color) -> Vec<String> {
    let pods = space.pods(&[("bluegreen.dev/color", color.as_str())]);
    pods.iter().filter_map(|pod| Some(format!("{}:8080", pod["status"]["podIP"].as_str()?))).collect()
}

/// Crashes every pod of a color, again whenever one has come back, until traffic has left it.
pub async fn crash(space: &Space, rollout: &Rollout<'_>, color: Color) {
    patience::until("traffic leaves the pods that die", async || {
        join_all(addresses(space, color).iter().map(|address| control(address, "crash=true"))).await;
        (rollout.selector()["bluegreen.dev/color"] != color.as_str()).then_some(())
    })
    .await;
}

/// Tells a pod how to behave (`tests/app/shop` says what can be told). One that crashes has no time to answer.
pub async fn control(address: &str, words: &str) {
    let _ = ask(address, &format!("POST /control?{words}")).await;
}

/// One request on a connection of its own, and all that is answered.
async fn ask(address: &str, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("{request} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.to_ascii_lowercase())
}
