#include "commands/quality_examples.h"

#include <utility>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "text/folder.h"

namespace guildhall {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;

// The tokens of an example; `begin`: the first that counts.
struct Encoded {
  std::vector<int32_t> tokens;
  size_t begin = 1;
};

absl::StatusOr<std::string> Render(const TextAssets& text, const Json& messages, bool generation_prompt) {
  GH_ASSIGN_OR_RETURN(const auto chat_template, text.SelectTemplate("", false));
  const std::string messages_json = DumpJson(messages), variables = text.TokenVariablesJson();
  RenderArgs args;
  args.messages_json = messages_json;
  args.add_generation_prompt = generation_prompt;
  args.variables_json = variables;
  return chat_template->Render(args);
}

// The answer is encoded by itself, as a server sees it: token by token behind the prompt.
absl::StatusOr<Encoded> EncodeConversation(const TextAssets& text, const Json& messages,
                                           const std::string& expected, const std::string& where) {
  GH_ASSIGN_OR_RETURN(const std::string prompt, Render(text, messages, true));
  Json answered = messages;
  answered.push_back({{"role", "assistant"}, {"content", expected}});
  GH_ASSIGN_OR_RETURN(const std::string whole, Render(text, answered, false));
  if (!whole.starts_with(prompt)) {
    return absl::FailedPreconditionError(
        where +
        ": the chat template does not put an answer right behind the prompt of its conversation, so the "
        "answer cannot be cut out; give {\"text\": ...}");
  }
  Encoded encoded;
  GH_ASSIGN_OR_RETURN(encoded.tokens, text.tokenizer->Encode(prompt, false));
  encoded.begin = encoded.tokens.size();
  GH_ASSIGN_OR_RETURN(const std::vector<int32_t> answer,
                      text.tokenizer->Encode(whole.substr(prompt.size()), false));
  encoded.tokens.insert(encoded.tokens.end(), answer.begin(), answer.end());
  return encoded;
}

absl::StatusOr<Encoded> EncodeElement(const TextAssets& text, const JsonObject& object, const Json& item,
                                      const std::string& where) {
  GH_ASSIGN_OR_RETURN(const std::string plain, object.StringOr("text", ""));
  GH_ASSIGN_OR_RETURN(const std::string expected, object.StringOr("expected", ""));
  object.MarkRead("messages");
  const bool conversation = object.Has("messages");
  if (conversation == !plain.empty() || conversation == expected.empty()) {
    return absl::InvalidArgumentError(where + ": expected either messages with expected, or text");
  }
  if (conversation) return EncodeConversation(text, item["messages"], expected, where);
  Encoded encoded;
  GH_ASSIGN_OR_RETURN(encoded.tokens, text.tokenizer->Encode(plain, true));
  return encoded;
}

absl::Status CheckLength(const Encoded& encoded, const ModelSpec& spec, const std::string& where) {
  const size_t size = encoded.tokens.size();
  if (encoded.begin == 0 || encoded.begin >= size) {
    return absl::InvalidArgumentError(where + ": expected at least one token before and one to predict");
  }
  if (static_cast<int64_t>(size) > spec.max_positions) {
    return absl::OutOfRangeError(StrCat(where, ": expected at most ", spec.max_positions,
                                        " tokens (the model's context), found ", size));
  }
  return absl::OkStatus();
}

absl::Status AddElement(const TextAssets& text, const Json& item, const ModelSpec& spec,
                        const std::string& where, QualityExamples& all) {
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(item, where));
  QualityExample example;
  GH_ASSIGN_OR_RETURN(example.group, object.StringOr("group", ""));
  TokenSequence sequence;
  GH_ASSIGN_OR_RETURN(const std::vector<std::string> adapters, object.StringsOr("adapters", {}));
  for (const std::string& name : adapters) sequence.adapters.push_back({name, 1.0f});
  absl::StatusOr<Encoded> encoded = EncodeElement(text, object, item, where);
  if (!encoded.ok()) {
    return absl::Status(encoded.status().code(),
                        StrCat(where, ": ", std::string(encoded.status().message())));
  }
  GH_RETURN_IF_ERROR(object.CheckAllRead());
  GH_RETURN_IF_ERROR(CheckLength(*encoded, spec, where));
  sequence.tokens = encoded->tokens;
  example.tokens = std::move(encoded->tokens);
  example.begin = encoded->begin;
  all.examples.push_back(std::move(example));
  all.sequences.push_back(std::move(sequence));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QualityExamples> ReadQualityExamples(const std::string& path, const TextAssets& text,
                                                    const ModelSpec& spec) {
  if (text.tokenizer == nullptr) {
    return absl::FailedPreconditionError(path +
                                         ": examples are text, and the model's folder has no tokenizer.json");
  }
  GH_ASSIGN_OR_RETURN(const std::string file, ReadSmallFile(path, kMaxFileBytes));
  JsonLimits limits;
  limits.max_bytes = kMaxFileBytes;
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(file, path, limits));
  if (!json.is_array() || json.empty()) {
    return absl::InvalidArgumentError(
        path +
        ": expected an array of examples, {\"messages\": [...], \"expected\": TEXT} or {\"text\": TEXT}");
  }
  QualityExamples all;
  for (size_t i = 0; i < json.size(); ++i) {
    GH_RETURN_IF_ERROR(AddElement(text, json[i], spec, StrCat(path, ": [", i, "]"), all));
  }
  return all;
}

}  // namespace guildhall
