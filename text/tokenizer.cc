#include "text/tokenizer.h"

#include "absl/strings/str_cat.h"
#include "text/c_api.h"

namespace guildhall {

using text_internal::Bytes;
using text_internal::OwnedBuffer;
using text_internal::OwnedIds;
using text_internal::ToC;
using text_internal::ToStatus;

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Load(const std::string& path,
                                                                 size_t max_text_bytes) {
  gh_tokenizer* handle = nullptr;
  OwnedBuffer error;
  if (const int32_t code = gh_tokenizer_from_file(Bytes(path), path.size(), &handle, error.out());
      code != 0) {
    return ToStatus(code, error);
  }
  return Adopt(handle, max_text_bytes);
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view json,
                                                                     size_t max_text_bytes) {
  gh_tokenizer* handle = nullptr;
  OwnedBuffer error;
  if (const int32_t code = gh_tokenizer_from_bytes(Bytes(json), json.size(), &handle, error.out());
      code != 0) {
    return ToStatus(code, error);
  }
  return Adopt(handle, max_text_bytes);
}

std::shared_ptr<const Tokenizer> Tokenizer::Adopt(gh_tokenizer* handle, size_t max_text_bytes) {
  return std::shared_ptr<const Tokenizer>(new Tokenizer(handle, max_text_bytes));
}

Tokenizer::~Tokenizer() {
  gh_tokenizer_free(handle_);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, bool add_special,
                                                       const EncodeLimits& limits) const {
  if (text.size() > max_text_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("text: ", text.size(), " bytes, more than the limit of ", max_text_bytes_));
  }
  OwnedIds ids;
  OwnedBuffer error;
  const int32_t code = gh_tokenizer_encode(handle_, Bytes(text), text.size(), add_special, limits.max_ids,
                                           ToC(limits.work), ids.out(), error.out());
  if (code != 0) return ToStatus(code, error);
  return std::vector<int32_t>(ids.begin(), ids.end());
}

size_t Tokenizer::LeastIds(std::string_view text) const {
  return gh_tokenizer_least_ids(handle_, Bytes(text), text.size());
}

bool Tokenizer::EncodesInPieces() const {
  return gh_tokenizer_in_pieces(handle_);
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  OwnedBuffer text;
  OwnedBuffer error;
  const int32_t code =
      gh_tokenizer_decode(handle_, ids.data(), ids.size(), skip_special, text.out(), error.out());
  if (code != 0) return ToStatus(code, error);
  return text.str();
}

bool Tokenizer::SameAs(const Tokenizer& other) const {
  bool same = false;
  OwnedBuffer error;
  return gh_tokenizer_same(handle_, other.handle_, &same, error.out()) == 0 && same;
}

int32_t Tokenizer::VocabularySize() const {
  return gh_tokenizer_vocabulary_size(handle_);
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view token) const {
  int32_t id = -1;
  OwnedBuffer error;
  const int32_t code = gh_tokenizer_token_id(handle_, Bytes(token), token.size(), &id, error.out());
  if (code != 0 || id < 0) return std::nullopt;
  return id;
}

absl::StatusOr<std::string> Tokenizer::TokenText(int32_t id) const {
  OwnedBuffer token;
  OwnedBuffer error;
  bool special = false;
  const int32_t code = gh_tokenizer_token_text(handle_, id, token.out(), &special, error.out());
  if (code != 0) return ToStatus(code, error);
  return token.str();
}

bool Tokenizer::IsSpecial(int32_t id) const {
  OwnedBuffer token;
  OwnedBuffer error;
  bool special = false;
  return gh_tokenizer_token_text(handle_, id, token.out(), &special, error.out()) == 0 && special;
}

}  // namespace guildhall
