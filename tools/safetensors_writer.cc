#include "tools/safetensors_writer.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

size_t TensorToWrite::Bytes() const {
  size_t bytes = DTypeSize(dtype);
  for (const int64_t dim : shape) bytes *= static_cast<size_t>(dim);
  return bytes;
}

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Open(const std::string& path,
                                                          std::vector<TensorToWrite> tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  size_t at = 0;
  for (const TensorToWrite& tensor : tensors) {
    const size_t end = at + tensor.Bytes();
    header[tensor.name] = {
        {"dtype", DTypeName(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = DumpJson(header);
  // Spaces, so that the numbers begin where any of their types may.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::byte length[8];
  for (size_t i = 0; i < 8; ++i)
    length[i] = static_cast<std::byte>((uint64_t{text.size()} >> (8 * i)) & 0xffu);

  SafetensorsWriter writer;
  writer.path_ = path;
  writer.tensors_ = std::move(tensors);
  writer.file_.reset(std::fopen(path.c_str(), "wbx"));
  if (writer.file_ == nullptr) {
    return absl::FailedPreconditionError(StrCat(path, ": cannot create: ", std::strerror(errno)));
  }
  GH_RETURN_IF_ERROR(writer.Write(length));
  GH_RETURN_IF_ERROR(writer.Write(std::as_bytes(std::span(text))));
  return writer;
}

absl::Status SafetensorsWriter::Write(std::span<const std::byte> bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) == bytes.size()) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat(path_, ": cannot write: ", std::strerror(errno)));
}

absl::Status SafetensorsWriter::Append(std::span<const std::byte> bytes) {
  GH_CHECK_LT(next_, tensors_.size());
  GH_CHECK_EQ(bytes.size(), tensors_[next_].Bytes());
  ++next_;
  return Write(bytes);
}

absl::Status SafetensorsWriter::Finish() {
  GH_CHECK_EQ(next_, tensors_.size());
  if (std::fflush(file_.get()) != 0 || fsync(fileno(file_.get())) != 0) {
    return absl::ResourceExhaustedError(StrCat(path_, ": cannot write: ", std::strerror(errno)));
  }
  file_.reset();
  return absl::OkStatus();
}

}  // namespace guildhall
