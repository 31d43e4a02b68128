// Whatever the text: a refusal of a bounded length, or a configuration that can be checked again and shown.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "config/loader.h"

namespace guildhall {
namespace {

// A file in memory, because a configuration is read from a path.
class TextFile {
 public:
  explicit TextFile(std::string_view text) : file_(memfd_create("config.json", 0)) {
    GH_CHECK_GE(file_, 0);
    GH_CHECK_EQ(write(file_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  ~TextFile() { close(file_); }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

template <typename Result>
void CheckRefusal(const Result& result) {
  if (result.ok()) return;
  GH_CHECK(result.status().code() == absl::StatusCode::kInvalidArgument);
  GH_CHECK_LT(result.status().message().size(), 2000u);
}

}  // namespace
}  // namespace guildhall

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const TextFile file(text);
  const auto loaded = LoadConfig({.files = {file.path()}, .environment = {}, .overrides = {}});
  CheckRefusal(loaded);
  if (loaded.ok()) {
    GH_CHECK(CheckConfig(loaded->config).ok());
    GH_CHECK(!EffectiveConfigText(*loaded).empty());
  }
  if (const auto json = ParseJson(text, "task"); json.ok()) {
    CheckRefusal(ReadTaskConfig(*json, "task"));
    CheckRefusal(ReadAdapterConfig(*json, "adapter"));
  }
  return 0;
}
