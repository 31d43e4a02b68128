//! Which tokens of a folder are added and special, and which play a role: tokenizer.json, tokenizer_config.json,
//! special_tokens_map.json and added_tokens.json overlap, and transformers merges them by the rules that follow (those
//! of version 5; 4 agrees but where a note says so).

use crate::ffi::{Failure, Outcome};
use crate::files::Object;
use crate::notes::Notes;
use crate::tokenizer_class::TokenizerClass;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashSet};
use tokenizers::{AddedToken, Tokenizer};

/// The order of the first four is that of `gh_folder_special_token`.
pub const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"];
const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// What the files beside tokenizer.json say.
pub struct Files<'a> {
    pub config: &'a Object,
    pub map: &'a Object,
    pub added: &'a Object,
    pub class: &'a TokenizerClass,
    /// Rows of the model's embedding, where config.json says so: a token beyond them cannot be meant.
    pub rows: Option<u64>,
}

const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";

/// A token as a file writes it.
#[derive(Clone)]
struct Said {
    token: AddedToken,
    /// Else it follows from `special`.
    normalized_said: bool,
    id: Option<u32>,
    file: &'static str,
}

impl Said {
    fn bare(text: &str, file: &'static str) -> Said {
        Said { token: AddedToken::from(text, true), normalized_said: false, id: None, file }
    }

    /// None for null.
    fn read(value: &Json, what: &str, file: &'static str) -> Outcome<Option<Said>> {
        let wrong = || Failure::invalid(format!("{file}: {what}: expected a string or an object with \"content\""));
        match value {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(Said::bare(text, file))),
            Json::Object(object) => {
                let text = object.get("content").and_then(Json::as_str).ok_or_else(wrong)?;
                let flag = |name: &str| object.get(name).and_then(Json::as_bool);
                let mut token = AddedToken::from(text, flag("special").unwrap_or(false))
                    .single_word(flag("single_word").unwrap_or(false))
                    .lstrip(flag("lstrip").unwrap_or(false))
                    .rstrip(flag("rstrip").unwrap_or(false));
                token.normalized = flag("normalized").unwrap_or(!token.special);
                Ok(Some(Said { token, normalized_said: flag("normalized").is_some(), id: None, file }))
            }
            _ => Err(wrong()),
        }
    }
}

/// The roles of a folder's tokens, and what is added to its tokenizer.json.
pub struct SpecialTokens {
    /// Role to text.
    roles: BTreeMap<String, Said>,
    /// Special without a role.
    extra: Vec<Said>,
    /// By id; what added_tokens_decoder says, or added_tokens.json.
    added: BTreeMap<u32, Said>,
}

impl SpecialTokens {
    pub fn read(files: &Files, notes: &mut Notes) -> Outcome<SpecialTokens> {
        let mut tokens = SpecialTokens { roles: BTreeMap::new(), extra: Vec::new(), added: BTreeMap::new() };
        tokens.read_config(files.config)?;
        // Who has added_tokens_decoder was written by a version that needs no other file.
        match files.config.get("added_tokens_decoder") {
            Some(Json::Object(decoder)) => {
                tokens.read_decoder(decoder)?;
                tokens.compare_map(files.map, notes)?;
            }
            None | Some(Json::Null) => {
                tokens.merge_map(files.map, notes)?;
                tokens.read_added(files.added)?;
            }
            Some(_) => {
                return Err(Failure::invalid(format!("{CONFIG}: added_tokens_decoder: expected an object by token id")));
            }
        }
        Ok(tokens)
    }

    fn read_config(&mut self, config: &Object) -> Outcome<()> {
        for (key, value) in config {
            let role = ROLES.contains(&key.as_str());
            // A model's own, such as image_token.
            let own = key.ends_with("_token") && (value.is_string() || value.get("content").is_some());
            if role || own {
                if let Some(said) = Said::read(value, key, CONFIG)? {
                    self.roles.insert(key.clone(), said);
                }
            }
        }
        // The former name of the list counts where the newer one says nothing.
        let empty = |value: &&Json| !matches!(value, Json::Null) && value.as_array().is_none_or(|list| !list.is_empty());
        if let Some((name, list)) = LISTS.iter().find_map(|name| Some((name, config.get(*name).filter(empty)?))) {
            self.read_list(list, name, CONFIG)?;
        }
        Ok(())
    }

    fn read_list(&mut self, list: &Json, name: &str, file: &'static str) -> Outcome<()> {
        match list {
            Json::Array(items) => {
                for item in items {
                    if let Some(said) = Said::read(item, name, file)?.filter(|said| !has(&self.extra, said)) {
                        self.extra.push(special(said));
                    }
                }
                Ok(())
            }
            Json::Object(items) => {
                for (role, item) in items {
                    if let Some(said) = Said::read(item, name, file)? {
                        self.roles.insert(role.clone(), said);
                    }
                }
                Ok(())
            }
            Json::Null => Ok(()),
            _ => Err(Failure::invalid(format!("{file}: {name}: expected a list of tokens"))),
        }
    }

    fn read_decoder(&mut self, decoder: &Object) -> Outcome<()> {
        for (id, value) in decoder {
            let Ok(number) = id.parse::<u32>() else {
                let found = format!("{CONFIG}: added_tokens_decoder: expected token ids, found {id:?}");
                return Err(Failure::invalid(found));
            };
            if let Some(said) = Said::read(value, &format!("added_tokens_decoder[{id}]"), CONFIG)? {
                self.added.insert(number, Said { id: Some(number), ..said });
            }
        }
        Ok(())
    }

    fn merge_map(&mut self, map: &Object, notes: &mut Notes) -> Outcome<()> {
        for (key, value) in map {
            if LISTS.contains(&key.as_str()) {
                self.read_list(value, key, MAP)?;
            } else if let Some(said) = Said::read(value, key, MAP)?.map(special) {
                if let Some(other) = self.roles.get(key).filter(|other| other.token.content != said.token.content) {
                    let (ours, theirs) = (&said.token.content, &other.token.content);
                    notes.add(&format!("{key}: {theirs:?} in {CONFIG}, {ours:?} in {MAP}: the latter is used"), "");
                }
                self.roles.insert(key.clone(), said);
            }
        }
        Ok(())
    }

    fn compare_map(&self, map: &Object, notes: &mut Notes) -> Outcome<()> {
        for (key, value) in map.iter().filter(|entry| !LISTS.contains(&entry.0.as_str())) {
            let Some(said) = Said::read(value, key, MAP)? else { continue };
            let ours = self.roles.get(key).map(|said| said.token.content.as_str());
            if ours != Some(&said.token.content) {
                let ours = ours.map_or("nothing".to_owned(), |text| format!("{text:?}"));
                let theirs = &said.token.content;
                let what = format!("{key}: {ours} in {CONFIG}, {theirs:?} in {MAP}: the former is used, which lists the tokens");
                notes.add(&what, "");
            }
        }
        Ok(())
    }

    fn read_added(&mut self, added: &Object) -> Outcome<()> {
        for (text, id) in added {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                return Err(Failure::invalid(format!("{ADDED}: {text:?}: expected a token id, found {id}")));
            };
            let special = self.all_special().any(|said| said.token.content == *text);
            let token = AddedToken::from(text.clone(), special);
            self.added.insert(id, Said { token, normalized_said: true, id: Some(id), file: ADDED });
        }
        Ok(())
    }

    fn all_special(&self) -> impl Iterator<Item = &Said> {
        self.roles.values().chain(&self.extra)
    }

    /// Whether a file gives the token an id.
    pub fn lists(&self, text: &str) -> bool {
        self.added.values().any(|said| said.token.content == text)
    }

    /// The text of a role: as the files name it, else as the class does where the tokenizer has such a token.
    pub fn role(&self, role: &str, files: &Files, tokenizer: Option<&Tokenizer>) -> Option<String> {
        let named = self.roles.get(role).map(|said| said.token.content.clone());
        // A null in the file is an answer, too.
        if named.is_some() || files.config.contains_key(role) {
            return named;
        }
        let default = files.class.default_token(role)?;
        tokenizer?.token_to_id(default).map(|_| default.to_owned())
    }

    /// Adds to the tokenizer what the other files say of it.
    pub fn add_to(&self, tokenizer: &mut Tokenizer, files: &Files, notes: &mut Notes) -> Outcome<()> {
        let candidates = self.missing(tokenizer, files);
        let rows = files.rows.unwrap_or(u64::from(crate::tokenizer::MAX_ID) + 1);
        let mut next = next_id(tokenizer);
        let mut wanted = Vec::new();
        for said in candidates {
            let text = &said.token.content;
            match tokenizer.token_to_id(text) {
                Some(_) => note_change(tokenizer, &said, notes),
                None if u64::from(next) >= rows => {
                    let what = format!(
                        "{}: % in no vocabulary, and the model has no row for more tokens than its {rows}: ordinary text",
                        said.file
                    );
                    notes.add(&what, &format!("{text:?}"));
                    continue;
                }
                None => {
                    let what = format!("{}: tokens that {TOKENIZER} lacks: %: added", said.file);
                    notes.add(&what, &format!("{text:?} as {next}"));
                    next += 1;
                }
            }
            wanted.push(said);
        }
        let added = wanted.iter().map(|said| said.token.clone()).collect::<Vec<_>>();
        if !added.is_empty() {
            tokenizer.add_tokens(added).map_err(|error| Failure::invalid(format!("{CONFIG}: added tokens: {error}")))?;
        }
        for said in self.added.values() {
            let (text, id) = (&said.token.content, tokenizer.token_to_id(&said.token.content));
            if id.is_some() && id != said.id {
                let what = format!("{}: % by {TOKENIZER}, which is what counts", said.file);
                let ids = (said.id.unwrap_or_default(), id.unwrap_or_default());
                notes.add(&what, &format!("{text:?} is {} there and {}", ids.0, ids.1));
            }
        }
        Ok(())
    }

    /// What tokenizer.json lacks or says otherwise: listed tokens by id, then those with a role, then the other ones.
    fn missing(&self, tokenizer: &Tokenizer, files: &Files) -> Vec<Said> {
        let known: HashSet<_> = tokenizer.get_added_tokens_decoder().into_values().map(comparable).collect();
        let mut texts: HashSet<String> = known.iter().map(|token| token.0.clone()).collect();
        let mut missing = Vec::new();
        for said in self.added.values().filter(|said| !known.contains(&comparable(said.token.clone()))) {
            let role = self.roles.values().any(|other| other.token.content == said.token.content);
            texts.insert(said.token.content.clone());
            missing.push(if role { special(said.clone()) } else { said.clone() });
        }
        let mut roles: Vec<Said> = ROLES.iter().filter_map(|role| {
            let text = self.role(role, files, Some(tokenizer))?;
            Some(self.roles.get(*role).cloned().unwrap_or_else(|| Said::bare(&text, "the tokenizer's class")))
        }).collect();
        roles.extend(self.roles.iter().filter(|entry| !ROLES.contains(&entry.0.as_str())).map(|entry| entry.1.clone()));
        let listed = tokenizer.get_added_tokens_decoder();
        for said in roles.into_iter().chain(self.extra.iter().cloned()) {
            // A role makes a token special that tokenizer.json has as an ordinary one; a list does not.
            let ordinary = listed.values().find(|token| token.content == said.token.content && !token.special);
            let role = self.roles.values().any(|other| other.token.content == said.token.content);
            if let Some(token) = ordinary.filter(|_| role && !has(&missing, &said)) {
                missing.push(special(Said { token: token.clone(), normalized_said: true, ..said }));
            } else if texts.insert(said.token.content.clone()) {
                missing.push(special(said));
            }
        }
        missing
    }
}

const TOKENIZER: &str = "tokenizer.json";

/// A token with a role is special whatever its file says of it.
fn special(mut said: Said) -> Said {
    said.token.special = true;
    if !said.normalized_said {
        said.token.normalized = false;
    }
    said
}

fn has(list: &[Said], said: &Said) -> bool {
    list.iter().any(|other| other.token.content == said.token.content)
}

fn comparable(token: AddedToken) -> (String, [bool; 5]) {
    let flags = [token.single_word, token.lstrip, token.rstrip, token.normalized, token.special];
    (token.content, flags)
}

/// The id that the library gives to the next token that it does not know.
fn next_id(tokenizer: &Tokenizer) -> u32 {
    let model = tokenizer.get_vocab_size(false) as u32;
    let greatest = tokenizer.get_added_tokens_decoder().into_keys().max();
    greatest.map_or(model, |id| if id >= model || model == 0 { id + 1 } else { model })
}

/// Says what changes for a token that tokenizer.json knows.
fn note_change(tokenizer: &Tokenizer, said: &Said, notes: &mut Notes) {
    let text = &said.token.content;
    let was_special = tokenizer.get_added_vocabulary().is_special_token(text);
    let added = tokenizer.get_added_vocabulary().get_vocab().contains_key(text);
    let what = match (was_special, said.token.special, added) {
        (false, true, _) => format!("{}: % special, which {TOKENIZER} does not say: special", said.file),
        // The library keeps a token special that was so once.
        (true, false, _) => format!("{}: % not special, which {TOKENIZER} says: special", said.file),
        (_, _, false) => format!("{}: % added, which {TOKENIZER} does not say: never cut into pieces", said.file),
        _ => format!("{}: % with other flags than in {TOKENIZER}: the former's are used", said.file),
    };
    notes.add(&what, &format!("{text:?}"));
}
