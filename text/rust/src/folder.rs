//! The text part of a Hugging Face folder: tokenizer, special tokens and chat templates of both generations of files.

use crate::ffi::{free_handle, give, guard, handle_from, text_from, Buffer, Code, Failure, Outcome};
use crate::files;
use crate::tokenizer::{Handle, MAX_FILE_BYTES};
use serde_json::{json, Map, Value as Json};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::PostProcessorWrapper;

const MAX_CONFIG_BYTES: usize = 16 << 20;
const MAX_TEMPLATE_BYTES: usize = 1 << 20;
const MAX_TEMPLATES: usize = 64;
pub const DEFAULT_TEMPLATE: &str = "default";
/// The order of `gh_folder_special_token`.
const SPECIAL_TOKENS: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

pub struct Folder {
    tokenizer: Option<Box<Handle>>,
    special_tokens: [Option<String>; SPECIAL_TOKENS.len()],
    /// Name to source; sorted, so the order is that of the names.
    templates: Vec<(String, String)>,
}

type Object = Map<String, Json>;

fn read_object(path: &Path) -> Outcome<Object> {
    let Some(bytes) = files::read_if_present(path, MAX_CONFIG_BYTES)? else { return Ok(Object::new()) };
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::invalid(format!("{}: expected a JSON object", path.display()))),
        Err(error) => Err(Failure::invalid(format!("{}: not valid JSON: {error}", path.display()))),
    }
}

/// A token is written as its text or as an object with `content`.
fn token_text(config: &Object, name: &str, path: &Path) -> Outcome<Option<String>> {
    let value = match config.get(name) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Object(object)) => object.get("content").unwrap_or(&Json::Null),
        Some(value) => value,
    };
    match value {
        Json::String(text) => Ok(Some(text.clone())),
        _ => Err(Failure::invalid(format!("{}: {name}: expected a string or an object with \"content\"", path.display()))),
    }
}

fn flag(config: &Object, name: &str, path: &Path) -> Outcome<Option<bool>> {
    match config.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Failure::invalid(format!("{}: {name}: expected true or false", path.display()))),
    }
}

impl Folder {
    fn load(directory: &Path) -> Outcome<Folder> {
        if !directory.is_dir() {
            return Err(Failure::new(Code::NotFound, format!("{}: no such folder", directory.display())));
        }
        let config_path = directory.join("tokenizer_config.json");
        let config = read_object(&config_path)?;
        let map_path = directory.join("special_tokens_map.json");
        let map = read_object(&map_path)?;
        let mut special_tokens = [const { None }; SPECIAL_TOKENS.len()];
        for (name, token) in SPECIAL_TOKENS.iter().zip(&mut special_tokens) {
            *token = match token_text(&config, name, &config_path)? {
                Some(text) => Some(text),
                None => token_text(&map, name, &map_path)?,
            };
        }
        let templates = templates_of(directory, &config, &config_path)?.into_iter().collect();
        let mut folder = Folder { tokenizer: None, special_tokens, templates };
        folder.load_tokenizer(&directory.join("tokenizer.json"), &config, &config_path)?;
        Ok(folder)
    }

    fn load_tokenizer(&mut self, path: &Path, config: &Object, config_path: &Path) -> Outcome<()> {
        let Some(json) = files::read_if_present(path, MAX_FILE_BYTES)? else { return Ok(()) };
        let what = path.display().to_string();
        let handle = Handle::parse(&json, &what)?;
        let add_bos = flag(config, "add_bos_token", config_path)?;
        let add_eos = flag(config, "add_eos_token", config_path)?;
        self.tokenizer = Some(Box::new(match (add_bos, add_eos) {
            (None, None) => handle,
            _ => self.with_added(handle, add_bos == Some(true), add_eos == Some(true), &what)?,
        }));
        Ok(())
    }

    /// A config that says whether BOS and EOS are added replaces what tokenizer.json says of it.
    fn with_added(&self, handle: Handle, bos: bool, eos: bool, what: &str) -> Outcome<Handle> {
        let mut tokenizer = (*handle.tokenizer).clone();
        let mut pieces = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
        let mut table = Object::new();
        for (wanted, index) in [(bos, 0), (eos, 1)] {
            let Some(token) = self.special_tokens[index].as_ref().filter(|_| wanted) else { continue };
            let id = tokenizer.token_to_id(token).ok_or_else(|| {
                let name = SPECIAL_TOKENS[index];
                Failure::invalid(format!("{what}: {name} {token:?} of tokenizer_config.json is not in the vocabulary"))
            })?;
            let piece = json!({"SpecialToken": {"id": token, "type_id": 0}});
            pieces.insert(if index == 0 { 0 } else { pieces.len() }, piece);
            table.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
        }
        let pair = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]);
        let processor = json!({
            "type": "TemplateProcessing", "single": pieces, "pair": pair, "special_tokens": table,
        });
        let processor: PostProcessorWrapper = serde_json::from_value(processor)
            .map_err(|error| Failure::invalid(format!("{what}: cannot add BOS or EOS: {error}")))?;
        tokenizer.with_post_processor(Some(processor));
        Handle::new(tokenizer, what)
    }
}

/// Later files win: tokenizer_config.json, chat_template.json, chat_template.jinja, additional_chat_templates/*.jinja.
fn templates_of(directory: &Path, config: &Object, config_path: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut templates = BTreeMap::new();
    add_templates(config, config_path, &mut templates)?;
    let legacy = directory.join("chat_template.json");
    add_templates(&read_object(&legacy)?, &legacy, &mut templates)?;
    let path = directory.join("chat_template.jinja");
    if let Some(bytes) = files::read_if_present(&path, MAX_TEMPLATE_BYTES)? {
        templates.insert(DEFAULT_TEMPLATE.to_owned(), utf8(bytes, &path)?);
    }
    let more = directory.join("additional_chat_templates");
    if more.is_dir() {
        let unreadable = |error: std::io::Error| {
            Failure::new(Code::FailedPrecondition, format!("{}: cannot read: {error}", more.display()))
        };
        for entry in std::fs::read_dir(&more).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let (Some(stem), Some("jinja")) = (path.file_stem(), path.extension().and_then(|text| text.to_str())) else {
                continue;
            };
            let name = stem.to_string_lossy().into_owned();
            templates.insert(name, utf8(files::read(&path, MAX_TEMPLATE_BYTES)?, &path)?);
        }
    }
    if templates.len() > MAX_TEMPLATES {
        return Err(Failure::new(
            Code::ResourceExhausted,
            format!("{}: {} chat templates, the limit is {MAX_TEMPLATES}", directory.display(), templates.len()),
        ));
    }
    Ok(templates)
}

fn utf8(bytes: Vec<u8>, path: &Path) -> Outcome<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::invalid(format!("{}: expected UTF-8, found an invalid byte at offset {at}", path.display()))
    })
}

fn add_templates(config: &Object, path: &Path, templates: &mut BTreeMap<String, String>) -> Outcome<()> {
    let wrong = |what: &str| Failure::invalid(format!("{}: chat_template: {what}", path.display()));
    match config.get("chat_template") {
        None | Some(Json::Null) => {}
        Some(Json::String(source)) => {
            templates.insert(DEFAULT_TEMPLATE.to_owned(), source.clone());
        }
        Some(Json::Array(items)) => {
            for item in items {
                let text = |name: &str| item.get(name).and_then(Json::as_str).map(str::to_owned);
                match (text("name"), text("template")) {
                    (Some(name), Some(source)) => templates.insert(name, source),
                    _ => return Err(wrong("expected entries with the strings \"name\" and \"template\"")),
                };
            }
        }
        // transformers 4 could also write name -> source.
        Some(Json::Object(items)) => {
            for (name, source) in items {
                let source = source.as_str().ok_or_else(|| wrong("expected strings"))?;
                templates.insert(name.clone(), source.to_owned());
            }
        }
        Some(_) => return Err(wrong("expected a string or a list of named templates")),
    }
    Ok(())
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
