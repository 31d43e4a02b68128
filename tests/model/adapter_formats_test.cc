// Adapters over quantized weights: replaced experts follow the base or keep their own format.
#include <catch2/catch.hpp>

#include "tests/adapters/merged_base.h"
#include "tests/model/adapter_runner.h"
#include "tests/support/compare.h"

namespace guildhall {
namespace {

WeightFormats Parse(const char* text) {
  auto formats = ParseWeightFormats(text);
  REQUIRE(formats.ok());
  return *formats;
}

bool AllEsft(const AdapterGolden& golden) {
  for (const AdapterGolden::Adapter& adapter : golden.adapters) {
    if (adapter.kind != "esft") return false;
  }
  return golden.base.ends_with("_f32");
}

// The logits of a base whose checkpoint has the adapters' experts, quantized as a whole.
std::vector<float> MergedLogits(const AdaptedModel& model, const AdapterGolden::Sequence& sequence,
                                const TestBackend& on, const WeightFormats& formats) {
  std::vector<std::unique_ptr<AdapterSource>> sources;
  MergedBase::Mix mix;
  for (const AdapterGolden::Use& use : sequence.adapters) {
    for (const AdapterGolden::Adapter& adapter : model.golden.adapters) {
      if (adapter.name != use.name) continue;
      auto source = OpenAdapterFolder(adapter.directory, *model.loaded.checkpoint);
      REQUIRE(source.ok());
      sources.push_back(*std::move(source));
      mix.emplace_back(sources.back().get(), use.scale);
    }
  }
  const MergedBase merged(*model.loaded.checkpoint, mix);
  const auto backend = on.make(1);
  DecoderOptions options;
  options.max_rows = options.max_outputs = 192;
  options.kv_blocks = 96;
  options.formats = formats;
  auto decoder = Decoder::Load(merged, *backend, options);
  REQUIRE(decoder.ok());
  return FeedAlone(**decoder, sequence.tokens);
}

}  // namespace

TEST_CASE("an ESFT adapter over a quantized base is the merged checkpoint quantized the same, to the bit",
          "[long]") {
  int compared = 0;
  for (const std::string& name : AdapterGoldenNames()) {
    const AdapterGolden golden = LoadAdapterGolden(name);
    if (!AllEsft(golden)) continue;
    for (const TestBackend& on : TestBackends()) {
      for (const char* weights : {"int8", "int4", "int4_offset", "experts=int4,shared_experts=int8"}) {
        const WeightFormats formats = Parse(weights);
        AdaptedModel model(golden, on, 1, {formats, false});
        std::mt19937 random(3);
        const auto mixed = FeedTogether(
            *model.loaded.decoder, model.tokens, [](size_t, int64_t left) { return left; }, random,
            model.AllServed());
        for (size_t s = 0; s < golden.sequences.size(); ++s) {
          INFO(name << " " << on.name << " " << weights << ", sequence " << s);
          CHECK(SameBits(mixed[s], MergedLogits(model, golden.sequences[s], on, formats)));
          ++compared;
        }
      }
    }
  }
  CHECK(compared >= 24);
}

TEST_CASE("experts that keep their file's format stand in one batch with quantized ones, isolated to the bit",
          "[long]") {
  int differ = 0;
  for (const std::string& name : AdapterGoldenNames()) {
    const AdapterGolden golden = LoadAdapterGolden(name);
    for (const TestBackend& on : TestBackends()) {
      for (const bool keep : {false, true}) {
        const AdaptedFormats formats{
            Parse("experts=int4,shared_experts=int4_offset,attention=int8,head=int8"), keep};
        AdaptedModel one(golden, on, 1, formats), two(golden, on, 2, formats);
        const LoadedModel plain = LoadModel(LoadGolden(golden.base).directory, on, 1, formats.base);
        std::vector<std::vector<float>> alone;
        for (size_t s = 0; s < golden.sequences.size(); ++s) {
          alone.push_back(FeedAlone(*one.loaded.decoder, one.tokens[s], one.ServedAlone(s)));
          if (golden.sequences[s].adapters.empty())
            CHECK(SameBits(FeedAlone(*plain.decoder, one.tokens[s]), alone[s]));
        }
        std::mt19937 random(11);
        for (const int64_t largest : {1, 7, 40}) {
          AdaptedModel& model = largest == 7 ? one : two;
          const auto rule = [&](size_t, int64_t) {
            return static_cast<int64_t>(random() % static_cast<uint64_t>(largest + 1));
          };
          const auto mixed =
              FeedTogether(*model.loaded.decoder, model.tokens, rule, random, model.AllServed());
          for (size_t s = 0; s < golden.sequences.size(); ++s) {
            INFO(name << " " << on.name << (keep ? " keep" : " base") << ", chunks up to " << largest
                      << ", sequence " << s);
            CHECK(SameBits(mixed[s], alone[s]));
          }
        }
        if (!keep || !AllEsft(golden)) continue;
        AdaptedModel followed(golden, on, 1, {formats.base, false});
        for (size_t s = 0; s < golden.sequences.size(); ++s) {
          if (golden.sequences[s].adapters.empty()) continue;
          differ += !SameBits(
              FeedAlone(*followed.loaded.decoder, followed.tokens[s], followed.ServedAlone(s)), alone[s]);
        }
      }
    }
  }
  // Kept experts are other numbers than quantized ones.
  CHECK(differ >= 3);
}

}  // namespace guildhall
