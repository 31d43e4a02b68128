#include "base/log.h"

#include <spdlog/details/fmt_helper.h>
#include <spdlog/formatter.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v";

// The text of a JSON string: quotes, backslashes and control characters escaped; other bytes as they are.
void AppendEscaped(std::string_view text, spdlog::memory_buf_t& out) {
  constexpr char kHex[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20) {
      const char escaped[] = {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
      out.append(escaped, escaped + sizeof(escaped));
    } else {
      out.push_back(c);
    }
  }
}

void Append(std::string_view text, spdlog::memory_buf_t& out) {
  out.append(text.data(), text.data() + text.size());
}

// {"time": "2026-05-01T12:00:00.123Z", "level": "info", "message": "..."} and a newline.
class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    Append("{\"time\": \"", out);
    time_.format(message, out);
    Append("\", \"level\": \"", out);
    const auto level = spdlog::level::to_string_view(message.level);
    Append({level.data(), level.size()}, out);
    Append("\", \"message\": \"", out);
    AppendEscaped({message.payload.data(), message.payload.size()}, out);
    Append("\"}\n", out);
  }

  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }

 private:
  spdlog::pattern_formatter time_{"%Y-%m-%dT%H:%M:%S.%eZ", spdlog::pattern_time_type::utc, ""};
};

std::shared_ptr<spdlog::logger> MakeLogger(LogFormat format, spdlog::level::level_enum level) {
  auto logger =
      std::make_shared<spdlog::logger>("guildhall", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  if (format == LogFormat::kJson) {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    logger->set_pattern(kTextPattern);
  }
  logger->set_level(level);
  logger->flush_on(spdlog::level::warn);
  return logger;
}

// The current logger, and the earlier ones: a thread may still hold a reference to one of them.
struct Loggers {
  std::mutex mutex;
  std::vector<std::shared_ptr<spdlog::logger>> all{MakeLogger(LogFormat::kText, spdlog::level::warn)};
  std::atomic<spdlog::logger*> current{all.back().get()};
};

Loggers& AllLoggers() {
  static auto* const loggers = new Loggers();  // outlives every thread that may log at exit
  return *loggers;
}

}  // namespace

absl::Status SetUpLog(const std::string& level, LogFormat format) {
  const auto parsed = spdlog::level::from_str(level == "error" ? "err" : level);
  // from_str() answers "off" for what it does not know.
  if (parsed == spdlog::level::off && level != "off") {
    return absl::InvalidArgumentError(
        StrCat("log level \"", level, "\": expected one of trace, debug, info, warn, error, off"));
  }
  Loggers& loggers = AllLoggers();
  const std::lock_guard lock(loggers.mutex);
  loggers.all.push_back(MakeLogger(format, parsed));
  loggers.current.store(loggers.all.back().get(), std::memory_order_release);
  return absl::OkStatus();
}

spdlog::logger& Log() {
  return *AllLoggers().current.load(std::memory_order_acquire);
}

}  // namespace guildhall
