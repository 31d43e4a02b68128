// The safetensors container, read by its strict rules.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/crc32c.h"
#include "base/mapped_file.h"
#include "base/tensor_view.h"

namespace guildhall {

// One tensor of a header, as parsed: the dtype may be one that we do not serve (I64, F8_E4M3, ...).
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  size_t begin = 0;  // bytes, from the start of the buffer
  size_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // by ascending begin
  size_t buffer_offset = 0;               // of the buffer in the file
};

// Pure: no file, no allocation in proportion to a declared size. `file_size` is the size of the whole file,
// `bytes` its beginning (at least the header). INVALID_ARGUMENT names the tensor, the expected and the found.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::span<const std::byte> bytes, size_t file_size);

// The length of the JSON header that follows the first 8 bytes, checked against the cap and the file's size.
absl::StatusOr<uint64_t> SafetensorsHeaderLength(std::span<const std::byte> bytes, size_t file_size);

// A mapped file and its header. Immutable.
class SafetensorsFile {
 public:
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const SafetensorsHeader& header() const { return header_; }
  const SafetensorsEntry* Find(std::string_view name) const;
  // Into the mapping. FAILED_PRECONDITION when the dtype is not F32, BF16 or F16.
  absl::StatusOr<TensorView> View(const SafetensorsEntry& entry) const;
  // Copies the first bytes of `view` (a view of this file) by pread: DATA_LOSS if the file was cut since.
  absl::Status Read(const TensorView& view, std::span<std::byte> destination) const;
  // DATA_LOSS if the file was written to since Open.
  absl::Status CheckUnchanged() const { return file_.CheckUnchanged(); }
  const std::string& identity() const { return file_.identity(); }
  // CRC-32C of everything before the tensors' bytes: names, dtypes, shapes.
  uint32_t HeaderChecksum() const { return Crc32c(file_.bytes().first(header_.buffer_offset)); }
  size_t size() const { return file_.bytes().size(); }

 private:
  MappedFile file_;
  SafetensorsHeader header_;
  std::vector<size_t> by_name_;  // indices into header_.entries
};

}  // namespace guildhall
