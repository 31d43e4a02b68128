// Small owners for what the Rust library hands out. Private to text/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/work_limit.h"
#include "text/rust/guildhall_text.h"

namespace guildhall::text_internal {

class OwnedBuffer {
 public:
  OwnedBuffer() = default;
  ~OwnedBuffer() { gh_text_buffer_free(&buffer_); }
  OwnedBuffer(const OwnedBuffer&) = delete;
  OwnedBuffer& operator=(const OwnedBuffer&) = delete;

  gh_buffer* out() { return &buffer_; }
  std::string_view view() const { return {reinterpret_cast<const char*>(buffer_.data), buffer_.size}; }
  std::string str() const { return std::string(view()); }

 private:
  gh_buffer buffer_ = {nullptr, 0};
};

class OwnedIds {
 public:
  OwnedIds() = default;
  ~OwnedIds() { gh_text_ids_free(&ids_); }
  OwnedIds(const OwnedIds&) = delete;
  OwnedIds& operator=(const OwnedIds&) = delete;

  gh_ids* out() { return &ids_; }
  const int32_t* begin() const { return ids_.data; }
  const int32_t* end() const { return ids_.data + ids_.size; }

 private:
  gh_ids ids_ = {nullptr, 0};
};

inline const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

inline absl::Status ToStatus(int32_t code, const OwnedBuffer& error) {
  if (code == 0) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(code), error.str());
}

// `limit` outlives the call that gets this.
inline gh_work_limit ToC(const WorkLimit& limit) {
  return {[](const void* context) {
            return static_cast<int32_t>(static_cast<const WorkLimit*>(context)->Check().code());
          },
          &limit};
}

}  // namespace guildhall::text_internal
