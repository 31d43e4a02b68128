//! A socket that notes what comes, is given up when nothing is taken for too long, and is shut down when it goes.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, Sleep};

use crate::activity::Activity;

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub struct GuardedIo {
    socket: Socket,
    activity: Arc<Activity>,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>, // while a write waits
}

impl GuardedIo {
    pub fn tcp(socket: std::net::TcpStream, activity: Arc<Activity>, stall: Duration) -> io::Result<GuardedIo> {
        let socket = TcpStream::from_std(socket)?;
        // The pieces of a stream are small, and each is waited for.
        socket.set_nodelay(true)?;
        Ok(GuardedIo { socket: Socket::Tcp(socket), activity, stall, stalled: None })
    }

    pub fn unix(
        socket: std::os::unix::net::UnixStream,
        activity: Arc<Activity>,
        stall: Duration,
    ) -> io::Result<GuardedIo> {
        Ok(GuardedIo { socket: Socket::Unix(UnixStream::from_std(socket)?), activity, stall, stalled: None })
    }

    fn fd(&self) -> RawFd {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for GuardedIo {
    // Somebody else may hold a duplicate, which keeps the connection open until it is shut down.
    fn drop(&mut self) {
        // SAFETY: the descriptor is the socket's own, which still lives.
        unsafe { libc::shutdown(self.fd(), libc::SHUT_RDWR) };
    }
}

impl AsyncRead for GuardedIo {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(context, into),
            Socket::Unix(socket) => Pin::new(socket).poll_read(context, into),
        };
        if into.filled().len() > before {
            self.activity.read();
        }
        read
    }
}

impl AsyncWrite for GuardedIo {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(context, data),
            Socket::Unix(socket) => Pin::new(socket).poll_write(context, data),
        };
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write_vectored(context, data),
            Socket::Unix(socket) => Pin::new(socket).poll_write_vectored(context, data),
        };
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // sockets keep nothing back
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(context),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }
}
