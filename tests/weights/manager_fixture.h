// A weight manager over the tiny model, on small pages that can be made to fail.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/weights/fake_page_memory.h"
#include "tests/weights/tiny_adapter.h"

namespace guildhall {

// Waits for what another thread will do; a test that hangs here has failed.
template <typename Condition>
void Await(Condition condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

// Of somebody who wants no load any more.
inline std::stop_token Stopped() {
  std::stop_source source;
  source.request_stop();
  return source.get_token();
}

inline Backend& TestBackend() {
  static const std::unique_ptr<Backend> backend = [] {
    CpuOptions options;
    options.threads = 1;
    auto made = MakeCpuBackend(options);
    GH_CHECK(made.ok());
    return *std::move(made);
  }();
  return *backend;
}

struct ManagerFixture {
  static constexpr size_t kPage = 4096;

  explicit ManagerFixture(uint64_t budget_bytes = uint64_t{64} << 20, WeightManagerOptions options = {},
                          bool latent = false)
      : spec(TinySpec(latent)), budget(std::make_shared<ByteBudget>(budget_bytes)) {
    if (options.max_rows == WeightManagerOptions().max_rows) options.max_rows = 8;
    for (const LayerSpec& layer : spec.layers) {
      FfnWeights ffn;
      ffn.gate_up.data = &marker;  // a base expert: never read here
      base.emplace_back();
      if (!layer.moe) continue;
      base.back().routed.assign(static_cast<size_t>(spec.gate.experts), ffn);
      base.back().shared.assign(1, ffn);
    }
    manager = std::make_unique<WeightManager>(spec, TestBackend(), base, budget, workspace, options, memory);
  }

  absl::StatusOr<AdapterInfo> Load(const std::string& name, const AdapterManifest& manifest,
                                   uint64_t seed = 1, std::shared_ptr<TinyWorld> world = nullptr) {
    return manager->Load({.name = name, .open = OpenTiny(spec, manifest, seed, std::move(world))});
  }

  absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(const std::string& name) {
    const AdapterUse use{name, 1.0f};
    return manager->Acquire({&use, 1}, absl::InfiniteFuture());
  }

  uint64_t used() const { return budget->used(ByteBudget::Holder::kAdapters); }

  const ModelSpec spec;
  std::byte marker{};
  std::vector<BaseExperts> base;
  std::shared_ptr<ByteBudget> budget;
  std::shared_ptr<CountingPageMemory::Counts> pages = std::make_shared<CountingPageMemory::Counts>();
  std::shared_ptr<StepWorkspace> workspace = std::make_shared<StepWorkspace>(TestBackend().memory());
  FailingPageMemory memory{kPage, pages};
  std::unique_ptr<WeightManager> manager;
};

// The bytes of what the adapter replaced are those of a packing of the same tensors elsewhere.
inline bool HoldsExpert(const ModelSpec& spec, const FfnWeights& ffn, uint64_t seed, int layer, int expert,
                        DType dtype = DType::kBF16, std::optional<WeightFormat> asked = {}) {
  const WeightFormat format = asked.value_or(FormatOf(dtype));
  const bool shared = expert < 0;
  const WeightKey gate{shared ? WeightRole::kSharedGate : WeightRole::kExpertGate, layer, expert};
  const WeightKey up{shared ? WeightRole::kSharedUp : WeightRole::kExpertUp, layer, expert};
  const WeightKey down{shared ? WeightRole::kSharedDown : WeightRole::kExpertDown, layer, expert};
  const int64_t width = shared ? spec.shared_width : spec.expert_width;
  std::vector<std::byte> g, u, d;
  const TensorView gate_view = TinyTensor(seed, gate, 0, dtype, width, spec.hidden, g);
  const TensorView up_view = TinyTensor(seed, up, 0, dtype, width, spec.hidden, u);
  const TensorView down_view = TinyTensor(seed, down, 0, dtype, spec.hidden, width, d);
  const Backend& backend = TestBackend();
  const PackShape gate_up = PackShape::GateUp(format, width, spec.hidden);
  const PackShape down_shape = PackShape::Stack(format, spec.hidden, width);
  const size_t gate_up_bytes = backend.PackedBytes(gate_up), down_bytes = backend.PackedBytes(down_shape);
  Buffer memory = Buffer::Allocate(gate_up_bytes + 64 + down_bytes, "expected").value();
  std::byte* down_place = memory.data() + (gate_up_bytes + 63) / 64 * 64;
  const TensorView parts[] = {gate_view, up_view};
  backend.Pack(gate_up, parts, memory.data());
  backend.Pack(down_shape, {&down_view, 1}, down_place);
  return ffn.gate_up.out == 2 * width && ffn.gate_up.in == spec.hidden && ffn.gate_up.format == format &&
         ffn.down.out == spec.hidden && ffn.down.in == width &&
         std::memcmp(ffn.gate_up.data, memory.data(), gate_up_bytes) == 0 &&
         std::memcmp(ffn.down.data, down_place, down_bytes) == 0;
}

}  // namespace guildhall
