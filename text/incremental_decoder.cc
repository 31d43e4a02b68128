#include "text/incremental_decoder.h"

#include "text/c_api.h"

namespace guildhall {

using text_internal::OwnedBuffer;
using text_internal::ToStatus;

IncrementalDecoder::IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special,
                                       std::span<const int32_t> prompt) {
  gh_decode_stream* stream = nullptr;
  OwnedBuffer error;
  const int32_t code = gh_decode_stream_new(tokenizer.handle_, skip_special, prompt.data(), prompt.size(),
                                            &stream, error.out());
  if (code == 0) stream_.reset(stream);
}

IncrementalDecoder::~IncrementalDecoder() = default;
IncrementalDecoder::IncrementalDecoder(IncrementalDecoder&& other) noexcept = default;
IncrementalDecoder& IncrementalDecoder::operator=(IncrementalDecoder&& other) noexcept = default;

void IncrementalDecoder::Free::operator()(gh_decode_stream* stream) const {
  gh_decode_stream_free(stream);
}

absl::StatusOr<std::string> IncrementalDecoder::Append(int32_t id) {
  OwnedBuffer text;
  OwnedBuffer error;
  const int32_t code = gh_decode_stream_append(stream_.get(), id, text.out(), error.out());
  if (code != 0) return ToStatus(code, error);
  return text.str();
}

absl::StatusOr<std::string> IncrementalDecoder::Finish() {
  OwnedBuffer text;
  OwnedBuffer error;
  const int32_t code = gh_decode_stream_finish(stream_.get(), text.out(), error.out());
  if (code != 0) return ToStatus(code, error);
  return text.str();
}

}  // namespace guildhall
