#include "tests/cuda_emulation/report.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/str_cat.h"
#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/machine.h"

namespace guildhall::emulation {
namespace {

struct sigaction earlier = {};  // who was told of faults before

std::string Place(const uint3& at) {
  return StrCat("(", at.x, ", ", at.y, ", ", at.z, ")");
}

void WriteAndAbort(const std::string& message) {
  const std::string text = StrCat("emulated device: ", message, "\n");
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) std::perror("emulated device");
  std::abort();
}

void OnFault(int signal, siginfo_t* info, void* context) {
  const void* const address = info->si_addr;
  const std::string kernel = WhereInKernel();
  if (DeviceState* const device = Machine::Get().DeviceOf(address)) {
    const std::string what = StrCat(device->range.Describe(address), " at ", AddressText(address));
    WriteAndAbort(kernel.empty() ? StrCat("host code touched ", what, "; last kernel ", CurrentKernelName())
                                 : StrCat(kernel, " touched ", what));
  }
  if (!kernel.empty()) WriteAndAbort(StrCat(kernel, " touched no memory at ", AddressText(address)));
  // Not ours.
  sigaction(SIGSEGV, &earlier, nullptr);
  if ((earlier.sa_flags & SA_SIGINFO) != 0 && earlier.sa_sigaction != nullptr) {
    earlier.sa_sigaction(signal, info, context);
  }
}

}  // namespace

std::string AddressText(const void* address) {
  char text[32];
  std::snprintf(text, sizeof(text), "%p", address);
  return text;
}

std::string WhereInKernel() {
  const BlockState* const block = CurrentBlock();
  if (block == nullptr) return "";
  std::string text = StrCat("kernel ", block->launch->name, ", block ", Place(block->index));
  if (CurrentFiber() != nullptr) text = StrCat(text, ", thread ", Place(threadIdx));
  return text;
}

void Report(const std::string& message) {
  const std::string kernel = WhereInKernel();
  WriteAndAbort(kernel.empty() ? message : StrCat(kernel, ": ", message));
  std::abort();
}

void CatchFaults() {
  // Others put their own handlers in place: test frameworks do for each case.
  struct sigaction now = {};
  sigaction(SIGSEGV, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == &OnFault) return;
  earlier = now;
  struct sigaction ours = {};
  ours.sa_sigaction = &OnFault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &ours, nullptr);
}

}  // namespace guildhall::emulation
