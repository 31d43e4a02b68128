// A real model under the budget that its KV cache shares with adapters.
#include "runtime/base_model.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "absl/time/clock.h"
#include "tests/engine/answers.h"
#include "tests/support/golden.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_backends.h"
#include "tools/quantize_folder.h"

namespace guildhall {
namespace {

constexpr auto kKv = ByteBudget::Holder::kKvCache;

absl::StatusOr<BaseModel> Load(const std::string& directory, const TestBackend& on = DefaultTestBackend()) {
  BaseModelOptions options;
  options.path = directory;
  options.checkpoint.max_positions = 256;
  options.backend = on.options;
  options.kv_budget = "8MiB";
  return LoadBaseModel(options);
}

TEST_CASE("The base model keeps its folder open, shows its experts and has one budget") {
  const Golden golden = LoadGolden("deepseek_v2_lite_f32");
  const auto model = Load(golden.directory);
  REQUIRE(model.ok());
  CHECK(model->checkpoint->directory() == golden.directory);
  CHECK(model->memory.shared == uint64_t{8} << 20);
  CHECK(model->budget->total() == model->memory.shared);
  CHECK(model->memory.kv == model->memory.kv_block_bytes * static_cast<uint64_t>(model->memory.kv_blocks));
  const auto experts = model->decoder->base_experts();
  const ModelSpec& spec = model->decoder->spec();
  REQUIRE(experts.size() == spec.layers.size());
  for (size_t i = 0; i < experts.size(); ++i) {
    CHECK(experts[i].routed.size() == (spec.layers[i].moe ? static_cast<size_t>(spec.gate.experts) : 0));
    for (const FfnWeights& expert : experts[i].routed) CHECK_FALSE(expert.gate_up.empty());
  }
}

TEST_CASE("A model is served by the CPU where no other device is, and within the memory that it may take") {
  const Golden golden = LoadGolden("olmoe_f32");
  BaseModelOptions options;
  options.path = golden.directory;
  options.checkpoint.max_positions = 256;
  options.backend = DefaultTestBackend().options;
  options.backend.device = "auto";
  options.device_memory = "64MiB";
  const auto model = LoadBaseModel(options);
  REQUIRE(model.ok());
  CHECK(model->backend->layout() == DefaultTestBackend().name);
  CHECK_THAT(model->memory.text, Catch::StartsWith("64.0 MiB available (device_memory 64MiB)"));
  options.device_memory = "64KiB";
  const absl::Status refused = LoadBaseModel(options).status();
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(refused.message()), Catch::Contains("are available (device_memory 64KiB)"));
}

TEST_CASE("Real answers stay the same where the KV cache gives its memory back and takes it again") {
  const std::string name = GENERATE("olmoe_f32", "deepseek_v2_lite_f32");
  const TestBackend on = GENERATE(from_range(TestBackends()));
  const Golden golden = LoadGolden(name);
  REQUIRE_FALSE(golden.greedy.empty());
  INFO(name << " " << on.name);
  const auto model = Load(golden.directory, on);
  REQUIRE(model.ok());
  EngineOptions options;
  ShareBudget(*model, options);
  {
    Engine engine(*model->decoder, options, {TaskPolicy{}});
    engine.Start();
    for (int round = 0; round < 3; ++round) {
      for (const Golden::Greedy& greedy : golden.greedy) {
        auto request = MakeRequest(greedy.prompt, Greedy(static_cast<int32_t>(greedy.continuation.size())));
        REQUIRE(engine.Submit(request).ok());
        CHECK(Collect(*request->stream).tokens == greedy.continuation);
      }
      // The blocks of these short texts are the first ones: all memory goes, but for the least share.
      model->budget->WantOfKv(model->budget->total());
      const uint64_t least =
          static_cast<uint64_t>(model->memory.min_kv_blocks) * model->memory.kv_block_bytes;
      const absl::Time limit = absl::Now() + absl::Minutes(1);
      while (model->budget->used(kKv) > least && absl::Now() < limit) std::this_thread::yield();
      CHECK(model->budget->used(kKv) == least);
      model->budget->WantOfKv(0);
    }
  }
  CHECK(model->budget->used(kKv) == 0);
}

TEST_CASE("Released KV blocks can be written again, and the others keep their keys") {
  const Golden golden = LoadGolden("olmoe_f32");
  const auto model = Load(golden.directory);
  REQUIRE(model.ok());
  Decoder& decoder = *model->decoder;
  const std::vector<int32_t> tokens = golden.sequences.back().tokens;
  REQUIRE(tokens.size() > 4);
  const auto rows = static_cast<int32_t>(std::min<size_t>(tokens.size(), 16));
  // The first rows as a sequence of its own in one block.
  const auto forward = [&](int32_t block, int32_t first) {
    std::vector<int32_t> positions, sequence;
    const OutputRow output{.row = rows - 1 - first};
    std::vector<int64_t> slots;
    for (int32_t p = first; p < rows; ++p) {
      positions.push_back(p);
      sequence.push_back(0);
      slots.push_back(int64_t{block} * kKvBlockTokens + p);
    }
    Batch batch;
    batch.tokens = std::span(tokens).subspan(static_cast<size_t>(first), positions.size());
    batch.positions = positions;
    batch.sequence = sequence;
    batch.kv_place = slots;
    batch.block_table = std::span(&block, 1);
    batch.max_blocks = 1;
    batch.outputs = {&output, 1};
    const StepOutput out = RunStep(decoder, batch).value();
    return std::vector<float>(out.logits.begin(), out.logits.end());
  };
  const auto last = static_cast<int32_t>(decoder.kv_blocks() - 1);
  const std::vector<float> expected = forward(0, 0);
  CHECK(forward(last, 0) == expected);
  decoder.ReleaseKvBlocks(1, last);  // all but the first
  CHECK(forward(0, rows - 1) == expected);
  REQUIRE(decoder.GrowKvBlocks(1, last).ok());
  CHECK(forward(last, 0) == expected);
  // What was released is gone: only the last row's key was written again.
  decoder.ReleaseKvBlocks(0, decoder.kv_blocks());
  REQUIRE(decoder.GrowKvBlocks(0, decoder.kv_blocks()).ok());
  CHECK(forward(0, rows - 1) != expected);
  CHECK(decoder.kv_release_blocks() >= 1);
}

TEST_CASE("A mapped file of weights that is cut ends the requests of each step, and nothing else") {
  const TempFolder folder;
  const std::string out = folder / "packed";
  {
    const auto files = OpenModelFiles(LoadGolden("olmoe_f32").directory, {});
    REQUIRE(files.ok());
    const auto backend = MakeBackend(DefaultTestBackend().options);
    REQUIRE(backend.ok());
    WeightFormats formats;
    formats.experts = WeightFormat::kInt8;
    REQUIRE(QuantizeFolder(*files->checkpoint, **backend, out,
                           {.formats = formats, .force = false, .tool = "test"}, {})
                .ok());
  }
  BaseModelOptions options;
  options.path = out;
  options.backend = DefaultTestBackend().options;
  options.kv_budget = "8MiB";
  options.map_weights = true;
  const auto model = LoadBaseModel(options);
  REQUIRE(model.ok());
  EngineOptions engine_options;
  ShareBudget(*model, engine_options);
  Engine engine(*model->decoder, engine_options, {TaskPolicy{}});
  engine.Start();
  const auto ask = [&engine] {
    auto request = MakeRequest({1, 2, 3}, Greedy(4));
    REQUIRE(engine.Submit(request).ok());
    return Collect(*request->stream).end.status;
  };
  CHECK(ask().ok());
  std::filesystem::resize_file(out + "/" + kPackedWeightsFile, 0);
  for (int i = 0; i < 2; ++i) {
    CHECK(ask().code() == absl::StatusCode::kInternal);
    CHECK_FALSE(engine.Status().healthy);
  }
}

}  // namespace
}  // namespace guildhall
