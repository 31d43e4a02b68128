#include "tools/npy.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

static_assert(std::endian::native == std::endian::little);  // rows are written as they lie in memory

// Magic, version 1.0, length of the description, the description; all in a multiple of 64 bytes.
std::string Header(int64_t rows, int64_t columns) {
  std::string text =
      StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  constexpr size_t kBefore = 10;
  text.append(63 - (kBefore + text.size()) % 64, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace

absl::StatusOr<NpyWriter> NpyWriter::Create(const std::string& path, int64_t rows, int64_t columns) {
  NpyWriter writer(File(std::fopen(path.c_str(), "wb")), path, rows, columns);
  if (writer.file_ == nullptr) return writer.Failed("open");
  const std::string header = Header(rows, columns);
  if (std::fwrite(header.data(), 1, header.size(), writer.file_.get()) != header.size()) {
    return writer.Failed("write");
  }
  return writer;
}

absl::Status NpyWriter::Append(std::span<const float> row) {
  GH_CHECK_EQ(static_cast<int64_t>(row.size()), columns_);
  GH_CHECK_GT(rows_left_, 0);
  if (std::fwrite(row.data(), sizeof(float), row.size(), file_.get()) != row.size()) return Failed("write");
  --rows_left_;
  return absl::OkStatus();
}

absl::Status NpyWriter::Close() {
  if (rows_left_ > 0) {
    return absl::FailedPreconditionError(
        StrCat(path_, ": ", rows_left_, " rows were announced and not written"));
  }
  if (std::fclose(file_.release()) != 0) return Failed("write");
  return absl::OkStatus();
}

absl::Status NpyWriter::Failed(const char* what) const {
  return absl::UnavailableError(StrCat("cannot ", what, " ", path_, ": ", std::strerror(errno)));
}

}  // namespace guildhall
