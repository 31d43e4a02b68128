#include "config/environment.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>

namespace guildhall {
namespace {

bool Digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// What follows the last `mark`, with which it begins; empty where there is none, or nothing before it.
std::string_view FromLast(std::string_view name, std::string_view mark) {
  const size_t at = name.rfind(mark);
  return at == std::string_view::npos || at == 0 ? std::string_view() : name.substr(at);
}

// "_PORT_50051_TCP", or one of its parts: "_PORT_50051_TCP_ADDR".
bool IsPortOfService(std::string_view name) {
  for (const std::string_view part : {"_PROTO", "_PORT", "_ADDR"}) {
    if (name.ends_with(part)) {
      name.remove_suffix(part.size());
      break;
    }
  }
  for (const std::string_view protocol : {"_TCP", "_UDP", "_SCTP"}) {
    if (!name.ends_with(protocol)) continue;
    name.remove_suffix(protocol.size());
    const std::string_view port = FromLast(name, "_PORT_");
    return !port.empty() && Digits(port.substr(std::string_view("_PORT_").size()));
  }
  return false;
}

bool IsAddress(std::string_view value) {
  return value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
}

}  // namespace

std::string EnvironmentName(std::string_view path) {
  std::string name = "GUILDHALL_";
  for (const char c : path) {
    name += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

bool IsConfigVariable(std::string_view name) {
  if (!name.starts_with("GUILDHALL_")) return false;
  // The kernels' override, and main's list of files.
  if (name == "GUILDHALL_ISA" || name == "GUILDHALL_CONFIG") return false;
  // The client commands' flags.
  return !name.starts_with("GUILDHALL_CLIENT_");
}

bool IsServiceVariable(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST")) return true;
  if (name.ends_with("_PORT") && IsAddress(value)) return true;
  constexpr std::string_view kServicePort = "_SERVICE_PORT";
  const std::string_view port = FromLast(name, kServicePort);
  const bool ends_there = port.size() == kServicePort.size();
  if (!port.empty() && (ends_there || port[kServicePort.size()] == '_') && Digits(value)) return true;
  return IsPortOfService(name);
}

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> variables;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view entry(*at);
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return variables;
}

}  // namespace guildhall
