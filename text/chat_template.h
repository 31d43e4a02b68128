// A chat template (Jinja), compiled once; renders as transformers' apply_chat_template does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "base/work_limit.h"

struct gh_template;

namespace guildhall {

// Bounds of one rendering. A unit of fuel pays for one instruction or 64 bytes of data that is made, walked
// or compared, so fuel bounds time (about 10 million units a second) and memory (64 bytes a unit) at once.
// Memory and time are measured beside it, some hundred times a second.
struct ChatTemplateLimits {
  uint64_t fuel = 4'000'000;
  size_t max_output_bytes = size_t{16} << 20;
  size_t max_memory_bytes = size_t{256} << 20;  // of all values and the output at any time
  uint64_t max_cpu_ms = 10'000;
};

struct RenderArgs {
  std::string_view messages_json = {};  // an array of objects with role, content, tool_calls, ...
  std::string_view tools_json = {};     // an array of objects; empty: no tools (None in the template)
  bool add_generation_prompt = true;
  std::string_view variables_json =
      {};  // an object of further ones: bos_token, eos_token, enable_thinking, ...
  WorkLimit work = {};
  std::optional<absl::CivilSecond> now = {};  // what strftime_now tells; unset: the local time of the call
};

// Immutable; Render may run on many threads at once.
class ChatTemplate {
 public:
  // Syntax errors are InvalidArgument with the line.
  static absl::StatusOr<std::shared_ptr<const ChatTemplate>> Compile(std::string_view source,
                                                                     const ChatTemplateLimits& limits = {});
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // InvalidArgument: JSON of another shape, raise_exception in the template (its text is in the message), a
  // use of undefined values that Python would refuse. ResourceExhausted: a limit. Cancelled,
  // DeadlineExceeded: the end of `work`. Unavailable: the system gives no thread, which the rendering has for
  // its stack.
  absl::StatusOr<std::string> Render(const RenderArgs& args) const;

  // Whether it walks over a message's content in parts; others read text only, and write out anything else as
  // Python would.
  bool TakesParts() const;

 private:
  explicit ChatTemplate(gh_template* handle) : handle_(handle) {}

  gh_template* const handle_;  // owned, never null
};

}  // namespace guildhall
