// Whatever the text of tokenizer.json: a refusal, or a tokenizer whose ids are below its size and can be
// decoded.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  constexpr size_t kMostText = 4096;
  const auto tokenizer = Tokenizer::FromJson({reinterpret_cast<const char*>(data), size}, kMostText);
  if (!tokenizer.ok()) {
    GH_CHECK(tokenizer.status().code() != absl::StatusCode::kInternal);
    return 0;
  }
  for (const std::string_view text :
       {"", "ab a b</s>", "Hello, w\xc3\xb6rld! 42\n\t ab", "\xf0\x9f\x98\x80 aaaaaaaaaa"}) {
    const auto ids = (*tokenizer)->Encode(text, true);
    if (!ids.ok()) continue;
    for (const int32_t id : *ids) GH_CHECK(id >= 0 && id < (*tokenizer)->VocabularySize());
    (void)(*tokenizer)->Decode(*ids, false);
    (void)(*tokenizer)->Decode(*ids, true);
  }
  return 0;
}
