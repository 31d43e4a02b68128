#include "kernels/cpu/attention_tile.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/cpu/kv_layout.h"

namespace guildhall {
namespace {

// One tile's walk over the keys. Plain code: what is done with numbers is the kernels'.
class TileWalk {
 public:
  TileWalk(const AttentionArgs& args, const AttentionKernels& kernels, const AttentionTile& tile,
           float* scratch)
      : args_(args), kernels_(kernels), tile_(tile), layout_(args.shape) {
    const KvShape& shape = args.shape;
    work_.queries = static_cast<int>(tile.rows * tile.heads);
    work_.key_dim = shape.key_dim;
    work_.value_dim = shape.value_dim;
    work_.latent = shape.value_in_key;
    work_.quantized = shape.format == KvFormat::kInt8;
    work_.scale = args.scale;
    DivideScratch(scratch);
    for (int i = 0; i < work_.queries; ++i) {
      work_.q[i] = args.q + Row(i) * args.q_stride + Head(i) * shape.key_dim;
      position_[i] = args.step->positions[Row(i)];
      first_[i] = args.window == 0 ? 0 : std::max<int64_t>(0, position_[i] - args.window + 1);
      if (kernels.round_query != nullptr) {
        kernels.round_query(work_.q[i], shape.key_dim, work_.q_stride, rounded_ + i * work_.q_stride);
      }
    }
  }

  int queries() const { return work_.queries; }
  int64_t Row(int query) const { return tile_.row + query / tile_.heads; }
  int64_t Head(int query) const { return tile_.head + query % tile_.heads; }
  PartRange Parts(int query) const { return {position_[query], args_.window}; }
  // Parts that any query sees: rows ascend, so that the first begins first and the last ends last.
  PartRange AllParts() const {
    PartRange all = Parts(0);
    all.end = Parts(queries() - 1).end;
    return all;
  }
  const float* State(int query) const { return work_.State(query); }
  float* Total(int query) const { return totals_ + query * work_.state_stride; }
  size_t StateBytes() const { return static_cast<size_t>(work_.state_stride) * sizeof(float); }

  // Leaves the states of the queries with what they see of `part`.
  void Attend(int64_t part) {
    std::memset(work_.state, 0, static_cast<size_t>(queries()) * StateBytes());
    for (int i = 0; i < queries(); ++i) work_.State(i)[0] = -std::numeric_limits<float>::infinity();
    constexpr int64_t kSpans = kPartTokens / kSpanTokens;
    const int64_t begin = std::max(part * kSpans, first_[0] / kSpanTokens);
    const int64_t end = std::min((part + 1) * kSpans, position_[queries() - 1] / kSpanTokens + 1);
    for (int64_t span = begin; span < end; ++span) {
      LookAt(span);
      kernels_.score(work_);
      for (int i = 0; i < queries(); ++i) {
        if (work_.lo[i] < work_.hi[i]) kernels_.weigh(work_, i);
      }
      kernels_.add_values(work_);
    }
  }

  void Finish(int query, const float* state) const {
    const int64_t value_dim = args_.shape.value_dim;
    kernels_.finish(state, value_dim, args_.y + Row(query) * args_.y_stride + Head(query) * value_dim);
  }

 private:
  void DivideScratch(float* scratch) {
    const KvShape& shape = args_.shape;
    const int64_t queries = work_.queries;
    const auto take = [&scratch](int64_t floats) { return std::exchange(scratch, scratch + floats); };
    expanded_ = reinterpret_cast<uint16_t*>(take(AttentionTileFloats(shape)));
    work_.scores = take(queries * kSpanTokens);
    float* rotary = take(queries * kSpanTokens);
    work_.rotary_scores = work_.latent && work_.quantized ? rotary : nullptr;
    work_.state_stride = StateFloats(shape.value_dim);
    work_.state = take(queries * work_.state_stride);
    totals_ = take(queries * work_.state_stride);
    work_.q_stride = (shape.key_dim + 31) / 32 * 32;
    rounded_ = reinterpret_cast<uint16_t*>(scratch);
    work_.q_bf16 = rounded_;
  }

  // Where the span's keys and values are, and what each query sees of it.
  void LookAt(int64_t span) {
    const int64_t begin = span * kSpanTokens;
    for (int i = 0; i < queries(); ++i) {
      work_.lo[i] = static_cast<int>(std::clamp<int64_t>(first_[i] - begin, 0, kSpanTokens));
      work_.hi[i] = static_cast<int>(std::clamp<int64_t>(position_[i] + 1 - begin, 0, kSpanTokens));
    }
    for (int b = 0; b < kSpanBlocks; ++b) {
      const int64_t block = span * kSpanBlocks + b;
      const std::byte* head = Find(block);
      const std::byte* next = Find(block + kSpanBlocks);
      if (next == nullptr) next = head;
      if (work_.quantized) {
        LookAtCodes(b, head, next);
      } else {
        work_.keys[b] = head;
        work_.values[b] = head == nullptr ? nullptr : head + layout_.values;
        work_.next_keys[b] = next;
        work_.next_values[b] = next == nullptr ? nullptr : next + layout_.values;
      }
    }
  }

  // Codes to numbers first; what is fetched early are the next codes.
  void LookAtCodes(int b, const std::byte* head, const std::byte* next) {
    uint16_t* numbers = expanded_ + b * layout_.elements;
    const float* scales = nullptr;
    if (head != nullptr) {
      kernels_.expand(reinterpret_cast<const int8_t*>(head), layout_.elements, numbers,
                      reinterpret_cast<const int8_t*>(next));
      scales = reinterpret_cast<const float*>(head + layout_.scales);
    }
    const float* second = scales == nullptr ? nullptr : scales + kKvBlockTokens;
    work_.keys[b] = work_.next_keys[b] = numbers;
    work_.values[b] = work_.next_values[b] = work_.latent ? numbers : numbers + layout_.key_elements;
    work_.key_scale[b] = scales;
    work_.rotary_scale[b] = work_.latent ? second : nullptr;
    work_.value_scale[b] = work_.latent ? scales : second;
  }

  // The key head's place in a block of the sequence; null beyond what the tile sees.
  const std::byte* Find(int64_t block) const {
    if (block < first_[0] / kKvBlockTokens || block > position_[queries() - 1] / kKvBlockTokens)
      return nullptr;
    const StepData& step = *args_.step;
    const int32_t* table = step.block_table + step.sequence[tile_.row] * step.max_blocks;
    return static_cast<const std::byte*>(args_.cache) + table[block] * args_.block_stride +
           static_cast<size_t>(tile_.kv_head) * layout_.head;
  }

  const AttentionArgs& args_;
  const AttentionKernels& kernels_;
  const AttentionTile tile_;
  const KvLayout layout_;
  AttentionWork work_{};
  int64_t position_[kMaxTileQueries];  // the last visible token of each query
  int64_t first_[kMaxTileQueries];     // the first
  uint16_t* expanded_ = nullptr;       // (kSpanBlocks, elements) numbers of an int8 cache
  uint16_t* rounded_ = nullptr;        // queries in bf16
  float* totals_ = nullptr;            // (queries, state_stride) states over the parts so far
};

}  // namespace

void AttendTile(const AttentionArgs& args, const AttentionKernels& kernels, const AttentionTile& tile,
                float* scratch) {
  TileWalk walk(args, kernels, tile, scratch);
  const PartRange all = walk.AllParts();
  for (int64_t part = all.begin; part < all.end; ++part) {
    walk.Attend(part);
    for (int i = 0; i < walk.queries(); ++i) {
      const PartRange parts = walk.Parts(i);
      if (part < parts.begin || part >= parts.end) continue;
      if (part == parts.begin && part + 1 == parts.end) {
        walk.Finish(i, walk.State(i));
        continue;
      }
      if (part == parts.begin) {
        std::memcpy(walk.Total(i), walk.State(i), walk.StateBytes());
      } else {
        kernels.merge(walk.Total(i), walk.State(i), args.shape.value_dim);
      }
      if (part + 1 == parts.end) walk.Finish(i, walk.Total(i));
    }
  }
}

void AttendPart(const AttentionArgs& args, const AttentionKernels& kernels, const AttentionTile& tile,
                int64_t part, const PartStates& states, float* scratch) {
  TileWalk walk(args, kernels, tile, scratch);
  const PartRange all = walk.AllParts();
  if (part < all.begin || part >= all.end) return;
  walk.Attend(part);
  for (int i = 0; i < walk.queries(); ++i) {
    const PartRange parts = walk.Parts(i);
    if (part < parts.begin || part >= parts.end) continue;
    std::memcpy(states.At(walk.Row(i), walk.Head(i), part), walk.State(i), walk.StateBytes());
  }
}

void MergeParts(const AttentionArgs& args, const AttentionKernels& kernels, int64_t row, int64_t head,
                const PartStates& states) {
  const PartRange parts(args.step->positions[row], args.window);
  float* total = states.At(row, head, parts.begin);
  const int64_t value_dim = args.shape.value_dim;
  for (int64_t part = parts.begin + 1; part < parts.end; ++part) {
    kernels.merge(total, states.At(row, head, part), value_dim);
  }
  kernels.finish(total, value_dim, args.y + row * args.y_stride + head * value_dim);
}

}  // namespace guildhall
