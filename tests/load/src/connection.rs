//! One connection, and one request on it.

use std::error::Error;
use std::io;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{Answer, Failure, Plan};

#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(address: &(String, u16)) -> Result<Self, Failure> {
        let stream = TcpStream::connect((address.0.as_str(), address.1))
            .await
            .map_err(|error| Failure::of(&format!("connect: {}", kind(&error)), error.to_string()))?;
        // Should the option be refused, answers only come a little later.
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| Failure::of("connect", error.to_string()))?;
        // Its error is also that of the request that it spoils, and is told there.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// Sends one request and reads the whole answer. Tells whether the connection can be used again.
    pub(crate) async fn request(&mut self, plan: &Plan, answer: &mut Answer) -> Result<bool, Failure> {
        let path = plan.target.path_and_query().map_or("/", |path| path.as_str());
        let host = plan.target.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::get(path)
            .header(HOST, host)
            .header(USER_AGENT, "bluegreen-load")
            .body(Empty::new())
            .map_err(|error| Failure::of("request", error.to_string()))?;
        if !plan.keep_alive {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let response = self.sender.send_request(request).await.map_err(|error| spoiled(&error))?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        answer.status = Some(response.status().as_u16());
        answer.version = header("x-version");
        answer.pod = header("x-pod");
        let closes = header("connection").is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close")));
        response.into_body().collect().await.map_err(|error| spoiled(&error))?;
        Ok(plan.keep_alive && !closes)
    }
}

/// Names what became of a request that has no whole answer.
fn spoiled(error: &hyper::Error) -> Failure {
    let name = if error.is_incomplete_message() {
        "closed without an answer".to_owned()
    } else if error.is_canceled() {
        "closed before the request".to_owned()
    } else {
        let mut source = error.source();
        loop {
            match source {
                Some(inner) => match inner.downcast_ref::<io::Error>() {
                    Some(inner) => break kind(inner),
                    None => source = inner.source(),
                },
                None => break "broken answer".to_owned(),
            }
        }
    };
    Failure::of(&name, error.to_string())
}

fn kind(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::ConnectionReset => "reset".to_owned(),
        io::ErrorKind::ConnectionAborted => "aborted".to_owned(),
        io::ErrorKind::BrokenPipe => "broken pipe".to_owned(),
        io::ErrorKind::TimedOut => "timed out".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no port left on this side".to_owned(),
        other => other.to_string(),
    }
}
