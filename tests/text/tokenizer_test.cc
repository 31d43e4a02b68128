// Tokenizers against what the Python package gives (tests/text/make/small_tokenizers.py), and broken ones.
#include "text/tokenizer.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/text/data.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using text_test::DataPath;
using text_test::Json;
using text_test::ReadFile;
using text_test::ReadJson;
using Ids = std::vector<int32_t>;

std::shared_ptr<const Tokenizer> Load(const std::string& name) {
  auto tokenizer = Tokenizer::Load(DataPath("tokenizers/" + name));
  INFO(tokenizer.status().ToString());
  REQUIRE(tokenizer.ok());
  return *tokenizer;
}

TEST_CASE("encoding and decoding are those of the Python package") {
  for (const Json& golden : ReadJson("tokenizer_goldens.json")) {
    const std::string name = golden["tokenizer"];
    const auto tokenizer = Load(name);
    CHECK(tokenizer->VocabularySize() == golden["size"].get<int32_t>());
    for (const Json& encoding : golden["encodings"]) {
      const std::string text = encoding["text"];
      CAPTURE(name, text);
      CHECK(tokenizer->Encode(text, false).value() == encoding["ids"].get<Ids>());
      CHECK(tokenizer->Encode(text, true).value() == encoding["special"].get<Ids>());
      CHECK(tokenizer->Decode(encoding["ids"].get<Ids>(), false).value() ==
            encoding["decoded"].get<std::string>());
    }
    for (const Json& decoding : golden["decodings"]) {
      const Ids ids = decoding["ids"].get<Ids>();
      CAPTURE(name, ids);
      CHECK(tokenizer->Decode(ids, false).value() == decoding["text"].get<std::string>());
      CHECK(tokenizer->Decode(ids, true).value() == decoding["plain"].get<std::string>());
    }
  }
}

TEST_CASE("tokens, ids and special tokens are told") {
  const auto tokenizer = Load("byte_level.json");
  const auto id = tokenizer->TokenId("<|im_end|>");
  REQUIRE(id.has_value());
  CHECK(tokenizer->IsSpecial(*id));
  CHECK(tokenizer->TokenText(*id).value() == "<|im_end|>");
  const auto think = tokenizer->TokenId("<think>");
  REQUIRE(think.has_value());
  CHECK_FALSE(tokenizer->IsSpecial(*think));
  CHECK_FALSE(tokenizer->TokenId("no such token").has_value());
  CHECK_FALSE(tokenizer->TokenId("\xff").has_value());
  CHECK_FALSE(tokenizer->TokenId("").has_value());
  CHECK_FALSE(tokenizer->IsSpecial(-1));
  CHECK(tokenizer->TokenText(1 << 30).status().code() == StatusCode::kNotFound);
  CHECK(tokenizer->TokenText(-1).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("ids without a token decode to nothing, negative ones are refused") {
  const auto tokenizer = Load("llama.json");
  CHECK(tokenizer->Decode(Ids{}, false).value().empty());
  CHECK(tokenizer->Decode(Ids{2147483647, tokenizer->VocabularySize()}, false).value().empty());
  const auto negative = tokenizer->Decode(Ids{5, -1}, false);
  CHECK(negative.status().code() == StatusCode::kInvalidArgument);
  CHECK(negative.status().message() == "token id -1: expected 0 or more");
}

TEST_CASE("text that is not UTF-8 is refused with the place") {
  const auto tokenizer = Load("byte_level.json");
  for (const std::string text :
       {"abc\xff", "abc\xc3", "abc\xed\xa0\x80", "abc\xf4\x90\x80\x80", "abc\xc0\x80"}) {
    const auto ids = tokenizer->Encode(text, false);
    CHECK(ids.status().code() == StatusCode::kInvalidArgument);
    CHECK(ids.status().message().find("offset 3 of") != std::string::npos);
  }
  const std::string nul("a\0b", 3);
  CHECK(tokenizer->Decode(tokenizer->Encode(nul, false).value(), false).value() == nul);
}

TEST_CASE("text over the limit is refused before any work") {
  const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/byte_level.json"), 10);
  REQUIRE(tokenizer.ok());
  CHECK((*tokenizer)->Encode("0123456789", false).ok());
  const auto longer = (*tokenizer)->Encode("0123456789a", false);
  CHECK(longer.status().code() == StatusCode::kResourceExhausted);
  CHECK(longer.status().message() == "text: 11 bytes, more than the limit of 10");
}

TEST_CASE("a long text of one kind takes its time in proportion") {
  const auto tokenizer = Load("byte_level.json");
  const auto fallback = Load("llama.json");
  for (const char* unit : {"a", " ", "\n", "7", "\xc3\xa9", "\xf0\x9f\x99\x82", "<", "'"}) {
    std::string text;
    while (text.size() < 200'000) text += unit;
    CAPTURE(unit);
    CHECK(tokenizer->Decode(tokenizer->Encode(text, false).value(), false).value() == text);
    CHECK(fallback->Decode(fallback->Encode(text, false).value(), false).value() == text);
  }
}

TEST_CASE("broken tokenizer files are errors and nothing worse") {
  const std::string good = ReadFile(DataPath("tokenizers/byte_level.json"));
  const auto code_of = [](const std::string& json) { return Tokenizer::FromJson(json).status().code(); };
  CHECK(code_of(good) == StatusCode::kOk);
  for (const std::string& json :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"), std::string("not json"),
        std::string("\xff\xfe"), std::string("{\"model\": 1}"), std::string(1'000'000, '['),
        std::string("{\"a\":") + std::string(1'000'000, '{'),
        std::string(R"({"version":"1.0","model":{"type":"BPE","vocab":{"a":4294967296},"merges":[]}})"),
        std::string(R"({"version":"1.0","model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})"),
        std::string(R"({"version":"1.0","model":{"type":"BPE","vocab":{},"merges":[["a","b"]]}})")}) {
    CAPTURE(json.substr(0, 80));
    CHECK(code_of(json) == StatusCode::kInvalidArgument);
  }
  for (size_t size = 0; size + 2 < good.size(); size += 97) {
    CHECK(code_of(good.substr(0, size)) == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("huge ids are refused by name and allocate nothing in proportion") {
  for (const char* id : {"4294967295", "2147483648", "16777216"}) {
    const std::string json =
        std::string(R"({"version":"1.0","model":{"type":"WordLevel","vocab":{"a":0,"b":)") + id +
        R"(},"unk_token":"a"}})";
    const auto tokenizer = Tokenizer::FromJson(json);
    CHECK(tokenizer.status().code() == StatusCode::kInvalidArgument);
    CHECK(tokenizer.status().message().find(id) != std::string::npos);
  }
  CHECK(Tokenizer::FromJson(
            R"({"version":"1.0","model":{"type":"WordLevel","vocab":{"a":16777215},"unk_token":"a"}})")
            .ok());
}

TEST_CASE("every change of one byte gives a tokenizer or an error") {
  std::string json = ReadFile(DataPath("tokenizers/llama.json"));
  size_t loaded = 0;
  for (size_t i = 0; i < json.size(); i += 61) {
    const char kept = json[i];
    for (const char other : {'\0', '"', '9', '}', '\xff'}) {
      json[i] = other;
      const auto tokenizer = Tokenizer::FromJson(json);
      if (!tokenizer.ok()) continue;
      ++loaded;
      // What it gives does not matter, only that it comes back.
      if (const auto ids = (*tokenizer)->Encode("Hello <s> \xf0\x9f\x99\x82 world", true); ids.ok()) {
        (void)(*tokenizer)->Decode(*ids, false);
      }
    }
    json[i] = kept;
  }
  CHECK(loaded > 0);
}

TEST_CASE("files that are no regular files are refused") {
  CHECK(Tokenizer::Load("/nonexistent/tokenizer.json").status().code() == StatusCode::kNotFound);
  CHECK(Tokenizer::Load("/dev/zero").status().code() == StatusCode::kInvalidArgument);
  CHECK(Tokenizer::Load("/tmp").status().code() == StatusCode::kInvalidArgument);
  CHECK_FALSE(Tokenizer::Load(std::string("a\0b", 3)).ok());
  CHECK_FALSE(Tokenizer::Load("\xff").ok());
}

TEST_CASE("one tokenizer serves many threads at once") {
  const auto tokenizer = Load("byte_level.json");
  const std::string text = "The guild hall opens at nine \xf0\x9f\x99\x82 and every craft has its own table.";
  const Ids expected = tokenizer->Encode(text, true).value();
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto ids = tokenizer->Encode(text, true);
        if (!ids.ok() || *ids != expected || tokenizer->Decode(*ids, false).value() != text) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace guildhall
