//! The border with C: nothing here or above it may panic across, and every pointer from outside is checked.

use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe, Location};
use std::sync::Once;

/// The codes are those of absl::StatusCode, so the caller needs no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    Cancelled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Internal = 13,
    Unavailable = 14,
}

#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(Code::InvalidArgument, message)
    }
}

pub type Outcome<T> = Result<T, Failure>;

/// Whether anybody still waits for the work. `check` may be called from any thread while the call lasts that it was
/// given to: 0, or the code of absl::StatusCode that ends the work.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WorkLimit {
    check: Option<unsafe extern "C" fn(*const c_void) -> i32>,
    context: *const c_void,
}

// SAFETY: the caller of the C interface promises that `check` may be called from any thread.
unsafe impl Send for WorkLimit {}
// SAFETY: as above.
unsafe impl Sync for WorkLimit {}

impl WorkLimit {
    #[cfg(test)]
    pub const NONE: WorkLimit = WorkLimit { check: None, context: std::ptr::null() };

    pub fn check(&self) -> Outcome<()> {
        let Some(check) = self.check else { return Ok(()) };
        // SAFETY: the context is the caller's own and outlives the call.
        match unsafe { check(self.context) } {
            0 => Ok(()),
            code if code == Code::Cancelled as i32 => Err(Failure::new(Code::Cancelled, "the call was cancelled")),
            _ => Err(Failure::new(Code::DeadlineExceeded, "the deadline of the call passed")),
        }
    }
}

/// Owned bytes that the caller gives back with `gh_text_buffer_free`.
#[repr(C)]
pub struct Buffer {
    data: *mut u8,
    size: usize,
}

impl Buffer {
    pub fn from_bytes(bytes: Vec<u8>) -> Buffer {
        if bytes.is_empty() {
            return Buffer { data: std::ptr::null_mut(), size: 0 };
        }
        let slice = Box::into_raw(bytes.into_boxed_slice());
        // A raw slice knows its length: nothing is read through it here.
        Buffer { size: slice.len(), data: slice.cast::<u8>() }
    }
}

/// # Safety
/// `buffer` is null or holds what this library put there; it is emptied, so a second call is harmless.
#[no_mangle]
pub unsafe extern "C" fn gh_text_buffer_free(buffer: *mut Buffer) {
    let Some(buffer) = buffer.as_mut() else { return };
    if !buffer.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(buffer.data, buffer.size)));
    }
    buffer.data = std::ptr::null_mut();
    buffer.size = 0;
}

thread_local! {
    /// While a guarded call runs: where the first panic happened. None outside of such a call.
    static PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics inside a guarded call become an error of that call, so the hook prints nothing for them.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let guarded = PANIC_PLACE.with(|place| match place.borrow_mut().as_mut() {
                Some(text) => {
                    *text = info.location().map(Location::to_string).unwrap_or_default();
                    true
                }
                None => false,
            });
            if !guarded {
                previous(info);
            }
        }));
    });
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Turns a panic of `body` into a failure.
fn without_panic<T>(body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    install_hook();
    PANIC_PLACE.with(|place| *place.borrow_mut() = Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(body));
    let place = PANIC_PLACE.with(|place| place.borrow_mut().take()).unwrap_or_default();
    result.unwrap_or_else(|payload| {
        Err(Failure::invalid(format!("the text library refused the input: {} ({place})", panic_text(&*payload))))
    })
}

/// Runs `body` on a thread with a stack of that size. Its pages are touched, and so paid for, only when they are used.
pub fn on_large_stack<T: Send>(bytes: usize, body: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("text".to_owned())
            .stack_size(bytes)
            .spawn_scoped(scope, || without_panic(body))
            .map_err(|error| {
                let what = format!("the system gives no thread with a stack of {bytes} bytes: {error}");
                Failure::new(Code::Unavailable, what)
            })?;
        thread.join().unwrap_or_else(|payload| Err(Failure::new(Code::Internal, panic_text(&*payload))))
    })
}

/// Runs `body`, turns an error or a panic into a code and a message, and gives 0 when all went well.
///
/// # Safety
/// `error` is null or points to a `Buffer` that may be overwritten.
pub unsafe fn guard(error: *mut Buffer, body: impl FnOnce() -> Outcome<()>) -> i32 {
    let Err(failure) = without_panic(body) else { return 0 };
    if let Some(error) = error.as_mut() {
        *error = Buffer::from_bytes(failure.message.into_bytes());
    }
    failure.code as i32
}

/// # Safety
/// `data` points to `size` readable bytes that outlive the result, or is null.
pub unsafe fn bytes_from<'a>(data: *const u8, size: usize, what: &str) -> Outcome<&'a [u8]> {
    if data.is_null() {
        if size == 0 {
            return Ok(&[]);
        }
        return Err(Failure::invalid(format!("{what}: null pointer with size {size}")));
    }
    Ok(std::slice::from_raw_parts(data, size))
}

/// # Safety
/// As `bytes_from`.
pub unsafe fn text_from<'a>(data: *const u8, size: usize, what: &str) -> Outcome<&'a str> {
    let bytes = bytes_from(data, size, what)?;
    std::str::from_utf8(bytes).map_err(|error| {
        Failure::invalid(format!(
            "{what}: expected UTF-8, found an invalid byte at offset {} of {size}",
            error.valid_up_to()
        ))
    })
}

/// # Safety
/// `handle` is null or a live handle of this library of that type.
pub unsafe fn handle_from<'a, T>(handle: *const T, what: &str) -> Outcome<&'a T> {
    handle.as_ref().ok_or_else(|| Failure::new(Code::Internal, format!("{what}: null handle")))
}

/// # Safety
/// `out` is null or points to a writable place.
pub unsafe fn give<T>(out: *mut T, value: T, what: &str) -> Outcome<()> {
    if out.is_null() {
        return Err(Failure::new(Code::Internal, format!("{what}: null output pointer")));
    }
    out.write(value);
    Ok(())
}

/// Drops a handle; a panic in a destructor stays here.
///
/// # Safety
/// `handle` is null or came from `Box::into_raw` and is not used again.
pub unsafe fn free_handle<T>(handle: *mut T) {
    if !handle.is_null() {
        guard(std::ptr::null_mut(), || {
            drop(Box::from_raw(handle));
            Ok(())
        });
    }
}
