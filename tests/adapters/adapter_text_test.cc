// What is made of tokenizer, template and generation settings in an adapter's folder.
#include "adapters/adapter_text.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

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
  AdapterFolderText Read() const { return ReadAdapterFolderText(folder_.path(), Base()); }

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

TEST_CASE("files that say what the base's say are not worth a word") {
  Folder folder;
  CHECK(folder.Read().notes.empty());
  folder.Copy("tokenizer.json");
  folder.Copy("tokenizer_config.json");
  const AdapterFolderText text = folder.Read();
  CHECK(text.notes.empty());
  CHECK(text.own_templates == nullptr);
  CHECK_FALSE(text.end_token.has_value());
}

TEST_CASE("a template of the folder's own serves, with the tokens that it names") {
  Folder folder;
  folder.Write("chat_template.jinja", "mine {{ eos_token }}");
  AdapterFolderText text = folder.Read();
  REQUIRE(text.own_templates != nullptr);
  CHECK(Rendered(*text.own_templates) == "mine <|end|>");
  REQUIRE(text.notes.size() == 1);
  CHECK_THAT(text.notes[0], Contains("chat template: the folder's own serves"));
  folder.Write("tokenizer_config.json", R"({"eos_token": "<|user|>"})");
  text = folder.Read();
  CHECK(Rendered(*text.own_templates) == "mine <|user|>");
  CHECK(text.end_token == Base().tokenizer->TokenId("<|user|>"));
  REQUIRE(text.notes.size() == 2);
  CHECK_THAT(text.notes[0], Contains("eos_token is \"<|user|>\", the base's is \"<|end|>\": both end"));
}

TEST_CASE("another vocabulary, broken files and generation settings are noted and not used") {
  Folder other;
  other.Write("chat_template.jinja", "mine");
  std::ifstream llama(GUILDHALL_SOURCE_DIR "/tests/text/data/tokenizers/llama.json");
  other.Write("tokenizer.json", std::string(std::istreambuf_iterator<char>(llama), {}));
  const AdapterFolderText text = other.Read();
  CHECK(text.own_templates == nullptr);
  REQUIRE(text.notes.size() == 1);
  CHECK_THAT(text.notes[0], Contains("token 0 is \"<unk>\" (special) in the adapter's folder") &&
                                Contains("\"<|pad|>\" (special) in the base's"));
  Folder broken;
  broken.Write("tokenizer.json", "{");
  broken.Write("generation_config.json", "{}");
  const auto notes = broken.Read().notes;
  REQUIRE(notes.size() == 2);
  CHECK_THAT(notes[0], Contains("generation_config.json: not used"));
  CHECK_THAT(notes[1], Contains("cannot be read"));
  Folder unusable;
  unusable.Write("chat_template.jinja", "{% if %}");
  CHECK(unusable.Read().own_templates == nullptr);
  CHECK_THAT(unusable.Read().notes.at(0), Contains("is not usable"));
}

}  // namespace
}  // namespace guildhall
