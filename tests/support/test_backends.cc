#include "tests/support/test_backends.h"

#include "base/check.h"
#include "base/str_cat.h"
#include "kernels/cpu/isa.h"

namespace guildhall {
namespace {

// So small that even tiny adapters have several pages, and share some.
constexpr size_t kPageBytes = size_t{16} << 10;

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
  backend.bf16_products = backend.bf16_attention = isa == Isa::kAvx512;
  return backend;
}

}  // namespace

Rounding TestBackend::RoundingOf(WeightFormat format) const {
  if (IsQuantized(format)) return Rounding::kInt8;
  return bf16_products && format == WeightFormat::kBF16 ? Rounding::kBF16 : Rounding::kNone;
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
  return CpuTestBackends();
}

std::vector<TestBackend> CpuTestBackends() {
  std::vector<TestBackend> backends;
  for (const Isa isa : SupportedIsas()) backends.push_back(CpuLevel(isa));
  return backends;
}

TestBackend DefaultTestBackend() {
  const auto isa = ChooseIsa("");
  if (!isa.ok()) CheckFailed(__FILE__, __LINE__, isa.status().ToString());
  return CpuLevel(*isa);
}

}  // namespace guildhall
