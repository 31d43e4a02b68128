//! One request's answer, between the caller of the C interface, who makes it, and the connection, which takes it.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{sleep, Instant, Sleep};

use crate::activity::{Activity, OpenRequest};
use crate::server::Charge;

/// The most that a connection takes of an answer at once: the rest stays where it is counted.
const PIECE: usize = 64 << 10;

/// A function of the caller with what it is called with.
pub struct Callback<F> {
    pub function: F,
    pub context: *mut c_void,
}

// SAFETY: the caller of the C interface promises that it may be called on any thread.
unsafe impl<F: Send> Send for Callback<F> {}

pub type Gone = Callback<unsafe extern "C" fn(*mut c_void)>;
pub type Taken = Callback<unsafe extern "C" fn(*mut c_void, bool)>;

impl Taken {
    fn tell(self, ok: bool) {
        // SAFETY: as `Callback` says; it is told once, for this consumes it.
        unsafe { (self.function)(self.context, ok) }
    }
}

/// What is sent while nothing else is.
pub struct Filler {
    pub data: Bytes,
    pub every: Duration,
}

pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub filler: Option<Filler>,
}

#[derive(Default)]
struct State {
    head: Option<Head>, // until the connection has it
    responded: bool,
    chunk: Option<(Bytes, Option<Taken>)>,
    over: bool,   // nothing more comes
    broken: bool, // and what came is not all
    gone: bool,   // nobody takes anything any more
    waker: Option<Waker>,
    charge: Option<Charge>, // of the request's body, then of an answer that is given as a whole
}

pub struct Call {
    connection: Arc<Activity>,
    state: Mutex<State>,
    // Held while it is told, so that nobody is told after `End`.
    watcher: Mutex<Option<Gone>>,
}

impl Call {
    pub fn new(connection: Arc<Activity>, charge: Charge) -> Arc<Call> {
        let state = State { charge: Some(charge), ..State::default() };
        Arc::new(Call { connection, state: Mutex::new(state), watcher: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn lock_watcher(&self) -> MutexGuard<'_, Option<Gone>> {
        self.watcher.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn watch(&self, gone: Gone) {
        *self.lock_watcher() = Some(gone);
        if self.lock().gone {
            self.tell_gone();
        }
    }

    fn tell_gone(&self) {
        let mut watcher = self.lock_watcher();
        if let Some(gone) = watcher.take() {
            // SAFETY: as `Callback` says; the caller lives until `end` has had the watcher.
            unsafe { (gone.function)(gone.context) }
        }
    }

    /// With `over`, `body` is all of the answer.
    pub fn respond(&self, head: Head, body: Option<Bytes>, over: bool) {
        let mut state = self.lock();
        if state.gone {
            return;
        }
        if let Some(charge) = &mut state.charge {
            charge.set(body.as_ref().map_or(0, Bytes::len));
        }
        state.head = Some(head);
        state.responded = true;
        if let Some(body) = body {
            self.connection.offer();
            state.chunk = Some((body, None));
        }
        state.over = over;
        Call::wake(state);
    }

    pub fn write(&self, data: Bytes, taken: Taken) {
        let mut state = self.lock();
        if state.gone {
            drop(state);
            return taken.tell(false);
        }
        self.connection.offer();
        state.chunk = Some((data, Some(taken)));
        Call::wake(state);
    }

    /// A client that takes nothing is waited for no longer: its connection lets go of the call.
    pub fn cancel(&self) {
        self.connection.break_off();
    }

    /// Nobody takes anything any more.
    fn leave(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.charge = None;
        let chunk = state.chunk.take();
        if chunk.is_some() {
            self.connection.take(true);
        }
        let complete = state.over && !state.broken && chunk.is_none();
        Call::wake(state);
        if complete {
            return;
        }
        if let Some((_, Some(taken))) = chunk {
            taken.tell(false);
        }
        self.tell_gone();
    }

    pub fn end(&self, complete: bool) {
        *self.lock_watcher() = None;
        let mut state = self.lock();
        state.broken = !complete || !state.responded;
        state.over = true;
        Call::wake(state);
    }

    /// Err: there will be none.
    fn poll_head(&self, context: &mut Context<'_>) -> Poll<Result<(Head, Option<u64>), Broken>> {
        let mut state = self.lock();
        if let Some(head) = state.head.take() {
            let size = state.chunk.as_ref().map_or(0, |(data, _)| data.len() as u64);
            return Poll::Ready(Ok((head, state.over.then_some(size))));
        }
        if state.gone || state.over {
            return Poll::Ready(Err(Broken));
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// An answer that ends before it is complete: its connection, or its stream of HTTP/2, is broken off.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the answer was broken off")
    }
}

impl std::error::Error for Broken {}

/// The connection's hold on a call: when it lets go, nobody takes anything any more.
struct Hold {
    call: Arc<Call>,
    given: bool, // a piece that may still wait for the client
    _open: OpenRequest,
}

impl Hold {
    /// The connection asks for more, or for nothing any more.
    fn pass_on(&mut self) {
        if std::mem::take(&mut self.given) {
            self.call.connection.take(true);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.pass_on();
        self.call.leave();
    }
}

/// Waits for the head of the answer.
pub async fn answer(call: Arc<Call>, open: OpenRequest) -> Result<Response<AnswerBody>, Broken> {
    let hold = Hold { call, given: false, _open: open };
    let (head, size) = std::future::poll_fn(|context| hold.call.poll_head(context)).await?;
    let filler = head.filler.map(|filler| (Box::pin(sleep(filler.every)), filler));
    let mut response = Response::new(AnswerBody { hold, size, filler });
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    Ok(response)
}

pub struct AnswerBody {
    hold: Hold,
    size: Option<u64>, // where it is known
    filler: Option<(Pin<Box<Sleep>>, Filler)>,
}

impl AnswerBody {
    fn restart(&mut self) {
        if let Some((timer, filler)) = &mut self.filler {
            timer.as_mut().reset(Instant::now() + filler.every);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        this.hold.pass_on();
        let mut state = this.hold.call.lock();
        if let Some((mut data, taken)) = state.chunk.take() {
            if data.len() > PIECE {
                let piece = data.split_to(PIECE);
                state.chunk = Some((data, taken));
                this.hold.call.connection.take(false);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            drop(state);
            this.hold.given = true;
            this.restart();
            if let Some(taken) = taken {
                taken.tell(true);
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if state.gone || state.broken {
            return Poll::Ready(Some(Err(Broken)));
        }
        if state.over {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        drop(state);
        if let Some((timer, filler)) = &mut this.filler {
            if timer.as_mut().poll(context).is_ready() {
                let data = filler.data.clone();
                this.restart();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
