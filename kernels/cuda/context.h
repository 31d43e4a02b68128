// What a launcher needs beside its op's arguments. Plain data: sources of kernels see nothing else of the
// host's side.
#pragma once

#include <cuda_runtime.h>

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

struct Context {
  cudaStream_t stream = nullptr;
  int multiprocessors = 1;
  Scratch scratch;
};

}  // namespace guildhall::cuda
