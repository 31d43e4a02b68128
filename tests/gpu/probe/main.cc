// gpu_probe device|machine|bits: what a machine with a device is, and how its matrix units round.
// Exit code 2 and one line where there is no device, 1 where a question failed.
#include <cstdio>
#include <cstring>
#include <string>

#include "kernels/cuda/device.h"
#include "tests/gpu/probe/fact.h"
#include "tests/gpu/probe/questions.h"

int main(int argc, char** argv) {
  using namespace guildhall::probe;
  const std::string what = argc == 2 ? argv[1] : "";
  if (what != "device" && what != "machine" && what != "bits") {
    std::fprintf(stderr, "usage: gpu_probe device|machine|bits\n");
    return 1;
  }
  const auto device = guildhall::cuda::Device::Open(0);
  if (!device.ok()) {
    std::fprintf(stderr, "gpu_probe: %s\n", std::string(device.status().message()).c_str());
    return 2;
  }
  Fact("device", device->Describe());
  bool good = device->MakeCurrent().ok();
  if (what == "machine") {
    good = Ask("device", AskDevice) && good;
    good = Ask("launches", AskLaunches) && good;
    good = Ask("pages", AskPages) && good;
    good = Ask("copies", AskCopies) && good;
    good = Ask("peak", AskPeak) && good;
  } else if (what == "bits") {
    good = Ask("columns", AskColumns) && good;
    good = Ask("sums", AskSums) && good;
    good = Ask("wgmma", AskWgmma) && good;
  }
  return good ? 0 : 1;
}
