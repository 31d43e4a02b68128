#include "adapters/adapter_files.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>
#include <type_traits>
#include <utility>

#include "base/stand_in.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kMaxEntries = 10'000;
constexpr size_t kMaxConfigBytes = size_t{8} << 20;

// The largest magnitude of a block's bits says whether one of its numbers is infinite or NaN. A block has a
// constant size, or the compiler would not turn the loop into vectors.
template <typename T, T kExponent>
int64_t FirstWithFullExponent(const std::byte* data, int64_t count) {
  using Signed = std::make_signed_t<T>;
  constexpr int64_t kBlock = 2048;
  const auto magnitude = [data](int64_t i) {
    T bits;
    std::memcpy(&bits, data + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    return static_cast<Signed>(bits & std::numeric_limits<Signed>::max());
  };
  int64_t at = 0;
  for (; at + kBlock <= count; at += kBlock) {
    Signed most = 0;
    for (int64_t i = 0; i < kBlock; ++i) {
      const Signed here = magnitude(at + i);
      most = most > here ? most : here;
    }
    if (most >= static_cast<Signed>(kExponent)) break;
  }
  for (; at < count; ++at) {
    if (magnitude(at) >= static_cast<Signed>(kExponent)) return at;
  }
  return -1;
}

// "[3, 17]" of a flat index.
std::string PlaceText(const std::vector<int64_t>& shape, int64_t flat) {
  std::vector<int64_t> place(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    place[i] = flat % shape[i];
    flat /= shape[i];
  }
  return ShapeText(place);
}

absl::Status ListError(const std::string& directory, const std::error_code& error) {
  const std::string text = StrCat(directory, ": cannot list the folder: ", error.message());
  if (error == std::errc::permission_denied) return absl::PermissionDeniedError(text);
  return absl::FailedPreconditionError(text);
}

}  // namespace

std::string ShapeText(const std::vector<int64_t>& shape) {
  constexpr size_t kShown = 8;
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == kShown) return text + ", ...]";
    StrAppend(&text, i ? ", " : "", shape[i]);
  }
  return text + "]";
}

int64_t FirstNotFinite(const TensorView& view) {
  switch (view.dtype) {
    case DType::kF32:
      return FirstWithFullExponent<uint32_t, 0x7f800000u>(view.data, view.Elements());
    case DType::kBF16:
      return FirstWithFullExponent<uint16_t, 0x7f80>(view.data, view.Elements());
    case DType::kF16:
      return FirstWithFullExponent<uint16_t, 0x7c00>(view.data, view.Elements());
  }
  return -1;
}

absl::StatusOr<std::unique_ptr<AdapterFiles>> AdapterFiles::List(const std::string& directory) {
  if (directory.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("adapter folder: a name with a NUL character");
  }
  std::error_code error;
  const auto status = std::filesystem::status(directory, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return absl::NotFoundError(StrCat(directory, ": expected an adapter folder, found nothing there"));
  }
  if (error) return ListError(directory, error);
  if (status.type() != std::filesystem::file_type::directory) {
    return absl::FailedPreconditionError(StrCat(directory, ": expected an adapter folder, found a file"));
  }
  auto files = std::make_unique<AdapterFiles>();
  files->directory_ = directory;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    std::string name = at->path().filename().string();
    if (name.starts_with('.')) continue;
    files->names_.push_back(std::move(name));
    if (files->names_.size() > kMaxEntries) {
      return absl::FailedPreconditionError(StrCat(directory, ": expected an adapter folder, found more than ",
                                                  kMaxEntries, " entries: is this the right folder?"));
    }
  }
  if (error) return ListError(directory, error);
  std::sort(files->names_.begin(), files->names_.end());
  GH_RETURN_IF_ERROR(files->CheckComplete());
  return files;
}

// A file of ours that is there under its download's name only would be passed over.
absl::Status AdapterFiles::CheckComplete() const {
  for (const std::string& name : names_) {
    const std::string whole(UnfinishedName(name));
    const bool ours = whole.ends_with(".safetensors") || whole.ends_with(".json");
    if (!ours || Has(whole)) continue;
    const std::string path = StrCat(directory_, "/", whole);
    return absl::FailedPreconditionError(StrCat(path, ": ", UnfinishedText(path)));
  }
  return absl::OkStatus();
}

bool AdapterFiles::Has(std::string_view name) const {
  return std::binary_search(names_.begin(), names_.end(), name);
}

std::vector<std::string> AdapterFiles::TensorFileNames() const {
  std::vector<std::string> found;
  std::copy_if(names_.begin(), names_.end(), std::back_inserter(found),
               [](const std::string& name) { return name.ends_with(".safetensors"); });
  return found;
}

absl::StatusOr<Json> AdapterFiles::OpenJson(const std::string& path) {
  const std::string full = path.starts_with('/') ? path : StrCat(directory_, "/", path);
  GH_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(full));
  if (file.bytes().size() > kMaxConfigBytes) {
    return absl::FailedPreconditionError(StrCat(full, ": at most ", kMaxConfigBytes,
                                                " bytes are read of this file, found ", file.bytes().size()));
  }
  std::string text(file.bytes().size(), '\0');
  GH_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(text))));
  configs_.push_back(std::move(file));
  return ParseJson(text, full);
}

absl::Status AdapterFiles::OpenTensors(const std::string& name) {
  GH_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(StrCat(directory_, "/", name)));
  for (const SafetensorsEntry& entry : file->header().entries) {
    auto view = file->View(entry);
    if (!view.ok()) {
      return absl::Status(view.status().code(), StrCat(file->path(), ": ", view.status().message()));
    }
    const auto [at, added] = tensors_.try_emplace(entry.name, AdapterTensor{file.get(), &entry, view->dtype});
    if (added) continue;
    return absl::InvalidArgumentError(
        StrCat("tensor ", Quote(entry.name),
               ": expected in one file, found in two: ", at->second.file->path(), " and ", file->path()));
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

const AdapterTensor* AdapterFiles::Find(std::string_view name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

uint64_t AdapterFiles::TensorBytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) bytes += tensor.Bytes();
  return bytes;
}

absl::Status AdapterFiles::InFolder(const absl::Status& status) const {
  return absl::Status(status.code(), StrCat(directory(), ": ", status.message()));
}

std::string AdapterFiles::Fingerprint() const {
  std::string text;
  for (const MappedFile& file : configs_) StrAppend(&text, file.path(), "|", file.identity(), "\n");
  for (const auto& file : files_) StrAppend(&text, file->path(), "|", file->identity(), "\n");
  return text;
}

absl::Status AdapterFiles::CheckUnchanged() const {
  for (const MappedFile& file : configs_) GH_RETURN_IF_ERROR(file.CheckUnchanged());
  for (const auto& file : files_) GH_RETURN_IF_ERROR(file->CheckUnchanged());
  return absl::OkStatus();
}

absl::StatusOr<TensorView> AdapterFiles::Read(const AdapterTensor& tensor, std::vector<std::byte>& scratch,
                                              int64_t begin, int64_t end) const {
  const auto named = [&](const absl::Status& status) {
    return absl::Status(status.code(), StrCat("tensor ", Quote(tensor.entry->name), ": ", status.message()));
  };
  GH_ASSIGN_OR_RETURN(TensorView view, tensor.file->View(*tensor.entry));
  if (end >= 0) view = view.Rows(begin, end);
  scratch.resize(view.Bytes());
  if (const absl::Status read = tensor.file->Read(view, scratch); !read.ok()) return named(read);
  if (const absl::Status same = tensor.file->CheckUnchanged(); !same.ok()) return named(same);
  view.data = scratch.data();
  const int64_t bad = FirstNotFinite(view);
  if (bad < 0) return view;
  const float value = LoadElement(view.data, view.dtype, bad);
  const int64_t row = view.shape.empty() ? 1 : view.Elements() / view.shape[0];
  return absl::InvalidArgumentError(StrCat(
      tensor.file->path(), ": tensor ", Quote(tensor.entry->name), ": expected finite numbers, found ",
      value != value ? "NaN" : "an infinite one", " at ", PlaceText(tensor.entry->shape, bad + begin * row),
      ": the training diverged, or the file is damaged"));
}

}  // namespace guildhall
