//! The text part of a Hugging Face folder: tokenizer, special tokens and chat templates of both generations of files,
//! as one view, and what the files contradict each other in.

use crate::ffi::{free_handle, give, guard, handle_from, text_from, Buffer, Code, Failure, Outcome};
use crate::files;
use crate::notes::Notes;
use crate::post_processor::{self, End, Ends, Flags};
use crate::special_tokens::{Files, SpecialTokens, ROLES};
use crate::template_files::templates_of;
use crate::tokenizer::{self, Handle, MAX_FILE_BYTES};
use crate::tokenizer_class::TokenizerClass;
use serde_json::Value as Json;
use std::path::Path;
use tokenizers::Tokenizer;

/// Those of `gh_folder_special_token`.
const SHOWN_ROLES: usize = 4;

pub struct Folder {
    tokenizer: Option<Box<Handle>>,
    special_tokens: [Option<String>; SHOWN_ROLES],
    /// Name to source; sorted, so the order is that of the names.
    templates: Vec<(String, String)>,
    notes: Vec<String>,
}

impl Folder {
    fn load(directory: &Path) -> Outcome<Folder> {
        if !directory.is_dir() {
            return Err(Failure::new(Code::NotFound, format!("{}: no such folder", directory.display())));
        }
        let within = |failure: Failure| Failure::new(failure.code, format!("{}/{}", directory.display(), failure.message));
        let mut notes = Notes::default();
        let config_path = directory.join("tokenizer_config.json");
        let config = files::read_object(&config_path)?;
        // What is wrong with the model's own file is told by who reads its numbers.
        let model = files::read_object(&directory.join("config.json")).unwrap_or_default();
        let files = Files {
            config: &config,
            map: &files::read_object(&directory.join("special_tokens_map.json"))?,
            added: &files::read_object(&directory.join("added_tokens.json"))?,
            class: &TokenizerClass::of(&config, &model),
            rows: model.get("vocab_size").and_then(Json::as_u64),
        };
        let tokens = SpecialTokens::read(&files, &mut notes).map_err(within)?;
        let templates = templates_of(directory, &config, &config_path, &mut notes)?;
        let path = directory.join("tokenizer.json");
        let mut tokenizer = match files::read_if_present(&path, MAX_FILE_BYTES)? {
            Some(json) => Some(tokenizer::parse(&json, &path.display().to_string())?),
            None => None,
        };
        if let Some(tokenizer) = &mut tokenizer {
            complete(tokenizer, &files, &tokens, &mut notes).map_err(within)?;
        }
        let mut special_tokens = [const { None }; SHOWN_ROLES];
        for (role, token) in ROLES.iter().zip(&mut special_tokens) {
            *token = tokens.role(role, &files, tokenizer.as_ref());
        }
        let what = path.display().to_string();
        let tokenizer = tokenizer.map(|tokenizer| Handle::new(tokenizer, &what)).transpose()?.map(Box::new);
        Ok(Folder { tokenizer, special_tokens, templates, notes: notes.into_lines() })
    }
}

/// transformers 4 makes the pre-tokenizer follow tokenizer_config.json's flag, 5 goes by tokenizer.json.
fn compare_prefix_space(tokenizer: &Tokenizer, files: &Files, notes: &mut Notes) {
    let said = files.config.get("add_prefix_space").and_then(Json::as_bool);
    let step = tokenizer.get_pre_tokenizer().and_then(|step| serde_json::to_value(step).ok());
    let written = step.and_then(|step| step.get("add_prefix_space").and_then(Json::as_bool));
    if let (Some(said), Some(written)) = (said, written) {
        if said != written {
            let what = format!(
                "add_prefix_space is {said} in tokenizer_config.json, {written} in tokenizer.json's pre_tokenizer: the \
                 latter is used"
            );
            notes.add(&what, "");
        }
    }
}

/// What the files beside tokenizer.json add to it.
fn complete(tokenizer: &mut Tokenizer, files: &Files, tokens: &SpecialTokens, notes: &mut Notes) -> Outcome<()> {
    let end = |role: &str, tokenizer: &Tokenizer| {
        let token = tokens.role(role, files, Some(tokenizer))?;
        Some(End { known: tokenizer.token_to_id(&token).is_some() || tokens.lists(&token), token })
    };
    let ends = Ends { bos: end("bos_token", tokenizer), eos: end("eos_token", tokenizer) };
    tokens.add_to(tokenizer, files, notes)?;
    if files.config.get("split_special_tokens") == Some(&Json::Bool(true)) {
        tokenizer.set_encode_special_tokens(true);
        notes.add("tokenizer_config.json: split_special_tokens: special tokens in a text are ordinary text", "");
    }
    compare_prefix_space(tokenizer, files, notes);
    post_processor::apply(tokenizer, files.class, &Flags::read(files.config)?, &ends, notes)
}

/// # Safety
/// `path` has `size` bytes; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_load(
    path: *const u8,
    size: usize,
    out: *mut *mut Folder,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let path = text_from(path, size, "path")?;
        give(out, Box::into_raw(Box::new(Folder::load(Path::new(path))?)), "folder")
    })
}

/// # Safety
/// `folder` is null or a live handle, and not used again.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_free(folder: *mut Folder) {
    free_handle(folder);
}

/// The tokenizer, which the caller then owns; null where the folder has none, and on a second call.
///
/// # Safety
/// `folder` is null or a live handle.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_take_tokenizer(folder: *mut Folder) -> *mut Handle {
    folder.as_mut().and_then(|folder| folder.tokenizer.take()).map_or(std::ptr::null_mut(), Box::into_raw)
}

/// The text of BOS (0), EOS (1), PAD (2) or UNK (3); NotFound where the folder names none.
///
/// # Safety
/// `folder` is a live handle; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_special_token(
    folder: *const Folder,
    which: u32,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let token = handle_from(folder, "folder")?.special_tokens.get(which as usize).cloned().flatten();
        let token = token.ok_or_else(|| Failure::new(Code::NotFound, "the folder names no such token"))?;
        give(out, Buffer::from_bytes(token.into_bytes()), "token")
    })
}

/// # Safety
/// `folder` is null or a live handle.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_template_count(folder: *const Folder) -> usize {
    folder.as_ref().map_or(0, |folder| folder.templates.len())
}

/// # Safety
/// `folder` is a live handle; `name`, `source` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_template(
    folder: *const Folder,
    index: usize,
    name: *mut Buffer,
    source: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let folder = handle_from(folder, "folder")?;
        let entry = folder.templates.get(index).ok_or_else(|| Failure::new(Code::NotFound, "no such template"))?;
        if name.is_null() || source.is_null() {
            return Err(Failure::new(Code::Internal, "null output pointer"));
        }
        give(name, Buffer::from_bytes(entry.0.clone().into_bytes()), "name")?;
        give(source, Buffer::from_bytes(entry.1.clone().into_bytes()), "source")
    })
}

/// # Safety
/// `folder` is null or a live handle.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_note_count(folder: *const Folder) -> usize {
    folder.as_ref().map_or(0, |folder| folder.notes.len())
}

/// # Safety
/// `folder` is a live handle; `out` and `error` are writable.
#[no_mangle]
pub unsafe extern "C" fn gh_folder_note(
    folder: *const Folder,
    index: usize,
    out: *mut Buffer,
    error: *mut Buffer,
) -> i32 {
    guard(error, || {
        let note = handle_from(folder, "folder")?.notes.get(index).cloned();
        let note = note.ok_or_else(|| Failure::new(Code::NotFound, "no such note"))?;
        give(out, Buffer::from_bytes(note.into_bytes()), "note")
    })
}
