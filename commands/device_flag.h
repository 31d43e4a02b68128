// --device, for all commands that compute.
#pragma once

#include "kernels/make_backend.h"

namespace CLI {
class App;
}

namespace guildhall {

// --device: auto, cpu, cuda or cuda:1, checked when it is parsed.
void AddDeviceFlag(CLI::App& command, BackendOptions& backend);

}  // namespace guildhall
