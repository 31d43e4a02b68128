// Whatever a chat template says: a refusal, or texts within the limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  constexpr ChatTemplateLimits kLimits{.fuel = 20'000, .max_output_bytes = 1 << 16};
  const auto compiled = ChatTemplate::Compile({reinterpret_cast<const char*>(data), size}, kLimits);
  if (!compiled.ok()) return 0;
  constexpr std::string_view kMessages =
      R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi \u00e9"},
          {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}])";
  for (const std::string_view messages : {kMessages, std::string_view("[]")}) {
    const auto text = (*compiled)->Render({.messages_json = messages,
                                           .tools_json = R"([{"type": "function"}])",
                                           .variables_json = R"({"bos_token": "<s>", "n": 3})",
                                           .now = absl::CivilSecond(2024, 6, 7)});
    if (text.ok()) GH_CHECK_LE(text->size(), kLimits.max_output_bytes);
    if (!text.ok()) GH_CHECK(text.status().code() != absl::StatusCode::kInternal);
  }
  return 0;
}
