// The listener that the configuration wants, served over HTTP.
#pragma once

#include <vector>

#include "server/listener.h"

namespace guildhall {

// The clients' one (http.listen), named "http"; none where the key is empty.
std::vector<StartListener> HttpListeners();

}  // namespace guildhall
