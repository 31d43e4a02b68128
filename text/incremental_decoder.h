// Token ids in, final text out, one token at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "text/tokenizer.h"

struct gh_decode_stream;

namespace guildhall {

// The pieces of Append followed by Finish are Tokenizer::Decode of the prompt's ids and these, less the text
// of the prompt, for every prefix: prompt and answer joined are the text that all ids together mean. A piece
// is whole UTF-8 and no later token changes it. A token costs the same whatever came before it. Held back:
// the bytes of an unfinished character alone; where a byte-fallback vocabulary's run of bytes holds a bad
// byte, that byte alone becomes a replacement character, not the run as in Decode. Decoders of kinds that no
// known language model has (CTC) give all their text in Finish. Single owner; not thread-safe; keeps its
// tokenizer alive.
class IncrementalDecoder {
 public:
  // `prompt`: what the ids follow; not negative, and not needed after the call.
  explicit IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special = true,
                              std::span<const int32_t> prompt = {});
  ~IncrementalDecoder();
  IncrementalDecoder(IncrementalDecoder&& other) noexcept;
  IncrementalDecoder& operator=(IncrementalDecoder&& other) noexcept;

  // The text that `id` makes final, often empty. An id
  // without a token adds nothing; a negative one is an error.
  absl::StatusOr<std::string> Append(int32_t id);

  // The rest. Append may not follow.
  absl::StatusOr<std::string> Finish();

 private:
  struct Free {
    void operator()(gh_decode_stream* stream) const;
  };
  std::unique_ptr<gh_decode_stream, Free> stream_;  // null after a move or if it could not be made
};

}  // namespace guildhall
