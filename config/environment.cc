#include "config/environment.h"

#include <unistd.h>

#include <cctype>

namespace guildhall {

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
  if (name.starts_with("GUILDHALL_CLIENT_")) return false;
  // Kubernetes gives such variables to every container beside a service that is called "guildhall".
  return !name.starts_with("GUILDHALL_SERVICE_") && !name.starts_with("GUILDHALL_PORT");
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
