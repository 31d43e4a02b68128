// No exception crosses an RPC: what libraries below still throw becomes a Status here.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "base/log.h"

namespace guildhall {

// Runs `body` (returning absl::Status). An allocation that fails and a thread that the system refuses
// are the request's own RESOURCE_EXHAUSTED;
// anything else is logged and INTERNAL, without its text: it may name paths of this machine.
template <typename Body>
absl::Status Guarded(Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("the server has no memory left for this request; try again later");
  } catch (const std::system_error& error) {
    Log().error("the system refused a request something: {}", error.what());
    return absl::ResourceExhaustedError(
        "the system has no thread or memory left for this request; try again later");
  } catch (const std::exception& error) {
    Log().error("unexpected exception in a request: {}", error.what());
    return absl::InternalError("unexpected failure; the server's log has its text");
  }
}

}  // namespace guildhall
