//! Reading small operator files with a size limit; anything but a regular file is refused.

use crate::ffi::{Code, Failure, Outcome};
use serde_json::{Map, Value as Json};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const MAX_CONFIG_BYTES: usize = 16 << 20;

pub type Object = Map<String, Json>;

/// The JSON object in the file; empty where there is none.
pub fn read_object(path: &Path) -> Outcome<Object> {
    let Some(bytes) = read_if_present(path, MAX_CONFIG_BYTES)? else { return Ok(Object::new()) };
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::invalid(format!("{}: expected a JSON object", path.display()))),
        Err(error) => Err(Failure::invalid(format!("{}: not valid JSON: {error}", path.display()))),
    }
}

pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The bytes of the file, or None where there is none.
pub fn read_if_present(path: &Path, limit: usize) -> Outcome<Option<Vec<u8>>> {
    // Without O_NONBLOCK the open of a FIFO would wait for a writer.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure(path, error)),
    };
    let metadata = file.metadata().map_err(|error| failure(path, error))?;
    if !metadata.is_file() {
        return Err(Failure::invalid(format!("{}: expected a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| failure(path, error))?;
    if bytes.len() > limit {
        return Err(Failure::new(
            Code::ResourceExhausted,
            format!("{}: the file has more than the limit of {limit} bytes (it has {})", path.display(), metadata.len()),
        ));
    }
    Ok(Some(bytes))
}

pub fn read(path: &Path, limit: usize) -> Outcome<Vec<u8>> {
    read_if_present(path, limit)?
        .ok_or_else(|| Failure::new(Code::NotFound, format!("{}: no such file", path.display())))
}

fn failure(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Code::FailedPrecondition, format!("{}: cannot read: {error}", path.display()))
}
