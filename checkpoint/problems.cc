#include "checkpoint/problems.h"

#include <algorithm>

#include "base/str_cat.h"

namespace guildhall {

void Problems::Add(const absl::Status& status) {
  if (!status.ok()) list_.push_back({status.code(), std::string(status.message())});
}

absl::Status Problems::ToStatus() const {
  if (list_.empty()) return absl::OkStatus();
  constexpr size_t kShown = 5;
  std::string text = list_.front().text;
  for (size_t i = 1; i < std::min(kShown, list_.size()); ++i) StrAppend(&text, "\n", list_[i].text);
  if (list_.size() > kShown) StrAppend(&text, "\nand ", list_.size() - kShown, " more");
  return absl::Status(list_.front().code, text);
}

}  // namespace guildhall
