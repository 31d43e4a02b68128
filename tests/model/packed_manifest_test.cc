// The manifest of packed weights: what it says survives, and no text makes it say what cannot be.
#include "model/packed_manifest.h"

#include <catch2/catch.hpp>
#include <random>

#include "base/json.h"

namespace guildhall {
namespace {

PackedManifest Sample() {
  PackedManifest manifest;
  manifest.tool = "guildhall \"x\"";
  manifest.layout = "cpu/avx2";
  manifest.dtype = DType::kF32;
  manifest.formats.experts = WeightFormat::kInt4;
  manifest.formats.head = WeightFormat::kInt8;
  manifest.layouts = {{WeightFormat::kF32, 0xdeadbeefu}, {WeightFormat::kInt4, 7u}};
  manifest.bytes = 4096;
  manifest.sources = {{"config.json", 12, 34u}};
  manifest.tensors = {{"a", WeightFormat::kF32, 1, 16, 0, 64, 1u},
                      {"b", WeightFormat::kInt4, 16, 32, 64, 288, 0xffffffffu},
                      {"c", WeightFormat::kF32, 1, 1, 384, 4, 0u}};
  return manifest;
}

// What the parser promises of anything that it accepts.
void CheckPromises(const PackedManifest& manifest) {
  uint64_t end = 0;
  for (const PackedTensor& tensor : manifest.tensors) {
    REQUIRE(tensor.offset % 64 == 0);
    REQUIRE(tensor.offset >= end);
    REQUIRE(tensor.bytes <= manifest.bytes);
    REQUIRE(tensor.offset <= manifest.bytes - tensor.bytes);
    REQUIRE(tensor.out > 0);
    REQUIRE(tensor.in > 0);
    REQUIRE(manifest.layouts.contains(tensor.format));
    end = tensor.offset + tensor.bytes;
  }
}

}  // namespace

TEST_CASE("a manifest of packed weights is read as it was written") {
  const auto read = ParsePackedManifest(FormatPackedManifest(Sample()));
  INFO(read.status().ToString());
  REQUIRE(read.ok());
  CHECK(*read == Sample());
}

TEST_CASE("a manifest that names the level as \"isa\" is one of the CPU's layout for that level") {
  std::string text = FormatPackedManifest(Sample());
  const std::string now = "\"layout\": \"cpu/avx2\"", before = "\"isa\": \"avx2\"";
  REQUIRE(text.find(now) != std::string::npos);
  text.replace(text.find(now), now.size(), before);
  const auto read = ParsePackedManifest(text);
  INFO(read.status().ToString());
  REQUIRE(read.ok());
  CHECK(*read == Sample());
}

TEST_CASE("a manifest of packed weights is refused by the key that is wrong") {
  const std::string text = FormatPackedManifest(Sample());
  const auto refusal = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const size_t at = changed.find(from);
    REQUIRE(at != std::string::npos);
    changed.replace(at, from.size(), to);
    return ParsePackedManifest(changed).status();
  };
  using Catch::Contains;
  CHECK(refusal("\"version\": 1", "\"version\": 2").code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refusal("guildhall-packed", "other").message()), Contains("format"));
  CHECK_THAT(std::string(refusal("cpu/avx2", "avx2").message()), Contains("layout"));
  CHECK_THAT(std::string(refusal("\"layout\": \"cpu/avx2\",", "").message()), Contains("layout"));
  CHECK_THAT(std::string(refusal("\"experts\"", "\"expert\"").message()), Contains("experts"));
  CHECK_THAT(std::string(refusal("deadbeef", "deadbee").message()), Contains("8 hexadecimal digits"));
  CHECK_THAT(std::string(refusal("\"int4\"", "\"int3\"").message()), Contains("int3"));
  CHECK_THAT(std::string(refusal("\"tensors\"", "\"tensor\"").message()), Contains("tensors"));
  const absl::Status overlap = refusal("\"offset\": 384", "\"offset\": 320");
  CHECK(overlap.code() == absl::StatusCode::kDataLoss);
  CHECK_THAT(std::string(overlap.message()), Contains("tensor \"c\""));
}

TEST_CASE("mutated manifests of packed weights are refused or keep every promise") {
  const std::string text = FormatPackedManifest(Sample());
  const std::string pieces[] = {"9223372036854775807",
                                "-1",
                                "18446744073709551615",
                                "0",
                                "64",
                                "1e30",
                                "null",
                                "[]",
                                "{}",
                                "\"int8\"",
                                "\"\"",
                                "true",
                                "4095"};
  std::mt19937 random(5);
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string mutated = text;
    for (uint32_t change = 0; change <= random() % 3; ++change) {
      const size_t at = random() % mutated.size();
      switch (random() % 4) {
        case 0:
          mutated[at] = static_cast<char>(random());
          break;
        case 1:
          mutated.erase(at, random() % 20);
          break;
        case 2:
          mutated.insert(at, mutated.substr(random() % mutated.size(), random() % 40));
          break;
        default: {  // another value where a number stands
          const size_t digit = mutated.find_first_of("0123456789", at);
          if (digit == std::string::npos) break;
          const size_t end = mutated.find_first_not_of("0123456789", digit);
          mutated.replace(digit, end - digit, pieces[random() % std::size(pieces)]);
        }
      }
    }
    const auto parsed = ParsePackedManifest(mutated);
    if (!parsed.ok()) continue;
    CheckPromises(*parsed);
    ++accepted;
  }
  CHECK(accepted >= 10);
}

}  // namespace guildhall
