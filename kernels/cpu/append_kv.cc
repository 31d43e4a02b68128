#include "kernels/cpu/kv_layout.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/append_kv.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "base/check.h"
#include "base/convert.h"
#include "hwy/cache_control.h"

#include <limits>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
constexpr int64_t kLanes = hn::MaxLanes(D());

// What FloatToBF16() of base/dtype.h gives, for neighbouring numbers.
void NarrowRow(const float* from, float /*scale*/, uint16_t* to, int64_t count) {
  const D d;
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint16_t, D> du16;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const auto value = hn::LoadU(d, from + i);
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu))));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40u));
    const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(value)), quiet, rounded);
    hn::StoreU(hn::DemoteTo(du16, hn::BitCast(di, result)), du16, to + i);
  }
  for (; i < count; ++i) to[i] = FloatToBF16(from[i]);
}

// What FloatToF16() of base/convert.h gives. Below AVX2 Highway does not round to nearest.
void NarrowRow(const float* from, float /*scale*/, hwy::float16_t* to, int64_t count) {
  int64_t i = 0;
#if HWY_TARGET <= HWY_AVX2
  const D d;
  const hn::Rebind<hwy::float16_t, D> d16;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::DemoteTo(d16, hn::LoadU(d, from + i)), d16, to + i);
  }
#endif
  for (; i < count; ++i) to[i] = std::bit_cast<hwy::float16_t>(FloatToF16(from[i]));
}

void NarrowRow(const float* from, float /*scale*/, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// Round to nearest, ties to even. Where the scale is NaN the codes are 0, and 0 * NaN is NaN again.
void NarrowRow(const float* from, float scale, int8_t* to, int64_t count) {
  const D d;
  const hn::RebindToSigned<D> di;
  if (scale != scale) {
    for (int64_t i = 0; i < count; ++i) to[i] = 0;
    return;
  }
  const auto inverse = hn::Set(d, 1.0f / scale);
  alignas(64) float part[kLanes] = {};
  alignas(64) int32_t codes[kLanes];
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t here = HWY_MIN(kLanes, count - i);
    const float* numbers = from + i;
    if (here < kLanes) {
      for (int64_t j = 0; j < here; ++j) part[j] = from[i + j];
      numbers = part;
    }
    hn::Store(hn::NearestInt(hn::Mul(hn::LoadU(d, numbers), inverse)), di, codes);
    for (int64_t j = 0; j < here; ++j) to[i + j] = static_cast<int8_t>(codes[j]);
  }
}

// The scale of `count` numbers: the least bf16 with which none
// of them exceeds 127. NaN if one of them is no finite number.
float ScaleOf(const float* from, int64_t count) {
  constexpr uint32_t kInfinite = 0x7f800000u;
  constexpr float kLeast = 0x1p-100f;  // its inverse is finite; what it rounds to 0 weighs nothing
  const hn::RebindToUnsigned<D> du;
  auto sizes = hn::Zero(du);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    sizes = hn::Max(sizes, hn::And(hn::BitCast(du, hn::LoadU(D(), from + i)), hn::Set(du, 0x7fffffffu)));
  }
  uint32_t most = hn::GetLane(hn::MaxOfLanes(du, sizes));
  for (; i < count; ++i) {
    const uint32_t size = std::bit_cast<uint32_t>(from[i]) & 0x7fffffffu;
    most = HWY_MAX(most, size);
  }
  if (most >= kInfinite) return std::numeric_limits<float>::quiet_NaN();
  const float exact = HWY_MAX(kLeast, std::bit_cast<float>(most) / 127.0f);
  return std::bit_cast<float>((std::bit_cast<uint32_t>(exact) + 0xffffu) & 0xffff0000u);
}

// Where a number of token `token` goes, in elements from the beginning of the head's keys or values.
template <typename T>
constexpr bool kPaired = std::is_same_v<T, uint16_t> || std::is_same_v<T, int8_t>;
template <typename T>
int64_t KeyPlace(int64_t element, int64_t token) {
  if (!kPaired<T>) return element * kKvBlockTokens + token;
  return (element / 2 * kKvBlockTokens + token) * 2 + element % 2;
}
template <typename T>
int64_t ValuePlace(int64_t element, int64_t token, int64_t value_dim) {
  if (!kPaired<T>) return token * value_dim + element;
  return (token / 2 * value_dim + element) * 2 + token % 2;
}

// Narrows `count` numbers and puts number i to to[place(i)].
template <typename T, typename Place>
void Scatter(const float* from, float scale, int64_t count, T* to, Place place) {
  constexpr int64_t kChunk = 64;
  T narrow[kChunk];
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int64_t here = HWY_MIN(kChunk, count - begin);
    NarrowRow(from + begin, scale, narrow, here);
    for (int64_t i = 0; i < here; ++i) to[place(begin + i)] = narrow[i];
  }
}

// One head of one token into its block; `token` is the place in the block, `value` null for latent attention.
template <typename T>
void AppendHead(const KvShape& shape, const KvLayout& layout, const float* key, const float* value,
                int64_t token, std::byte* head) {
  float scale[2] = {};
  // The part of the key that the first scale is for: all of it, or the latent part.
  const int64_t first = shape.value_in_key ? shape.value_dim : shape.key_dim;
  const int64_t rotary = shape.key_dim - first;
  if constexpr (std::is_same_v<T, int8_t>) {
    scale[0] = ScaleOf(key, first);
    scale[1] = shape.value_in_key ? ScaleOf(key + first, rotary) : ScaleOf(value, shape.value_dim);
    auto* scales = reinterpret_cast<float*>(head + layout.scales);
    scales[token] = scale[0];
    scales[kKvBlockTokens + token] = scale[1];
  }
  T* keys = reinterpret_cast<T*>(head);
  if (shape.value_in_key) {
    NarrowRow(key, scale[0], keys + token * shape.key_dim, first);
    NarrowRow(key + first, scale[1], keys + token * shape.key_dim + first, rotary);
    return;
  }
  T* values = reinterpret_cast<T*>(head + layout.values);
  Scatter(key, scale[0], shape.key_dim, keys, [&](int64_t e) { return KeyPlace<T>(e, token); });
  if constexpr (kPaired<T>) {
    if (shape.key_dim % 2 != 0) keys[KeyPlace<T>(shape.key_dim, token)] = 0;
  }
  Scatter(value, scale[1], shape.value_dim, values,
          [&](int64_t e) { return ValuePlace<T>(e, token, shape.value_dim); });
}

std::byte* FindHead(const AppendKvArgs& args, const KvLayout& layout, int64_t row, int64_t head) {
  return static_cast<std::byte*>(args.cache) + args.kv_place[row] / kKvBlockTokens * args.block_stride +
         static_cast<size_t>(head) * layout.head;
}

// A transposed key touches every line of its head's keys: fetched while the one before is written.
void FetchKeys(const KvLayout& layout, const std::byte* head) {
  for (size_t i = 0; i < layout.values; i += 64) hwy::Prefetch(head + i);
}

template <typename T>
void AppendRowsOf(const AppendKvArgs& args, int64_t begin, int64_t end) {
  const KvShape& shape = args.shape;
  const KvLayout layout(shape);
  for (int64_t row = begin; row < end; ++row) {
    if (args.kv_place[row] < 0) continue;
    const int64_t token = args.kv_place[row] % kKvBlockTokens;
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      std::byte* head = FindHead(args, layout, row, h);
      if (h + 1 < shape.kv_heads) {
        FetchKeys(layout, FindHead(args, layout, row, h + 1));
      } else if (row + 1 < end && args.kv_place[row + 1] >= 0) {
        FetchKeys(layout, FindHead(args, layout, row + 1, 0));
      }
      const float* key = args.k + row * args.k_stride + h * shape.key_dim;
      const float* value = shape.value_in_key ? nullptr : args.v + row * args.v_stride + h * shape.value_dim;
      AppendHead<T>(shape, layout, key, value, token, head);
    }
  }
}

void AppendRows(const AppendKvArgs& args, int64_t begin, int64_t end) {
  switch (args.shape.format) {
    case KvFormat::kF32:
      return AppendRowsOf<float>(args, begin, end);
    case KvFormat::kBF16:
      return AppendRowsOf<uint16_t>(args, begin, end);
    case KvFormat::kF16:
      return AppendRowsOf<hwy::float16_t>(args, begin, end);
    case KvFormat::kInt8:
      return AppendRowsOf<int8_t>(args, begin, end);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(AppendRows);

size_t CpuKvBlockBytes(const KvShape& shape) {
  GH_CHECK_GT(shape.kv_heads, 0);
  GH_CHECK_GT(shape.key_dim, 0);
  GH_CHECK_GT(shape.value_dim, 0);
  GH_CHECK(!shape.value_in_key || shape.value_dim <= shape.key_dim);
  return KvLayout(shape).block;
}

void AppendKvOp(const AppendKvArgs& args, CpuContext& context) {
  GH_CHECK_GE(static_cast<size_t>(args.block_stride), CpuKvBlockBytes(args.shape));
  GH_CHECK((args.v == nullptr) == args.shape.value_in_key);
  const auto append_rows = GH_SIMD(AppendRows, context.isa);
  // Each element of a transposed key goes to a cache line of
  // its own, which costs as much as this many neighbours.
  constexpr int64_t kScatter = 8;
  ForRowChunks(context.pool, args.rows,
               kScatter * args.shape.kv_heads * (args.shape.key_dim + args.shape.value_dim),
               [&](int64_t begin, int64_t end, int) { append_rows(args, begin, end); });
}

}  // namespace guildhall
#endif  // HWY_ONCE
