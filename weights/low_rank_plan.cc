#include "weights/low_rank_plan.h"

#include <algorithm>
#include <utility>

#include "base/align.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/pack_tensors.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

using Kind = LowRankTarget::Kind;

LowRankPlan& Find(AdapterWeights& weights, const LowRankTarget& target) {
  if (target.kind == Kind::kHead) return weights.head;
  if (target.kind == Kind::kEmbedding) return weights.embedding;
  LayerAdapter& layer = weights.layers[static_cast<size_t>(target.layer)];
  const auto index = static_cast<size_t>(target.index);
  switch (target.kind) {
    case Kind::kProduct:
      return layer.products[index];
    case Kind::kExpertGateUp:
      return layer.experts_low_rank[index].gate_up;
    case Kind::kExpertDown:
      return layer.experts_low_rank[index].down;
    case Kind::kSharedGateUp:
      return layer.shared_low_rank.gate_up;
    case Kind::kSharedDown:
      return layer.shared_low_rank.down;
    case Kind::kDenseGateUp:
      return layer.dense_low_rank.gate_up;
    case Kind::kDenseDown:
      return layer.dense_low_rank.down;
    default:
      CheckFailed(__FILE__, __LINE__, "a target with one change");
  }
}

int64_t OutputsOf(const ModelSpec& spec, const LowRankTarget& target) {
  switch (target.kind) {
    case Kind::kProduct:
      return ProductOut(spec, static_cast<Product>(target.index));
    case Kind::kExpertGateUp:
      return 2 * spec.expert_width;
    case Kind::kSharedGateUp:
      return 2 * spec.shared_width;
    case Kind::kDenseGateUp:
      return 2 * spec.dense_width;
    case Kind::kHead:
      return spec.vocabulary;
    default:
      return spec.hidden;
  }
}

DType BDType(const LowRankChange& change) {
  return change.dora ? DType::kF32 : change.dtype;
}

PackShape ShapeOfB(DType dtype, int64_t out_begin, int64_t out, int64_t rank) {
  return PackShape::LowRankB(FormatOf(dtype), out_begin, out, rank);
}

absl::StatusOr<LowRankTensors> Read(const AdapterSource& source, const LowRankChange& change, size_t first,
                                    PackScratch& scratch) {
  GH_RETURN_IF_ERROR(scratch.CheckStopped());
  GH_ASSIGN_OR_RETURN(LowRankTensors tensors, source.ReadLowRank(change, scratch[first], scratch[first + 1]));
  GH_CHECK(tensors.a.shape == std::vector<int64_t>({change.rank, change.in}));
  GH_CHECK(tensors.b.shape == std::vector<int64_t>({change.out, change.rank}));
  GH_CHECK_EQ(tensors.gain.size(), static_cast<size_t>(change.dora ? change.out : 0));
  return tensors;
}

// Gives the parts of an item their offsets.
class Places {
 public:
  size_t Take(size_t bytes) {
    const size_t offset = AlignUp(end_);
    end_ = offset + bytes;
    tensor_bytes_ += bytes;
    return offset;
  }
  size_t TakeFloats(int64_t count) { return Take(static_cast<size_t>(count) * sizeof(float)); }

  // An item of all that was taken.
  LowRankItem Item(const LowRankGroup& group) const {
    const LowRankTarget& target = group.target;
    LowRankItem item;
    item.tensor_bytes = tensor_bytes_;
    item.item.name =
        StrCat("layers.", target.layer, ".low_rank.", static_cast<int>(target.kind), ".", target.index);
    item.item.format = FormatOf(group.a_dtype());
    item.item.out = group.rank();
    item.item.in = group.modules[0].change->in;
    item.item.bytes = end_;
    return item;
  }

 private:
  size_t end_ = 0, tensor_bytes_ = 0;
};

const float* Floats(const std::byte* home, size_t offset) {
  return reinterpret_cast<const float*>(home + offset);
}

// The A of all modules as one matrix, each B by itself, the gains over all outputs.
struct ProductPlaces {
  PackShape a_shape;
  int64_t outputs = 0;  // of the product
  size_t a = 0, gain = 0;
  std::vector<size_t> b;  // (modules)
};

absl::Status FillProduct(const AdapterSource& source, const Backend& backend, const LowRankGroup& group,
                         const ProductPlaces& places, std::byte* place, PackScratch& scratch) {
  GH_CHECK_LE(2 * group.modules.size(), PackScratch::kBuffers);
  std::vector<LowRankTensors> tensors(group.modules.size());
  std::vector<TensorView> a(group.modules.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    GH_ASSIGN_OR_RETURN(tensors[i], Read(source, *group.modules[i].change, 2 * i, scratch));
    a[i] = tensors[i].a;
  }
  backend.Pack(places.a_shape, a, place + places.a);
  auto* const gain = reinterpret_cast<float*>(place + places.gain);
  if (group.dora()) std::fill_n(gain, places.outputs, 1.0f);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [change, module, out_begin] = group.modules[i];
    backend.Pack(ShapeOfB(BDType(*change), out_begin, change->out, change->rank), {&tensors[i].b, 1},
                 place + places.b[i]);
    const int64_t gain_begin = out_begin + module * (places.outputs / 2);
    std::copy(tensors[i].gain.begin(), tensors[i].gain.end(), gain + gain_begin);
  }
  return absl::OkStatus();
}

void ViewProduct(const LowRankGroup& group, const ProductPlaces& places, const std::byte* home,
                 AdapterWeights& weights) {
  LowRankPlan& low_rank = Find(weights, group.target);
  low_rank.a = places.a_shape.At(home + places.a);
  if (group.dora()) low_rank.gain = Floats(home, places.gain);
  int64_t rank_begin = 0;
  for (size_t i = 0; i < group.modules.size(); ++i) {
    const auto& [change, module, out_begin] = group.modules[i];
    low_rank.parts.push_back({module, out_begin, change->out, rank_begin, change->rank, change->scale,
                              BDType(*change), home + places.b[i]});
    rank_begin += change->rank;
  }
}

LowRankItem PlanProduct(const ModelSpec& spec, const Backend& backend, const AdapterSource* source,
                        LowRankGroup group) {
  ProductPlaces places;
  Places taken;
  places.a_shape = PackShape::Stack(FormatOf(group.a_dtype()), group.rank(), group.modules[0].change->in);
  places.outputs = OutputsOf(spec, group.target);
  places.a = taken.Take(backend.PackedBytes(places.a_shape));
  for (const auto& [change, module, out_begin] : group.modules) {
    places.b.push_back(
        taken.Take(backend.PackedBytes(ShapeOfB(BDType(*change), out_begin, change->out, change->rank))));
  }
  if (group.dora()) places.gain = taken.TakeFloats(places.outputs);
  LowRankItem item = taken.Item(group);
  item.item.fill = [source, &backend, group, places](std::byte* place, PackScratch& scratch) {
    return FillProduct(*source, backend, group, places, place, scratch);
  };
  item.view = [group = std::move(group), places](const std::byte* home, AdapterWeights& weights) {
    ViewProduct(group, places, home, weights);
  };
  return item;
}

// The table is looked up by token, so a token's row must lie together.
LowRankItem PlanEmbedding(const ModelSpec& spec, const Backend& backend, const AdapterSource* source,
                          const LowRankGroup& group) {
  GH_CHECK_EQ(group.modules.size(), size_t{1});
  const LowRankChange& change = *group.modules[0].change;
  const PackShape b_shape = ShapeOfB(BDType(change), 0, change.out, change.rank);
  Places taken;
  const size_t a = taken.Take(static_cast<size_t>(change.in * change.rank) * DTypeSize(change.dtype));
  const size_t b = taken.Take(backend.PackedBytes(b_shape));
  const size_t gain = change.dora ? taken.TakeFloats(spec.hidden) : 0;
  LowRankItem item = taken.Item(group);
  item.item.fill = [source, &backend, &change, b_shape, a, b, gain](std::byte* place,
                                                                    PackScratch& scratch) -> absl::Status {
    GH_ASSIGN_OR_RETURN(const LowRankTensors tensors, Read(*source, change, 0, scratch));
    TransposeTo(tensors.a, change.dtype, place + a);
    backend.Pack(b_shape, {&tensors.b, 1}, place + b);
    std::copy(tensors.gain.begin(), tensors.gain.end(), reinterpret_cast<float*>(place + gain));
    return absl::OkStatus();
  };
  item.view = [&change, a, b, gain](const std::byte* home, AdapterWeights& weights) {
    LowRankPlan& low_rank = weights.embedding;
    low_rank.a = {change.rank, change.in, FormatOf(change.dtype), home + a};
    low_rank.parts = {{0, 0, change.out, 0, change.rank, change.scale, BDType(change), home + b}};
    if (change.dora) low_rank.gain = Floats(home, gain);
  };
  return item;
}

// kv_b's change, cut by head and absorbed: k_up = A^T B_k^T, v_up = B_v A. What does not depend on the head
// is packed once.
struct KvBPlaces {
  PackShape k_a_shape, k_b_shape, v_a_shape, v_b_shape;
  size_t k_b = 0, v_a = 0, gain = 0;
  std::vector<size_t> k_a, v_b;  // (heads)

  // Outputs of kv_b: a head's key part, then its value part.
  int64_t KeyBegin(size_t head) const { return static_cast<int64_t>(head) * (k_a_shape.in + v_b_shape.out); }
  int64_t ValueBegin(size_t head) const { return KeyBegin(head) + k_a_shape.in; }
};

absl::Status FillKvB(const AdapterSource& source, const Backend& backend, const LowRankChange& change,
                     const KvBPlaces& places, std::byte* place, PackScratch& scratch) {
  GH_ASSIGN_OR_RETURN(const LowRankTensors tensors, Read(source, change, 0, scratch));
  std::copy(tensors.gain.begin(), tensors.gain.end(), reinterpret_cast<float*>(place + places.gain));
  const TensorView a_transposed = Transpose(tensors.a, scratch[2]);
  backend.Pack(places.k_b_shape, {&a_transposed, 1}, place + places.k_b);
  backend.Pack(places.v_a_shape, {&tensors.a, 1}, place + places.v_a);
  for (size_t head = 0; head < places.k_a.size(); ++head) {
    GH_RETURN_IF_ERROR(scratch.CheckStopped());
    const int64_t middle = places.ValueBegin(head);
    const TensorView k = Transpose(tensors.b.Rows(places.KeyBegin(head), middle), scratch[3]);
    const TensorView v = tensors.b.Rows(middle, places.KeyBegin(head + 1));
    backend.Pack(places.k_a_shape, {&k, 1}, place + places.k_a[head]);
    backend.Pack(places.v_b_shape, {&v, 1}, place + places.v_b[head]);
  }
  return absl::OkStatus();
}

void ViewKvB(const LowRankGroup& group, const KvBPlaces& places, const std::byte* home,
             AdapterWeights& weights) {
  const LowRankChange& change = *group.modules[0].change;
  LayerAdapter& layer = weights.layers[static_cast<size_t>(group.target.layer)];
  for (size_t head = 0; head < places.k_a.size(); ++head) {
    LowRankPlan &k_up = layer.k_up[head], &v_up = layer.v_up[head];
    k_up.a = places.k_a_shape.At(home + places.k_a[head]);
    k_up.parts = {
        {0, 0, places.k_b_shape.out, 0, change.rank, change.scale, change.dtype, home + places.k_b}};
    v_up.a = places.v_a_shape.At(home + places.v_a);
    v_up.parts = {
        {0, 0, places.v_b_shape.out, 0, change.rank, change.scale, BDType(change), home + places.v_b[head]}};
    if (!change.dora) continue;
    // The key part's outputs are the inputs of its absorbed form: there the gain scales the input.
    k_up.in_gain = Floats(home, places.gain) + places.KeyBegin(head);
    v_up.gain = Floats(home, places.gain) + places.ValueBegin(head);
  }
}

LowRankItem PlanKvB(const ModelSpec& spec, const Backend& backend, const AdapterSource* source,
                    LowRankGroup group) {
  GH_CHECK_EQ(group.modules.size(), size_t{1});
  const AttentionSpec& attention = spec.attention;
  const LowRankChange& change = *group.modules[0].change;
  KvBPlaces places;
  Places taken;
  places.k_a_shape = PackShape::Stack(FormatOf(BDType(change)), change.rank, attention.qk_nope_dim);
  places.k_b_shape = ShapeOfB(change.dtype, 0, attention.kv_lora_rank, change.rank);
  places.v_a_shape = PackShape::Stack(FormatOf(change.dtype), change.rank, attention.kv_lora_rank);
  places.v_b_shape = ShapeOfB(BDType(change), 0, attention.v_head_dim, change.rank);
  places.k_b = taken.Take(backend.PackedBytes(places.k_b_shape));
  places.v_a = taken.Take(backend.PackedBytes(places.v_a_shape));
  if (change.dora) places.gain = taken.TakeFloats(change.out);
  for (int head = 0; head < attention.heads; ++head) {
    places.k_a.push_back(taken.Take(backend.PackedBytes(places.k_a_shape)));
    places.v_b.push_back(taken.Take(backend.PackedBytes(places.v_b_shape)));
  }
  LowRankItem item = taken.Item(group);
  item.item.fill = [source, &backend, &change, places](std::byte* place, PackScratch& scratch) {
    return FillKvB(*source, backend, change, places, place, scratch);
  };
  item.view = [group = std::move(group), places](const std::byte* home, AdapterWeights& weights) {
    ViewKvB(group, places, home, weights);
  };
  return item;
}

}  // namespace

LowRankItem PlanLowRank(const ModelSpec& spec, const Backend& backend, const AdapterSource* source,
                        LowRankGroup group) {
  if (group.target.kind == Kind::kEmbedding) return PlanEmbedding(spec, backend, source, group);
  if (group.target.kind == Kind::kKvB) return PlanKvB(spec, backend, source, std::move(group));
  return PlanProduct(spec, backend, source, std::move(group));
}

}  // namespace guildhall
