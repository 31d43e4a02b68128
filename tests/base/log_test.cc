#include "base/log.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include <unistd.h>

using guildhall::Log;
using guildhall::LogFormat;
using guildhall::SetUpLog;

namespace {

// What `write` prints to stderr.
template <typename Write>
std::string Captured(Write write) {
  std::FILE* file = std::tmpfile();
  REQUIRE(file != nullptr);
  const int saved = dup(STDERR_FILENO);
  dup2(fileno(file), STDERR_FILENO);
  write();
  Log().flush();
  dup2(saved, STDERR_FILENO);
  close(saved);
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

}  // namespace

TEST_CASE("a JSON log line is one object whatever the message holds") {
  REQUIRE(SetUpLog("info", LogFormat::kJson).ok());
  const std::string message = "a \"quote\", a \\ and\na line\x01";
  const auto line = Captured([&] { Log().info("{}", message); });
  REQUIRE(!line.empty());
  CHECK(line.find('\n') == line.size() - 1);
  const auto parsed = nlohmann::json::parse(line);
  CHECK(parsed["message"] == message);
  CHECK(parsed["level"] == "info");
  CHECK(parsed["time"].get<std::string>().back() == 'Z');
  REQUIRE(SetUpLog("warn", LogFormat::kText).ok());
}

TEST_CASE("the level decides what is printed") {
  REQUIRE(SetUpLog("error", LogFormat::kText).ok());
  const auto text = Captured([] {
    Log().warn("quiet");
    Log().error("loud");
  });
  CHECK(text.find("quiet") == std::string::npos);
  CHECK(text.find("loud") != std::string::npos);
  REQUIRE(SetUpLog("off", LogFormat::kText).ok());
  CHECK(Captured([] { Log().critical("loud"); }).empty());
  REQUIRE(SetUpLog("warn", LogFormat::kText).ok());
}

TEST_CASE("an unknown level is named, with the possible ones") {
  const auto status = SetUpLog("verbose", LogFormat::kText);
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  const std::string message(status.message());
  CHECK(message.find("\"verbose\"") != std::string::npos);
  CHECK(message.find("debug") != std::string::npos);
}
