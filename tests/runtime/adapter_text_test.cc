// What is made of tokenizer, template and generation settings in an adapter's folder.
#include "runtime/adapter_text.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

const TextAssets& Base() {
  static const auto* text = new TextAssets(*LoadTextAssets(GUILDHALL_SOURCE_DIR "/demo/model"));
  return *text;
}

class Folder {
 public:
  void Copy(const std::string& name) {
    std::filesystem::copy_file(std::string(GUILDHALL_SOURCE_DIR "/demo/model/") + name, Path(name));
  }
  void Write(const std::string& name, const std::string& text) { std::ofstream(Path(name)) << text; }
  AdapterText Read() const {
    return ReadAdapterText(folder_.path(), {.text = &Base(),
                                            .defaults = {.temperature = 0.0, .max_tokens = 64},
                                            .end_tokens = {2},
                                            .only_these_end = only_these_end,
                                            .vocabulary = 2049});
  }

  bool only_these_end = false;

 private:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  TempFolder folder_;
};

std::string Rendered(const TextAssets& text) {
  const auto chosen = text.SelectTemplate("", false);
  REQUIRE(chosen.ok());
  const std::string variables = text.TokenVariablesJson();
  return (*chosen)->Render({.messages_json = "[]", .variables_json = variables}).value();
}

// Behind the base's 2048.
void AddTokens(Folder& folder, const std::vector<std::string>& texts) {
  std::ifstream file(GUILDHALL_SOURCE_DIR "/demo/model/tokenizer.json");
  Json tokenizer = ParseJson(std::string(std::istreambuf_iterator<char>(file), {}), "tokenizer").value();
  Json token = tokenizer["added_tokens"][0];
  int32_t id = 2048;
  for (const std::string& text : texts) {
    token["id"] = id++;
    token["content"] = text;
    tokenizer["added_tokens"].push_back(token);
  }
  folder.Write("tokenizer.json", DumpJson(tokenizer));
}

TEST_CASE("files that say what the base's say are not worth a word") {
  Folder folder;
  CHECK(folder.Read().notes.empty());
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    folder.Copy(name);
  }
  const AdapterText text = folder.Read();
  CHECK(text.notes.empty());
  CHECK(text.assets == nullptr);
  CHECK(text.end_tokens.empty());
}

TEST_CASE("a tokenizer that is the base's but for its look on the disk is the base's") {
  Folder folder;
  folder.Copy("tokenizer_config.json");
  std::ifstream file(GUILDHALL_SOURCE_DIR "/demo/model/tokenizer.json");
  Json tokenizer = ParseJson(std::string(std::istreambuf_iterator<char>(file), {}), "tokenizer").value();
  tokenizer["padding"] =
      Json{{"strategy", "BatchLongest"}, {"direction", "Left"},   {"pad_to_multiple_of", 8}, {"pad_id", 0},
           {"pad_type_id", 0},           {"pad_token", "<|pad|>"}};
  folder.Write("tokenizer.json", DumpJson(tokenizer, 4));
  CHECK(folder.Read().notes.empty());
  CHECK(folder.Read().assets == nullptr);
}

TEST_CASE("a template of the folder's own serves, with the tokens that it names") {
  Folder folder;
  folder.Write("chat_template.jinja", "mine {{ eos_token }}");
  AdapterText text = folder.Read();
  REQUIRE(text.assets != nullptr);
  CHECK(text.assets->tokenizer == Base().tokenizer);
  CHECK(Rendered(*text.assets) == "mine <|end|>");
  REQUIRE(text.notes.size() == 1);
  CHECK_THAT(text.notes[0], Contains("chat template: the folder's own serves"));
  folder.Write("tokenizer_config.json", R"({"eos_token": "<|user|>"})");
  text = folder.Read();
  CHECK(Rendered(*text.assets) == "mine <|user|>");
  const std::vector<int32_t> user{*Base().tokenizer->TokenId("<|user|>")};
  CHECK(text.end_tokens == user);
  REQUIRE(text.notes.size() == 2);
  CHECK_THAT(text.notes[0], Contains("eos_token is \"<|user|>\", the base's is \"<|end|>\": both end"));
  folder.only_these_end = true;
  CHECK(folder.Read().end_tokens.empty());
  CHECK_THAT(folder.Read().notes.at(0), Contains("model.end_tokens is followed"));
}

TEST_CASE("a tokenizer with tokens that the embedding has rows for serves, others are named") {
  Folder folder;
  folder.Copy("tokenizer_config.json");
  AddTokens(folder, {"<|turn|>"});
  const AdapterText text = folder.Read();
  REQUIRE(text.assets != nullptr);
  CHECK(text.assets->tokenizer->Encode("<|turn|>", false).value() == std::vector<int32_t>{2048});
  CHECK(text.assets->templates.size() == Base().templates.size());
  CHECK(text.end_tokens.empty());
  REQUIRE(text.notes.size() == 1);
  CHECK_THAT(text.notes[0], Contains("the folder's own serves") && Contains("\"<|turn|>\" (special)"));
  AddTokens(folder, {"<|turn|>", "<|late|>"});
  CHECK(folder.Read().assets == nullptr);
  CHECK_THAT(folder.Read().notes.at(0), Contains("token 2049, \"<|late|>\" (special), is none of the base's, "
                                                 "whose embedding has rows for ids up to 2048"));
  // What is to be done around a text stands beside it.
  Folder alone;
  AddTokens(alone, {"<|turn|>"});
  CHECK(alone.Read().assets == nullptr);
  CHECK_THAT(alone.Read().notes.at(0), Contains("no tokenizer_config.json says how it is used"));
}

TEST_CASE("a tokenizer that splits text otherwise is another one, whatever its vocabulary") {
  Folder folder;
  folder.Copy("tokenizer_config.json");
  std::ifstream file(GUILDHALL_SOURCE_DIR "/demo/model/tokenizer.json");
  Json tokenizer = ParseJson(std::string(std::istreambuf_iterator<char>(file), {}), "tokenizer").value();
  tokenizer["normalizer"] = Json{{"type", "Lowercase"}};
  folder.Write("tokenizer.json", DumpJson(tokenizer));
  const AdapterText text = folder.Read();
  REQUIRE(text.assets != nullptr);
  CHECK(text.assets->tokenizer->Encode("HELLO", false).value() ==
        Base().tokenizer->Encode("hello", false).value());
  CHECK_THAT(text.notes.at(0), Contains("treats text otherwise"));
}

TEST_CASE("defaults of generation_config.json are taken as transformers means them") {
  Folder folder;
  folder.Write("generation_config.json",
               R"({"do_sample": true, "top_k": 7, "eos_token_id": [2, 9], "penalty_alpha": 0.6})");
  const AdapterText text = folder.Read();
  CHECK(text.defaults.temperature == 1.0);
  CHECK(text.defaults.top_k == 7);
  CHECK(text.end_tokens == std::vector<int32_t>{9});
  REQUIRE(text.notes.size() == 3);
  CHECK_THAT(text.notes[0], Contains("its defaults serve"));
  CHECK_THAT(text.notes[1], Contains("penalty_alpha: not honoured"));
  CHECK_THAT(text.notes[2], Contains("eos_token_id 9 is no end token of the base's: it ends an answer, too"));
  for (const char* wrong :
       {"[", R"({"temperature": 1000, "do_sample": true})", R"({"stop_strings": [""]})"}) {
    folder.Write("generation_config.json", wrong);
    CHECK_FALSE(folder.Read().defaults.top_k.has_value());
    CHECK_THAT(folder.Read().notes.at(0), Contains("generation_config.json: not used ("));
  }
}

TEST_CASE("another vocabulary and broken files are noted and not used") {
  Folder other;
  other.Write("chat_template.jinja", "mine");
  std::ifstream llama(GUILDHALL_SOURCE_DIR "/tests/text/data/tokenizers/llama.json");
  other.Write("tokenizer.json", std::string(std::istreambuf_iterator<char>(llama), {}));
  const AdapterText text = other.Read();
  CHECK(text.assets == nullptr);
  REQUIRE(text.notes.size() == 1);
  CHECK_THAT(text.notes[0], Contains("token 0 is \"<unk>\" (special) in the adapter's folder") &&
                                Contains("\"<|pad|>\" (special) in the base's"));
  Folder broken;
  broken.Write("tokenizer.json", "{");
  broken.Write("generation_config.json", "{}");
  const auto notes = broken.Read().notes;
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], Contains("cannot be read"));
  Folder unusable;
  unusable.Write("chat_template.jinja", "{% if %}");
  CHECK(unusable.Read().assets == nullptr);
  CHECK_THAT(unusable.Read().notes.at(0), Contains("is not usable"));
}

}  // namespace
}  // namespace guildhall
