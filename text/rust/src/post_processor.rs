//! Which tokens stand around an encoded text: tokenizer.json's post-processor, or the flags of tokenizer_config.json.

use crate::ffi::{Failure, Outcome};
use crate::files::Object;
use crate::notes::Notes;
use crate::tokenizer_class::{Frame, TokenizerClass};
use serde_json::{json, Value as Json};
use tokenizers::{PostProcessorWrapper, Tokenizer};

pub struct Flags {
    bos: Option<bool>,
    eos: Option<bool>,
}

impl Flags {
    pub fn read(config: &Object) -> Outcome<Flags> {
        let flag = |name: &str| match config.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(Failure::invalid(format!("tokenizer_config.json: {name}: expected true or false"))),
        };
        Ok(Flags { bos: flag("add_bos_token")?, eos: flag("add_eos_token")? })
    }

    fn text(&self) -> String {
        let flag = |name: &str, value: Option<bool>| value.map(|value| format!("{name} is {value}"));
        let said: Vec<String> =
            [flag("add_bos_token", self.bos), flag("add_eos_token", self.eos)].into_iter().flatten().collect();
        said.join(" and ")
    }
}

/// Beginning and end, each by its text, and whether a file gives it an id.
pub struct Ends {
    pub bos: Option<End>,
    pub eos: Option<End>,
}

pub struct End {
    pub token: String,
    pub known: bool,
}

/// Puts the flags in force where the class reads them, and says where the two files disagree.
pub fn apply(
    tokenizer: &mut Tokenizer,
    class: &TokenizerClass,
    flags: &Flags,
    ends: &Ends,
    notes: &mut Notes,
) -> Outcome<()> {
    let silent = flags.bos.is_none() && flags.eos.is_none();
    if silent && !matches!(class.frame, Frame::Flags { always: true, .. }) {
        return Ok(());
    }
    let written = frame(tokenizer);
    let name = if class.name.is_empty() { "an unnamed class" } else { &class.name };
    let files = format!("tokenizer_config.json says that {}, tokenizer.json's post_processor adds {}", flags.text(), shown(&written));
    match class.frame {
        Frame::File => {
            let bos = ends.bos.as_ref().is_some_and(|end| written.0.contains(&end.token));
            let eos = ends.eos.as_ref().is_some_and(|end| written.1.contains(&end.token));
            if flags.bos.is_some_and(|flag| flag != bos) || flags.eos.is_some_and(|flag| flag != eos) {
                notes.add(&format!("{files}: the latter is in force, since {name} does not read the former"), "");
            }
        }
        Frame::Flags { add_bos, add_eos, .. } => {
            let wanted = (flags.bos.unwrap_or(add_bos), flags.eos.unwrap_or(add_eos));
            put(tokenizer, wanted, ends)?;
            if frame(tokenizer) != written && silent {
                let adds = shown(&written);
                notes.add(&format!("tokenizer.json's post_processor adds {adds}: nothing is added, as {name} does not"), "");
            } else if frame(tokenizer) != written {
                notes.add(&format!("{files}: the former is in force, as in transformers 4 ({name}); 5 goes by the latter"), "");
            }
        }
    }
    Ok(())
}

fn put(tokenizer: &mut Tokenizer, wanted: (bool, bool), ends: &Ends) -> Outcome<()> {
    let mut pieces = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
    let mut table = Object::new();
    for (wanted, token, name) in [(wanted.0, &ends.bos, "bos_token"), (wanted.1, &ends.eos, "eos_token")] {
        let Some(End { token, known }) = token.as_ref().filter(|_| wanted) else { continue };
        let id = tokenizer.token_to_id(token).filter(|_| *known).ok_or_else(|| {
            Failure::invalid(format!("tokenizer_config.json: {name} {token:?} is to be added and is not in the vocabulary"))
        })?;
        let piece = json!({"SpecialToken": {"id": token, "type_id": 0}});
        pieces.insert(if name == "bos_token" { 0 } else { pieces.len() }, piece);
        table.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
    }
    let pair = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]);
    let processor = json!({"type": "TemplateProcessing", "single": pieces, "pair": pair, "special_tokens": table});
    let processor: PostProcessorWrapper = serde_json::from_value(processor)
        .map_err(|error| Failure::invalid(format!("tokenizer_config.json: cannot add BOS or EOS: {error}")))?;
    tokenizer.with_post_processor(Some(processor));
    Ok(())
}

/// The tokens before and behind a text.
fn frame(tokenizer: &Tokenizer) -> (Vec<String>, Vec<String>) {
    let Some(frame) = crate::encode::frame_of(tokenizer, true) else { return Default::default() };
    let texts = |ids: &[i32]| ids.iter().filter_map(|id| tokenizer.id_to_token(*id as u32)).collect();
    (texts(&frame.before), texts(&frame.behind))
}

fn shown(frame: &(Vec<String>, Vec<String>)) -> String {
    let side = |tokens: &[String], where_: &str| (!tokens.is_empty()).then(|| format!("{} {where_}", tokens.join(" ")));
    let sides: Vec<String> =
        [side(&frame.0, "in front"), side(&frame.1, "behind")].into_iter().flatten().collect();
    if sides.is_empty() { "nothing".to_owned() } else { sides.join(" and ") }
}
