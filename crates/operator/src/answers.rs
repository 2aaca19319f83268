//! What is done to each answer of the API server before it is parsed, so that no object in it can keep it from being parsed.
//!
//! A page of a list that outgrows its bound is cut off, and the list begins again with smaller pages. And bytes that are no text, which
//! some objects carry where the API server passes on what a client wrote, are replaced.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use kube::client::Body as Sent;
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tower::{BoxError, Layer, Service};

/// Bytes of one page: a full page of objects as most people have them has a twentieth.
const PAGE: usize = 32 << 20;
/// Objects of a page, at least: as many of the largest that etcd takes have half of the bound.
const FEWEST: usize = 8;

/// Objects that a page may have, by the path of the list: those of whose pages one was too large.
type Limits = Arc<Mutex<HashMap<String, usize>>>;

#[derive(Clone, Default)]
pub struct Readable {
    limits: Limits,
}

impl<S> Layer<S> for Readable {
    type Service = Reads<S>;

    fn layer(&self, inner: S) -> Reads<S> {
        Reads { inner, limits: self.limits.clone() }
    }
}

#[derive(Clone)]
pub struct Reads<S> {
    inner: S,
    limits: Limits,
}

impl<S, B> Service<http::Request<Sent>> for Reads<S>
where
    S: Service<http::Request<Sent>, Response = http::Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = http::Response<Answer<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Sent>) -> Self::Future {
        let page = Page::of(&mut request, &self.limits);
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Answer { body: Box::pin(body), page, rest: Vec::new() })) })
    }
}

/// A page of a list, as it is asked for.
struct Page {
    path: String,
    objects: usize,
    bytes: usize,
    limits: Limits,
}

impl Page {
    /// Asks for no more objects than a page of this list may have.
    fn of(request: &mut http::Request<Sent>, limits: &Limits) -> Option<Self> {
        let asked: usize = request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("limit="))?.parse().ok()?;
        let path = request.uri().path().to_owned();
        let allowed = limits.lock().unwrap_or_else(PoisonError::into_inner).get(&path).copied();
        let objects = allowed.map_or(asked, |allowed| allowed.min(asked));
        if objects < asked {
            let uri = request.uri().to_string().replace(&format!("limit={asked}"), &format!("limit={objects}"));
            *request.uri_mut() = uri.parse().ok()?;
        }
        Some(Self { path, objects, bytes: 0, limits: limits.clone() })
    }

    /// Whether so many bytes more are too many.
    fn outgrows(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let too_large = self.bytes > PAGE && self.objects > FEWEST;
        if too_large {
            let fewer = (self.objects / 2).max(FEWEST);
            self.limits.lock().unwrap_or_else(PoisonError::into_inner).insert(self.path.clone(), fewer);
        }
        too_large
    }
}

/// The body of an answer.
pub struct Answer<B> {
    body: Pin<Box<B>>,
    page: Option<Page>,
    /// The beginning of a character, whose end is still to come.
    rest: Vec<u8>,
}

impl<B> Answer<B> {
    fn readable(&mut self, bytes: Bytes) -> Bytes {
        if self.rest.is_empty() && std::str::from_utf8(&bytes).is_ok() {
            return bytes;
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(&bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let is_begun = || std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            match chunk.invalid() {
                [] => {}
                begun if chunks.peek().is_none() && is_begun() => self.rest = begun.to_vec(),
                _ => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        text.into()
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match ready!(self.body.as_mut().poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let bytes = match frame.into_data() {
            Ok(bytes) => bytes,
            Err(other) => return Poll::Ready(Some(Ok(other))),
        };
        if let Some(page) = self.page.as_mut()
            && page.outgrows(bytes.len())
        {
            let why = format!("{} objects have more than {} MiB: asking for fewer at a time", page.objects, PAGE >> 20);
            return Poll::Ready(Some(Err(why.into())));
        }
        Poll::Ready(Some(Ok(Frame::data(self.readable(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Not known: a replaced byte has three.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;

    /// What is read of a body that comes in these pieces.
    async fn read(path: &str, layer: &Readable, pieces: Vec<Vec<u8>>) -> (String, Result<String, String>) {
        let asked = Arc::new(Mutex::new(String::new()));
        let uri = asked.clone();
        let mut service = layer.layer(tower::service_fn(move |request: http::Request<Sent>| {
            *uri.lock().unwrap() = request.uri().to_string();
            let pieces = pieces.clone().into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
            std::future::ready(Ok::<_, Infallible>(http::Response::new(StreamBody::new(stream::iter(pieces)))))
        }));
        let request = http::Request::get(path).body(Sent::empty()).unwrap();
        let answer = service.call(request).await.unwrap().into_body().collect().await;
        let text = answer.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap()).map_err(|error| error.to_string());
        let asked = asked.lock().unwrap().clone();
        (asked, text)
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_fail_no_answer() {
        let whole = "{\"a\":\"é😀\"}\n".as_bytes();
        // A character may come in two pieces.
        for cut in 0..whole.len() {
            let pieces = vec![whole[..cut].to_vec(), whole[cut..].to_vec()];
            assert_eq!(read("/api/v1/pods", &Readable::default(), pieces).await.1.unwrap().as_bytes(), whole, "cut at {cut}");
        }
        let bad = vec![b"{\"a\":\"\xff\xf0\x9f".to_vec(), b"\x41\xc3\"}".to_vec()];
        assert_eq!(read("/api/v1/pods", &Readable::default(), bad).await.1.unwrap(), "{\"a\":\"\u{fffd}\u{fffd}A\u{fffd}\"}");
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
        let layer = Readable::default();
        let large = || vec![vec![b' '; 3 << 20]; 11];
        let list = "/api/v1/services?limit=250&continue=x";
        let (_, cut) = read(list, &layer, large()).await;
        assert_eq!(cut.unwrap_err(), "250 objects have more than 32 MiB: asking for fewer at a time");
        for fewer in [125, 62, 31, 15] {
            let (asked, cut) = read(list, &layer, large()).await;
            assert!(cut.is_err() && asked == format!("/api/v1/services?limit={fewer}&continue=x"), "{asked}");
        }
        let (asked, whole) = read(list, &layer, large()).await;
        assert!(whole.is_ok() && asked.contains("limit=8&"), "the fewest are taken as they are: {asked}");
        let (asked, _) = read("/api/v1/pods?limit=250", &layer, vec![]).await;
        assert!(asked.contains("limit=250"), "other lists are asked as before");
        let (_, whole) = read("/api/v1/services/shop", &layer, large()).await;
        assert!(whole.is_ok());
    }
}
