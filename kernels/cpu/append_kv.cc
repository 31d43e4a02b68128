#include "kernels/cpu/kv_layout.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/append_kv.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "base/check.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What FloatToBF16() of base/dtype.h gives, for neighbouring numbers.
void NarrowRow(const float* from, uint16_t* to, int64_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint16_t, decltype(d)> du16;
  constexpr int64_t kLanes = hn::MaxLanes(d);
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

void NarrowRow(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// One head of one token into its block; `token` is the place in the block, `values` null for latent
// attention.
template <typename T>
void AppendHead(const KvShape& shape, const float* key, const float* value, int64_t token, T* head,
                T* values) {
  if (shape.value_in_key) return NarrowRow(key, head + token * shape.key_dim, shape.key_dim);
  constexpr int64_t kChunk = 64;
  T narrow[kChunk];
  for (int64_t begin = 0; begin < shape.key_dim; begin += kChunk) {
    const int64_t count = HWY_MIN(kChunk, shape.key_dim - begin);
    NarrowRow(key + begin, narrow, count);
    for (int64_t i = 0; i < count; ++i) head[(begin + i) * kKvBlockTokens + token] = narrow[i];
  }
  NarrowRow(value, values + token * shape.value_dim, shape.value_dim);
}

template <typename T>
void AppendRowsOf(const AppendKvArgs& args, int64_t begin, int64_t end) {
  const KvLayout layout(args.shape);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t block = args.slot[row] / kKvBlockTokens;
    const int64_t token = args.slot[row] % kKvBlockTokens;
    for (int64_t h = 0; h < args.shape.kv_heads; ++h) {
      std::byte* head = static_cast<std::byte*>(args.cache) + static_cast<size_t>(block) * layout.block +
                        static_cast<size_t>(h) * layout.head;
      const float* key = args.k + row * args.k_stride + h * args.shape.key_dim;
      const float* value =
          args.shape.value_in_key ? nullptr : args.v + row * args.v_stride + h * args.shape.value_dim;
      AppendHead(args.shape, key, value, token, reinterpret_cast<T*>(head),
                 reinterpret_cast<T*>(head + layout.values));
    }
  }
}

void AppendRows(const AppendKvArgs& args, int64_t begin, int64_t end) {
  if (args.shape.format == KvFormat::kBF16) {
    AppendRowsOf<uint16_t>(args, begin, end);
  } else {
    AppendRowsOf<float>(args, begin, end);
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
  GH_CHECK(shape.format != KvFormat::kInt8);
  return KvLayout(shape).block;
}

void AppendKvOp(const AppendKvArgs& args, CpuContext& context) {
  GH_CHECK_GT(CpuKvBlockBytes(args.shape), size_t{0});
  GH_CHECK((args.v == nullptr) == args.shape.value_in_key);
  for (int64_t row = 0; row < args.rows; ++row) GH_CHECK_GE(args.slot[row], 0);
  const auto append_rows = GH_SIMD(AppendRows, context.isa);
  ForRowChunks(context.pool, args.rows,
               int64_t{args.shape.kv_heads} * (args.shape.key_dim + args.shape.value_dim),
               [&](int64_t begin, int64_t end, int) { append_rows(args, begin, end); });
}

}  // namespace guildhall
#endif  // HWY_ONCE
