#include "text/folder.h"

#include <catch2/catch.hpp>

#include "tests/text/data.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using text_test::DataPath;
using text_test::ReadFile;
using text_test::ScratchFolder;
using text_test::WriteFile;

// BOS and EOS of the small tokenizers.
constexpr char kTokens[] = R"("bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false})";

TextAssets Load(const ScratchFolder& folder) {
  auto assets = LoadTextAssets(folder.path());
  INFO(assets.status().ToString());
  REQUIRE(assets.ok());
  return *std::move(assets);
}

std::string RenderDefault(const TextAssets& assets, const std::string& name = "", bool tools = false) {
  const auto selected = assets.SelectTemplate(name, tools);
  INFO(selected.status().ToString());
  REQUIRE(selected.ok());
  const std::string variables = assets.TokenVariablesJson();
  return (*selected)->Render({.messages_json = "[]", .variables_json = variables}).value();
}

TEST_CASE("an empty folder is fine: it serves token ids") {
  const ScratchFolder folder;
  const TextAssets assets = Load(folder);
  CHECK(assets.tokenizer == nullptr);
  CHECK_FALSE(assets.bos.has_value());
  CHECK(assets.TokenVariablesJson() == "{}");
  CHECK(assets.SelectTemplate("", false).status().code() == StatusCode::kNotFound);
}

TEST_CASE("tokens are read as text, as objects, and from the older map") {
  const ScratchFolder folder;
  WriteFile(folder.path() / "tokenizer.json", ReadFile(DataPath("tokenizers/llama.json")));
  WriteFile(folder.path() / "tokenizer_config.json", std::string("{") + kTokens + R"(, "pad_token": null})");
  WriteFile(folder.path() / "special_tokens_map.json",
            R"({"eos_token": "not this", "unk_token": "<unk>", "pad_token": "[no such]"})");
  WriteFile(folder.path() / "config.json", R"({"model_type": "llama", "vocab_size": 737})");
  const TextAssets assets = Load(folder);
  REQUIRE(assets.tokenizer != nullptr);
  CHECK(assets.bos->text == "<s>");
  CHECK(assets.bos->id == assets.tokenizer->TokenId("<s>"));
  // The map counts where tokenizer_config.json does not list the tokens, as in transformers.
  CHECK(assets.eos->text == "not this");
  CHECK(assets.unk->id == assets.tokenizer->TokenId("<unk>"));
  CHECK(assets.pad->text == "[no such]");
  CHECK_FALSE(assets.pad->id.has_value());
  CHECK(text_test::Json::parse(assets.TokenVariablesJson())["eos_token"] == "not this");
  WriteFile(folder.path() / "tokenizer_config.json",
            std::string("{") + kTokens + R"(, "added_tokens_decoder": {}})");
  CHECK(text_test::Json::parse(Load(folder).TokenVariablesJson())["eos_token"] == "</s>");
}

TEST_CASE("add_bos_token and add_eos_token rule what encoding adds") {
  const ScratchFolder folder;
  WriteFile(folder.path() / "tokenizer.json", ReadFile(DataPath("tokenizers/llama.json")));
  const auto ids_with = [&](const std::string& flags) {
    WriteFile(folder.path() / "tokenizer_config.json", std::string("{") + kTokens + flags + "}");
    return Load(folder).tokenizer->Encode("a", true).value();
  };
  const TextAssets plain = [&] {
    WriteFile(folder.path() / "tokenizer_config.json", "{}");
    return Load(folder);
  }();
  const std::vector<int32_t> bare = plain.tokenizer->Encode("a", false).value();
  const int32_t bos = plain.tokenizer->TokenId("<s>").value();
  const int32_t eos = plain.tokenizer->TokenId("</s>").value();
  REQUIRE(bare.size() == 1);
  CHECK(ids_with("") == std::vector<int32_t>{bos, bare[0]});  // what tokenizer.json says
  CHECK(ids_with(R"(, "add_bos_token": false)") == bare);
  CHECK(ids_with(R"(, "add_bos_token": true, "add_eos_token": true)") ==
        std::vector<int32_t>{bos, bare[0], eos});
  CHECK(ids_with(R"(, "add_eos_token": true)") == std::vector<int32_t>{bare[0], eos});
  WriteFile(folder.path() / "tokenizer_config.json", R"({"bos_token": "<absent>", "add_bos_token": true})");
  const auto absent = LoadTextAssets(folder.path());
  CHECK(absent.status().code() == StatusCode::kInvalidArgument);
  CHECK(absent.status().message().find("<absent>") != std::string::npos);
}

TEST_CASE("templates are found in each place that transformers writes them to") {
  const ScratchFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    WriteFile(folder.path() / name, text);
  };
  write("tokenizer_config.json",
        std::string("{") + kTokens + R"(, "chat_template": "config {{ bos_token }}"})");
  CHECK(RenderDefault(Load(folder)) == "config <s>");
  write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "default", "template": "listed"}, {"name": "tool_use", "template": "tools"}]})");
  CHECK(RenderDefault(Load(folder)) == "listed");
  CHECK(RenderDefault(Load(folder), "", true) == "tools");
  CHECK(RenderDefault(Load(folder), "default", true) == "listed");
  write("chat_template.json", R"({"chat_template": "legacy"})");
  CHECK(RenderDefault(Load(folder)) == "legacy");
  write("chat_template.jinja", "file {{ eos_token }}\n");
  CHECK(RenderDefault(Load(folder)) == "file ");
  write("additional_chat_templates/rag.jinja", "rag");
  write("additional_chat_templates/notes.txt", "no template");
  const TextAssets assets = Load(folder);
  CHECK(RenderDefault(assets, "rag") == "rag");
  CHECK(assets.templates.size() == 3);
  const auto unknown = assets.SelectTemplate("banana", false);
  CHECK(unknown.status().code() == StatusCode::kNotFound);
  CHECK(unknown.status().message().find("banana") != std::string::npos);
}

TEST_CASE("a template that does not compile is an error when it is asked for, not before") {
  const ScratchFolder folder;
  WriteFile(folder.path() / "chat_template.jinja", "{% if %}");
  const TextAssets assets = Load(folder);
  CHECK(assets.templates.at("default").chat_template == nullptr);
  CHECK(assets.SelectTemplate("", false).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("broken files are refused by name") {
  const auto refused = [](const std::string& name, const std::string& text, const std::string& expected) {
    const ScratchFolder folder;
    WriteFile(folder.path() / name, text);
    const auto assets = LoadTextAssets(folder.path());
    CAPTURE(name, assets.status().ToString());
    CHECK(assets.status().code() == StatusCode::kInvalidArgument);
    CHECK(assets.status().message().find(name) != std::string::npos);
    CHECK(assets.status().message().find(expected) != std::string::npos);
  };
  refused("tokenizer.json", "{", "not a tokenizer.json");
  refused("tokenizer_config.json", "[]", "expected a JSON object");
  refused("tokenizer_config.json", R"({"bos_token": 1})", "bos_token: expected a string");
  refused("tokenizer_config.json", R"({"bos_token": {"text": "x"}})", "bos_token: expected a string");
  refused("tokenizer_config.json", R"({"chat_template": 3})", "chat_template: expected a string");
  refused("tokenizer_config.json", R"({"chat_template": [{"name": "x"}]})",
          "chat_template: expected entries");
  refused("tokenizer_config.json", std::string(1'000'000, '['), "recursion limit");
  refused("special_tokens_map.json", "nonsense", "not valid JSON");
  refused("chat_template.jinja", "\xff", "expected UTF-8");
  CHECK(LoadTextAssets("/nonexistent").status().code() == StatusCode::kNotFound);
}

TEST_CASE("what was not downloaded is called what it is, whichever file it is") {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 88\n";
  for (const std::string name :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "chat_template.jinja", "chat_template.json", "additional_chat_templates/tool_use.jinja"}) {
    const ScratchFolder folder;
    std::filesystem::create_directory(folder.path() / "additional_chat_templates");
    const auto refused = [&](const std::string& file, const std::string& text, const std::string& what) {
      WriteFile(folder.path() / file, text);
      const std::string message(LoadTextAssets(folder.path()).status().message());
      INFO(file << ": " << message);
      CHECK(message.find(name) != std::string::npos);
      CHECK(message.find(what) != std::string::npos);
      std::filesystem::remove(folder.path() / file);
    };
    refused(name, pointer, "Git LFS pointer");
    refused(name, "<!DOCTYPE html>\n<html><title>Sign in</title></html>", "web page");
    refused(name, "", "empty");
    refused(name + ".incomplete", "half", "the download was not completed");
    CHECK(LoadTextAssets(folder.path()).ok());
  }
}

}  // namespace
}  // namespace guildhall
