#include "model/weight_loader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/thread_pool.h"

namespace guildhall {
namespace {

constexpr size_t kAlignment = 64;

using Scratch = std::vector<std::byte>;

// One tensor, or one stack of tensors, to read and pack. Jobs are independent and run on any thread.
struct Job {
  size_t bytes;
  std::function<absl::Status(std::vector<Scratch>&)> run;
};

// Walks a model's weights in the order in which a step reads them. Without memory it only adds up sizes; with
// memory it assigns each weight its place and records the job that fills it.
class WeightPlan {
 public:
  WeightPlan(const WeightSource& source, const Backend& backend, std::byte* memory)
      : source_(source), backend_(backend), spec_(source.spec()), memory_(memory) {}

  void Walk(DecoderWeights& weights) {
    Embedding(weights);
    weights.layers.resize(spec_.layers.size());
    for (size_t i = 0; i < spec_.layers.size(); ++i) Layer(static_cast<int>(i), weights.layers[i]);
    Vector({{WeightRole::kFinalNorm}}, {spec_.hidden}, weights.final_norm);
    const WeightKey head{source_.Has({WeightRole::kHead}) ? WeightRole::kHead : WeightRole::kEmbedding};
    Stack({head}, spec_.vocabulary, spec_.hidden, weights.head);
  }

  size_t bytes() const { return bytes_; }
  std::vector<Job> TakeJobs() { return std::move(jobs_); }

 private:
  std::byte* Take(size_t bytes) {
    const size_t offset = bytes_;
    bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return memory_ ? memory_ + offset : nullptr;
  }

  void Record(size_t bytes, std::function<absl::Status(std::vector<Scratch>&)> run) {
    if (memory_) jobs_.push_back({bytes, std::move(run)});
  }

  // The dtype of a stack is that of its parts, or F32 where they differ.
  DType StackDType(const std::vector<WeightKey>& keys) const {
    const DType first = source_.dtype(keys.front());
    const bool same =
        std::all_of(keys.begin(), keys.end(), [&](auto& key) { return source_.dtype(key) == first; });
    return same ? first : DType::kF32;
  }

  // Matrices stacked by rows, as one product.
  void Stack(std::vector<WeightKey> keys, int64_t out, int64_t in, Matrix& matrix) {
    Stack(keys, StackDType(keys), out, in, matrix);
  }

  void Stack(std::vector<WeightKey> keys, DType dtype, int64_t out, int64_t in, Matrix& matrix) {
    const size_t bytes = backend_.PackedBytes(FormatOf(dtype), out, in);
    std::byte* place = Take(bytes);
    Record(bytes, [this, keys = std::move(keys), dtype, place, out, &matrix](std::vector<Scratch>& scratch) {
      std::vector<TensorView> parts(keys.size());
      for (size_t i = 0; i < keys.size(); ++i) {
        GH_ASSIGN_OR_RETURN(parts[i], source_.Read(keys[i], scratch[i]));
      }
      matrix = backend_.Pack(parts, FormatOf(dtype), place);
      GH_CHECK_EQ(matrix.out, out);
      return absl::OkStatus();
    });
  }

  // Float vectors end to end; a key that the source lacks gives zeros (a bias that only some parts have).
  void Vector(std::vector<WeightKey> keys, std::vector<int64_t> sizes, const float*& vector) {
    int64_t total = 0;
    for (int64_t size : sizes) total += size;
    float* place = reinterpret_cast<float*>(Take(static_cast<size_t>(total) * sizeof(float)));
    vector = place;
    Record(static_cast<size_t>(total) * sizeof(float),
           [this, keys = std::move(keys), sizes = std::move(sizes), place](std::vector<Scratch>& scratch) {
             float* out = place;
             for (size_t i = 0; i < keys.size(); out += sizes[i++]) {
               if (!source_.Has(keys[i])) {
                 std::fill(out, out + sizes[i], 0.0f);
                 continue;
               }
               GH_ASSIGN_OR_RETURN(const TensorView view, source_.Read(keys[i], scratch[0]));
               GH_CHECK_EQ(view.Elements(), sizes[i]);
               for (int64_t j = 0; j < sizes[i]; ++j) out[j] = LoadElement(view.data, view.dtype, j);
             }
             return absl::OkStatus();
           });
  }

  void Embedding(DecoderWeights& weights) {
    const WeightKey key{WeightRole::kEmbedding};
    weights.embedding_dtype = source_.dtype(key);
    const size_t bytes =
        static_cast<size_t>(spec_.vocabulary * spec_.hidden) * DTypeSize(weights.embedding_dtype);
    std::byte* place = Take(bytes);
    weights.embedding = place;
    Record(bytes, [this, key, place, bytes](std::vector<Scratch>& scratch) {
      GH_ASSIGN_OR_RETURN(const TensorView view, source_.Read(key, scratch[0]));
      GH_CHECK_EQ(view.Bytes(), bytes);
      std::memcpy(place, view.data, bytes);
      return absl::OkStatus();
    });
  }

  void Layer(int layer, LayerWeights& weights) {
    Vector({{WeightRole::kInputNorm, layer}}, {spec_.hidden}, weights.input_norm);
    if (spec_.attention.kind == AttentionSpec::Kind::kLatent) {
      LatentAttention(layer, weights);
    } else {
      GroupedQueryAttention(layer, weights);
    }
    Vector({{WeightRole::kPostAttentionNorm, layer}}, {spec_.hidden}, weights.post_attention_norm);
    if (spec_.layers[static_cast<size_t>(layer)].moe) {
      MixtureOfExperts(layer, weights);
    } else {
      Ffn({WeightRole::kGate, layer}, {WeightRole::kUp, layer}, {WeightRole::kDown, layer}, spec_.dense_width,
          weights.dense);
      FfnBias(layer, WeightRole::kGateBias, WeightRole::kUpBias, WeightRole::kDownBias, spec_.dense_width,
              weights.dense);
    }
  }

  void GroupedQueryAttention(int layer, LayerWeights& weights) {
    const AttentionSpec& a = spec_.attention;
    const int64_t q = int64_t{a.heads} * a.head_dim, kv = int64_t{a.kv_heads} * a.head_dim;
    std::vector<WeightKey> keys{{WeightRole::kQ, layer}, {WeightRole::kK, layer}, {WeightRole::kV, layer}};
    std::vector<WeightKey> biases{
        {WeightRole::kQBias, layer}, {WeightRole::kKBias, layer}, {WeightRole::kVBias, layer}};
    std::vector<int64_t> sizes{q, kv, kv};
    if (a.clip_qkv > 0.0f) {
      Stack({keys.back()}, kv, spec_.hidden, weights.v_clipped);
      if (source_.Has(biases.back())) Vector({biases.back()}, {kv}, weights.v_clipped_bias);
      keys.pop_back(), biases.pop_back(), sizes.pop_back();
    }
    int64_t out = 0;
    for (int64_t size : sizes) out += size;
    Stack(keys, out, spec_.hidden, weights.qkv);
    if (HasAny(biases)) Vector(biases, sizes, weights.qkv_bias);
    if (a.qk_norm != AttentionSpec::QkNorm::kNone) {
      const bool full = a.qk_norm == AttentionSpec::QkNorm::kFullWidth;
      Vector({{WeightRole::kQNorm, layer}}, {full ? q : a.head_dim}, weights.q_norm);
      Vector({{WeightRole::kKNorm, layer}}, {full ? kv : a.head_dim}, weights.k_norm);
    }
    Output(layer, q, weights);
  }

  void LatentAttention(int layer, LayerWeights& weights) {
    const AttentionSpec& a = spec_.attention;
    const int64_t q_out = int64_t{a.heads} * (a.qk_nope_dim + a.qk_rope_dim);
    const int64_t first = a.q_lora_rank > 0 ? a.q_lora_rank : q_out;
    const int64_t kv_a = a.kv_lora_rank + a.qk_rope_dim;
    const WeightRole q_role = a.q_lora_rank > 0 ? WeightRole::kQA : WeightRole::kQ;
    Stack({{q_role, layer}, {WeightRole::kKvA, layer}}, first + kv_a, spec_.hidden, weights.qkv);
    const std::vector<WeightKey> biases{{WeightRole::kQABias, layer}, {WeightRole::kKvABias, layer}};
    if (HasAny(biases)) Vector(biases, {first, kv_a}, weights.qkv_bias);
    if (a.q_lora_rank > 0) {
      Vector({{WeightRole::kQANorm, layer}}, {a.q_lora_rank}, weights.q_a_norm);
      Stack({{WeightRole::kQB, layer}}, q_out, a.q_lora_rank, weights.q_b);
    }
    Vector({{WeightRole::kKvANorm, layer}}, {a.kv_lora_rank}, weights.kv_a_norm);
    Absorbed(layer, weights);
    Output(layer, int64_t{a.heads} * a.v_head_dim, weights);
  }

  // kv_b (heads * (nope + v), rank) cut by head: its key part transposed, so that the query moves into the
  // latent space once and the cache is never expanded; its value part as it is.
  void Absorbed(int layer, LayerWeights& weights) {
    const AttentionSpec& a = spec_.attention;
    const WeightKey key{WeightRole::kKvB, layer};
    const DType dtype = source_.dtype(key);
    const size_t k_bytes = backend_.PackedBytes(FormatOf(dtype), a.kv_lora_rank, a.qk_nope_dim);
    const size_t v_bytes = backend_.PackedBytes(FormatOf(dtype), a.v_head_dim, a.kv_lora_rank);
    const size_t heads = static_cast<size_t>(a.heads);
    std::vector<std::byte*> k_places(heads), v_places(heads);
    for (auto& place : k_places) place = Take(k_bytes);
    for (auto& place : v_places) place = Take(v_bytes);
    weights.k_up.resize(heads);
    weights.v_up.resize(heads);
    Record(heads * (k_bytes + v_bytes),
           [this, key, dtype, k_places, v_places, &weights](std::vector<Scratch>& scratch) {
             const AttentionSpec& at = spec_.attention;
             GH_ASSIGN_OR_RETURN(const TensorView view, source_.Read(key, scratch[0]));
             for (size_t head = 0; head < k_places.size(); ++head) {
               const int64_t begin = static_cast<int64_t>(head) * (at.qk_nope_dim + at.v_head_dim);
               const TensorView k = view.Rows(begin, begin + at.qk_nope_dim);
               const TensorView v = view.Rows(begin + at.qk_nope_dim, begin + at.qk_nope_dim + at.v_head_dim);
               const TensorView transposed = Transpose(k, scratch[1]);
               weights.k_up[head] = backend_.Pack({&transposed, 1}, FormatOf(dtype), k_places[head]);
               weights.v_up[head] = backend_.Pack({&v, 1}, FormatOf(dtype), v_places[head]);
             }
             return absl::OkStatus();
           });
  }

  static TensorView Transpose(const TensorView& view, Scratch& scratch) {
    const size_t element = DTypeSize(view.dtype);
    const size_t rows = static_cast<size_t>(view.shape[0]), columns = static_cast<size_t>(view.shape[1]);
    scratch.resize(view.Bytes());
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < columns; ++c) {
        std::memcpy(&scratch[(c * rows + r) * element], view.data + (r * columns + c) * element, element);
      }
    }
    return {view.dtype, {view.shape[1], view.shape[0]}, scratch.data()};
  }

  void Output(int layer, int64_t in, LayerWeights& weights) {
    Stack({{WeightRole::kO, layer}}, spec_.hidden, in, weights.o);
    const WeightKey bias{WeightRole::kOBias, layer};
    if (source_.Has(bias)) Vector({bias}, {spec_.hidden}, weights.o_bias);
  }

  void MixtureOfExperts(int layer, LayerWeights& weights) {
    const int64_t experts = spec_.gate.experts;
    Stack({{WeightRole::kRouter, layer}}, DType::kF32, experts, spec_.hidden, weights.router);
    if (spec_.gate.selection_bias) {
      Vector({{WeightRole::kRouterSelectionBias, layer}}, {experts}, weights.selection_bias);
    }
    weights.experts.resize(static_cast<size_t>(experts));
    for (int e = 0; e < static_cast<int>(experts); ++e) {
      Ffn({WeightRole::kExpertGate, layer, e}, {WeightRole::kExpertUp, layer, e},
          {WeightRole::kExpertDown, layer, e}, spec_.expert_width, weights.experts[static_cast<size_t>(e)]);
    }
    if (spec_.shared_width == 0) return;
    Ffn({WeightRole::kSharedGate, layer}, {WeightRole::kSharedUp, layer}, {WeightRole::kSharedDown, layer},
        spec_.shared_width, weights.shared);
    FfnBias(layer, WeightRole::kSharedGateBias, WeightRole::kSharedUpBias, WeightRole::kSharedDownBias,
            spec_.shared_width, weights.shared);
    if (spec_.shared_gate)
      Stack({{WeightRole::kSharedScore, layer}}, DType::kF32, 1, spec_.hidden, weights.shared_score);
  }

  void Ffn(WeightKey gate, WeightKey up, WeightKey down, int64_t width, FfnWeights& ffn) {
    const DType dtype = StackDType({gate, up});
    const size_t bytes = backend_.PackedGateUpBytes(FormatOf(dtype), width, spec_.hidden);
    std::byte* place = Take(bytes);
    Record(bytes, [this, gate, up, dtype, place, &ffn](std::vector<Scratch>& scratch) {
      GH_ASSIGN_OR_RETURN(const TensorView gate_view, source_.Read(gate, scratch[0]));
      GH_ASSIGN_OR_RETURN(const TensorView up_view, source_.Read(up, scratch[1]));
      ffn.gate_up = backend_.PackGateUp(gate_view, up_view, FormatOf(dtype), place);
      return absl::OkStatus();
    });
    Stack({down}, spec_.hidden, width, ffn.down);
  }

  void FfnBias(int layer, WeightRole gate, WeightRole up, WeightRole down, int64_t width, FfnWeights& ffn) {
    if (!source_.Has({gate, layer})) return;
    Vector({{gate, layer}}, {width}, ffn.gate_bias);
    Vector({{up, layer}}, {width}, ffn.up_bias);
    Vector({{down, layer}}, {spec_.hidden}, ffn.down_bias);
  }

  bool HasAny(const std::vector<WeightKey>& keys) const {
    return std::any_of(keys.begin(), keys.end(), [&](auto& key) { return source_.Has(key); });
  }

  const WeightSource& source_;
  const Backend& backend_;
  const ModelSpec& spec_;
  std::byte* memory_;
  size_t bytes_ = 0;
  std::vector<Job> jobs_;
};

// Runs all jobs on a few threads; the first error wins and stops the rest.
absl::Status RunJobs(const std::vector<Job>& jobs, size_t total,
                     const std::function<void(size_t, size_t)>& progress) {
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  absl::Status error;
  size_t done = 0;
  auto work = [&] {
    std::vector<Scratch> scratch(4);
    for (size_t i = next++; i < jobs.size() && !failed; i = next++) {
      absl::Status status = jobs[i].run(scratch);
      std::lock_guard lock(mutex);
      if (!status.ok() && !failed.exchange(true)) error = std::move(status);
      done += jobs[i].bytes;
      if (progress && !failed) progress(done, total);
    }
  };
  std::vector<std::jthread> threads;
  for (int t = 1; t < AllowedCpus(); ++t) threads.emplace_back(work);
  work();
  threads.clear();
  return error;
}

}  // namespace

size_t PackedWeightBytes(const WeightSource& source, const Backend& backend) {
  DecoderWeights unused;
  WeightPlan plan(source, backend, nullptr);
  plan.Walk(unused);
  return plan.bytes();
}

absl::StatusOr<DecoderWeights> LoadWeights(const WeightSource& source, const Backend& backend,
                                           const std::function<void(size_t, size_t)>& progress) {
  DecoderWeights weights;
  const size_t bytes = PackedWeightBytes(source, backend);
  GH_ASSIGN_OR_RETURN(weights.memory, Buffer::Allocate(bytes, "model weights"));
  WeightPlan plan(source, backend, weights.memory.data());
  plan.Walk(weights);
  GH_CHECK_EQ(plan.bytes(), bytes);
  GH_RETURN_IF_ERROR(RunJobs(plan.TakeJobs(), bytes, progress));
  return weights;
}

}  // namespace guildhall
