//! A request is read as a whole, then handed over; its answer is waited for.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{header, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::Request;
use tokio::time::{timeout, Duration};

use crate::activity::OpenRequest;
use crate::call::{answer, AnswerBody, Broken, Call};
use crate::ffi::{hand_over, Problem};
use crate::server::{Charge, Shared};

/// How long, and how much of, a body that is too large is read on, so that its client sees the answer and no reset.
const DISCARD: Duration = Duration::from_secs(2);
const DISCARD_BYTES: usize = 64 << 20;

pub async fn serve(
    request: Request<Incoming>,
    peer: Arc<[u8]>,
    open: OpenRequest,
    shared: Arc<Shared>,
) -> Result<Response<AnswerBody>, Broken> {
    let (parts, body) = request.into_parts();
    let mut charge = shared.charge();
    let read = timeout(shared.limits.body, read_body(&parts, body, &mut charge, &shared)).await;
    let (body, problem) = match read {
        Ok(Ok(body)) => (body, Problem::Well),
        Ok(Err(problem)) => (Bytes::new(), problem),
        Err(_) => (Bytes::new(), Problem::BodyTooSlow),
    };
    let call = Call::new(open.activity(), charge);
    hand_over(&shared.handler, &call, &peer, &parts, &body, problem);
    drop(body);
    answer(call, open).await
}

/// What the headers take as HTTP/1.1 would write them; the library looks only at what it must keep.
fn head_bytes(parts: &Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.path().len() + parts.uri.query().map_or(0, str::len);
    line + parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

async fn read_body(parts: &Parts, body: Incoming, charge: &mut Charge, shared: &Shared) -> Result<Bytes, Problem> {
    let limits = &shared.limits;
    let mut body = body;
    if head_bytes(parts) > limits.header_bytes {
        return Err(Problem::HeadersTooLarge);
    }
    if body.size_hint().lower() > limits.body_bytes as u64 {
        // A client that waits to be asked is not; others have begun already.
        if !parts.headers.contains_key(header::EXPECT) {
            discard(&mut body).await;
        }
        return Err(Problem::BodyTooLarge);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Problem::BodyBroken)?.into_data() else { continue };
        if bytes.len() + data.len() > limits.body_bytes {
            drop(bytes);
            discard(&mut body).await;
            return Err(Problem::BodyTooLarge);
        }
        if !charge.add(data.len(), limits.memory_bytes) {
            drop(bytes);
            discard(&mut body).await;
            return Err(Problem::NoMemory);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

async fn discard(body: &mut Incoming) {
    let mut bytes = 0;
    let reads = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DISCARD_BYTES {
                return;
            }
        }
    };
    let _ = timeout(DISCARD, reads).await;
}
