#include "tests/kernels/low_rank_change.h"

namespace guildhall {

void Change::Add(Backend& backend, DType dtype, int64_t out_begin, int64_t out, int64_t in, int64_t rank,
                 float scale, Random& random, int32_t index) {
  modules.push_back({MakeWeights(random, dtype, rank, in), MakeWeights(random, dtype, out, rank),
                     out_begin + index * out, scale});
  const Module& module = modules.back();
  const TensorView b = module.b.View();
  memory.push_back(
      PackOnDevice(backend, PackShape::LowRankB(FormatOf(dtype), out_begin, out, rank), {&b, 1}));
  const int64_t rank_begin = parts.empty() ? 0 : parts.back().rank_begin + parts.back().rank;
  parts.push_back({.module = index,
                   .out_begin = out_begin,
                   .out = out,
                   .rank_begin = rank_begin,
                   .rank = rank,
                   .scale = scale,
                   .dtype = dtype,
                   .b = memory.back().memory.data()});
}

LowRank Change::Pack(Backend& backend) {
  LowRank packed;
  std::vector<TensorView> views;
  for (const Module& module : modules) views.push_back(module.a.View());
  if (!views.empty()) {
    memory.push_back(PackWeights(backend, views, FormatOf(modules[0].a.dtype)));
    packed.a = memory.back().matrix;
  }
  parts_there.push_back(OnDevice(backend, parts));
  packed.parts = parts_there.back().data();
  packed.part_count = static_cast<int64_t>(parts.size());
  gain_there.push_back(OnDevice(backend, gain));
  packed.gain = gain.empty() ? nullptr : gain_there.back().data();
  gain_there.push_back(OnDevice(backend, in_gain));
  packed.in_gain = in_gain.empty() ? nullptr : gain_there.back().data();
  return packed;
}

void Change::AddTo(std::span<const double> x, double factor, std::vector<double>& y) const {
  for (const Module& module : modules) {
    for (int64_t k = 0; k < module.a.out; ++k) {
      double u = 0;
      for (int64_t i = 0; i < module.a.in; ++i)
        u += module.a.values[static_cast<size_t>(k * module.a.in + i)] * x[static_cast<size_t>(i)];
      u *= factor * static_cast<double>(module.scale);
      for (int64_t c = 0; c < module.b.out; ++c) {
        y[static_cast<size_t>(module.out_begin + c)] +=
            u * module.b.values[static_cast<size_t>(c * module.a.out + k)];
      }
    }
  }
}

}  // namespace guildhall
