// --device and --device-products, for all commands that compute.
#pragma once

#include "kernels/make_backend.h"

namespace CLI {
class App;
}

namespace guildhall {

// --device: auto, cpu, cuda or cuda:1; --device-products: exact or library; checked when they are parsed.
void AddDeviceFlag(CLI::App& command, BackendOptions& backend);

}  // namespace guildhall
