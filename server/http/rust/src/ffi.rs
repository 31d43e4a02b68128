//! The border with C (`guildhall_http.h`): every pointer from outside is checked or its promise is written down.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::call::{Call, Callback, Filler, Head};
use crate::server::{Handler, Limits, OnRequest, Server, Shared};
use crate::tls;

/// A handle that is a reference to a `Call` with a count.
pub type CallHandle = Call;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    data: *const u8,
    size: usize,
}

impl Text {
    fn of(bytes: &[u8]) -> Text {
        Text { data: bytes.as_ptr(), size: bytes.len() }
    }

    /// # Safety
    /// It points to `size` readable bytes that outlive the result, or is null.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        std::slice::from_raw_parts(self.data, self.size)
    }
}

#[repr(C)]
pub struct Header {
    name: Text,
    value: Text,
}

#[repr(i32)]
#[derive(Clone, Copy)]
pub enum Problem {
    Well = 0,
    BodyTooLarge = 1,
    BodyTooSlow = 2,
    BodyBroken = 3,
    NoMemory = 4,
    HeadersTooLarge = 5,
}

#[repr(C)]
pub struct Request {
    peer: Text,
    problem: Problem,
    method: Text,
    path: Text,
    headers: *const Header,
    header_count: usize,
    body: Text,
}

#[repr(C)]
pub struct Options {
    threads: u32,
    streams: u32,
    header_bytes: u64,
    body_bytes: u64,
    memory_bytes: u64,
    header_ms: u64,
    body_ms: u64,
    idle_ms: u64,
    stall_ms: u64,
    ping_ms: u64,
    certificates: Text,
    key: Text,
    client_ca: Text,
    context: *mut c_void,
    on_request: Option<OnRequest>,
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// # Safety
/// As `gh_http_start`.
unsafe fn start(options: &Options) -> Result<Server, String> {
    let on_request = options.on_request.ok_or("nobody is told of requests")?;
    let certificates = options.certificates.bytes();
    let acceptor = if certificates.is_empty() {
        None
    } else {
        Some(tls::acceptor(certificates, options.key.bytes(), options.client_ca.bytes())?)
    };
    let limits = Limits {
        streams: options.streams,
        header_bytes: size(options.header_bytes),
        body_bytes: size(options.body_bytes),
        memory_bytes: options.memory_bytes,
        header: Duration::from_millis(options.header_ms),
        body: Duration::from_millis(options.body_ms),
        idle: Duration::from_millis(options.idle_ms),
        stall: Duration::from_millis(options.stall_ms),
        ping: Duration::from_millis(options.ping_ms),
    };
    let shared = Shared::new(Handler { on_request, context: options.context }, limits, acceptor);
    Server::start(options.threads as usize, shared).map_err(|error| format!("the system gives no threads: {error}"))
}

/// # Safety
/// `options` and what it points to are readable, and `error` has `error_size` writable bytes, one at least.
#[no_mangle]
pub unsafe extern "C" fn gh_http_start(options: *const Options, error: *mut c_char, error_size: usize) -> *mut Server {
    match start(&*options) {
        Ok(server) => Box::into_raw(Box::new(server)),
        Err(message) => {
            let length = message.len().min(error_size - 1);
            std::ptr::copy_nonoverlapping(message.as_ptr().cast::<c_char>(), error, length);
            *error.add(length) = 0;
            std::ptr::null_mut()
        }
    }
}

/// # Safety
/// `server` came from `gh_http_start`; `fd` is a stream socket that is not blocking, and nobody else's; `peer` is
/// readable.
#[no_mangle]
pub unsafe extern "C" fn gh_http_serve(server: *const Server, fd: i32, unix_socket: bool, peer: Text) {
    (*server).serve(fd, unix_socket, peer.bytes().to_vec());
}

/// # Safety
/// `server` came from `gh_http_start`.
#[no_mangle]
pub unsafe extern "C" fn gh_http_drain(server: *const Server) {
    (*server).drain();
}

/// # Safety
/// `server` came from `gh_http_start` and is not used again.
#[no_mangle]
pub unsafe extern "C" fn gh_http_free(server: *mut Server) {
    Box::from_raw(server).end();
}

/// Tells the handler of a request; the handle is its own from then on.
pub fn hand_over(handler: &Handler, call: &Arc<Call>, peer: &[u8], parts: &Parts, body: &Bytes, problem: Problem) {
    let headers: Vec<Header> = parts
        .headers
        .iter()
        .map(|(name, value)| Header { name: Text::of(name.as_str().as_bytes()), value: Text::of(value.as_bytes()) })
        .collect();
    let request = Request {
        peer: Text::of(peer),
        problem,
        method: Text::of(parts.method.as_str().as_bytes()),
        path: Text::of(parts.uri.path().as_bytes()),
        headers: headers.as_ptr(),
        header_count: headers.len(),
        body: Text::of(body),
    };
    let handle = Arc::into_raw(call.clone()).cast_mut();
    // SAFETY: all of it lives until it returns; the handle is a count that gh_http_end gives back.
    unsafe { (handler.on_request)(handler.context, handle, &request) };
}

/// # Safety
/// `call` is a handle that has not ended.
#[no_mangle]
pub unsafe extern "C" fn gh_http_watch(
    call: *const CallHandle,
    gone: unsafe extern "C" fn(*mut c_void),
    context: *mut c_void,
) {
    (*call).watch(Callback { function: gone, context });
}

/// Names and values that are none of HTTP are left out.
///
/// # Safety
/// `headers` points to `count` headers whose texts are readable.
unsafe fn header_map(headers: *const Header, count: usize) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(count);
    for index in 0..count {
        let header = &*headers.add(index);
        let name = HeaderName::from_bytes(header.name.bytes());
        let value = HeaderValue::from_bytes(header.value.bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// # Safety
/// `call` is a handle that has not ended; `headers` has `header_count` entries, and all texts are readable.
#[no_mangle]
pub unsafe extern "C" fn gh_http_respond(
    call: *const CallHandle,
    status: u16,
    headers: *const Header,
    header_count: usize,
    body: Text,
    more: bool,
    filler_ms: u64,
) {
    let data = Bytes::copy_from_slice(body.bytes());
    let mut head = Head {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers: header_map(headers, header_count),
        filler: None,
    };
    if !more {
        let whole = if data.is_empty() { None } else { Some(data) };
        return (*call).respond(head, whole, true);
    }
    if filler_ms > 0 {
        head.filler = Some(Filler { data, every: Duration::from_millis(filler_ms) });
    }
    (*call).respond(head, None, false);
}

/// # Safety
/// `call` is a handle that has not ended, and `data` is readable.
#[no_mangle]
pub unsafe extern "C" fn gh_http_write(
    call: *const CallHandle,
    data: Text,
    taken: unsafe extern "C" fn(*mut c_void, bool),
    context: *mut c_void,
) {
    (*call).write(Bytes::copy_from_slice(data.bytes()), Callback { function: taken, context });
}

/// # Safety
/// `call` is a handle that has not ended.
#[no_mangle]
pub unsafe extern "C" fn gh_http_cancel(call: *const CallHandle) {
    (*call).cancel();
}

/// # Safety
/// `call` is a handle that has not ended, and is not used again.
#[no_mangle]
pub unsafe extern "C" fn gh_http_end(call: *const CallHandle, complete: bool) {
    let call = Arc::from_raw(call);
    call.end(complete);
}
