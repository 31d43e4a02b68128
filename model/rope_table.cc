#include "model/rope_table.h"

#include <algorithm>
#include <utility>

#include "base/arena.h"
#include "base/status.h"

namespace guildhall {
namespace {

// So many positions are filled at once: decoding seldom stops for it.
constexpr int64_t kStretch = 64;

}  // namespace

size_t RopeTable::Bytes(const RopeSpec& spec, int64_t positions) {
  Arena arena;
  arena.Take<float>(positions * (spec.rotary_dim / 2));
  arena.Take<float>(positions * (spec.rotary_dim / 2));
  return arena.bytes();
}

absl::StatusOr<RopeTable> RopeTable::Allocate(const RopeSpec& spec, int64_t positions, DeviceMemory& memory) {
  RopeTable table(spec, memory);
  table.positions_ = positions;
  GH_ASSIGN_OR_RETURN(table.buffer_, memory.Allocate(Bytes(spec, positions), "table of rotary angles"));
  Arena arena(table.buffer_.data());
  table.cos_ = arena.Take<float>(positions * table.rope_.half());
  table.sin_ = arena.Take<float>(positions * table.rope_.half());
  return table;
}

absl::Status RopeTable::Reach(int64_t end) {
  if (end <= reached_) return absl::OkStatus();
  if (end > positions_) {
    GH_ASSIGN_OR_RETURN(RopeTable larger, Allocate(spec_, std::max(end, 2 * positions_), *memory_));
    *this = std::move(larger);
  }
  end = std::min(positions_, (end + kStretch - 1) / kStretch * kStretch);
  const int64_t half = rope_.half();
  const size_t bytes = static_cast<size_t>((end - reached_) * half) * sizeof(float);
  const auto twin_of = [&](float* table) {
    return memory_->MakeTwin(reinterpret_cast<std::byte*>(table + reached_ * half), bytes);
  };
  GH_ASSIGN_OR_RETURN(const HostTwin cos, twin_of(cos_));
  GH_ASSIGN_OR_RETURN(const HostTwin sin, twin_of(sin_));
  rope_.Fill(reached_, end, cos.As<float>(), sin.As<float>());
  GH_RETURN_IF_ERROR(memory_->Upload(cos));
  GH_RETURN_IF_ERROR(memory_->Upload(sin));
  reached_ = end;
  return absl::OkStatus();
}

}  // namespace guildhall
