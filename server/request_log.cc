#include "server/request_log.h"

#include <cstdio>

#include "base/json.h"
#include "base/log.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kMaxShown = 200;

// Quoted and bounded: what a client wrote cannot break the line.
std::string Quoted(const std::string& text, size_t most = kMaxShown) {
  return DumpJson(Json(text.size() > most ? text.substr(0, most) + "..." : text));
}

std::string Milliseconds(absl::Duration duration) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f", absl::ToDoubleMilliseconds(duration));
  return text;
}

std::string ReasonText(v1::FinishReason reason) {
  constexpr std::string_view kPrefix = "FINISH_REASON_";
  std::string text = v1::FinishReason_Name(reason);
  text = text.substr(0, kPrefix.size()) == kPrefix ? text.substr(kPrefix.size()) : text;
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

}  // namespace

std::string RequestLogText(const RequestLogLine& line) {
  std::string text = StrCat("request ", line.id, " task=", Quoted(line.task),
                            " status=", absl::StatusCodeToString(line.status.code()));
  if (!line.adapters.empty()) StrAppend(&text, " adapters=", Quoted(line.adapters));
  if (line.summary) {
    const AnswerSummary& summary = *line.summary;
    StrAppend(&text, " finish=", ReasonText(summary.reason), " prompt=", line.prompt_tokens,
              " cached=", summary.usage.cached_tokens, " output=", summary.usage.output_tokens,
              " preemptions=", summary.usage.preemptions);
    if (summary.usage.drafted_tokens > 0) {
      StrAppend(&text, " drafted=", summary.usage.drafted_tokens,
                " accepted=", summary.usage.accepted_tokens);
    }
    StrAppend(&text, " queue_ms=", Milliseconds(summary.timings.queue),
              " prefill_ms=", Milliseconds(summary.timings.prefill),
              " first_token_ms=", Milliseconds(summary.timings.first_token));
  }
  StrAppend(&text, " total_ms=", Milliseconds(line.total), " peer=", line.peer);
  if (!line.status.ok()) StrAppend(&text, " error=", Quoted(std::string(line.status.message())));
  if (!line.prompt.empty()) {
    constexpr size_t kLongest = 4096;
    StrAppend(&text, " prompt_text=", Quoted(line.prompt, kLongest));
    if (line.summary) StrAppend(&text, " answer_text=", Quoted(line.summary->text, kLongest));
  }
  return text;
}

void LogRequest(const RequestLogLine& line) {
  const std::string text = RequestLogText(line);
  if (absl::IsInternal(line.status)) {
    Log().error("{}", text);
  } else {
    Log().info("{}", text);
  }
}

}  // namespace guildhall
