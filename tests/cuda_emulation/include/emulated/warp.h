// What threads of a block do together. Each call names the lanes that take part; all of them must come, and
// the caller must be one of them: else the run ends with the kernel's name and who waited where.
#pragma once

#include <cstdint>
#include <type_traits>

namespace guildhall::emulation {

// The lanes of `mask` of the caller's warp meet. The last to come calls `combine` with what each lane brought
// (null outside of the mask); then all go on. `what` names the instruction: lanes that meet must agree on it.
using Combine = void (*)(void* const* operands, unsigned mask);
void Meet(unsigned mask, const char* what, void* operand, Combine combine);

// All threads of the block that have not ended meet.
void MeetBlock();

// (thread of the block) % 32; x runs fastest.
unsigned Lane();

template <typename T>
struct Shuffled {
  T value;
  T result;
  int source;  // a lane of the mask
};

template <typename T>
T ShuffleFrom(unsigned mask, const char* what, T value, int source) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 2));
  Shuffled<T> mine = {value, value, source};
  // What the lanes brought is the emulation's own memory, no kernel's: a checker is not told.
  Meet(
      mask, what, &mine, [](void* const* operands, unsigned lanes) __attribute__((no_sanitize_thread)) {
        for (; lanes != 0; lanes &= lanes - 1) {
          auto* const to = static_cast<Shuffled<T>*>(operands[__builtin_ctz(lanes)]);
          to->result = static_cast<Shuffled<T>*>(operands[to->source])->value;
        }
      });
  return mine.result;
}

// `source` as the instruction computed it; ends the run where the mask lacks it.
int CheckSource(unsigned mask, const char* what, int source);

// First lane of the caller's group of `width`.
inline int Group(int width) {
  return static_cast<int>(Lane()) & ~(width - 1);
}

unsigned Ballot(unsigned mask, const char* what, bool vote);

}  // namespace guildhall::emulation

inline void __syncthreads() {
  guildhall::emulation::MeetBlock();
}
inline void __syncwarp(unsigned mask = 0xffffffff) {
  guildhall::emulation::Meet(mask, "__syncwarp", nullptr, [](void* const*, unsigned) {});
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  namespace e = guildhall::emulation;
  const int from = e::Group(width) + (source & (width - 1));
  return e::ShuffleFrom(mask, "__shfl_sync", value, e::CheckSource(mask, "__shfl_sync", from));
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  namespace e = guildhall::emulation;
  const int lane = static_cast<int>(e::Lane());
  const int from = lane ^ lanes;
  const bool inside = from < e::Group(width) + width;
  return e::ShuffleFrom(mask, "__shfl_xor_sync", value,
                        e::CheckSource(mask, "__shfl_xor_sync", inside ? from : lane));
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  namespace e = guildhall::emulation;
  const int lane = static_cast<int>(e::Lane());
  const int from = lane - static_cast<int>(lanes);
  return e::ShuffleFrom(mask, "__shfl_up_sync", value,
                        e::CheckSource(mask, "__shfl_up_sync", from < e::Group(width) ? lane : from));
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  namespace e = guildhall::emulation;
  const int lane = static_cast<int>(e::Lane());
  const int from = lane + static_cast<int>(lanes);
  return e::ShuffleFrom(
      mask, "__shfl_down_sync", value,
      e::CheckSource(mask, "__shfl_down_sync", from >= e::Group(width) + width ? lane : from));
}

inline unsigned __ballot_sync(unsigned mask, int vote) {
  return guildhall::emulation::Ballot(mask, "__ballot_sync", vote != 0);
}
inline int __any_sync(unsigned mask, int vote) {
  return guildhall::emulation::Ballot(mask, "__any_sync", vote != 0) != 0;
}
inline int __all_sync(unsigned mask, int vote) {
  return guildhall::emulation::Ballot(mask, "__all_sync", vote != 0) == mask;
}
