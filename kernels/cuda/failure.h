// What went wrong on the device since it was asked last.
#pragma once

#include <cuda_runtime.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace guildhall::cuda {

// Of the thread that runs the steps.
class Failure {
 public:
  // The first one stays. `where`: the op that was told of it; it may be an earlier one's.
  void Remember(std::string_view where, cudaError_t error);
  void Remember(const absl::Status& status);
  void Remember(std::string_view where, const absl::Status& status);
  // Nothing more is enqueued until it is taken.
  bool any() const { return !first_.ok(); }

  // The first failure; `stream` has been awaited. INTERNAL: the device goes on. UNAVAILABLE: it is lost to
  // this process, and every later call says so again.
  absl::Status Take(cudaStream_t stream);

 private:
  absl::Status first_;
  bool lost_ = false;
};

}  // namespace guildhall::cuda
