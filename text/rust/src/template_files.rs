//! The chat templates of a folder, wherever both generations of files keep them.

use crate::ffi::{Code, Failure, Outcome};
use crate::files::{self, Object};
use crate::notes::Notes;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

const MAX_TEMPLATE_BYTES: usize = 1 << 20;
const MAX_TEMPLATES: usize = 64;
pub const DEFAULT_TEMPLATE: &str = "default";

/// Name to source, and the file that it is of.
struct Found<'a> {
    templates: BTreeMap<String, (String, String)>,
    notes: &'a mut Notes,
}

impl Found<'_> {
    fn add(&mut self, name: String, source: String, file: &str) {
        if let Some((other, other_file)) = self.templates.get(&name) {
            // Writing a template into a file of its own ends it with a newline or not.
            if other.trim_end() != source.trim_end() {
                let which = if name == DEFAULT_TEMPLATE { String::new() } else { format!(" {name:?}") };
                self.notes.add(&format!("chat template{which}: {file} and {other_file} differ; {file} is used"), "");
            }
        }
        self.templates.insert(name, (source, file.to_owned()));
    }

    fn add_config(&mut self, config: &Object, path: &Path) -> Outcome<()> {
        let wrong = |what: &str| Failure::invalid(format!("{}: chat_template: {what}", path.display()));
        let file = files::name_of(path);
        match config.get("chat_template") {
            None | Some(Json::Null) => {}
            Some(Json::String(source)) => self.add(DEFAULT_TEMPLATE.to_owned(), source.clone(), &file),
            Some(Json::Array(items)) => {
                for item in items {
                    let text = |name: &str| item.get(name).and_then(Json::as_str).map(str::to_owned);
                    match (text("name"), text("template")) {
                        (Some(name), Some(source)) => self.add(name, source, &file),
                        _ => return Err(wrong("expected entries with the strings \"name\" and \"template\"")),
                    };
                }
            }
            // transformers 4 could also write name -> source.
            Some(Json::Object(items)) => {
                for (name, source) in items {
                    let source = source.as_str().ok_or_else(|| wrong("expected strings"))?;
                    self.add(name.clone(), source.to_owned(), &file);
                }
            }
            Some(_) => return Err(wrong("expected a string or a list of named templates")),
        }
        Ok(())
    }
}

/// Later files win: tokenizer_config.json, chat_template.json, chat_template.jinja, additional_chat_templates/*.jinja.
pub fn templates_of(
    directory: &Path,
    config: &Object,
    config_path: &Path,
    notes: &mut Notes,
) -> Outcome<Vec<(String, String)>> {
    let mut found = Found { templates: BTreeMap::new(), notes };
    found.add_config(config, config_path)?;
    let legacy = directory.join("chat_template.json");
    found.add_config(&files::read_object(&legacy)?, &legacy)?;
    let path = directory.join("chat_template.jinja");
    if let Some(bytes) = files::read_if_present(&path, MAX_TEMPLATE_BYTES)? {
        found.add(DEFAULT_TEMPLATE.to_owned(), utf8(bytes, &path)?, "chat_template.jinja");
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
            let source = utf8(files::read(&path, MAX_TEMPLATE_BYTES)?, &path)?;
            found.add(name, source, &format!("additional_chat_templates/{}", files::name_of(&path)));
        }
    }
    if found.templates.len() > MAX_TEMPLATES {
        let count = found.templates.len();
        return Err(Failure::new(
            Code::ResourceExhausted,
            format!("{}: {count} chat templates, the limit is {MAX_TEMPLATES}", directory.display()),
        ));
    }
    Ok(found.templates.into_iter().map(|(name, (source, _))| (name, source)).collect())
}

fn utf8(bytes: Vec<u8>, path: &Path) -> Outcome<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::invalid(format!("{}: expected UTF-8, found an invalid byte at offset {at}", path.display()))
    })
}
