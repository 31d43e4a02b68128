// Isolation to the bit: a sequence's logits are the same alone and in any company.
#include <catch2/catch.hpp>
#include <random>

#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

// Sequences of awkward lengths over the golden's vocabulary, some with a common beginning.
std::vector<std::vector<int32_t>> RandomSequences(const Golden& golden, int64_t vocabulary,
                                                  std::mt19937& random) {
  std::vector<std::vector<int32_t>> sequences;
  for (const Golden::Sequence& sequence : golden.sequences) sequences.push_back(sequence.tokens);
  for (int length : {2, 15, 31, 48, 49}) {
    std::vector<int32_t> tokens = sequences.back();
    tokens.resize(static_cast<size_t>(length) / 2);
    while (static_cast<int>(tokens.size()) < length) {
      tokens.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary)));
    }
    sequences.push_back(tokens);
  }
  return sequences;
}

void CheckInvariance(const std::string& name, const TestBackend& on, const char* weights) {
  const Golden golden = LoadGolden(name);
  const auto formats = ParseWeightFormats(weights);
  REQUIRE(formats.ok());
  LoadedModel one = LoadModel(golden.directory, on, 1, *formats);
  LoadedModel two = LoadModel(golden.directory, on, 2, *formats);
  std::mt19937 random(7);
  const auto sequences = RandomSequences(golden, one.decoder->vocabulary(), random);
  std::vector<std::vector<float>> alone;
  for (const auto& sequence : sequences) alone.push_back(FeedAlone(*one.decoder, sequence));
  for (int round = 0; round < 3; ++round) {
    const int64_t largest = round == 0 ? 1 : round == 1 ? 23 : 64;  // token by token, then ragged chunks
    auto rule = [&](size_t, int64_t) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(largest + 1));
    };
    Decoder& decoder = round == 1 ? *one.decoder : *two.decoder;
    const auto mixed = FeedTogether(decoder, sequences, rule, random);
    for (size_t s = 0; s < sequences.size(); ++s) {
      INFO(name << " " << on.name << " " << weights << " round " << round << ", sequence of "
                << sequences[s].size());
      CHECK(SameBits(mixed[s], alone[s]));
    }
  }
}

}  // namespace

TEST_CASE("logits do not depend on batch, order, chunks, blocks or threads, to the bit, for every family",
          "[long]") {
  for (const std::string& name : GoldenNames()) {
    for (const TestBackend& on : TestBackends()) CheckInvariance(name, on, "auto");
  }
}

TEST_CASE("nor in any weight format, to the bit, for every family", "[long]") {
  const std::vector<const char*> all = {"int8", "int4", "int4_offset",
                                        "experts=int4,attention=int8,head=int8,dense=int4_offset"};
  size_t turn = 0;
  for (const std::string& name : GoldenNames()) {
    // A device that is emulated takes its time: each family has one of the formats there.
    const char* const own = all[turn++ % all.size()];
    for (const char* weights : OnTestDevice() ? std::vector{own} : all) {
      for (const TestBackend& on : TestBackends()) CheckInvariance(name, on, weights);
    }
  }
}

TEST_CASE("the comparison of bits sees one bit") {
  std::vector<float> a{1.0f, 2.0f}, b = a;
  CHECK(SameBits(a, b));
  b[1] = std::nextafter(2.0f, 3.0f);
  CHECK_FALSE(SameBits(a, b));
}

}  // namespace guildhall
