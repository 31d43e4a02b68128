// Which CPUs the threads of a team run on, and which memory nodes there are.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace guildhall {

// The CPUs that the calling thread may run on, ascending; empty when the system does not say.
std::vector<int> AffinityCpus();

// The calling thread may run on `cpus` from now on. A refusal changes nothing: it costs speed only.
void BindThread(std::span<const int> cpus);

// "0-2,5" as the system writes lists of CPUs and nodes; text that is odd ends the list.
std::vector<int> ParseCpuList(const std::string& text);

// The CPUs of each memory node that has some, by node; one empty node when `root`
// ("/sys/devices/system/node") does not say.
std::vector<std::vector<int>> CpuNodes(const std::string& root);

struct CpuPlacement {
  std::vector<std::vector<int>> cpus;  // by worker; empty: the workers run where the system puts them
  std::string text;                    // "bound to CPUs 0-1", or why not
};

// A team as large as the allowed CPUs gets one each, in turn over the nodes. A smaller one is not alone on
// this machine, or shall not be: which CPUs the others take is not known, so its threads are bound to nodes
// at most, in turn, and to nothing where there is one node. A larger one is not bound.
CpuPlacement PlaceWorkers(int threads, std::span<const int> allowed,
                          const std::vector<std::vector<int>>& nodes);

}  // namespace guildhall
