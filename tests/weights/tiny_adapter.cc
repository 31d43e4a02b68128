#include "tests/weights/tiny_adapter.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status.h"
#include "weights/product_layout.h"

namespace guildhall {

ModelSpec TinySpec(bool latent) {
  ModelSpec spec;
  spec.hidden = 32;
  spec.vocabulary = 50;
  spec.layers.resize(3);
  spec.layers[1].moe = spec.layers[2].moe = true;
  spec.dense_width = 48;
  spec.gate.experts = 4;
  spec.gate.k = 2;
  spec.expert_width = 24;
  spec.shared_width = 40;
  spec.shared_gate = true;
  AttentionSpec& a = spec.attention;
  a.heads = 2;
  if (latent) {
    a.kind = AttentionSpec::Kind::kLatent;
    a.q_lora_rank = 20;
    a.kv_lora_rank = 18;
    a.qk_nope_dim = 12;
    a.qk_rope_dim = 8;
    a.v_head_dim = 14;
  } else {
    a.kv_heads = 1;
    a.head_dim = 16;
  }
  return spec;
}

float TinyValue(uint64_t seed, const WeightKey& key, int part, int64_t row, int64_t column) {
  uint64_t h = seed * 0x9e3779b97f4a7c15u;
  for (const int64_t v : {static_cast<int64_t>(key.role), int64_t{key.layer}, int64_t{key.expert},
                          int64_t{part}, row, column}) {
    h = (h ^ static_cast<uint64_t>(v)) * 0xbf58476d1ce4e5b9u;
    h ^= h >> 29;
  }
  return static_cast<float>(static_cast<int64_t>(h % 129) - 64) / 64.0f;
}

TensorView TinyTensor(uint64_t seed, const WeightKey& key, int part, DType dtype, int64_t rows,
                      int64_t columns, std::vector<std::byte>& memory) {
  memory.resize(static_cast<size_t>(rows * columns) * DTypeSize(dtype));
  GH_CHECK(dtype != DType::kF16);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const float value = TinyValue(seed, key, part, r, c);
      const uint16_t narrow = FloatToBF16(value);
      std::memcpy(memory.data() + static_cast<size_t>(r * columns + c) * DTypeSize(dtype),
                  dtype == DType::kF32 ? static_cast<const void*>(&value) : &narrow, DTypeSize(dtype));
    }
  }
  return {dtype, {rows, columns}, memory.data()};
}

absl::Status TinySource::CountRead() const {
  const int64_t read = ++world_->reads;
  if (world_->on_read) world_->on_read(read);
  if (read == world_->fail_at) return absl::DataLossError("the tensor cannot be read (a test's wish)");
  return absl::OkStatus();
}

absl::StatusOr<TensorView> TinySource::ReadReplaced(const WeightKey& key, Scratch& scratch) const {
  GH_RETURN_IF_ERROR(CountRead());
  const auto ffn = std::find_if(manifest_.replaced.begin(), manifest_.replaced.end(), [&](const auto& r) {
    return r.layer == key.layer && r.expert == key.expert;
  });
  GH_CHECK(ffn != manifest_.replaced.end());
  const bool gate = key.role == WeightRole::kExpertGate || key.role == WeightRole::kSharedGate;
  const bool up = key.role == WeightRole::kExpertUp || key.role == WeightRole::kSharedUp;
  const WeightShape shape = ShapeOf(spec_, key);
  return TinyTensor(seed_, key, 0, gate ? ffn->gate : up ? ffn->up : ffn->down, shape.out, shape.in, scratch);
}

absl::StatusOr<LowRankTensors> TinySource::ReadLowRank(const LowRankChange& change, Scratch& a,
                                                       Scratch& b) const {
  GH_RETURN_IF_ERROR(CountRead());
  LowRankTensors tensors{TinyTensor(seed_, change.key, 1, change.dtype, change.rank, change.in, a),
                         TinyTensor(seed_, change.key, 2, change.dtype, change.out, change.rank, b),
                         {}};
  if (change.dora) {
    for (int64_t o = 0; o < change.out; ++o) {
      tensors.gain.push_back(1.0f + TinyValue(seed_, change.key, 3, o, 0) / 4.0f);
    }
  }
  return tensors;
}

absl::Status TinySource::CheckUnchanged() const {
  if (!world_->changed) return absl::OkStatus();
  return absl::DataLossError("the file was written to");
}

LowRankChange TinyChange(const ModelSpec& spec, const WeightKey& key, int64_t rank, float scale, DType dtype,
                         bool dora) {
  WeightShape shape = ShapeOf(spec, key);
  if (key.role == WeightRole::kEmbedding) std::swap(shape.out, shape.in);
  return {key, "module", rank, shape.in, shape.out, scale, dtype, dora};
}

AdapterManifest EsftManifest(const std::vector<std::pair<int, int>>& experts, DType dtype) {
  AdapterManifest manifest;
  manifest.kind = "esft";
  manifest.fingerprint = "1";
  for (const auto& [layer, expert] : experts)
    manifest.replaced.push_back({layer, expert, dtype, dtype, dtype});
  return manifest;
}

AdapterManifest LoraManifest(std::vector<LowRankChange> changes) {
  AdapterManifest manifest;
  manifest.kind = "lora";
  manifest.fingerprint = "1";
  manifest.low_rank = std::move(changes);
  return manifest;
}

OpenAdapter OpenTiny(const ModelSpec& spec, AdapterManifest manifest, uint64_t seed,
                     std::shared_ptr<TinyWorld> world) {
  if (world == nullptr) world = std::make_shared<TinyWorld>();
  return [&spec, manifest = std::move(manifest), seed,
          world = std::move(world)]() -> absl::StatusOr<std::unique_ptr<AdapterSource>> {
    ++world->opens;
    AdapterManifest opened = manifest;
    opened.fingerprint = world->fingerprint;
    return std::make_unique<TinySource>(spec, std::move(opened), seed, world);
  };
}

}  // namespace guildhall
