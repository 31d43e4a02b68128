#include "kernels/cpu/micro_kernels.h"

namespace guildhall {

void AddAvx512IntegerTiles(MicroKernels& kernels) {
  AddPortableIntegerTiles(kernels);
}

}  // namespace guildhall
