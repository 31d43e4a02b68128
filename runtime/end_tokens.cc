#include "runtime/end_tokens.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

bool Has(const std::vector<int32_t>& tokens, int32_t token) {
  return std::find(tokens.begin(), tokens.end(), token) != tokens.end();
}

std::string Named(int32_t token, const Tokenizer* tokenizer) {
  const auto text = tokenizer == nullptr ? absl::StatusOr<std::string>("") : tokenizer->TokenText(token);
  return text.ok() && !text->empty() ? StrCat(token, " (", *text, ")") : StrCat(token);
}

absl::StatusOr<int32_t> Configured(const std::string& token, int64_t vocabulary, const Tokenizer* tokenizer) {
  std::optional<int32_t> id;
  int32_t number = -1;
  // Digits are an id: no vocabulary ends its texts with the token of a number.
  if (absl::SimpleAtoi(token, &number)) {
    id = number;
  } else if (tokenizer != nullptr) {
    id = tokenizer->TokenId(token);
  }
  if (id && *id >= 0 && *id < vocabulary) return *id;
  return absl::InvalidArgumentError(
      StrCat("model.end_tokens: expected the text of a token or an id from 0 to ", vocabulary - 1,
             ", found \"", token, "\""));
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> EndTokens(const ModelSpec& spec, const TextAssets& text,
                                               const std::vector<std::string>& configured,
                                               std::vector<std::string>& notes) {
  const Tokenizer* tokenizer = text.tokenizer.get();
  std::vector<int32_t> tokens;
  for (const std::string& token : configured) {
    GH_ASSIGN_OR_RETURN(const int32_t id, Configured(token, spec.vocabulary, tokenizer));
    if (!Has(tokens, id)) tokens.push_back(id);
  }
  if (!tokens.empty()) return tokens;
  tokens = spec.eos_tokens;
  if (!text.eos || !text.eos->id || Has(tokens, *text.eos->id)) return tokens;
  const int32_t eos = *text.eos->id;
  if (eos >= spec.vocabulary) {
    notes.push_back(StrCat("eos_token of the tokenizer is ", Named(eos, tokenizer),
                           ", for which the model has no row of its ", spec.vocabulary,
                           ": it can never be generated"));
    return tokens;
  }
  std::string others;
  for (const int32_t token : tokens) StrAppend(&others, others.empty() ? "" : ", ", Named(token, tokenizer));
  notes.push_back(StrCat("eos_token of the tokenizer is ", Named(eos, tokenizer),
                         ", eos_token_id of generation_config.json or config.json is ",
                         others.empty() ? "not set" : others,
                         ": each ends an answer; model.end_tokens says otherwise"));
  tokens.push_back(eos);
  return tokens;
}

}  // namespace guildhall
