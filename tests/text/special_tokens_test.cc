// Files that say different things of tokens mean what they mean to transformers.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/text/data.h"
#include "text/folder.h"

namespace guildhall {
namespace {

using text_test::DataPath;
using text_test::Json;
using text_test::ReadFile;
using text_test::ReadJson;
using text_test::ScratchFolder;
using text_test::WriteFile;
using Ids = std::vector<int32_t>;

int32_t NextId(const Json& tokenizer) {
  int32_t next = 0;
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items())
    next = std::max(next, id.get<int32_t>());
  for (const Json& token : tokenizer["added_tokens"]) next = std::max(next, token["id"].get<int32_t>());
  return next + 1;
}

Json Patched(const std::string& base, const Json& patch) {
  Json tokenizer = Json::parse(ReadFile(DataPath("tokenizers/" + base + ".json")));
  for (const Json& token : patch["vocab"]) {
    tokenizer["model"]["vocab"][token.get<std::string>()] = NextId(tokenizer);
  }
  for (const Json& token : patch["added_tokens"]) tokenizer["added_tokens"].push_back(token);
  if (patch.contains("post_processor")) tokenizer["post_processor"] = patch["post_processor"];
  return tokenizer;
}

void WriteJson(const ScratchFolder& folder, const std::string& name, const Json& json) {
  WriteFile(folder.path() / name, json.dump());
}

TextAssets Load(const ScratchFolder& folder) {
  auto assets = LoadTextAssets(folder.path());
  INFO(assets.status().ToString());
  REQUIRE(assets.ok());
  return *std::move(assets);
}

std::string AllNotes(const TextAssets& assets) {
  std::string all;
  for (const std::string& note : assets.notes) all += note + "\n";
  return all;
}

void CheckRole(const std::optional<NamedToken>& token, const Json& expected) {
  CHECK(token.has_value() == !expected.is_null());
  if (token && !expected.is_null()) CHECK(token->text == expected.get<std::string>());
}

TEST_CASE("tokens, their roles and what stands around a text are those of transformers") {
  size_t cases = 0;
  for (const Json& golden : ReadJson("special_token_goldens.json")) {
    CAPTURE(golden["name"].get<std::string>());
    const ScratchFolder folder;
    WriteJson(folder, "config.json", Json{{"model_type", "llama"}});
    WriteJson(folder, "tokenizer.json", Patched(golden["base"], golden["patch"]));
    for (const auto& [name, file] : golden["files"].items()) WriteJson(folder, name + ".json", file);
    const TextAssets assets = Load(folder);
    CAPTURE(AllNotes(assets));
    const auto text = golden["text"].get<std::string>();
    const Ids ids = golden["ids"].get<Ids>();
    CHECK(assets.tokenizer->Encode(text, false).value() == ids);
    Ids framed = golden["before"].get<Ids>();
    framed.insert(framed.end(), ids.begin(), ids.end());
    for (const Json& id : golden["behind"]) framed.push_back(id);
    CHECK(assets.tokenizer->Encode(text, true).value() == framed);
    CHECK(assets.tokenizer->Decode(ids, true).value() == golden["plain"].get<std::string>());
    CheckRole(assets.bos, golden["roles"]["bos_token"]);
    CheckRole(assets.eos, golden["roles"]["eos_token"]);
    ++cases;
  }
  CHECK(cases > 190);
}

TEST_CASE("what files contradict each other in is said with what is followed") {
  const auto notes = [](const Json& config, const Json& map, const Json& added) {
    const ScratchFolder folder;
    WriteJson(folder, "config.json", Json{{"model_type", "llama"}, {"vocab_size", 696}});
    WriteJson(folder, "tokenizer.json",
              Patched("byte_level", {{"vocab", {"<|turn|>"}}, {"added_tokens", Json::array()}}));
    WriteJson(folder, "tokenizer_config.json", config);
    if (!map.is_null()) WriteJson(folder, "special_tokens_map.json", map);
    if (!added.is_null()) WriteJson(folder, "added_tokens.json", added);
    return Load(folder).notes;
  };
  using Lines = std::vector<std::string>;
  CHECK(notes({{"bos_token", "<|endoftext|>"}}, nullptr, nullptr).empty());
  CHECK(notes({{"eos_token", "<|turn|>"}}, nullptr, nullptr) ==
        Lines{"tokenizer_config.json: \"<|turn|>\" special, which tokenizer.json does not say: special"});
  CHECK(notes({{"eos_token", "<|im_end|>"}}, {{"eos_token", "<|im_start|>"}}, nullptr) ==
        Lines{"eos_token: \"<|im_end|>\" in tokenizer_config.json, \"<|im_start|>\" in "
              "special_tokens_map.json: the latter is used"});
  CHECK(notes({{"tokenizer_class", "PreTrainedTokenizerFast"}}, nullptr, {{"<a>", 695}}) ==
        Lines{"added_tokens.json: tokens that tokenizer.json lacks: \"<a>\" as 695: added"});
  CHECK(notes(Json::object(), nullptr, {{"<a>", 777}}) ==
        Lines{"added_tokens.json: tokens that tokenizer.json lacks: \"<a>\" as 695: added",
              "added_tokens.json: \"<a>\" is 777 there and 695 by tokenizer.json, which is what counts"});
  CHECK(
      notes(Json::object(), nullptr, {{"<a>", 695}, {"<b>", 696}}) ==
      Lines{"added_tokens.json: tokens that tokenizer.json lacks: \"<a>\" as 695: added",
            "added_tokens.json: \"<b>\" in no vocabulary, and the model has no row for more tokens than its "
            "696: ordinary text"});
  CHECK(notes({{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"add_bos_token", true},
               {"bos_token", "<|endoftext|>"}},
              nullptr, nullptr) ==
        Lines{"tokenizer_config.json says that add_bos_token is true, tokenizer.json's post_processor adds "
              "nothing: the latter is in force, since PreTrainedTokenizerFast does not read the former"});
  CHECK(notes({{"tokenizer_class", "LlamaTokenizerFast"},
               {"add_bos_token", true},
               {"bos_token", "<|endoftext|>"}},
              nullptr, nullptr) ==
        Lines{"tokenizer_config.json says that add_bos_token is true, tokenizer.json's post_processor adds "
              "nothing: the former is in force, as in transformers 4 (LlamaTokenizerFast); 5 goes by the "
              "latter"});
}

TEST_CASE("a template that is in two files is told where they differ") {
  const ScratchFolder folder;
  WriteJson(folder, "tokenizer_config.json", {{"chat_template", "one"}});
  WriteFile(folder.path() / "chat_template.jinja", "one\n");
  CHECK(Load(folder).notes.empty());
  WriteFile(folder.path() / "chat_template.jinja", "another");
  CHECK(Load(folder).notes ==
        std::vector<std::string>{"chat template: chat_template.jinja and tokenizer_config.json differ; "
                                 "chat_template.jinja is used"});
}

TEST_CASE("broken lists of tokens are refused by file and key") {
  const auto refused = [](const std::string& file, const Json& json, const std::string& expected) {
    const ScratchFolder folder;
    WriteJson(folder, file, json);
    const auto assets = LoadTextAssets(folder.path());
    CAPTURE(file, assets.status().ToString());
    CHECK(assets.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(assets.status().message().find(file + ": " + expected) != std::string::npos);
  };
  const std::string config = "tokenizer_config.json";
  refused(config, {{"added_tokens_decoder", 1}}, "added_tokens_decoder: expected an object by token id");
  refused(config, {{"added_tokens_decoder", {{"x", "a"}}}},
          "added_tokens_decoder: expected token ids, found \"x\"");
  refused(config, {{"added_tokens_decoder", {{"1", 2}}}}, "added_tokens_decoder[1]: expected a string");
  refused(config, {{"additional_special_tokens", "<a>"}}, "additional_special_tokens: expected a list");
  refused("special_tokens_map.json", {{"eos_token", 7}}, "eos_token: expected a string");
  refused("added_tokens.json", {{"<a>", -1}}, "\"<a>\": expected a token id, found -1");
}

}  // namespace
}  // namespace guildhall
