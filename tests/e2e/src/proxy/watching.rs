//! What befalls a watch while it lasts.

use super::{Desk, EXPIRED, dealing::End, status};
use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures::stream;
use http_body_util::BodyExt;
use serde_json::json;
use std::sync::Arc;
use tokio::time::{Instant, sleep, sleep_until};

struct Watch {
    events: Body,
    desk: Arc<Desk>,
    end: Option<(Instant, End)>,
    /// Nothing can be told in the middle of a line.
    at_line: bool,
    over: bool,
}

/// The same events: some of them later, and perhaps not to the end.
pub(super) fn disturbed(events: Body, desk: Arc<Desk>) -> Body {
    let end = desk.dealer.end_of_watch().map(|(after, end)| (Instant::now() + after, end));
    let watch = Watch { events, desk, end, at_line: true, over: false };
    Body::from_stream(stream::unfold(watch, |mut watch| async move {
        let piece = watch.next().await?;
        Some((piece, watch))
    }))
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Bytes, axum::Error>> {
        if self.over {
            return None;
        }
        loop {
            let due = self.end.filter(|(_, end)| self.at_line || *end != End::Expired);
            tokio::select! {
                biased;
                end = async { if let Some((at, end)) = due { sleep_until(at).await; end } else { std::future::pending().await } } => {
                    self.over = true;
                    self.desk.dealer.ended(end);
                    return last_words(end);
                }
                () = self.desk.dealer.cleared(), if self.end.is_some() => self.end = None,
                frame = self.events.frame() => match frame {
                    None => return None,
                    Some(Err(error)) => return Some(Err(error)),
                    Some(Ok(frame)) => {
                        let Ok(piece) = frame.into_data() else { continue };
                        self.at_line = piece.ends_with(b"\n");
                        hold(&self.desk).await;
                        return Some(Ok(piece));
                    }
                }
            }
        }
    }
}

/// One at a time: with all that tells of a thing held back, nobody could know of it.
async fn hold(desk: &Desk) {
    let Ok(_alone) = desk.holding.try_lock() else { return };
    if let Some(time) = desk.dealer.hold() {
        tokio::select! {
            () = sleep(time) => {}
            () = desk.dealer.cleared() => {}
        }
    }
}

fn last_words(end: End) -> Option<Result<Bytes, axum::Error>> {
    match end {
        End::Closed => None,
        End::Broken => Some(Err(axum::Error::new(super::Closed))),
        End::Expired => {
            let told = json!({"type": "ERROR", "object": status(StatusCode::GONE, "Expired", EXPIRED)});
            Some(Ok(Bytes::from(format!("{told}\n"))))
        }
    }
}
