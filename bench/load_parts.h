// What the load of an adapter from files is made of: each part by itself, over the bytes of a whole load.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "checkpoint/model_spec.h"
#include "kernels/backend.h"

namespace guildhall {

// Each part returns the seconds that it took. One thread at a time.
class LoadParts {
 public:
  // `folder` holds `experts` experts of `spec` as bf16, which a load packs into `format`. RESOURCE_EXHAUSTED
  // without the memory for one more copy of them.
  static absl::StatusOr<std::unique_ptr<LoadParts>> Make(const ModelSpec& spec, Backend& backend,
                                                         WeightFormat format, int64_t experts,
                                                         std::string folder);
  ~LoadParts();

  // Reads every file once, front to back, into a buffer as large as a tensor.
  double Read() const;
  // Asks as many bytes, which are in memory, whether they are finite numbers.
  double Check() const;
  // Gets fresh pages and touches them.
  double Clear();
  // Gives them back. They were cleared before.
  double Unmap();
  // Packs tensors that are in memory into pages that are touched already.
  double Pack();

  uint64_t packed_bytes() const { return static_cast<uint64_t>(experts_) * expert_bytes_; }

 private:
  LoadParts(Backend& backend, const PackShape& gate_up, const PackShape& down, int64_t experts,
            std::string folder)
      : backend_(backend), gate_up_(gate_up), down_(down), experts_(experts), folder_(std::move(folder)) {}

  // The gate, up and down of an expert among those that are kept in memory.
  struct Expert {
    TensorView gate, up, down;
  };
  const Expert& Source(int64_t expert) const {
    return sources_[static_cast<size_t>(expert) % sources_.size()];
  }

  Backend& backend_;
  const PackShape gate_up_, down_;
  const int64_t experts_;
  const std::string folder_;
  size_t gate_up_bytes_ = 0, expert_bytes_ = 0;  // packed
  std::vector<std::byte> noise_;
  std::vector<Expert> sources_;
  Buffer packed_;
  size_t stride_ = 0;           // of an expert's pages
  std::byte* begin_ = nullptr;  // of them all
};

// Asks the system to forget the pages of a folder's files; returns the share of them that stayed (without the
// right to, or on a file system in memory).
double DropFromPageCache(const std::string& folder);

}  // namespace guildhall
