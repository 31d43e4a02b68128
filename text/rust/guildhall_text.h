// The C interface of the Rust library (text/rust/src): tokenizers, decode streams, chat templates, model
// folders. Only text/*.cc include this. Every call that can fail returns 0 or a code of absl::StatusCode and
// then puts a message into `error`; outputs are written on success only. No panic crosses. Text goes in as
// pointer and size (UTF-8 is checked; NUL bytes are ordinary; null with size 0 is empty). Handles of type
// const may be used by many threads at once.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gh_tokenizer gh_tokenizer;
typedef struct gh_decode_stream gh_decode_stream;
typedef struct gh_template gh_template;
typedef struct gh_folder gh_folder;

// Owned bytes, not NUL-terminated; null when empty.
typedef struct gh_buffer {
  uint8_t* data;
  size_t size;
} gh_buffer;
void gh_text_buffer_free(gh_buffer* buffer);

typedef struct gh_ids {
  int32_t* data;
  size_t size;
} gh_ids;
void gh_text_ids_free(gh_ids* ids);

// Whether anybody still waits for the work: `check` gives 0, or CANCELLED or DEADLINE_EXCEEDED, which end it
// soon. Called from any thread until the call that has it returns; null: never ended.
typedef struct gh_work_limit {
  int32_t (*check)(const void* context);
  const void* context;
} gh_work_limit;

// --- tokenizer: immutable ---
int32_t gh_tokenizer_from_file(const uint8_t* path, size_t path_size, gh_tokenizer** out, gh_buffer* error);
int32_t gh_tokenizer_from_bytes(const uint8_t* json, size_t size, gh_tokenizer** out, gh_buffer* error);
void gh_tokenizer_free(gh_tokenizer* tokenizer);
// OutOfRange as soon as there are more than `max_ids`.
int32_t gh_tokenizer_encode(const gh_tokenizer* tokenizer, const uint8_t* text, size_t size, bool add_special,
                            size_t max_ids, gh_work_limit limit, gh_ids* out, gh_buffer* error);
// The fewest ids that `text` can give whatever it says: 0 where the tokenizer may drop or join text without
// bound.
size_t gh_tokenizer_least_ids(const gh_tokenizer* tokenizer, const uint8_t* text, size_t size);
// Whether long text is encoded in pieces (encode.rs says when that changes no id).
bool gh_tokenizer_in_pieces(const gh_tokenizer* tokenizer);
// Ids without a token add nothing; a negative id is an error.
int32_t gh_tokenizer_decode(const gh_tokenizer* tokenizer, const int32_t* ids, size_t size, bool skip_special,
                            gh_buffer* out, gh_buffer* error);
// Whether all that decides over ids and texts is the same in both.
int32_t gh_tokenizer_same(const gh_tokenizer* a, const gh_tokenizer* b, bool* out, gh_buffer* error);
// One more than the greatest id.
int32_t gh_tokenizer_vocabulary_size(const gh_tokenizer* tokenizer);
// -1 where there is no such token.
int32_t gh_tokenizer_token_id(const gh_tokenizer* tokenizer, const uint8_t* token, size_t size, int32_t* out,
                              gh_buffer* error);
int32_t gh_tokenizer_token_text(const gh_tokenizer* tokenizer, int32_t id, gh_buffer* out, bool* special,
                                gh_buffer* error);

// --- decode stream: one owner, keeps its tokenizer alive ---
// The text continues that of the `size` ids of `prompt`, which may be null with a size of 0.
int32_t gh_decode_stream_new(const gh_tokenizer* tokenizer, bool skip_special, const int32_t* prompt,
                             size_t size, gh_decode_stream** out, gh_buffer* error);
void gh_decode_stream_free(gh_decode_stream* stream);
int32_t gh_decode_stream_append(gh_decode_stream* stream, int32_t id, gh_buffer* out, gh_buffer* error);
int32_t gh_decode_stream_finish(gh_decode_stream* stream, gh_buffer* out, gh_buffer* error);

// --- chat template: immutable ---
typedef struct gh_template_limits {
  uint64_t fuel;
  uint64_t max_output_bytes;
  uint64_t max_memory_bytes;
  uint64_t max_cpu_ms;
} gh_template_limits;

typedef struct gh_render_args {
  const uint8_t* messages;  // JSON array of objects
  size_t messages_size;
  const uint8_t* tools;  // JSON array of objects; empty or null: no tools
  size_t tools_size;
  const uint8_t* variables;  // JSON object; may be empty
  size_t variables_size;
  int32_t now[6];  // year, month 1-12, day, hour, minute, second
  bool add_generation_prompt;
  gh_work_limit limit;
} gh_render_args;

int32_t gh_template_compile(const uint8_t* source, size_t size, gh_template_limits limits, gh_template** out,
                            gh_buffer* error);
void gh_template_free(gh_template* chat_template);
// Whether it walks over a message's content in parts; others read text.
bool gh_template_takes_parts(const gh_template* chat_template);
int32_t gh_template_render(const gh_template* chat_template, const gh_render_args* args, gh_buffer* out,
                           gh_buffer* error);

// --- model folder ---
int32_t gh_folder_load(const uint8_t* path, size_t size, gh_folder** out, gh_buffer* error);
void gh_folder_free(gh_folder* folder);
// The caller owns the result; null where the folder has no tokenizer.json, and on a second call.
gh_tokenizer* gh_folder_take_tokenizer(gh_folder* folder);
// which: 0 BOS, 1 EOS, 2 PAD, 3 UNK. NotFound where the folder names none.
int32_t gh_folder_special_token(const gh_folder* folder, uint32_t which, gh_buffer* out, gh_buffer* error);
size_t gh_folder_template_count(const gh_folder* folder);
int32_t gh_folder_template(const gh_folder* folder, size_t index, gh_buffer* name, gh_buffer* source,
                           gh_buffer* error);
// What the files contradict each other in, and what was made of it; a line each.
size_t gh_folder_note_count(const gh_folder* folder);
int32_t gh_folder_note(const gh_folder* folder, size_t index, gh_buffer* out, gh_buffer* error);

#ifdef __cplusplus
}  // extern "C"
#endif
