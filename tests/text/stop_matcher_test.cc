#include "text/stop_matcher.h"

#include <catch2/catch.hpp>
#include <random>

namespace guildhall {
namespace {

struct Shown {
  std::string text;
  std::optional<size_t> stop;
};

StopMatcher Make(const std::vector<std::string>& stops, bool include = false) {
  auto matcher = StopMatcher::Create(stops, include);
  REQUIRE(matcher.ok());
  return *std::move(matcher);
}

Shown Run(StopMatcher matcher, const std::vector<std::string>& pieces) {
  Shown shown;
  for (const std::string& piece : pieces) {
    const StopMatcher::Output output = matcher.Append(piece);
    shown.text += output.text;
    if (output.stop) shown.stop = output.stop;
  }
  const StopMatcher::Output rest = matcher.Finish();
  shown.text += rest.text;
  CHECK_FALSE(rest.stop.has_value());
  return shown;
}

// The definition, the slow way: the match that ends first, of those the longest, of equal ones the first.
Shown Reference(const std::vector<std::string>& stops, bool include, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<size_t> best;
    for (size_t i = 0; i < stops.size(); ++i) {
      const bool here =
          end >= stops[i].size() && text.compare(end - stops[i].size(), stops[i].size(), stops[i]) == 0;
      if (here && (!best || stops[i].size() > stops[*best].size())) best = i;
    }
    if (best) return {text.substr(0, include ? end : end - stops[*best].size()), best};
  }
  return {text, std::nullopt};
}

TEST_CASE("a stop string ends the text and does not show") {
  const Shown shown = Run(Make({"END"}), {"some te", "xt EN", "D and more", " later"});
  CHECK(shown.text == "some text ");
  CHECK(shown.stop == 0u);
}

TEST_CASE("include_stop shows it, and nothing behind it") {
  const Shown shown = Run(Make({"END"}, true), {"a E", "N", "Dx"});
  CHECK(shown.text == "a END");
  CHECK(shown.stop == 0u);
}

TEST_CASE("what may begin a stop string is held, the rest is not") {
  StopMatcher matcher = Make({"\n\nUser:"});
  CHECK(matcher.Append("line\n").text == "line");
  CHECK(matcher.Append("\nUs").text.empty());
  CHECK(matcher.Append("x").text == "\n\nUsx");
  CHECK(matcher.Append("y\n\n\n").text == "y\n");
  CHECK(matcher.Append("User").text.empty());
  CHECK_FALSE(matcher.stopped());
  CHECK(matcher.Append(":").stop == 0u);
  CHECK(matcher.stopped());
  CHECK(matcher.Append("ignored").text.empty());
  CHECK(matcher.Finish().text.empty());
}

TEST_CASE("a stop string that ends before it counts is text, one that begins there is not") {
  StopMatcher matcher = Make({"ab", "xyz"});
  CHECK(matcher.Append("1ab", false).text == "1");
  CHECK(matcher.Append("2x", false).text == "ab2");
  CHECK(matcher.Append("y", false).text.empty());
  const StopMatcher::Output found = matcher.Append("z and more", true);
  CHECK(found.stop == 1u);
  CHECK(found.text.empty());
}

TEST_CASE("what was held is shown when the stream ends without a stop") {
  CHECK(Run(Make({"END"}), {"text E", "N"}).text == "text EN");
  CHECK(Run(Make({}), {"a", "b"}).text == "ab");
}

TEST_CASE("characters are never cut, even where a stop string shares a first byte") {
  // U+00E9 and U+00E8 share the byte C3.
  StopMatcher matcher = Make({"\xc3\xa9"});
  CHECK(matcher
            .Append("a\xc3\xa8"
                    "b")
            .text ==
        "a\xc3\xa8"
        "b");
  CHECK(matcher.Append("\xc3\xa9").stop == 0u);
}

TEST_CASE("the first, then the longest, then the first named match counts") {
  CHECK(Run(Make({"bc", "abcd"}), {"xabcd"}).stop == 0u);
  CHECK(Run(Make({"c", "abc", "abc"}), {"xabc"}).stop == 1u);
  CHECK(Run(Make({"c", "abc"}), {"xabc"}).text == "x");
}

TEST_CASE("stop strings out of bounds are refused by index") {
  CHECK(StopMatcher::Create({"a", ""}).status().message() == "stop[1]: an empty string");
  CHECK_FALSE(StopMatcher::Create({std::string(4097, 'a')}).ok());
  CHECK_FALSE(StopMatcher::Create(std::vector<std::string>(65, "a")).ok());
  CHECK(StopMatcher::Create(std::vector<std::string>(64, std::string(4096, 'a'))).ok());
}

TEST_CASE("however the text is cut, the result is that of the definition") {
  std::mt19937 random(7);
  const auto text_of = [&](size_t most) {
    std::string text(1 + random() % most, ' ');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops(1 + random() % 3);
    for (std::string& stop : stops) stop = text_of(5);
    const bool include = random() % 2 == 0;
    const std::string text = text_of(30);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + random() % 4;
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    CAPTURE(stops, text, include);
    const Shown expected = Reference(stops, include, text);
    const Shown found = Run(Make(stops, include), pieces);
    REQUIRE(found.text == expected.text);
    REQUIRE(found.stop == expected.stop);
  }
}

}  // namespace
}  // namespace guildhall
