#include "tools/packed_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "base/align.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "base/thread_pool.h"
#include "model/packed_folder.h"
#include "model/weight_plan.h"
#include "weights/pack_runner.h"

namespace guildhall {
namespace {

absl::Status SystemError(const std::string& path, int error) {
  const std::string text = StrCat(path, ": cannot write: ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) return absl::ResourceExhaustedError(text);
  if (error == EEXIST) return absl::AlreadyExistsError(text);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(text);
  return absl::FailedPreconditionError(text);
}

// A new file that is written at any offset, from any thread.
class OutputFile {
 public:
  OutputFile() = default;
  OutputFile(OutputFile&& other) noexcept
      : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile() {
    if (fd_ >= 0) close(fd_);
  }

  static absl::StatusOr<OutputFile> Create(const std::string& path, size_t bytes) {
    OutputFile file;
    file.path_ = path;
    file.fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file.fd_ < 0 || ftruncate(file.fd_, static_cast<off_t>(bytes)) != 0) return SystemError(path, errno);
    return file;
  }

  absl::Status WriteAt(size_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return SystemError(path_, written < 0 ? errno : EIO);
      offset += static_cast<size_t>(written);
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::Status Sync() const { return fsync(fd_) == 0 ? absl::OkStatus() : SystemError(path_, errno); }

 private:
  std::string path_;
  int fd_ = -1;
};

struct FreeBytes {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte, FreeBytes>;

// Zeroed, so that the gaps in an item are the same in each file. Or null.
AlignedBytes AllocateAligned(size_t bytes) {
  const size_t rounded = AlignUp(bytes);
  AlignedBytes memory(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
  if (memory != nullptr) std::memset(memory.get(), 0, rounded);
  return memory;
}

}  // namespace

absl::StatusOr<PackedManifest> WritePackedWeights(const WeightSource& source, const Backend& backend,
                                                  const WeightFormats& formats, const std::string& path,
                                                  const std::function<void(size_t, size_t)>& progress) {
  DecoderWeights unused;
  const WeightPlan plan = PlanWeights(source, backend, AskedFormats(source, formats), nullptr, unused);
  PackedManifest manifest;
  manifest.layout = backend.layout();
  manifest.dtype = source.spec().dtype;
  manifest.formats = formats;
  manifest.bytes = plan.bytes;
  for (const PackedItem& item : plan.items) {
    manifest.tensors.push_back({item.name, item.format, item.out, item.in, item.offset, item.bytes, 0});
    manifest.layouts.try_emplace(item.format, 0);
  }
  for (auto& [format, checksum] : manifest.layouts) checksum = LayoutChecksum(backend, format);

  GH_ASSIGN_OR_RETURN(const OutputFile file, OutputFile::Create(path, plan.bytes));
  const auto write = [&](const PackedItem& item, PackScratch& scratch) -> absl::Status {
    const AlignedBytes place = AllocateAligned(item.bytes);
    if (place == nullptr) {
      return absl::ResourceExhaustedError(
          StrCat("no memory to pack ", item.name, ": ", item.bytes, " bytes"));
    }
    GH_RETURN_IF_ERROR(item.fill(place.get(), scratch));
    const std::span<const std::byte> bytes(place.get(), item.bytes);
    manifest.tensors[static_cast<size_t>(&item - plan.items.data())].checksum = Crc32c(bytes);
    return file.WriteAt(item.offset, bytes);
  };
  GH_RETURN_IF_ERROR(ForEachItem(plan.items, {.threads = AllowedCpus(), .progress = progress}, write));
  GH_RETURN_IF_ERROR(file.Sync());
  return manifest;
}

}  // namespace guildhall
