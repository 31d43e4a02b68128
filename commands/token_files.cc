#include "commands/token_files.h"

#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "text/folder.h"

namespace guildhall {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;

// Token ids in [0, vocabulary), at least one and no more than the context holds.
absl::Status CheckTokens(const std::vector<int64_t>& tokens, const ModelSpec& spec,
                         const std::string& where) {
  if (tokens.empty()) return absl::InvalidArgumentError(where + ": expected at least one token, found none");
  if (static_cast<int64_t>(tokens.size()) > spec.max_positions) {
    return absl::OutOfRangeError(StrCat(where, ": expected at most ", spec.max_positions,
                                        " tokens (the model's context), found ", tokens.size()));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < spec.vocabulary) continue;
    return absl::InvalidArgumentError(
        StrCat(where, "[", i, "]: expected a token id in [0, ", spec.vocabulary, "), found ", tokens[i]));
  }
  return absl::OkStatus();
}

// "name", or {"name": ..., "scale": ...}.
absl::StatusOr<TokenSequence::Use> ReadUse(const Json& json, const std::string& where) {
  if (json.is_string()) return TokenSequence::Use{json.get<std::string>(), 1.0f};
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(json, where));
  TokenSequence::Use use;
  GH_ASSIGN_OR_RETURN(use.name, object.StringOr("name", ""));
  GH_ASSIGN_OR_RETURN(const double scale, object.NumberOr("scale", 1.0));
  GH_RETURN_IF_ERROR(object.CheckAllRead());
  if (use.name.empty()) return absl::InvalidArgumentError(where + ": expected the name of an adapter");
  if (!std::isfinite(scale)) return absl::InvalidArgumentError(where + ".scale: expected a finite number");
  use.scale = static_cast<float>(scale);
  return use;
}

absl::StatusOr<TokenSequence> ReadSequence(const Json& item, const ModelSpec& spec,
                                           const std::string& where) {
  const Json wrapped = item.is_array() ? Json{{"tokens", item}} : item;
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(wrapped, where));
  TokenSequence sequence;
  GH_ASSIGN_OR_RETURN(const std::vector<int64_t> tokens, object.IntsOr("tokens", {}));
  GH_ASSIGN_OR_RETURN(sequence.task, object.StringOr("task", ""));
  object.MarkRead("adapters");
  if (wrapped.contains("adapters")) {
    const Json& uses = wrapped["adapters"];
    if (!uses.is_array()) return absl::InvalidArgumentError(where + ".adapters: expected an array of names");
    for (size_t i = 0; i < uses.size(); ++i) {
      GH_ASSIGN_OR_RETURN(TokenSequence::Use use, ReadUse(uses[i], StrCat(where, ".adapters[", i, "]")));
      sequence.adapters.push_back(std::move(use));
    }
  }
  GH_RETURN_IF_ERROR(object.CheckAllRead());
  if (!sequence.task.empty() && !sequence.adapters.empty()) {
    return absl::InvalidArgumentError(where + ": expected task or adapters, found both");
  }
  GH_RETURN_IF_ERROR(CheckTokens(tokens, spec, where));
  sequence.tokens.assign(tokens.begin(), tokens.end());
  return sequence;
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

absl::StatusOr<std::vector<TokenSequence>> ReadTokensFile(const std::string& path, const ModelSpec& spec) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxFileBytes));
  JsonLimits limits;
  limits.max_bytes = kMaxFileBytes;
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path, limits));
  if (!json.is_array()) {
    return absl::InvalidArgumentError(
        path + ": expected an array of sequences, each an array of token ids or {\"tokens\": [...]}");
  }
  std::vector<TokenSequence> sequences;
  for (size_t i = 0; i < json.size(); ++i) {
    GH_ASSIGN_OR_RETURN(TokenSequence sequence, ReadSequence(json[i], spec, StrCat(path, ": [", i, "]")));
    sequences.push_back(std::move(sequence));
  }
  if (sequences.empty())
    return absl::InvalidArgumentError(path + ": expected at least one sequence, found none");
  return sequences;
}

absl::StatusOr<std::vector<TokenSequence>> ReadTextFile(const std::string& path, const TextAssets& assets,
                                                        const ModelSpec& spec, bool by_lines) {
  if (assets.tokenizer == nullptr) {
    return absl::FailedPreconditionError(
        path + ": --text needs a tokenizer.json and the model's folder has none: give --tokens-file");
  }
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxFileBytes));
  std::vector<TokenSequence> sequences;
  for (const std::string& piece : by_lines ? LinesOf(text) : std::vector<std::string>{text}) {
    GH_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, assets.tokenizer->Encode(piece, true));
    if (!by_lines) GH_RETURN_IF_ERROR(CheckTokens({tokens.begin(), tokens.end()}, spec, path));
    const auto most = static_cast<size_t>(spec.max_positions);
    for (size_t begin = 0; begin < tokens.size(); begin += most) {
      const size_t end = std::min(tokens.size(), begin + most);
      sequences.push_back({.tokens = {tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                      tokens.begin() + static_cast<std::ptrdiff_t>(end)},
                           .task = {},
                           .adapters = {}});
    }
  }
  if (sequences.empty()) return absl::InvalidArgumentError(path + ": expected text, found none");
  return sequences;
}

}  // namespace guildhall
