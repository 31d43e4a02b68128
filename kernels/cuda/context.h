// What a launcher needs beside its op's arguments. Plain data: sources of kernels see nothing else of the
// host's side.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace guildhall::cuda {

// Most rows of one RowSegment.
inline constexpr int64_t kMostSegmentRows = 64;

// Device memory that ops of one step use in turn; sized by StepLimits. What an op leaves there is of no use
// to the next one.
struct Scratch {
  float* scores = nullptr;     // (max_rows, max_experts): a router's scores
  float* hidden = nullptr;     // (max_entries, max_ffn_width): between the two products of a network
  float* entry_out = nullptr;  // (max_entries, hidden): what each entry's network gives
  int32_t* rows = nullptr;     // (max_entries + 1) twice: groups that an op makes itself
  int32_t* arrived = nullptr;  // (1) blocks of a launch that have done their part; 0 between ops
};

// How much shared memory each kernel was allowed on the device, so that it is asked for once. Of the thread
// that runs the steps.
struct SharedAllowances {
  static constexpr size_t kPlaces = 256;  // a power of two, more than there are kernels that ask
  struct Place {
    const void* kernel = nullptr;
    size_t bytes = 0;
  };
  Place places[kPlaces];

  // Where the kernel's is, or will be; null: there is no place left.
  Place* Of(const void* kernel) {
    const size_t first = reinterpret_cast<uintptr_t>(kernel) / 16 % kPlaces;
    for (size_t i = 0; i < kPlaces; ++i) {
      Place& place = places[(first + i) % kPlaces];
      if (place.kernel == kernel || place.kernel == nullptr) return &place;
    }
    return nullptr;
  }
};

struct Context {
  cudaStream_t stream = nullptr;
  int multiprocessors = 1;
  SharedAllowances* allowances = nullptr;  // null: they are asked for at each launch
  Scratch scratch = {};
};

}  // namespace guildhall::cuda
