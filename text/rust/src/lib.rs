//! Tokenizers and chat templates of Hugging Face folders behind a small C interface (`guildhall_text.h`).

mod decode_stream;
mod ffi;
mod files;
mod folder;
mod generation;
mod print;
mod python;
mod strftime;
mod template;
mod tojson;
mod tokenizer;
mod value;
