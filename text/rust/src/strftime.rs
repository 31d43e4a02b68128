//! `strftime_now`: the C library's strftime on the date that the caller gives.

use minijinja::{Error, ErrorKind};
use std::ffi::CString;

/// Year, month (1-12), day, hour, minute, second of the local civil time.
#[derive(Clone, Copy)]
pub struct Now(pub [i32; 6]);

const MAX_BYTES: usize = 1024;

pub fn format(now: Now, format: &str) -> Result<String, Error> {
    let invalid = |message: &str| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {message}"));
    // The trailing mark tells an empty result from one that did not fit.
    let text = CString::new(python_only(format) + ".").map_err(|_| invalid("the format contains a NUL"))?;
    if text.as_bytes().len() > MAX_BYTES / 4 {
        return Err(invalid("the format is too long"));
    }
    let time = broken_down(now);
    let mut buffer = [0u8; MAX_BYTES];
    // SAFETY: the buffer has MAX_BYTES bytes, the format ends with NUL, and `time` is fully set.
    let size = unsafe { libc::strftime(buffer.as_mut_ptr().cast(), MAX_BYTES, text.as_ptr(), &time) };
    if size == 0 {
        return Err(invalid("the result is too long"));
    }
    String::from_utf8(buffer[..size - 1].to_vec()).map_err(|_| invalid("the result is not UTF-8"))
}

/// %f is Python's own; %z and %Z are empty for a time without a zone.
fn python_only(format: &str) -> String {
    let mut text = String::with_capacity(format.len());
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('f') => text.push_str("000000"),
            Some('z' | 'Z') => {}
            Some(next) => text.extend(['%', next]),
            None => text.push_str("%%"),
        }
    }
    text
}

fn broken_down(now: Now) -> libc::tm {
    let [year, month, day, hour, minute, second] = now.0;
    // SAFETY: tm is a plain C struct for which zeros are valid (its zone pointer is null).
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    (time.tm_year, time.tm_mon, time.tm_mday) = (year.saturating_sub(1900), month.saturating_sub(1), day);
    (time.tm_hour, time.tm_min, time.tm_sec) = (hour, minute, second);
    // SAFETY: `time` is a valid tm; timegm fills in the day of the week and of the year.
    unsafe { libc::timegm(&mut time) };
    time
}
