// Headers of HTTP.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace guildhall {

// In order; names in lower case.
using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

}  // namespace guildhall
