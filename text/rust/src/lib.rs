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
mod notes;
mod post_processor;
mod print;
mod python;
mod rewrite;
mod special_tokens;
mod strftime;
mod template;
mod template_files;
mod tojson;
mod tokenizer;
mod tokenizer_class;
mod tokenizer_file;
mod parts;
mod pieces;
mod value;
