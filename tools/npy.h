// Writes a matrix of logits as a .npy file: version 1.0, float32, little-endian, C order.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace guildhall {

// Row by row, so that no more than one row is in memory. Errors name the file.
class NpyWriter {
 public:
  // Replaces a file that is there. The number of rows is in the header and must be kept.
  static absl::StatusOr<NpyWriter> Create(const std::string& path, int64_t rows, int64_t columns);

  absl::Status Append(std::span<const float> row);  // (columns)
  // Flushes. FAILED_PRECONDITION when rows are missing.
  absl::Status Close();

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Closer>;

  NpyWriter(File file, std::string path, int64_t rows, int64_t columns)
      : file_(std::move(file)), path_(std::move(path)), rows_left_(rows), columns_(columns) {}
  absl::Status Failed(const char* what) const;

  File file_;
  std::string path_;
  int64_t rows_left_;
  int64_t columns_;
};

}  // namespace guildhall
