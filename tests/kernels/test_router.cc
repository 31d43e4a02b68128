#include "tests/kernels/test_router.h"

#include "tests/kernels/test_sets.h"

namespace guildhall {

Router::Router(Backend& backend, const GateSpec& gate) : backend_(backend), gate_(gate) {
  const auto n = static_cast<size_t>(gate.experts);
  std::vector<float> identity(n * n);
  for (size_t i = 0; i < n; ++i) identity[i * n + i] = 1.0f;
  const TensorView view{
      DType::kF32, {gate.experts, gate.experts}, reinterpret_cast<const std::byte*>(identity.data())};
  packed_ =
      PackOnDevice(backend, PackShape::Stack(WeightFormat::kF32, gate.experts, gate.experts), {&view, 1});
}

Routed Router::Run(const std::vector<float>& scores) {
  const auto rows = static_cast<int64_t>(scores.size()) / gate_.experts;
  const int64_t entries = rows * gate_.k;
  const auto expert = FilledOnDevice(backend_, entries, int32_t{-7}),
             slot = FilledOnDevice(backend_, entries, int32_t{-7}),
             group_entry = FilledOnDevice(backend_, entries, int32_t{-7});
  const auto weight = FilledOnDevice(backend_, entries, -7.0f);
  const auto x = OnDevice(backend_, scores), bias_there = OnDevice(backend_, bias);
  const auto places = OnDevice(backend_, kv_place);
  RouteArgs args{};
  args.x = x.data();
  args.w = packed_.matrix;
  args.selection_bias = bias.empty() ? nullptr : bias_there.data();
  args.gate = gate_;
  std::vector<std::vector<std::vector<int32_t>>> maps;  // one per set
  for (auto map = expert_map.begin(); map != expert_map.end(); map += gate_.experts)
    maps.push_back({{map, map + gate_.experts}});
  TestSets sets(backend_, {}, maps);
  if (!row_set.empty()) args.sets = sets.Begin(row_set);
  args.expert_map = 0;
  args.kv_place = kv_place.empty() ? nullptr : places.data();
  args.rows = rows;
  args.x_stride = gate_.experts;
  args.slots = slots == 0 ? gate_.experts : slots;
  const auto group_begin = FilledOnDevice(backend_, args.slots + 1, int32_t{-7});
  args.expert = expert.data();
  args.slot = slot.data();
  args.weight = weight.data();
  args.group_begin = group_begin.data();
  args.group_entry = group_entry.data();
  backend_.Route(args);
  return {expert.Read(), slot.Read(), group_begin.Read(), group_entry.Read(), weight.Read()};
}

GateSpec Gate(int experts, int k, GateSpec::Activation activation) {
  GateSpec gate;
  gate.experts = experts;
  gate.k = k;
  gate.activation = activation;
  return gate;
}

GateSpec Grouped(GateSpec gate, int groups, int kept, GateSpec::GroupScore score) {
  gate.selection = GateSpec::Selection::kGroupLimitedTopK;
  gate.groups = groups;
  gate.groups_kept = kept;
  gate.group_score = score;
  return gate;
}

}  // namespace guildhall
