#include "weights/low_rank_plan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

using Kind = LowRankTarget::Kind;
using Module = LowRankGroup::Module;
using Scratch = AdapterSource::Scratch;

LowRank& Find(AdapterWeights& weights, const LowRankTarget& target) {
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
      GH_CHECK(!"a target with one change");
      return weights.head;
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

absl::StatusOr<LowRankTensors> Read(PackContext& context, const LowRankChange& change, size_t scratch) {
  if (context.stop()) return absl::CancelledError("the load was cancelled");
  GH_ASSIGN_OR_RETURN(LowRankTensors tensors, context.source.ReadLowRank(change, context.scratch[scratch],
                                                                         context.scratch[scratch + 1]));
  GH_CHECK(tensors.a.shape == std::vector<int64_t>({change.rank, change.in}));
  GH_CHECK(tensors.b.shape == std::vector<int64_t>({change.out, change.rank}));
  GH_CHECK_EQ(tensors.gain.size(), static_cast<size_t>(change.dora ? change.out : 0));
  return tensors;
}

// (columns, rows) of `dtype` at `to`.
TensorView Transpose(const TensorView& view, DType dtype, std::byte* to) {
  const int64_t rows = view.shape[0], columns = view.shape[1];
  const size_t element = DTypeSize(dtype);
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < rows; ++r) {
      std::byte* place = to + static_cast<size_t>(c * rows + r) * element;
      const int64_t from = r * columns + c;
      if (view.dtype == dtype) {
        std::memcpy(place, view.data + static_cast<size_t>(from) * element, element);
        continue;
      }
      const float value = LoadElement(view.data, view.dtype, from);
      const uint16_t narrow = FloatToBF16(value);
      std::memcpy(place, dtype == DType::kF32 ? static_cast<const void*>(&value) : &narrow, element);
    }
  }
  return {dtype, {columns, rows}, to};
}

TensorView Transpose(const TensorView& view, Scratch& scratch) {
  scratch.resize(view.Bytes());
  return Transpose(view, view.dtype, scratch.data());
}

// The A of all modules as one matrix, each B by itself, the gains over all outputs.
struct ProductPlaces {
  PackPlace a, gain;
  std::vector<PackPlace> b;  // (modules)
};

absl::Status PackProduct(PackContext& context, const ModelSpec& spec, const Backend& backend,
                         const LowRankGroup& group, const ProductPlaces& places) {
  GH_CHECK_LE(2 * group.modules.size(), context.scratch.size());
  std::vector<LowRankTensors> tensors(group.modules.size());
  std::vector<TensorView> a(group.modules.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    GH_ASSIGN_OR_RETURN(tensors[i], Read(context, *group.modules[i].change, 2 * i));
    a[i] = tensors[i].a;
  }
  LowRank low_rank;
  const PackShape a_shape =
      PackShape::Stack(FormatOf(group.a_dtype()), group.rank(), group.modules[0].change->in);
  backend.Pack(a_shape, a, places.a.In(context));
  low_rank.a = a_shape.At(places.a.In(context));
  if (group.dora()) {
    auto* gain = reinterpret_cast<float*>(places.gain.In(context));
    std::fill_n(gain, OutputsOf(spec, group.target), 1.0f);
    low_rank.gain = gain;
  }
  int64_t rank_begin = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [change, module, out_begin] = group.modules[i];
    const DType dtype = BDType(*change);
    std::byte* const b = places.b[i].In(context);
    backend.Pack(ShapeOfB(dtype, out_begin, change->out, change->rank), {&tensors[i].b, 1}, b);
    low_rank.parts.push_back(
        {module, out_begin, change->out, rank_begin, change->rank, change->scale, dtype, b});
    rank_begin += change->rank;
    if (!change->dora) continue;
    const int64_t gain_begin = out_begin + module * (OutputsOf(spec, group.target) / 2);
    std::copy(tensors[i].gain.begin(), tensors[i].gain.end(), const_cast<float*>(low_rank.gain) + gain_begin);
  }
  Find(context.weights, group.target) = std::move(low_rank);
  return absl::OkStatus();
}

PackJob ProductJob(const ModelSpec& spec, const Backend& backend, LowRankGroup group, const TakePlace& take) {
  ProductPlaces places;
  PackJob job;
  const auto place = [&](size_t bytes) {
    job.bytes += bytes;
    return take(bytes);
  };
  places.a = place(backend.PackedBytes(
      PackShape::Stack(FormatOf(group.a_dtype()), group.rank(), group.modules[0].change->in)));
  for (const auto& [change, module, out_begin] : group.modules) {
    places.b.push_back(
        place(backend.PackedBytes(ShapeOfB(BDType(*change), out_begin, change->out, change->rank))));
  }
  if (group.dora()) {
    places.gain = place(static_cast<size_t>(OutputsOf(spec, group.target)) * sizeof(float));
  }
  job.run = [&spec, &backend, group = std::move(group), places = std::move(places)](PackContext& context) {
    return PackProduct(context, spec, backend, group, places);
  };
  return job;
}

// The table is looked up by token, so a token's row must lie together.
PackJob EmbeddingJob(const ModelSpec& spec, const Backend& backend, LowRankGroup group,
                     const TakePlace& take) {
  GH_CHECK_EQ(group.modules.size(), size_t{1});
  const LowRankChange& change = *group.modules[0].change;
  const size_t a_bytes = static_cast<size_t>(change.in * change.rank) * DTypeSize(change.dtype);
  const PackShape b_shape = ShapeOfB(BDType(change), 0, change.out, change.rank);
  const size_t b_bytes = backend.PackedBytes(b_shape);
  const size_t gain_bytes = change.dora ? static_cast<size_t>(spec.hidden) * sizeof(float) : 0;
  const PackPlace a = take(a_bytes), b = take(b_bytes);
  const PackPlace gain = gain_bytes > 0 ? take(gain_bytes) : PackPlace{};
  return {
      a_bytes + b_bytes + gain_bytes, [&backend, &change, b_shape, a, b, gain](PackContext& context) {
        GH_ASSIGN_OR_RETURN(const LowRankTensors tensors, Read(context, change, 0));
        LowRank& low_rank = context.weights.embedding;
        Transpose(tensors.a, change.dtype, a.In(context));
        low_rank.a = {change.rank, change.in, FormatOf(change.dtype), a.In(context)};
        backend.Pack(b_shape, {&tensors.b, 1}, b.In(context));
        low_rank.parts = {{0, 0, change.out, 0, change.rank, change.scale, BDType(change), b.In(context)}};
        if (change.dora) {
          auto* gains = reinterpret_cast<float*>(gain.In(context));
          std::copy(tensors.gain.begin(), tensors.gain.end(), gains);
          low_rank.gain = gains;
        }
        return absl::OkStatus();
      }};
}

// kv_b's change, cut by head and absorbed: k_up = A^T B_k^T, v_up = B_v A. What does not depend on the head
// is packed once.
struct KvBPlaces {
  PackPlace k_b, v_a, gain;
  std::vector<PackPlace> k_a, v_b;  // (heads)
};

absl::Status PackKvB(PackContext& context, const AttentionSpec& spec, const Backend& backend,
                     const LowRankGroup& group, const KvBPlaces& places) {
  const LowRankChange& change = *group.modules[0].change;
  const DType dtype = change.dtype, b_dtype = BDType(change);
  GH_ASSIGN_OR_RETURN(const LowRankTensors tensors, Read(context, change, 0));
  // The key part's outputs are the inputs of its absorbed form: there the gain scales the input.
  const float* gain = nullptr;
  if (change.dora) {
    auto* gains = reinterpret_cast<float*>(places.gain.In(context));
    std::copy(tensors.gain.begin(), tensors.gain.end(), gains);
    gain = gains;
  }
  LayerAdapter& layer = context.weights.layers[static_cast<size_t>(group.target.layer)];
  const TensorView a_transposed = Transpose(tensors.a, context.scratch[2]);
  std::byte* const k_b = places.k_b.In(context);
  backend.Pack(ShapeOfB(dtype, 0, spec.kv_lora_rank, change.rank), {&a_transposed, 1}, k_b);
  const PackShape v_shape = PackShape::Stack(FormatOf(dtype), change.rank, spec.kv_lora_rank);
  backend.Pack(v_shape, {&tensors.a, 1}, places.v_a.In(context));
  const PackShape k_shape = PackShape::Stack(FormatOf(b_dtype), change.rank, spec.qk_nope_dim);
  for (size_t head = 0; head < places.k_a.size(); ++head) {
    if (context.stop()) return absl::CancelledError("the load was cancelled");
    const int64_t begin = static_cast<int64_t>(head) * (spec.qk_nope_dim + spec.v_head_dim);
    const int64_t middle = begin + spec.qk_nope_dim, end = middle + spec.v_head_dim;
    const TensorView k = Transpose(tensors.b.Rows(begin, middle), context.scratch[3]);
    const TensorView v = tensors.b.Rows(middle, end);
    backend.Pack(k_shape, {&k, 1}, places.k_a[head].In(context));
    layer.k_up[head].a = k_shape.At(places.k_a[head].In(context));
    layer.k_up[head].in_gain = gain == nullptr ? nullptr : gain + begin;
    layer.k_up[head].parts = {{0, 0, spec.kv_lora_rank, 0, change.rank, change.scale, dtype, k_b}};
    std::byte* const v_b = places.v_b[head].In(context);
    backend.Pack(ShapeOfB(b_dtype, 0, spec.v_head_dim, change.rank), {&v, 1}, v_b);
    layer.v_up[head].a = v_shape.At(places.v_a.In(context));
    layer.v_up[head].gain = gain == nullptr ? nullptr : gain + middle;
    layer.v_up[head].parts = {{0, 0, spec.v_head_dim, 0, change.rank, change.scale, b_dtype, v_b}};
  }
  return absl::OkStatus();
}

PackJob KvBJob(const ModelSpec& spec, const Backend& backend, LowRankGroup group, const TakePlace& take) {
  GH_CHECK_EQ(group.modules.size(), size_t{1});
  const AttentionSpec& attention = spec.attention;
  const LowRankChange& change = *group.modules[0].change;
  PackJob job;
  const auto place = [&](size_t bytes) {
    job.bytes += bytes;
    return take(bytes);
  };
  KvBPlaces places;
  places.k_b = place(backend.PackedBytes(ShapeOfB(change.dtype, 0, attention.kv_lora_rank, change.rank)));
  places.v_a = place(
      backend.PackedBytes(PackShape::Stack(FormatOf(change.dtype), change.rank, attention.kv_lora_rank)));
  if (change.dora) places.gain = place(static_cast<size_t>(change.out) * sizeof(float));
  for (int head = 0; head < attention.heads; ++head) {
    places.k_a.push_back(place(
        backend.PackedBytes(PackShape::Stack(FormatOf(BDType(change)), change.rank, attention.qk_nope_dim))));
    places.v_b.push_back(
        place(backend.PackedBytes(ShapeOfB(BDType(change), 0, attention.v_head_dim, change.rank))));
  }
  job.run = [&attention, &backend, group = std::move(group), places = std::move(places)](
                PackContext& context) { return PackKvB(context, attention, backend, group, places); };
  return job;
}

}  // namespace

PackJob LowRankJob(const ModelSpec& spec, const Backend& backend, LowRankGroup group, const TakePlace& take) {
  if (group.target.kind == Kind::kEmbedding) return EmbeddingJob(spec, backend, std::move(group), take);
  if (group.target.kind == Kind::kKvB) return KvBJob(spec, backend, std::move(group), take);
  return ProductJob(spec, backend, std::move(group), take);
}

}  // namespace guildhall
