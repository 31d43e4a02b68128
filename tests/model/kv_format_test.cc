// An int8 KV cache: how far it moves the logits of every family, and that it moves them alike in any company.
#include <catch2/catch.hpp>
#include <random>

#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace guildhall {
TEST_CASE("an int8 KV cache keeps the next token's distribution of every family within a bound", "[long]") {
  for (const TestBackend& on : TestBackends()) {
    if (!on.Keeps(KvFormat::kInt8)) continue;
    NextTokenDifference all;
    for (const std::string& name : GoldenNames()) {
      const Golden golden = LoadGolden(name);
      LoadedModel exact = LoadModel(golden.directory, on, 1);
      LoadedModel model = LoadModel(golden.directory, on, 1, {}, KvFormat::kInt8);
      const auto vocabulary = static_cast<size_t>(exact.decoder->vocabulary());
      NextTokenDifference difference;
      for (const Golden::Sequence& sequence : golden.sequences) {
        difference.Add(FeedAlone(*exact.decoder, sequence.tokens), FeedAlone(*model.decoder, sequence.tokens),
                       vocabulary);
      }
      INFO(name << " " << on.name << ": mean KL " << difference.mean() << " nats, same argmax "
                << difference.agreement() << " of " << difference.positions);
      CHECK(difference.mean() > 0.0);  // else the format was not used
      // Mostly 2e-5 to 3e-4; where one token's router chooses another expert, 3e-3.
      CHECK(difference.mean() <= 5e-3);
      all.divergence += difference.divergence;
      all.positions += difference.positions;
      all.agree += difference.agree;
    }
    INFO(on.name << ": mean KL " << all.mean() << " nats, same argmax " << all.agreement() << " of "
                 << all.positions);
    CHECK(all.mean() <= 2e-4);
    CHECK(all.agreement() >= 0.98);
  }
}

TEST_CASE("with an int8 KV cache logits do not depend on batch, chunks, blocks or threads, to the bit",
          "[long]") {
  for (const std::string& name : GoldenNames()) {
    for (const TestBackend& on : TestBackends()) {
      const Golden golden = LoadGolden(name);
      LoadedModel one = LoadModel(golden.directory, on, 1, {}, KvFormat::kInt8);
      LoadedModel two = LoadModel(golden.directory, on, 2, {}, KvFormat::kInt8);
      std::vector<std::vector<int32_t>> sequences;
      for (const Golden::Sequence& sequence : golden.sequences) sequences.push_back(sequence.tokens);
      std::mt19937 random(3);
      const auto rule = [&](size_t, int64_t) { return static_cast<int64_t>(random() % 24); };
      const auto mixed = FeedTogether(*two.decoder, sequences, rule, random);
      for (size_t s = 0; s < sequences.size(); ++s) {
        INFO(name << " " << on.name << ", sequence of " << sequences[s].size());
        CHECK(SameBits(mixed[s], FeedAlone(*one.decoder, sequences[s])));
      }
    }
  }
}

}  // namespace guildhall
