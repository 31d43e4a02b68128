// guildhall_attack: attacks a server that runs, beside an innocent client, and judges what came of it.
// Tests and scripts/front-check use it; it is not installed.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "tests/attacks/trial.h"

namespace guildhall::attacks {
namespace {

constexpr auto kRest = std::chrono::seconds(12);  // threads without work go, freed memory too

// Whether the server stood it.
bool Try(const Attack& attack, const TrialOptions& options, const Marks& marks) {
  const Trial trial = RunTrial(attack, options, marks);
  std::printf("%s\n", TableRow(trial).c_str());
  const std::vector<std::string> failures = Failures(trial, marks);
  for (const std::string& failure : failures) std::printf("  against the marks: %s\n", failure.c_str());
  std::fflush(stdout);
  return failures.empty();
}

void List() {
  for (const Attack& attack : AllAttacks()) {
    std::printf("%-24.*s %.*s (%d)\n", static_cast<int>(attack.name.size()), attack.name.data(),
                static_cast<int>(attack.what.size()), attack.what.data(), attack.size);
  }
}

int Main(int argc, char** argv) {
  CLI::App app("attacks a server of the demo's tasks beside an innocent client");
  TrialOptions options;
  Marks marks;
  int hold_ms = 3000;
  bool list = false;
  std::string first;
  std::vector<std::string> names;
  app.add_option("--target", options.target.address, "HOST:PORT that is attacked");
  app.add_option("--innocent", options.innocent, "HOST:PORT of the innocent client, if another");
  app.add_flag("--front", options.target.front,
               "a proxy stands before the server: it refuses in its own words");
  app.add_option("--pid", options.pid,
                 "the server's process, whose memory, threads and descriptors are watched");
  app.add_option("--rounds", options.rounds, "how often each attack is run");
  app.add_option(
      "--first", first,
      "an attack that is run once before, not judged: what a busy hour leaves (memory of the KV cache "
      "within its budget, connections of a proxy) is there then");
  app.add_option("--size", options.size, "of the attack; by default its own");
  app.add_option("--hold-ms", hold_ms, "how long what an attack opens stays open");
  app.add_option("--slower", marks.slower, "mark: the innocent client's 99th percentile against before");
  app.add_option("--slower-seconds", marks.slower_seconds, "mark: or as much later");
  app.add_option("--memory", marks.memory, "mark: resident memory afterwards against before");
  app.add_flag("--list", list, "only name the attacks, with what they do and their sizes");
  app.add_option("NAME", names, "attacks; all where none is named");
  CLI11_PARSE(app, argc, argv);
  if (list) {
    List();
    return 0;
  }
  if (options.target.address.empty()) return app.exit(CLI::RequiredError("--target"));
  options.target.hold = std::chrono::milliseconds(hold_ms);
  if (names.empty()) {
    for (const Attack& attack : AllAttacks()) names.emplace_back(attack.name);
  }
  if (!first.empty()) {
    const Attack* const attack = FindAttack(first);
    if (attack == nullptr) return app.exit(CLI::ValidationError(first, "no such attack; --list names them"));
    attack->run(options.target, attack->size);
    std::this_thread::sleep_for(kRest);
  }
  std::printf("%s\n", TableHead().c_str());
  int failed = 0;
  for (const std::string& name : names) {
    const Attack* const attack = FindAttack(name);
    if (attack == nullptr) return app.exit(CLI::ValidationError(name, "no such attack; --list names them"));
    failed += Try(*attack, options, marks) ? 0 : 1;
  }
  std::printf("%zu attacks, %d against the marks\n", names.size(), failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace guildhall::attacks

int main(int argc, char** argv) {
  return guildhall::attacks::Main(argc, argv);
}
