// Rope tables against transformers' own (tests/goldens/rope/rope.json), from the config's keys to the
// frequencies.
#include "model/rope.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "base/json.h"
#include "base/mapped_file.h"
#include "checkpoint/rope_config.h"
#include "tests/support/source_folder.h"

namespace guildhall {
namespace {

Json Tables() {
  const auto text = ReadSmallFile(SourceFolder() + "/tests/goldens/rope/rope.json", size_t{1} << 20);
  REQUIRE(text.ok());
  auto json = ParseJson(*text, "rope.json");
  REQUIRE(json.ok());
  return (*json)["tables"];
}

RopeConfig ReadTableConfig(const Json& table) {
  const Json config{{"max_position_embeddings", table["max_position_embeddings"]},
                    {"rope_parameters", table["rope_parameters"]}};
  const auto object = JsonObject::From(config, "config.json");
  REQUIRE(object.ok());
  Problems problems;
  ConfigReader reader(*object, problems);
  RopeContext context;
  context.rotary_dim = table["rotary_width"].get<int>();
  context.max_positions = table["max_position_embeddings"].get<int64_t>();
  const RopeConfig rope = ReadRope(reader, context);
  REQUIRE(problems.empty());
  return rope;
}

}  // namespace

TEST_CASE("rope frequencies and factors of every kind are those of transformers") {
  const Json tables = Tables();
  REQUIRE(tables.size() >= 30);
  for (const Json& table : tables) {
    const RopeConfig config = ReadTableConfig(table);
    const Rope rope(config.spec);
    const auto expected = table["inv_freq"].get<std::vector<double>>();
    INFO(table["name"].get<std::string>());
    REQUIRE(rope.half() == static_cast<int64_t>(expected.size()));
    std::vector<float> found(expected.size());
    rope.DynamicFrequency(table.value("sequence_length", 1), found);
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK(double{found[i]} == Approx(expected[i]).epsilon(2e-5).margin(1e-12));
    }
    CHECK(double{rope.attention_factor()} == Approx(table["attention_factor"].get<double>()).epsilon(1e-6));
    if (table.contains("deepseek_softmax_factor")) {
      CHECK(config.softmax_factor == Approx(table["deepseek_softmax_factor"].get<double>()).epsilon(1e-6));
    }
  }
}

TEST_CASE("a position's angles do not depend on its neighbours") {
  RopeSpec spec;
  spec.kind = RopeSpec::Kind::kDynamicNtk;
  spec.rotary_dim = 8;
  spec.factor = 2.0;
  spec.original_max_positions = 16;
  const Rope rope(spec);
  std::vector<float> cos(41 * 4), sin(41 * 4), cos_alone(4), sin_alone(4);
  rope.Fill(0, 41, cos.data(), sin.data());
  for (const int64_t position : {3, 40, 15, 16}) {
    rope.Fill(position, position + 1, cos_alone.data(), sin_alone.data());
    CHECK(std::equal(cos_alone.begin(), cos_alone.end(), cos.begin() + position * 4));
    CHECK(std::equal(sin_alone.begin(), sin_alone.end(), sin.begin() + position * 4));
  }
  CHECK(cos[3 * 4] == Approx(std::cos(3.0)).epsilon(1e-6));  // frequency 0 is 1
}

}  // namespace guildhall
