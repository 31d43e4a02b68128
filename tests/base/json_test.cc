#include "base/json.h"

#include <catch2/catch.hpp>
#include <string>

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

std::string ErrorOf(std::string_view text, const JsonLimits& limits = {}) {
  const auto json = ParseJson(text, "test.json", limits);
  if (json.ok()) return "parsed: " + DumpJson(*json);
  REQUIRE(json.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(json.status().message());
}

Json Parsed(std::string_view text, const JsonLimits& limits = {}) {
  auto json = ParseJson(text, "test.json", limits);
  INFO(json.status().ToString());
  REQUIRE(json.ok());
  return *json;
}

TEST_CASE("json: values, order of keys and nesting survive") {
  const std::string text = R"({"b":[1,-2,3.5,true,null,"x"],"a":{"z":{},"y":[]}})";
  CHECK(DumpJson(Parsed(text)) == text);
  CHECK(DumpJson(Parsed("7")) == "7");
  CHECK(DumpJson(Parsed(" \"\\u00e9\\n\" ")) == "\"é\\n\"");
}

TEST_CASE("json: integers are exact over the whole range of 64 bits and refused beyond") {
  CHECK(Parsed("18446744073709551615").get<uint64_t>() == 18446744073709551615u);
  CHECK(Parsed("-9223372036854775808").get<int64_t>() == INT64_MIN);
  CHECK_THAT(ErrorOf("18446744073709551616"), Contains("18446744073709551616 fits neither"));
  CHECK_THAT(ErrorOf("-9223372036854775809"), Contains("fits neither"));
  CHECK_THAT(ErrorOf("1e999"), Contains("number overflow"));
}

TEST_CASE("json: a duplicate key is an error that names the key and its place") {
  CHECK_THAT(ErrorOf("{\"a\": 1,\n \"b\": {\"a\": 2},\n \"a\": 3}"),
             Contains("test.json: line 3, column ") && Contains("duplicate key \"a\""));
  CHECK_THAT(ErrorOf(R"({"x": {"k": 1, "\u006b": 2}})"), Contains("duplicate key \"k\""));
}

TEST_CASE("json: malformed text is refused with line and column") {
  CHECK_THAT(ErrorOf("{\"a\": 1,\n  x}"),
             Contains("test.json: line 2, column 3: ") && Contains("object key"));
  CHECK_THAT(ErrorOf(""), Contains("line 1, column 1"));
  CHECK_THAT(ErrorOf("{"), Contains("unexpected end of input"));
  CHECK_THAT(ErrorOf("{} {}"), Contains("expected end of input"));
  CHECK_THAT(ErrorOf("[1,]"), Contains("line 1, column 4"));
  CHECK_THAT(ErrorOf("\"\xff\""), Contains("ill-formed UTF-8"));
  CHECK_THAT(ErrorOf("\"\xc3\""), Contains("ill-formed UTF-8"));
  CHECK_THAT(ErrorOf("\"\\ud800\""), Contains("surrogate"));
  CHECK_THAT(ErrorOf("NaN"), Contains("invalid literal"));
}

TEST_CASE("json: text after a NUL is not silently ignored") {
  CHECK_THAT(ErrorOf(std::string_view("{}\0garbage", 10)), Contains("line 1, column 3: NUL character"));
}

TEST_CASE("json: comments only where they are allowed") {
  const std::string text = "// of ours\n{\"a\": 1 /* here */}";
  CHECK_THAT(ErrorOf(text), Contains("line 1"));
  JsonLimits limits;
  limits.comments = true;
  CHECK(DumpJson(Parsed(text, limits)) == R"({"a":1})");
}

TEST_CASE("json: a million levels of nesting meet the depth cap and no stack overflow") {
  const size_t depth = 1000000;
  CHECK_THAT(ErrorOf(std::string(depth, '[')), Contains("nested deeper than 64 levels"));
  std::string objects;
  for (size_t i = 0; i < depth; ++i) objects += "{\"a\":";
  CHECK_THAT(ErrorOf(objects), Contains("nested deeper than 64 levels"));
  JsonLimits limits;
  limits.max_depth = 3;
  CHECK(DumpJson(Parsed("[[[1]]]", limits)) == "[[[1]]]");
  CHECK_THAT(ErrorOf("[[[[1]]]]", limits), Contains("deeper than 3 levels"));
}

TEST_CASE("json: the size cap names size and cap") {
  JsonLimits limits;
  limits.max_bytes = 10;
  CHECK_THAT(ErrorOf("\"0123456789\"", limits), Contains("12 bytes") && Contains("at most 10"));
}

TEST_CASE("json: an object of 200,000 keys takes no quadratic time") {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
  CHECK(Parsed(text + "}").size() == 200000);
}

TEST_CASE("json: dump replaces a cut UTF-8 sequence instead of throwing") {
  CHECK(DumpJson(Json(std::string("a\xc3"))) == "\"a\xef\xbf\xbd\"");
}

TEST_CASE("json object: typed getters name path, expected and found") {
  const Json json = Parsed(R"({"n": 16.0, "half": 1.5, "s": "two", "o": {"in": {"f": "x"}}, "neg": -1,
      "big": 18446744073709551615, "t": true, "list": [1, 2], "words": ["a"], "nil": null, "mixed": [1, "a"]})");
  const auto object = JsonObject::From(json, "config.json");
  REQUIRE(object.ok());
  CHECK(object->Int("n", 0, 100).value() == 16);
  CHECK(object->Number("half").value() == 1.5);
  CHECK(object->Bool("t").value());
  CHECK(object->String("s").value() == "two");
  CHECK(object->IntsOr("list", {}).value() == std::vector<int64_t>{1, 2});
  CHECK(object->StringsOr("words", {}).value() == std::vector<std::string>{"a"});
  CHECK(object->IntOr("absent", 5, 0, 9).value() == 5);
  CHECK(object->IntOr("nil", 5, 0, 9).value() == 5);
  CHECK_FALSE(object->Has("nil"));
  const auto inner = object->Object("o")->Object("in");
  REQUIRE(inner.ok());
  CHECK(inner->Number("f").status().message() == "config.json: o.in.f: expected a number, found \"x\"");
  CHECK(object->Int("half", 0, 9).status().message() ==
        "config.json: half: expected an integer from 0 to 9, found 1.5");
  CHECK(object->Int("neg", 0, 9).status().message() ==
        "config.json: neg: expected an integer from 0 to 9, found -1");
  CHECK_FALSE(object->Int("big", 0, INT64_MAX).ok());
  CHECK_FALSE(object->Int("t", 0, 9).ok());
  CHECK(object->Int("absent", 0, 9).status().message() ==
        "config.json: absent: expected an integer from 0 to 9, the key is missing");
  CHECK_FALSE(object->BoolOr("s", false).ok());
  CHECK_FALSE(object->StringOr("n", "").ok());
  CHECK_FALSE(object->NumberOr("s", 0).ok());
  CHECK_FALSE(object->IntsOr("mixed", {}).ok());
  CHECK_FALSE(object->StringsOr("mixed", {}).ok());
  CHECK_FALSE(object->Object("s").ok());
  CHECK(JsonObject::From(Json(3), "x.json").status().message() == "x.json: expected an object, found 3");
}

TEST_CASE("json object: an unread key is refused with the nearest known name") {
  const Json json = Parsed(R"({"hidden_size": 1, "hiden_act": "silu"})");
  const auto object = JsonObject::From(json, "config.json");
  (void)object->Find("hidden_size");
  (void)object->Find("hidden_act");
  CHECK(object->Unread() == std::vector<std::string>{"hiden_act"});
  CHECK(object->CheckAllRead().message() ==
        "config.json: unknown key \"hiden_act\"; did you mean \"hidden_act\"?");
  object->MarkRead("hiden_act");
  CHECK(object->CheckAllRead().ok());
}

TEST_CASE("nearest name: typos and swapped letters, not strangers") {
  const std::vector<std::string> names = {"max_tokens", "temperature", "top_p", "top_k"};
  CHECK(NearestName("max_token", names) == "max_tokens");
  CHECK(NearestName("tmeperature", names) == "temperature");
  CHECK(NearestName("topp", names) == "top_p");
  CHECK_FALSE(NearestName("frequency_penalty", names));
  CHECK_FALSE(NearestName("", names));
  CHECK_FALSE(NearestName(std::string(1000000, 'x'), names));
}

}  // namespace
}  // namespace guildhall
