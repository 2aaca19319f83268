//! The load generator against servers that misbehave in known ways.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use bluegreen_load::{Plan, Summary, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves each connection by a function that is told its number.
async fn serve<F, S>(each: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(each(number, stream));
        }
    });
    address
}

/// Reads one request; None when the client has closed.
async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        request.push(byte[0]);
    }
    Some(())
}

async fn answer(stream: &mut TcpStream, headers: &str) {
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{headers}\r\nok");
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn load(address: SocketAddr, rate: f64, connections: usize) -> Summary {
    let plan = Plan {
        target: format!("http://{address}/").parse().unwrap(),
        rate,
        duration: Some(Duration::from_millis(500)),
        keep_alive: true,
        connections,
        timeout: Duration::from_secs(60),
    };
    run(plan, pending(), |_, _| ()).await.unwrap()
}

#[tokio::test]
async fn a_server_that_says_close_costs_no_request() {
    let address = serve(|_, mut stream| async move {
        for number in 0.. {
            let Some(()) = read_request(&mut stream).await else { return };
            let closes = number == 4;
            answer(&mut stream, if closes { "connection: close\r\n" } else { "" }).await;
            if closes {
                return;
            }
        }
    })
    .await;
    let summary = load(address, 100.0, 1).await;
    assert_eq!((summary.sent, summary.succeeded, summary.failed), (50, 50, 0), "{summary:?}");
    assert_eq!(summary.connections_opened, 10);
}

#[tokio::test]
async fn a_connection_closed_without_an_answer_costs_one_request() {
    let address = serve(|number, mut stream| async move {
        while let Some(()) = read_request(&mut stream).await {
            if number == 0 {
                return;
            }
            answer(&mut stream, "x-version: 2.0.0\r\n").await;
        }
    })
    .await;
    let summary = load(address, 100.0, 1).await;
    assert_eq!((summary.sent, summary.succeeded, summary.failed), (50, 49, 1), "{summary:?}");
    assert_eq!(summary.failures.keys().collect::<Vec<_>>(), ["closed without an answer"]);
    assert_eq!(summary.versions["2.0.0"].answers, 49);
}

#[tokio::test]
async fn nobody_listening_is_told_for_every_request() {
    // Bound, so that nobody else gets the port; not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let summary = load(socket.local_addr().unwrap(), 100.0, 8).await;
    assert_eq!((summary.sent, summary.failed), (50, 50));
    assert_eq!(summary.failures["connect: refused"], 50);
}

#[tokio::test]
async fn a_slow_server_does_not_slow_the_rate() {
    let address = serve(|_, mut stream| async move {
        while let Some(()) = read_request(&mut stream).await {
            tokio::time::sleep(Duration::from_millis(300)).await;
            answer(&mut stream, "").await;
        }
    })
    .await;
    let summary = load(address, 100.0, 64).await;
    assert_eq!((summary.sent, summary.succeeded), (50, 50), "{summary:?}");
    assert!(summary.latency.p50 >= 300.0, "{:?}", summary.latency);
}
