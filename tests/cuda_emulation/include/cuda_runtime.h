// The emulation's <cuda_runtime.h>: the names that kernels and their host side use, executed on the CPU.
#pragma once

#include "emulated/device_functions.h"
#include "emulated/errors.h"
#include "emulated/launch.h"
#include "emulated/qualifiers.h"
#include "emulated/runtime_api.h"
#include "emulated/vector_types.h"
#include "emulated/warp.h"
