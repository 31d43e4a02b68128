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
#include "tests/support/device_array.h"
#include "tests/support/test_backends.h"
#include "tests/weights/fake_page_memory.h"
#include "tests/weights/tiny_adapter.h"

namespace guildhall {

// Waits for what another thread will do. A test ends that waits for what has failed already.
template <typename Condition>
void Await(Condition condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!condition()) {
    GH_CHECK(std::chrono::steady_clock::now() < limit);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

// Of somebody who wants no load any more.
inline std::stop_token Stopped() {
  std::stop_source source;
  source.request_stop();
  return source.get_token();
}

// Of pages that even tiny adapters fill.
inline constexpr size_t kFixturePage = 4096;

inline Backend& FixtureBackend() {
  static const std::unique_ptr<Backend> backend = [] {
    BackendOptions options = DefaultTestBackend().options;
    options.page_bytes = kFixturePage;
    return MakeBackend(options).value();
  }();
  return *backend;
}

struct ManagerFixture {
  static constexpr size_t kPage = kFixturePage;

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
    manager =
        std::make_unique<WeightManager>(spec, FixtureBackend(), base, budget, workspace, options, memory);
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
  std::shared_ptr<StepWorkspace> workspace = std::make_shared<StepWorkspace>(FixtureBackend().memory());
  FailingPageMemory memory{FixtureBackend().memory().pages(), pages};
  std::unique_ptr<WeightManager> manager;
};

// Of low-rank results, for changes of so many ranks.
inline int64_t Columns(int64_t rank) {
  return FixtureBackend().LowRankColumns(rank);
}

template <typename T>
std::vector<T> ReadFromDevice(const T* home, size_t count) {
  std::vector<T> values(count);
  CopyFromDevice(FixtureBackend(), reinterpret_cast<const std::byte*>(home),
                 std::as_writable_bytes(std::span(values)));
  return values;
}

// All of it can be written, and holds what was written.
template <typename T>
bool CanHold(T* home, size_t count) {
  DeviceMemory& memory = FixtureBackend().memory();
  const HostTwin twin = memory.MakeTwin(reinterpret_cast<std::byte*>(home), count * sizeof(T)).value();
  std::memset(twin.data(), 1, count * sizeof(T));
  GH_CHECK(memory.Upload(twin).ok());
  T expected;
  std::memset(&expected, 1, sizeof(T));
  return ReadFromDevice(home, count) == std::vector<T>(count, expected);
}

// The bytes on the device are those that the back end packs.
inline bool HoldsPacked(const std::byte* home, const PackShape& shape, std::span<const TensorView> parts) {
  Backend& backend = FixtureBackend();
  const size_t bytes = backend.PackedBytes(shape);
  Buffer expected = Buffer::Allocate(bytes, "expected").value();
  backend.Pack(shape, parts, expected.data());
  return std::memcmp(ReadFromDevice(home, bytes).data(), expected.data(), bytes) == 0;
}

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
  const TensorView parts[] = {gate_view, up_view};
  return ffn.gate_up.out == 2 * width && ffn.gate_up.in == spec.hidden && ffn.gate_up.format == format &&
         ffn.down.out == spec.hidden && ffn.down.in == width &&
         HoldsPacked(ffn.gate_up.data, PackShape::GateUp(format, width, spec.hidden), parts) &&
         HoldsPacked(ffn.down.data, PackShape::Stack(format, spec.hidden, width), {&down_view, 1});
}

}  // namespace guildhall
