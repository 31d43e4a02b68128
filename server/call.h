// One call from outside without its transport: what a front end hands to the calls of this folder.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace guildhall {

// Until when, whether anybody still waits, and who asks. Thread-safe; lives as long as its call.
class Call {
 public:
  virtual ~Call() = default;

  virtual absl::Time deadline() const = 0;  // the caller's own; InfiniteFuture: none
  virtual bool cancelled() const = 0;       // the client is gone, or Cancel() was called
  // Ends the call from outside: a write that is blocked returns false.
  virtual void Cancel() = 0;
  // `listener` is called, from any thread and also from inside, when cancelled() has become true; at least
  // once. Set once.
  virtual void OnCancelled(std::function<void()> listener) = 0;
  virtual std::string peer() const = 0;  // for the log: "ipv4:127.0.0.1:9"
  // The credentials that came with it, "Bearer TOKEN"; nullopt: none.
  virtual std::optional<std::string> authorization() const = 0;
};

// Where the messages of a call go that has a thread of its own while it is answered; for that thread alone.
template <typename Message>
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  // Blocks until the transport has taken the message; false: the client is gone.
  virtual bool Write(const Message& message) = 0;
};

}  // namespace guildhall
