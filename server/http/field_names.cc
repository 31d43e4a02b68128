#include "server/http/field_names.h"

#include <algorithm>
#include <vector>

#include "base/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

struct Renaming {
  std::string_view field, name;
};

// Fields of GenerateRequest and TokenizeRequest, or what they begin with; the longest counts.
constexpr Renaming kChatFields[] = {
    {"chat", "messages"},
    {"input", "messages"},
    {"chat.messages", "messages"},
    {"chat.tools_json", "tools"},
    {"chat.add_generation_prompt", "add_generation_prompt"},
    {"chat.template_variables_json", "chat_template_kwargs"},
    {"logprobs.top", "top_logprobs"},
};
constexpr Renaming kTextFields[] = {{"logprobs.top", "logprobs"}};
// Parts of a path within a message.
constexpr Renaming kMessageFields[] = {
    {"content_json", "content"},
    {"reasoning", "reasoning_content"},
    {"arguments_json", "function.arguments"},
};

// `field` is `begin`, or something inside of it.
bool BeginsWith(std::string_view field, std::string_view begin) {
  if (field.substr(0, begin.size()) != begin) return false;
  return field.size() == begin.size() || field[begin.size()] == '.' || field[begin.size()] == '[';
}

std::string_view SamplingName(ApiKind kind, std::string_view proto) {
  for (const RequestField& field : RequestFields()) {
    if (field.sampling == proto && FindField(kind, field.name) != nullptr) return field.name;
  }
  return proto;
}

std::vector<std::string_view> Split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t point = path.find('.');
    parts.push_back(path.substr(0, point));
    if (point == std::string_view::npos) return parts;
    path.remove_prefix(point + 1);
  }
}

// "[2].tool_calls[0].name" behind "messages".
std::string InMessage(std::string_view rest) {
  std::string path;
  bool of_call = false;
  for (const std::string_view part : Split(rest)) {
    std::string_view name = part.substr(0, part.find('['));
    const std::string_view index = part.substr(name.size());
    if (name == "more_json") return path;
    const auto* const known = std::find_if(std::begin(kMessageFields), std::end(kMessageFields),
                                           [&](const Renaming& one) { return one.field == name; });
    if (known != std::end(kMessageFields)) name = known->name;
    if (of_call && name == "name") name = "function.name";
    of_call = name == "tool_calls";
    StrAppend(&path, path.empty() ? "" : ".", name, index);
  }
  return path;
}

}  // namespace

std::string FieldNames::Of(std::string_view field) const {
  if (BeginsWith(field, "sampling.max_tokens")) return max_tokens;
  constexpr std::string_view kSampling = "sampling.";
  if (field.substr(0, kSampling.size()) == kSampling) {
    field.remove_prefix(kSampling.size());
    const std::string_view name = field.substr(0, field.find_first_of(".["));
    return StrCat(SamplingName(kind, name), field.substr(name.size()));
  }
  if (kind == ApiKind::kCompletions) {
    constexpr std::string_view kIds = "token_ids.ids";
    if (BeginsWith(field, kIds)) return StrCat(prompt, field.substr(kIds.size()));
    for (const std::string_view input : {"text", "token_ids", "input", "chat"}) {
      if (BeginsWith(field, input)) return prompt;
    }
  }
  const Renaming* best = nullptr;
  const auto look = [&](const auto& table) {
    for (const Renaming& one : table) {
      if (BeginsWith(field, one.field) && (best == nullptr || one.field.size() > best->field.size()))
        best = &one;
    }
  };
  kind == ApiKind::kChat ? look(kChatFields) : look(kTextFields);
  if (best == nullptr) return std::string(field);
  const std::string_view rest = field.substr(best->field.size());
  if (best->name != "messages") return StrCat(best->name, rest);
  return StrCat(best->name, rest.empty() ? "" : InMessage(rest));
}

absl::Status InTermsOf(const FieldNames& names, const absl::Status& status) {
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  google::rpc::BadRequest bad;
  if (!payload || !bad.ParseFromString(std::string(*payload)) || bad.field_violations_size() == 0)
    return status;
  const std::string& field = bad.field_violations(0).field();
  const std::string name = names.Of(field);
  // FieldError's messages begin with the field, others name none.
  const std::string_view message(status.message().data(), status.message().size());
  const std::string begin = StrCat(field, ": ");
  const bool named = message.substr(0, begin.size()) == begin;
  const absl::Status renamed =
      named ? WithMessage(status, StrCat(name, ": ", message.substr(begin.size()))) : status;
  return WithField(renamed, name);
}

}  // namespace guildhall
