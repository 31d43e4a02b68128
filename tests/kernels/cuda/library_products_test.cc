// Which products a library gets, and what is said where it fails.
#include <catch2/catch.hpp>

#include "kernels/make_backend.h"
#include "kernels/no_cuda_device.h"
#include "tests/cuda_emulation/emulated_device.h"
#include "tests/kernels/cuda/cuda_fixture.h"
#include "tests/support/device_array.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using Catch::Contains;
using emulation::EmulatedDevice;

constexpr int64_t kIn = 40, kOut = 24;

BackendOptions LibraryOptionsOf(const std::string& device) {
  BackendOptions options;
  options.device = device;
  options.products = DeviceProducts::kLibrary;
  return options;
}

// One product of ones.
class Product {
 public:
  explicit Product(Backend& backend)
      : backend_(backend),
        ones_(OnDevice(backend, std::vector<float>(kIn * 100, 1.0f))),
        y_(FilledOnDevice(backend, kOut * 100, 0.0f)) {
    const std::vector<float> weights(kIn * kOut, 0.5f);
    const TensorView view{DType::kF32, {kOut, kIn}, reinterpret_cast<const std::byte*>(weights.data())};
    packed_ = PackOnDevice(backend, PackShape::Stack(WeightFormat::kF32, kOut, kIn), {&view, 1});
  }

  // Calls of the library that a product of so many rows took.
  uint64_t Calls(int64_t rows) {
    (void)EmulatedDevice::TakeCounts();
    Run(rows);
    CHECK(y_.Read().front() == 0.5f * kIn);
    return EmulatedDevice::TakeCounts().kernels["cublasLtMatmul"].launches;
  }
  void Run(int64_t rows) {
    backend_.MatMul({.x = ones_.data(),
                     .w = packed_.matrix,
                     .y = y_.data(),
                     .rows = rows,
                     .x_stride = kIn,
                     .y_stride = kOut});
  }

 private:
  Backend& backend_;
  DeviceArray<float> ones_, y_;
  PackedWeights packed_;
};

StepLimits Limits() {
  StepLimits limits;
  limits.max_rows = limits.max_entries = 100;
  limits.max_width = limits.hidden = limits.max_ffn_width = 64;
  limits.max_heads = limits.max_experts = 4;
  return limits;
}

TEST_CASE("a library gets products of many rows, and none where it was not asked for") {
  EmulatedDevice::Configure({});
  const auto exact = MakeBackend({.device = "cuda", .cpu = {}}).value();
  const auto library = MakeBackend(LibraryOptionsOf("cuda")).value();
  CHECK_THAT(library->Describe(), Contains("products of cuBLASLt 13.0.2 (no isolation to the bit)"));
  REQUIRE(exact->Prepare(Limits()).ok());
  REQUIRE(library->Prepare(Limits()).ok());
  CHECK(library->ScratchBytes(Limits()) == exact->ScratchBytes(Limits()) + (size_t{128} << 20));
  Product of_exact(*exact), of_library(*library);
  CHECK(of_exact.Calls(100) == 0);
  CHECK(of_library.Calls(63) == 0);
  CHECK(of_library.Calls(64) == 1);
}

TEST_CASE("a product that the library fails at ends its step, and the next one is computed") {
  EmulatedDevice::Configure({});
  const auto backend = MakeBackend(LibraryOptionsOf("cuda")).value();
  REQUIRE(backend->Prepare(Limits()).ok());
  Product product(*backend);
  for (const char* call : {"cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmul"}) {
    EmulatedDevice::Fail(call, 1, cudaErrorUnknown);
    product.Run(100);
    const absl::Status failed = backend->Finish();
    CHECK(failed.code() == StatusCode::kInternal);
    CHECK_THAT(std::string(failed.message()), Contains("cuda: failed at matmul: cuBLASLt: "));
    EmulatedDevice::Heal();
    CHECK(product.Calls(100) == 1);
  }
}

TEST_CASE("a library is refused by name where there is none, and on a CPU") {
  emulation::Options without;
  without.cublas = false;
  EmulatedDevice::Configure(without);
  for (const char* device : {"cuda", "auto"}) {  // auto: the CPU has none either
    const absl::Status absent = MakeBackend(LibraryOptionsOf(device)).status();
    CHECK(absent.code() == StatusCode::kFailedPrecondition);
    CHECK_THAT(std::string(absent.message()), Contains("libcublasLt.so.13"));
  }
  EmulatedDevice::Configure({});
  EmulatedDevice::Fail("cublasLtCreate", 1, cudaErrorUnknown);
  CHECK(MakeBackend(LibraryOptionsOf("cuda")).status().code() == StatusCode::kInternal);
  EmulatedDevice::Heal();
  const absl::Status on_cpu = MakeBackend(LibraryOptionsOf("cpu")).status();
  CHECK(on_cpu.code() == StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(on_cpu.message()),
             Contains("device_products: expected \"exact\" on device \"cpu\""));
}

TEST_CASE("auto takes the CPU where a device cannot be used, and knows one that is not there") {
  const auto taken = [](const emulation::Options& options) {
    EmulatedDevice::Configure(options);
    return MakeBackend({.device = "auto", .cpu = {}}).value()->layout();
  };
  CHECK(taken({}) == "cuda/tile64");
  CHECK(taken({.devices = {}}).starts_with("cpu/"));
  CHECK(taken({.driver_version = 0}).starts_with("cpu/"));
  CHECK(taken({.driver_version = 12040}).starts_with("cpu/"));
  CHECK(taken({.devices = {{.major = 7, .minor = 5}}}).starts_with("cpu/"));
  CHECK(IsNoCudaDevice(Refusal({.devices = {}})));
  CHECK(IsNoCudaDevice(Refusal({.driver_version = 0})));
  CHECK_FALSE(IsNoCudaDevice(Refusal({.driver_version = 12040})));
  CHECK_FALSE(IsNoCudaDevice(Refusal({.devices = {{.major = 7, .minor = 5}}})));
  CHECK_FALSE(IsNoCudaDevice(Refusal({}, "cuda:7")));
}

}  // namespace
}  // namespace guildhall
