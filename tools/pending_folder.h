// A folder that appears in its place only when it is complete.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "base/json.h"

namespace guildhall {

// Written as PLACE.partial, which is removed with this object unless it was committed.
class PendingFolder {
 public:
  explicit PendingFolder(std::string place) : place_(std::move(place)), path_(place_ + ".partial") {}
  PendingFolder(const PendingFolder&) = delete;
  PendingFolder& operator=(const PendingFolder&) = delete;
  ~PendingFolder();

  const std::string& path() const { return path_; }
  // FAILED_PRECONDITION when it is there already: another program may be writing it.
  absl::Status Make();
  absl::Status Write(const std::string& name, const Json& json) const;
  absl::Status Commit();

 private:
  const std::string place_, path_;
  bool made_ = false;
};

}  // namespace guildhall
