// A connection that speaks HTTP/2 by hand: it sends what it is told and nothing else, and reads frames.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tests/support/http2_frames.h"

struct nghttp2_hd_inflater;

namespace guildhall::http2 {

struct ReceivedFrame {
  FrameType type;
  uint8_t flags;
  uint32_t stream;
  std::string payload;
  Fields fields;  // of HEADERS that ended
};

// How a call ended, or what stands in its way.
struct CallEnd {
  std::optional<int> status;       // grpc-status of the trailers
  std::string message;             // grpc-message, percent-encoded as it came
  std::optional<uint32_t> reset;   // the code of RST_STREAM
  std::optional<uint32_t> goaway;  // the code of a GOAWAY that came meanwhile
  bool closed = false;             // the connection, before the call ended
  std::string data;                // of DATA frames

  bool ok() const { return status == 0; }
  // One word and a number for tables and test output: "status 3", "reset 7", "goaway 11", "closed", "silent".
  std::string Text() const;
};

class Client {
 public:
  using Duration = std::chrono::milliseconds;

  struct Options {
    Duration patience = std::chrono::seconds(5);  // the most that one Send may take
    std::string source;                           // own IPv4 address; empty: the system's choice
  };
  // TARGET is HOST:PORT or unix:PATH; nothing is sent yet. Errors: UNAVAILABLE, with the system's word,
  // when it is not reached.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& target);
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& target, const Options& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // False once the peer has closed, or has taken too little for the length of `patience`.
  bool Send(std::string_view bytes);
  // Preface and SETTINGS. Those of the peer are acknowledged, and its pings answered, as soon as they
  // are read, unless `acknowledge` is off.
  bool Begin(const std::vector<std::pair<uint16_t, uint32_t>>& settings = {}, bool acknowledge = true);

  // HEADERS of a call on the next stream, whose id it returns.
  uint32_t Open(std::string_view method, const Fields& more = {}, bool end_stream = false);
  // DATA of a message, as the peer's windows allow. False when they stay closed for the length of `patience`,
  // or the peer ends the stream before it has all: what it says is for Receive.
  bool SendData(uint32_t stream, std::string_view bytes, bool end_stream = true);
  // The three together.
  uint32_t Call(std::string_view method, std::string_view request, const Fields& more = {});

  // The next frame. None: nothing came in that time, or the connection is closed.
  std::optional<ReceivedFrame> Receive(Duration timeout);
  // Reads until the stream has ended; frames of other streams are lost.
  CallEnd Await(uint32_t stream, Duration timeout = std::chrono::seconds(10));
  // Reads whatever comes until the peer closes; false when it does not.
  bool AwaitClose(Duration timeout);

  // Sends RST (TCP) instead of FIN when this goes.
  void Vanish();
  bool closed() const { return closed_; }
  int fd() const { return fd_; }

 private:
  Client(int fd, Duration patience);
  bool ReadSome(Duration timeout);
  std::optional<ReceivedFrame> TakeFrame();
  std::optional<ReceivedFrame> ReadFrame(Duration timeout);
  void Digest(ReceivedFrame& frame);
  void ReadSettings(const ReceivedFrame& frame);
  void ReadHeaders(ReceivedFrame& frame);
  int64_t& StreamWindow(uint32_t stream);

  const int fd_;
  const Duration patience_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  bool acknowledge_ = false;  // until it has begun
  bool writable_ = true;
  bool closed_ = false;  // and everything that had come is read
  uint32_t next_stream_ = 1;
  int64_t connection_window_ = kInitialWindow;
  int64_t initial_window_ = kInitialWindow;  // of streams, by the peer's settings
  std::map<uint32_t, int64_t> windows_;      // of streams that sent data
  std::string buffer_;                       // received
  size_t taken_ = 0;                         // of it, as whole frames
  std::deque<ReceivedFrame> unread_;         // came while data waited for a window
  std::string header_block_;                 // of HEADERS without END_HEADERS
};

}  // namespace guildhall::http2
