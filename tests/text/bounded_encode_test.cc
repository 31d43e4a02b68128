// Encoding that ends when nobody waits for it, and that makes no more than its bounds allow.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "tests/text/data.h"
#include "text/tokenizer.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using text_test::DataPath;
using text_test::Json;
using text_test::ReadFile;

std::shared_ptr<const Tokenizer> Load(const std::string& name) {
  return Tokenizer::Load(DataPath("tokenizers/" + name)).value();
}

std::string Words(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += "The guild hall opens at nine and every craft has its table. ";
  return text;
}

TEST_CASE("a long encoding ends soon after its call") {
  const auto tokenizer = Load("byte_level.json");
  CHECK(tokenizer->EncodesInPieces());
  CHECK_FALSE(Load("llama.json")->EncodesInPieces());
  const std::string text = Words(size_t{14} << 20);
  std::atomic<bool> gone = false;
  absl::Time left;
  std::thread client([&] {
    absl::SleepFor(absl::Milliseconds(50));
    left = absl::Now();
    gone = true;
  });
  const EncodeLimits limits{.work = {.cancelled = [&] { return gone.load(); }}};
  const auto ids = tokenizer->Encode(text, false, limits);
  const absl::Time end = absl::Now();
  client.join();
  CHECK(ids.status().code() == StatusCode::kCancelled);
  CHECK(end - left < absl::Seconds(1));  // 50 ms on a machine that is not loaded
  const auto late =
      tokenizer->Encode(text, false, {.work = {.deadline = absl::Now() + absl::Milliseconds(20)}});
  CHECK(late.status().code() == StatusCode::kDeadlineExceeded);
}

TEST_CASE("more ids than asked for are not made") {
  for (const char* name : {"byte_level.json", "llama.json", "metaspace.json"}) {
    const auto tokenizer = Load(name);
    const std::string text = Words(2000);
    const size_t count = tokenizer->Encode(text, true).value().size();
    CAPTURE(name, count);
    CHECK(tokenizer->Encode(text, true, {.max_ids = count}).ok());
    CHECK(tokenizer->Encode(text, true, {.max_ids = count - 1}).status().code() == StatusCode::kOutOfRange);
    CHECK(tokenizer->LeastIds(text) <= count);
    CHECK(tokenizer->LeastIds("") == 0);
  }
  // The first pieces suffice to say so.
  const auto begin = absl::Now();
  const auto over = Load("byte_level.json")->Encode(Words(size_t{14} << 20), false, {.max_ids = 100});
  CHECK(over.status().code() == StatusCode::kOutOfRange);
  CHECK(absl::Now() - begin < absl::Seconds(1));
}

// A tokenizer.json of a good one with other parts.
std::string With(const std::string& pointer, const Json& part) {
  Json file = Json::parse(ReadFile(DataPath("tokenizers/llama.json")));
  file[Json::json_pointer(pointer)] = part;
  return file.dump();
}

Json Replace(const std::string& from, const std::string& to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json Steps(const Json& step, int count) {
  Json steps = Json::array();
  for (int i = 0; i < count; ++i) steps.push_back(step);
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

TEST_CASE("tokenizer files that could make much of little are refused by the part's name") {
  const auto refused = [](const std::string& json, const std::string& expected) {
    const auto tokenizer = Tokenizer::FromJson(json);
    CAPTURE(json.substr(0, 200), expected, tokenizer.status().ToString());
    CHECK(tokenizer.status().code() == StatusCode::kInvalidArgument);
    CHECK(tokenizer.status().message().find(expected) != std::string::npos);
  };
  CHECK(Tokenizer::FromJson(With("/normalizer", Steps(Replace("a", "bcd"), 3))).ok());
  refused(With("/normalizer", Replace("a", std::string(1 << 20, 'b'))), "Replace makes 1048576 bytes");
  refused(With("/normalizer", Replace("", std::string(40, 'b'))), "Replace makes 41 bytes");
  refused(With("/normalizer", {{"type", "Prepend"}, {"prepend", std::string(99, 'x')}}),
          "Prepend makes 100 bytes");
  refused(With("/normalizer", Steps(Replace("a", "aa"), 40)), "more than 256 bytes of one");
  refused(With("/normalizer", Steps({{"type", "NFKC"}}, 4)), "the last is NFKC");
  refused(With("/normalizer", Steps({{"type", "Nmt"}}, 1000)), "more than the limit of 64 steps");
  refused(With("/decoder", Replace("a", std::string(1 << 20, 'b'))), "decoder: Replace puts 1048576 bytes");
  refused(With("/pre_tokenizer", {{"type", "FixedLength"}, {"length", 0}}), "FixedLength");
  const std::string huge = R"({"version":"1.0","model":{"type":"WordPiece","vocab":{"a":0,"u":1},)"
                           R"("unk_token":"u","continuing_subword_prefix":"##",)"
                           R"("max_input_chars_per_word":1000000}})";
  refused(huge, "max_input_chars_per_word is 1000000");
  refused(R"({"version":"1.0","model":{"type":"WordLevel","unk_token":"a","vocab":{"a":0,")" +
              std::string(5000, 'x') + R"(":1}}})",
          "the token with the id 1 has 5000 bytes");
  // The same key twice: the second must not hide behind the first.
  std::string twice = With("/normalizer", nullptr);
  twice.insert(1, R"("normalizer": )" + Replace("a", std::string(1 << 20, 'b')).dump() + ",");
  refused(twice, "duplicate field");
}

TEST_CASE("a table whose declared size is not that of its bytes is refused") {
  const auto message_of = [](const std::string& base64) {
    const Json step = {{"type", "Precompiled"}, {"precompiled_charsmap", base64}};
    const auto tokenizer = Tokenizer::FromJson(With("/normalizer", step));
    CHECK(tokenizer.status().code() == StatusCode::kInvalidArgument);
    return std::string(tokenizer.status().message());
  };
  CHECK(message_of("////fw==").find("declares a trie of 2147483647 bytes, 0") != std::string::npos);
  CHECK(message_of("/P///wAAAAA=").find("declares a trie of 4294967292 bytes, 4") != std::string::npos);
  CHECK(message_of("AAAAAA==").find("declares a trie of 0 bytes") != std::string::npos);
  CHECK(message_of("AAA=").find("no table") != std::string::npos);
  CHECK(message_of("???").find("not base64") != std::string::npos);
}

TEST_CASE("text that normalizing makes many times as long is refused") {
  // Each step is small, the text is made of what they multiply: 8 times in all.
  const auto tokenizer = Tokenizer::FromJson(With("/normalizer", Steps(Replace("a", "aa"), 3)));
  REQUIRE(tokenizer.ok());
  CHECK((*tokenizer)->Encode("aaaa", false).ok());
  const auto grown = (*tokenizer)->Encode(std::string(1 << 20, 'a'), false);
  CHECK(grown.status().code() == StatusCode::kInvalidArgument);
  CHECK(grown.status().message().find("normalizing makes more than") != std::string::npos);
}

}  // namespace
}  // namespace guildhall
