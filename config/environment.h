// The variables of a process that are configuration.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace guildhall {

// "GUILDHALL_SERVER_LISTEN" for "server.listen".
std::string EnvironmentName(std::string_view path);

// False for what does not begin with GUILDHALL_, and for variables of that kind that others read or write:
// the kernels, main, the client commands, container platforms.
bool IsConfigVariable(std::string_view name);

// The environment of this process.
std::map<std::string, std::string> ProcessEnvironment();

}  // namespace guildhall
