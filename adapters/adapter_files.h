// The files of an adapter folder, opened once: its configuration and one directory of all its tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/tensor_view.h"
#include "checkpoint/safetensors.h"

namespace guildhall {

// A tensor in a file: its name and shape are `entry`'s. Lives as long as the AdapterFiles.
struct AdapterTensor {
  const SafetensorsFile* file = nullptr;
  const SafetensorsEntry* entry = nullptr;
  DType dtype = DType::kF32;

  size_t Bytes() const { return entry->end - entry->begin; }
};

// Holds every file open, so that a folder that is exchanged later cannot mix two versions. The readers are
// const and thread-safe.
class AdapterFiles {
 public:
  using Tensors = std::map<std::string_view, AdapterTensor>;  // ordered: equal folders give equal messages

  // Lists the folder. NOT_FOUND: no such folder.
  static absl::StatusOr<std::unique_ptr<AdapterFiles>> List(const std::string& directory);

  const std::string& directory() const { return directory_; }
  // Names of the entries of the folder itself, ascending; hidden ones are left out.
  const std::vector<std::string>& names() const { return names_; }
  bool Has(std::string_view name) const;
  // The names that end in .safetensors.
  std::vector<std::string> TensorFileNames() const;

  // A JSON file of at most a few MiB; `path` absolute or below the folder.
  absl::StatusOr<Json> OpenJson(const std::string& path);
  // Adds the tensors of a file of the folder: headers alone are read. A name that is there already and a
  // dtype that is not served are refused.
  absl::Status OpenTensors(const std::string& name);

  const Tensors& tensors() const { return tensors_; }
  const AdapterTensor* Find(std::string_view name) const;
  uint64_t TensorBytes() const;
  // The error with the folder's name before its text.
  absl::Status InFolder(const absl::Status& status) const;
  // Changes when one of the opened files is replaced or written to.
  std::string Fingerprint() const;
  // DATA_LOSS when one of them was written to since it was opened.
  absl::Status CheckUnchanged() const;

  // Rows [begin, end) of a tensor's first dimension (all of it: end = -1), copied into `scratch`, seen to be
  // finite and not written to meanwhile. INVALID_ARGUMENT names the tensor and the element; DATA_LOSS.
  absl::StatusOr<TensorView> Read(const AdapterTensor& tensor, std::vector<std::byte>& scratch,
                                  int64_t begin = 0, int64_t end = -1) const;

 private:
  absl::Status CheckComplete() const;

  std::string directory_;
  std::vector<std::string> names_;
  std::vector<MappedFile> configs_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  Tensors tensors_;
};

// "[64, 2048]", cut after a few dimensions.
std::string ShapeText(const std::vector<int64_t>& shape);

// The flat index of the first element that is NaN or infinite; -1: none.
int64_t FirstNotFinite(const TensorView& view);

}  // namespace guildhall
