//! The runtime with what its connections share.

use std::ffi::c_void;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::connection;
use crate::ffi::Request;

/// Bytes of a window of HTTP/2: what a client may send before anybody asks for it.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
const SEND_BUFFER: usize = 64 << 10;
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// The most that the end waits for what runs.
const END: Duration = Duration::from_secs(5);

pub type OnRequest = unsafe extern "C" fn(*mut c_void, *mut crate::ffi::CallHandle, *const Request);

/// Who is told of requests.
pub struct Handler {
    pub on_request: OnRequest,
    pub context: *mut c_void,
}

// SAFETY: the caller of the C interface promises that it may be called on any thread.
unsafe impl Send for Handler {}
// SAFETY: as above.
unsafe impl Sync for Handler {}

pub struct Limits {
    pub streams: u32,
    pub header_bytes: usize,
    pub body_bytes: usize,
    pub memory_bytes: u64,
    pub header: Duration,
    pub body: Duration,
    pub idle: Duration,
    pub stall: Duration,
    pub ping: Duration,
}

pub struct Shared {
    pub handler: Handler,
    pub limits: Limits,
    pub tls: Option<TlsAcceptor>,
    pub builder: auto::Builder<TokioExecutor>,
    bodies: Arc<AtomicU64>,
}

impl Shared {
    pub fn new(handler: Handler, limits: Limits, tls: Option<TlsAcceptor>) -> Shared {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // The driver of the connection knows which of its silences are too long.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits.header_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(PING_PATIENCE);
        Shared { handler, limits, tls, builder, bodies: Arc::default() }
    }

    pub fn charge(&self) -> Charge {
        Charge { bodies: self.bodies.clone(), bytes: 0 }
    }
}

/// The part that a request, and then its answer, has of the memory of all.
pub struct Charge {
    bodies: Arc<AtomicU64>,
    bytes: u64,
}

impl Charge {
    /// False: there is no room for so many more.
    pub fn add(&mut self, bytes: usize, limit: u64) -> bool {
        let bytes = bytes as u64;
        self.bytes += bytes;
        self.bodies.fetch_add(bytes, Ordering::Relaxed) + bytes <= limit
    }

    /// So many now; what is there already is never refused, but others are while it lasts.
    pub fn set(&mut self, bytes: usize) {
        self.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes as u64;
        self.bodies.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub struct Server {
    runtime: Runtime,
    shared: Arc<Shared>,
    drain: watch::Sender<bool>,
}

impl Server {
    pub fn start(threads: usize, shared: Shared) -> std::io::Result<Server> {
        // What is written to a client that has gone is an error of that connection, not the end of the process.
        // SAFETY: no handler is replaced by code of this process.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("http")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Server { runtime, shared: Arc::new(shared), drain: watch::Sender::new(false) })
    }

    /// # Safety
    /// `fd` is a stream socket that is not blocking, and nobody else's.
    pub unsafe fn serve(&self, fd: i32, unix_socket: bool, peer: Vec<u8>) {
        let fd = OwnedFd::from_raw_fd(fd);
        let arrival = connection::Arrival { fd, unix_socket, peer };
        self.runtime.spawn(connection::run(arrival, self.shared.clone(), self.drain.subscribe()));
    }

    pub fn drain(&self) {
        self.drain.send_replace(true);
    }

    pub fn end(self) {
        self.runtime.shutdown_timeout(END);
    }
}
