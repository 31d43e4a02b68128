//! What a connection is doing, for its driver to end it when that is nothing for too long.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

struct State {
    open: usize,                // requests that are not answered yet
    idle_since: Instant,        // with none open
    first_byte: Option<Instant>, // since then
    begun: bool,                // has had a request
    http2: bool,
    offered: usize,         // pieces of answers that the client has no room for
    offered_since: Instant, // or has had room last
}

pub struct Activity {
    state: Mutex<State>,
    header: Duration,
    idle: Duration,
    stall: Duration,
    broken_off: Notify,
}

impl Activity {
    pub fn new(header: Duration, idle: Duration, stall: Duration) -> Arc<Activity> {
        let now = Instant::now();
        let state = State {
            open: 0,
            idle_since: now,
            first_byte: None,
            begun: false,
            http2: false,
            offered: 0,
            offered_since: now,
        };
        Arc::new(Activity { state: Mutex::new(state), header, idle, stall, broken_off: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Something has come from the client.
    pub fn read(&self) {
        let mut state = self.lock();
        if state.open == 0 && state.first_byte.is_none() {
            state.first_byte = Some(Instant::now());
        }
    }

    pub fn begin(self: &Arc<Self>, http2: bool) -> OpenRequest {
        let mut state = self.lock();
        state.open += 1;
        state.begun = true;
        state.http2 = http2;
        state.first_byte = None;
        OpenRequest(self.clone())
    }

    /// There is a piece of an answer to take.
    pub fn offer(&self) {
        let mut state = self.lock();
        if state.offered == 0 {
            state.offered_since = Instant::now();
        }
        state.offered += 1;
    }

    /// Some of it is taken, or `all`.
    pub fn take(&self, all: bool) {
        let mut state = self.lock();
        state.offered_since = Instant::now();
        if all {
            state.offered -= 1;
        }
    }

    /// Nothing of what there is to take has been taken for too long.
    pub fn stalled(&self) -> bool {
        let state = self.lock();
        state.offered > 0 && state.offered_since.elapsed() > self.stall
    }

    /// Ends the connection with all that is open on it.
    pub fn break_off(&self) {
        self.broken_off.notify_one();
    }

    pub async fn broken_off(&self) {
        self.broken_off.notified().await;
    }

    /// Until when the connection may go on as it is; None: requests are open. `told`: since when it has been told to
    /// end, and how long it may take for that once it is idle.
    pub fn deadline(&self, told: Option<(Instant, Duration)>) -> Option<Instant> {
        let state = self.lock();
        if state.open > 0 {
            return None;
        }
        if let Some((since, grace)) = told {
            return Some(since.max(state.idle_since) + grace);
        }
        if !state.begun {
            return Some(state.idle_since + self.header);
        }
        // Frames of HTTP/2 that come between requests need not belong to one.
        match state.first_byte {
            Some(first) if !state.http2 => Some(first + self.header),
            _ => Some(state.idle_since + self.idle),
        }
    }
}

/// A request that is being answered, for as long as this lives.
pub struct OpenRequest(Arc<Activity>);

impl OpenRequest {
    pub fn activity(&self) -> Arc<Activity> {
        self.0.clone()
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.open -= 1;
        if state.open == 0 {
            state.idle_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(600);

    fn left(activity: &Activity) -> Duration {
        activity.deadline(None).map_or(Duration::MAX, |deadline| deadline - Instant::now())
    }

    #[test]
    fn the_first_request_has_the_time_of_headers_and_the_wait_for_others_is_idle() {
        let activity = Activity::new(HEADER, IDLE, IDLE);
        assert!(left(&activity) <= HEADER);
        let request = activity.begin(false);
        assert!(activity.deadline(None).is_none());
        drop(request);
        assert!(left(&activity) > HEADER);
        activity.read();
        assert!(left(&activity) <= HEADER, "the headers of the next one have begun");
    }

    #[test]
    fn an_answer_that_nobody_takes_stalls_its_connection() {
        let activity = Activity::new(HEADER, IDLE, Duration::ZERO);
        assert!(!activity.stalled());
        activity.offer();
        activity.offer();
        std::thread::sleep(Duration::from_millis(2));
        assert!(activity.stalled());
        activity.take(true);
        activity.take(true);
        std::thread::sleep(Duration::from_millis(2));
        assert!(!activity.stalled());
    }

    #[test]
    fn frames_of_http2_between_requests_begin_none() {
        let activity = Activity::new(HEADER, IDLE, IDLE);
        drop(activity.begin(true));
        activity.read();
        assert!(left(&activity) > HEADER);
    }
}
