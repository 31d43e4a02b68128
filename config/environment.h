// The variables of a process that are configuration.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace guildhall {

// "GUILDHALL_SERVER_LISTEN" for "server.listen".
std::string EnvironmentName(std::string_view path);

// False for what does not begin with GUILDHALL_, and for variables of that kind that others read: the
// kernels, main, the client commands.
bool IsConfigVariable(std::string_view name);

// Whether Kubernetes makes such a variable, of whatever service: NAME_SERVICE_HOST, NAME_SERVICE_PORT, the
// same with a port's name, NAME_PORT and NAME_PORT_50051_TCP with their parts. Where a key of ours could have
// the name as well, the value tells: Kubernetes writes an address or a port there.
bool IsServiceVariable(std::string_view name, std::string_view value);

// The environment of this process.
std::map<std::string, std::string> ProcessEnvironment();

}  // namespace guildhall
