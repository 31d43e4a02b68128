// Expected values: Python's re.fullmatch, but for the patterns on which it runs for ever.
#include "adapters/name_pattern.h"

#include <array>
#include <catch2/catch.hpp>
#include <string>

namespace guildhall {

TEST_CASE("patterns match the names that Python's re.fullmatch matches") {
  const std::array<std::string, 9> names = {"model.layers.0.self_attn.q_proj",
                                            "model.layers.12.self_attn.o_proj",
                                            "model.layers.3.mlp.gate_proj",
                                            "model.layers.1.mlp.experts.13.w1",
                                            "model.layers.1.mlp.experts.2.w2",
                                            "lm_head",
                                            "q_proj",
                                            "model.layers.0.mlp.down_proj",
                                            ""};
  const struct {
    const char* pattern;
    const char* matches;  // one digit per name
  } kCases[] = {
      {R"re(.*\.self_attn\.(q|k|v)_proj)re", "100000000"},
      {R"re(model\.layers\.\d+\.mlp\.(up|down)_proj)re", "000000010"},
      {R"re(q_proj)re", "000000100"},
      {R"re(.*q_proj)re", "100000100"},
      {R"re(.*?q_proj$)re", "100000100"},
      {R"re(^model.*v_proj)re", "000000000"},
      {R"re(model\.layers\.([0-9]|1[0-5])\.self_attn\.[qkvo]_proj)re", "110000000"},
      {R"re(.*layers\.(?!0\.).*\.o_proj)re", "010000000"},
      {R"re((?=.*mlp).*gate_proj)re", "001000000"},
      {R"re(model\.layers\.\d{2}\..*)re", "010000000"},
      {R"re(model\.layers\.\d{1,}\.(?:self_attn)\.(?:(?:q_proj|k_proj)))re", "100000000"},
      {R"re((?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|v_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|gate_proj))))re",
       "101000000"},
      {R"re([^.]+\.[^.]+\.\d\..*)re", "101110010"},
      {R"re(.*experts\.(1[0-9]|[2-3])\.w[12])re", "000110000"},
      {R"re(model\.layers\.\d\.mlp\.experts\.\d+\.\w+)re", "000110000"},
      {R"re((a|b)*)re", "000000001"},
      {R"re()re", "000000001"},
      {R"re(.*\Blayers.*)re", "000000000"},
      {R"re(.*\blayers\b.*)re", "111110010"},
      {R"re((.*\.)*w1)re", "000100000"},
      {R"re(((.*)*)*w2)re", "000010000"},
      {R"re(.*\.w{2})re", "000000000"},
      {R"re(.*\.w[\d-])re", "000110000"},
      {R"re([]q]_proj)re", "000000100"},
      {R"re([a-]+x?)re", "000000000"},
      {R"re(model(\.\w+){5})re", "000000000"},
      {R"re(model(\.\w+){4,6})re", "111110010"},
      {R"re(x{0}model.*)re", "111110010"},
      {R"re(.*\S+_proj\Z)re", "111000110"},
      {R"re(\Amodel.*)re", "111110010"},
      {R"re(.*[^\W]_proj)re", "111000110"},
  };
  for (const auto& entry : kCases) {
    const auto pattern = NamePattern::Compile(entry.pattern);
    INFO(entry.pattern << " " << pattern.status());
    REQUIRE(pattern.ok());
    std::string found;
    for (const std::string& name : names) found += pattern->Matches(name) ? '1' : '0';
    CHECK(found == entry.matches);
  }
}

TEST_CASE("a pattern on which backtracking would run for ever ends at once") {
  const auto pattern = NamePattern::Compile("(((a+)+)+)+b");
  REQUIRE(pattern.ok());
  CHECK_FALSE(pattern->Matches(std::string(4000, 'a')));
  CHECK(pattern->Matches(std::string(4000, 'a') + "b"));
}

TEST_CASE("what is not served of Python's syntax is refused by name, with the cure") {
  for (const std::string pattern : {"(?<=a)b", "(?<!a)b", "(?P<x>a)", "(?i)q_proj", "(a)\\1", "a++", "a*+",
                                    "a?+", "a{1,2}+", "\\pL", "\\x41", "a{2000}", "a{x}", "(?:(?=a)a)*",
                                    "(?=(?!a)b)c", "[[:alpha:]]", "caf\xc3\xa9", "((a{100}){100}){100}"}) {
    const auto compiled = NamePattern::Compile(pattern);
    INFO(pattern << " " << compiled.status());
    CHECK(compiled.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(compiled.status().message().find("in a list instead") != absl::string_view::npos);
  }
  CHECK(NamePattern::Compile(std::string(1001, 'a')).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  CHECK(NamePattern::Compile(std::string(100, '(') + std::string(100, ')')).status().code() ==
        absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("broken syntax is an error that shows the place") {
  for (const std::string pattern : {"(a", "a)", "[a", "*a", "a**", "a|*", "\\", "[z-a]", "a{3,2}", "[\\"}) {
    const auto compiled = NamePattern::Compile(pattern);
    INFO(pattern << " " << compiled.status());
    CHECK(compiled.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(compiled.status().message().find("at character") != absl::string_view::npos);
  }
}

}  // namespace guildhall
