// A profiled back end computes what the plain one does, and its sums are those of the steps.
#include <catch2/catch.hpp>
#include <set>
#include <utility>

#include "base/steady_clock.h"
#include "kernels/op_profile.h"
#include "model/product_names.h"
#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

// As LoadModel() makes it, with a profile of its ops.
struct ProfiledModel {
  ProfiledModel(const std::string& directory, int threads, Trace* trace)
      : loaded(LoadModel(directory, DefaultTestBackend(), threads)),
        decoder(loaded.decoder.get()),
        ops(std::make_unique<OpProfile>(*loaded.backend, trace)) {
    ForEachProduct(decoder->weights(),
                   [this](const Matrix& matrix, std::string_view name) { ops->NameProduct(matrix, name); });
  }

  std::set<std::string> Called() const {
    std::set<std::string> names;
    for (const ProfileEntry& entry : ops->profile().entries()) {
      if (entry.calls > 0) names.insert(entry.name);
    }
    return names;
  }

  LoadedModel loaded;
  Decoder* decoder;
  std::unique_ptr<OpProfile> ops;
};

// Latent attention, a dense first layer, shared experts; with grouped queries, norms of q and k.
constexpr const char* kFolders[] = {"deepseek_v2_lite_f32", "olmoe_bf16", "qwen2_moe_bf16"};

}  // namespace

TEST_CASE(
    "a back end whose ops are measured gives the plain one's bits, before, while and after it measures") {
  for (const char* name : kFolders) {
    const Golden golden = LoadGolden(name);
    const LoadedModel plain = LoadModel(golden.directory, DefaultTestBackend(), 2);
    Trace trace(2);
    ProfiledModel profiled(golden.directory, 2, &trace);
    for (const Golden::Sequence& sequence : golden.sequences) {
      INFO(name << ", sequence of " << sequence.tokens.size());
      const std::vector<float> expected = FeedAlone(*plain.decoder, sequence.tokens);
      CHECK(SameBits(FeedAlone(*profiled.decoder, sequence.tokens), expected));
      profiled.ops->Start();
      CHECK(SameBits(FeedAlone(*profiled.decoder, sequence.tokens), expected));
      profiled.ops->Stop();
      CHECK(SameBits(FeedAlone(*profiled.decoder, sequence.tokens), expected));
    }
    CHECK(trace.events() > 0);
  }
}

TEST_CASE("every op of a family is listed, products by their names") {
  const auto called = [](const char* name) {
    const Golden golden = LoadGolden(name);
    ProfiledModel model(golden.directory, 2, nullptr);
    model.ops->Start();
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
  model.ops->Start();
  const int64_t begin = SteadyNs();
  FeedAlone(*model.decoder, golden.sequences.front().tokens);
  const int64_t wall = SteadyNs() - begin;
  const Profile& profile = model.ops->profile();
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
  model.ops->Stop();
  model.ops->Reset();
  FeedAlone(*model.decoder, golden.sequences.front().tokens);
  CHECK(model.Called().empty());
}

TEST_CASE("bytes and operations of a step, worked out from the shapes") {
  const Golden golden = LoadGolden("olmoe_bf16");
  ProfiledModel model(golden.directory, 1, nullptr);
  const ModelSpec& spec = model.decoder->spec();
  model.ops->Start();
  const auto rows = static_cast<double>(golden.sequences.front().tokens.size());
  FeedAlone(*model.decoder, golden.sequences.front().tokens);
  for (const ProfileEntry& entry : model.ops->profile().entries()) {
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
