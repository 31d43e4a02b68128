//! Tokenizers and chat templates of Hugging Face folders behind a small C interface (`guildhall_text.h`).

mod allocator;
mod decode_stream;
mod encode;
mod ffi;
mod files;
mod folder;
mod folding;
mod generation;
mod guards;
mod meter;
mod print;
mod python;
mod rewrite;
mod strftime;
mod template;
mod tojson;
mod tokenizer;
mod tokenizer_file;
mod parts;
mod pieces;
mod value;
