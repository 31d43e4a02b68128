#include "bench/load_parts.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include "adapters/adapter_files.h"
#include "base/check.h"
#include "base/dtype.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/steady_clock.h"

namespace guildhall {
namespace {

constexpr int64_t kSources = 8;  // experts that are kept as files have them: more than a cache holds
constexpr size_t kSmallPage = size_t{4} << 10;

template <typename Work>
double SecondsOf(Work work) {
  const int64_t begin = SteadyNs();
  work();
  return 1e-9 * static_cast<double>(SteadyNs() - begin);
}

std::vector<std::string> FilesOf(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  return paths;
}

size_t PagesInCache(const MappedFile& file, size_t& all) {
  std::vector<unsigned char> in_cache((file.bytes().size() + kSmallPage - 1) / kSmallPage);
  all += in_cache.size();
  if (mincore(const_cast<std::byte*>(file.bytes().data()), file.bytes().size(), in_cache.data()) != 0)
    return 0;
  return static_cast<size_t>(
      std::count_if(in_cache.begin(), in_cache.end(), [](auto c) { return (c & 1) != 0; }));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LoadParts>> LoadParts::Make(const ModelSpec& spec, Backend& backend,
                                                           WeightFormat format, int64_t experts,
                                                           std::string folder) {
  std::unique_ptr<LoadParts> parts(
      new LoadParts(backend, PackShape::GateUp(format, spec.expert_width, spec.hidden),
                    PackShape::Stack(format, spec.hidden, spec.expert_width), experts, std::move(folder)));
  const auto elements = static_cast<size_t>(spec.hidden * spec.expert_width);
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-0.02f, 0.02f);
  parts->noise_.resize(kSources * 3 * elements * sizeof(uint16_t));
  for (size_t i = 0; i < kSources * 3 * elements; ++i) {
    const uint16_t bits = FloatToBF16(uniform(random));
    std::memcpy(parts->noise_.data() + i * sizeof(bits), &bits, sizeof(bits));
  }
  const auto tensor = [&](size_t index, int64_t out, int64_t in) {
    return TensorView{DType::kBF16, {out, in}, parts->noise_.data() + index * elements * sizeof(uint16_t)};
  };
  for (size_t i = 0; i < kSources; ++i) {
    parts->sources_.push_back({tensor(3 * i, spec.expert_width, spec.hidden),
                               tensor(3 * i + 1, spec.expert_width, spec.hidden),
                               tensor(3 * i + 2, spec.hidden, spec.expert_width)});
  }
  parts->gate_up_bytes_ = backend.PackedBytes(parts->gate_up_);
  parts->expert_bytes_ = parts->gate_up_bytes_ + backend.PackedBytes(parts->down_);
  GH_ASSIGN_OR_RETURN(parts->packed_, Buffer::Allocate(parts->packed_bytes(), "packed experts"));
  std::memset(parts->packed_.data(), 0, parts->packed_bytes());
  PageMemory& pages = backend.memory().pages();
  const size_t page = pages.page_bytes();
  parts->stride_ = (parts->expert_bytes_ + page - 1) / page * page;
  GH_ASSIGN_OR_RETURN(parts->begin_, pages.Reserve(static_cast<size_t>(experts) * parts->stride_));
  return parts;
}

LoadParts::~LoadParts() {
  if (begin_ == nullptr) return;
  backend_.memory().pages().Unreserve(begin_, static_cast<size_t>(experts_) * stride_);
}

double LoadParts::Read() const {
  std::vector<std::byte> piece(sources_.front().gate.Bytes());
  return SecondsOf([&] {
    for (const std::string& path : FilesOf(folder_)) {
      const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (file < 0) continue;
      while (read(file, piece.data(), piece.size()) > 0) {
      }
      close(file);
    }
  });
}

double LoadParts::Check() const {
  return SecondsOf([&] {
    for (int64_t e = 0; e < experts_; ++e) {
      for (const TensorView* view : {&Source(e).gate, &Source(e).up, &Source(e).down})
        GH_CHECK_LT(FirstNotFinite(*view), 0);
    }
  });
}

double LoadParts::Clear() {
  DeviceMemory& memory = backend_.memory();
  return SecondsOf([&] {
    for (int64_t e = 0; e < experts_; ++e) {
      std::byte* expert = begin_ + static_cast<size_t>(e) * stride_;
      GH_CHECK(memory.pages().Map(expert, stride_).ok());
      const auto twin = memory.MakeTwin(expert, stride_);
      GH_CHECK(twin.ok());
      volatile std::byte* bytes = twin->data();
      for (size_t at = 0; at < stride_; at += kSmallPage) bytes[at] = {};
    }
  });
}

double LoadParts::Unmap() {
  PageMemory& pages = backend_.memory().pages();
  return SecondsOf([&] {
    for (int64_t e = 0; e < experts_; ++e) pages.Unmap(begin_ + static_cast<size_t>(e) * stride_, stride_);
  });
}

double LoadParts::Pack() {
  return SecondsOf([&] {
    for (int64_t e = 0; e < experts_; ++e) {
      const Expert& expert = Source(e);
      std::byte* to = packed_.data() + static_cast<size_t>(e) * expert_bytes_;
      const TensorView gate_up[] = {expert.gate, expert.up};
      backend_.Pack(gate_up_, gate_up, to);
      backend_.Pack(down_, {&expert.down, 1}, to + gate_up_bytes_);
    }
  });
}

double DropFromPageCache(const std::string& folder) {
  size_t kept = 0, all = 0;
  for (const std::string& path : FilesOf(folder)) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    if (const auto file = MappedFile::Open(path); file.ok()) kept += PagesInCache(*file, all);
  }
  return all == 0 ? 0.0 : static_cast<double>(kept) / static_cast<double>(all);
}

}  // namespace guildhall
