// A tuned checkpoint becomes adapters of its base, and they give its weights back.
#include "tools/diff.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>

#include "base/str_cat.h"
#include "tests/adapters/adapter_builder.h"
#include "tests/adapters/merged_base.h"
#include "tools/low_rank_fit.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;
namespace fs = std::filesystem;

void WriteModel(const TestFolder& folder, const Json& config, const TestTensors& tensors) {
  folder.Write("config.json", config);
  folder.Write("model.safetensors", SafetensorsBytes(tensors));
}

void AddTo(TestTensor& tensor, size_t index, float value) {
  float number = 0;
  std::memcpy(&number, &tensor.bytes[index * sizeof(float)], sizeof(number));
  number += value;
  std::memcpy(&tensor.bytes[index * sizeof(float)], &number, sizeof(number));
}

// A change u v^T of rank one.
void AddRankOne(TestTensor& tensor) {
  const size_t columns = static_cast<size_t>(tensor.shape[1]);
  for (size_t i = 0; i < static_cast<size_t>(tensor.shape[0]) * columns; ++i) {
    AddTo(tensor, i,
          (1.0f + static_cast<float>(i / columns)) * (0.5f - 0.25f * static_cast<float>(i % columns)));
  }
}

// Base and tuned folders of the tiny OLMoE, and a place for what comes out.
struct Folders {
  TestFolder base, tuned, place;
  TestTensors tensors = TinyOlmoeTensors();
  Json config = TinyOlmoeConfig();

  std::string out() const { return place.Path("out"); }
  absl::StatusOr<DiffReport> Diff(int64_t low_rank = 0, const Json& tuned_config = TinyOlmoeConfig()) {
    WriteModel(base, config, TinyOlmoeTensors());
    WriteModel(tuned, tuned_config, tensors);
    return DiffCheckpoints(base.path(), tuned.path(), out(), {low_rank});
  }
  std::string RefusalOf(int64_t low_rank = 0, const Json& tuned_config = TinyOlmoeConfig()) {
    const auto report = Diff(low_rank, tuned_config);
    CHECK(report.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(fs::is_empty(place.path()));
    return std::string(report.status().message());
  }
  // The tuned weights must be the base's with what was written.
  void CheckMerged(double tolerance) {
    const auto own = Checkpoint::Open(base.path()), other = Checkpoint::Open(tuned.path());
    REQUIRE(own.ok());
    REQUIRE(other.ok());
    std::vector<std::unique_ptr<AdapterSource>> sources;
    MergedBase::Mix mix;
    for (const std::string& folder : {out(), out() + "-lora"}) {
      if (!fs::exists(folder)) continue;
      auto source = OpenAdapterFolder(folder, **own);
      INFO(source.status());
      REQUIRE(source.ok());
      mix.emplace_back(source->get(), 1.0f);
      sources.push_back(*std::move(source));
    }
    const MergedBase merged(**own, mix);
    std::vector<std::byte> a, b;
    for (const WeightRole role :
         {WeightRole::kEmbedding, WeightRole::kHead, WeightRole::kQ, WeightRole::kK, WeightRole::kO,
          WeightRole::kExpertGate, WeightRole::kExpertUp, WeightRole::kExpertDown, WeightRole::kRouter}) {
      const bool outside = role == WeightRole::kEmbedding || role == WeightRole::kHead;
      const bool expert =
          role == WeightRole::kExpertGate || role == WeightRole::kExpertUp || role == WeightRole::kExpertDown;
      for (int e = expert ? 0 : -1; e < (expert ? 2 : 0); ++e) {
        const WeightKey key{role, outside ? -1 : 0, e};
        const WeightKey there = (*other)->Has(key) ? key : WeightKey{WeightRole::kEmbedding};
        const TensorView found = *merged.Read(key, a), expected = *(*other)->Read(there, b);
        for (int64_t i = 0; i < expected.Elements(); ++i) {
          const double wanted = LoadElement(expected.data, expected.dtype, i);
          REQUIRE(std::fabs(LoadElement(found.data, found.dtype, i) - wanted) <=
                  tolerance * (1 + std::fabs(wanted)));
        }
      }
    }
  }
};

const std::string kLayer = "model.layers.0.";

}  // namespace

TEST_CASE("changed experts become an ESFT folder with the tuned numbers") {
  Folders folders;
  AddTo(folders.tensors[kLayer + "mlp.experts.1.up_proj.weight"], 5, 0.125f);
  const auto report = folders.Diff();
  INFO(report.status());
  REQUIRE(report.ok());
  CHECK(report->experts == std::map<int, std::vector<int>>{{0, {1}}});
  CHECK(report->shared_layers.empty());
  CHECK(report->low_rank.empty());
  CHECK(report->esft_bytes == 36 * 4);
  CHECK(report->esft_directory == folders.out());
  CHECK(report->lora_directory == "");
  CHECK_FALSE(fs::exists(folders.out() + "-lora"));
  folders.CheckMerged(0.0);
  const auto own = Checkpoint::Open(folders.base.path());
  const auto source = OpenAdapterFolder(folders.out(), **own);
  REQUIRE(source.ok());
  CHECK((*source)->manifest().kind == "esft");
  CHECK((*source)->manifest().notes.empty());
}

TEST_CASE("what changed outside the experts is refused by name, twenty of them at most") {
  Folders folders;
  AddTo(folders.tensors[kLayer + "mlp.experts.1.up_proj.weight"], 5, 1);
  AddTo(folders.tensors[kLayer + "self_attn.q_proj.weight"], 5, 1);
  AddTo(folders.tensors[kLayer + "input_layernorm.weight"], 0, 1);
  AddTo(folders.tensors["lm_head.weight"], 0, 1);
  CHECK_THAT(folders.RefusalOf(), Contains("lm_head.weight, model.layers.0.input_layernorm.weight, "
                                           "model.layers.0.self_attn.q_proj.weight:"));
  CHECK_THAT(folders.RefusalOf(4), Contains("found changes of model.layers.0.input_layernorm.weight: norms"));
}

TEST_CASE("with a rank, matrices outside the experts become a LoRA that gives them back") {
  Folders folders;
  AddTo(folders.tensors[kLayer + "mlp.experts.0.down_proj.weight"], 3, 2);
  for (const std::string& name : {kLayer + "self_attn.q_proj.weight", kLayer + "self_attn.o_proj.weight",
                                  std::string("lm_head.weight"), std::string("model.embed_tokens.weight")}) {
    AddRankOne(folders.tensors[name]);
  }
  const auto report = folders.Diff(1);
  INFO(report.status());
  REQUIRE(report.ok());
  REQUIRE(report->low_rank.size() == 4);
  for (const DiffReport::Fitted& fitted : report->low_rank) {
    INFO(fitted.module);
    CHECK(fitted.rank == 1);
    CHECK(fitted.relative_error < 1e-6);
  }
  CHECK(report->experts.at(0) == std::vector<int>{0});
  folders.CheckMerged(1e-6);
}

TEST_CASE("tied embeddings: one change of the tensor is two changes of the model") {
  Folders folders;
  folders.config["tie_word_embeddings"] = true;
  WriteModel(folders.base, folders.config, TinyOlmoeTensors());
  TestTensors own = TinyOlmoeTensors();
  own.erase("lm_head.weight");
  folders.tensors = own;
  AddRankOne(folders.tensors["model.embed_tokens.weight"]);
  WriteModel(folders.base, folders.config, own);
  WriteModel(folders.tuned, folders.config, folders.tensors);
  const auto report = DiffCheckpoints(folders.base.path(), folders.tuned.path(), folders.out(), {8});
  INFO(report.status());
  REQUIRE(report.ok());
  REQUIRE(report->low_rank.size() == 2);
  CHECK(report->low_rank[1].module == "lm_head");
  CHECK(report->low_rank[0].rank == 4);  // the matrix has no more than its smaller side
  CHECK(report->esft_directory == "");
  folders.CheckMerged(1e-5);
}

TEST_CASE("routers, other architectures, equal checkpoints and places that are taken are refused") {
  {
    Folders folders;
    AddTo(folders.tensors[kLayer + "mlp.gate.weight"], 1, 1);
    CHECK_THAT(folders.RefusalOf(2), Contains("mlp.gate.weight: norms, biases and routers"));
  }
  {
    Folders folders;
    CHECK_THAT(folders.RefusalOf(), Contains("found the same numbers"));
  }
  {
    Folders folders;
    AddTo(folders.tensors[kLayer + "mlp.experts.1.up_proj.weight"], 5, 1);
    Json config = TinyOlmoeConfig();
    config["rope_theta"] = 500.0;
    CHECK_THAT(folders.RefusalOf(0, config), Contains("found another one: rope theta: 10000 and 500"));
    fs::create_directory(folders.out());
    CHECK_THAT(std::string(folders.Diff().status().message()), Contains("expected a new folder"));
    fs::remove(folders.out());
    CHECK(folders.Diff().ok());
  }
  Folders folders;
  CHECK_FALSE(
      DiffCheckpoints(folders.place.Path("absent"), folders.place.Path("absent"), folders.out()).ok());
}

TEST_CASE("numbers that another dtype holds as well as it can are no change") {
  Folders folders;
  AddTo(folders.tensors[kLayer + "mlp.experts.1.up_proj.weight"], 5, 64.0f);
  for (auto& [name, tensor] : folders.tensors) {
    std::string narrow;
    for (size_t i = 0; i * 4 < tensor.bytes.size(); ++i) {
      float value = 0;
      std::memcpy(&value, &tensor.bytes[i * 4], sizeof(value));
      const uint16_t bits = FloatToBF16(value);
      narrow.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
    }
    tensor.bytes = narrow;
    tensor.dtype = "BF16";
  }
  const auto report = folders.Diff();
  INFO(report.status());
  REQUIRE(report.ok());
  CHECK(report->experts == std::map<int, std::vector<int>>{{0, {1}}});
  CHECK(report->esft_bytes == 36 * 2);
}

TEST_CASE("a low-rank fit is the truncated singular value decomposition") {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  // Orthogonal sines as singular vectors, with singular values 8, 4, 2, 1, 0.5.
  const int64_t out = 40, in = 24;
  std::vector<double> matrix(static_cast<size_t>(out * in));
  const double values[] = {8, 4, 2, 1, 0.5};
  for (int64_t k = 0; k < 5; ++k) {
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        const double u = std::sqrt(2.0 / (out + 1)) * std::sin(M_PI * double((k + 1) * (o + 1)) / (out + 1));
        const double v = std::sqrt(2.0 / (in + 1)) * std::sin(M_PI * double((k + 1) * (i + 1)) / (in + 1));
        matrix[static_cast<size_t>(o * in + i)] += values[k] * u * v;
      }
    }
  }
  const double whole = 64 + 16 + 4 + 1 + 0.25;
  const double left[] = {16 + 4 + 1 + 0.25, 4 + 1 + 0.25, 1 + 0.25, 0.25};
  for (int64_t rank = 1; rank <= 4; ++rank) {
    CHECK(FitLowRank(matrix, out, in, rank).relative_error ==
          Approx(std::sqrt(left[rank - 1] / whole)).epsilon(1e-6));
  }
  CHECK(FitLowRank(matrix, out, in, 5).relative_error < 1e-6);
  CHECK(FitLowRank(matrix, out, in, 20).relative_error < 1e-6);
  CHECK(FitLowRank(std::vector<double>(12), 4, 3, 2).relative_error == 0.0);
  std::vector<double> noise(12);
  for (double& value : noise) value = normal(random);
  CHECK(FitLowRank(noise, 3, 4, 3).relative_error < 1e-6);
}

}  // namespace guildhall
