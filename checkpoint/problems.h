// What is wrong with a model folder: collected, so that a
// person sees all of it at once and not one cure at a time.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace guildhall {

struct Problem {
  absl::StatusCode code = absl::StatusCode::kFailedPrecondition;
  std::string text;  // names the thing, the expected, the found and the cure
};

// In the order in which they were found. Not thread-safe.
class Problems {
 public:
  // FAILED_PRECONDITION: well-formed, but nothing that we serve.
  void Add(std::string text) { list_.push_back({absl::StatusCode::kFailedPrecondition, std::move(text)}); }
  void Add(const absl::Status& status);

  bool empty() const { return list_.empty(); }
  const std::vector<Problem>& list() const { return list_; }

  // OK when there are none; else the code of the first, and the first few texts with the number of all.
  absl::Status ToStatus() const;

 private:
  std::vector<Problem> list_;
};

}  // namespace guildhall
