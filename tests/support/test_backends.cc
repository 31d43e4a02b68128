#include "tests/support/test_backends.h"

#include <cstdlib>
#include <string_view>

#include "base/check.h"
#include "base/str_cat.h"
#include "kernels/cpu/isa.h"

namespace guildhall {
namespace {

// So small that even tiny adapters have several pages, and share some.
constexpr size_t kPageBytes = size_t{16} << 10;
// The least that a real device maps.
constexpr size_t kDevicePageBytes = size_t{2} << 20;

std::unique_ptr<Backend> Make(BackendOptions options, int threads) {
  options.cpu.threads = threads;
  auto backend = MakeBackend(options);
  if (!backend.ok()) CheckFailed(__FILE__, __LINE__, backend.status().ToString());
  return *std::move(backend);
}

TestBackend CpuLevel(Isa isa) {
  TestBackend backend;
  backend.name = StrCat("cpu/", IsaName(isa));
  backend.options = {.device = "cpu",
                     .page_bytes = kPageBytes,
                     .cpu = {.threads = 1, .pin = false, .isa = std::string(IsaName(isa))}};
  backend.make = [options = backend.options](int threads) { return Make(options, threads); };
  backend.lanes = {1, 2, 3};
  if (isa == Isa::kAvx512) {
    backend.bf16_input = Rounding::kBF16;
    backend.bf16_attention = backend.flushes_subnormals = true;
  }
  return backend;
}

// An emulated device has small pages for tests.
size_t PageBytesOf(std::string_view device) {
  setenv("EMULATED_CUDA_PAGE", "4096", /*overwrite=*/0);
  BackendOptions options;
  options.device = std::string(device);
  options.page_bytes = kPageBytes;
  return MakeBackend(options).ok() ? kPageBytes : kDevicePageBytes;
}

TestBackend CudaDevice(std::string_view device) {
  TestBackend backend;
  backend.name = "cuda/tile64";
  backend.options.products = TestProducts();
  backend.options.library = {.rows = 0, .part_bytes = 34 << 10};  // what tests have is small
  backend.options.device = std::string(device);
  static const size_t page_bytes = PageBytesOf(device);
  backend.options.page_bytes = page_bytes;
  backend.make = [options = backend.options](int) { return Make(options, 1); };
  backend.bf16_input = backend.quantized_input = Rounding::kBF16;
  backend.f16_input = Rounding::kTF32;
  backend.bf16_attention = true;
  return backend;
}

// Empty: none.
std::string_view TestDevice() {
  const char* device = std::getenv("GUILDHALL_TEST_DEVICE");
  return device == nullptr ? "" : device;
}

}  // namespace

Rounding TestBackend::RoundingOf(WeightFormat format) const {
  if (IsQuantized(format)) return quantized_input;
  if (format == WeightFormat::kF32) return Rounding::kNone;
  return format == WeightFormat::kBF16 ? bf16_input : f16_input;
}

std::vector<WeightFormat> TestBackend::weight_formats() const {
  std::vector<WeightFormat> formats = {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kF16};
  if (quantizes) {
    formats.insert(formats.end(), {WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset});
  }
  return formats;
}

std::vector<KvFormat> TestBackend::kv_formats() const {
  std::vector<KvFormat> formats;
  for (const KvFormat format : kKvFormats) {
    if (Keeps(format)) formats.push_back(format);
  }
  return formats;
}

std::vector<TestBackend> TestBackends() {
  return OnTestDevice() ? std::vector{CudaDevice(TestDevice())} : CpuTestBackends();
}

std::vector<TestBackend> CpuTestBackends() {
  std::vector<TestBackend> backends;
  for (const Isa isa : SupportedIsas()) backends.push_back(CpuLevel(isa));
  return backends;
}

TestBackend DefaultTestBackend() {
  if (OnTestDevice()) return CudaDevice(TestDevice());
  const auto isa = ChooseIsa("");
  if (!isa.ok()) CheckFailed(__FILE__, __LINE__, isa.status().ToString());
  return CpuLevel(*isa);
}

bool OnTestDevice() {
  return !TestDevice().empty();
}

DeviceProducts TestProducts() {
  const char* const products = std::getenv("GUILDHALL_TEST_PRODUCTS");
  return products == nullptr ? DeviceProducts::kExact : ParseDeviceProducts(products).value();
}

}  // namespace guildhall
