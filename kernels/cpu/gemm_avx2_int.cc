#include "kernels/cpu/micro_kernels.h"

namespace guildhall {

void AddAvx2IntegerTiles(MicroKernels& kernels) {
  AddPortableIntegerTiles(kernels);
}

}  // namespace guildhall
