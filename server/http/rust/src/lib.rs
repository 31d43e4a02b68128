//! HTTP/1.1 and HTTP/2 on connections that somebody else accepts, behind a small C interface (`guildhall_http.h`).

mod activity;
mod call;
mod connection;
mod ffi;
mod guarded_io;
mod request;
mod server;
mod tls;
