// A connection that speaks HTTP/1.1 by hand: it sends what it is told and nothing else, and reads answers.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace guildhall::http1 {

using Duration = std::chrono::milliseconds;

struct Answer {
  int status = 0;                              // 0: none came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // without its framing
  bool complete = false;                       // up to the end that its headers announce

  // "" where there is none.
  std::string Header(const std::string& name) const;
};

class Client {
 public:
  // TARGET is HOST:PORT with an IPv4 address. Null: it is not reached.
  static std::unique_ptr<Client> Connect(const std::string& target);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // False once the peer has closed, or has taken too little for a while.
  bool Send(std::string_view bytes);
  // Until the answer is complete, the peer closes, or the time is over.
  Answer Receive(Duration timeout = std::chrono::seconds(20));
  // Until `text` has come as part of the answer that Receive gives later; false: it has not.
  bool AwaitText(std::string_view text, Duration timeout = std::chrono::seconds(20));
  // Reads whatever comes until the peer closes; false when it does not.
  bool AwaitClose(Duration timeout);
  int fd() const { return fd_; }

 private:
  explicit Client(int fd) : fd_(fd) {}
  bool ReadSome(std::chrono::steady_clock::time_point end);

  const int fd_;
  bool closed_ = false;
  std::string buffer_;
};

// A request with a body, or without where it is empty.
std::string RequestText(std::string_view method, std::string_view path, std::string_view body = {},
                        std::string_view headers = {});
// On a connection of its own.
Answer Ask(const std::string& target, std::string_view method, std::string_view path,
           std::string_view body = {}, std::string_view headers = {});

}  // namespace guildhall::http1
