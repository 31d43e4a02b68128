//! One connection from its first byte to its last.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout, Instant};

use crate::activity::Activity;
use crate::guarded_io::GuardedIo;
use crate::request;
use crate::server::Shared;

/// How long a client that was told to go may take for it.
const GRACE: Duration = Duration::from_secs(1);
/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub struct Arrival {
    pub fd: OwnedFd,
    pub unix_socket: bool,
    pub peer: Vec<u8>, // who it is, for the caller alone
}

pub async fn run(arrival: Arrival, shared: Arc<Shared>, drain: watch::Receiver<bool>) {
    let activity = Activity::new(shared.limits.header, shared.limits.idle, shared.limits.stall);
    let stall = shared.limits.stall;
    let socket = if arrival.unix_socket {
        GuardedIo::unix(arrival.fd.into(), activity.clone(), stall)
    } else {
        GuardedIo::tcp(arrival.fd.into(), activity.clone(), stall)
    };
    let Ok(socket) = socket else { return };
    let Some(acceptor) = shared.tls.clone() else {
        return serve(socket, arrival.peer, activity, shared, drain).await;
    };
    // Who speaks no TLS, or does not get to its end, is told nothing.
    if let Ok(Ok(socket)) = timeout(shared.limits.header, acceptor.accept(socket)).await {
        serve(socket, arrival.peer, activity, shared, drain).await;
    }
}

async fn serve<Socket>(
    socket: Socket,
    peer: Vec<u8>,
    activity: Arc<Activity>,
    shared: Arc<Shared>,
    mut drain: watch::Receiver<bool>,
) where
    Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer: Arc<[u8]> = peer.into();
    let service = service_fn(|incoming: Request<Incoming>| {
        let open = activity.begin(incoming.version() == http::Version::HTTP_2);
        request::serve(incoming, peer.clone(), open, shared.clone())
    });
    let connection = shared.builder.serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    let mut told: Option<Instant> = None; // to end
    loop {
        // The deadline moves with what happens on the connection.
        let soon = Instant::now() + LOOK;
        let end = activity.deadline(told.map(|told| (told, GRACE)));
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = activity.broken_off() => return,
            _ = drain.wait_for(|drains| *drains), if told.is_none() => {}
            () = sleep_until(end.map_or(soon, |end| end.min(soon))) => {
                if activity.stalled() {
                    return;
                }
                match activity.deadline(told.map(|told| (told, GRACE))) {
                    Some(end) if end <= Instant::now() && told.is_some() => return,
                    Some(end) if end <= Instant::now() => {}
                    _ => continue,
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        told = Some(Instant::now());
    }
}
