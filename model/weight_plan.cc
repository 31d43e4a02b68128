#include "model/weight_plan.h"

#include <algorithm>
#include <utility>

#include "base/align.h"
#include "base/str_cat.h"
#include "checkpoint/attention_layout.h"
#include "model/weight_fill.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

// Walks a model's weights: gives each its place and records how to fill it.
class Walk {
 public:
  Walk(const WeightSource& source, const Backend& backend, const FormatRule& rule, const std::byte* memory)
      : source_(source),
        backend_(backend),
        rule_(rule),
        spec_(source.spec()),
        layout_(spec_),
        memory_(memory) {}

  WeightPlan Run(DecoderWeights& weights) {
    Embedding(weights);
    weights.layers.resize(spec_.layers.size());
    for (size_t i = 0; i < spec_.layers.size(); ++i) Layer(static_cast<int>(i), weights.layers[i]);
    layer_.clear();
    Vector("final_norm", {{WeightRole::kFinalNorm}}, {spec_.hidden}, weights.final_norm);
    const WeightKey head{source_.Has({WeightRole::kHead}) ? WeightRole::kHead : WeightRole::kEmbedding};
    Stack("head", MatrixKind::kHead, {head}, spec_.vocabulary, spec_.hidden, weights.head);
    return std::move(plan_);
  }

 private:
  using Fill = std::function<absl::Status(std::byte*, PackScratch&)>;

  // The name of something of the layer that is walked.
  std::string Name(std::string_view what) const { return StrCat(layer_, what); }

  const std::byte* Take(PackedItem item, Fill fill) {
    item.offset = plan_.bytes;
    plan_.bytes += AlignUp(item.bytes);
    item.fill = std::move(fill);
    plan_.items.push_back(std::move(item));
    return memory_ == nullptr ? nullptr : memory_ + plan_.items.back().offset;
  }

  // Matrices stacked by rows, as one product.
  void Stack(std::string_view what, MatrixKind kind, std::vector<WeightKey> keys, int64_t out, int64_t in,
             Matrix& matrix) {
    PackedItem item{.name = Name(what), .out = out, .in = in};
    item.format = rule_(item.name, kind, keys);
    const PackShape shape = PackShape::Stack(item.format, out, in);
    matrix = shape.At(TakePacked(std::move(item), shape, keys));
  }

  const std::byte* TakePacked(PackedItem item, const PackShape& shape, std::span<const WeightKey> keys) {
    std::vector<WeightPart> parts;
    for (const WeightKey& key : keys) parts.push_back({key, ShapeOf(spec_, key).out});
    item.bytes = backend_.PackedBytes(shape);
    return Take(std::move(item), [&source = source_, &backend = backend_, shape, parts = std::move(parts)](
                                     std::byte* place, PackScratch& scratch) {
      return FillPacked(source, backend, shape, parts, place, scratch);
    });
  }

  void Vector(std::string_view what, std::vector<WeightKey> keys, std::vector<int64_t> sizes,
              const float*& vector) {
    PackedItem item{.name = Name(what), .out = 1};
    for (int64_t size : sizes) item.in += size;
    item.bytes = static_cast<size_t>(item.in) * sizeof(float);
    vector = reinterpret_cast<const float*>(
        Take(std::move(item), [&source = source_, keys = std::move(keys), sizes = std::move(sizes)](
                                  std::byte* place, PackScratch& scratch) {
          return FillVectors(source, keys, sizes, reinterpret_cast<float*>(place), scratch);
        }));
  }

  void Embedding(DecoderWeights& weights) {
    const WeightKey key{WeightRole::kEmbedding};
    PackedItem item{.name = "embedding", .out = spec_.vocabulary, .in = spec_.hidden};
    item.format = rule_(item.name, MatrixKind::kKept, {&key, 1});
    weights.embedding_dtype = DTypeOf(item.format);
    item.bytes = static_cast<size_t>(item.out * item.in) * DTypeSize(weights.embedding_dtype);
    weights.embedding =
        Take(std::move(item), [&source = source_, key](std::byte* place, PackScratch& scratch) {
          return FillRows(source, key, {source.spec().vocabulary, source.spec().hidden}, place, scratch);
        });
  }

  void Layer(int layer, LayerWeights& weights) {
    layer_ = StrCat("layers.", layer, ".");
    Vector("input_norm", {{WeightRole::kInputNorm, layer}}, {spec_.hidden}, weights.input_norm);
    if (spec_.attention.kind == AttentionSpec::Kind::kLatent) {
      LatentAttention(layer, weights);
    } else {
      GroupedQueryAttention(layer, weights);
    }
    Vector("post_attention_norm", {{WeightRole::kPostAttentionNorm, layer}}, {spec_.hidden},
           weights.post_attention_norm);
    if (spec_.layers[static_cast<size_t>(layer)].moe) {
      MixtureOfExperts(layer, weights);
    } else {
      Ffn("dense", MatrixKind::kDense, {WeightRole::kGate, layer}, {WeightRole::kUp, layer},
          {WeightRole::kDown, layer}, spec_.dense_width, weights.dense);
      FfnBias("dense", {WeightRole::kGateBias, layer}, {WeightRole::kUpBias, layer},
              {WeightRole::kDownBias, layer}, spec_.dense_width, weights.dense);
    }
  }

  void GroupedQueryAttention(int layer, LayerWeights& weights) {
    if (layout_.ProductOut(Product::kVClipped) > 0) {
      StackProduct(Product::kVClipped, "v", layer, weights.v_clipped, &weights.v_clipped_bias);
    }
    StackProduct(Product::kQkv, "qkv", layer, weights.qkv, &weights.qkv_bias);
    if (spec_.attention.qk_norm != AttentionSpec::QkNorm::kNone) {
      Norm(WeightRole::kQNorm, "q_norm", layer, weights.q_norm);
      Norm(WeightRole::kKNorm, "k_norm", layer, weights.k_norm);
    }
    StackProduct(Product::kO, "o", layer, weights.o, &weights.o_bias);
  }

  void LatentAttention(int layer, LayerWeights& weights) {
    StackProduct(Product::kQkv, "qkv", layer, weights.qkv, &weights.qkv_bias);
    if (layout_.ProductOut(Product::kQB) > 0) {
      Norm(WeightRole::kQANorm, "q_a_norm", layer, weights.q_a_norm);
      StackProduct(Product::kQB, "q_b", layer, weights.q_b, nullptr);
    }
    Norm(WeightRole::kKvANorm, "kv_a_norm", layer, weights.kv_a_norm);
    Absorbed(layer, weights);
    StackProduct(Product::kO, "o", layer, weights.o, &weights.o_bias);
  }

  // The matrices of one product of attention and, where the source has any, their biases. `bias` null: no
  // family has one.
  void StackProduct(Product product, std::string_view what, int layer, Matrix& matrix, const float** bias) {
    std::vector<WeightKey> keys, biases;
    std::vector<int64_t> sizes;
    int64_t in = 0;
    for (const AttentionMatrix& part : layout_.matrices()) {
      if (part.product != product) continue;
      keys.push_back({part.weight, layer});
      if (part.bias) biases.push_back({*part.bias, layer});
      sizes.push_back(part.out);
      in = part.in;
    }
    Stack(what, MatrixKind::kAttention, std::move(keys), layout_.ProductOut(product), in, matrix);
    if (bias != nullptr && HasAny(biases)) {
      Vector(StrCat(what, "_bias"), std::move(biases), std::move(sizes), *bias);
    }
  }

  void Norm(WeightRole role, std::string_view what, int layer, const float*& vector) {
    Vector(what, {{role, layer}}, {layout_.NormWidth(role)}, vector);
  }

  // The key parts transposed, so that the query moves into the latent space once and the cache is never
  // expanded; the value parts as they are.
  void Absorbed(int layer, LayerWeights& weights) {
    const AttentionSpec& a = spec_.attention;
    const WeightKey key{WeightRole::kKvB, layer};
    const auto heads = static_cast<size_t>(a.heads);
    const AttentionMatrix& kv_b = layout_.Matrix(key.role);
    PackedItem item{.name = Name("kv_b"), .out = kv_b.out, .in = kv_b.in};
    const WeightFormat format = item.format = rule_(item.name, MatrixKind::kKept, {&key, 1});
    const size_t k = AlignUp(backend_.PackedBytes(PackShape::Stack(format, a.kv_lora_rank, a.qk_nope_dim)));
    const size_t v = AlignUp(backend_.PackedBytes(PackShape::Stack(format, a.v_head_dim, a.kv_lora_rank)));
    item.bytes = heads * (k + v);
    const std::byte* place = Take(std::move(item), [&source = source_, &backend = backend_, key, format, k,
                                                    v](std::byte* destination, PackScratch& scratch) {
      return FillHeads(source, backend, key, format, k, v, destination, scratch);
    });
    const auto at = [&](size_t offset) { return place == nullptr ? nullptr : place + offset; };
    weights.k_up = {PackShape::Stack(format, a.kv_lora_rank, a.qk_nope_dim).At(at(0)), a.heads, k};
    weights.v_up = {PackShape::Stack(format, a.v_head_dim, a.kv_lora_rank).At(at(heads * k)), a.heads, v};
  }

  void MixtureOfExperts(int layer, LayerWeights& weights) {
    const int64_t experts = spec_.gate.experts;
    Stack("router", MatrixKind::kRouter, {{WeightRole::kRouter, layer}}, experts, spec_.hidden,
          weights.router);
    if (spec_.gate.selection_bias) {
      Vector("selection_bias", {{WeightRole::kRouterSelectionBias, layer}}, {experts},
             weights.selection_bias);
    }
    weights.experts.resize(static_cast<size_t>(experts));
    for (int e = 0; e < static_cast<int>(experts); ++e) {
      Ffn(StrCat("experts.", e), MatrixKind::kExpert, {WeightRole::kExpertGate, layer, e},
          {WeightRole::kExpertUp, layer, e}, {WeightRole::kExpertDown, layer, e}, spec_.expert_width,
          weights.experts[static_cast<size_t>(e)]);
    }
    if (spec_.shared_width == 0) return;
    Ffn("shared", MatrixKind::kSharedExpert, {WeightRole::kSharedGate, layer}, {WeightRole::kSharedUp, layer},
        {WeightRole::kSharedDown, layer}, spec_.shared_width, weights.shared);
    FfnBias("shared", {WeightRole::kSharedGateBias, layer}, {WeightRole::kSharedUpBias, layer},
            {WeightRole::kSharedDownBias, layer}, spec_.shared_width, weights.shared);
    if (spec_.shared_gate) {
      Stack("shared_score", MatrixKind::kRouter, {{WeightRole::kSharedScore, layer}}, 1, spec_.hidden,
            weights.shared_score);
    }
  }

  void Ffn(std::string_view what, MatrixKind kind, WeightKey gate, WeightKey up, WeightKey down,
           int64_t width, FfnWeights& ffn) {
    PackedItem item{.name = Name(StrCat(what, ".gate_up")), .out = 2 * width, .in = spec_.hidden};
    const WeightKey keys[] = {gate, up};
    item.format = rule_(item.name, kind, keys);
    const PackShape shape = PackShape::GateUp(item.format, width, spec_.hidden);
    ffn.gate_up = shape.At(TakePacked(std::move(item), shape, keys));
    Stack(StrCat(what, ".down"), kind, {down}, spec_.hidden, width, ffn.down);
  }

  void FfnBias(std::string_view what, WeightKey gate, WeightKey up, WeightKey down, int64_t width,
               FfnWeights& ffn) {
    if (!source_.Has(gate)) return;
    Vector(StrCat(what, ".gate_bias"), {gate}, {width}, ffn.gate_bias);
    Vector(StrCat(what, ".up_bias"), {up}, {width}, ffn.up_bias);
    Vector(StrCat(what, ".down_bias"), {down}, {spec_.hidden}, ffn.down_bias);
  }

  bool HasAny(const std::vector<WeightKey>& keys) const {
    return std::any_of(keys.begin(), keys.end(), [&](auto& key) { return source_.Has(key); });
  }

  const WeightSource& source_;
  const Backend& backend_;
  const FormatRule& rule_;
  const ModelSpec& spec_;
  const AttentionLayout layout_;
  const std::byte* memory_;
  std::string layer_;  // "layers.3."
  WeightPlan plan_;
};

}  // namespace

std::optional<WeightFormat> AskedFormat(const WeightFormats& formats, MatrixKind kind) {
  switch (kind) {
    case MatrixKind::kKept:
      return std::nullopt;
    case MatrixKind::kRouter:
      return WeightFormat::kF32;
    case MatrixKind::kExpert:
      return formats.experts;
    case MatrixKind::kSharedExpert:
      return formats.shared_experts;
    case MatrixKind::kDense:
      return formats.dense;
    case MatrixKind::kAttention:
      return formats.attention;
    case MatrixKind::kHead:
      return formats.head;
  }
  return std::nullopt;
}

FormatRule AskedFormats(const WeightSource& source, const WeightFormats& formats) {
  return [&source, formats](const std::string&, MatrixKind kind, std::span<const WeightKey> keys) {
    if (const std::optional<WeightFormat> asked = AskedFormat(formats, kind)) return *asked;
    const DType first = source.dtype(keys.front());
    const bool same =
        std::all_of(keys.begin(), keys.end(), [&](auto& key) { return source.dtype(key) == first; });
    return FormatOf(same ? first : DType::kF32);
  };
}

WeightPlan PlanWeights(const WeightSource& source, const Backend& backend, const FormatRule& rule,
                       const std::byte* memory, DecoderWeights& weights) {
  return Walk(source, backend, rule, memory).Run(weights);
}

}  // namespace guildhall
