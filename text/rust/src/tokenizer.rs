//! Tokenizers and decode streams for C.

use crate::decode_stream::DecodeStream;
use crate::encode::{Bounds, Encoder};
use crate::ffi::{
    bytes_from, free_handle, give, guard, handle_from, text_from, Buffer, Code, Failure, Outcome, WorkLimit,
};
use crate::{files, tokenizer_file};
use std::path::Path;
use std::sync::Arc;
use tokenizers::Tokenizer;

/// The largest known tokenizer.json has 35 MB.
pub const MAX_FILE_BYTES: usize = 256 << 20;
/// Ids index tables of the model (embedding rows), so an absurd one is a broken file.
pub const MAX_ID: u32 = (1 << 24) - 1;
/// Real vocabularies end at some hundred bytes; one id must not stand for a text that fills memory.
const MAX_TOKEN_BYTES: usize = 4096;

pub struct Handle {
    pub tokenizer: Arc<Tokenizer>,
    encoder: Encoder,
    /// One more than the greatest id.
    vocabulary_size: u32,
}

/// A tokenizer.json by itself.
pub fn parse(json: &[u8], what: &str) -> Outcome<Tokenizer> {
    if json.len() > MAX_FILE_BYTES {
        return Err(Failure::new(
            Code::ResourceExhausted,
            format!("{what}: {} bytes, more than the limit of {MAX_FILE_BYTES}", json.len()),
        ));
    }
    tokenizer_file::check(json, what)?;
    let mut tokenizer = Tokenizer::from_bytes(json)
        .map_err(|error| Failure::invalid(format!("{what}: not a tokenizer.json that can be used: {error}")))?;
    // Both are settings for training batches: a prompt must arrive whole.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| Failure::invalid(format!("{what}: cannot turn truncation off: {error}")))?;
    Ok(tokenizer)
}

impl Handle {
    pub fn parse(json: &[u8], what: &str) -> Outcome<Handle> {
        Handle::new(parse(json, what)?, what)
    }

    pub fn new(tokenizer: Tokenizer, what: &str) -> Outcome<Handle> {
        let vocabulary = tokenizer.get_vocab(true);
        let Some((token, id)) = vocabulary.iter().max_by_key(|entry| entry.1) else {
            return Err(Failure::invalid(format!("{what}: the vocabulary is empty")));
        };
        if *id > MAX_ID {
            return Err(Failure::invalid(format!("{what}: token {token:?} has the id {id}, above the limit {MAX_ID}")));
        }
        let longest = vocabulary.iter().max_by_key(|entry| entry.0.len()).map_or(0, |entry| entry.0.len());
        if longest > MAX_TOKEN_BYTES {
            let id = vocabulary.iter().find(|entry| entry.0.len() == longest).map_or(0, |entry| *entry.1);
            return Err(Failure::invalid(format!(
                "{what}: the token with the id {id} has {longest} bytes, more than the limit of {MAX_TOKEN_BYTES}"
            )));
        }
        let vocabulary_size = id + 1;
        let tokenizer = Arc::new(tokenizer);
        let encoder = Encoder::new(tokenizer.clone(), &vocabulary);
        Ok(Handle { tokenizer, encoder, vocabulary_size })
    }
}

fn id_from(id: i32) -> Outcome<u32> {
    u32::try_from(id).map_err(|_| Failure::invalid(format!("token id {id}: expected 0 or more")))
}

/// # Safety
/// `ids` points to `size` readable elements, or is null with a size of 0.
unsafe fn ids_from(ids: *const i32, size: usize) -> Outcome<Vec<u32>> {
    if ids.is_null() && size > 0 {
        return Err(Failure::new(Code::Internal, "ids: null pointer"));
    }
    let ids = if size == 0 { &[] } else { std::slice::from_raw_parts(ids, size) };
    ids.iter().map(|id| id_from(*id)).collect()
}

#[repr(C)]
pub struct Ids {
    data: *mut i32,
    size: usize,
}

/// # Safety
/// `path` has `path_size` bytes; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_from_file(
    path: *const u8,
    path_size: usize,
    out: *mut *mut Handle,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let path = text_from(path, path_size, "path")?;
        let json = files::read(Path::new(path), MAX_FILE_BYTES)?;
        give(out, Box::into_raw(Box::new(Handle::parse(&json, path)?)), "tokenizer")
    })
}

/// # Safety
/// `json` has `size` bytes; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_from_bytes(
    json: *const u8,
    size: usize,
    out: *mut *mut Handle,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let json = bytes_from(json, size, "tokenizer.json")?;
        give(out, Box::into_raw(Box::new(Handle::parse(json, "tokenizer.json")?)), "tokenizer")
    })
}

/// # Safety
/// `tokenizer` is null or a live handle, and not used again.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_free(tokenizer: *mut Handle) {
    free_handle(tokenizer);
}

/// # Safety
/// `tokenizer` is a live handle; `text` has `size` bytes; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_encode(
    tokenizer: *const Handle,
    text: *const u8,
    size: usize,
    add_special: bool,
    max_ids: usize,
    limit: WorkLimit,
    out: *mut Ids,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let tokenizer = handle_from(tokenizer, "tokenizer")?;
        let text = text_from(text, size, "text")?;
        let ids = tokenizer.encoder.encode(text, add_special, &Bounds { max_ids, limit })?;
        let ids = if ids.is_empty() {
            Ids { data: std::ptr::null_mut(), size: 0 }
        } else {
            let slice = Box::into_raw(ids.into_boxed_slice());
            Ids { size: slice.len(), data: slice.cast::<i32>() }
        };
        give(out, ids, "ids")
    })
}

/// The fewest ids that `text` can give; 0 where nothing is known.
///
/// # Safety
/// `tokenizer` is null or a live handle; `text` has `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_least_ids(tokenizer: *const Handle, text: *const u8, size: usize) -> usize {
    match (tokenizer.as_ref(), bytes_from(text, size, "text")) {
        (Some(handle), Ok(text)) => handle.encoder.least_ids(text),
        _ => 0,
    }
}

/// Whether long text is encoded in pieces.
///
/// # Safety
/// `tokenizer` is null or a live handle.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_in_pieces(tokenizer: *const Handle) -> bool {
    tokenizer.as_ref().is_some_and(|handle| handle.encoder.in_pieces())
}

/// # Safety
/// `ids` is null or holds what `gh_tokenizer_encode` put there; it is emptied.
#[no_mangle]
pub unsafe extern "C" fn gh_text_ids_free(ids: *mut Ids) {
    let Some(ids) = ids.as_mut() else { return };
    if !ids.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(ids.data, ids.size)));
    }
    ids.data = std::ptr::null_mut();
    ids.size = 0;
}

/// # Safety
/// `tokenizer` is a live handle; `ids` has `size` elements; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_decode(
    tokenizer: *const Handle,
    ids: *const i32,
    size: usize,
    skip_special: bool,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let tokenizer = handle_from(tokenizer, "tokenizer")?;
        let ids = ids_from(ids, size)?;
        if ids.is_empty() {
            return give(out, Buffer::from_bytes(Vec::new()), "text"); // some decoders fail on no tokens
        }
        let text = tokenizer
            .tokenizer
            .decode(&ids, skip_special)
            .map_err(|error| Failure::invalid(format!("cannot decode: {error}")))?;
        give(out, Buffer::from_bytes(text.into_bytes()), "text")
    })
}

/// Whether both make the same of every text and of all ids; false where nothing can be said.
///
/// # Safety
/// `a` and `b` are live handles; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_same(
    a: *const Handle,
    b: *const Handle,
    out: *mut bool,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let said = |handle: *const Handle| {
            let tokenizer = &handle_from(handle, "tokenizer")?.tokenizer;
            // Of all that decides it is the one thing that no tokenizer.json holds.
            let split = tokenizer.get_encode_special_tokens();
            let json = tokenizer.to_string(false);
            json.map(|json| (split, json)).map_err(|error| Failure::invalid(format!("cannot be written: {error}")))
        };
        give(out, said(a)? == said(b)?, "same")
    })
}

/// One more than the greatest id; 0 for a null handle.
///
/// # Safety
/// `tokenizer` is null or a live handle.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_vocabulary_size(tokenizer: *const Handle) -> i32 {
    tokenizer.as_ref().map_or(0, |handle| handle.vocabulary_size as i32)
}

/// Writes the id, or -1 where there is no such token.
///
/// # Safety
/// `tokenizer` is a live handle; `token` has `size` bytes; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_token_id(
    tokenizer: *const Handle,
    token: *const u8,
    size: usize,
    out: *mut i32,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let tokenizer = handle_from(tokenizer, "tokenizer")?;
        let token = text_from(token, size, "token")?;
        give(out, tokenizer.tokenizer.token_to_id(token).map_or(-1, |id| id as i32), "id")
    })
}

/// The token as the vocabulary spells it, and whether it is a special one; NotFound where there is none.
///
/// # Safety
/// `tokenizer` is a live handle; `out`, `special` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_tokenizer_token_text(
    tokenizer: *const Handle,
    id: i32,
    out: *mut Buffer,
    special: *mut bool,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let handle = handle_from(tokenizer, "tokenizer")?;
        let token = handle.tokenizer.id_to_token(id_from(id)?).ok_or_else(|| {
            Failure::new(
                Code::NotFound,
                format!("token id {id}: no such token, ids go up to {}", handle.vocabulary_size - 1),
            )
        })?;
        give(special, handle.tokenizer.get_added_vocabulary().is_special_token(&token), "special")?;
        give(out, Buffer::from_bytes(token.into_bytes()), "token")
    })
}

/// The stream keeps the tokenizer alive, and continues the text of `prompt`.
///
/// # Safety
/// `tokenizer` is a live handle; `prompt` has `size` elements; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_decode_stream_new(
    tokenizer: *const Handle,
    skip_special: bool,
    prompt: *const i32,
    size: usize,
    out: *mut *mut DecodeStream,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let tokenizer = handle_from(tokenizer, "tokenizer")?;
        let mut stream = DecodeStream::new(tokenizer.tokenizer.clone(), skip_special);
        stream.begin_after(&ids_from(prompt, size)?)?;
        give(out, Box::into_raw(Box::new(stream)), "stream")
    })
}

/// # Safety
/// `stream` is null or a live handle, and not used again.
#[no_mangle]
pub unsafe extern "C" fn gh_decode_stream_free(stream: *mut DecodeStream) {
    free_handle(stream);
}

/// # Safety
/// `stream` is a live handle that no other thread uses now; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_decode_stream_append(
    stream: *mut DecodeStream,
    id: i32,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let stream = stream.as_mut().ok_or_else(|| Failure::new(Code::Internal, "stream: null handle"))?;
        let text = stream.append(id_from(id)?)?;
        give(out, Buffer::from_bytes(text.into_bytes()), "text")
    })
}

/// # Safety
/// As `gh_decode_stream_append`.
#[no_mangle]
pub unsafe extern "C" fn gh_decode_stream_finish(
    stream: *mut DecodeStream,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let stream = stream.as_mut().ok_or_else(|| Failure::new(Code::Internal, "stream: null handle"))?;
        give(out, Buffer::from_bytes(stream.finish()?.into_bytes()), "text")
    })
}
