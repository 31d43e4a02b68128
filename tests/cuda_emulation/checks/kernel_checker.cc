#include "tests/cuda_emulation/checks/kernel_checker.h"

#include <string>

#include "base/str_cat.h"
#include "tests/cuda_emulation/checks/counter_table.h"
#include "tests/cuda_emulation/checks/source_line.h"
#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

bool Writes(Touch kind) {
  return kind != Touch::kRead;
}

std::string Doing(Touch kind) {
  switch (kind) {
    case Touch::kRead:
      return "reads";
    case Touch::kWrite:
      return "writes";
    case Touch::kAtomic:
      return "changes (by an atomic)";
    case Touch::kCopyIssued:
      return "copies (by cp.async) to";
  }
  return "";
}

// From the first launch on, before which nothing is there to be watched.
const bool installed = [] {
  static KernelChecker checker;
  Watch(&checker);
  return true;
}();

}  // namespace

void KernelChecker::KernelBegins(const Launch& launch) {
  one_kernel_.lock();
  const unsigned threads = launch.block.x * launch.block.y * launch.block.z;
  clock_.BeginLaunch(threads);
  shared_.Clear();
  global_.Clear();
  addresses_.Begin(launch);
  counting_ = installed && CounterTable::Get().enabled();
}

void KernelChecker::KernelEnds(const Launch& launch) {
  if (counting_) CounterTable::Get().Add(launch.name, counter_.Take());
  one_kernel_.unlock();
}

void KernelChecker::BlockBegins(const BlockState& block) {
  clock_.BeginBlock();
  addresses_.SetShared(block);
  const dim3 threads = block.launch->block;
  if (counting_) counter_.BeginBlock(threads.x * threads.y * threads.z);
}

void KernelChecker::BlockMet() {
  clock_.BlockBarrier();
  if (counting_) counter_.BlockBarrier();
}

void KernelChecker::LanesMet(unsigned warp, unsigned mask, std::string_view what) {
  if (what != "__syncwarp") return;
  clock_.WarpBarrier(warp, mask);
  if (counting_) counter_.Barrier(warp);
}

void KernelChecker::Touches(const Touched& touched) {
  const Space space = addresses_.Check(touched.address, touched.bytes, Writes(touched.kind), touched.pc);
  if (space == Space::kOwn) return;
  const uint32_t place = PlaceOf(touched.pc);
  const Toucher toucher = {touched.kind,
                           {clock_.now(), place, static_cast<uint16_t>(CurrentFiber()->thread)}};
  const auto address = reinterpret_cast<uintptr_t>(touched.address);
  Shadow& shadow = space == Space::kShared ? shared_ : global_;
  const Finding finding = shadow.Note(address, touched.bytes, toucher);
  if (finding.fault != Fault::kNone) ReportFinding(touched, finding);
  if (space == Space::kGlobal && touched.kind == Touch::kAtomic) clock_.Atomic(CurrentFiber()->thread);
  if (counting_) Count(touched, space, place);
}

void KernelChecker::Fences() {
  clock_.Fence(CurrentFiber()->thread);
}

void KernelChecker::Count(const Touched& touched, Space space, uint32_t place) {
  const unsigned thread = CurrentFiber()->thread;
  const auto address = reinterpret_cast<uintptr_t>(touched.address);
  if (space == Space::kGlobal) {
    counter_.Global(thread, address, touched.bytes, Writes(touched.kind), place);
  } else if (touched.kind != Touch::kCopyIssued) {
    counter_.Shared(thread, address, touched.bytes, place);
  }
}

void KernelChecker::CopyArrives(const void* shared, size_t bytes) {
  shared_.Arrive(reinterpret_cast<uintptr_t>(shared), bytes,
                 {clock_.now(), 0, static_cast<uint16_t>(CurrentFiber()->thread)});
}

void KernelChecker::ReportFinding(const Touched& touched, const Finding& finding) const {
  const std::string what =
      StrCat(Doing(touched.kind), " ", touched.bytes, " bytes from ", addresses_.Name(touched.address),
             " on (", SourceLine(PlaceOf(touched.pc)), ")");
  const std::string other =
      StrCat("thread ", finding.before.thread, finding.before_was_write ? " wrote (" : " read (",
             SourceLine(finding.before.pc), ")");
  switch (finding.fault) {
    case Fault::kNone:
      break;
    case Fault::kUnwritten:
      Report(StrCat(what, ": this block wrote nothing there"));
    case Fault::kUnderWay:
      Report(StrCat(what, ": a cp.async of thread ", finding.before.thread, " (",
                    SourceLine(finding.before.pc), ") is under way there and was not waited for"));
    case Fault::kRace:
      Report(StrCat("race: ", what, " where ", other, " without a barrier between"));
    case Fault::kRaceOfBlocks:
      Report(StrCat("race of blocks: ", what, " where a thread of another block of this launch ",
                    finding.before_was_write ? "wrote" : "read",
                    finding.before.pc != 0 ? StrCat(" (", SourceLine(finding.before.pc), ")") : ""));
  }
  Report(what);
}

}  // namespace guildhall::emulation
