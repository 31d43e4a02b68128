// What an emulated device is not asked: it has no costs, and no wgmma.
#include "tests/gpu/probe/fact.h"
#include "tests/gpu/probe/questions.h"

namespace guildhall::probe {

void AskDevice() {
  Fact("device", "not asked of an emulated device");
}

void AskCopies() {
  Fact("copies", "not asked of an emulated device");
}

void AskLaunches() {
  Fact("launches", "not asked of an emulated device");
}

void AskPages() {
  Fact("pages", "not asked of an emulated device");
}

void AskPeak() {
  Fact("peak", "not asked of an emulated device");
}

void AskWgmma() {
  Fact("wgmma", "not asked of an emulated device");
}

}  // namespace guildhall::probe
