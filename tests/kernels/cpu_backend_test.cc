#include "kernels/cpu/cpu_backend.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include "kernels/cpu/machine_probe.h"
#include "tests/kernels/products_reference.h"
#include "tests/support/allocation_hook.h"

using namespace guildhall;

namespace {

// Sets a variable for one test and puts the old value back.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    setenv(name, value, 1);
  }
  ~Variable() { old_.empty() ? unsetenv(name_) : setenv(name_, old_.c_str(), 1); }

 private:
  const char* name_;
  std::string old_;
};

std::atomic<int64_t> allocations{0};

}  // namespace

TEST_CASE("the portable level is everywhere and names are those of the interface", "[cpu]") {
  const auto isas = SupportedIsas();
  REQUIRE(!isas.empty());
  CHECK(isas.front() == Isa::kPortable);
  for (const Isa isa : isas) {
    CpuOptions options;
    options.isa = std::string(IsaName(isa));
    options.threads = 2;
    const auto backend = MakeCpuBackend(options);
    REQUIRE(backend.ok());
    CHECK((*backend)->level() == IsaName(isa));
    CHECK((*backend)->Describe().find("2 threads") != std::string::npos);
    CHECK((*backend)->Describe().find(IsaName(isa)) != std::string::npos);
  }
}

TEST_CASE("the best level is taken unless GUILDHALL_ISA or the option says otherwise", "[cpu]") {
  {
    const Variable none("GUILDHALL_ISA", "");
    CHECK(*ChooseIsa("") == SupportedIsas().back());
  }
  const Variable forced("GUILDHALL_ISA", "portable");
  CHECK(*ChooseIsa("") == Isa::kPortable);
  CHECK(*ChooseIsa(IsaName(SupportedIsas().back())) == SupportedIsas().back());
}

TEST_CASE("an impossible level is INVALID_ARGUMENT and names the possible ones", "[cpu]") {
  const Variable forced("GUILDHALL_ISA", "avx9000");
  for (const std::string name : {"", "avx9000", "AVX2"}) {
    CpuOptions options;
    options.isa = name;
    const auto backend = MakeCpuBackend(options);
    REQUIRE(!backend.ok());
    CHECK(backend.status().code() == absl::StatusCode::kInvalidArgument);
    const std::string message(backend.status().message());
    CHECK(message.find(name.empty() ? "GUILDHALL_ISA \"avx9000\"" : name) != std::string::npos);
    for (const Isa isa : SupportedIsas()) CHECK(message.find(IsaName(isa)) != std::string::npos);
  }
}

TEST_CASE("a negative number of threads is INVALID_ARGUMENT", "[cpu]") {
  CpuOptions options;
  options.threads = -1;
  CHECK(MakeCpuBackend(options).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("limits that no machine can hold are RESOURCE_EXHAUSTED", "[cpu]") {
  CpuOptions options;
  options.threads = 1;
  auto backend = MakeCpuBackend(options);
  REQUIRE(backend.ok());
  StepLimits limits;
  limits.max_rows = int64_t{1} << 30;
  limits.max_width = int64_t{1} << 30;
  limits.max_entries = 1;
  limits.max_ffn_width = 16;
  limits.hidden = 16;
  limits.max_heads = 1;
  limits.max_experts = 1;
  CHECK((*backend)->Prepare(limits).code() == absl::StatusCode::kResourceExhausted);
}

TEST_CASE("bytes of a KV block: the numbers of 16 tokens, and of int8 two scales for each token and head",
          "[cpu]") {
  const auto backend = CpuTestBackends().front().make(1);
  const auto bytes = [&](KvShape shape, KvFormat format) {
    shape.format = format;
    return backend->KvBlockBytes(shape);
  };
  const KvShape grouped = {2, 128, 64}, latent = {1, 576, 512, true}, odd = {1, 5, 3};
  CHECK(bytes(grouped, KvFormat::kF32) == 2 * 16 * 192 * 4);
  CHECK(bytes(grouped, KvFormat::kBF16) == 2 * 16 * 192 * 2);
  CHECK(bytes(grouped, KvFormat::kInt8) == 2 * (16 * 192 + 2 * 16 * 4));
  CHECK(bytes(latent, KvFormat::kBF16) == 16 * 576 * 2);
  CHECK(bytes(latent, KvFormat::kInt8) == 16 * 576 + 2 * 16 * 4);
  // An odd key is filled up with a zero; scales begin a line of memory.
  CHECK(bytes(odd, KvFormat::kBF16) == 16 * (6 + 3) * 2);
  CHECK(bytes(odd, KvFormat::kF16) == 16 * (5 + 3) * 2);
  CHECK(bytes(odd, KvFormat::kInt8) == 192 + 2 * 16 * 4);
}

TEST_CASE("products allocate nothing", "[cpu]") {
  SetAllocationHook([] {
    ++allocations;
    return false;
  });
  for (const TestBackend& on : CpuTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(1);
    TestWeights weights = MakeWeights(random, DType::kBF16, 300, 200), up = weights;
    TestWeights back = MakeWeights(random, DType::kBF16, 200, 300);
    const PackedWeights packed = PackWeights(*backend, weights);
    std::vector<PackedWeights> memory;
    std::vector<FfnWeights> table;
    for (const WeightFormat format :
         {WeightFormat::kBF16, WeightFormat::kInt4, WeightFormat::kInt8, WeightFormat::kInt4Offset}) {
      memory.push_back(PackGateUpWeightsAs(*backend, weights, up, format));
      table.emplace_back().gate_up = memory.back().matrix;
      memory.push_back(PackWeightsAs(*backend, back, format));
      table.back().down = memory.back().matrix;
    }
    memory.push_back(PackWeightsAs(*backend, weights, WeightFormat::kInt8));
    const Matrix quantized = memory.back().matrix;
    const HeadMatrices heads = {packed.matrix, 2, 0};
    constexpr int64_t kRows = 60;
    const auto x = random.Floats(kRows * 400);
    std::vector<float> y(kRows * 600);
    std::vector<int32_t> begin = {0, 40, 40, 50, 60}, entry(60);
    for (size_t i = 0; i < entry.size(); ++i) entry[i] = static_cast<int32_t>(i);
    for (const int64_t rows : {int64_t{1}, kRows}) {
      if (rows == 1) begin = {0, 0, 1, 1, 1};
      if (rows == kRows) begin = {0, 40, 40, 50, 60};
      const int64_t before = allocations.load();
      backend->MatMul(
          {.x = x.data(), .w = packed.matrix, .y = y.data(), .rows = rows, .x_stride = 200, .y_stride = 300});
      backend->MatMul(
          {.x = x.data(), .w = quantized, .y = y.data(), .rows = rows, .x_stride = 200, .y_stride = 300});
      backend->HeadMatMul({.x = x.data(),
                           .w = heads,
                           .y = y.data(),
                           .rows = rows,
                           .x_stride = 400,
                           .x_head_stride = 200,
                           .y_stride = 600,
                           .y_head_stride = 300});
      for (const FfnWeights& ffn : table) {
        backend->Ffn({.x = x.data(),
                      .w = ffn,
                      .y = y.data(),
                      .rows = rows,
                      .hidden = 200,
                      .width = 300,
                      .x_stride = 200,
                      .y_stride = 200});
      }
      backend->ExpertFfn({.x = x.data(),
                          .table = table.data(),
                          .group_begin = begin.data(),
                          .group_entry = entry.data(),
                          .weight = nullptr,
                          .y = y.data(),
                          .rows = rows,
                          .k = 1,
                          .slots = static_cast<int64_t>(table.size()),
                          .hidden = 200,
                          .width = 300,
                          .x_stride = 200,
                          .y_stride = 200});
      CHECK(allocations.load() == before);
    }
    CHECK(allocations.load() > 0);  // the counter counts
  }
  SetAllocationHook(nullptr);
}

TEST_CASE("the probe finds a rate for everything that the level has", "[cpu]") {
  auto probe = MachineProbe::Make();
  REQUIRE(probe.ok());
  for (const Isa isa : SupportedIsas()) {
    CpuBackend backend(isa, 2, false);
    for (const bool all : {false, true}) {
      const MachinePeaks peaks = probe->Measure(backend.context(), all, 0.01);
      CHECK(peaks.read_gbps > 0);
      CHECK(peaks.fp32_gflops > 0);
      CHECK((peaks.bf16_gflops > 0) == (isa == Isa::kAvx512));
      CHECK((peaks.int8_gops > 0) == (isa != Isa::kPortable));
    }
    CHECK(probe->ReadGbps(backend.context(), true, 0.01) > 0);
  }
}
