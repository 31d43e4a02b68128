#include "checkpoint/safetensors.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/stand_in.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  auto file = std::make_unique<SafetensorsFile>();
  GH_ASSIGN_OR_RETURN(file->file_, MappedFile::Open(path));
  const size_t size = file->size();
  const auto named = [&](const absl::Status& status) {
    return absl::Status(status.code(), StrCat(path, ": ", status.message()));
  };
  GH_RETURN_IF_ERROR(CheckNoStandIn(file->file_));
  // Read, not looked at in the mapping: a file that is cut right now must not kill the process.
  std::vector<std::byte> head(std::min<size_t>(size, 8));
  GH_RETURN_IF_ERROR(file->file_.ReadAt(0, head));
  const auto length = SafetensorsHeaderLength(head, size);
  if (!length.ok()) return named(length.status());
  head.resize(8 + *length);
  GH_RETURN_IF_ERROR(file->file_.ReadAt(0, head));
  auto header = ParseSafetensorsHeader(head, size);
  if (!header.ok()) return named(header.status());
  file->header_ = *std::move(header);
  file->by_name_.resize(file->header_.entries.size());
  std::iota(file->by_name_.begin(), file->by_name_.end(), size_t{0});
  std::sort(file->by_name_.begin(), file->by_name_.end(), [&](size_t a, size_t b) {
    return file->header_.entries[a].name < file->header_.entries[b].name;
  });
  return file;
}

const SafetensorsEntry* SafetensorsFile::Find(std::string_view name) const {
  const auto at = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](size_t index, std::string_view wanted) { return header_.entries[index].name < wanted; });
  if (at == by_name_.end() || header_.entries[*at].name != name) return nullptr;
  return &header_.entries[*at];
}

absl::StatusOr<TensorView> SafetensorsFile::View(const SafetensorsEntry& entry) const {
  const std::optional<DType> dtype = ParseDType(entry.dtype);
  if (!dtype) {
    const bool fp8 = entry.dtype.starts_with("F8");
    return absl::FailedPreconditionError(StrCat(
        "tensor ", Quote(entry.name), ": expected dtype F32, BF16 or F16, found ", entry.dtype,
        fp8 ? ": convert the checkpoint to BF16 (dequantised with its scales)" : ": convert the checkpoint"));
  }
  const std::byte* buffer = file_.bytes().data() + header_.buffer_offset;
  return TensorView{*dtype, entry.shape, buffer + entry.begin};
}

absl::Status SafetensorsFile::Read(const TensorView& view, std::span<std::byte> destination) const {
  const std::byte* base = file_.bytes().data();
  GH_CHECK(view.data >= base && view.data + destination.size() <= base + size());
  return file_.ReadAt(static_cast<size_t>(view.data - base), destination);
}

}  // namespace guildhall
