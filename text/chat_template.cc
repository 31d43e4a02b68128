#include "text/chat_template.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "text/c_api.h"

namespace guildhall {

using text_internal::Bytes;
using text_internal::OwnedBuffer;
using text_internal::ToC;
using text_internal::ToStatus;

absl::StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Compile(std::string_view source,
                                                                          const ChatTemplateLimits& limits) {
  gh_template* handle = nullptr;
  OwnedBuffer error;
  const int32_t code =
      gh_template_compile(Bytes(source), source.size(),
                          {limits.fuel, limits.max_output_bytes, limits.max_memory_bytes, limits.max_cpu_ms},
                          &handle, error.out());
  if (code != 0) return ToStatus(code, error);
  return std::shared_ptr<const ChatTemplate>(new ChatTemplate(handle));
}

ChatTemplate::~ChatTemplate() {
  gh_template_free(handle_);
}

absl::StatusOr<std::string> ChatTemplate::Render(const RenderArgs& args) const {
  const absl::CivilSecond now = args.now.value_or(absl::ToCivilSecond(absl::Now(), absl::LocalTimeZone()));
  const gh_render_args raw = {
      .messages = Bytes(args.messages_json),
      .messages_size = args.messages_json.size(),
      .tools = Bytes(args.tools_json),
      .tools_size = args.tools_json.size(),
      .variables = Bytes(args.variables_json),
      .variables_size = args.variables_json.size(),
      .now = {static_cast<int32_t>(now.year()), now.month(), now.day(), now.hour(), now.minute(),
              now.second()},
      .add_generation_prompt = args.add_generation_prompt,
      .limit = ToC(args.work),
  };
  OwnedBuffer text;
  OwnedBuffer error;
  const int32_t code = gh_template_render(handle_, &raw, text.out(), error.out());
  if (code != 0) return ToStatus(code, error);
  return text.str();
}

bool ChatTemplate::TakesParts() const {
  return gh_template_takes_parts(handle_);
}

}  // namespace guildhall
