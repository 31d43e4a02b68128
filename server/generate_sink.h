// Where the messages of one Generate call go, whatever transport takes them there.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "guildhall/v1/inference.pb.h"

namespace guildhall {

// Used by one thread at a time. No thread waits for it.
class GenerateSink {
 public:
  virtual ~GenerateSink() = default;

  // Begins to send `message`, one at a time. When the transport has taken it, `sent` is called once, from any
  // thread and also from inside; false: the client is gone.
  virtual void Write(const v1::GenerateResponse& message, std::function<void(bool taken)> sent) = 0;
  // The last thing that is done, after what was written has been taken: what the client is told at the end.
  // The call may be gone when it returns.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace guildhall
