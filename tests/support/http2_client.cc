#include "tests/support/http2_client.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/str_cat.h"

namespace guildhall::http2 {
namespace {

constexpr std::string_view kUnix = "unix:";

int ConnectTo(const sockaddr* address, socklen_t size, int family, const std::string& source = "") {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_in own{};
  own.sin_family = AF_INET;
  const bool bound = source.empty() || (inet_pton(AF_INET, source.c_str(), &own.sin_addr) == 1 &&
                                        bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof(own)) == 0);
  if (bound && connect(fd, address, size) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int ConnectUnix(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  GH_CHECK_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  return ConnectTo(reinterpret_cast<const sockaddr*>(&address), sizeof(address), AF_UNIX);
}

int ConnectTcp(std::string_view target, const std::string& source) {
  const size_t colon = target.rfind(':');
  GH_CHECK(colon != std::string_view::npos);
  const std::string host(target.substr(0, colon)), port(target.substr(colon + 1));
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  errno = EADDRNOTAVAIL;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return -1;
  int fd = -1;
  for (const addrinfo* at = found; at != nullptr && fd < 0; at = at->ai_next)
    fd = ConnectTo(at->ai_addr, at->ai_addrlen, at->ai_family, source);
  freeaddrinfo(found);
  return fd;
}

bool Ready(int fd, short events, Client::Duration timeout) {
  pollfd polled{fd, events, 0};
  return poll(&polled, 1, static_cast<int>(timeout.count())) > 0;
}

Client::Duration Left(std::chrono::steady_clock::time_point end) {
  return std::max(Client::Duration::zero(),
                  std::chrono::ceil<Client::Duration>(end - std::chrono::steady_clock::now()));
}

bool Ends(const ReceivedFrame& frame, uint32_t stream) {
  const bool may_end = frame.type == FrameType::kHeaders || frame.type == FrameType::kData;
  const bool last = frame.type == FrameType::kReset || (may_end && (frame.flags & kEndStream) != 0);
  return frame.stream == stream && last;
}

}  // namespace

std::string CallEnd::Text() const {
  if (status.has_value()) return StrCat("status ", *status);
  if (reset.has_value()) return StrCat("reset ", *reset);
  if (goaway.has_value()) return StrCat("goaway ", *goaway);
  return closed ? "closed" : "silent";
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& target) {
  return Connect(target, Options{});
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const std::string& target, const Options& options) {
  const bool local = target.starts_with(kUnix);
  const int fd =
      local ? ConnectUnix(std::string_view(target).substr(kUnix.size())) : ConnectTcp(target, options.source);
  if (fd < 0) return absl::UnavailableError(StrCat(target, ": ", std::strerror(errno)));
  return std::unique_ptr<Client>(new Client(fd, options.patience));
}

Client::Client(int fd, Duration patience) : fd_(fd), patience_(patience) {
  GH_CHECK_EQ(nghttp2_hd_inflate_new(&inflater_), 0);
}

Client::~Client() {
  nghttp2_hd_inflate_del(inflater_);
  close(fd_);
}

void Client::Vanish() {
  const linger now{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

bool Client::Send(std::string_view bytes) {
  const auto end = std::chrono::steady_clock::now() + patience_;
  while (!bytes.empty() && writable_) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!Ready(fd_, POLLOUT, Left(end))) return false;
    } else if (errno != EINTR) {
      writable_ = false;
    }
  }
  return writable_;
}

bool Client::Begin(const std::vector<std::pair<uint16_t, uint32_t>>& settings, bool acknowledge) {
  acknowledge_ = acknowledge;
  return Send(std::string(kPreface) + Settings(settings));
}

uint32_t Client::Open(std::string_view method, const Fields& more, bool end_stream) {
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  Send(Headers(stream, HeaderBlock(CallFields(method, more)), end_stream));
  return stream;
}

int64_t& Client::StreamWindow(uint32_t stream) {
  return windows_.try_emplace(stream, initial_window_).first->second;
}

bool Client::SendData(uint32_t stream, std::string_view bytes, bool end_stream) {
  const auto end = std::chrono::steady_clock::now() + patience_;
  do {
    const int64_t open = std::min(connection_window_, StreamWindow(stream));
    const size_t take =
        std::min({bytes.size(), kFramePayload, static_cast<size_t>(std::max<int64_t>(open, 0))});
    if (take == 0 && !bytes.empty()) {
      auto frame = ReadFrame(Left(end));
      if (!frame.has_value()) return false;
      const bool over = Ends(*frame, stream);
      unread_.push_back(*std::move(frame));
      if (over) return false;
      continue;
    }
    const bool last = take == bytes.size();
    if (!Send(Frame(FrameType::kData, last && end_stream ? kEndStream : 0, stream, bytes.substr(0, take))))
      return false;
    bytes.remove_prefix(take);
    connection_window_ -= static_cast<int64_t>(take);
    StreamWindow(stream) -= static_cast<int64_t>(take);
  } while (!bytes.empty());
  return true;
}

uint32_t Client::Call(std::string_view method, std::string_view request, const Fields& more) {
  const uint32_t stream = Open(method, more);
  SendData(stream, Message(request));
  return stream;
}

bool Client::ReadSome(Duration timeout) {
  if (closed_ || !Ready(fd_, POLLIN, timeout)) return false;
  buffer_.erase(0, std::exchange(taken_, 0));
  char bytes[65536];
  const ssize_t got = recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
  if (got > 0) buffer_.append(bytes, static_cast<size_t>(got));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) closed_ = true;
  return got > 0;
}

std::optional<ReceivedFrame> Client::TakeFrame() {
  constexpr size_t kHead = 9;
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  if (rest.size() < kHead) return std::nullopt;
  const size_t size = ReadNumber(rest.substr(0, 3));
  if (rest.size() < kHead + size) return std::nullopt;
  ReceivedFrame frame{static_cast<FrameType>(rest[3]),
                      static_cast<uint8_t>(rest[4]),
                      ReadNumber(rest.substr(5, 4)),
                      std::string(rest.substr(kHead, size)),
                      {}};
  taken_ += kHead + size;
  Digest(frame);
  return frame;
}

void Client::Digest(ReceivedFrame& frame) {
  if (frame.type == FrameType::kSettings && (frame.flags & kAck) == 0) {
    ReadSettings(frame);
  } else if (frame.type == FrameType::kPing && (frame.flags & kAck) == 0 && acknowledge_) {
    Send(Frame(FrameType::kPing, kAck, 0, frame.payload));
  } else if (frame.type == FrameType::kWindowUpdate) {
    (frame.stream == 0 ? connection_window_ : StreamWindow(frame.stream)) += ReadNumber(frame.payload);
  } else if (frame.type == FrameType::kHeaders || frame.type == FrameType::kContinuation) {
    ReadHeaders(frame);
  }
}

void Client::ReadSettings(const ReceivedFrame& frame) {
  const std::string_view payload = frame.payload;
  for (size_t at = 0; at + 6 <= payload.size(); at += 6) {
    if (ReadNumber(payload.substr(at, 2)) != kInitialWindowSize) continue;
    const int64_t window = ReadNumber(payload.substr(at + 2, 4));
    for (auto& [stream, left] : windows_) left += window - initial_window_;
    initial_window_ = window;
  }
  if (acknowledge_) Send(SettingsAck());
}

void Client::ReadHeaders(ReceivedFrame& frame) {
  header_block_ += frame.payload;
  if ((frame.flags & kEndHeaders) == 0) return;
  const auto* at = reinterpret_cast<const uint8_t*>(header_block_.data());
  const uint8_t* const end = at + header_block_.size();
  nghttp2_nv field;
  int flags = 0;
  do {
    const ssize_t used =
        nghttp2_hd_inflate_hd2(inflater_, &field, &flags, at, static_cast<size_t>(end - at), 1);
    GH_CHECK_GE(used, 0);
    at += used;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      frame.fields.emplace_back(std::string(reinterpret_cast<const char*>(field.name), field.namelen),
                                std::string(reinterpret_cast<const char*>(field.value), field.valuelen));
    }
  } while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0);
  nghttp2_hd_inflate_end_headers(inflater_);
  header_block_.clear();
}

std::optional<ReceivedFrame> Client::Receive(Duration timeout) {
  if (unread_.empty()) return ReadFrame(timeout);
  ReceivedFrame frame = std::move(unread_.front());
  unread_.pop_front();
  return frame;
}

std::optional<ReceivedFrame> Client::ReadFrame(Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    if (auto frame = TakeFrame(); frame.has_value()) return frame;
    if (!ReadSome(Left(end)) && (closed_ || Left(end) == Duration::zero())) return std::nullopt;
  }
}

CallEnd Client::Await(uint32_t stream, Duration timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  CallEnd end;
  while (const auto frame = Receive(Left(until))) {
    if (frame->type == FrameType::kGoAway)
      end.goaway = ReadNumber(std::string_view(frame->payload).substr(4, 4));
    if (frame->stream != stream) continue;
    if (frame->type == FrameType::kReset) end.reset = ReadNumber(frame->payload);
    if (frame->type == FrameType::kData) end.data += frame->payload;
    for (const auto& [name, value] : frame->fields) {
      if (name == "grpc-status") end.status = std::atoi(value.c_str());
      if (name == "grpc-message") end.message = value;
    }
    if (Ends(*frame, stream) || end.status.has_value()) return end;
  }
  end.closed = closed_;
  return end;
}

bool Client::AwaitClose(Duration timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (!closed_ && Left(until) > Duration::zero()) Receive(Left(until));
  return closed_;
}

}  // namespace guildhall::http2
