// The tokenizers of real models, which scripts/fetch_tokenizers puts under build/tokenizers (too large to
// commit). Skipped, with the reason, where they are absent.
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/text/data.h"
#include "text/folder.h"
#include "text/incremental_decoder.h"

namespace guildhall {
namespace {

using text_test::Json;
using text_test::ReadJson;
using Ids = std::vector<int32_t>;

std::filesystem::path FolderOf(const std::string& name) {
  return std::filesystem::path(GUILDHALL_SOURCE_DIR) / "build/tokenizers" / name;
}

void CheckModel(const Json& golden) {
  const auto loaded = LoadTextAssets(FolderOf(golden["name"]));
  INFO(loaded.status().ToString());
  REQUIRE(loaded.ok());
  const Tokenizer& tokenizer = *loaded->tokenizer;
  CHECK(loaded->eos->text == golden["eos"].get<std::string>());
  for (const Json& encoding : golden["encodings"]) {
    const std::string text = encoding["text"];
    const Ids ids = encoding["ids"].get<Ids>();
    CAPTURE(golden["name"].get<std::string>(), text);
    CHECK(tokenizer.Encode(text, false).value() == ids);
    CHECK(tokenizer.Encode(text, true).value() == encoding["special"].get<Ids>());
    CHECK(tokenizer.Decode(ids, false).value() == encoding["decoded"].get<std::string>());
    for (size_t size = 0; size <= ids.size() && size < 40; ++size) {
      IncrementalDecoder decoder(tokenizer, false);
      std::string streamed;
      for (size_t i = 0; i < size; ++i) streamed += decoder.Append(ids[i]).value();
      streamed += decoder.Finish().value();
      REQUIRE(streamed == tokenizer.Decode(std::span(ids).first(size), false).value());
    }
  }
}

TEST_CASE("tokenizers of real models give the ids that transformers gives") {
  for (const Json& golden : ReadJson("real_tokenizer_goldens.json")) {
    const std::string name = golden["name"];
    if (!std::filesystem::exists(FolderOf(name) / "tokenizer.json")) {
      WARN("skipped " << name << ": run scripts/fetch_tokenizers to fetch it");
      continue;
    }
    CheckModel(golden);
  }
}

TEST_CASE("long texts of one kind do not stall the patterns of real models") {
  const auto folder = FolderOf("qwen3");
  if (!std::filesystem::exists(folder / "tokenizer.json")) {
    WARN("skipped: run scripts/fetch_tokenizers to fetch qwen3");
    return;
  }
  const auto tokenizer = LoadTextAssets(folder).value().tokenizer;
  for (const char* unit : {"a", " ", "\n", " \n", "7", "\xf0\x9f\x99\x82", "'s", "!"}) {
    std::string text;
    while (text.size() < 500'000) text += unit;
    CAPTURE(unit);
    CHECK(tokenizer->Decode(tokenizer->Encode(text, false).value(), false).value() == text);
  }
}

}  // namespace
}  // namespace guildhall
