// The text of a stream is that of the whole, after every token.
#include "text/incremental_decoder.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/text/data.h"

namespace guildhall {
namespace {

using text_test::DataPath;
using text_test::Json;
using text_test::ReadJson;
using Ids = std::vector<int32_t>;

bool IsWholeUtf8(std::string_view text) {
  // A strict parser of JSON strings is a UTF-8 check that is not ours.
  return Json::accept(Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace)) &&
         Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::ignore).size() ==
             Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace).size();
}

std::optional<unsigned char> ByteOf(const Tokenizer& tokenizer, int32_t id) {
  const auto text = tokenizer.TokenText(id);
  if (!text.ok() || text->size() != 6 || text->compare(0, 3, "<0x") != 0) return std::nullopt;
  return static_cast<unsigned char>(std::stoi(text->substr(3, 2), nullptr, 16));
}

// How many of `bytes` from `at` on are one character; 0: none begins there.
size_t CharacterAt(const std::vector<unsigned char>& bytes, size_t at) {
  for (size_t size = 1; size <= 4 && at + size <= bytes.size(); ++size) {
    const std::string text(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                           bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
    if (IsWholeUtf8(text)) return size;
  }
  return 0;
}

// The ids with each byte of a run that is part of no character replaced by those of U+FFFD: the whole makes
// replacement characters of all of such a run, a stream has shown its characters by then.
Ids WithoutBadBytes(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool skip_special) {
  const auto token = [&](const char* text) { return tokenizer.TokenId(text).value_or(0); };
  Ids good;
  std::vector<unsigned char> run;
  Ids run_ids;
  const auto end_run = [&] {
    for (size_t at = 0; at < run.size();) {
      const size_t size = CharacterAt(run, at);
      for (size_t i = 0; i < size; ++i) good.push_back(run_ids[at + i]);
      if (size == 0) good.insert(good.end(), {token("<0xEF>"), token("<0xBF>"), token("<0xBD>")});
      at += std::max<size_t>(size, 1);
    }
    run.clear();
    run_ids.clear();
  };
  for (const int32_t id : ids) {
    if (!tokenizer.TokenText(id).ok() || (skip_special && tokenizer.IsSpecial(id))) continue;
    const auto byte = ByteOf(tokenizer, id);
    if (byte) {
      run.push_back(*byte);
      run_ids.push_back(id);
      continue;
    }
    end_run();
    good.push_back(id);
  }
  end_run();
  return good;
}

// After each token: what was given so far plus Finish is Decode of the ids so far, and nothing given is taken
// back.
void CheckEveryPrefix(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool skip_special) {
  for (size_t size = 0; size <= ids.size(); ++size) {
    CAPTURE(size, skip_special);
    IncrementalDecoder decoder(tokenizer, skip_special);
    std::string text;
    for (const int32_t id : ids.first(size)) {
      const auto piece = decoder.Append(id);
      REQUIRE(piece.ok());
      REQUIRE(IsWholeUtf8(*piece));
      text += *piece;
    }
    text += decoder.Finish().value();
    const bool bytes = tokenizer.TokenId("<0xEF>").has_value();
    const Ids good = bytes ? WithoutBadBytes(tokenizer, ids.first(size), skip_special)
                           : Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(size));
    REQUIRE(text == tokenizer.Decode(good, skip_special).value());
  }
}

void CheckDecodings(const Tokenizer& tokenizer, const Json& decodings) {
  for (const Json& decoding : decodings) {
    const Ids ids = decoding["ids"].get<Ids>();
    CAPTURE(ids);
    CHECK(tokenizer.Decode(ids, false).value() == decoding["text"].get<std::string>());
    CHECK(tokenizer.Decode(ids, true).value() == decoding["plain"].get<std::string>());
    CheckEveryPrefix(tokenizer, ids, false);
    CheckEveryPrefix(tokenizer, ids, true);
  }
}

TEST_CASE("streams equal the whole on every prefix for the kinds of tokenizers that models use") {
  for (const Json& golden : ReadJson("tokenizer_goldens.json")) {
    const std::string name = golden["tokenizer"];
    CAPTURE(name);
    const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/" + name)).value();
    CheckDecodings(*tokenizer, golden["decodings"]);
    for (const Json& encoding : golden["encodings"]) {
      const Ids ids = encoding["special"].get<Ids>();
      CAPTURE(encoding["text"].get<std::string>());
      CheckEveryPrefix(*tokenizer, ids, ids.size() % 2 == 0);
    }
  }
}

TEST_CASE("streams equal the whole on every prefix for odd chains of decoders") {
  size_t chains = 0;
  for (const Json& golden : ReadJson("decoder_goldens.json")) {
    CAPTURE(golden["name"].get<std::string>());
    const auto source = golden["tokenizer"].get<std::string>();
    Json json = Json::parse(source);
    Json& vocabulary = json["model"]["vocab"];
    // What a bad byte is compared with.
    for (const char* byte : {"<0xEF>", "<0xBF>", "<0xBD>"}) {
      const bool wanted = source.find("ByteFallback") != std::string::npos && !vocabulary.contains(byte);
      if (wanted) vocabulary[byte] = 1000 + vocabulary.size();
    }
    const auto tokenizer = Tokenizer::FromJson(json.dump()).value();
    CheckDecodings(*tokenizer, golden["decodings"]);
    ++chains;
  }
  CHECK(chains >= 12);
}

// Prompt and answer joined are the text of all ids, wherever the prompt ends.
void CheckEveryPrompt(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool skip_special) {
  const std::string whole = tokenizer.Decode(ids, skip_special).value();
  for (size_t size = 0; size <= ids.size(); ++size) {
    CAPTURE(size, skip_special);
    const std::string before = tokenizer.Decode(ids.first(size), skip_special).value();
    // Half a character is no text of a prompt.
    if (whole.find("\xef\xbf\xbd") != std::string::npos) continue;
    if (before.find("\xef\xbf\xbd") != std::string::npos) continue;
    // A chain that replaces text across tokens changes what the prompt was; no known model has one.
    if (whole.compare(0, before.size(), before) != 0) continue;
    IncrementalDecoder decoder(tokenizer, skip_special, ids.first(size));
    std::string answer;
    for (const int32_t id : ids.subspan(size)) answer += decoder.Append(id).value();
    answer += decoder.Finish().value();
    REQUIRE(before + answer == whole);
  }
}

TEST_CASE("an answer goes on where its prompt ends, for every kind of tokenizer") {
  for (const Json& golden : ReadJson("tokenizer_goldens.json")) {
    const std::string name = golden["tokenizer"];
    CAPTURE(name);
    const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/" + name)).value();
    for (const Json& encoding : golden["encodings"]) {
      const Ids ids = encoding["special"].get<Ids>();
      if (ids.size() > 200) continue;
      CAPTURE(encoding["text"].get<std::string>());
      CheckEveryPrompt(*tokenizer, ids, true);
      CheckEveryPrompt(*tokenizer, ids, false);
    }
  }
  for (const Json& golden : ReadJson("decoder_goldens.json")) {
    CAPTURE(golden["name"].get<std::string>());
    const auto tokenizer = Tokenizer::FromJson(golden["tokenizer"].get<std::string>()).value();
    for (const Json& decoding : golden["decodings"]) {
      CheckEveryPrompt(*tokenizer, decoding["ids"].get<Ids>(), true);
    }
  }
}

TEST_CASE("a long prompt costs its last tokens, and a character that it leaves unfinished is the answer's") {
  const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/llama.json")).value();
  const auto token = [&](const char* name) { return tokenizer->TokenId(name).value(); };
  Ids prompt(1'000'000, token("e"));
  prompt.push_back(token("<0xC3>"));
  prompt.insert(prompt.end(), 100, token("</s>"));  // not shown
  IncrementalDecoder decoder(*tokenizer, true, prompt);
  CHECK(decoder.Append(token("<0xA9>")).value() == "\xc3\xa9");
}

TEST_CASE("text comes as soon as it is final") {
  const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/byte_level.json")).value();
  const Ids ids = tokenizer->Encode("ab \xf0\x9f\x99\x82!", false).value();
  IncrementalDecoder decoder(*tokenizer);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(decoder.Append(id).value());
  // The face has four bytes, which no merge of this vocabulary joins to one token: none of them shows alone.
  REQUIRE(ids.size() >= 5);
  size_t with_face = 0;
  for (const std::string& piece : pieces) {
    CHECK(piece.find("\xef\xbf\xbd") == std::string::npos);
    with_face += piece.find("\xf0\x9f\x99\x82") == std::string::npos ? 0 : 1;
  }
  CHECK(with_face == 1);
  CHECK(pieces.front() == "ab");
  CHECK(pieces.back() == "!");
  CHECK(decoder.Finish().value().empty());
}

TEST_CASE("a character of byte tokens comes when it is complete, whatever follows") {
  const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/llama.json")).value();
  const auto byte = [&](const char* name) { return tokenizer->TokenId(name).value(); };
  IncrementalDecoder decoder(*tokenizer);
  const int32_t word = tokenizer->TokenId("e").value();
  CHECK(decoder.Append(word).value() == "e");
  CHECK(decoder.Append(byte("<0xC3>")).value().empty());
  CHECK(decoder.Append(byte("<0xA9>")).value() == "\xc3\xa9");
  CHECK(decoder.Append(word).value() == "e");
  // A bad byte becomes a replacement character as soon as it is known to be one, and no other byte with it.
  CHECK(decoder.Append(byte("<0xC3>")).value().empty());
  CHECK(decoder.Append(byte("<0xC3>")).value() == "\xef\xbf\xbd");
  CHECK(decoder.Append(byte("<0x41>")).value() ==
        "\xef\xbf\xbd"
        "A");
  CHECK(decoder.Append(word).value() == "e");
}

TEST_CASE("a token costs the same whatever came before it") {
  const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/llama.json")).value();
  const Ids ids = tokenizer->Encode("The guild hall \xe4\xbb\x8a\xe5\xa4\xa9 opens at nine. ", false).value();
  IncrementalDecoder decoder(*tokenizer);
  const auto seconds_for = [&](int rounds) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < rounds; ++i) {
      for (const int32_t id : ids) REQUIRE(decoder.Append(id).ok());
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  seconds_for(500);
  const double early = seconds_for(2000);
  seconds_for(20000);
  const double late = seconds_for(2000);
  // A stream that decodes all it has again would be about ten times slower by now.
  CHECK(late < 5 * early + 0.05);
}

TEST_CASE("ids without a token add nothing and negative ones are refused") {
  const auto tokenizer = Tokenizer::Load(DataPath("tokenizers/byte_level.json")).value();
  IncrementalDecoder decoder(*tokenizer);
  CHECK(decoder.Append(2147483647).value().empty());
  CHECK(decoder.Append(-1).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(decoder.Append(tokenizer->TokenId("a").value()).value() == "a");
  IncrementalDecoder moved = std::move(decoder);
  CHECK(moved.Append(tokenizer->TokenId("b").value()).value() == "b");
}

TEST_CASE("a stream keeps its tokenizer alive") {
  auto tokenizer = Tokenizer::Load(DataPath("tokenizers/byte_level.json")).value();
  const int32_t id = tokenizer->TokenId("a").value();
  IncrementalDecoder decoder(*tokenizer);
  tokenizer.reset();
  CHECK(decoder.Append(id).value() == "a");
}

}  // namespace
}  // namespace guildhall
