#include "server/version.h"

namespace guildhall {

const char* Version() {
  return GUILDHALL_VERSION;
}

}  // namespace guildhall
