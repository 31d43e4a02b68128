// One line of the log per request.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/answer_stream.h"

namespace guildhall {

struct RequestLogLine {
  uint64_t id = 0;
  std::string task;      // as the client wrote it
  std::string adapters;  // "math@3": what served it; empty: the base
  std::string peer;
  int64_t prompt_tokens = 0;
  std::optional<AnswerSummary> summary;  // absent: refused before the engine took it
  absl::Status status;
  absl::Duration total;
  std::string prompt;  // only where the configuration asks for it
};

// "request 7 task="intent" status=OK finish=stop prompt=12 cached=0 output=34 queue_ms=0.1 ...
// peer=ipv4:127.0.0.1:9". Never text of prompts or answers, unless `prompt` and the summary carry it.
std::string RequestLogText(const RequestLogLine& line);
void LogRequest(const RequestLogLine& line);

}  // namespace guildhall
