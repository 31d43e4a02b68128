// A Hugging Face tokenizer (tokenizer.json), immutable after load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/work_limit.h"

struct gh_tokenizer;

namespace guildhall {

struct EncodeLimits {
  size_t max_ids = std::numeric_limits<int32_t>::max();  // special ones included
  WorkLimit work = {};
};

// Gives the ids and texts that transformers gives for the
// same file. All calls may come from any thread at once.
class Tokenizer {
 public:
  // The longest text that Encode takes; a longer one is ResourceExhausted before any work.
  static constexpr size_t kDefaultMaxTextBytes = size_t{16} << 20;

  // `path` names a tokenizer.json. Padding and truncation
  // settings of the file are ignored: a prompt arrives whole.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Load(const std::string& path,
                                                               size_t max_text_bytes = kDefaultMaxTextBytes);
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> FromJson(
      std::string_view json, size_t max_text_bytes = kDefaultMaxTextBytes);
  // Takes over a handle of the C interface (text/folder.cc).
  static std::shared_ptr<const Tokenizer> Adopt(gh_tokenizer* handle,
                                                size_t max_text_bytes = kDefaultMaxTextBytes);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Special tokens written out in `text` become their ids. `add_special` adds BOS and the like as the file
  // says. InvalidArgument: text that is not UTF-8, or that normalizing makes several times as long.
  // OutOfRange: more than `max_ids`, found without encoding all of it. Cancelled, DeadlineExceeded: the end
  // of the work, seen after each piece of some 10 ms where EncodesInPieces; otherwise between words, of which
  // a text without spaces has one.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, bool add_special,
                                              const EncodeLimits& limits = {}) const;
  // How few ids a text of these bytes can give, whatever it says; found in no time. 0 where the tokenizer may
  // drop or join text without bound.
  size_t LeastIds(std::string_view text) const;
  // Whether long text is cut where that changes no id (text/rust/src/pieces.rs says when).
  bool EncodesInPieces() const;

  // Ids that have no token (padding rows of the embedding) add nothing; a negative id is InvalidArgument.
  // The result is UTF-8; bytes that form no character appear as U+FFFD.
  absl::StatusOr<std::string> Decode(std::span<const int32_t> ids, bool skip_special) const;

  // Whether both make the same of every text and of all ids, whatever their files look like. Takes as long as
  // writing both.
  bool SameAs(const Tokenizer& other) const;

  // One more than the greatest id: every id of Encode is below it. There may be gaps.
  int32_t VocabularySize() const;

  std::optional<int32_t> TokenId(std::string_view token) const;
  // As the vocabulary spells it, for instance "Ġthe"; NotFound where the id has no token.
  absl::StatusOr<std::string> TokenText(int32_t id) const;
  bool IsSpecial(int32_t id) const;

 private:
  friend class IncrementalDecoder;
  Tokenizer(gh_tokenizer* handle, size_t max_text_bytes) : handle_(handle), max_text_bytes_(max_text_bytes) {}

  gh_tokenizer* const handle_;  // owned, never null
  const size_t max_text_bytes_;
};

}  // namespace guildhall
