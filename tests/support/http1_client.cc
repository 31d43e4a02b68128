#include "tests/support/http1_client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/str_cat.h"

namespace guildhall::http1 {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

bool Ready(int fd, short events, std::chrono::steady_clock::time_point end) {
  const auto left = std::chrono::ceil<Duration>(end - std::chrono::steady_clock::now());
  pollfd polled{fd, events, 0};
  return poll(&polled, 1, static_cast<int>(std::max(Duration::zero(), left).count())) > 0;
}

// The body of chunked transfer; nullopt: its end has not come.
std::optional<std::string> Unchunk(std::string_view text) {
  std::string body;
  while (true) {
    const size_t line = text.find(kLineEnd);
    if (line == std::string_view::npos) return std::nullopt;
    const size_t size = std::stoul(std::string(text.substr(0, line)), nullptr, 16);
    text.remove_prefix(line + 2);
    if (text.size() < size + 2) return std::nullopt;
    if (size == 0) return body;
    body += text.substr(0, size);
    text.remove_prefix(size + 2);
  }
}

// What has come of the body in chunks, whole or not.
std::string ChunksSoFar(std::string_view text) {
  std::string body;
  while (true) {
    const size_t line = text.find(kLineEnd);
    if (line == std::string_view::npos || line == 0) return body;
    const size_t size = std::stoul(std::string(text.substr(0, line)), nullptr, 16);
    text.remove_prefix(line + 2);
    body += text.substr(0, size);
    if (text.size() < size + 2) return body;
    text.remove_prefix(size + 2);
  }
}

void ReadHead(std::string_view head, Answer& answer) {
  size_t at = head.find(kLineEnd);
  answer.status = std::stoi(std::string(head.substr(9, 3)));
  while (at != std::string_view::npos) {
    const size_t begin = at + 2;
    at = head.find(kLineEnd, begin);
    const std::string_view line = head.substr(begin, at == std::string_view::npos ? at : at - begin);
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    answer.headers[name] = line.substr(colon + 2);
  }
}

// Sets what there is of the answer; true: it is complete.
bool Read(const std::string& text, bool closed, Answer& answer) {
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  answer = Answer();
  ReadHead(std::string_view(text).substr(0, end), answer);
  const std::string_view rest = std::string_view(text).substr(end + 4);
  if (answer.Header("transfer-encoding") == "chunked") {
    const auto body = Unchunk(rest);
    answer.body = body ? *body : ChunksSoFar(rest);
    answer.complete = body.has_value();
  } else {
    const std::string length = answer.Header("content-length");
    answer.body = rest;
    answer.complete = length.empty() ? closed : rest.size() >= std::stoul(length);
  }
  return answer.complete;
}

}  // namespace

std::string Answer::Header(const std::string& name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? "" : at->second;
}

std::unique_ptr<Client> Client::Connect(const std::string& target) {
  const size_t colon = target.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(target.substr(colon + 1))));
  inet_pton(AF_INET, target.substr(0, colon).c_str(), &address.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::unique_ptr<Client> client(new Client(fd));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return nullptr;
  return client;
}

Client::~Client() {
  close(fd_);
}

bool Client::Send(std::string_view bytes) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EAGAIN || !Ready(fd_, POLLOUT, end)) {
      return false;
    }
  }
  return true;
}

bool Client::ReadSome(std::chrono::steady_clock::time_point end) {
  if (closed_ || !Ready(fd_, POLLIN, end)) return false;
  char bytes[65536];
  const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
  if (got > 0) buffer_.append(bytes, static_cast<size_t>(got));
  if (got <= 0) closed_ = true;
  return true;
}

Answer Client::Receive(Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  Answer answer;
  while (!Read(buffer_, closed_, answer) && ReadSome(end)) {
  }
  buffer_.clear();
  return answer;
}

bool Client::AwaitText(std::string_view text, Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (buffer_.find(text) == std::string::npos) {
    if (!ReadSome(end) || closed_) return false;
  }
  return true;
}

bool Client::AwaitClose(Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (ReadSome(end)) {
  }
  return closed_;
}

std::string RequestText(std::string_view method, std::string_view path, std::string_view body,
                        std::string_view headers) {
  const std::string length = body.empty() ? "" : StrCat("content-length: ", body.size(), "\r\n");
  return StrCat(method, " ", path, " HTTP/1.1\r\nhost: test\r\n", length, headers, "\r\n", body);
}

Answer Ask(const std::string& target, std::string_view method, std::string_view path, std::string_view body,
           std::string_view headers) {
  const auto client = Client::Connect(target);
  if (client == nullptr || !client->Send(RequestText(method, path, body, headers))) return Answer();
  return client->Receive();
}

}  // namespace guildhall::http1
