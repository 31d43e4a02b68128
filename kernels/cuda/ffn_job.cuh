// What kernels ask of a job: entries of slots, and their changes.
#pragma once

#include <cstdint>

#include "kernels/cuda/ffn_job.h"
#include "kernels/cuda/low_rank.cuh"

namespace guildhall::cuda {

// Places of the grouping.
struct Places {
  int64_t begin, end;
};
__device__ inline Places PlacesOf(const FfnJob& job, int64_t slot) {
  if (job.group_begin == nullptr) return {0, job.rows};
  return {job.group_begin[slot], job.group_begin[slot + 1]};
}
__device__ inline int32_t EntryAt(const FfnJob& job, int64_t place) {
  return job.group_entry == nullptr ? static_cast<int32_t>(place) : job.group_entry[place];
}
__device__ inline int32_t RowOf(const FfnJob& job, int32_t entry) {
  return static_cast<int32_t>(static_cast<uint32_t>(entry) / static_cast<uint32_t>(job.k));
}
__device__ inline int64_t ExpertOf(const FfnJob& job, int64_t entry) {
  return job.expert == nullptr ? 0 : job.expert[entry];
}

// One output of an entry's product with its changes.
__device__ inline float WithChanges(const FfnJob& job, const LowRankRows& low_rank, int64_t entry,
                                    int64_t row, int32_t module, int64_t output, float sum) {
  const LowRankTerms terms = TermsOf(low_rank, row);
  if (terms.count == 0) return sum;
  return ApplyTerms(terms,
                    {.index = ExpertOf(job, entry),
                     .module = module,
                     .output = output,
                     .gain = module * job.width + output},
                    ShrunkRow{low_rank.workspace + entry * low_rank.stride}, sum);
}

}  // namespace guildhall::cuda
