// A profiled back end computes what the plain one does, and its sums are those of the steps.
#include <catch2/catch.hpp>
#include <set>
#include <utility>

#include "base/steady_clock.h"
#include "kernels/profiled_backend.h"
#include "model/product_names.h"
#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

// As LoadModel() makes it, on a profiled back end.
struct ProfiledModel {
  ProfiledModel(const std::string& directory, int threads, Trace* trace) {
    LoadedModel plain = LoadModel(directory, "", threads);
    plain.decoder.reset();  // it serves its back end alone
    backend = std::make_unique<ProfiledBackend>(std::move(plain.backend), trace);
    DecoderOptions options;
    options.max_rows = options.max_outputs = 192;
    options.kv_blocks = 96;
    auto loaded = Decoder::Load(*plain.checkpoint, *backend, options);
    REQUIRE(loaded.ok());
    decoder = *std::move(loaded);
    ForEachProduct(decoder->weights(), [this](const Matrix& matrix, std::string_view name) {
      backend->NameProduct(matrix, name);
    });
  }

  std::set<std::string> Called() const {
    std::set<std::string> names;
    for (const ProfileEntry& entry : backend->profile().entries()) {
      if (entry.calls > 0) names.insert(entry.name);
    }
    return names;
  }

  std::unique_ptr<ProfiledBackend> backend;
  std::unique_ptr<Decoder> decoder;
};

// Latent attention, a dense first layer, shared experts; with grouped queries, norms of q and k.
constexpr const char* kFolders[] = {"deepseek_v2_lite_f32", "olmoe_bf16", "qwen2_moe_bf16"};

}  // namespace

TEST_CASE("a profiled back end gives the plain one's bits, before, while and after it measures") {
  for (const char* name : kFolders) {
    const Golden golden = LoadGolden(name);
    const LoadedModel plain = LoadModel(golden.directory, "", 2);
    Trace trace(2);
    ProfiledModel profiled(golden.directory, 2, &trace);
    for (const Golden::Sequence& sequence : golden.sequences) {
      INFO(name << ", sequence of " << sequence.tokens.size());
      const std::vector<float> expected = FeedAlone(*plain.decoder, sequence.tokens);
      CHECK(SameBits(FeedAlone(*profiled.decoder, sequence.tokens), expected));
      profiled.backend->Start();
      CHECK(SameBits(FeedAlone(*profiled.decoder, sequence.tokens), expected));
      profiled.backend->Stop();
      CHECK(SameBits(FeedAlone(*profiled.decoder, sequence.tokens), expected));
    }
    CHECK(trace.events() > 0);
  }
}

TEST_CASE("every op of a family is listed, products by their names") {
  const auto called = [](const char* name) {
    const Golden golden = LoadGolden(name);
    ProfiledModel model(golden.directory, 2, nullptr);
    model.backend->Start();
    FeedAlone(*model.decoder, golden.sequences.front().tokens);
    return model.Called();
  };
  CHECK(called("deepseek_v2_lite_f32") ==
        std::set<std::string>{"append_kv", "attention", "dense_ffn", "embed", "expert_ffn", "gather_rows",
                              "head", "k_up", "o", "qkv", "rms_norm", "rope", "route", "shared_ffn", "v_up"});
  CHECK(called("olmoe_bf16") == std::set<std::string>{"append_kv", "attention", "embed", "expert_ffn",
                                                      "gather_rows", "head", "o", "qkv", "rms_norm", "rope",
                                                      "route"});
}

TEST_CASE("the ops' times lie within the steps', and the threads' work within their time") {
  constexpr int kThreads = 2;
  const Golden golden = LoadGolden("olmoe_bf16");
  ProfiledModel model(golden.directory, kThreads, nullptr);
  model.backend->Start();
  const int64_t begin = SteadyNs();
  FeedAlone(*model.decoder, golden.sequences.front().tokens);
  const int64_t wall = SteadyNs() - begin;
  const Profile& profile = model.backend->profile();
  CHECK(profile.TotalNs() > 0);
  CHECK(profile.TotalNs() <= wall);
  int64_t loops = 0;
  for (const ProfileEntry& entry : profile.entries()) {
    INFO(entry.name);
    CHECK(entry.loop_ns <= entry.ns);
    CHECK(entry.busy_ns <= entry.loop_ns * kThreads);
    if (entry.calls > 0) CHECK(entry.bytes > 0.0);
    loops += entry.loops;
  }
  CHECK(loops > 0);
  // Nothing is measured that nobody asked for.
  model.backend->Stop();
  model.backend->Reset();
  FeedAlone(*model.decoder, golden.sequences.front().tokens);
  CHECK(model.Called().empty());
}

TEST_CASE("bytes and operations of a step, worked out from the shapes") {
  const Golden golden = LoadGolden("olmoe_bf16");
  ProfiledModel model(golden.directory, 1, nullptr);
  const ModelSpec& spec = model.decoder->spec();
  model.backend->Start();
  const auto rows = static_cast<double>(golden.sequences.front().tokens.size());
  FeedAlone(*model.decoder, golden.sequences.front().tokens);
  for (const ProfileEntry& entry : model.backend->profile().entries()) {
    const auto hidden = static_cast<double>(spec.hidden), vocabulary = static_cast<double>(spec.vocabulary);
    if (entry.name == "head") {
      CHECK(entry.flops == 2.0 * rows * hidden * vocabulary);
      CHECK(entry.bytes == 2.0 * hidden * vocabulary + 4.0 * rows * (hidden + vocabulary));
    }
    if (entry.name == "expert_ffn") {
      CHECK(entry.flops == static_cast<double>(spec.layers.size()) * 6.0 * rows * spec.gate.k * hidden *
                               static_cast<double>(spec.expert_width));
    }
    if (entry.name == "attention") {
      // Each row meets the keys up to its own.
      const double pairs = rows * (rows + 1.0) / 2.0;
      CHECK(entry.flops == static_cast<double>(spec.layers.size()) * 4.0 * pairs * spec.attention.heads *
                               spec.attention.head_dim);
    }
  }
}

}  // namespace guildhall
