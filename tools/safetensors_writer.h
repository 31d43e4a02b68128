// Writes a safetensors file in one pass.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"

namespace guildhall {

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;

  size_t Bytes() const;
};

// One use: Open, Append each tensor in the order of the list, Finish. Errors name the file.
class SafetensorsWriter {
 public:
  static absl::StatusOr<SafetensorsWriter> Open(const std::string& path, std::vector<TensorToWrite> tensors);

  // All bytes of the next tensor. CHECK: as many as its shape says.
  absl::Status Append(std::span<const std::byte> bytes);
  // The file is on the disk. CHECK: nothing is missing.
  absl::Status Finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  absl::Status Write(std::span<const std::byte> bytes);

  std::string path_;
  std::vector<TensorToWrite> tensors_;
  size_t next_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace guildhall
