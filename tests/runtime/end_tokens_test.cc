// What ends an answer, where the files of a folder name different tokens.
#include "runtime/end_tokens.h"

#include <catch2/catch.hpp>

namespace guildhall {
namespace {

using Ids = std::vector<int32_t>;

TextAssets Text(const std::string& eos) {
  TextAssets text;
  auto tokenizer =
      Tokenizer::Load(std::string(GUILDHALL_SOURCE_DIR) + "/tests/text/data/tokenizers/byte_level.json");
  REQUIRE(tokenizer.ok());
  text.tokenizer = *std::move(tokenizer);
  if (!eos.empty()) text.eos = NamedToken{eos, text.tokenizer->TokenId(eos)};
  return text;
}

ModelSpec Spec(Ids eos, int64_t vocabulary = 700) {
  ModelSpec spec;
  spec.vocabulary = vocabulary;
  spec.eos_tokens = std::move(eos);
  return spec;
}

TEST_CASE("the tokenizer's end of a turn ends an answer as the model's end token does") {
  std::vector<std::string> notes;
  CHECK(EndTokens(Spec({0}), Text("<|im_end|>"), {}, notes).value() == Ids{0, 2});
  CHECK(notes ==
        std::vector<std::string>{
            "eos_token of the tokenizer is 2 (<|im_end|>), eos_token_id of generation_config.json or "
            "config.json is 0 (<|endoftext|>): each ends an answer; model.end_tokens says otherwise"});
  notes.clear();
  CHECK(EndTokens(Spec({0, 2}), Text("<|im_end|>"), {}, notes).value() == Ids{0, 2});
  CHECK(EndTokens(Spec({0}), Text(""), {}, notes).value() == Ids{0});
  CHECK(EndTokens(Spec({0}), TextAssets(), {}, notes).value() == Ids{0});
  CHECK(notes.empty());
  CHECK(EndTokens(Spec({}), Text("<|im_end|>"), {}, notes).value() == Ids{2});
  CHECK(notes.size() == 1);
}

TEST_CASE("an end token of no row of the model is told and left out") {
  std::vector<std::string> notes;
  CHECK(EndTokens(Spec({0}, 690), Text("<think>"), {}, notes).value() == Ids{0});
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], Catch::Contains("692 (<think>)") && Catch::Contains("its 690"));
}

TEST_CASE("configured end tokens are in place of the files', by text or id") {
  std::vector<std::string> notes;
  CHECK(EndTokens(Spec({0}), Text("<|im_end|>"), {"<|im_start|>", "692", "1"}, notes).value() == Ids{1, 692});
  CHECK(notes.empty());
  for (const char* wrong : {"<nothing>", "-1", "700", ""}) {
    const auto tokens = EndTokens(Spec({0}), Text(""), {wrong}, notes);
    CHECK(tokens.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(tokens.status().message()),
               Catch::Contains("model.end_tokens: expected the text"));
  }
}

}  // namespace
}  // namespace guildhall
